"""What plugin authors test with: a sink, batch builders, a still clock, a context and the contract suite.

`check_component` runs the checks that every bundled component passes.
"""

import asyncio
import heapq
import threading
from collections.abc import Awaitable, Callable, Mapping, Sequence
from itertools import count
from typing import Any, TypeVar

from ophion_agent.batch import Batch, Logs, Metrics, Traces
from ophion_agent.clock import Clock
from ophion_agent.component import Component, Config, Connector, Exporter, Processor, Receiver
from ophion_agent.context import Context
from ophion_agent.self_metrics import SelfMetrics

T = TypeVar("T")
C = TypeVar("C", bound=Component[Any])

EPOCH_NS = 1_700_000_000_000_000_000


class Sink:
    """A consumer that keeps what it is given; `error`, when set, is raised instead."""

    def __init__(self) -> None:
        self.batches: list[Any] = []
        self.error: Exception | None = None
        self._arrived = asyncio.Condition()

    async def consume(self, batch: Any, /) -> None:
        """Keep the batch, or raise `error`."""
        if self.error is not None:
            raise self.error
        self.batches.append(batch)
        async with self._arrived:
            self._arrived.notify_all()

    @property
    def items(self) -> int:
        """Number of spans, data points and log records kept."""
        return sum(len(batch) for batch in self.batches)

    async def wait_for_items(self, items: int, seconds: float = 10) -> None:
        """Wait until at least `items` have arrived; TimeoutError after `seconds`."""
        async with asyncio.timeout(seconds), self._arrived:
            await self._arrived.wait_for(lambda: self.items >= items)


class ManualClock(Clock):
    """Time that moves only by `advance`."""

    def __init__(self, now_ns: int = EPOCH_NS) -> None:
        self._now_ns = now_ns
        self._monotonic = 0.0
        self._sequence = count()
        self._sleepers: list[tuple[float, int, asyncio.Future[None]]] = []

    def now_ns(self) -> int:
        """Return the wall clock set for the test."""
        return self._now_ns

    def monotonic(self) -> float:
        """Return the seconds advanced so far."""
        return self._monotonic

    async def sleep(self, seconds: float) -> None:
        """Wait until the test has advanced the clock far enough."""
        if seconds <= 0:
            await asyncio.sleep(0)
            return
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        heapq.heappush(self._sleepers, (self._monotonic + seconds, next(self._sequence), future))
        await future

    async def wait_for(self, awaitable: Awaitable[T], seconds: float | None) -> T:
        """Return the result of `awaitable`, or raise TimeoutError once the clock was advanced by `seconds`."""
        task = asyncio.ensure_future(awaitable)
        if seconds is None:
            return await task
        limit = asyncio.ensure_future(self.sleep(seconds))
        try:
            await asyncio.wait({task, limit}, return_when=asyncio.FIRST_COMPLETED)
            if not task.done():
                task.cancel()
                await asyncio.wait({task})
                raise TimeoutError
            return task.result()
        finally:
            task.cancel()
            limit.cancel()

    async def advance(self, seconds: float) -> None:
        """Move time on, waking sleepers in order and letting them run in between."""
        end = self._monotonic + seconds
        await settle()
        while self._sleepers and self._sleepers[0][0] <= end:
            due, _, future = heapq.heappop(self._sleepers)
            self._move_to(due)
            if not future.done():
                future.set_result(None)
            await settle()
        self._move_to(end)
        await settle()

    def _move_to(self, monotonic: float) -> None:
        self._now_ns += round((monotonic - self._monotonic) * 1e9)
        self._monotonic = monotonic


async def settle(turns: int = 20) -> None:
    """Give every ready task some turns of the event loop."""
    for _ in range(turns):
        await asyncio.sleep(0)


def make_context(
    kind: str = "processor",
    component_id: str = "under_test",
    *,
    clock: Clock | None = None,
    metrics: SelfMetrics | None = None,
    services: Mapping[str, Any] | None = None,
    provided: Mapping[str, str] | None = None,
    gathered: Mapping[str, Sequence[str]] | None = None,
    agent: Any = None,
) -> Context:
    """Return a context as the framework would make it; `services` maps extension ids to instances."""
    return Context(
        kind,
        component_id,
        clock=clock or ManualClock(),
        metrics=metrics or SelfMetrics(),
        services=services,
        provided=provided,
        gathered=gathered,
        agent=agent,
    )


def make_component(
    component_class: type[C],
    config: Mapping[str, Any] | Config | None = None,
    *,
    sink: Any = None,
    clock: Clock | None = None,
    metrics: SelfMetrics | None = None,
    services: Mapping[str, Any] | None = None,
    provided: Mapping[str, str] | None = None,
    gathered: Mapping[str, Sequence[str]] | None = None,
    agent: Any = None,
    component_id: str | None = None,
) -> C:
    """Return an instance with a validated config; what it emits goes to `sink`."""
    validated = config if isinstance(config, Config) else component_class.config_type.model_validate(config or {})
    context = make_context(
        component_class.kind,
        component_id or component_class.type_name,
        clock=clock,
        metrics=metrics,
        services=services,
        provided=provided,
        gathered=gathered,
        agent=agent,
    )
    component = component_class(validated, context)
    target = sink if sink is not None else Sink()
    if isinstance(component, Receiver | Connector):
        component.connect(dict.fromkeys(component.handles or (Traces, Metrics, Logs), target))
    if isinstance(component, Processor):
        component.next = target
    return component


def make_traces(spans: int = 1, service: str = "checkout", **attributes: str) -> Traces:
    """Return a batch of spans of one service, each with `attributes`."""
    batch = Traces.from_message(Traces.request_type())
    group = batch.edit().message.resource_spans.add()
    _put(group.resource, {"service.name": service})
    scope = group.scope_spans.add()
    scope.scope.name = "ophion.testing"
    for number in range(spans):
        span = scope.spans.add(name=f"operation-{number}", kind=2, trace_id=number.to_bytes(16, "big"))
        span.span_id = (number + 1).to_bytes(8, "big")
        span.start_time_unix_nano, span.end_time_unix_nano = EPOCH_NS, EPOCH_NS + 1_000_000 * (number + 1)
        _put(span, attributes)
    return Traces.from_wire(batch.payload)


def make_metrics(points: int = 1, service: str = "checkout", name: str = "requests", **attributes: str) -> Metrics:
    """Return a batch of one gauge with `points` data points, each with `attributes`."""
    batch = Metrics.from_message(Metrics.request_type())
    group = batch.edit().message.resource_metrics.add()
    _put(group.resource, {"service.name": service})
    metric = group.scope_metrics.add().metrics.add(name=name, unit="1")
    for number in range(points):
        point = metric.gauge.data_points.add(time_unix_nano=EPOCH_NS + number, as_int=number)
        _put(point, attributes)
    return Metrics.from_wire(batch.payload)


def make_logs(records: int = 1, service: str = "checkout", severity: int = 9, **attributes: str) -> Logs:
    """Return a batch of log records of one severity, each with `attributes`."""
    batch = Logs.from_message(Logs.request_type())
    group = batch.edit().message.resource_logs.add()
    _put(group.resource, {"service.name": service})
    scope = group.scope_logs.add()
    for number in range(records):
        record = scope.log_records.add(time_unix_nano=EPOCH_NS + number, severity_number=severity)
        record.body.string_value = f"message {number}"
        _put(record, attributes)
    return Logs.from_wire(batch.payload)


def make_batch(signal: type[Batch], items: int = 1) -> Batch:
    """Return a small batch of any signal."""
    makers: dict[type[Batch], Callable[[int], Batch]] = {Traces: make_traces, Metrics: make_metrics, Logs: make_logs}
    return makers[signal](items)


def _put(owner: Any, attributes: Mapping[str, str]) -> None:
    for key, value in attributes.items():
        owner.attributes.add(key=key).value.string_value = value


async def check_component(
    component_class: type[Component[Any]],
    config: Mapping[str, Any] | None = None,
    *,
    services: Mapping[str, Any] | None = None,
    provided: Mapping[str, str] | None = None,
    gathered: Mapping[str, Sequence[str]] | None = None,
    agent: Any = None,
    ignore_threads: Sequence[str] = (),
) -> None:
    """Run the contract every component keeps; AssertionError says which part is broken.

    Config survives a round trip; every field is described; construction starts nothing; stop works unstarted and
    twice; a started component stops without leaving tasks or threads; nothing is emitted after the stop.
    """
    check_config(component_class, config or {})
    sink = Sink()

    def build() -> Component[Any]:
        return make_component(
            component_class,
            config,
            sink=sink,
            clock=Clock(),
            services=services,
            provided=provided,
            gathered=gathered,
            agent=agent,
        )

    tasks, threads = asyncio.all_tasks(), set(threading.enumerate())
    component = build()
    assert asyncio.all_tasks() == tasks, f"{component_class.type_name}: __init__ must not start tasks"
    await component.stop()
    await component.stop()
    await component.context.close()

    component = build()
    await component.start()
    if isinstance(component, Processor | Exporter):
        await _feed(component)
    if isinstance(component, Processor | Connector):
        await component.drain()
    await component.stop()
    await component.stop()
    await component.context.close()
    emitted = len(sink.batches)
    await settle()
    assert len(sink.batches) == emitted, f"{component_class.type_name}: emitted after it was stopped"
    leaked = asyncio.all_tasks() - tasks
    assert not leaked, f"{component_class.type_name}: leaves tasks behind: {leaked}"
    left = [thread for thread in threading.enumerate() if thread not in threads and not thread.daemon]
    left = [thread for thread in left if not thread.name.startswith(("asyncio_", *ignore_threads))]
    assert not left, f"{component_class.type_name}: leaves threads behind: {left}"


def check_config(component_class: type[Component[Any]], config: Mapping[str, Any]) -> None:
    """Check that the config survives a round trip through its YAML form and that every field is described."""
    model = component_class.config_type
    validated = model.model_validate(config)
    again = model.model_validate(validated.model_dump(mode="python", by_alias=True, exclude_unset=True))
    assert again == validated, f"{component_class.type_name}: config changes in a round trip"
    undescribed = [name for name, field in model.model_fields.items() if not field.description]
    assert not undescribed, f"{component_class.type_name}: config fields without description: {undescribed}"
    assert component_class.__doc__, f"{component_class.type_name}: the class needs a docstring"


async def _feed(component: Processor[Any, Any] | Exporter[Any, Any]) -> None:
    for signal in component.handles:
        if isinstance(component, Processor):
            await component.consume(make_batch(signal))
