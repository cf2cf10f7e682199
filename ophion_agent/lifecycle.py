"""Start, drain and stop of a graph, in the order that loses nothing."""

from contextlib import AsyncExitStack

from ophion_agent.clock import Clock
from ophion_agent.component import Connector, Processor
from ophion_agent.errors import OphionError
from ophion_agent.graph import Graph, Node
from ophion_agent.health import Status

# Share of the shutdown time that only exporters may use, so that a stuck receiver cannot cost the data behind it.
EXPORTER_SHARE = 0.5


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
        await self._stops.aclose()

    async def _stop_node(self, node: Node) -> None:
        context = node.component.context
        seconds = max(0.1, self._deadline - self._clock.monotonic())
        try:
            if node.sender:
                await node.sender.stop(seconds)
            else:
                seconds = max(0.1, seconds - self.graph.plan.service.shutdown_timeout * EXPORTER_SHARE)
            await self._clock.wait_for(self._drain_and_stop(node), seconds)
        except TimeoutError:
            context.log.error("stop_deadline_passed", seconds=round(seconds, 1))
        except Exception:
            context.log.exception("stop_failed")
        finally:
            await context.close()

    async def _drain_and_stop(self, node: Node) -> None:
        if isinstance(node.component, Processor | Connector):
            try:
                await node.component.drain()
            except OphionError as error:
                node.component.context.log.error("drain_failed", error=str(error))
        await node.component.stop()
