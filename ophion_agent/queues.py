"""Sending queues: in memory, or on the disk of a storage extension. Both are bounded, and say so to the sender."""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any, Protocol

from ophion_agent.batch import Batch
from ophion_agent.delivery import QueueConfig
from ophion_agent.durable import DurableQueue, Entry, QueueClosed
from ophion_agent.durable.format import FRAME_HEADER_BYTES
from ophion_agent.errors import PermanentError, RetryableError
from ophion_agent.records import decode_record, encode_record


@dataclass(slots=True, eq=False)
class Queued:
    """A batch in a queue. `result` is set by whoever delivers it, for a sender that waits for the result."""

    batch: Batch
    size: int
    result: "asyncio.Future[None] | None" = None
    entry: Any = field(default=None, repr=False)

    @property
    def is_waited_for(self) -> bool:
        """Whether a sender still waits for the result."""
        return self.result is not None and not self.result.done()


SetAside = Callable[[bytes, PermanentError], Awaitable[None]]


class SendingQueue(Protocol):
    """What the sending stack needs of a queue. An item counts until it is done, also while it is being sent."""

    @property
    def empty(self) -> bool:
        """Whether nothing waits and nothing is being sent."""

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

    async def refuse(self) -> None:
        """Take nothing more; senders that wait for room get a RetryableError."""

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
        self._freed = asyncio.Condition()
        self._closed = False

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

    async def wait_until_free(self, full: Callable[[], bool]) -> None:
        """Return once `full` tells that there is room; raise RetryableError where nobody is to wait for it."""
        if full() and self.config.block_on_overflow:
            async with self._freed:
                await self._freed.wait_for(lambda: self._closed or not full())
        if self._closed:
            raise self.stopping()
        if full():
            raise RetryableError(f"{self.owner}: the sending queue is full; send again later", admission=True)

    def stopping(self) -> RetryableError:
        return RetryableError(f"{self.owner}: the agent is stopping; send again later")

    async def notify(self) -> None:
        if self.config.block_on_overflow:
            async with self._freed:
                self._freed.notify_all()

    async def close(self) -> None:
        self._closed = True
        await self.notify()


class MemoryQueue:
    """A queue that lives as long as the agent."""

    def __init__(self, config: QueueConfig, owner: str) -> None:
        self._config = config
        self._room = _Room(config, owner)
        self._waiting: deque[Queued] = deque()
        self._arrived = asyncio.Event()
        self._results: set[asyncio.Future[None]] = set()
        self._size = self._bytes = self._items = self._requests = 0

    @property
    def empty(self) -> bool:
        """Whether nothing waits and nothing is being sent."""
        return not self._requests

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
        await self._room.wait_until_free(lambda: self._room.full(self._size, item.size, self._bytes, item.batch.nbytes))
        self._count(item, 1)
        if result is not None:
            self._results.add(result)
            result.add_done_callback(self._results.discard)
        self._waiting.append(item)
        self._arrived.set()

    def _count(self, item: Queued, sign: int) -> None:
        self._size += sign * item.size
        self._bytes += sign * item.batch.nbytes
        self._items += sign * len(item.batch)
        self._requests += sign

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

    async def refuse(self) -> None:
        """Take nothing more; senders that wait for room get a RetryableError."""
        await self._room.close()

    async def close(self) -> int:
        """Return the number of items lost with the queue; senders that wait for a result are told."""
        await self.refuse()
        for result in list(self._results):
            if not result.done():
                result.set_exception(self._room.stopping())
        return self._items


class DiskQueue:
    """A queue that survives the agent: a batch put into it is on the disk before `put` returns.

    A record that this version cannot read goes to `set_aside`, so that it never stands in the way of the others.
    """

    def __init__(self, queue: DurableQueue, config: QueueConfig, owner: str, set_aside: SetAside) -> None:
        self._queue = queue
        self._config = config
        self._set_aside = set_aside
        self._room = _Room(config, owner)
        self._appending_size = 0
        self._items = 0

    @property
    def empty(self) -> bool:
        """Whether nothing waits and nothing is being sent."""
        return not self._queue.records

    @property
    def size(self) -> int:
        """What the queue holds, in the unit of its sizer; items of an earlier run are not counted as items."""
        if self._config.sizer == "bytes":
            return self._queue.bytes
        return self._queue.records if self._config.sizer == "requests" else self._items

    @property
    def nbytes(self) -> int:
        """Bytes that wait on the disk."""
        return self._queue.bytes

    async def put(self, batch: Batch, result: "asyncio.Future[None] | None" = None) -> None:
        """Write a batch to the disk; raise RetryableError when the queue or the disk is full.

        A sender cannot wait for the result of a durable queue: once the batch is on the disk it is taken.
        """
        record, size = encode_record(batch), _measure(self._config.sizer, batch)
        self._room.check_possible(size, len(record) + FRAME_HEADER_BYTES)
        await self._room.wait_until_free(lambda: self._is_full(size, len(record)))
        self._appending_size += size
        self._items += len(batch)
        try:
            await self._append(record)
        except BaseException:
            self._items = max(0, self._items - len(batch))
            raise
        finally:
            self._appending_size -= size

    async def _append(self, record: bytes) -> None:
        try:
            await self._queue.append(record)
        except QueueClosed as error:
            raise self._room.stopping() from error

    def _is_full(self, size: int, nbytes: int) -> bool:
        held = self._items if self._config.sizer == "items" else self.size + self._appending_size
        return held + size > self._config.queue_size or not self._queue.has_room(nbytes)

    async def take(self) -> Queued:
        """Return the next item; waits for one."""
        while True:
            entry = await self._queue.take()
            try:
                return self._item(entry)
            except PermanentError as error:
                await self._give_up(entry, error)

    def take_nowait(self) -> Queued | None:
        """Return the next item if it is in memory."""
        entry = self._queue.take_nowait()
        if entry is None:
            return None
        try:
            return self._item(entry)
        except PermanentError:
            # Setting it aside has to wait for the disk: `take` does that.
            self._queue.requeue(entry)
            return None

    def _item(self, entry: Entry) -> Queued:
        batch = decode_record(entry.record)
        return Queued(batch, _measure(self._config.sizer, batch), entry=entry)

    async def _give_up(self, entry: Entry, error: PermanentError) -> None:
        try:
            await self._set_aside(entry.record, error)
        except BaseException:
            self._queue.requeue(entry)
            raise
        await self._remove(entry, 0)

    async def done(self, item: Queued) -> None:
        """Remove an item that was taken."""
        await self._remove(item.entry, len(item.batch))

    async def _remove(self, entry: Entry, items: int) -> None:
        await self._queue.done(entry)
        # Records of an earlier run, and those lost to damage, make the count of items inexact until the queue is empty.
        self._items = max(0, self._items - items) if self._queue.records else 0
        await self._room.notify()

    async def refuse(self) -> None:
        """Take nothing more; senders that wait for room get a RetryableError."""
        await self._room.close()

    async def close(self) -> int:
        """Release the directory; everything undelivered stays on the disk, so nothing is lost."""
        await self.refuse()
        await self._queue.close()
        return 0
