"""A first-in first-out queue of byte records on disk: what a sending queue with `storage` stands on.

An append returns when its record is on the disk; callers that wait at the same time share one write and one flush.
Records are handed out in order and removed when marked as done. A crash at any moment loses nothing that was
acknowledged, and hands out again at most what was marked as done within the last `flush_seconds`.
docs/adr/0002-durable-queue-store.md says why it is a segment log; `durable/format.py` describes the files.
"""

import asyncio
import contextlib
import heapq
import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict
from pathlib import Path
from typing import Any, Protocol

from ophion_agent.durable.commit import GroupCommit
from ophion_agent.durable.format import FRAME_HEADER_BYTES
from ophion_agent.durable.reader import Entry, ReadAhead
from ophion_agent.durable.recovery import Recovered, Recovery, recover
from ophion_agent.durable.segments import (
    Segment,
    SegmentWriter,
    Written,
    discard,
    lock_directory,
    persist,
)
from ophion_agent.errors import OphionError, PermanentError, RetryableError

_MIB = 1 << 20
_LEAST_SEGMENT_BYTES = 64 << 10


class QueueFull(RetryableError):  # noqa: N818 - states the condition
    """The record does not fit into `max_bytes` beside what awaits delivery."""


class RecordTooLarge(PermanentError):  # noqa: N818 - states the condition
    """The record can never fit into this queue."""


class QueueClosed(OphionError):  # noqa: N818 - states the condition
    """The queue was closed; what was not delivered is on the disk."""


class Log(Protocol):
    """The part of a structlog logger that the queue uses."""

    def warning(self, event: str, **fields: Any) -> Any:
        """Log something that an operator should know."""


def _lock_and_recover(directory: Path) -> tuple[int, Recovery]:
    lock = lock_directory(directory)
    try:
        return lock, recover(directory)
    except BaseException:
        os.close(lock)
        raise


def _unlock_abandoned(opening: "asyncio.Future[tuple[int, Recovery]]") -> None:
    if not opening.cancelled() and opening.exception() is None:
        os.close(opening.result()[0])


class DurableQueue:
    """Crash-safe FIFO of byte records in a directory of its own; use it from one event loop.

    `records` and `bytes` (with 24 bytes of framing each) await delivery. `recovered` tells what was found at start and
    which damage was met since. Files go in whole segments: the disk holds up to one segment more than `bytes`, and one
    more for each entry that stays taken while later ones are done.
    """

    def __init__(
        self,
        directory: Path,
        lock: int,
        state: Recovery,
        *,
        max_bytes: int,
        segment_bytes: int,
        max_record_bytes: int,
        flush_seconds: float,
        log: Log,
    ) -> None:
        """Use `open`, which locks and recovers the directory first."""
        self.directory = directory
        self.recovered: Recovered = state.found
        self.records = state.found.records
        self.bytes = state.found.bytes
        self._lock = lock
        self._log = log
        self._max_bytes = max_bytes
        self._max_record_bytes = max_record_bytes
        self._flush_seconds = flush_seconds
        self._segments = state.segments
        self._acked = state.acked
        self._threads = ThreadPoolExecutor(3, thread_name_prefix=f"durable-queue-{directory.name}")
        self._writer = SegmentWriter(directory, state.next, segment_bytes)
        self._commits = GroupCommit(self._threads, self._writer, segment_bytes, self._stored)
        self._available = asyncio.Event()
        self._reader = ReadAhead(
            self._threads, self._segments, self._acked, state.next, changed=self._available.set, damage=self._met_damage
        )
        self._returned: list[Entry] = []
        self._taken: set[int] = set()
        self._dirty = False
        self._flush_failed = False
        self._flush_timer: asyncio.TimerHandle | None = None
        self._flush_task: asyncio.Task[None] | None = None
        self._flush_turn = asyncio.Lock()
        self._closing: asyncio.Task[None] | None = None

    @classmethod
    async def open(
        cls,
        directory: Path,
        *,
        max_bytes: int,
        segment_bytes: int = 16 * _MIB,
        max_record_bytes: int = 64 * _MIB,
        flush_seconds: float = 0.25,
        log: Log,
    ) -> "DurableQueue":
        """Lock and recover the directory, creating it where needed; segments are at most an eighth of `max_bytes`.

        Raises DirectoryInUse, UnknownFormat or another OSError.
        """
        opening = asyncio.ensure_future(asyncio.to_thread(_lock_and_recover, directory))
        try:
            lock, state = await asyncio.shield(opening)
        except asyncio.CancelledError:
            opening.add_done_callback(_unlock_abandoned)
            raise
        queue = cls(
            directory,
            lock,
            state,
            max_bytes=max_bytes,
            segment_bytes=min(segment_bytes, max(max_bytes // 8, _LEAST_SEGMENT_BYTES)),
            max_record_bytes=min(max_record_bytes, max_bytes - FRAME_HEADER_BYTES),
            flush_seconds=flush_seconds,
            log=log,
        )
        found = state.found
        if found.truncated_bytes or found.quarantined_segments or found.redelivers:
            log.warning("durable_queue_recovered", directory=str(directory), **asdict(found))
        queue._reader.prefetch()
        return queue

    # ---- appending

    async def append(self, record: bytes) -> None:
        """Return when the record is on the disk.

        Raises QueueFull, DiskFull, RecordTooLarge or QueueClosed, and then it is not. A caller that is cancelled does
        not know.
        """
        if self._closing is not None:
            raise QueueClosed(
                f"{self.directory}: the queue must be open, got a record after close; send it again later"
            )
        if len(record) > self._max_record_bytes:
            raise RecordTooLarge(
                f"{self.directory}: a record must be at most {self._max_record_bytes} bytes, got {len(record)}; "
                "send smaller batches or enlarge the queue"
            )
        if not self.has_room(len(record)):
            raise QueueFull(
                f"{self.directory}: at most {self._max_bytes} bytes may wait, "
                f"got {self.bytes + self._commits.reserved} and {len(record)} more; send it again later",
                admission=True,
            )
        await self._commits.append(record)

    def has_room(self, nbytes: int) -> bool:
        """Tell whether a record of this many bytes fits into `max_bytes` now."""
        return self.bytes + self._commits.reserved + nbytes + FRAME_HEADER_BYTES <= self._max_bytes

    def _stored(self, written: Written, records: Sequence[bytes]) -> None:
        segment = written.segment
        if not self._segments or self._segments[-1] is not segment:
            if self._segments:
                self._segments[-1].complete = True
            self._segments.append(segment)
        segment.next = written.first + len(records)
        self._count(segment, len(records), written.offsets[-1] - segment.end)
        segment.end = written.offsets[-1]
        self._reader.offer(written, records)

    def _count(self, segment: Segment, records: int, nbytes: int) -> None:
        segment.records += records
        segment.bytes += nbytes
        self.records += records
        self.bytes += nbytes

    # ---- handing out

    async def take(self) -> Entry:
        """Return the next record that is neither taken nor done; waits for one. Raises QueueClosed."""
        while (entry := self.take_nowait()) is None:
            if self._closing is not None:
                raise QueueClosed(f"{self.directory}: the queue must be open, got a take after close; open it again")
            self._available.clear()
            await self._available.wait()
        return entry

    def take_nowait(self) -> Entry | None:
        """Return the next record if it is in memory; None also while it is being read from the disk, or when closed."""
        if self._closing is not None:
            return None
        entry = heapq.heappop(self._returned) if self._returned else self._reader.pop()
        if entry is not None:
            self._taken.add(entry.position)
        return entry

    def requeue(self, entry: Entry) -> None:
        """Hand a taken entry out again, before everything behind it. Raises ValueError when it is not taken."""
        self._give_back(entry)
        heapq.heappush(self._returned, entry)
        self._available.set()

    def _give_back(self, entry: Entry) -> None:
        if entry.position not in self._taken:
            raise ValueError(f"{self.directory}: the entry must be taken, got position {entry.position}, which is not")
        self._taken.remove(entry.position)

    def _met_damage(self, segment: Segment, damaged_bytes: int, lost_records: int) -> None:
        # A scanned segment was counted without its damage, and reported.
        if segment.scanned and not lost_records:
            return
        self._count(segment, -lost_records, 0 if segment.scanned else -damaged_bytes)
        self.recovered.lost_records += lost_records
        self.recovered.quarantined_segments += not segment.damaged
        segment.damaged = True
        self._schedule_flush()
        self._log.warning(
            "durable_queue_segment_damaged",
            file=str(segment.path),
            damaged_bytes=damaged_bytes,
            lost_records=lost_records,
            kept_records=segment.records,
        )

    # ---- removing

    async def done(self, entry: Entry) -> None:
        """Mark a taken entry as delivered; stored within `flush_seconds`. Raises ValueError when it is not taken."""
        self._give_back(entry)
        self._acked.add(entry.position, entry.position + 1)
        self._count(entry.segment, -1, -len(entry.record) - FRAME_HEADER_BYTES)
        self._schedule_flush()

    def _schedule_flush(self) -> None:
        self._dirty = True
        if self._flush_timer is None and self._closing is None:
            self._flush_timer = asyncio.get_running_loop().call_later(self._flush_seconds, self._start_flush)

    def _start_flush(self) -> None:
        self._flush_timer = None
        self._flush_task = asyncio.create_task(self.flush())

    async def flush(self) -> None:
        """Store now which records are done, and remove the files that hold nothing else.

        A disk that refuses is logged once and tried again: the price is only that records may be delivered twice.
        """
        async with self._flush_turn:
            if not self._dirty:
                return
            self._dirty = False
            finished = [segment for segment in self._segments if segment.complete and not segment.records]
            for segment in finished:
                self._segments.remove(segment)
                self._count(segment, 0, -segment.bytes)
            if await self._try(persist, self.directory, self._acked.encode(), finished):
                self._flush_failed = False
            else:
                self._schedule_flush()

    async def _try(self, job: Any, *arguments: Any) -> bool:
        try:
            await asyncio.get_running_loop().run_in_executor(self._threads, job, *arguments)
        except OSError as error:
            if not self._flush_failed:
                self._log.warning("durable_queue_flush_failed", directory=str(self.directory), error=str(error))
            self._flush_failed = True
            return False
        return True

    # ---- the end

    async def close(self) -> None:
        """Store what is pending and release the directory; safe twice.

        Appends that wait are finished; takers that wait get QueueClosed.
        """
        if self._closing is None:
            self._closing = asyncio.create_task(self._close())
        await asyncio.shield(self._closing)

    async def _close(self) -> None:
        self._available.set()
        if self._flush_timer is not None:
            self._flush_timer.cancel()
        try:
            await self._commits.idle()
            await self._reader.close()
            await self.flush()
            if self._flush_task is not None:
                await self._flush_task
            await self._try(self._writer.close)
            if self._segments and not self._segments[-1].records:
                await self._try(discard, self._segments[-1:])
        finally:
            self._threads.shutdown()
            with contextlib.suppress(OSError):
                os.close(self._lock)
