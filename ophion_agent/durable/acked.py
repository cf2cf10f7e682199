"""Which records of a durable queue were delivered: a set of positions, kept as ranges, and the file that holds it."""

import os
import struct
from bisect import bisect_left, bisect_right
from collections.abc import Iterable
from pathlib import Path

from isal.isal_zlib import crc32

FILE_NAME = "delivered"

_HEADER = struct.Struct("<8sII")
_MAGIC = b"OPHIOND\n"
_VERSION = 1
_RANGE = struct.Struct("<QQ")
_CRC = struct.Struct("<I")


class Acked:
    """Positions that need no delivery any more, as disjoint ascending ranges; the first always begins at 0.

    One range per hole is kept, and holes are the entries being delivered: memory and file stay small.
    """

    def __init__(self, ranges: Iterable[tuple[int, int]] = ()) -> None:
        self._starts = [0]
        self._stops = [0]
        for start, stop in ranges:
            self.add(start, stop)

    @property
    def cursor(self) -> int:
        """Return the lowest position that is not delivered."""
        return self._stops[0]

    @property
    def stop(self) -> int:
        """Return one past the highest delivered position."""
        return self._stops[-1]

    def add(self, start: int, stop: int) -> int:
        """Mark [start, stop) as delivered; returns how many of them were not."""
        if stop <= start:
            return 0
        new = self.missing(start, stop)
        low = bisect_left(self._stops, start)
        high = bisect_right(self._starts, stop)
        if low < high:
            start = min(start, self._starts[low])
            stop = max(stop, self._stops[high - 1])
        self._starts[low:high] = [start]
        self._stops[low:high] = [stop]
        return new

    def missing(self, start: int, stop: int) -> int:
        """Return how many positions of [start, stop) are not delivered."""
        if stop <= start:
            return 0
        low = bisect_right(self._stops, start)
        high = bisect_left(self._starts, stop)
        return stop - start - sum(min(stop, self._stops[i]) - max(start, self._starts[i]) for i in range(low, high))

    def __contains__(self, position: int) -> bool:
        return position < self._stops[bisect_right(self._starts, position) - 1]

    def encode(self) -> bytes:
        """Return the content of the file."""
        ranges = b"".join(map(_RANGE.pack, self._starts, self._stops))
        body = _HEADER.pack(_MAGIC, _VERSION, len(self._starts)) + ranges
        return body + _CRC.pack(crc32(body))

    @classmethod
    def decode(cls, content: bytes) -> "Acked | None":
        """Return the set in a file's content, or None when the content is damaged."""
        body = content[: -_CRC.size]
        if len(body) < _HEADER.size or _CRC.pack(crc32(body)) != content[-_CRC.size :]:
            return None
        magic, version, count = _HEADER.unpack_from(body)
        if magic != _MAGIC or version != _VERSION or len(body) != _HEADER.size + count * _RANGE.size:
            return None
        return cls(_RANGE.iter_unpack(body[_HEADER.size :]))


def save(directory: Path, content: bytes) -> None:
    """Replace the file atomically and durably, except for the directory entry, which is the caller's to sync."""
    temporary = directory / f"{FILE_NAME}.tmp"
    fd = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
    try:
        view = memoryview(content)
        while view:
            view = view[os.write(fd, view) :]
        os.fsync(fd)
    finally:
        os.close(fd)
    os.replace(temporary, directory / FILE_NAME)


def load(directory: Path) -> Acked | None:
    """Return what the file says; an empty set when there is none, None when it is damaged."""
    try:
        return Acked.decode((directory / FILE_NAME).read_bytes())
    except FileNotFoundError:
        return Acked()
