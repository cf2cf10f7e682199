"""Joins queued batches into the parcels that are sent."""

import asyncio
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from google.protobuf.message import DecodeError

from ophion_agent.batch import Batch
from ophion_agent.clock import Clock
from ophion_agent.delivery import QueueBatchConfig
from ophion_agent.queues import Queued, SendingQueue
from ophion_agent.tasks import is_being_cancelled


@dataclass(frozen=True, slots=True)
class Parcel:
    """Queue items that are delivered together, as one or more batches of one signal and one metadata."""

    items: Sequence[Queued]
    batches: Sequence[Batch]


class Collector:
    """Takes items from a queue until enough has come together or the flush timeout is over."""

    def __init__(self, queue: SendingQueue, config: QueueBatchConfig | None, clock: Clock) -> None:
        self._queue = queue
        self._config = config
        self._clock = clock
        self._hurried = False
        self._waiting: asyncio.Future[Queued] | None = None

    def hurry(self) -> None:
        """Wait no more for batches to fill: what there is goes out now."""
        self._hurried = True
        if self._waiting is not None:
            self._waiting.cancel()

    def at_hand(self) -> list[Parcel]:
        """Return what can be sent without a wait: nothing where batches are to be joined."""
        item = self._queue.take_nowait() if self._config is None else None
        return [] if item is None else [Parcel([item], [item.batch])]

    async def next_parcels(self) -> list[Parcel]:
        """Return what to send next; waits for at least one item."""
        first = await self._queue.take()
        if self._config is None:
            return [Parcel([first], [first.batch])]
        groups = _alike(await self._gather(first, self._config))
        return [parcel for group in groups for parcel in self._parcels(group)]

    def _parcels(self, items: Sequence[Queued]) -> list[Parcel]:
        try:
            return [self._parcel(items)]
        except DecodeError:
            # One of them is not what it was trusted to be; each for itself, and the destination refuses the bad one.
            return [Parcel([item], [item.batch]) for item in items]

    async def _gather(self, first: Queued, config: QueueBatchConfig) -> list[Queued]:
        items, size = [first], self._measure(first)
        deadline = self._clock.monotonic() + config.flush_timeout
        while size < config.min_size:
            item = self._queue.take_nowait()
            if item is None and not self._hurried:
                item = await self._wait(deadline - self._clock.monotonic())
            if item is None:
                break
            items.append(item)
            size += self._measure(item)
        return items

    async def _wait(self, seconds: float) -> Queued | None:
        self._waiting = asyncio.ensure_future(self._clock.wait_for(self._queue.take(), seconds))
        try:
            return await self._waiting
        except TimeoutError:
            return None
        except asyncio.CancelledError:
            if is_being_cancelled():
                raise
            return None
        finally:
            self._waiting = None

    def _measure(self, item: Queued) -> int:
        return len(item.batch) if self._config and self._config.sizer == "items" else item.batch.nbytes

    def _parcel(self, items: Sequence[Queued]) -> Parcel:
        joined: Any = type(items[0].batch).join([item.batch for item in items])
        config = self._config
        if config is None or not config.max_size:
            return Parcel(items, [joined])
        return Parcel(
            items, joined.split(config.max_size) if config.sizer == "items" else joined.split_bytes(config.max_size)
        )


def _alike(items: Sequence[Queued]) -> list[list[Queued]]:
    """Group items of the same signal and metadata, which alone may be joined."""
    groups: dict[Any, list[Queued]] = defaultdict(list)
    for item in items:
        metadata = tuple(sorted(item.batch.metadata.items()))
        groups[type(item.batch), metadata].append(item)
    return list(groups.values())
