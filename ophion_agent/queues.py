"""Sending queues: in memory, or on the disk of a storage extension. Both are bounded, and say so to the sender."""

import asyncio
from collections import deque
from dataclasses import dataclass, field
from typing import Any, Protocol

from ophion_agent.batch import Batch
from ophion_agent.delivery import QueueConfig
from ophion_agent.durable import DurableQueue, QueueClosed
from ophion_agent.errors import PermanentError, RetryableError
from ophion_agent.records import decode_record, encode_record


@dataclass(slots=True, eq=False)
class Queued:
    """A batch in a queue. `result` is set by whoever delivers it, for a sender that waits for the result."""

    batch: Batch
    size: int
    result: "asyncio.Future[None] | None" = None
    entry: Any = field(default=None, repr=False)


class SendingQueue(Protocol):
    """What the sending stack needs of a queue. An item counts until it is done, also while it is being sent."""

    @property
    def size(self) -> int:
        """What the queue holds, in the unit of its sizer."""

    @property
    def nbytes(self) -> int:
        """Encoded bytes that the queue holds."""

    async def put(self, batch: Batch, result: "asyncio.Future[None] | None" = None) -> None:
        """Take responsibility for a batch; raise RetryableError when the queue is full."""

    async def take(self) -> Queued:
        """Return the next item; waits for one."""

    def take_nowait(self) -> Queued | None:
        """Return the next item, or None when none is at hand."""

    async def done(self, item: Queued) -> None:
        """Remove an item that was taken."""

    async def close(self) -> int:
        """Release the queue and return the number of items (spans, points, records) lost with it."""


def _measure(sizer: str, batch: Batch) -> int:
    if sizer == "requests":
        return 1
    return len(batch) if sizer == "items" else batch.nbytes


class _Room:
    """Bounds a queue by its sizer; refuses or lets wait when it is full."""

    def __init__(self, config: QueueConfig, owner: str) -> None:
        self.config = config
        self.owner = owner
        self.freed = asyncio.Condition()

    def check_possible(self, size: int, nbytes: int) -> None:
        config = self.config
        if size > config.queue_size:
            raise PermanentError(
                f"{self.owner}: a batch must fit into the sending queue, {config.queue_size} {config.sizer}, got {size}"
            )
        if nbytes > config.max_bytes:
            raise PermanentError(
                f"{self.owner}: a batch must fit into the sending queue, {config.max_bytes} bytes, got {nbytes}"
            )

    def full(self, held: int, size: int, held_bytes: int, nbytes: int) -> bool:
        return held + size > self.config.queue_size or held_bytes + nbytes > self.config.max_bytes

    def refusal(self) -> RetryableError:
        return RetryableError(f"{self.owner}: the sending queue is full; send again later", admission=True)

    async def notify(self) -> None:
        if self.config.block_on_overflow:
            async with self.freed:
                self.freed.notify_all()


class MemoryQueue:
    """A queue that lives as long as the agent."""

    def __init__(self, config: QueueConfig, owner: str) -> None:
        self._config = config
        self._room = _Room(config, owner)
        self._waiting: deque[Queued] = deque()
        self._arrived = asyncio.Event()
        self._size = self._bytes = self._items = 0

    @property
    def size(self) -> int:
        """What the queue holds, in the unit of its sizer."""
        return self._size

    @property
    def nbytes(self) -> int:
        """Encoded bytes that the queue holds."""
        return self._bytes

    async def put(self, batch: Batch, result: "asyncio.Future[None] | None" = None) -> None:
        """Queue a batch in its encoded form; raise RetryableError when the queue is full."""
        item = Queued(batch.compact(), _measure(self._config.sizer, batch), result)
        self._room.check_possible(item.size, batch.nbytes)
        while self._room.full(self._size, item.size, self._bytes, batch.nbytes):
            if not self._config.block_on_overflow:
                raise self._room.refusal()
            async with self._room.freed:
                await self._room.freed.wait()
        self._count(item, 1)
        self._waiting.append(item)
        self._arrived.set()

    def _count(self, item: Queued, sign: int) -> None:
        self._size += sign * item.size
        self._bytes += sign * item.batch.nbytes
        self._items += sign * len(item.batch)

    async def take(self) -> Queued:
        """Return the next item; waits for one."""
        while (item := self.take_nowait()) is None:
            self._arrived.clear()
            await self._arrived.wait()
        return item

    def take_nowait(self) -> Queued | None:
        """Return the next item, or None when none waits."""
        return self._waiting.popleft() if self._waiting else None

    async def done(self, item: Queued) -> None:
        """Remove an item that was taken."""
        self._count(item, -1)
        await self._room.notify()

    async def close(self) -> int:
        """Return the number of items lost with the queue."""
        return self._items


class DiskQueue:
    """A queue that survives the agent: a batch put into it is on the disk before `put` returns."""

    def __init__(self, queue: DurableQueue, config: QueueConfig, owner: str) -> None:
        self._queue = queue
        self._config = config
        self._owner = owner
        self._room = _Room(config, owner)
        self._appending_size = 0
        self._items = 0

    @property
    def size(self) -> int:
        """What the queue holds, in the unit of its sizer; items of an earlier run are counted only as requests."""
        if self._config.sizer == "bytes":
            return self._queue.bytes
        return self._queue.records if self._config.sizer == "requests" else max(0, self._items)

    @property
    def nbytes(self) -> int:
        """Bytes that wait on the disk."""
        return self._queue.bytes

    async def put(self, batch: Batch, result: "asyncio.Future[None] | None" = None) -> None:
        """Write a batch to the disk; raise RetryableError when the queue or the disk is full.

        A sender cannot wait for the result of a durable queue: once the batch is on the disk it is taken.
        """
        record, size = encode_record(batch), _measure(self._config.sizer, batch)
        self._room.check_possible(size, len(record))
        while self._is_full(size, len(record)):
            if not self._config.block_on_overflow:
                raise self._room.refusal()
            async with self._room.freed:
                await self._room.freed.wait()
        self._appending_size += size
        try:
            await self._queue.append(record)
        except QueueClosed as error:
            raise RetryableError(f"{self._owner}: the agent is stopping; send again later") from error
        finally:
            self._appending_size -= size
        self._items += len(batch)

    def _is_full(self, size: int, nbytes: int) -> bool:
        held = self.size + self._appending_size
        return held + size > self._config.queue_size or not self._queue.has_room(nbytes)

    async def take(self) -> Queued:
        """Return the next item; waits for one."""
        return self._item(await self._queue.take())

    def take_nowait(self) -> Queued | None:
        """Return the next item if it is in memory."""
        entry = self._queue.take_nowait()
        return None if entry is None else self._item(entry)

    def _item(self, entry: Any) -> Queued:
        batch = decode_record(entry.record)
        return Queued(batch, _measure(self._config.sizer, batch), entry=entry)

    async def done(self, item: Queued) -> None:
        """Remove an item that was taken."""
        await self._queue.done(item.entry)
        self._items -= len(item.batch)
        await self._room.notify()

    async def close(self) -> int:
        """Release the directory; everything undelivered stays on the disk, so nothing is lost."""
        await self._queue.close()
        return 0
