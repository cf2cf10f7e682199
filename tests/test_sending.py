import asyncio
from collections.abc import AsyncIterator, Awaitable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from ophion_agent.batch import Batch, Logs, Traces
from ophion_agent.clock import Clock
from ophion_agent.durable import DurableQueue
from ophion_agent.errors import OphionError, PermanentError, RetryableError
from ophion_agent.health import Status
from ophion_agent.records import record_facts
from ophion_agent.sending import Sender
from ophion_agent.testing import EPOCH_NS, ManualClock, make_context, make_logs, make_traces, settle
from parts import WAIT_SECONDS, Folder, Scripted, captured_events, make_sender

DIRECT = {"enabled": False}
NO_RETRY = {"enabled": False}


@asynccontextmanager
async def running(config: Any = None, *, clock: Clock | None = None, storage: Any = None) -> AsyncIterator[Any]:
    sender, exporter = make_sender(config, clock=clock, storage=storage)
    await sender.start()
    try:
        yield sender, exporter
    finally:
        if exporter.gate is not None:
            exporter.gate.set()
        await finish(sender.stop(0.2), clock)
        await exporter.context.close()


async def finish(stop: Awaitable[None], clock: Clock | None) -> None:
    """Run a stop to its end, moving a manual clock as it needs."""
    task = asyncio.ensure_future(stop)
    while isinstance(clock, ManualClock) and not task.done():
        await clock.advance(1)
    await task


def with_metadata(batch: Traces, **metadata: str) -> Traces:
    return Traces.trusted(batch.payload, len(batch), {key: (value,) for key, value in metadata.items()})


def total(sender: Sender, name: str) -> float:
    return sender.context.metrics.total(name)


# ---- delivery and counting


async def test_delivers_and_counts_what_was_sent() -> None:
    async with running() as (sender, exporter):
        await sender.consume(make_traces(3))
        await exporter.wait_for(items=3)
        await sender.flush()
        assert total(sender, "otelcol_exporter_sent_spans") == 3
        assert sender.queue_info().size == 0


async def test_sends_at_most_num_consumers_batches_at_once() -> None:
    async with running({"sending_queue": {"num_consumers": 3}}) as (sender, exporter):
        exporter.gate = asyncio.Event()
        for _ in range(6):
            await sender.consume(make_traces(1))
        await exporter.wait_for(attempts=3)
        await settle()
        assert (exporter.running, len(exporter.attempts)) == (3, 3)
        assert sender.queue_info().in_flight == 3
        exporter.gate.set()
        await exporter.wait_for(items=6)
        assert exporter.most_running == 3


async def test_one_consumer_keeps_the_order() -> None:
    async with running({"sending_queue": {"num_consumers": 1}}) as (sender, exporter):
        for number in range(5):
            await sender.consume(make_traces(1, service=str(number)))
        await exporter.wait_for(items=5)
        services = [batch.resources()[0].attributes[0].value.string_value for batch in exporter.delivered]
        assert services == ["0", "1", "2", "3", "4"]


async def test_without_a_queue_the_sender_waits_for_the_delivery() -> None:
    clock = ManualClock()
    async with running({"sending_queue": DIRECT}, clock=clock) as (sender, exporter):
        exporter.gate = asyncio.Event()
        call = asyncio.ensure_future(sender.consume(make_traces(2)))
        await settle()
        assert not call.done()
        exporter.gate.set()
        await call
        assert exporter.items == 2
        assert sender.queue_info() is None


# ---- a full queue


@pytest.mark.parametrize(
    ("queue", "fitting"),
    [
        ({"sizer": "requests", "queue_size": 2}, 2),
        ({"sizer": "items", "queue_size": 10}, 3),
        ({"sizer": "bytes", "queue_size": 1000}, 4),
        ({"sizer": "requests", "max_bytes": 750}, 3),
    ],
    ids=["requests", "items", "bytes", "max_bytes"],
)
async def test_refuses_a_batch_when_the_queue_is_full_by_its_sizer(queue: dict[str, Any], fitting: int) -> None:
    assert make_traces(3).nbytes == 243
    async with running({"sending_queue": queue}) as (sender, exporter):
        exporter.gate = asyncio.Event()
        for _ in range(fitting):
            await sender.consume(make_traces(3))
        with pytest.raises(RetryableError, match="exporter scripted: the sending queue is full") as refusal:
            await sender.consume(make_traces(3))
        assert refusal.value.admission
        assert total(sender, "otelcol_exporter_enqueue_failed_spans") == 3
        exporter.gate.set()
        await exporter.wait_for(items=3 * fitting)


async def test_refuses_for_good_a_batch_that_can_never_fit() -> None:
    async with running({"sending_queue": {"sizer": "items", "queue_size": 2}}) as (sender, _):
        with pytest.raises(PermanentError, match="must fit into the sending queue, 2 items, got 3"):
            await sender.consume(make_traces(3))
    async with running({"sending_queue": {"max_bytes": 10}}) as (sender, _):
        with pytest.raises(PermanentError, match="must fit into the sending queue, 10 bytes"):
            await sender.consume(make_traces(3))
        assert sender.context.health.status is Status.STARTING


async def test_says_that_the_queue_is_full_once_and_not_for_every_batch() -> None:
    clock = ManualClock()
    with captured_events() as events:
        async with running({"sending_queue": {"queue_size": 1}}, clock=clock) as (sender, exporter):
            exporter.gate = asyncio.Event()
            await sender.consume(make_traces(1))
            for _ in range(5):
                with pytest.raises(RetryableError):
                    await sender.consume(make_traces(1))
            assert sender.context.health.reason == "the sending queue is full"
            exporter.gate.set()
            await sender.flush()
            assert sender.context.health.status is Status.OK
            await clock.advance(61)
            exporter.gate = asyncio.Event()
            await sender.consume(make_traces(1))
            with pytest.raises(RetryableError):
                await sender.consume(make_traces(1))
    assert [event for event, _ in events].count("queue_refuses") == 2


async def test_block_on_overflow_lets_senders_wait_until_there_is_room() -> None:
    config = {"sending_queue": {"queue_size": 1, "block_on_overflow": True, "num_consumers": 1}}
    async with running(config) as (sender, exporter):
        exporter.gate = asyncio.Event()
        calls = [asyncio.ensure_future(sender.consume(make_traces(1))) for _ in range(20)]
        await settle()
        assert [call.done() for call in calls] == [True] + [False] * 19
        exporter.gate.set()
        await asyncio.wait_for(asyncio.gather(*calls), WAIT_SECONDS)
        await exporter.wait_for(items=20)


async def test_a_cancelled_sender_that_waits_for_room_leaves_no_trace() -> None:
    config = {"sending_queue": {"queue_size": 1, "block_on_overflow": True}}
    async with running(config) as (sender, exporter):
        exporter.gate = asyncio.Event()
        await sender.consume(make_traces(1))
        waiting = asyncio.ensure_future(sender.consume(make_traces(5)))
        await settle()
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting
        exporter.gate.set()
        await sender.flush()
        await sender.consume(make_traces(2))
        await exporter.wait_for(items=3)
        await sender.flush()
        assert exporter.items == 3


@pytest.mark.parametrize("durable", [False, True], ids=["memory", "disk"])
async def test_a_stop_refuses_the_senders_that_wait_for_room(durable: bool, tmp_path: Path) -> None:
    queue: dict[str, Any] = {"queue_size": 1, "block_on_overflow": True}
    config = {"sending_queue": queue | ({"storage": "disk"} if durable else {}), "timeout": "0s"}
    clock = ManualClock()
    sender, exporter = make_sender(config, clock=clock, storage=Folder(tmp_path))
    await sender.start()
    exporter.gate = asyncio.Event()
    await sender.consume(make_traces(1))
    await exporter.wait_for(attempts=1)
    waiting = asyncio.ensure_future(sender.consume(make_traces(5)))
    await settle()
    stopping = asyncio.ensure_future(finish(sender.stop(5), clock))
    with pytest.raises(RetryableError, match="the agent is stopping; send again later"):
        await asyncio.wait_for(waiting, WAIT_SECONDS)
    await stopping
    with pytest.raises(RetryableError, match="the agent is stopping"):
        await sender.consume(make_traces(1))


# ---- waiting for the result


async def test_wait_for_result_answers_after_the_delivery() -> None:
    async with running({"sending_queue": {"wait_for_result": True}}) as (sender, exporter):
        exporter.gate = asyncio.Event()
        call = asyncio.ensure_future(sender.consume(make_traces(1)))
        await exporter.wait_for(attempts=1)
        assert not call.done()
        exporter.gate.set()
        await call
        assert exporter.items == 1


async def test_wait_for_result_tells_the_sender_why_it_failed() -> None:
    async with running({"sending_queue": {"wait_for_result": True}}) as (sender, exporter):
        exporter.failure = PermanentError("no such tenant")
        with pytest.raises(PermanentError, match="no such tenant"):
            await sender.consume(make_traces(1))
        assert total(sender, "ophion_exporter_dropped_spans") == 0
        assert sender.queue_info().size == 0


async def test_wait_for_result_ends_with_a_refusal_when_the_agent_stops() -> None:
    clock = ManualClock()
    sender, exporter = make_sender({"sending_queue": {"wait_for_result": True, "num_consumers": 1}}, clock=clock)
    await sender.start()
    exporter.gate = asyncio.Event()
    calls = [asyncio.ensure_future(sender.consume(make_traces(1))) for _ in range(3)]
    await exporter.wait_for(attempts=1)
    await finish(sender.stop(1), clock)
    outcomes = await asyncio.wait_for(asyncio.gather(*calls, return_exceptions=True), WAIT_SECONDS)
    assert [type(outcome) for outcome in outcomes] == [RetryableError] * 3


async def test_a_sender_that_no_longer_waits_does_not_disturb_the_delivery() -> None:
    async with running({"sending_queue": {"wait_for_result": True}}) as (sender, exporter):
        exporter.gate = asyncio.Event()
        call = asyncio.ensure_future(sender.consume(make_traces(1)))
        await exporter.wait_for(attempts=1)
        call.cancel()
        exporter.gate.set()
        await exporter.wait_for(items=1)
        await sender.flush()


# ---- joining


def joining(**options: Any) -> dict[str, Any]:
    return {"sending_queue": {"num_consumers": 1, "batch": {"flush_timeout": "200ms", **options}}}


async def test_joins_what_comes_within_the_flush_timeout() -> None:
    clock = ManualClock()
    async with running(joining(min_size=100), clock=clock) as (sender, exporter):
        await sender.consume(make_traces(1))
        await sender.consume(make_traces(2))
        await clock.advance(0.1)
        assert exporter.attempts == []
        await clock.advance(0.2)
        assert [len(batch) for batch in exporter.delivered] == [3]


async def test_sends_at_once_when_enough_has_come_together() -> None:
    clock = ManualClock()
    async with running(joining(min_size=4), clock=clock) as (sender, exporter):
        for _ in range(4):
            await sender.consume(make_traces(2))
        await settle()
        assert [len(batch) for batch in exporter.delivered] == [4, 4]


async def test_never_joins_different_signals_or_metadata() -> None:
    clock = ManualClock()
    async with running(joining(min_size=100), clock=clock) as (sender, exporter):
        for batch in (make_traces(1), make_logs(1), make_traces(1)):
            await sender.consume(batch)
        for tenant in ("a", "b", "a"):
            await sender.consume(with_metadata(make_traces(1), tenant=tenant))
        await clock.advance(0.3)
        sent = [(type(batch), dict(batch.metadata), len(batch)) for batch in exporter.delivered]
        assert sent == [
            (Traces, {}, 2),
            (Logs, {}, 1),
            (Traces, {"tenant": ("a",)}, 2),
            (Traces, {"tenant": ("b",)}, 1),
        ]


async def test_splits_by_max_size_and_a_failing_part_does_not_take_the_others_along() -> None:
    clock = ManualClock()
    async with running(joining(min_size=2, max_size=2), clock=clock) as (sender, exporter):
        exporter.outcomes.extend([None, PermanentError("too odd"), None])
        await sender.consume(make_traces(6))
        await clock.advance(0.3)
        assert [len(batch) for batch in exporter.delivered] == [2, 2]
        assert total(sender, "otelcol_exporter_send_failed_spans") == 2
        assert total(sender, "ophion_exporter_dropped_spans") == 2
        assert sender.queue_info().size == 0


async def test_splits_by_bytes() -> None:
    clock = ManualClock()
    async with running(joining(min_size=10, max_size=300, sizer="bytes"), clock=clock) as (sender, exporter):
        await sender.consume(make_traces(20))
        await clock.advance(0.3)
        assert exporter.items == 20
        assert len(exporter.delivered) > 1
        assert all(batch.nbytes <= 300 for batch in exporter.delivered)


async def test_a_payload_that_cannot_be_split_is_sent_whole() -> None:
    clock = ManualClock()
    async with running(joining(min_size=2, max_size=2), clock=clock) as (sender, exporter):
        broken = Traces.trusted(b"\x0a\xff", 5)
        await sender.consume(broken)
        await sender.consume(make_traces(2))
        await clock.advance(0.3)
        assert exporter.delivered[0].payload == broken.payload
        assert len(exporter.delivered) == 2


# ---- failing, retrying, giving up


async def test_retries_with_growing_waits_until_the_destination_takes_it() -> None:
    clock = ManualClock()
    retry = {"initial_interval": "1s", "multiplier": 2, "randomization_factor": 0, "max_interval": "3s"}
    async with running({"retry_on_failure": retry}, clock=clock) as (sender, exporter):
        exporter.outcomes.extend([RetryableError("busy")] * 4)
        await sender.consume(make_traces(1))
        attempts = []
        for _ in range(10):
            attempts.append(len(exporter.attempts))
            await clock.advance(1)
        assert attempts == [0, 2, 2, 3, 3, 3, 4, 4, 4, 5]
        assert exporter.items == 1
        assert total(sender, "otelcol_exporter_send_failed_spans") == 0


async def test_waits_at_least_as_long_as_the_server_asks() -> None:
    clock = ManualClock()
    async with running({"retry_on_failure": {"initial_interval": "1s"}}, clock=clock) as (sender, exporter):
        exporter.outcomes.append(RetryableError("slow down", retry_after_seconds=40))
        await sender.consume(make_traces(1))
        await clock.advance(39)
        assert len(exporter.attempts) == 1
        await clock.advance(2)
        assert exporter.items == 1


async def test_gives_up_when_the_elapsed_time_is_over() -> None:
    clock = ManualClock()
    retry = {"initial_interval": "1s", "max_interval": "1s", "randomization_factor": 0, "max_elapsed_time": "3s"}
    with captured_events() as events:
        async with running({"retry_on_failure": retry}, clock=clock) as (sender, exporter):
            exporter.failure = RetryableError("down")
            await sender.consume(make_traces(2))
            await clock.advance(10)
            assert len(exporter.attempts) == 4
            assert total(sender, "otelcol_exporter_send_failed_spans") == 2
            assert total(sender, "ophion_exporter_dropped_spans") == 2
            assert sender.queue_info().size == 0
    assert ("batch_dropped", "down") in [(event, facts.get("error")) for event, facts in events]


async def test_a_slow_attempt_is_ended_by_the_timeout_and_tried_again() -> None:
    clock = ManualClock()
    config = {"timeout": "2s", "retry_on_failure": {"initial_interval": "1s", "randomization_factor": 0}}
    async with running(config, clock=clock) as (sender, exporter):
        exporter.gate = asyncio.Event()
        await sender.consume(make_traces(1))
        await clock.advance(2.5)
        assert sender.queue_info().last_error == "exporter scripted: no answer within 2.0 s"
        exporter.gate.set()
        await clock.advance(1)
        assert (len(exporter.attempts), exporter.items) == (2, 1)


@pytest.mark.parametrize("fault", [ValueError("bug"), asyncio.CancelledError()], ids=["exception", "inner cancel"])
async def test_an_unexpected_fault_of_the_exporter_is_retried_and_kills_no_consumer(fault: BaseException) -> None:
    clock = ManualClock()
    config = {"sending_queue": {"num_consumers": 1}, "retry_on_failure": {"initial_interval": "1s"}}
    async with running(config, clock=clock) as (sender, exporter):
        exporter.outcomes.append(fault)
        await sender.consume(make_traces(1))
        await clock.advance(5)
        assert exporter.items == 1
        assert total(sender, "ophion_component_task_crashes") == 0
        await sender.consume(make_traces(1))
        await exporter.wait_for(items=2)


async def test_logs_the_traceback_of_an_unexpected_fault_once_a_minute() -> None:
    clock = ManualClock()
    with captured_events() as events:
        async with running({"retry_on_failure": NO_RETRY}, clock=clock) as (sender, exporter):
            exporter.failure = ValueError("bug")
            for _ in range(3):
                await sender.consume(make_traces(1))
            await settle()
    assert [facts["error"] for event, facts in events if event == "exporter_fault"] == ["bug"]


async def test_health_follows_the_delivery_and_the_log_says_each_change_once() -> None:
    clock = ManualClock()
    retry = {"initial_interval": "1s", "max_interval": "1s", "randomization_factor": 0}
    with captured_events() as events:
        async with running({"retry_on_failure": retry}, clock=clock) as (sender, exporter):
            sender.context.health.ok()
            exporter.failure = RetryableError("connection refused")
            await sender.consume(make_traces(1))
            await clock.advance(30)
            assert sender.context.health.status is Status.DEGRADED
            assert sender.context.health.reason == "connection refused"
            exporter.failure = None
            await clock.advance(2)
            assert sender.context.health.status is Status.OK
            assert sender.queue_info().last_error == ""
    said = [event for event, _ in events if event.startswith("delivery")]
    assert said == ["delivery_failed", "delivery_recovered"]


async def test_a_destination_that_comes_and_goes_does_not_flood_the_log() -> None:
    clock = ManualClock()
    with captured_events() as events:
        async with running({"retry_on_failure": NO_RETRY}, clock=clock) as (sender, exporter):
            exporter.outcomes.extend([PermanentError("no"), None] * 20)
            for _ in range(40):
                await sender.consume(make_traces(1))
                await settle()
    said = [event for event, _ in events]
    assert {event: said.count(event) for event in said} == {
        "delivery_failed": 1,
        "batch_dropped": 1,
        "delivery_recovered": 1,
    }


async def test_says_whether_a_failure_is_final() -> None:
    clock = ManualClock()
    with captured_events() as events:
        async with running({"retry_on_failure": NO_RETRY}, clock=clock) as (sender, exporter):
            exporter.failure = RetryableError("down")
            await sender.consume(make_traces(1))
            await settle()
    assert [facts["will_retry"] for event, facts in events if event == "delivery_failed"] == [False]


async def test_without_a_queue_a_stop_ends_the_wait_for_the_next_attempt() -> None:
    clock = ManualClock()
    sender, exporter = make_sender({"sending_queue": DIRECT}, clock=clock)
    await sender.start()
    exporter.failure = RetryableError("down")
    call = asyncio.ensure_future(sender.consume(make_traces(1)))
    await exporter.wait_for(attempts=1)
    await finish(sender.stop(1), clock)
    with pytest.raises(RetryableError, match="down"):
        await asyncio.wait_for(call, WAIT_SECONDS)
    assert len(exporter.attempts) == 1


# ---- dead letters


def durable(**options: Any) -> dict[str, Any]:
    return {"sending_queue": {"storage": "disk", "num_consumers": 2, **options}, "retry_on_failure": NO_RETRY}


async def test_a_batch_refused_for_good_is_kept_and_can_be_replayed(tmp_path: Path) -> None:
    async with running(durable(), storage=Folder(tmp_path)) as (sender, exporter):
        exporter.outcomes.append(PermanentError("field is read-only"))
        await sender.consume(make_traces(3))
        await exporter.wait_for(attempts=1)
        await sender.flush()
        assert sender.queue_info().dead_letters == 1
        assert total(sender, "ophion_exporter_dead_lettered_spans") == 3
        assert await sender.replay() == 1
        await exporter.wait_for(items=3)
        await sender.flush()
        assert sender.queue_info().dead_letters == 0


async def test_a_dead_letter_says_why_and_when_it_was_refused(tmp_path: Path) -> None:
    clock = ManualClock()
    async with running(durable(), clock=clock, storage=Folder(tmp_path)) as (sender, exporter):
        exporter.failure = PermanentError("field is read-only")
        await sender.consume(make_traces(1))
        await exporter.wait_for(attempts=1)
        await sender.flush()
    queue = await Folder(tmp_path).open_queue("dead_letters/scripted", 1 << 20)
    facts = record_facts((await queue.take()).record)
    assert facts == {"reason": "field is read-only", "refused_unix_nano": EPOCH_NS}
    await queue.close()


async def test_a_replay_while_the_destination_still_refuses_loses_nothing(tmp_path: Path) -> None:
    async with running(durable(), storage=Folder(tmp_path)) as (sender, exporter):
        exporter.failure = PermanentError("still no")
        for _ in range(3):
            await sender.consume(make_traces(1))
        await exporter.wait_for(attempts=3)
        await sender.flush()
        assert await sender.replay() == 3
        await exporter.wait_for(attempts=6)
        await sender.flush()
        assert sender.queue_info().dead_letters == 3


async def test_two_replays_at_once_send_every_dead_letter_once(tmp_path: Path) -> None:
    async with running(durable(), storage=Folder(tmp_path)) as (sender, exporter):
        exporter.failure = PermanentError("no")
        for _ in range(4):
            await sender.consume(make_traces(1))
        await exporter.wait_for(attempts=4)
        await sender.flush()
        exporter.failure = None
        counts = await asyncio.wait_for(asyncio.gather(sender.replay(), sender.replay()), WAIT_SECONDS)
        assert sum(counts) == 4
        await exporter.wait_for(items=4)


async def test_a_full_dead_letter_store_drops_and_counts(tmp_path: Path) -> None:
    config = durable() | {"dead_letter": {"max_bytes": 400}}
    with captured_events() as events:
        async with running(config, storage=Folder(tmp_path)) as (sender, exporter):
            exporter.failure = PermanentError("no")
            for _ in range(4):
                await sender.consume(make_traces(1))
            await exporter.wait_for(attempts=4)
            await sender.flush()
            kept = sender.queue_info().dead_letters
            assert 0 < kept < 4
            assert total(sender, "ophion_exporter_dropped_spans") == 4 - kept
    dropped = [facts for event, facts in events if event == "batch_dropped"]
    assert len(dropped) == 1
    assert "at most 400 bytes may wait" in dropped[0]["dead_letter_error"]


async def test_replay_without_a_dead_letter_store_finds_nothing() -> None:
    async with running() as (sender, _):
        assert await sender.replay() == 0


# ---- the durable queue


async def put_raw(directory: Path, *records: bytes) -> None:
    queue = await Folder(directory).open_queue("queue/scripted", 1 << 20)
    for record in records:
        await queue.append(record)
    await queue.close()


async def test_what_was_not_delivered_is_sent_after_a_restart(tmp_path: Path) -> None:
    clock = ManualClock()
    sender, exporter = make_sender(durable(), clock=clock, storage=Folder(tmp_path))
    await sender.start()
    exporter.gate = asyncio.Event()
    for number in range(5):
        await sender.consume(make_traces(2, service=str(number)))
    await exporter.wait_for(attempts=2)
    await finish(sender.stop(1), clock)
    assert total(sender, "ophion_exporter_lost_items_at_stop") == 0
    async with running(durable(), storage=Folder(tmp_path)) as (again, receiver):
        await receiver.wait_for(items=10)
        await again.flush()


async def test_metadata_survives_the_restart(tmp_path: Path) -> None:
    sender, exporter = make_sender(durable(), storage=Folder(tmp_path))
    await sender.start()
    exporter.gate = asyncio.Event()
    await sender.consume(with_metadata(make_traces(1), tenant="acme"))
    await sender.stop(0.01)
    async with running(durable(), storage=Folder(tmp_path)) as (_, receiver):
        await receiver.wait_for(items=1)
        assert receiver.delivered[0].metadata == {"tenant": ("acme",)}


@pytest.mark.parametrize("batching", [{}, {"batch": {"flush_timeout": "20ms"}}], ids=["single", "joining"])
async def test_an_unreadable_record_goes_to_the_dead_letters_and_the_queue_goes_on(
    tmp_path: Path, batching: dict[str, Any]
) -> None:
    await put_raw(tmp_path, b"\x63 from the future", b"")
    async with running(durable(**batching), storage=Folder(tmp_path)) as (sender, exporter):
        for _ in range(3):
            await sender.consume(make_traces(1))
        await exporter.wait_for(items=3)
        await sender.flush()
        assert total(sender, "ophion_exporter_unreadable_records") == 2
        assert total(sender, "ophion_component_task_crashes") == 0
        assert sender.queue_info().dead_letters == 2
        assert await sender.replay() == 0
        assert sender.queue_info().dead_letters == 2


async def test_an_unreadable_dead_letter_does_not_stand_before_the_others(tmp_path: Path) -> None:
    await put_raw(tmp_path, b"\x63 from the future")
    async with running(durable(num_consumers=1), storage=Folder(tmp_path)) as (sender, exporter):
        exporter.outcomes.append(PermanentError("no"))
        await sender.consume(make_traces(2))
        await exporter.wait_for(attempts=1)
        await sender.flush()
        assert sender.queue_info().dead_letters == 2
        assert await sender.replay() == 1
        await exporter.wait_for(items=2)


async def test_a_durable_queue_never_gives_up_unless_told(tmp_path: Path) -> None:
    clock = ManualClock()
    config = {"sending_queue": {"storage": "disk"}, "retry_on_failure": {"initial_interval": "1s"}}
    async with running(config, clock=clock, storage=Folder(tmp_path)) as (sender, exporter):
        exporter.failure = RetryableError("down")
        await sender.consume(make_traces(1))
        await exporter.wait_for(attempts=1)
        for _ in range(20):
            await clock.advance(60)
        assert len(exporter.attempts) > 20
        exporter.failure = None
        await clock.advance(60)
        await exporter.wait_for(items=1)


async def test_the_size_in_items_is_right_again_after_earlier_records_were_sent(tmp_path: Path) -> None:
    sender, exporter = make_sender(durable(), storage=Folder(tmp_path))
    await sender.start()
    exporter.gate = asyncio.Event()
    await sender.consume(make_traces(8))
    await sender.stop(0.01)
    config = durable(sizer="items", queue_size=10)
    async with running(config, storage=Folder(tmp_path)) as (again, receiver):
        await receiver.wait_for(items=8)
        await again.flush()
        receiver.gate = asyncio.Event()
        await again.consume(make_traces(8))
        assert again.queue_info().size == 8
        with pytest.raises(RetryableError, match="full"):
            await again.consume(make_traces(8))
        receiver.gate.set()
        await again.flush()
        assert again.queue_info().size == 0


async def test_a_record_as_large_as_the_whole_disk_queue_is_refused_for_good(tmp_path: Path) -> None:
    batch = make_traces(3)
    config = durable(max_bytes=batch.nbytes + 20, block_on_overflow=True)
    async with running(config, storage=Folder(tmp_path)) as (sender, _):
        with pytest.raises(PermanentError, match="must fit into the sending queue"):
            await asyncio.wait_for(sender.consume(batch), WAIT_SECONDS)


async def test_a_full_disk_queue_lets_senders_wait(tmp_path: Path) -> None:
    config = durable(queue_size=2, block_on_overflow=True, num_consumers=1)
    async with running(config, storage=Folder(tmp_path)) as (sender, exporter):
        calls = [asyncio.ensure_future(sender.consume(make_traces(1))) for _ in range(10)]
        await asyncio.wait_for(asyncio.gather(*calls), WAIT_SECONDS)
        await exporter.wait_for(items=10)
        await sender.flush()


class Refusing:
    """A storage whose queues take nothing: a disk without room."""

    def __init__(self, folder: Folder) -> None:
        self.folder = folder

    async def open_queue(self, name: str, max_bytes: int) -> DurableQueue:
        queue = await self.folder.open_queue(name, max_bytes)

        async def append(record: bytes) -> None:
            raise RetryableError("no space left on device")

        queue.append = append  # type: ignore[method-assign]
        return queue


async def test_a_disk_without_room_is_told_to_the_sender_as_retryable(tmp_path: Path) -> None:
    async with running(durable(), storage=Refusing(Folder(tmp_path))) as (sender, _):
        with pytest.raises(RetryableError, match="no space left"):
            await sender.consume(make_traces(4))
        assert total(sender, "otelcol_exporter_enqueue_failed_spans") == 4
        assert sender.queue_info().size == 0


# ---- stop


async def test_a_stop_delivers_what_waits_in_memory() -> None:
    sender, exporter = make_sender({"sending_queue": {"num_consumers": 1}})
    await sender.start()
    for _ in range(20):
        await sender.consume(make_traces(1))
    await sender.stop(WAIT_SECONDS)
    assert exporter.items == 20
    assert total(sender, "ophion_exporter_lost_items_at_stop") == 0
    await exporter.context.close()


async def test_a_stop_does_not_wait_for_a_batch_to_fill() -> None:
    clock = ManualClock()
    config = {"sending_queue": {"num_consumers": 2, "batch": {"flush_timeout": "1h", "min_size": 100}}}
    sender, exporter = make_sender(config, clock=clock)
    await sender.start()
    await sender.consume(make_traces(3))
    await settle()
    await asyncio.wait_for(sender.stop(5), WAIT_SECONDS)
    assert (exporter.items, clock.monotonic()) == (3, 0)
    assert total(sender, "ophion_exporter_lost_items_at_stop") == 0
    await exporter.context.close()


async def test_a_stop_counts_what_it_could_not_deliver_in_time() -> None:
    clock = ManualClock()
    sender, exporter = make_sender({"sending_queue": {"num_consumers": 1}, "timeout": "0s"}, clock=clock)
    await sender.start()
    exporter.gate = asyncio.Event()
    for _ in range(3):
        await sender.consume(make_traces(4))
    with captured_events() as events:
        await finish(sender.stop(5), clock)
    assert total(sender, "ophion_exporter_lost_items_at_stop") == 12
    assert ("items_lost_at_stop", 12) in [(event, facts.get("items")) for event, facts in events]


async def test_a_stop_is_safe_unstarted_and_twice() -> None:
    sender, _ = make_sender()
    await sender.stop(1)
    await sender.stop(1)


async def test_no_task_is_left_after_a_stop(tmp_path: Path) -> None:
    before = asyncio.all_tasks()
    async with running(durable(), storage=Folder(tmp_path)) as (sender, exporter):
        await sender.consume(make_traces(1))
        await exporter.wait_for(items=1)
    assert asyncio.all_tasks() == before


async def test_an_exporter_without_the_options_of_the_stack_is_called_directly() -> None:
    class Plain(Scripted):
        type_name = "plain"

    exporter = Plain.__new__(Plain)
    Scripted.__init__(exporter, Plain.config_type(), make_context("exporter", "plain"))  # type: ignore[arg-type]
    sender = Sender(exporter)
    sender.config = None
    await sender.start()
    exporter.outcomes.append(RetryableError("once"))
    with pytest.raises(OphionError, match="once"):
        await sender.consume(make_traces(1))
    await sender.consume(make_traces(1))
    assert [len(batch) for batch in exporter.delivered] == [1]
    assert isinstance(exporter.delivered[0], Batch)
    await sender.stop(1)
