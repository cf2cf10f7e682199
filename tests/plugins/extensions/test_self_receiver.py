import asyncio
import logging
import platform
from collections.abc import AsyncIterator
from typing import Any

import pytest

from ophion_agent.info import PipelineInfo
from ophion_agent.log import Log, agent_logger
from ophion_agent.plugin import Logs, Metrics, PermanentError, RetryableError
from ophion_agent.self_metrics import SelfMetrics
from ophion_agent.testing import EPOCH_NS, ManualClock, Sink, make_component
from ophion_extensions.self_logs import components_passed
from ophion_extensions.self_receiver import SelfReceiver


def logs_pipeline(name: str = "logs", **members: Any) -> PipelineInfo:
    known: dict[str, Any] = {"receivers": ("self",), "processors": ("batch",), "exporters": ("otlp",), **members}
    return PipelineInfo(name, "logs", edges=(), **known)


class Running:
    """A started receiver with its sinks and the log of a component."""

    def __init__(self, agent: Any, **config: Any) -> None:
        self.clock, self.metrics, self.logs, self.readings = ManualClock(), SelfMetrics(), Sink(), Sink()
        agent.lines = agent.lines or [logs_pipeline()]
        self.receiver = make_component(
            SelfReceiver, config, clock=self.clock, metrics=self.metrics, agent=agent, component_id="self"
        )
        self.receiver.connect({Logs: self.logs, Metrics: self.readings})

    def log_of(self, kind: str, component: str) -> Log:
        return Log(agent_logger(), {"kind": kind, "component": component})

    def events(self) -> list[str]:
        records = [record for batch in self.logs.batches for record in batch.view().records()]
        return [record.body.string_value for record in records]

    @property
    def dropped(self) -> float:
        return self.metrics.total("ophion_self_dropped_log_records")


@pytest.fixture(autouse=True)
def every_level() -> Any:
    agent_logger().setLevel(logging.DEBUG)
    yield
    agent_logger().setLevel(logging.NOTSET)


@pytest.fixture
async def running(agent: Any) -> AsyncIterator[Running]:
    started = Running(agent)
    await started.receiver.start()
    yield started
    await started.receiver.stop()
    await started.receiver.context.close()


async def test_brings_the_agents_log_into_a_pipeline(running: Running) -> None:
    log = running.log_of("receiver", "otlp")
    log.warning("queue_odd", bytes=10, share=0.5, open=True, path="/x")
    log.debug("detail")
    await running.clock.advance(1)
    (batch,) = running.logs.batches
    (record,) = batch.view().records()
    assert (record.body.string_value, record.event_name) == ("queue_odd", "queue_odd")
    assert (record.severity_number, record.severity_text) == (13, "WARNING")
    values = {one.key: one.value for one in record.attributes}
    assert values["bytes"].int_value == 10
    assert values["share"].double_value == 0.5
    assert values["open"].bool_value is True
    assert values["component"].string_value == "otlp"
    resource = {one.key: one.value.string_value for one in batch.resources()[0].attributes}
    assert resource["service.name"] == "ophion-agent"
    assert resource["service.version"] == "1.2.3"
    assert len(resource["service.instance.id"]) == 36
    assert resource["host.name"] == platform.node()


async def test_carries_exceptions(running: Running) -> None:
    try:
        raise ValueError("odd")
    except ValueError:
        running.log_of("receiver", "otlp").exception("failed")
    await running.clock.advance(1)
    (record,) = running.logs.batches[0].view().records()
    values = {one.key: one.value.string_value for one in record.attributes}
    assert values["exception.type"] == "ValueError"
    assert values["exception.message"] == "odd"
    assert "raise ValueError" in values["exception.stacktrace"]


async def test_leaves_out_what_is_logged_while_its_records_pass(running: Running) -> None:
    class Talking(Sink):
        async def consume(self, batch: Any, /) -> None:
            await super().consume(batch)
            running.log_of("extension", "auth").error("asked")
            await asyncio.create_task(self.later())

        async def later(self) -> None:
            running.log_of("extension", "auth").error("asked_in_a_task")

    running.logs = Talking()
    running.receiver.connect({Logs: running.logs})
    running.log_of("receiver", "otlp").info("first")
    for _ in range(10):
        await running.clock.advance(1)
    assert running.events() == ["first"]


async def test_does_not_feed_on_an_exporter_that_drops_its_records(running: Running) -> None:
    class Dropping(Sink):
        async def consume(self, batch: Any, /) -> None:
            await super().consume(batch)
            asyncio.get_running_loop().call_soon(fail, context=empty)

    from contextvars import Context

    # An exporter's queue is worked on by tasks that are not called by the receiver.
    empty = Context()
    exporter = running.log_of("exporter", "otlp")

    def fail() -> None:
        exporter.info("sending")
        exporter.error("batch_dropped")

    running.logs = Dropping()
    running.receiver.connect({Logs: running.logs})
    running.log_of("receiver", "otlp").info("first")
    for _ in range(59):
        await running.clock.advance(1)
    assert running.events() == ["first", "batch_dropped"]


async def test_forgets_what_its_own_path_logged_before_the_agent_had_started(agent: Any, running: Running) -> None:
    agent.lines = []
    running.log_of("exporter", "otlp").info("sending")
    running.log_of("extension", "zpages").info("listening")
    await running.clock.advance(5)
    assert running.events() == []
    agent.lines = [logs_pipeline()]
    await running.clock.advance(1)
    assert running.events() == ["listening"]


def test_follows_its_records_through_connectors() -> None:
    begins = logs_pipeline("logs/in", exporters=("forward",))
    follows = logs_pipeline("logs/out", receivers=("forward",), processors=("filter",), exporters=("file", "forward"))
    other = logs_pipeline("logs/other", receivers=("otlp",), processors=(), exporters=("debug",))
    passed = components_passed("self", [begins, follows, other])
    assert {("processor", "batch"), ("connector", "forward"), ("processor", "filter"), ("exporter", "file")} <= passed
    assert ("exporter", "debug") not in passed


async def test_drops_and_counts_what_the_queue_cannot_hold(agent: Any) -> None:
    running = Running(agent, logs={"queue_size": 2})
    await running.receiver.start()
    for number in range(5):
        running.log_of("receiver", "otlp").info(f"event_{number}")
    await running.clock.advance(1)
    assert running.events() == ["event_0", "event_1"]
    assert running.dropped == 3
    await running.receiver.stop()


async def test_tries_again_what_was_refused_for_now(running: Running) -> None:
    running.logs.error = RetryableError("full")
    running.log_of("receiver", "otlp").info("first")
    await running.clock.advance(2)
    running.log_of("receiver", "otlp").info("second")
    running.logs.error = None
    await running.clock.advance(10)
    assert running.events() == ["first", "second"]


async def test_drops_and_counts_what_was_refused_for_good(running: Running) -> None:
    running.logs.error = PermanentError("never")
    running.log_of("receiver", "otlp").info("first")
    await running.clock.advance(1)
    running.logs.error = None
    await running.clock.advance(10)
    assert running.events() == []
    assert running.dropped == 1


async def test_passes_on_what_waits_when_stopped_and_takes_no_more(running: Running) -> None:
    running.log_of("receiver", "otlp").info("last")
    await running.receiver.stop()
    assert running.events() == ["last"]
    running.log_of("receiver", "otlp").info("later")
    assert agent_logger().handlers == []


async def test_takes_records_from_other_threads(running: Running) -> None:
    await asyncio.to_thread(running.log_of("receiver", "otlp").info, "from_a_thread")
    await running.clock.advance(1)
    assert running.events() == ["from_a_thread"]


async def test_brings_the_agents_metrics_into_a_pipeline(running: Running) -> None:
    running.metrics.counter("otelcol_exporter_sent_spans", exporter="otlp").add(7)
    running.metrics.counter("otelcol_exporter_sent_spans", exporter="file").add(8)
    running.metrics.gauge("otelcol_exporter_queue_size", lambda: 3, exporter="otlp")
    running.metrics.gauge("otelcol_process_cpu_seconds", lambda: 1.5)
    await running.clock.advance(20)
    first, second = running.readings.batches
    metrics = {metric.name: metric for metric in first.view().records()}
    sent = metrics["otelcol_exporter_sent_spans"]
    assert sent.sum.is_monotonic
    assert sent.sum.aggregation_temporality == 2
    assert sent.unit == "{spans}"
    assert {point.attributes[0].value.string_value: point.as_int for point in sent.sum.data_points} == {
        "otlp": 7,
        "file": 8,
    }
    assert {point.start_time_unix_nano for point in sent.sum.data_points} == {EPOCH_NS}
    assert sent.sum.data_points[0].time_unix_nano == EPOCH_NS + 10_000_000_000
    assert metrics["otelcol_exporter_queue_size"].gauge.data_points[0].as_int == 3
    assert metrics["otelcol_process_cpu_seconds"].sum.data_points[0].as_double == 1.5
    assert len(second) > len(first)  # the receiver's own counters


async def test_goes_on_with_metrics_after_a_refusal(running: Running) -> None:
    running.readings.error = RetryableError("full")
    await running.clock.advance(10)
    running.readings.error = None
    await running.clock.advance(10)
    assert len(running.readings.batches) == 1


async def test_does_nothing_for_signals_that_no_pipeline_takes(agent: Any) -> None:
    running = Running(agent)
    running.receiver.connect({Metrics: running.readings})
    await running.receiver.start()
    assert agent_logger().handlers == []
    await running.receiver.stop()
    await running.receiver.context.close()


async def test_delivers_own_logs_of_a_real_agent_without_an_echo(run_agent: Any, tmp_path: Any) -> None:
    pipeline = {"receivers": ["self"], "exporters": ["debug", "file"]}
    running = await run_agent(
        {
            "receivers": {"self": {"logs": {"flush_interval": "10ms"}}},
            "exporters": {"debug": None, "file": {"path": str(tmp_path / "out.json"), "flush_interval": "10ms"}},
            "service": {"pipelines": {"logs": pipeline}},
        }
    )
    passing = running.tap("logs/in")
    events: list[str] = []
    async with asyncio.timeout(10):
        events += await next_events(passing)
        # The debug exporter logs every batch that it gets: these would come back before the next event.
        for number in range(3):
            Log(agent_logger(), {"component": "test"}).info(f"event_{number}")
            while f"event_{number}" not in events:
                events += await next_events(passing)
    assert "started" in events
    assert "Logs" not in events


async def next_events(passing: AsyncIterator[Any]) -> list[str]:
    batch = await anext(passing)
    return [record.body.string_value for record in batch.view().records()]
