"""The agent that this code runs in, as the one that telemetry of a container is to arrive at: no socket between."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from contextlib import aclosing, suppress
from typing import Any, Final

import orjson

from ophion_agent.otlp_json import encode
from ophion_agent.plugin import AgentInfo, PermanentError
from ophion_docker.instrument.agent import Arrivals, otlp_http_endpoints, receivers_of, required_port

LOOK_SECONDS: Final = 0.5


class OwnAgent:
    """Looks on inside the running agent. Only batches that hold the id looked for are decoded."""

    def __init__(self, info: AgentInfo) -> None:
        self._info = info

    async def otlp_port(self) -> int:
        """Return the port on which the agent takes OTLP over HTTP; raises Refused when it takes none."""
        return required_port(self._receivers())

    async def otlp_hosts(self, port: int) -> list[str]:
        """Return the hosts, as configured, on which it does so on a port."""
        return [host for host, found in otlp_http_endpoints(self._receivers()) if found == port]

    def _receivers(self) -> Mapping[str, Any]:
        return receivers_of(self._info.effective_config())

    async def edges(self) -> list[str]:
        """Return where pipelines begin."""
        return [edge for edge in self._info.edges() if edge.endswith("/in")]

    async def follow(self, edge: str, token: str, arrivals: Arrivals) -> None:
        """Note what passes an edge with the id `token`, until cancelled.

        A reload puts other edges in the place of those looked at. So there is always a younger look beside the one that
        is about to end.
        """
        async with asyncio.TaskGroup() as looks:
            while True:
                looks.create_task(self._look(edge, token, arrivals))
                await asyncio.sleep(LOOK_SECONDS)

    async def _look(self, edge: str, token: str, arrivals: Arrivals) -> None:
        wanted = token.encode()
        with suppress(TimeoutError, KeyError):  # KeyError: no such edge since a reload.
            async with asyncio.timeout(2 * LOOK_SECONDS), aclosing(self._info.tap(edge)) as batches:
                async for batch in batches:
                    if wanted in batch.payload:
                        _take(batch.view().message, token, arrivals)


def _take(message: Any, token: str, arrivals: Arrivals) -> None:
    try:
        request = orjson.loads(encode(message))
    except PermanentError:  # Nested too deeply for JSON: not from a loader.
        return
    arrivals.take(request, token)
