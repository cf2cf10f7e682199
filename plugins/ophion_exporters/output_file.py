"""A file that records are appended to, whole or not at all: locked, rotated, and reopened when it was moved away."""

import fcntl
import os
import stat
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from ophion_exporters.framing import Framing, end_of_whole_records
from ophion_exporters.rotation import RotationPolicy, backup_path, outdated_backups


class FileInUseError(OSError):
    """Another exporter, of this agent or another one, writes the file."""


class OutputFile:
    """Appends records to `path`. Blocking and not thread-safe: the owner calls it from one thread at a time.

    Every method raises OSError. After an error of `append` the file ends with the record before.
    """

    def __init__(
        self,
        path: Path,
        framing: Framing,
        *,
        now_ns: Callable[[], int],
        rotation: RotationPolicy | None = None,
        fsync: bool = False,
        on_event: Callable[[str, str], None] = lambda event, detail: None,
    ) -> None:
        self._path = path
        self._framing = framing
        self._now_ns = now_ns
        self._rotation = rotation
        self._fsync = fsync
        self._on_event = on_event
        self._fd = -1
        self._size = 0
        self._regular = True
        self._torn = False

    def open(self, *, truncate: bool) -> None:
        """Open or create the file and lock it; empty it, or cut off a last record that a crash left unfinished."""
        fd = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o644)
        try:
            self._regular = stat.S_ISREG(os.fstat(fd).st_mode)
            if self._regular:
                self._lock(fd)
                whole = 0 if truncate else end_of_whole_records(fd, self._framing)
                self._cut(fd, whole)
                self._size = whole
        except BaseException:
            os.close(fd)
            raise
        self._fd, self._torn = fd, False
        if self._fsync:
            _sync_directory(self._path.parent)

    def close(self) -> None:
        """Close the file; safe unopened and twice."""
        fd, self._fd = self._fd, -1
        if fd >= 0:
            os.close(fd)

    def append(self, record: bytes) -> None:
        """Write one record, handed to the operating system (on disk, with fsync) when this returns."""
        self._make_ready(len(record))
        if self._torn:
            self._roll_back()
        try:
            self._write_all(record)
            if self._fsync and self._regular:
                os.fdatasync(self._fd)
        except BaseException:
            self._torn = True
            with suppress(OSError):
                self._roll_back()
            raise
        self._size += len(record)

    def _make_ready(self, nbytes: int) -> None:
        if self._fd >= 0 and self._regular and self._was_moved_away():
            self.close()
            self._on_event("file_reopened", str(self._path))
        if self._fd < 0:
            self.open(truncate=False)
        if self._rotation and self._size and self._size + nbytes > self._rotation.max_bytes:
            self._rotate(self._rotation)

    def _was_moved_away(self) -> bool:
        try:
            there = os.stat(self._path)
        except FileNotFoundError:
            return True
        ours = os.fstat(self._fd)
        return (there.st_dev, there.st_ino) != (ours.st_dev, ours.st_ino)

    def _rotate(self, policy: RotationPolicy) -> None:
        if not self._regular:
            return
        backup = backup_path(self._path, self._now_ns(), policy.localtime)
        self._path.rename(backup)
        self.close()
        self.open(truncate=False)
        self._on_event("file_rotated", str(backup))
        for outdated in outdated_backups(self._path, policy, self._now_ns()):
            with self._reporting("file_backup_not_removed", outdated):
                outdated.unlink(missing_ok=True)

    @contextmanager
    def _reporting(self, event: str, path: Path) -> Iterator[None]:
        # A backup that cannot be removed is no reason to refuse the record.
        try:
            yield
        except OSError as error:
            self._on_event(event, f"{path}: {error.strerror}")

    def _write_all(self, record: bytes) -> None:
        rest = memoryview(record)
        while rest:
            rest = rest[os.write(self._fd, rest) :]

    def _roll_back(self) -> None:
        if self._regular:
            os.ftruncate(self._fd, self._size)
        self._torn = False

    def _lock(self, fd: int) -> None:
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            reason = "is written by another exporter or agent; give each its own path"
            raise FileInUseError(error.errno, reason) from error

    def _cut(self, fd: int, size: int) -> None:
        removed = os.fstat(fd).st_size - size
        if removed:
            os.ftruncate(fd, size)
            self._on_event("file_cut", f"{self._path}: {removed} bytes removed, {size} kept")


def _sync_directory(directory: Path) -> None:
    fd = os.open(directory, os.O_RDONLY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)
