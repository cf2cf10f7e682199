"""The bytes of a durable queue's segment files: layout, framing and a reader that survives damage.

    <first position, 20 digits>-<salt, 8 hex digits>.seg
        file header   magic, version, salt, first position, CRC-32
        frame         magic, length, position, CRC-32 of the record, CRC-32 of this header seeded with the salt; record
        ...
        seal          a frame header without a record, whose position is one past the last; ends a complete file

All integers are little-endian. A position counts records over the whole life of a queue, so that losing part of a
file never renumbers the rest. The name repeats what the file header says, hence a damaged file header costs no record.
The salt is random: a record that contains the bytes of a frame, by chance or by intent, is not mistaken for one after
damage. CRC-32 is zlib's polynomial, computed by ISA-L several times faster than by zlib, and readable with either.
"""

import os
import re
import struct
from dataclasses import dataclass, field

from isal.isal_zlib import crc32

VERSION = 1
SUFFIX = ".seg"
MAX_POSITION = 2**64 - 1

_FILE_HEADER = struct.Struct("<8sIIQI")
_FILE_MAGIC = b"OPHIONQ\n"
_FRAME = struct.Struct("<4sIQII")
_FRAME_BODY = struct.Struct("<4sIQI")
_FRAME_MAGIC = b"\xf5OPr"
_SEAL_MAGIC = b"\xf5OPe"
_CRC = struct.Struct("<I")
_NAME = re.compile(r"(\d{20})-([0-9a-f]{8})\.seg")
_WINDOW_BYTES = 128 << 10
_LARGE_RECORD_BYTES = 16 << 10
_SEARCH_BYTES = 1 << 20

FILE_HEADER_BYTES = _FILE_HEADER.size
FRAME_HEADER_BYTES = _FRAME.size


@dataclass(frozen=True, slots=True)
class Label:
    """What a segment's name and file header both say: its first position and its salt."""

    first: int
    salt: int

    @property
    def file_name(self) -> str:
        """Return the name under which the segment is stored; names sort in order of position."""
        return f"{self.first:020d}-{self.salt:08x}{SUFFIX}"

    def encode(self) -> bytes:
        """Return the file header."""
        head = _FILE_HEADER.pack(_FILE_MAGIC, VERSION, self.salt, self.first, 0)[: -_CRC.size]
        return head + _CRC.pack(crc32(head))

    @classmethod
    def from_name(cls, name: str) -> "Label | None":
        """Return the label in a file name, or None for a file that is no segment."""
        match = _NAME.fullmatch(name)
        return cls(int(match[1]), int(match[2], 16)) if match else None


def header_version(head: bytes) -> int | None:
    """Return the format version in a file header, or None when the header is damaged or incomplete."""
    if len(head) < FILE_HEADER_BYTES:
        return None
    magic, version, _, _, check = _FILE_HEADER.unpack_from(head)
    intact = magic == _FILE_MAGIC and crc32(head[: FILE_HEADER_BYTES - _CRC.size]) == check
    return int(version) if intact else None


def _frame_header(magic: bytes, length: int, position: int, check: int, salt: int) -> bytes:
    head = _FRAME_BODY.pack(magic, length, position, check)
    return head + _CRC.pack(crc32(head, salt))


def frame_header(record: bytes, position: int, salt: int) -> bytes:
    """Return the header that goes before `record` in a segment with this salt."""
    return _frame_header(_FRAME_MAGIC, len(record), position, crc32(record), salt)


def seal(next_position: int, salt: int) -> bytes:
    """Return the mark of a complete segment whose last record is the one before `next_position`."""
    return _frame_header(_SEAL_MAGIC, 0, next_position, 0, salt)


def sealed_at(tail: bytes, salt: int) -> int | None:
    """Return the position in a seal, given the last FRAME_HEADER_BYTES of a file, or None when they are no seal."""
    head = _decode(tail, _SEAL_MAGIC, salt)
    return head[1] if head else None


def _decode(head: bytes, magic: bytes, salt: int) -> tuple[int, int, int] | None:
    """Return length, position and record CRC of an intact frame header, else None."""
    if len(head) != FRAME_HEADER_BYTES:
        return None
    found, length, position, check, own_check = _FRAME.unpack(head)
    if found != magic or crc32(head[: -_CRC.size], salt) != own_check:
        return None
    return length, position, check


@dataclass(slots=True)
class Chunk:
    """Part of a segment, as read.

    `frames` holds (position, record) in order. `offset` is where the next chunk begins. `damaged_bytes` were skipped
    between intact frames; `trailing_bytes` follow the last intact frame up to the end, when the end was reached.
    """

    offset: int
    position: int
    frames: list[tuple[int, bytes]] = field(default_factory=list)
    frame_bytes: int = 0
    damaged_bytes: int = 0
    trailing_bytes: int = 0


class FrameReader:
    """Reads frames from an open segment, stepping over whatever is damaged.

    `end` bounds the file part to read; positions must lie in [`position`, `before`). Errors of the device count as
    damage of the part that cannot be read, because the records behind it may still be readable.
    """

    def __init__(self, fd: int, salt: int, *, end: int, before: int = MAX_POSITION) -> None:
        self._fd = fd
        self._salt = salt
        self._end = end
        self._before = before
        self._window = b""
        self._window_at = 0
        self._large = False

    def read(self, offset: int, position: int, budget_bytes: int) -> Chunk:
        """Return the frames from `offset` on until they hold `budget_bytes`, and at least one if there is any."""
        chunk = Chunk(offset, position)
        here = offset
        while here < self._end and chunk.frame_bytes < budget_bytes:
            head = self._head(here, chunk.position)
            if head is None:
                here = self._next_frame(here + 1, chunk.position)
                continue
            length, position, check = head
            self._large = length >= _LARGE_RECORD_BYTES
            record = self._bytes(here + FRAME_HEADER_BYTES, length)
            here += FRAME_HEADER_BYTES + length
            if len(record) == length and crc32(record) == check:
                self._accept(chunk, here, position, record)
        if here >= self._end and chunk.frame_bytes < budget_bytes:
            chunk.trailing_bytes = self._end - chunk.offset
        return chunk

    def _accept(self, chunk: Chunk, here: int, position: int, record: bytes) -> None:
        size = FRAME_HEADER_BYTES + len(record)
        chunk.frames.append((position, record))
        chunk.damaged_bytes += here - size - chunk.offset
        chunk.frame_bytes += size
        chunk.offset = here
        chunk.position = position + 1

    def _head(self, offset: int, position: int) -> tuple[int, int, int] | None:
        head = _decode(self._bytes(offset, FRAME_HEADER_BYTES), _FRAME_MAGIC, self._salt)
        if head is None or not position <= head[1] < self._before:
            return None
        return head if offset + FRAME_HEADER_BYTES + head[0] <= self._end else None

    def _next_frame(self, offset: int, position: int) -> int:
        """Return where the next intact frame header begins at or after `offset`, or the end."""
        while offset < self._end:
            part = self._pread(offset, min(_SEARCH_BYTES, self._end - offset))
            hit = part.find(_FRAME_MAGIC)
            while hit >= 0:
                if self._head(offset + hit, position) is not None:
                    return offset + hit
                hit = part.find(_FRAME_MAGIC, hit + 1)
            # The last bytes of a part may be the beginning of the magic.
            offset += max(len(part) - len(_FRAME_MAGIC) + 1, 1) if part else _SEARCH_BYTES
        return self._end

    def _bytes(self, offset: int, count: int) -> bytes:
        start = offset - self._window_at
        if start < 0 or start + count > len(self._window):
            # Small records are read many at a time; large ones, and the header after one, without a second copy.
            if self._large:
                return self._pread(offset, count)
            self._window = self._pread(offset, min(_WINDOW_BYTES, self._end - offset))
            self._window_at = offset
            start = 0
        return self._window[start : start + count]

    def _pread(self, offset: int, count: int) -> bytes:
        try:
            return os.pread(self._fd, count, offset)
        except OSError:
            return b""
