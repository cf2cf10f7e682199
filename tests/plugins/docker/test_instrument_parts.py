"""The journal's files, what is made of an agent's answers and of a container's state, and the command line's words."""

import os
import stat
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from agent_process import execute
from ophion_docker.instrument.agent import AgentSocket, Arrivals, default_socket, otlp_http_port
from ophion_docker.instrument.detect import detect
from ophion_docker.instrument.errors import InstrumentError, Refused
from ophion_docker.instrument.journal import INSTRUMENTED, Journal, Record, Swap
from ophion_docker.instrument.procfs import Process, descendants
from ophion_docker.instrument.reach import find_endpoint
from ophion_docker.instrument.verify import NotVerified, check_state, health_seconds

CLI = Path(__file__).with_name("instrument_cli.py")
SECOND = 1_000_000_000


def record(name: str = "shop") -> Record:
    swap = Swap("stop", "old", {"Name": "always"}, {"Env": ["SECRET=x"]}, {}, "", "w", "p", "new")
    return Record(name, "t", INSTRUMENTED, "python", "v", "http://h", "sha256:1", {"Id": "old"}, swap=swap)


def test_a_record_comes_back_and_only_its_owner_may_read_it(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "state")
    written = record()
    journal.write(written)
    assert journal.read("shop") == written
    assert journal.names() == ["shop"]
    assert stat.S_IMODE((tmp_path / "state/shop.json").stat().st_mode) == 0o600
    assert stat.S_IMODE((tmp_path / "state").stat().st_mode) == 0o700
    journal.remove("shop")
    assert (journal.read("shop"), journal.names()) == (None, [])


@pytest.mark.parametrize("content", ["{", "[]", '{"format": 2}', '{"format": 1, "swap": null, "strange": 1}'])
def test_a_damaged_record_is_named_with_the_remedy(tmp_path: Path, content: str) -> None:
    (tmp_path / "shop.json").write_text(content)
    with pytest.raises(
        InstrumentError, match=r"shop\.json cannot be read: .*; compare it with `docker ps --all` and remo"
    ):
        Journal(tmp_path).read("shop")


def test_a_folder_that_cannot_be_used_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    journal = Journal(tmp_path / "file/state")
    with pytest.raises(InstrumentError, match="cannot be written: Not a directory; name a folder on a local disk with"):
        journal.write(record())
    with (
        pytest.raises(
            InstrumentError, match="cannot be used: Not a directory; run as root, or name a folder with --state"
        ),
        journal.exclusive(),
    ):
        pass


def test_one_container_is_worked_on_at_a_time(tmp_path: Path) -> None:
    with (
        Journal(tmp_path).exclusive(),
        pytest.raises(Refused, match="another container is being worked on; wait"),
        Journal(tmp_path).exclusive(),
    ):
        pass
    with Journal(tmp_path).exclusive():
        pass


def request(token: str, *spans: dict[str, Any], kind: str = "Spans") -> dict[str, Any]:
    attributes = [{"key": "ophion.instrument.id", "value": {"stringValue": token}}]
    return {f"resource{kind}": [{"resource": {"attributes": attributes}, "scopeSpans": [{"spans": list(spans)}]}]}


def test_ready_the_first_span_and_a_loaders_failure_are_told_apart() -> None:
    arrivals = Arrivals()
    arrivals.take(request("other", {"name": "ophion.instrument.ready"}), "mine")
    assert arrivals == Arrivals(changed=arrivals.changed)
    arrivals.take(request("mine", kind="Metrics"), "mine")
    assert (arrivals.anything, arrivals.ready) == (True, False)
    arrivals.take(request("mine", {"name": "ophion.instrument.ready"}), "mine")
    assert (arrivals.ready, arrivals.first_span) == (True, "")
    arrivals.take(request("mine", {"name": "GET /a"}, {"name": "GET /b"}), "mine")
    assert arrivals.first_span == "GET /a"
    failed = Arrivals()
    attributes = [{"key": "ophion.instrument.error", "value": {"stringValue": "no bundle"}}]
    failed.take(request("mine", {"name": "ophion.instrument.ready", "attributes": attributes}), "mine")
    assert (failed.error, failed.ready, failed.anything) == ("no bundle", False, False)


@pytest.mark.parametrize(
    ("receivers", "port"),
    [
        ({"otlp": {"protocols": {"http": {"endpoint": "0.0.0.0:5318"}}}}, 5318),
        ({"otlp/apps": {"protocols": {"grpc": None, "http": None}}}, 4318),
        ({"otlp": {"protocols": {"grpc": {}}}}, None),
        ({"hostmetrics": {}}, None),
    ],
)
def test_the_agents_port_is_read_from_its_configuration(receivers: dict[str, Any], port: int | None) -> None:
    assert otlp_http_port(receivers) == port


@pytest.fixture
async def silent_agent(tmp_path: Path) -> AsyncIterator[Path]:
    """An agent whose configuration has no OTLP receiver."""
    from aiohttp import web

    async def config(_: web.Request) -> web.Response:
        return web.Response(text="receivers: {hostmetrics: {}}\n")

    application = web.Application()
    application.router.add_get("/config", config)
    runner = web.AppRunner(application)
    await runner.setup()
    await web.UnixSite(runner, str(tmp_path / "control.sock")).start()
    yield tmp_path / "control.sock"
    await runner.cleanup()


async def test_refuses_an_agent_that_takes_no_otlp_over_http(silent_agent: Path) -> None:
    with pytest.raises(Refused, match="the agent has no otlp receiver with the http protocol; configure one"):
        await AgentSocket(silent_agent).otlp_port()


def test_the_control_socket_is_looked_for_where_agents_put_it(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    (tmp_path / "ophion-agent.sock").write_text("")
    assert default_socket() == tmp_path / "ophion-agent.sock"


def inspection(**state: Any) -> dict[str, Any]:
    return {"State": {"Running": True, **state}, "RestartCount": state.get("restarts", 0)}


@pytest.mark.parametrize(
    ("inspect", "message"),
    [
        (inspection(Running=False, ExitCode=3), "it ended: exit code 3"),
        (inspection(Running=False, ExitCode=137, OOMKilled=True), "it ended: exit code 137, killed for its memory"),
        (inspection(Running=False, Error="no such file"), "it ended: no such file"),
        (inspection(restarts=2), "it crashed and was restarted by the engine"),
        (inspection(Health={"Status": "unhealthy"}), "its health check fails"),
    ],
)
def test_a_container_that_does_not_work_is_told_at_once(inspect: dict[str, Any], message: str) -> None:
    with pytest.raises(NotVerified) as caught:
        check_state(inspect)
    assert str(caught.value) == message


def test_a_health_check_gets_the_time_that_it_needs() -> None:
    check = {"Test": ["CMD", "x"], "Interval": 5 * SECOND, "Timeout": SECOND, "StartPeriod": 20 * SECOND, "Retries": 2}
    assert health_seconds({"Config": {"Healthcheck": check}}) == 38
    assert health_seconds({"Config": {"Healthcheck": {"Test": ["CMD", "x"]}}}) == 240
    assert health_seconds({"Config": {"Healthcheck": {"Test": ["NONE"]}}}) == 0
    assert health_seconds({"Config": {}}) == 0


async def test_refuses_networks_without_a_gateway_and_namespaces_that_cannot_be_entered(tmp_path: Path) -> None:
    inspect = {"Name": "/shop", "HostConfig": {}, "State": {"Pid": 1}, "NetworkSettings": {"Networks": {"a": {}}}}
    with pytest.raises(Refused, match="shop: its networks have no gateway to reach the agent by; connect it to one"):
        await find_endpoint(inspect, 4318, tmp_path)
    host = {**inspect, "HostConfig": {"NetworkMode": "host"}}
    with pytest.raises(Refused, match=r"shop: its network cannot be tried: FileNotFoundError.*; run as root"):
        await find_endpoint(host, 4318, tmp_path)


def test_detects_this_python_and_reads_nothing_of_processes_that_are_gone() -> None:
    own = descendants(os.getpid())
    assert own[0].pid == os.getpid()
    found = detect(own[:1])
    assert found[0].language == "python"
    assert found[0].version == f"{sys.version_info.major}.{sys.version_info.minor}"
    gone = Process(2**22 + 1)
    assert (gone.executable, gone.mapped, gone.environment, gone.command) == ("", frozenset(), {}, ())
    assert detect([gone]) == []


class GivenProcess(Process):
    """A process whose facts are given."""

    def __init__(self, command: tuple[str, ...] = (), executable: str = "", mapped: tuple[str, ...] = ()) -> None:
        super().__init__(1)
        self.__dict__.update(command=command, executable=executable, mapped=frozenset(mapped), environment={})


@pytest.mark.parametrize(
    ("command", "executable", "is_starting"),
    [
        (("runc", "init"), "/", True),
        (("/usr/sbin/runc", "init"), "/usr/sbin/runc", True),
        (("crun", "create"), "/usr/bin/crun", True),
        (("/app", "init"), "/app", False),
        (("python3", "-m", "runc"), "/usr/bin/python3", False),
        ((), "", False),
    ],
)
def test_the_runtime_of_the_engine_is_not_taken_for_the_application(
    command: tuple[str, ...], executable: str, is_starting: bool
) -> None:
    assert GivenProcess(command, executable).is_starting == is_starting


@pytest.mark.parametrize(
    ("library", "libc"),
    [
        ("/lib/ld-musl-x86_64.so.1", "musl"),
        ("/usr/lib/libc.so", "musl"),
        ("/lib/x86_64-linux-gnu/libc.so.6", "glibc"),
        ("/lib64/libc-2.28.so", "glibc"),
    ],
)
def test_tells_the_c_library_by_what_is_mapped(library: str, libc: str) -> None:
    process = GivenProcess(("dotnet",), "/usr/bin/dotnet", (library, "/usr/share/dotnet/libcoreclr.so"))
    assert [(found.language, found.libc) for found in detect([process])] == [("dotnet", libc)]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "name a container, or one of --list, --status, --undo, --dry-run, --recover"),
        (["bundle", "--lang", "python"], "bundle: --out DIR is required"),
        (["--list", "--recover"], "not allowed with argument"),
    ],
)
async def test_a_wrong_command_line_is_told(arguments: list[str], message: str) -> None:
    done = await execute(sys.executable, CLI, "instrument", *arguments)
    assert done.returncode == 2
    assert message in done.stderr


async def test_an_engine_that_is_not_there_is_a_failure(tmp_path: Path) -> None:
    words = [sys.executable, str(CLI), "instrument", "shop", "--state", str(tmp_path)]
    done = await execute(*words, "--docker", f"unix://{tmp_path}/none.sock")
    assert done.returncode == 1
    assert "No such file or directory; start the engine" in done.stderr
