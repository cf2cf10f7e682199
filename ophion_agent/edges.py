"""The edges between components: where items are counted, tapped and handed to several branches."""

import asyncio
from collections.abc import AsyncGenerator, Sequence
from typing import Any

from ophion_agent.batch import Batch
from ophion_agent.component import Consumer
from ophion_agent.errors import OphionError, RetryableError
from ophion_agent.info import EdgeInfo
from ophion_agent.self_metrics import Counter

TAP_BATCHES = 64


class Edge:
    """One place that batches pass; counts them and lets taps look on."""

    __slots__ = ("_counters", "_taps", "batches", "failed", "items", "name", "target")

    def __init__(self, name: str, target: Consumer, counters: Sequence[Counter] = ()) -> None:
        self.name = name
        self.target = target
        self.batches = self.items = self.failed = 0
        self._counters = tuple(counters)
        self._taps: list[asyncio.Queue[Batch]] = []

    def add_counter(self, counter: Counter) -> None:
        """Count what passes in one more counter."""
        self._counters += (counter,)

    async def consume(self, batch: Batch, /) -> None:
        """Count the batch and pass it on."""
        items = len(batch)
        self.batches += 1
        self.items += items
        for counter in self._counters:
            counter.value += items
        for tap in self._taps:
            if not tap.full():
                tap.put_nowait(batch.share())
        try:
            await self.target.consume(batch)
        except Exception:
            self.failed += items
            raise

    async def tap(self) -> AsyncGenerator[Batch, None]:
        """Iterate over what passes from now on; a reader too slow for it misses batches, the pipeline never waits."""
        queue: asyncio.Queue[Batch] = asyncio.Queue(TAP_BATCHES)
        self._taps.append(queue)
        try:
            while True:
                yield await queue.get()
        finally:
            self._taps.remove(queue)

    def info(self) -> EdgeInfo:
        """Return what has passed."""
        return EdgeInfo(self.name, self.batches, self.items, self.failed)


class FanOut:
    """Hands each branch a batch of its own; every branch gets it even when another one fails."""

    __slots__ = ("branches",)

    def __init__(self, branches: Sequence[Consumer]) -> None:
        self.branches = tuple(branches)

    async def consume(self, batch: Batch, /) -> None:
        """Pass the batch to all branches at once; raise a retryable failure before a permanent one.

        A retry then reaches the branches that had succeeded a second time: at least once, never less.
        """
        shares = [batch.share() for _ in self.branches[1:]] + [batch]
        calls = [branch.consume(share) for branch, share in zip(self.branches, shares, strict=True)]
        outcomes = await asyncio.gather(*calls, return_exceptions=True)
        failures = [_failure(outcome) for outcome in outcomes if outcome is not None]
        for failure in failures:
            if not isinstance(failure, OphionError):
                raise failure
        for failure in failures:
            if isinstance(failure, RetryableError):
                raise failure
        if failures:
            raise failures[0]


def _failure(outcome: BaseException) -> BaseException:
    # The sender was not cancelled, or gather would have raised: the branch broke off something it waited for.
    if isinstance(outcome, asyncio.CancelledError):
        return RetryableError("a branch of the pipeline was cancelled; send again later")
    return outcome


def fan_out(branches: Sequence[Any]) -> Consumer:
    """Return the only branch itself, or a fan-out to several."""
    consumer: Consumer = branches[0] if len(branches) == 1 else FanOut(branches)
    return consumer
