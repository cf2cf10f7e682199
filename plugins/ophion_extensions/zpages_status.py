"""Everything the status page shows, gathered from a running agent; the same for HTML and JSON."""

import os
import platform
import time
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from typing import Any

from ophion_agent.plugin import SIGNALS, AgentInfo, ComponentInfo, Context, PipelineInfo, QueueInfo, Status
from ophion_extensions.times import rfc3339
from ophion_extensions.zpages_rates import Rates

_ITEMS = {"traces": "spans", "metrics": "points", "logs": "records"}
_SEVERITY = (Status.OK, Status.STOPPED, Status.STARTING, Status.DEGRADED, Status.FAILED)
_WINDOW_SECONDS = 10.0


@dataclass(frozen=True)
class PipelineFlow:
    """Items that passed one place: now, and since the start."""

    per_second: float
    total: int
    failed: int = 0


@dataclass(frozen=True)
class PipelineStage:
    """One component as drawn in a pipeline; `flow` is None where nothing is counted."""

    kind: str
    id: str
    status: str
    reason: str
    flow: PipelineFlow | None = None


@dataclass(frozen=True)
class PipelineStatus:
    """One pipeline; `arrows[i]` leads to the i-th processor, the last one to the exporters."""

    id: str
    signal: str
    items: str
    receivers: tuple[PipelineStage, ...]
    processors: tuple[PipelineStage, ...]
    exporters: tuple[PipelineStage, ...]
    arrows: tuple[PipelineFlow, ...]


@dataclass(frozen=True)
class ComponentStatus:
    """One line of the table of components."""

    kind: str
    id: str
    status: str
    reason: str
    since: str
    for_seconds: float


@dataclass(frozen=True)
class AgentProcess:
    """The agent's process; `cpu` is the share of one core, `memory_bytes` the resident set."""

    host: str
    pid: int
    cpu: float
    memory_bytes: int


@dataclass(frozen=True)
class AgentStatus:
    """The state of the agent at one moment."""

    version: str
    started: str
    now: str
    uptime_seconds: float
    ready: bool
    reasons: tuple[str, ...]
    process: AgentProcess
    received_per_second: float
    sent_per_second: float
    pipelines: tuple[PipelineStatus, ...]
    queues: tuple[QueueInfo, ...]
    components: tuple[ComponentStatus, ...]

    def as_json(self) -> dict[str, Any]:
        """Return the state as values that JSON has."""
        return asdict(self)


class Observer:
    """Watches the agent's counters and takes snapshots."""

    def __init__(self, context: Context) -> None:
        self._context = context
        self._rates = Rates(_WINDOW_SECONDS)

    def observe(self) -> None:
        """Read the counters once; to be called every second or so."""
        self._rates.observe(self._context.clock.monotonic(), dict(self._totals()))

    def _totals(self) -> Iterable[tuple[Any, float]]:
        for pipeline in self._context.agent.pipelines():
            for edge in pipeline.edges:
                yield ("edge", edge.name), edge.items
            for receiver in pipeline.receivers:
                yield ("accepted", receiver, pipeline.signal), self._received(receiver, pipeline.signal)
            for exporter in pipeline.exporters:
                yield ("sent", exporter, pipeline.signal), self._exported("sent", exporter, pipeline.signal)
        yield "cpu", time.process_time()

    def _received(self, receiver: str, signal: str) -> int:
        name = f"otelcol_receiver_accepted_{SIGNALS[signal].item_name}"
        return int(self._context.metrics.total(name, receiver=receiver))

    def _exported(self, outcome: str, exporter: str, signal: str) -> int:
        name = f"otelcol_exporter_{outcome}_{SIGNALS[signal].item_name}"
        return int(self._context.metrics.total(name, exporter=exporter))

    def snapshot(self) -> AgentStatus:
        """Return the present state, with rates over the last seconds."""
        agent, now_ns = self._context.agent, self._context.clock.now_ns()
        readiness = agent.readiness()
        components = agent.components()
        drawings = tuple(self._draw(pipeline, components) for pipeline in agent.pipelines())
        return AgentStatus(
            version=agent.version,
            started=rfc3339(agent.started_ns),
            now=rfc3339(now_ns),
            uptime_seconds=(now_ns - agent.started_ns) / 1e9,
            ready=readiness.ready,
            reasons=readiness.reasons,
            process=self._process(),
            received_per_second=self._sum("accepted", agent),
            sent_per_second=self._sum("sent", agent),
            pipelines=drawings,
            queues=tuple(agent.queues()),
            components=tuple(_component(component, now_ns) for component in components),
        )

    def _process(self) -> AgentProcess:
        samples = self._context.metrics.samples()
        memory = next((int(sample.value) for sample in samples if sample.name == "otelcol_process_memory_rss"), 0)
        return AgentProcess(platform.node(), os.getpid(), self._rates.per_second("cpu"), memory)

    def _sum(self, what: str, agent: AgentInfo) -> float:
        keys = {
            (what, component, pipeline.signal)
            for pipeline in agent.pipelines()
            for component in (pipeline.receivers if what == "accepted" else pipeline.exporters)
        }
        return sum(self._rates.per_second(key) for key in keys)

    def _draw(self, pipeline: PipelineInfo, components: Iterable[ComponentInfo]) -> PipelineStatus:
        signal = pipeline.signal
        states = _states(components)
        arrows = tuple(
            PipelineFlow(self._rates.per_second(("edge", edge.name)), edge.items, edge.failed)
            for edge in pipeline.edges
        )
        return PipelineStatus(
            id=pipeline.id,
            signal=signal,
            items=_ITEMS[signal],
            receivers=tuple(
                _box("receiver", name, states, self._receiving(name, signal)) for name in pipeline.receivers
            ),
            processors=tuple(_box("processor", name, states) for name in pipeline.processors),
            exporters=tuple(_box("exporter", name, states, self._sending(name, signal)) for name in pipeline.exporters),
            arrows=arrows,
        )

    def _receiving(self, name: str, signal: str) -> PipelineFlow:
        return PipelineFlow(self._rates.per_second(("accepted", name, signal)), self._received(name, signal))

    def _sending(self, name: str, signal: str) -> PipelineFlow:
        failed = self._exported("send_failed", name, signal) + self._exported("enqueue_failed", name, signal)
        return PipelineFlow(
            self._rates.per_second(("sent", name, signal)), self._exported("sent", name, signal), failed
        )


_States = dict[tuple[str, str], ComponentInfo]


def _states(components: Iterable[ComponentInfo]) -> _States:
    """Return the worst state per kind and id: a processor runs once for each of its pipelines."""
    states: _States = {}
    for component in components:
        key = (component.kind, component.id)
        if key not in states or _rank(component) > _rank(states[key]):
            states[key] = component
    return states


def _rank(component: ComponentInfo) -> int:
    return _SEVERITY.index(Status(component.status))


def _box(kind: str, name: str, states: _States, flow: PipelineFlow | None = None) -> PipelineStage:
    if (kind, name) not in states and ("connector", name) in states:
        kind, flow = "connector", None
    state = states.get((kind, name))
    return PipelineStage(kind, name, state.status if state else "", state.reason if state else "", flow)


def _component(component: ComponentInfo, now_ns: int) -> ComponentStatus:
    since, age = rfc3339(component.since_ns), (now_ns - component.since_ns) / 1e9
    return ComponentStatus(component.kind, component.id, component.status, component.reason, since, age)
