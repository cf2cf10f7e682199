"""Start, drain and stop of a graph, in the order that loses nothing."""

from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack

from ophion_agent.clock import Clock
from ophion_agent.component import Connector, Processor
from ophion_agent.errors import OphionError
from ophion_agent.graph import Graph, Node
from ophion_agent.health import Status

# Share of the shutdown time that only exporters may use, so that a stuck receiver cannot cost the data behind it.
EXPORTER_SHARE = 0.5
# What every step of a stop gets even when the time is over.
LEAST_SECONDS = 0.1


class StartError(OphionError):
    """A component did not start; everything started before it was stopped again."""


class Running:
    """A graph that runs. `start` either starts everything or leaves nothing behind."""

    def __init__(self, graph: Graph, clock: Clock) -> None:
        self.graph = graph
        self._clock = clock
        self._stops = AsyncExitStack()
        self._deadline = 0.0

    async def start(self) -> None:
        """Start every component, receivers last; raise StartError for the first that fails."""
        try:
            for node in self.graph.start_order():
                self._stops.push_async_callback(self._stop_node, node)
                await self._start_node(node)
        except BaseException:
            await self.stop()
            raise

    async def _start_node(self, node: Node) -> None:
        context = node.component.context
        try:
            await node.component.start()
            if node.sender:
                await node.sender.start()
        except Exception as error:
            raise StartError(f"{context.kind} {context.id}: cannot start: {error or type(error).__name__}") from error
        if context.health.status is Status.STARTING:
            context.health.ok()

    async def stop(self) -> None:
        """Drain and stop everything within the shutdown timeout, receivers first; safe twice."""
        self._deadline = self._clock.monotonic() + self.graph.plan.service.shutdown_timeout
        for node in self.graph.nodes.values():
            if isinstance(node.component, Processor):
                node.component.hurry()
        await self._stops.aclose()

    async def _stop_node(self, node: Node) -> None:
        component = node.component
        try:
            if isinstance(component, Processor | Connector):
                await self._step(node, "drain", component.drain)
            if node.sender:
                sender = node.sender
                await self._step(node, "flush", lambda: sender.stop(self._seconds_left(node)), bounded=False)
            await self._step(node, "stop", component.stop)
        finally:
            await component.context.close()

    async def _step(self, node: Node, name: str, step: Callable[[], Awaitable[None]], *, bounded: bool = True) -> None:
        """Run one step of a stop; whatever comes of it, the steps after it run too."""
        seconds = self._seconds_left(node) if bounded else None
        log = node.component.context.log
        try:
            await self._clock.wait_for(step(), seconds)
        except OphionError as error:
            log.error(f"{name}_failed", error=str(error))
        except TimeoutError:
            log.error(f"{name}_deadline_passed", seconds=seconds)
        except Exception:
            log.exception(f"{name}_failed")

    def _seconds_left(self, node: Node) -> float:
        reserved = 0.0 if node.sender else self.graph.plan.service.shutdown_timeout * EXPORTER_SHARE
        return round(max(LEAST_SECONDS, self._deadline - self._clock.monotonic() - reserved), 3)
