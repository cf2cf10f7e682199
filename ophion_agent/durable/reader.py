"""Reads a durable queue's records ahead of its consumers, within a bound of memory."""

import asyncio
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass, field

from ophion_agent.durable.acked import Acked
from ophion_agent.durable.format import FILE_HEADER_BYTES, Chunk
from ophion_agent.durable.segments import Segment, Written, read_segment

_READ_AHEAD_BYTES = 4 << 20


@dataclass(frozen=True, slots=True, eq=False)
class Entry:
    """A record handed out. `position` counts records over the life of the queue."""

    position: int
    record: bytes
    segment: Segment = field(repr=False)

    def __lt__(self, other: "Entry") -> bool:
        return self.position < other.position


class ReadAhead:
    """Yields entries in order, from memory while consumers keep up with appends and from the disk otherwise.

    `segments` is shared with the queue, which appends to it and removes from it. `changed` is called when entries
    became ready; `damage` with a segment, its damaged bytes and how many records were lost in them.
    """

    def __init__(
        self,
        threads: Executor,
        segments: list[Segment],
        acked: Acked,
        next_position: int,
        *,
        changed: Callable[[], None],
        damage: Callable[[Segment, int, int], None],
    ) -> None:
        self._loop = asyncio.get_running_loop()
        self._threads = threads
        self._segments = segments
        self._acked = acked
        self._changed = changed
        self._damage = damage
        self._ready: deque[Entry] = deque()
        self._ready_bytes = 0
        self._fill: asyncio.Future[Chunk] | None = None
        self._closed = False
        self._from = segments[0] if segments else None
        self._offset = FILE_HEADER_BYTES
        self._next = self._from.label.first if self._from else next_position

    def pop(self) -> Entry | None:
        """Return the next entry that is in memory, and read more ahead when little is left."""
        if not self._ready:
            return None
        entry = self._ready.popleft()
        self._ready_bytes -= len(entry.record)
        self.prefetch()
        return entry

    def offer(self, written: Written, records: Sequence[bytes]) -> None:
        """Take over just stored records where everything before them was read: they need no way over the disk."""
        if self._next == written.first and self._fill is None:
            for index, record in enumerate(records):
                if self._ready and self._ready_bytes + len(record) > _READ_AHEAD_BYTES:
                    break
                self._make_ready(Entry(written.first + index, record, written.segment))
                self._from, self._offset = written.segment, written.offsets[index]
                self._next = written.first + index + 1
            self._changed()
        self.prefetch()

    def prefetch(self) -> None:
        """Begin to read from the disk, unless enough is in memory, nothing is left or a read is under way."""
        if self._fill is not None or self._closed or self._ready_bytes > _READ_AHEAD_BYTES // 2:
            return
        segment = self._segment()
        if segment is None:
            return
        end, budget = segment.end, _READ_AHEAD_BYTES - self._ready_bytes
        self._fill = self._loop.run_in_executor(
            self._threads, read_segment, segment, self._offset, self._next, end, budget
        )
        self._fill.add_done_callback(lambda fill: self._filled(segment, end, fill))

    async def close(self) -> None:
        """Read no more; returns when no read is under way."""
        self._closed = True
        while self._fill is not None:
            await asyncio.wait([self._fill])

    def _make_ready(self, entry: Entry) -> None:
        self._ready.append(entry)
        self._ready_bytes += len(entry.record)

    def _segment(self) -> Segment | None:
        """Return the segment of the next record to read, going on to the next file at the end of one."""
        current = self._from
        if current is not None and self._next < current.next:
            return current
        if not self._segments or self._segments[-1].next <= self._next:
            return None
        current = next(segment for segment in self._segments if segment.next > self._next)
        self._from, self._offset = current, FILE_HEADER_BYTES
        self._next = max(self._next, current.label.first)
        return current

    def _filled(self, segment: Segment, end: int, fill: "asyncio.Future[Chunk]") -> None:
        self._fill = None
        chunk = fill.result()
        lost = 0
        for position, record in chunk.frames:
            lost += self._acked.add(self._next, position)
            self._next = position + 1
            if position not in self._acked:
                self._make_ready(Entry(position, record, segment))
        self._offset = chunk.offset
        damaged_bytes = chunk.damaged_bytes
        # Records appended meanwhile are behind `end`, so what is unreadable before it is not the last word yet.
        if chunk.offset + chunk.trailing_bytes >= end == segment.end:
            lost += self._acked.add(self._next, segment.next)
            self._next, self._offset = segment.next, end
            damaged_bytes += chunk.trailing_bytes
        if damaged_bytes or lost:
            self._damage(segment, damaged_bytes, lost)
        self._changed()
        self.prefetch()
