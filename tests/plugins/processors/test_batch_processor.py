"""The batch processor joins requests and answers each sender with what happened to its data."""

import asyncio
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from ophion_agent.plugin import Batch, PermanentError, RetryableError, Traces
from ophion_agent.self_metrics import SelfMetrics
from ophion_agent.testing import ManualClock, Sink, make_component, make_logs, make_metrics, make_traces, settle
from ophion_processors.batch import BatchProcessor


class Gate(Sink):
    """A sink that holds every batch until it is opened."""

    def __init__(self) -> None:
        super().__init__()
        self.opened = asyncio.Event()

    async def consume(self, batch: Any, /) -> None:
        await self.opened.wait()
        await super().consume(batch)


class Running:
    """A processor with its clock and sink, and the senders that wait for it."""

    def __init__(self, sink: Sink | None = None, **config: Any) -> None:
        self.clock, self.sink, self.metrics = ManualClock(), sink or Sink(), SelfMetrics()
        self.processor = make_component(BatchProcessor, config, sink=self.sink, clock=self.clock, metrics=self.metrics)

    async def __aenter__(self) -> "Running":
        await self.processor.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.processor.stop()
        await self.processor.context.close()

    async def send(self, batch: Batch) -> "asyncio.Task[None]":
        task = asyncio.create_task(self.processor.consume(batch))  # type: ignore[arg-type]
        await settle()
        return task

    @property
    def sizes(self) -> list[int]:
        return [len(batch) for batch in self.sink.batches]


def names(batch: Batch) -> list[str]:
    return [record.name for record in batch.view().records()]


async def test_sender_waits_until_its_batch_was_taken() -> None:
    async with Running(timeout="200ms", quiet_period="200ms") as running:
        sender = await running.send(make_traces(2))
        await running.clock.advance(0.199)
        assert not sender.done()
        await running.clock.advance(0.001)
        await sender
        assert running.sizes == [2]


async def test_requests_within_the_timeout_are_joined_in_order() -> None:
    async with Running(timeout="200ms", quiet_period="200ms") as running:
        first, second = make_traces(2, service="a"), make_traces(3, service="b")
        expected = Traces.join([Traces.trusted(first.payload), Traces.trusted(second.payload)]).payload
        senders = [await running.send(first), await running.send(second)]
        await running.clock.advance(0.2)
        await asyncio.gather(*senders)
        assert [batch.payload for batch in running.sink.batches] == [expected]


async def test_full_batch_is_sent_without_waiting() -> None:
    async with Running(send_batch_size=4, timeout="10s") as running:
        senders = [await running.send(make_traces(2)) for _ in range(2)]
        await asyncio.gather(*senders)
        assert running.sizes == [4]
        assert running.metrics.total("otelcol_processor_batch_batch_size_trigger_send") == 1
        assert running.metrics.total("otelcol_processor_batch_timeout_trigger_send") == 0


async def test_batch_is_sent_early_when_no_more_requests_come_in() -> None:
    async with Running(timeout="200ms") as running:
        early = await running.send(make_traces(1))
        await running.clock.advance(0.015)
        late = await running.send(make_traces(1))
        await running.clock.advance(0.015)
        assert not early.done()
        await running.clock.advance(0.03)
        await asyncio.gather(early, late)
        assert running.sizes == [2]


async def test_steady_arrivals_do_not_put_the_timeout_off() -> None:
    async with Running(timeout="200ms") as running:
        senders = []
        for _ in range(20):
            senders.append(await running.send(make_traces(1)))
            await running.clock.advance(0.01)
        assert senders[0].done()
        assert running.sizes[0] >= 19


@pytest.mark.parametrize("option", ["timeout", "send_batch_size"])
async def test_zero_sends_at_once_and_still_splits(option: str) -> None:
    async with Running(**{"send_batch_size": 2, "send_batch_max_size": 2, option: 0}) as running:
        await running.processor.consume(make_traces(5))
        assert running.sizes == [2, 2, 1]


async def test_requests_are_joined_whole_below_the_largest_size() -> None:
    async with Running(send_batch_size=5, send_batch_max_size=6, timeout="1s") as running:
        senders = [await running.send(make_traces(4)) for _ in range(3)]
        await running.clock.advance(2)
        await asyncio.gather(*senders)
        assert running.sizes == [4, 4, 4]


async def test_request_beyond_the_largest_size_is_split() -> None:
    async with Running(send_batch_size=3, send_batch_max_size=3, timeout="1s") as running:
        await (await running.send(make_traces(8)))
        assert running.sizes == [3, 3, 2]
        assert [name for batch in running.sink.batches for name in names(batch)] == names(make_traces(8))


@pytest.mark.parametrize("error", [RetryableError("full"), PermanentError("bad"), ValueError("bug")])
async def test_every_sender_of_a_failed_batch_gets_the_error(error: Exception) -> None:
    async with Running() as running:
        running.sink.error = error
        senders = [await running.send(make_traces(1)) for _ in range(3)]
        await running.clock.advance(1)
        assert await asyncio.gather(*senders, return_exceptions=True) == [error] * 3
        running.sink.error = None
        healthy = await running.send(make_traces(1))
        await running.clock.advance(1)
        await healthy


async def test_failure_of_one_part_is_told_to_its_sender_only() -> None:
    class SecondFails(Sink):
        async def consume(self, batch: Any, /) -> None:
            if names(batch)[0] == "operation-3":
                raise RetryableError("full")
            await super().consume(batch)

    async with Running(SecondFails(), send_batch_size=3, send_batch_max_size=3) as running:
        large, small = await running.send(make_traces(9)), await running.send(make_traces(3))
        with pytest.raises(RetryableError, match="full"):
            await large
        await small
        assert running.sizes == [3, 3]


async def test_sender_that_goes_away_takes_nothing_from_the_others() -> None:
    async with Running() as running:
        leaving, staying = await running.send(make_traces(2)), await running.send(make_traces(3))
        leaving.cancel()
        await running.clock.advance(1)
        await staying
        assert leaving.cancelled()
        assert running.sizes == [5]


async def test_signals_are_never_mixed() -> None:
    async with Running() as running:
        senders = [await running.send(batch) for batch in (make_traces(1), make_metrics(2), make_logs(3))]
        await running.clock.advance(1)
        await asyncio.gather(*senders)
        assert sorted((batch.signal, len(batch)) for batch in running.sink.batches) == [
            ("logs", 3),
            ("metrics", 2),
            ("traces", 1),
        ]


def from_tenant(tenant: str | None, secret: str = "s") -> Traces:
    batch = make_traces(1)
    batch.metadata = {"authorization": (secret,)} | ({"tenant": (tenant,)} if tenant is not None else {})
    return batch


async def test_only_senders_that_agree_in_the_metadata_keys_are_joined() -> None:
    async with Running(metadata_keys=["Tenant"]) as running:
        senders = [await running.send(from_tenant(tenant)) for tenant in ("a", "b", "a", None, "")]
        await running.clock.advance(1)
        await asyncio.gather(*senders)
        arrived = [(len(batch), dict(batch.metadata)) for batch in running.sink.batches]
        assert sorted(arrived, key=str) == [
            (1, {"tenant": ("",)}),
            (1, {"tenant": ("b",)}),
            (1, {}),
            (2, {"tenant": ("a",)}),
        ]


async def test_headers_of_one_sender_are_not_passed_on_with_the_data_of_others() -> None:
    async with Running() as running:
        senders = [await running.send(from_tenant("a", "secret of a")), await running.send(from_tenant("b"))]
        await running.clock.advance(1)
        await asyncio.gather(*senders)
        assert [dict(batch.metadata) for batch in running.sink.batches] == [{}]


async def test_too_many_combinations_of_headers_are_refused() -> None:
    async with Running(metadata_keys=["tenant"], metadata_cardinality_limit=2) as running:
        senders = [await running.send(from_tenant(tenant)) for tenant in ("a", "b")]
        with pytest.raises(RetryableError, match="raise metadata_cardinality_limit") as refused:
            await running.processor.consume(from_tenant("c"))
        assert refused.value.admission
        await running.clock.advance(1)
        await asyncio.gather(*senders)
        later = await running.send(from_tenant("c"))
        await running.clock.advance(1)
        await later


async def test_requests_are_refused_while_too_much_waits_for_a_slow_consumer() -> None:
    gate = Gate()
    async with Running(gate, send_batch_size=2) as running:
        senders = [await running.send(make_traces(2)) for _ in range(9)]
        with pytest.raises(RetryableError, match="16 items wait for a consumer that is slower") as refused:
            await running.processor.consume(make_traces(1))
        assert refused.value.admission
        gate.opened.set()
        await asyncio.gather(*senders)
        assert sum(running.sizes) == 18


async def test_drain_sends_at_once_and_waits_for_the_consumer() -> None:
    gate = Gate()
    async with Running(gate, timeout="1h") as running:
        sender = await running.send(make_traces(1))
        drain = asyncio.create_task(running.processor.drain())
        await settle()
        assert not drain.done()
        gate.opened.set()
        await asyncio.gather(drain, sender)
        await running.processor.consume(make_traces(2))
        assert running.sizes == [1, 2]


async def test_stop_without_drain_tells_the_senders_to_try_again() -> None:
    async with Running(timeout="1h") as running:
        waiting = await running.send(make_traces(1))
    with pytest.raises(RetryableError, match="the agent is stopping"):
        await waiting


async def test_stop_during_a_send_tells_the_senders_to_try_again() -> None:
    async with Running(Gate(), send_batch_size=1) as running:
        sending = await running.send(make_traces(1))
    with pytest.raises(RetryableError, match="the agent is stopping"):
        await sending


async def test_empty_request_is_answered_and_not_passed_on() -> None:
    async with Running() as running:
        await running.processor.consume(Traces.trusted(b""))
        assert running.sizes == []


@given(
    sizes=st.lists(st.integers(1, 12), min_size=1, max_size=12),
    size=st.integers(1, 20),
    largest=st.integers(0, 10),
)
async def test_nothing_is_lost_or_doubled_and_no_batch_exceeds_the_largest_size(
    sizes: list[int], size: int, largest: int
) -> None:
    largest = largest and size + largest
    async with Running(send_batch_size=size, send_batch_max_size=largest) as running:
        senders = [await running.send(make_traces(spans, service=f"s{n}")) for n, spans in enumerate(sizes)]
        await running.clock.advance(1)
        await asyncio.gather(*senders)
        groups = [group for batch in running.sink.batches for group in batch.view().groups()]
        arrived: dict[str, int] = {}
        for group in groups:
            service = group.resource.attributes[0].value.string_value
            arrived[service] = arrived.get(service, 0) + len(group.scope_spans[0].spans)
        assert arrived == {f"s{n}": spans for n, spans in enumerate(sizes)}
        assert not largest or max(running.sizes) <= largest


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({"send_batch_max_size": 100}, "must be at least send_batch_size (8192), got 100"),
        ({"metadata_keys": ["a", "A"]}, "'a' is listed twice"),
        ({"timeout": "-1s"}, "timeout\n  must not be negative, got -1s"),
    ],
)
def test_refuses_options_that_contradict_each_other(config: dict[str, Any], message: str) -> None:
    with pytest.raises(ValidationError) as refused:
        Running(**config)
    assert message in str(refused.value)


async def test_sender_is_answered_at_once_where_exporters_queue_in_memory() -> None:
    async with Running(timeout="200ms") as running:
        running.processor.must_wait = False
        for _ in range(3):
            await running.processor.consume(make_traces(2))
        assert running.sizes == []
        await running.clock.advance(0.2)
        assert running.sizes == [6]


async def test_batch_that_was_answered_is_kept_until_the_consumer_takes_it() -> None:
    async with Running(send_batch_size=4) as running:
        running.processor.must_wait = False
        running.sink.error = RetryableError("queue is full", retry_after_seconds=2)
        await running.processor.consume(make_traces(4))
        await running.clock.advance(1.9)
        running.sink.error = None
        await running.clock.advance(0.05)
        assert running.sizes == []
        await running.clock.advance(0.1)
        assert running.sizes == [4]


async def test_senders_are_refused_while_answered_batches_cannot_be_passed_on() -> None:
    async with Running(send_batch_size=2) as running:
        running.processor.must_wait = False
        running.sink.error = RetryableError("queue is full")
        for _ in range(16):
            await running.processor.consume(make_traces(1))
        with pytest.raises(RetryableError, match="slower than the senders"):
            await running.processor.consume(make_traces(1))
        running.sink.error = None
        await running.clock.advance(1)
        assert running.sink.items == 16


async def test_answered_batch_that_is_refused_for_good_is_counted() -> None:
    async with Running(send_batch_size=2) as running:
        running.processor.must_wait = False
        running.sink.error = PermanentError("never")
        await running.processor.consume(make_traces(2))
        await settle()
        assert running.metrics.total("ophion_processor_dropped_items") == 2


async def test_answered_requests_that_a_stop_leaves_behind_are_counted() -> None:
    async with Running(timeout="1h") as running:
        running.processor.must_wait = False
        await running.processor.consume(make_traces(3))
        metrics = running.metrics
    assert metrics.total("ophion_processor_dropped_items") == 3
