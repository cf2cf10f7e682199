"""What the running agent says on its control socket: where it takes OTLP, and what arrives with a container's id."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Protocol, Self
from urllib.parse import quote

import orjson
import yaml

from ophion_agent.control_socket import find_socket as default_socket
from ophion_docker.instrument.errors import InstrumentError, Refused
from ophion_docker.instrument.inject import ID_ATTRIBUTE

READY_SPAN: Final = "ophion.instrument.ready"
ERROR_ATTRIBUTE: Final = "ophion.instrument.error"
DEFAULT_PORT: Final = 4318
_CALL_SECONDS: Final = 10
_LONGEST_LINE: Final = 64 << 20


@dataclass(slots=True)
class Arrivals:
    """What has arrived from one instrumentation. `error` is what the loader says of its own failure."""

    changed: asyncio.Event = field(default_factory=asyncio.Event)
    ready: bool = False
    anything: bool = False
    error: str = ""
    first_span: str = ""

    def take(self, request: Mapping[str, Any], token: str) -> None:
        """Look through one OTLP/JSON request."""
        for kind in ("resourceSpans", "resourceMetrics", "resourceLogs"):
            for group in request.get(kind, ()):
                if _value(group.get("resource", {}), ID_ATTRIBUTE) == token:
                    self._take_group(group)
                    self.changed.set()

    def _take_group(self, group: Mapping[str, Any]) -> None:
        spans = list(_spans(group))
        self.error = self.error or next((text for span in spans if (text := _value(span, ERROR_ATTRIBUTE))), "")
        self.ready = self.ready or (not self.error and any(span.get("name") == READY_SPAN for span in spans))
        self.anything = self.anything or not self.error
        others = [str(span.get("name", "")) for span in spans if span.get("name") != READY_SPAN]
        self.first_span = self.first_span or next(iter(others), "")


def _spans(group: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    for scope in group.get("scopeSpans", ()):
        yield from scope.get("spans", ())


def _value(owner: Mapping[str, Any], key: str) -> str:
    values = [item.get("value", {}) for item in owner.get("attributes", ()) if item.get("key") == key]
    return str(values[0].get("stringValue", "")) if values else ""


class Agent(Protocol):
    """The agent that telemetry is to arrive at: another process by its control socket, or the one that this runs in."""

    async def otlp_port(self) -> int:
        """Return the port on which the agent takes OTLP over HTTP; raises Refused when it takes none."""

    async def otlp_hosts(self, port: int) -> list[str]:
        """Return the hosts, as configured, on which it does so on a port."""

    async def edges(self) -> list[str]:
        """Return where pipelines begin."""

    async def follow(self, edge: str, token: str, arrivals: Arrivals) -> None:
        """Note what passes an edge with the id `token`, until cancelled."""


class AgentSocket:
    """The control socket of one agent; raises Refused where no agent answers."""

    def __init__(self, path: Path | None = None) -> None:
        self.path = path or default_socket()

    async def otlp_port(self) -> int:
        """Return the port on which the agent takes OTLP over HTTP; raises Refused when it takes none."""
        return required_port(await self._receivers())

    async def otlp_hosts(self, port: int) -> list[str]:
        """Return the hosts, as configured, on which it does so on a port."""
        return [host for host, found in otlp_http_endpoints(await self._receivers()) if found == port]

    async def _receivers(self) -> Mapping[str, Any]:
        async with self._get("/config") as answer, asyncio.timeout(_CALL_SECONDS):
            return receivers_of(await answer.read())

    async def edges(self) -> list[str]:
        """Return where pipelines begin."""
        async with self._get("/edges") as answer, asyncio.timeout(_CALL_SECONDS):
            edges = orjson.loads(await answer.read())["edges"]
        return [edge for edge in edges if edge.endswith("/in")]

    async def follow(self, edge: str, token: str, arrivals: Arrivals) -> None:
        """Watch one edge until cancelled."""
        wanted = token.encode()
        async with self._get(f"/tap?edge={quote(edge)}") as answer:
            rest = b""
            async for chunk in answer.content.iter_any():
                *lines, rest = (rest + chunk).split(b"\n")
                for line in lines:
                    if wanted in line:
                        arrivals.take(orjson.loads(line), token)
                if len(rest) > _LONGEST_LINE:
                    raise InstrumentError(f"the agent at {self.path} sent a line of more than {_LONGEST_LINE} bytes")

    @asynccontextmanager
    async def _get(self, path: str) -> AsyncIterator[Any]:
        import aiohttp

        timeout = aiohttp.ClientTimeout(total=None, sock_connect=5)
        connector = aiohttp.UnixConnector(str(self.path))
        try:
            async with (
                aiohttp.ClientSession(connector=connector, timeout=timeout) as session,
                session.get(f"http://agent{path}", raise_for_status=True) as response,
            ):
                yield response
        except aiohttp.ClientError as error:
            reason = f"no agent answers on the control socket {self.path}: {error}"
            raise Refused(f"{reason}; start ophion-agent, or name its socket with --socket") from error


def receivers_of(config: str | bytes) -> Mapping[str, Any]:
    """Return the receivers of an effective configuration."""
    return (yaml.safe_load(config) or {}).get("receivers") or {}


def otlp_http_endpoints(receivers: Mapping[str, Any]) -> list[tuple[str, int]]:
    """Return host and port of every otlp receiver's HTTP protocol, those that are not for this host alone first."""
    found = []
    for name, options in receivers.items():
        protocols = (options or {}).get("protocols") or {} if name.partition("/")[0] == "otlp" else {}
        if "http" in protocols:
            endpoint = str((protocols["http"] or {}).get("endpoint") or f"localhost:{DEFAULT_PORT}")
            host, _, port = endpoint.rpartition(":")
            found.append((host.strip("[]"), int(port)))
    return sorted(found, key=lambda one: is_loopback(one[0]))


def otlp_http_port(receivers: Mapping[str, Any]) -> int | None:
    """Return the port of the first of `otlp_http_endpoints`."""
    return next((port for _, port in otlp_http_endpoints(receivers)), None)


def required_port(receivers: Mapping[str, Any]) -> int:
    """Return the port for OTLP over HTTP; raises Refused when there is none."""
    port = otlp_http_port(receivers)
    if port is None:
        raise Refused("the agent has no otlp receiver with the http protocol; configure one")
    return port


def is_loopback(host: str) -> bool:
    """Tell whether only this host itself reaches a listener on `host`."""
    return host in ("localhost", "::1") or host.startswith("127.")


class Watch:
    """Watches every pipeline's beginning for one instrumentation, as `async with`."""

    def __init__(self, agent: Agent, token: str) -> None:
        self._agent = agent
        self._token = token
        self.arrivals = Arrivals()
        self._tasks: list[asyncio.Task[None]] = []

    async def __aenter__(self) -> Self:
        for edge in await self._agent.edges():
            self._tasks.append(asyncio.create_task(self._agent.follow(edge, self._token, self.arrivals)))
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    @property
    def failure(self) -> str:
        """Why watching ended by itself, such as an agent that stopped; empty while it goes on."""
        ended = [task for task in self._tasks if task.done() and not task.cancelled()]
        return next((str(task.exception() or "the agent closed its control socket") for task in ended), "")
