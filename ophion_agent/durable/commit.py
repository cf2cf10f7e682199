"""Group commit for a durable queue: everybody who waits while the disk is busy shares the next write and flush."""

import asyncio
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Executor

from ophion_agent.durable.format import FRAME_HEADER_BYTES
from ophion_agent.durable.segments import SegmentWriter, Written
from ophion_agent.errors import RetryableError

_GROUP_BYTES = 4 << 20
# Two buffers a record, and IOV_MAX is 1024.
_GROUP_RECORDS = 500


class DiskFull(RetryableError):  # noqa: N818 - states the condition
    """The disk refused the record (no space, quota, device error); appending works again when the disk does."""


class GroupCommit:
    """Hands waiting records to the writer, one group at a time, from one event loop.

    `stored` is called with each group that reached the disk, before its callers are told. `reserved` counts the bytes
    (with framing) that wait or are being written.
    """

    def __init__(
        self,
        threads: Executor,
        writer: SegmentWriter,
        segment_bytes: int,
        stored: Callable[[Written, Sequence[bytes]], None],
    ) -> None:
        self._loop = asyncio.get_running_loop()
        self._threads = threads
        self._writer = writer
        self._group_bytes = min(_GROUP_BYTES, segment_bytes)
        self._stored = stored
        self._waiting: deque[tuple[bytes, asyncio.Future[None]]] = deque()
        self._commit: asyncio.Future[Written] | None = None
        self.reserved = 0

    async def append(self, record: bytes) -> None:
        """Return when the record is on the disk; raises DiskFull, and then it is not."""
        told = self._loop.create_future()
        self._waiting.append((record, told))
        self.reserved += len(record) + FRAME_HEADER_BYTES
        if self._commit is None and len(self._waiting) == 1:
            # One turn later, so that all who append in this turn share the flush.
            self._loop.call_soon(self._start)
        await told

    async def idle(self) -> None:
        """Wait until nothing is waiting or being written."""
        while self._waiting or self._commit is not None:
            await (asyncio.wait([self._commit]) if self._commit is not None else asyncio.sleep(0))

    def _next_group(self) -> list[tuple[bytes, asyncio.Future[None]]]:
        group: list[tuple[bytes, asyncio.Future[None]]] = []
        room = self._group_bytes
        while self._waiting and len(group) < _GROUP_RECORDS:
            record, told = self._waiting[0]
            size = len(record) + FRAME_HEADER_BYTES
            if told.cancelled():
                self.reserved -= size
            elif group and size > room:
                break
            else:
                room -= size
                group.append((record, told))
            self._waiting.popleft()
        return group

    def _start(self) -> None:
        if self._commit is not None or not (group := self._next_group()):
            return
        self._commit = self._loop.run_in_executor(self._threads, self._writer.write, [record for record, _ in group])
        self._commit.add_done_callback(lambda commit: self._finished(group, commit))

    def _finished(self, group: list[tuple[bytes, asyncio.Future[None]]], commit: "asyncio.Future[Written]") -> None:
        self._commit = None
        self.reserved -= sum(len(record) + FRAME_HEADER_BYTES for record, _ in group)
        error = commit.exception()
        if error is None:
            self._stored(commit.result(), [record for record, _ in group])
        for _, told in group:
            if told.done():
                continue
            if error is None:
                told.set_result(None)
            else:
                told.set_exception(self._refusal(error))
        self._start()

    def _refusal(self, error: BaseException) -> BaseException:
        if not isinstance(error, OSError):
            return error
        where, why = self._writer.directory, error.strerror or error
        refusal = DiskFull(f"{where}: the disk must take the record, got {why}; make room or repair it")
        refusal.__cause__ = error
        return refusal
