"""Resource detection finds what is known of the host, survives failing detectors, and adds it to every resource."""

import asyncio
import socket
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from pydantic import ValidationError

from ophion_agent.health import Status
from ophion_agent.plugin import Traces
from ophion_agent.testing import ManualClock, make_component, make_traces, settle
from ophion_processors.detect_env import detect_env
from ophion_processors.detect_system import SYSTEM_ATTRIBUTES, detect_system, host_name
from ophion_processors.resource_detection import ResourceDetection, ResourceDetectionConfig
from ophion_processors.values import to_python

CPUINFO = "processor\t: 0\nvendor_id\t: Maker\ncpu family\t: 6\nmodel\t\t: 85\nmodel name\t: Fast CPU\nstepping\t: 7\n"


class Running:
    """A processor that was started on a clock of the test's own."""

    def __init__(self, **config: Any) -> None:
        self.clock = ManualClock()
        self.processor = make_component(ResourceDetection, config, clock=self.clock)

    async def __aenter__(self) -> "Running":
        await self.processor.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.processor.stop()
        await self.processor.context.close()

    async def resource(self, service: str = "checkout") -> dict[str, Any]:
        batch = Traces.trusted(make_traces(1, service=service).payload)
        result = await self.processor.process(batch)
        return {attribute.key: to_python(attribute.value) for attribute in result.resources()[0].attributes}


@pytest.fixture(autouse=True)
def _environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("OTEL_RESOURCE_ATTRIBUTES", "OTEL_RESOURCE", "OTEL_SERVICE_NAME", "DOCKER_HOST"):
        monkeypatch.delenv(name, raising=False)


@pytest.mark.parametrize(
    ("environment", "found"),
    [
        ({}, {}),
        ({"OTEL_RESOURCE_ATTRIBUTES": "a=1, b = x=y ,"}, {"a": "1", "b": "x=y"}),
        ({"OTEL_RESOURCE_ATTRIBUTES": "path=%2Fa%2Cb%20c,plus=1+1"}, {"path": "/a,b c", "plus": "1+1"}),
        ({"OTEL_RESOURCE": "a=1"}, {"a": "1"}),
        ({"OTEL_RESOURCE_ATTRIBUTES": "service.name=x", "OTEL_SERVICE_NAME": "y"}, {"service.name": "y"}),
    ],
)
def test_environment_is_read_as_the_specification_says(environment: dict[str, str], found: dict[str, str]) -> None:
    assert detect_env(environment) == found


@pytest.mark.parametrize("listed", ["a", "=1", "a=%zz", "a=1,b"])
def test_malformed_environment_is_discarded_as_a_whole(listed: str) -> None:
    with pytest.raises(ValueError, match="OTEL_RESOURCE_ATTRIBUTES: "):
        detect_env({"OTEL_RESOURCE_ATTRIBUTES": listed})


def test_host_and_operating_system_are_described(tmp_path: Path) -> None:
    for name, text in {"etc/os-release": 'NAME="Debian"\nVERSION_ID="12"\n', "etc/machine-id": "abc\n"}.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text)
    (tmp_path / "proc").mkdir()
    (tmp_path / "proc/cpuinfo").write_text(CPUINFO + "cache size\t: 512 KB\n\nprocessor\t: 1\n")
    found = detect_system(frozenset(SYSTEM_ATTRIBUTES), ["os"], tmp_path)
    assert {name: found[name] for name in ("host.id", "os.name", "os.version")} == {
        "host.id": "abc",
        "os.name": "Debian",
        "os.version": "12",
    }
    assert {name: value for name, value in found.items() if name.startswith("host.cpu.")} == {
        "host.cpu.vendor.id": "Maker",
        "host.cpu.family": "6",
        "host.cpu.model.id": "85",
        "host.cpu.model.name": "Fast CPU",
        "host.cpu.stepping": "7",
        "host.cpu.cache.l2.size": 512,
    }
    assert found["host.name"] == socket.gethostname()
    assert found["os.type"] in ("linux", "darwin")
    assert "host.arch" in found


def test_only_enabled_attributes_are_read(tmp_path: Path) -> None:
    assert set(detect_system(frozenset({"os.type", "host.id"}), ["os"], tmp_path)) == {"os.type"}


def test_next_hostname_source_is_asked_when_one_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(socket, "getfqdn", lambda _name: "localhost.localdomain")
    monkeypatch.setattr(socket, "gethostname", lambda: "web-1")
    assert host_name(["dns", "os"]) == "web-1"
    with pytest.raises(OSError, match="no source gives a host name: dns: web-1 has no fully qualified name"):
        host_name(["dns"])
    monkeypatch.setattr(socket, "getfqdn", lambda _name: "web-1.example.org")
    assert host_name(["dns", "os"]) == "web-1.example.org"


async def test_detected_attributes_replace_those_of_the_sender(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OTEL_RESOURCE_ATTRIBUTES", "service.name=detected,zone=a")
    async with Running() as running:
        assert await running.resource() == {"service.name": "detected", "zone": "a"}
    async with Running(override=False) as running:
        assert await running.resource() == {"service.name": "checkout", "zone": "a"}


async def test_first_detector_wins_and_lists_limit_what_is_added(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OTEL_RESOURCE_ATTRIBUTES", "host.name=from-env,zone=a")
    system = {"hostname_sources": ["os"]}
    async with Running(detectors=["env", "system"], system=system) as running:
        assert (await running.resource())["host.name"] == "from-env"
    async with Running(detectors=["system", "env"], system=system, attributes=["host.name", "os.type"]) as running:
        found = await running.resource()
        assert found["host.name"] == socket.gethostname()
        assert set(found) == {"service.name", "host.name", "os.type"}
    async with Running(env={"allowlist": ["zone"]}) as running:
        assert set(await running.resource()) == {"service.name", "zone"}


async def test_attributes_are_switched_on_and_off() -> None:
    toggles = {"host.arch": {"enabled": True}, "host.name": {"enabled": False}}
    async with Running(detectors=["system"], system={"resource_attributes": toggles}) as running:
        assert set(await running.resource()) == {"service.name", "os.type", "host.arch"}


async def test_malformed_environment_is_reported_and_the_data_passes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OTEL_RESOURCE_ATTRIBUTES", "broken")
    async with Running(retry={"enabled": False}) as running:
        assert await running.resource() == {"service.name": "checkout"}
        health = running.processor.context.health
        assert health.status is Status.DEGRADED
        assert "detector env: ValueError: OTEL_RESOURCE_ATTRIBUTES: expected key=value" in health.reason


async def test_refresh_takes_over_what_has_changed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OTEL_RESOURCE_ATTRIBUTES", "zone=a")
    async with Running(refresh_interval="1m") as running:
        monkeypatch.setenv("OTEL_RESOURCE_ATTRIBUTES", "zone=b")
        assert (await running.resource())["zone"] == "a"
        await running.clock.advance(60)
        assert (await running.resource())["zone"] == "b"


class Engine:
    """A Docker Engine that answers on a Unix socket."""

    def __init__(self, directory: Path) -> None:
        self.path = directory / "docker.sock"
        self.hangs = False
        self._released = asyncio.Event()
        self._runner: web.AppRunner | None = None

    @property
    def options(self) -> dict[str, str]:
        return {"endpoint": f"unix://{self.path}"}

    async def start(self) -> None:
        app = web.Application()
        app.router.add_get("/info", self._info)
        app.router.add_get("/containers/{name}/json", self._container)
        self._runner = web.AppRunner(app, shutdown_timeout=0)
        await self._runner.setup()
        await web.UnixSite(self._runner, str(self.path)).start()

    async def stop(self) -> None:
        self._released.set()
        if self._runner:
            await self._runner.cleanup()

    async def _info(self, _: web.Request) -> web.Response:
        if self.hangs:
            await self._released.wait()
        return web.json_response({"Name": "docker-host", "OSType": "linux"})

    async def _container(self, request: web.Request) -> web.Response:
        container = {"Name": "/web", "Config": {"Image": f"image-of-{request.match_info['name']}"}}
        return web.json_response(container)


@pytest.fixture
async def engine(tmp_path: Path) -> AsyncIterator[Engine]:
    engine = Engine(tmp_path)
    yield engine
    await engine.stop()


async def until_retried(running: Running, done: Any) -> None:
    """Let the clock and the sockets work in turn until `done()` holds."""
    for _ in range(200):
        if done():
            return
        await running.clock.advance(1)
        await asyncio.get_running_loop().run_in_executor(None, lambda: None)
    raise AssertionError("the retry did not come")


async def test_docker_names_its_host(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    await engine.start()
    monkeypatch.setenv("DOCKER_HOST", f"unix://{engine.path}")
    async with Running(detectors=["docker"]) as running:
        assert await running.resource() == {
            "service.name": "checkout",
            "host.name": "docker-host",
            "os.type": "linux",
        }


async def test_docker_names_the_container_when_asked(engine: Engine) -> None:
    await engine.start()
    toggles = {name: {"enabled": True} for name in ("container.name", "container.image.name")}
    docker = engine.options | {"resource_attributes": toggles}
    async with Running(detectors=["docker"], docker=docker) as running:
        found = await running.resource()
        assert (found["container.name"], found["container.image.name"]) == ("web", f"image-of-{socket.gethostname()}")


async def test_docker_that_comes_up_later_is_found_in_the_background(engine: Engine) -> None:
    async with Running(detectors=["docker"], docker=engine.options) as running:
        health = running.processor.context.health
        assert await running.resource() == {"service.name": "checkout"}
        assert health.status is Status.DEGRADED
        await engine.start()
        await until_retried(running, lambda: health.status is Status.OK)
        assert (await running.resource())["host.name"] == "docker-host"


async def test_detector_that_hangs_is_given_up_after_the_timeout(engine: Engine) -> None:
    engine.hangs = True
    await engine.start()
    running = Running(detectors=["docker"], docker=engine.options, timeout="60s", retry={"enabled": False})
    start = asyncio.create_task(running.processor.start())
    await settle()
    await running.clock.advance(60)
    await start
    assert running.processor.context.health.reason == "detector docker: no answer within 60s"
    await running.processor.context.close()


async def test_start_fails_without_metadata_when_that_is_asked_for(engine: Engine) -> None:
    running = Running(detectors=["docker"], docker=engine.options, fail_on_missing_metadata=True)
    with pytest.raises(RuntimeError, match="resourcedetection: detectors failed: docker"):
        await running.processor.start()


@pytest.mark.parametrize(
    ("config", "message"),
    [
        (
            {"detectors": ["gcp"]},
            "'gcp' is a detector of otelcol that is not included here; valid: env",
        ),
        ({"detectors": ["sytem"]}, "detector 'sytem' is unknown; valid: env, system, docker"),
        ({"detectors": []}, "must name at least one detector"),
        ({"system": {"hostname_sources": ["dsn"]}}, "Input should be 'dns', 'os', 'cname' or 'lookup'"),
        (
            {"system": {"resource_attributes": {"host.ids": {"enabled": True}}}},
            "unknown attribute 'host.ids'; valid: host.arch",
        ),
    ],
)
def test_refuses_what_cannot_be_detected(config: dict[str, Any], message: str) -> None:
    with pytest.raises(ValidationError) as refused:
        ResourceDetectionConfig.model_validate(config)
    assert message in str(refused.value)


def test_alias_of_otelcol_is_kept() -> None:
    assert ResourceDetection.aliases == ("resource_detection",)
    assert ResourceDetectionConfig().override
