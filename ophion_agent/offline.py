"""Parts of a configuration run by themselves: one exporter for `replay`, one pipeline's processors for `test`."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace

from ophion_agent.agent import Agent, Sources
from ophion_agent.batch import Batch
from ophion_agent.clock import Clock
from ophion_agent.component import Config, Exporter
from ophion_agent.config import ComponentPlan, Plan
from ophion_agent.context import Context
from ophion_agent.errors import OphionError
from ophion_agent.graph import build
from ophion_agent.hints import nearest
from ophion_agent.lifecycle import Running
from ophion_agent.self_metrics import SelfMetrics
from ophion_agent.sending import Sender

# A processor that buffers answers only once it passed the batch on, so after this time it is drained.
SETTLE_SECONDS = 0.25


@asynccontextmanager
async def running_plan(plan: Plan, sources: Sources) -> AsyncIterator[Running]:
    """Run what a plan holds, without the agent's own telemetry and control socket."""
    clock = Clock()
    running = Running(build(plan, clock, SelfMetrics(), Agent(sources, clock)), clock)
    await running.start()
    try:
        yield running
    finally:
        await running.stop()


@asynccontextmanager
async def exporter_alone(configs: Sequence[str], exporter_id: str) -> AsyncIterator[tuple[Sender, float]]:
    """Run one exporter of a configuration with all extensions and no pipeline; yield its sender and the time it has."""
    sources = Sources(configs)
    plan, _ = sources.plan()
    if ("exporter", exporter_id) not in plan.components:
        known = [name for kind, name in plan.components if kind == "exporter"]
        raise OphionError(f"no exporter {exporter_id!r} in {', '.join(configs)}; {nearest(exporter_id, known)}")
    wanted = {("exporter", exporter_id), *(key for key in plan.components if key[0] == "extension")}
    components = {key: component for key, component in plan.components.items() if key in wanted}
    async with running_plan(replace(plan, components=components, pipelines=()), sources) as running:
        yield next(running.graph.senders()), plan.service.shutdown_timeout


class Capture(Exporter[Config, Batch]):
    """Keeps what reaches the end of a pipeline under test."""

    type_name = "capture"

    def __init__(self, config: Config, context: Context) -> None:
        super().__init__(config, context)
        self.batches: list[Batch] = []

    async def export(self, batch: Batch) -> None:
        """Keep the batch."""
        self.batches.append(batch)


async def run_processors(sources: Sources, pipeline_id: str, batches: Sequence[Batch]) -> list[Batch]:
    """Send batches through the processors of one pipeline and return what comes out at its end.

    Nothing else of the configuration runs: no receiver, no exporter, no extension.
    """
    plan, _ = sources.plan()
    chosen = next((pipeline for pipeline in plan.pipelines if pipeline.id == pipeline_id), None)
    if chosen is None:
        raise OphionError(f"no pipeline {pipeline_id!r}; {nearest(pipeline_id, [p.id for p in plan.pipelines])}")
    processors = {key: value for key, value in plan.components.items() if key[0] == "processor"}
    capture = ComponentPlan("exporter", "capture", Capture, Config())
    alone = replace(
        plan,
        service=plan.service.model_copy(update={"extensions": []}),
        components={**processors, capture.key: capture},
        pipelines=(replace(chosen, receivers=(), exporters=("capture",)),),
    )
    async with running_plan(alone, sources) as running:
        pipeline = running.graph.pipelines[0]
        calls = [asyncio.ensure_future(pipeline.edges[0].consume(batch)) for batch in batches]
        if calls:
            await asyncio.wait(calls, timeout=SETTLE_SECONDS)
        captured = running.graph.nodes["exporter", "capture"].component
    await asyncio.gather(*calls)
    assert isinstance(captured, Capture)
    return captured.batches
