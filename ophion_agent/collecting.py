"""Joins queued batches into the parcels that are sent."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from ophion_agent.batch import Batch
from ophion_agent.clock import Clock
from ophion_agent.delivery import QueueBatchConfig
from ophion_agent.queues import Queued, SendingQueue


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

    async def next_parcels(self) -> list[Parcel]:
        """Return what to send next; waits for at least one item."""
        first = await self._queue.take()
        if self._config is None:
            return [Parcel([first], [first.batch])]
        return [self._parcel(group) for group in _alike(await self._gather(first, self._config))]

    async def _gather(self, first: Queued, config: QueueBatchConfig) -> list[Queued]:
        items, size = [first], self._measure(first)
        deadline = self._clock.monotonic() + config.flush_timeout
        while size < config.min_size:
            item = self._queue.take_nowait()
            if item is None:
                try:
                    item = await self._clock.wait_for(self._queue.take(), deadline - self._clock.monotonic())
                except TimeoutError:
                    break
            items.append(item)
            size += self._measure(item)
        return items

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
