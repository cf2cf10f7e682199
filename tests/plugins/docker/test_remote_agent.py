"""The agent in a container with the privileges of compose.containers.yaml alone: it sees and instruments neighbours."""

import json
import re
import shutil
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml

from agent_process import eventually, free_port
from docker_engine import Docker
from ophion_agent.agent import Sources
from ophion_docker.engine import Engine
from ophion_docker.engine_frames import FrameReader
from ophion_docker.instrument.refuse import ID_LABEL
from requirement import unavailable
from tests.plugins.docker.instrument_images import PYTHON, python_image, stub_bundles
from tests.plugins.docker.instrument_rig import IDLE, remove_containers

ROOT = Path(__file__).parents[3]
FOLDER = ROOT / "deploy/remote-agent"
COMPOSE = FOLDER / "compose.containers.yaml"
CONFIG = FOLDER / "containers.yaml"
ENVIRON = {"HOST_NAME": "worker-7"}
MIB = 1 << 20
# What the image brings on another machine: here its programs are this host's, mounted where the image has its own.
PROGRAMS = [*dict.fromkeys([sys.base_prefix, sys.prefix, str(ROOT)]), "/usr", "/lib", "/lib64"]
BUILD_KEYS = {"build", "image", "restart", "logging"}


def composed(path: Path, **environ: str) -> dict[str, Any]:
    """Return the only service of a compose file, with variables put in as compose does."""

    def value(match: re.Match[str]) -> str:
        name, default = match["name"], match["default"]
        given = environ.get(name, default if match["kind"] == ":-" else None)
        assert given is not None, f"{path.name}: {name} is required"
        return given

    text = re.sub(r"\$\{(?P<name>\w+)(?:(?P<kind>:[-?])(?P<default>[^}]*))?\}", value, path.read_text())
    [service] = yaml.safe_load(text)["services"].values()
    found: dict[str, Any] = service
    return found


def created(service: dict[str, Any], sources: dict[str, str]) -> dict[str, Any]:
    """Return the engine's request for a service; `sources` are host paths to be used for those of the file.

    Every key must be understood, or something of the file would not be tried.
    """
    left = {key: value for key, value in service.items() if key not in BUILD_KEYS}
    binds = []
    for volume in left.pop("volumes"):
        source, target, *mode = volume.split(":")
        binds.append(":".join([sources.get(source, source), target, *mode]))
    host = {
        "Binds": binds,
        "CapDrop": left.pop("cap_drop"),
        "CapAdd": left.pop("cap_add"),
        "SecurityOpt": left.pop("security_opt"),
        "ReadonlyRootfs": left.pop("read_only"),
        "Tmpfs": dict.fromkeys(left.pop("tmpfs"), ""),
        "PidMode": left.pop("pid"),
        "NetworkMode": left.pop("network_mode"),
        "Memory": int(left.pop("mem_limit").removesuffix("m")) * MIB,
        "NanoCpus": int(left.pop("cpus") * 1e9),
        "PidsLimit": left.pop("pids_limit"),
    }
    body = {
        "Image": service["image"],
        "User": left.pop("user"),
        "Env": [f"{name}={value}" for name, value in left.pop("environment").items()],
        "StopTimeout": int(left.pop("stop_grace_period").removesuffix("s")),
        "HostConfig": host,
    }
    assert not left, f"not tried: {left}"
    return body


def image_environment() -> list[str]:
    """Return what ENV of the Containerfile's last stage sets, but for PATH."""
    stage = (FOLDER / "Containerfile").read_text().rpartition("\nFROM ")[2].replace("\\\n", " ")
    [line] = re.findall(r"^ENV (.*)$", stage, re.MULTILINE)
    return [pair for pair in line.split() if not pair.startswith("PATH=")]


@dataclass
class Deployed:
    """An agent in a container beside others; `state` is what it has as /var/lib/ophion-agent."""

    docker: Docker
    engine: Engine
    state: Path

    async def log(self) -> str:
        async with self.engine.logs("ophion-agent") as response:
            frames = FrameReader().feed(await response.read())
        return b"".join([part for _, part in frames]).decode(errors="replace")

    async def event(self, name: str, **facts: str) -> dict[str, Any]:
        """Return the first event of the agent's log with a name and facts."""
        wanted = {"event": name, **facts}

        async def found() -> dict[str, Any] | None:
            assert (await self.engine.inspect("ophion-agent"))["State"]["Running"], await self.log()
            text = await self.log()
            events = [json.loads(line) for line in text.splitlines() if line.startswith("{") and line.endswith("}")]
            return next((event for event in events if wanted.items() <= event.items()), None)

        try:
            event: dict[str, Any] = await eventually(found, f"{name} {facts}")
        except AssertionError as error:
            raise AssertionError(f"{error}; the agent's log:\n{await self.log()}") from None
        return event

    def points(self) -> dict[str, set[str]]:
        """Return the names of the metrics that arrived, by container name."""
        found: dict[str, set[str]] = {}
        path = self.state / "received.jsonl"
        for line in path.read_text().splitlines() if path.exists() else ():
            for group in json.loads(line).get("resourceMetrics", ()):
                named = {item["key"]: item["value"] for item in group["resource"].get("attributes", ())}
                name = named.get("container.name", {}).get("stringValue", "")
                metrics = {metric["name"] for scope in group["scopeMetrics"] for metric in scope["metrics"]}
                found.setdefault(name, set()).update(metrics)
        return found


def is_shared_root() -> bool:
    """Tell whether / passes mounts on, as systemd makes it; the engine refuses `rslave` where it does not."""
    lines = Path("/proc/self/mountinfo").read_text().splitlines()
    return any(fields[3:5] == ["/", "/"] and "shared:" in line for line in lines if (fields := line.split()))


@asynccontextmanager
async def deployed(docker: Docker, folder: Path) -> AsyncIterator[Deployed]:
    """Start the agent as compose would; only its ports and its exporter are the test's."""
    state, run = folder / "state", folder / "run"
    for path in (state, run):
        path.mkdir()
    stub_bundles(state / "instrument")
    service = composed(COMPOSE, **ENVIRON, CONTAINER_GATEWAY=docker.gateway)
    places = {"/var/run/docker.sock": docker.socket, "/var/lib/ophion-agent": str(state), "/run/ophion-agent": str(run)}
    body = created(service, {**places, "./containers.yaml": str(CONFIG)})
    binds = body["HostConfig"]["Binds"]
    if not is_shared_root():
        binds = [bind.replace(",rslave", "") for bind in binds]
    body["HostConfig"]["Binds"] = [*binds, *(f"{path}:{path}:ro" for path in PROGRAMS)]
    body["Env"] += image_environment()
    sets = [
        f"receivers.otlp.protocols.http.endpoint=${{env:CONTAINER_GATEWAY:-}}:{free_port()}",
        "service.telemetry.logs.encoding=json",
        "receivers.otlp.protocols.grpc.endpoint=localhost:0",
        "receivers.docker_stats.collection_interval=500ms",
        "receivers.docker_observer.instrument.delay=200ms",
        "exporters.prometheus.endpoint=localhost:0",
        "exporters.file={path: /var/lib/ophion-agent/received.jsonl}",
        "extensions.health_check.endpoint=localhost:0",
        "extensions.zpages.endpoint=localhost:0",
        "service.telemetry.metrics.readers=[{pull: {exporter: {prometheus: {port: 0}}}}]",
        *(f"service.pipelines.{signal}.exporters=[file]" for signal in ("traces", "metrics", "logs")),
    ]
    options = [word for each in sets for word in ("--set", each)]
    program = [sys.executable, "-m", "ophion_agent.cli", "run", "--config", "/etc/ophion-agent/agent.yaml"]
    async with docker.client() as engine:
        await docker.image(engine, service["image"])
        try:
            await engine.create_network("shop_default")
            container = await engine.create("ophion-agent", {**body, "Cmd": [*program, *options]})
            await engine.start(container)
            yield Deployed(docker, engine, state)
        finally:
            await remove_containers(engine)
            await engine.remove_network("shop_default")


async def test_sees_and_instruments_its_neighbours_with_these_privileges_alone(docker: Docker, tmp_path: Path) -> None:
    async with deployed(docker, tmp_path) as agent:
        image = await python_image(docker, agent.engine)
        command = [str(PYTHON), "-c", IDLE]
        labels = {"ophion.instrument": "true"}
        # Another user, and a network of its own: its gateway is not the address that the agent listens on.
        network = {"HostConfig": {"NetworkMode": "shop_default"}, "User": "65534:65534"}
        nobody = await docker.run(agent.engine, image, command, "shop", Labels=labels, StopSignal="SIGKILL", **network)
        other = await docker.run(agent.engine, image, command, "other", StopSignal="SIGKILL")

        event = await agent.event("instrumented", container="shop")
        assert event["endpoint"].startswith(f"http://{docker.gateway}:")
        inspect = await agent.engine.inspect("shop")
        assert inspect["Id"] != nobody
        assert ID_LABEL in inspect["Config"]["Labels"]
        assert (await agent.engine.inspect("other"))["Id"] == other

        def figures() -> bool:
            wanted = {
                "container.cpu.usage.total",
                "container.memory.usage.total",
                "container.network.io.usage.rx_bytes",
            }
            return all(wanted <= agent.points().get(name, set()) for name in ("shop", "other"))

        await eventually(figures, lambda: f"figures; {agent.points()}")
        # The command in the same container has the same journal and agent.
        program = [sys.executable, "-m", "ophion_agent.cli", "instrument", "--undo", "shop"]
        undone = await agent.engine.execute("ophion-agent", program, seconds=60)
        assert (undone.exit_code, undone.stdout[-28:]) == (0, b"shop: runs as it did before\n"), undone.stderr
        # Not even the agent itself can change its image, or write to what is shown of the host.
        script = "import sys; open(sys.argv[1], 'w')"
        for path in ("/anywhere", "/hostfs/anywhere", "/etc/ophion-agent/agent.yaml"):
            tried = await agent.engine.execute("ophion-agent", [sys.executable, "-c", script, path])
            assert b"Read-only file system" in tried.stderr, (path, tried)


def test_every_privilege_is_one_that_is_needed() -> None:
    service = composed(COMPOSE, **ENVIRON)
    assert service["cap_drop"] == ["ALL"]
    assert service["cap_add"] == ["SYS_PTRACE", "SYS_ADMIN"]
    assert "privileged" not in service
    plain = composed(FOLDER / "compose.yaml", **ENVIRON)
    assert "cap_add" not in plain
    assert not [volume for volume in plain["volumes"] if "docker.sock" in volume]
    for one in (service, plain):
        assert one["read_only"]
        assert one["security_opt"] == ["no-new-privileges:true"]
        assert {"mem_limit", "pids_limit"} <= one.keys()


def test_the_configuration_listens_on_this_host_and_its_bridge_only() -> None:
    plan, _ = Sources([str(CONFIG)], (), {}).plan()
    dumped = [component.config.model_dump() for component in plan.components.values()]
    found = {address for config in dumped for address in addresses(config)}
    assert found == {"localhost:4317", "172.17.0.1:4318", "localhost:9464", "localhost:13133", "localhost:13134"}
    health = next(address for address in found if address.endswith(":13133"))
    assert f"http://127.0.0.1:{health.rpartition(':')[2]}/" in (FOLDER / "Containerfile").read_text()


def addresses(value: Any) -> list[str]:
    if not isinstance(value, dict):
        return []
    own = [inner for key, inner in value.items() if key == "endpoint" and isinstance(inner, str) and inner]
    return [*own, *(address for inner in value.values() for address in addresses(inner))]


@pytest.mark.parametrize("name", ["compose.yaml", "compose.containers.yaml"])
def test_compose_takes_the_file(name: str) -> None:
    words = next((words for words in (["docker-compose"], ["docker", "compose"]) if is_compose(words)), None)
    if words is None:
        unavailable("needs compose: apt-get install -y docker-compose")
    done = subprocess.run(
        [*words, "--file", str(FOLDER / name), "config"], env={**ENVIRON, "PATH": "/usr/bin:/bin:/usr/local/bin"},
        capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "host.name=worker-7" in done.stdout.replace("host.name: ", "host.name=")


def is_compose(words: list[str]) -> bool:
    if shutil.which(words[0]) is None:
        return False
    return subprocess.run([*words, "version"], capture_output=True, timeout=60, check=False).returncode == 0
