"""A durable queue's directory: its lock, its segment files and the writer that appends to them.

Everything here blocks and runs in threads.
"""

import contextlib
import fcntl
import os
import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from ophion_agent.durable import acked as delivered_file
from ophion_agent.durable.format import (
    FILE_HEADER_BYTES,
    FRAME_HEADER_BYTES,
    SUFFIX,
    Chunk,
    FrameReader,
    Label,
    frame_header,
    seal,
)
from ophion_agent.errors import OphionError

LOCK_NAME = "lock"
CORRUPT_SUFFIX = ".corrupt"
_KEPT_CORRUPT_FILES = 8

# fsync also flushes times, which nothing here reads; macOS has no fdatasync.
_sync_data = getattr(os, "fdatasync", os.fsync)


class DirectoryInUse(OphionError, OSError):  # noqa: N818 - states the condition
    """Another queue, here or in another process, holds the directory."""


@dataclass(slots=True, eq=False)
class Segment:
    """One file of the queue. `next` is one past its last position; `end` is where its intact frames stop.

    `records` and `bytes` count what awaits delivery. `complete` files are never written again.
    """

    path: Path
    label: Label
    next: int
    end: int
    records: int = 0
    bytes: int = 0
    complete: bool = True
    scanned: bool = False
    damaged: bool = False


def sync_directory(directory: Path) -> None:
    """Make created, renamed and removed names durable."""
    fd = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def lock_directory(directory: Path) -> int:
    """Create the directory where needed and lock it; returns the descriptor that holds the lock.

    Raises DirectoryInUse with the holder's process id, and OSError when the directory cannot be created or used.
    """
    if not directory.is_dir():
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        sync_directory(directory.parent)
    fd = os.open(directory / LOCK_NAME, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        # A full disk must not keep the queue from draining; the id is only for the message below.
        with contextlib.suppress(OSError):
            os.ftruncate(fd, 0)
            os.pwrite(fd, str(os.getpid()).encode(), 0)
    except BlockingIOError:
        holder = os.pread(fd, 20, 0).decode("ascii", "replace").strip() or "unknown"
        os.close(fd)
        raise DirectoryInUse(
            f"{directory}: must belong to one queue, got a second (held by process {holder}); "
            "stop that process or configure another directory"
        ) from None
    except BaseException:
        os.close(fd)
        raise
    return fd


def read_segment(segment: Segment, offset: int, position: int, end: int, budget_bytes: int) -> Chunk:
    """Return the next frames of a segment; none when its file is gone or unreadable, which counts as damage."""
    try:
        fd = os.open(segment.path, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return Chunk(offset, position, trailing_bytes=end - offset)
    try:
        return FrameReader(fd, segment.label.salt, end=end, before=segment.next).read(offset, position, budget_bytes)
    finally:
        os.close(fd)


def _set_aside(path: Path) -> None:
    """Keep a damaged file under a name that recovery ignores; the oldest beyond a handful are removed."""
    path.rename(path.with_name(path.name + CORRUPT_SUFFIX))
    kept = sorted(path.parent.glob(f"*{SUFFIX}{CORRUPT_SUFFIX}"))
    for old in kept[:-_KEPT_CORRUPT_FILES]:
        old.unlink()


def discard(segments: Sequence[Segment]) -> None:
    """Remove delivered files; damaged ones are set aside instead."""
    for segment in segments:
        with contextlib.suppress(FileNotFoundError):
            if segment.damaged:
                _set_aside(segment.path)
            else:
                segment.path.unlink()


def persist(directory: Path, delivered: bytes, done: Sequence[Segment]) -> None:
    """Store the delivered set, then remove the files that it covers.

    The files go even when the set cannot be stored: on a full disk that is what makes room. Raises OSError.
    """
    try:
        delivered_file.save(directory, delivered)
    finally:
        discard(done)
        sync_directory(directory)


@dataclass(slots=True)
class Written:
    """Where a group of records went: the file, the first record's position and the offset behind each record."""

    segment: Segment
    first: int
    offsets: list[int]


class SegmentWriter:
    """Appends groups of records to the newest segment; used by one thread at a time.

    A group is acknowledged only when all of it is on the disk. After a failure its part of the file is cut off, and
    where that fails too, or the device refused to flush, the file is left for good: what a failed flush wrote is
    unknown.
    """

    def __init__(self, directory: Path, next_position: int, segment_bytes: int) -> None:
        self.directory = directory
        self._next = next_position
        self._segment_bytes = segment_bytes
        self._segment: Segment | None = None
        self._fd = -1
        self._end = 0

    def write(self, records: Sequence[bytes]) -> Written:
        """Append the records and flush them to the disk; raises OSError, and then none of them was appended."""
        size = sum(map(len, records)) + len(records) * FRAME_HEADER_BYTES
        segment = self._segment
        if segment is None or (self._end > FILE_HEADER_BYTES and self._end + size > self._segment_bytes):
            segment = self._roll()
        buffers: list[bytes] = []
        offsets: list[int] = []
        end = self._end
        for position, record in enumerate(records, self._next):
            buffers += (frame_header(record, position, segment.label.salt), record)
            end += FRAME_HEADER_BYTES + len(record)
            offsets.append(end)
        self._write(buffers)
        first, self._end = self._next, end
        self._next += len(records)
        return Written(segment, first, offsets)

    def _write(self, buffers: list[bytes]) -> None:
        flushing = False
        try:
            _write_all(self._fd, buffers, self._end)
            flushing = True
            _sync_data(self._fd)
        except OSError:
            try:
                os.ftruncate(self._fd, self._end)
            except OSError:
                flushing = True
            if flushing:
                self._abandon()
            raise

    def _abandon(self) -> None:
        segment = self._segment
        os.close(self._fd)
        self._segment, self._fd = None, -1
        # The next file begins at the same position, which two files must not share.
        if segment is not None and self._end == FILE_HEADER_BYTES:
            segment.path.unlink(missing_ok=True)

    def _roll(self) -> Segment:
        label = Label(self._next, secrets.randbits(32))
        path = self.directory / label.file_name
        fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        try:
            _write_all(fd, [label.encode()], 0)
            os.fsync(fd)
            sync_directory(self.directory)
        except BaseException:
            os.close(fd)
            path.unlink(missing_ok=True)
            raise
        self.close()
        self._segment = Segment(path, label, label.first, FILE_HEADER_BYTES, complete=False)
        self._fd, self._end = fd, FILE_HEADER_BYTES
        return self._segment

    def close(self) -> None:
        """Seal the newest segment; one without records is removed."""
        if self._segment is None:
            return
        # A missing or torn seal only makes recovery read the file.
        with contextlib.suppress(OSError):
            if self._end > FILE_HEADER_BYTES:
                _write_all(self._fd, [seal(self._next, self._segment.label.salt)], self._end)
            else:
                self._segment.path.unlink(missing_ok=True)
        os.close(self._fd)
        self._segment, self._fd = None, -1


def _write_all(fd: int, buffers: list[bytes], offset: int) -> None:
    """Write every byte; a short write (a nearly full disk) is continued so that its cause surfaces as OSError."""
    written = os.pwritev(fd, buffers, offset)
    if written < sum(map(len, buffers)):
        rest = memoryview(b"".join(buffers))[written:]
        while rest:
            count = os.pwrite(fd, rest, offset + written)
            written, rest = written + count, rest[count:]
