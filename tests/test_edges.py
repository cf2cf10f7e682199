import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from ophion_agent.edges import TAP_BATCHES, Edge, FanOut, fan_out
from ophion_agent.errors import PermanentError, RetryableError
from ophion_agent.self_metrics import Counter
from ophion_agent.testing import Sink, make_traces, settle


class Branch:
    """A consumer made of a function."""

    def __init__(self, function: Callable[[Any], Awaitable[None]]) -> None:
        self.function = function

    async def consume(self, batch: Any, /) -> None:
        await self.function(batch)


def failing(error: BaseException) -> Branch:
    async def fail(_: Any) -> None:
        raise error

    return Branch(fail)


async def test_every_branch_gets_the_batch_even_when_another_one_fails() -> None:
    before, after = Sink(), Sink()
    with pytest.raises(RetryableError, match="down"):
        await FanOut([before, failing(RetryableError("down")), after]).consume(make_traces(2))
    assert (before.items, after.items) == (2, 2)


async def test_a_retryable_failure_comes_before_a_permanent_one() -> None:
    with pytest.raises(RetryableError, match="later"):
        await FanOut([failing(PermanentError("never")), failing(RetryableError("later"))]).consume(make_traces(1))
    with pytest.raises(PermanentError, match="never"):
        await FanOut([failing(PermanentError("never")), Sink()]).consume(make_traces(1))


async def test_an_unexpected_exception_of_a_branch_is_raised_after_all_branches_ran() -> None:
    slow = asyncio.Event()
    sink = Sink()

    async def later(batch: Any) -> None:
        await slow.wait()
        await sink.consume(batch)

    call = asyncio.ensure_future(FanOut([failing(ZeroDivisionError("bug")), Branch(later)]).consume(make_traces(1)))
    await settle()
    assert not call.done()
    slow.set()
    with pytest.raises(ZeroDivisionError):
        await call
    assert sink.items == 1


async def test_a_branch_that_was_cancelled_by_itself_is_a_retryable_failure() -> None:
    with pytest.raises(RetryableError, match="cancelled"):
        await FanOut([failing(asyncio.CancelledError()), Sink()]).consume(make_traces(1))


async def test_a_cancelled_sender_cancels_the_branches() -> None:
    ended: list[str] = []

    async def wait(_: Any) -> None:
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            ended.append("cancelled")
            raise

    call = asyncio.ensure_future(FanOut([Branch(wait), Branch(wait)]).consume(make_traces(1)))
    await settle()
    call.cancel()
    with pytest.raises(asyncio.CancelledError):
        await call
    assert ended == ["cancelled"] * 2


@pytest.mark.parametrize("decoded", [False, True], ids=["encoded", "decoded"])
async def test_branches_do_not_see_what_another_one_edits(decoded: bool) -> None:
    sink, late = Sink(), Sink()

    async def rename(batch: Any) -> None:
        for span in batch.edit().records():
            span.name = "edited"
        await sink.consume(batch)

    async def drop_resource(batch: Any) -> None:
        for resource in batch.edit_resources():
            resource.Clear()
        await late.consume(batch.compact())

    batch = make_traces(2)
    if decoded:
        batch.edit()
    untouched = Sink()
    await FanOut([Branch(rename), untouched, Branch(drop_resource)]).consume(batch)
    assert [span.name for span in sink.batches[0].view().records()] == ["edited"] * 2
    assert [span.name for span in untouched.batches[0].view().records()] == ["operation-0", "operation-1"]
    assert untouched.batches[0].resources()[0].attributes[0].value.string_value == "checkout"
    assert list(late.batches[0].resources()[0].attributes) == []


async def test_one_branch_needs_no_fan_out() -> None:
    sink = Sink()
    assert fan_out([sink]) is sink
    assert isinstance(fan_out([sink, sink]), FanOut)


async def test_an_edge_counts_what_passes_and_what_fails() -> None:
    sink, counter = Sink(), Counter()
    edge = Edge("traces/in", sink, [counter])
    await edge.consume(make_traces(3))
    for error in (RetryableError("down"), ValueError("bug")):
        sink.error = error
        with pytest.raises(type(error)):
            await edge.consume(make_traces(2))
    assert (edge.info().batches, edge.info().items, edge.info().failed, counter.value) == (3, 7, 4, 7)


async def test_a_tap_sees_what_passes_from_then_on_and_leaves_no_trace() -> None:
    edge = Edge("traces/in", Sink())
    await edge.consume(make_traces(1))
    tap = edge.tap()
    first = asyncio.ensure_future(anext(tap))
    await settle()
    await edge.consume(make_traces(2))
    assert len(await first) == 2
    await tap.aclose()
    assert edge._taps == []


async def test_a_tap_that_is_too_slow_misses_batches_and_never_holds_the_pipeline() -> None:
    sink = Sink()
    edge = Edge("traces/in", sink)
    tap = edge.tap()
    first = asyncio.ensure_future(anext(tap))
    await settle()
    for _ in range(TAP_BATCHES + 20):
        await edge.consume(make_traces(1))
    assert len(sink.batches) == TAP_BATCHES + 20
    await first
    waiting = 0
    while edge._taps[0].qsize():
        await anext(tap)
        waiting += 1
    assert waiting <= TAP_BATCHES
    await tap.aclose()
