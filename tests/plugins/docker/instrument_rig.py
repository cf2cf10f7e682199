"""What the tests of instrumentation share: an engine, an agent or a whole server that takes OTLP, a journal.

A module starts one agent (`running_rig`, `serving_rig`), each of its tests gets a `Rig.fresh` one of its own.
"""

import asyncio
import contextlib
import json
import sys
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from agent_process import AgentProcess, Finished, eventually, execute, free_port
from docker_engine import Docker
from ophion_docker.engine import Engine
from ophion_docker.engine_errors import NotFound
from ophion_docker.instrument.agent import AgentSocket
from ophion_docker.instrument.journal import Hook, Journal
from ophion_docker.instrument.service import Instrumentation, Say
from ophion_docker.instrument.survey import Options
from ophion_docker.instrument.verify import Patience
from server_process import ONLY_OTLP, UNLIMITED, ServerProcess
from tests.plugins.docker.instrument_images import PYTHON, python_image

module_loop = pytest.mark.asyncio(loop_scope="module")

QUICK = Patience(telemetry=60.0, settle=0.4)
AT_ONCE = {"OTEL_BSP_SCHEDULE_DELAY": "100", "OTEL_BLRP_SCHEDULE_DELAY": "100"}
"""Settings of an application that make an SDK send at once, instead of every five seconds."""

IDLE = "import time\nwhile True: time.sleep(1)"
_CLI = Path(__file__).with_name("instrument_cli.py")


def agent_config(output: Path, port: int) -> dict[str, Any]:
    """Return the configuration of an agent that writes what it takes to a file of OTLP-JSON lines."""
    pipeline = {"receivers": ["otlp"], "exporters": ["file"]}
    return {
        "receivers": {"otlp": {"protocols": {"http": {"endpoint": f"0.0.0.0:{port}"}}}},
        "exporters": {"file": {"path": str(output)}},
        "service": {"pipelines": dict.fromkeys(("traces", "metrics", "logs"), pipeline)},
    }


@dataclass(frozen=True)
class Rig:
    """A Docker Engine, an agent and a journal; `cli` runs the real command on them."""

    docker: Docker
    engine: Engine
    agent: AgentProcess
    output: Path
    state: Path
    bundles: Path
    skipped: int = 0

    @asynccontextmanager
    async def fresh(self, state: Path) -> AsyncIterator["Rig"]:
        """Give this rig with a journal of its own and nothing received; its containers are removed on leaving."""
        if not self.agent.is_running:
            await self.agent.start()
        size = self.output.stat().st_size if self.output.exists() else 0
        try:
            yield replace(self, state=state, skipped=size)
        finally:
            await remove_containers(self.engine)

    def instrumentation(
        self, hook: Hook | None = None, *, state: str = "", say: Say = lambda _: None
    ) -> Instrumentation:
        """Return the library on this rig; `state` names another journal beside its own."""
        folder = self.state.with_name(state) if state else self.state
        return Instrumentation(self.engine, AgentSocket(self.agent.socket), Journal(folder, hook), say)

    def options(self, **changes: Any) -> Options:
        """Return options with this rig's bundles that do not wait long."""
        return Options(**{"bundles": self.bundles, "patience": QUICK, **changes})

    def words(self, *arguments: str, state: str = "", socket: Path | None = None) -> list[str]:
        """Return the arguments of the command on this rig."""
        folder = self.state.with_name(state) if state else self.state
        places = {"--docker": self.docker.address, "--socket": socket or self.agent.socket, "--state": folder}
        options = [str(word) for pair in places.items() for word in pair]
        return ["instrument", *arguments, *options, "--bundle", str(self.bundles)]

    async def cli(self, *arguments: str, **options: Any) -> Finished:
        """Run `ophion-agent instrument` to its end."""
        words = self.words(*arguments, **options)
        return await execute(sys.executable, _CLI, *words, environ={"INSTRUMENT_SETTLE": "0.4"}, seconds=120.0)

    async def cli_at_once(self, *runs: tuple[Sequence[str], str]) -> list[Finished]:
        """Run it several times at once, each run as (arguments, point of the journal at which it is killed)."""
        listed = json.dumps([{"arguments": list(words), "kill_at": point} for words, point in runs])
        environ = {"INSTRUMENT_RUNS": listed, "INSTRUMENT_SETTLE": "0.4"}
        done = await execute(sys.executable, _CLI, environ=environ, seconds=120.0)
        assert done.returncode == 0, done.stderr
        return [Finished(code, out.encode(), error.encode()) for code, out, error in json.loads(done.stdout)]

    def received(self, kind: str) -> list[tuple[dict[str, Any], dict[str, Any]]]:
        """Return (resource attributes, record) of every `spans`, `logRecords` or `metrics` that the agent took."""
        sections = {"spans": "Spans", "logRecords": "Logs", "metrics": "Metrics"}
        text = self.output.read_bytes()[self.skipped :].decode() if self.output.exists() else ""
        found = []
        for line in text.splitlines():
            for group in json.loads(line).get(f"resource{sections[kind]}", ()):
                resource = plain(group["resource"].get("attributes", ()))
                for scope in group.get(f"scope{sections[kind]}", ()):
                    found += [(resource, record) for record in scope.get(kind, ())]
        return found

    async def wait_for(self, kind: str, condition: Any, seconds: float = 30.0) -> tuple[dict[str, Any], dict[str, Any]]:
        """Return the first received record that meets a condition of (resource, record)."""
        found: tuple[dict[str, Any], dict[str, Any]] = await eventually(
            lambda: next((pair for pair in self.received(kind) if condition(*pair)), None),
            lambda: (
                f"{kind}; received {[(r.get('service.name'), x.get('name')) for r, x in self.received(kind)][-20:]}"
            ),
            seconds,
        )
        return found

    async def address(self, container: str) -> str:
        """Return a running container's address in its first network."""
        inspect = await self.engine.inspect(container)
        return str(next(iter(inspect["NetworkSettings"]["Networks"].values()), {}).get("IPAddress", ""))

    async def get(self, container: str, path: str, port: int = 8000) -> str:
        """Ask the application, waiting until it listens."""
        text: str = await eventually(
            lambda: self.get_once(container, path, port), f"an answer of {container}:{port}{path}"
        )
        return text

    async def get_once(self, container: str, path: str, port: int = 8000) -> str:
        """Ask the application, which need not be there: the answer is empty then."""
        with contextlib.suppress(aiohttp.ClientError, TimeoutError, NotFound, ValueError):
            url = f"http://{await self.address(container)}:{port}{path}"
            async with aiohttp.ClientSession() as session, session.get(url) as response:
                return await response.text()
        return ""

    async def logs(self, container: str) -> str:
        """Return what a container wrote."""
        async with self.engine.logs(container) as response:
            return (await response.read()).decode(errors="replace")

    async def wrote(self, container: str, text: str) -> str:
        """Return what a container wrote once a text is in it."""

        async def written() -> str:
            found = await self.logs(container)
            return found if text in found else ""

        return str(await eventually(written, text))

    async def stored(self, service: str, path: str, body: str) -> tuple[dict[str, Any], dict[str, Any]]:
        """Return the trace of a request as the server's API shows it, and the log record of the request.

        The trace is found by the service and by a span with the request's path, the record by the trace.
        """
        server = self.agent
        assert isinstance(server, ServerProcess)

        async def trace() -> dict[str, Any] | None:
            page = await server.ask("GET", "/api/traces", params={"service": service, "limit": "100"})
            for one in page["traces"]:
                found: dict[str, Any] = await server.ask("GET", f"/api/traces/{one['trace_id']}")
                if any(span["service"] == service and path in str(span["attributes"]) for span in found["spans"]):
                    return found
            await asyncio.sleep(0.2)
            return None

        async def record() -> dict[str, Any] | None:
            page = await server.ask("GET", f"/api/traces/{found['trace_id']}/logs")
            return next((one for one in page["logs"] if one["body"] == body), None)

        found: dict[str, Any] = await eventually(trace, f"a trace of {service} with a request of {path}")
        written: dict[str, Any] = await eventually(record, f"the log record {body!r} of trace {found['trace_id']}")
        services = await server.ask("GET", "/api/services")
        assert service in {one["name"] for one in services["services"]}
        return found, written


def plain(attributes: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Return attributes of OTLP-JSON as a dict of their values."""
    return {item["key"]: _plain_value(item.get("value", {})) for item in attributes}


def _plain_value(value: Mapping[str, Any]) -> Any:
    if "arrayValue" in value:
        return [_plain_value(item) for item in value["arrayValue"].get("values", ())]
    return next(iter(value.values()), None)


async def remove_containers(engine: Engine) -> None:
    """Remove every container of an engine."""
    for container in await engine.containers(every=True):
        await engine.remove(container["Id"], force=True, volumes=True)


@asynccontextmanager
async def running_rig(docker: Docker, folder: Path, bundles: Path) -> AsyncIterator[Rig]:
    """Run an agent beside a daemon."""
    output = folder / "received.jsonl"
    async with (
        docker.client() as engine,
        AgentProcess(folder / "agent", agent_config(output, free_port())) as agent,
    ):
        yield Rig(docker, engine, agent, output, folder / "state", bundles)


@asynccontextmanager
async def serving_rig(docker: Docker, folder: Path, bundles: Path) -> AsyncIterator[Rig]:
    """Run configs/all-in-one.yaml beside a daemon, so that it listens where containers reach it."""
    output = folder / "received.jsonl"
    sets = [
        UNLIMITED,
        ONLY_OTLP,
        "receivers.otlp.protocols.http.endpoint=0.0.0.0:${env:OTLP_HTTP_PORT}",
        f"exporters.file={{path: {output}}}",
        *(f"service.pipelines.{signal}.exporters=[clickhouse, file]" for signal in ("traces", "metrics", "logs")),
    ]
    async with docker.client() as engine, ServerProcess(folder / "server", sets=sets) as server:
        yield Rig(docker, engine, server, output, folder / "state", bundles)


async def idle_python(
    rig: Rig, name: str, script: str = IDLE, *, options: Sequence[str] = (), restart: str = "", **body: Any
) -> str:
    """Start a Python container that stops at once, and return its id; `options` are Python's own."""
    image = await python_image(rig.docker, rig.engine)
    host = {"RestartPolicy": {"Name": restart}} if restart else {}
    host |= body.pop("HostConfig", {})
    command = [str(PYTHON), *options, "-c", script]
    return await rig.docker.run(rig.engine, image, command, name, StopSignal="SIGKILL", HostConfig=host, **body)
