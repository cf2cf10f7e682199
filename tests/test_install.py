"""install.sh, really run below a temporary root, and the units it installs."""

import os
import re
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from requirement import require
from service_manager import Manager

ROOT = Path(__file__).parent.parent
UNIT = ROOT / "deploy/remote-agent/ophion-agent.service"

CONFIG = """
receivers: {hostmetrics: {collection_interval: 10s}}
exporters: {file: {path: "${env:STATE_DIRECTORY}/telemetry.jsonl"}}
service:
  telemetry: {metrics: {level: none}}
  pipelines: {metrics: {receivers: [hostmetrics], exporters: [file]}}
"""
INVALID = CONFIG.replace("exporters: [file]", "exporters: [fyle]")
# Valid, but its folder is not there and is not to be made.
UNREADY = CONFIG.replace("telemetry.jsonl", "missing/telemetry.jsonl")


class Host:
    """A root folder to install into, with a service manager."""

    def __init__(self, folder: Path, packages: Path | None = None) -> None:
        self.root = folder / "root"
        self.folder = folder
        (self.root / "run/systemd/system").mkdir(parents=True)
        tools = folder / "tools"
        tools.mkdir()
        systemctl = tools / "systemctl"
        systemctl.write_text(f'#!/bin/sh\nexec "{sys.executable}" "{ROOT}/tests/service_manager.py" "$@"\n')
        systemctl.chmod(0o755)
        own = {"PATH": f"{tools}:{os.environ['PATH']}", "SERVICE_ROOT": str(self.root), "PYTHON": sys.executable}
        # Compiling on installation takes as long as all the rest, and nothing here is run often enough.
        self.environ = {**os.environ, **own, "PIP_NO_COMPILE": "1"}
        if packages is not None:
            self.environ |= {"PIP_NO_INDEX": "1", "PIP_FIND_LINKS": str(packages)}
        self.manager = Manager(self.root, "ophion-agent")
        self.configuration = self.root / "etc/ophion-agent/agent.yaml"

    def install(self, *arguments: str) -> "subprocess.CompletedProcess[str]":
        command = ["/bin/sh", str(ROOT / "install.sh"), "--root", str(self.root), *arguments]
        return subprocess.run(command, env=self.environ, capture_output=True, text=True, check=False, timeout=600)

    def agent(self, *arguments: str) -> "subprocess.CompletedProcess[str]":
        command = [str(self.root / "usr/local/bin/ophion-agent"), *arguments]
        environ = {"PATH": os.defpath, "STATE_DIRECTORY": str(self.root / "var/lib/ophion-agent")}
        return subprocess.run(command, env=environ, capture_output=True, text=True, check=False, timeout=60)

    def write(self, name: str, text: str) -> str:
        path = self.folder / name
        path.write_text(text)
        return str(path)

    @property
    def current(self) -> str:
        return os.readlink(self.root / "opt/ophion-agent/current")

    @property
    def versions(self) -> list[str]:
        return sorted(entry.name for entry in (self.root / "opt/ophion-agent/versions").iterdir())


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel of this working copy."""
    folder = tmp_path_factory.mktemp("wheel")
    command = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(folder)]
    # As install.sh builds it, so that it is the version that is installed already.
    environ = {**os.environ, "OPHION_DASHBOARD": "skip"}
    subprocess.run(command, cwd=ROOT, env=environ, check=True, capture_output=True, timeout=120)
    return next(folder.glob("*.whl"))


def other_version(wheel: Path, version: str, folder: Path, *, broken: bool = False) -> Path:
    """Return a copy of a wheel that is another version, and that fails at every command when it is broken."""
    old = wheel.name.split("-")[1]
    copy = folder / wheel.name.replace(old, version)
    with zipfile.ZipFile(wheel) as source, zipfile.ZipFile(copy, "w") as target:
        for name in source.namelist():
            content = source.read(name)
            if name.endswith("/METADATA"):
                content = content.replace(f"\nVersion: {old}\n".encode(), f"\nVersion: {version}\n".encode())
            if broken and name == "ophion_agent/cli.py":
                content = b"def main():\n    raise SystemExit('this version is broken')\n"
            if not name.endswith("/RECORD"):
                target.writestr(name.replace(f"-{old}.dist-info", f"-{version}.dist-info"), content)
        record = f"ophion_agent-{version}.dist-info/RECORD"
        names = [*target.namelist(), record]
        target.writestr(record, "".join(f"{name},,\n" for name in names))
    return copy


@pytest.fixture(scope="module")
def packages(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Everything that an installation asks a package index for, so that it is asked once for all of them."""
    folder = tmp_path_factory.mktemp("packages")
    for name in ("agent", "build"):
        wanted = ["--require-hashes", "--only-binary", ":all:", "-r", str(ROOT / f"requirements/{name}.txt")]
        command = [sys.executable, "-m", "pip", "download", "--quiet", "--dest", str(folder), *wanted]
        subprocess.run(command, check=True, capture_output=True, timeout=600)
    return folder


@pytest.fixture(scope="module")
def host(tmp_path_factory: pytest.TempPathFactory, packages: Path) -> Iterator[Host]:
    """A host on which the tests of this module do, in order, what an operator does over time."""
    host = Host(tmp_path_factory.mktemp("host"), packages)
    yield host
    host.manager.stop()


pytestmark = pytest.mark.timeout(900)


def test_installs_from_the_working_copy_and_starts_the_service(host: Host) -> None:
    done = host.install("--config", host.write("agent.yaml", CONFIG))

    assert done.returncode == 0, done.stderr + done.stdout
    assert host.manager.pid() is not None
    assert host.manager.enabled.exists()
    assert host.configuration.read_text() == CONFIG
    assert host.configuration.stat().st_mode & 0o777 == 0o640
    assert (host.root / "etc/ophion-agent/agent.env").stat().st_mode & 0o777 == 0o640
    assert (host.root / "var/lib/ophion-agent").stat().st_mode & 0o777 == 0o700
    assert host.manager.unit.read_text() == UNIT.read_text()


def test_installed_agent_validates_and_lists_its_components(host: Host) -> None:
    validated = host.agent("validate", "--config", str(host.configuration))
    components = host.agent("components")

    assert validated.returncode == 0, validated.stderr
    assert components.stderr == ""
    for name in ("otlp", "hostmetrics", "batch", "prometheus", "health_check"):
        assert re.search(rf"(?m)^  {name} ", components.stdout), name


@pytest.mark.parametrize(
    ("text", "reason"), [(INVALID, "does not accept"), (UNREADY, "did not become ready")], ids=["invalid", "unready"]
)
def test_keeps_configuration_and_service_when_the_new_configuration_does_not_work(
    host: Host, wheel: Path, text: str, reason: str
) -> None:
    before = host.current, host.versions

    done = host.install("--config", host.write("broken.yaml", text), "--from", str(wheel))

    assert done.returncode == 1
    assert reason in done.stderr
    assert host.configuration.read_text() == CONFIG
    assert "is in place already" in done.stdout
    assert (host.current, host.versions) == before
    assert host.manager.pid() is not None


def test_keeps_the_version_that_runs_when_the_new_one_is_broken(host: Host, wheel: Path, tmp_path: Path) -> None:
    before = host.current, host.versions, host.manager.pid()

    done = host.install("--upgrade", "--from", str(other_version(wheel, "0.9.8", tmp_path, broken=True)))

    assert done.returncode == 1
    assert "this version is broken" in done.stderr
    assert (host.current, host.versions, host.manager.pid()) == before


def test_upgrades_and_keeps_the_configuration(host: Host, wheel: Path, tmp_path: Path) -> None:
    before = host.current, host.manager.pid()

    done = host.install("--upgrade", "--from", str(other_version(wheel, "0.9.9", tmp_path)))

    assert done.returncode == 0, done.stderr + done.stdout
    assert host.current == "versions/0.9.9"
    assert host.versions == sorted([Path(before[0]).name, "0.9.9"])
    assert host.manager.pid() not in (None, before[1])
    assert host.configuration.read_text() == CONFIG
    assert host.agent("--version").stdout == "ophion-agent 0.9.9\n"


def test_uninstalls_and_keeps_configuration_and_data(host: Host) -> None:
    done = host.install("--uninstall")

    assert done.returncode == 0, done.stderr
    assert host.manager.pid() is None
    assert not host.manager.enabled.exists()
    assert left_behind(host) == {"etc/ophion-agent/agent.env", "etc/ophion-agent/agent.yaml", "var/lib/ophion-agent"}


def test_uninstalls_with_purge_and_leaves_nothing(host: Host) -> None:
    done = host.install("--uninstall", "--purge")

    assert done.returncode == 0, done.stderr
    assert left_behind(host) == set()


def left_behind(host: Host) -> set[str]:
    """Everything of the agent below the root, without what the service manager keeps."""
    owned = (path for path in host.root.rglob("*") if "run" not in path.relative_to(host.root).parts)
    paths = {str(path.relative_to(host.root)) for path in owned if "ophion" in str(path.relative_to(host.root))}
    own_data = {path for path in paths if path.startswith("var/lib/ophion-agent/")}
    return paths - own_data - {"etc/ophion-agent"}


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--upgrade",), "is not installed in"),
        (("--config", "/no/such/file"), "/no/such/file is not a file"),
        (("--purge",), "only together with --uninstall"),
        (("--prefix", "relative"), "must be an absolute path"),
        (("--config",), "needs a value"),
        (("--frm", "x"), "unknown option '--frm'"),
    ],
)
def test_refuses_arguments_that_make_no_sense(tmp_path: Path, arguments: tuple[str, ...], message: str) -> None:
    host = Host(tmp_path)

    done = host.install(*arguments)

    assert done.returncode == 1
    assert message in done.stderr
    assert left_behind(host) == set()


def test_says_what_to_install_without_a_python_that_is_new_enough(tmp_path: Path) -> None:
    command = ["/bin/sh", str(ROOT / "scripts/find-python.sh")]

    done = subprocess.run(command, env={"PATH": "/bin", "PYTHON": "/no/python"}, capture_output=True, text=True)

    assert done.returncode == 1
    assert "no Python 3.11 or newer found" in done.stderr


def test_names_the_package_that_a_python_without_ensurepip_lacks(tmp_path: Path) -> None:
    python = tmp_path / "python3"
    python.write_text(f'#!/bin/sh\ncase "$*" in *ensurepip*) exit 1 ;; esac\nexec "{sys.executable}" "$@"\n')
    python.chmod(0o755)
    command = ["/bin/sh", str(ROOT / "scripts/find-python.sh")]

    done = subprocess.run(command, env={"PATH": os.defpath, "PYTHON": str(python)}, capture_output=True, text=True)

    assert done.returncode == 1
    assert f"apt install python{sys.version_info.major}.{sys.version_info.minor}-venv" in done.stderr


def test_compose_file_lets_nobody_but_this_host_in_and_grants_nothing() -> None:
    service = yaml.safe_load((UNIT.parent / "compose.yaml").read_text())["services"]["ophion-agent"]

    assert all(port.startswith("127.0.0.1:") for port in service["ports"])
    assert service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert service["read_only"] is True
    assert [volume for volume in service["volumes"] if volume.startswith("/") and ":ro" not in volume] == []


def test_unit_passes_systemd_analyze(tmp_path: Path) -> None:
    require("systemd-analyze", "apt-get install -y systemd")
    unit = tmp_path / UNIT.name
    # The program need not be installed for the check.
    unit.write_text(UNIT.read_text().replace("/opt/ophion-agent/current/bin/ophion-agent", "/bin/true"))

    verified = subprocess.run(["systemd-analyze", "verify", str(unit)], capture_output=True, text=True)

    assert (verified.returncode, verified.stderr) == (0, "")


def test_unit_is_locked_up(tmp_path: Path) -> None:
    require("systemd-analyze", "apt-get install -y systemd")
    command = ["systemd-analyze", "security", "--offline=yes", "--threshold=20", str(UNIT)]

    rated = subprocess.run(command, capture_output=True, text=True)

    assert rated.returncode == 0, rated.stdout.splitlines()[-1]
