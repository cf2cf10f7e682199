import asyncio
import socket
import threading
from pathlib import Path
from typing import Any

import pytest

from ophion_agent.clock import Clock
from ophion_agent.graph import build
from ophion_agent.health import Status
from ophion_agent.lifecycle import Running, StartError
from ophion_agent.plugin import Batch, Context, Exporter, ExporterConfig, Receiver, Traces
from ophion_agent.self_metrics import SelfMetrics
from ophion_agent.testing import ManualClock, make_traces
from parts import RelayConfig, captured_events, plan_of

TEXT = """
receivers: {{relay: {receiver}}}
processors: {{hold: {processor}}}
exporters: {{scripted: {{sending_queue: {{num_consumers: 1}}, timeout: 0s}}}}
service:
  shutdown_timeout: 10s
  pipelines: {{traces: {{receivers: [{receivers}], processors: [hold], exporters: [scripted]}}}}
"""


def running_of(
    *components: Any, receiver: str = "", processor: str = "", receivers: str = "relay", clock: Clock | None = None
) -> Running:
    clock = clock or Clock()
    text = TEXT.format(receiver=receiver, processor=processor, receivers=receivers)
    if receivers != "relay":
        text = text.replace("receivers: {relay:", f"receivers: {{{receivers.partition(', ')[0]}: , relay:")
    return Running(build(plan_of(text, *components), clock, SelfMetrics(), None), clock)  # type: ignore[arg-type]


def component(running: Running, *key: str) -> Any:
    return running.graph.nodes[key].component


async def stop(running: Running, clock: ManualClock) -> float:
    """Stop by moving the clock; return the seconds that it took."""
    begun = clock.monotonic()
    task = asyncio.ensure_future(running.stop())
    while not task.done():
        await clock.advance(0.5)
    await task
    return clock.monotonic() - begun


async def test_everything_is_ok_once_it_runs_and_stopped_afterwards() -> None:
    running = running_of()
    await running.start()
    healths = [node.component.context.health for node in running.graph.nodes.values()]
    assert {health.status for health in healths} == {Status.OK}
    await running.stop()
    assert {health.status for health in healths} == {Status.STOPPED}
    await running.stop()
    assert component(running, "receiver", "relay").calls == ["start", "stop"]


class Listening(Receiver[RelayConfig, Traces]):
    """Holds a port while it runs."""

    type_name = "listening"

    def __init__(self, config: RelayConfig, context: Context) -> None:
        super().__init__(config, context)
        self.port = 0
        self.server: asyncio.Server | None = None

    async def start(self) -> None:
        self.server = await asyncio.start_server(lambda *_: None, "127.0.0.1", 0)
        self.port = self.server.sockets[0].getsockname()[1]

    async def stop(self) -> None:
        if self.server is not None:
            self.server.close()
            await self.server.wait_closed()


async def test_a_component_that_does_not_start_leaves_nothing_of_the_others_behind() -> None:
    tasks, threads = asyncio.all_tasks(), threading.active_count()
    running = running_of(Listening, receiver="{fail: start, error: no such device}", receivers="listening, relay")
    with pytest.raises(StartError, match=r"^receiver relay: cannot start: no such device$"):
        await running.start()
    port = component(running, "receiver", "listening").port
    assert port
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        probe.bind(("127.0.0.1", port))
    assert component(running, "exporter", "scripted").stopped
    assert component(running, "processor", "hold", "traces").calls == ["drain", "stop"]
    assert asyncio.all_tasks() == tasks
    assert threading.active_count() == threads


async def test_what_processors_hold_reaches_the_exporter_before_it_stops() -> None:
    running = running_of()
    await running.start()
    await component(running, "receiver", "relay").emit(make_traces(5))
    exporter = component(running, "exporter", "scripted")
    assert exporter.items == 0
    await running.stop()
    assert exporter.items == 5
    assert exporter.stopped


@pytest.mark.parametrize("fail", ["stop", "hang"])
async def test_a_receiver_that_does_not_stop_costs_neither_the_data_nor_the_others(fail: str) -> None:
    clock = ManualClock()
    running = running_of(receiver=f"{{fail: {fail}}}", clock=clock)
    await running.start()
    await component(running, "receiver", "relay").emit(make_traces(5))
    with captured_events() as events:
        seconds = await stop(running, clock)
    assert component(running, "exporter", "scripted").items == 5
    expected = {"stop": "stop_failed", "hang": "stop_deadline_passed"}[fail]
    assert [(event, facts["component"]) for event, facts in events] == [(expected, "relay")]
    # Half of the time is kept for exporters.
    assert seconds <= 6


@pytest.mark.parametrize("fail", ["drain", "hang"])
async def test_a_processor_that_does_not_drain_is_stopped_all_the_same(fail: str) -> None:
    clock = ManualClock()
    running = running_of(processor=f"{{fail: {fail}}}", clock=clock)
    await running.start()
    with captured_events() as events:
        await stop(running, clock)
    assert component(running, "processor", "hold", "traces").calls == ["drain", "stop"]
    expected = {"drain": "drain_failed", "hang": "drain_deadline_passed"}[fail]
    assert [event for event, _ in events] == [expected]


async def test_a_dead_destination_does_not_hold_the_stop_beyond_the_deadline() -> None:
    clock = ManualClock()
    running = running_of(clock=clock)
    await running.start()
    exporter = component(running, "exporter", "scripted")
    exporter.gate = asyncio.Event()
    await component(running, "receiver", "relay").emit(make_traces(5))
    assert await stop(running, clock) <= 11
    assert exporter.stopped
    assert exporter.context.metrics.total("ophion_exporter_lost_items_at_stop") == 5


class Unclosable(Exporter[ExporterConfig, Batch]):
    """Its storage fails at the end."""

    type_name = "unclosable"

    def __init__(self, config: ExporterConfig, context: Context) -> None:
        super().__init__(config, context)
        self.stopped = False

    async def export(self, batch: Batch) -> None:
        """Take it."""

    async def stop(self) -> None:
        self.stopped = True


async def test_an_exporter_is_stopped_even_when_its_queue_cannot_be_closed() -> None:
    text = "exporters: {unclosable: }\nreceivers: {relay: }\n"
    text += "service: {pipelines: {traces: {receivers: [relay], exporters: [unclosable]}}}"
    running = Running(build(plan_of(text, Unclosable), Clock(), SelfMetrics(), None), Clock())  # type: ignore[arg-type]
    await running.start()
    sender = next(running.graph.senders())

    async def fail() -> int:
        raise OSError("disk gone")

    assert sender._queue is not None
    sender._queue.close = fail  # type: ignore[method-assign]
    with captured_events() as events:
        await running.stop()
    assert component(running, "exporter", "unclosable").stopped
    assert [event for event, _ in events] == ["flush_failed"]


async def test_a_second_start_after_a_stop_finds_the_queue_on_the_disk(tmp_path: Path) -> None:
    from ophion_extensions.file_storage import FileStorage

    text = f"""
receivers: {{relay: }}
exporters: {{scripted: {{sending_queue: {{storage: file_storage}}, timeout: 0s}}}}
extensions: {{file_storage: {{directory: {tmp_path}}}}}
service:
  shutdown_timeout: 100ms
  extensions: [file_storage]
  pipelines: {{traces: {{receivers: [relay], exporters: [scripted]}}}}
"""

    def running() -> Running:
        return Running(build(plan_of(text, FileStorage), Clock(), SelfMetrics(), None), Clock())  # type: ignore[arg-type]

    first = running()
    await first.start()
    component(first, "exporter", "scripted").gate = asyncio.Event()
    await component(first, "receiver", "relay").emit(make_traces(5))
    await first.stop()
    second = running()
    await second.start()
    await component(second, "exporter", "scripted").wait_for(items=5)
    await second.stop()
