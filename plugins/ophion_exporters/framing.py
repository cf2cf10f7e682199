"""How records follow one another in a file, and where the last whole one ends."""

import os
from typing import Literal

import orjson

Framing = Literal["lines", "lengths"]
"""How records are told apart: a newline after each, or four bytes of big-endian length before each."""

LENGTH_BYTES = 4

_TAIL_BLOCK = 64 * 1024
# Text read as a length is larger than this; a record that was really written is not.
_PLAUSIBLE_LENGTH = 2**30


class ForeignContentError(OSError):
    """The file holds something that this framing did not write; nothing of it may be cut off."""


def end_of_whole_records(fd: int, framing: Framing) -> int:
    """Return the offset after the last whole record; what follows is one that a crash left unfinished.

    Raises ForeignContentError when what follows cannot be such a record.
    """
    size = os.fstat(fd).st_size
    return _end_of_lines(fd, size) if framing == "lines" else _end_of_frames(fd, size)


def _end_of_lines(fd: int, size: int) -> int:
    end = _after_last_newline(fd, size)
    tail = os.pread(fd, size - end, end)
    if not tail:
        return end
    if not tail.startswith(b"{"):
        raise ForeignContentError(0, "does not hold JSON lines; choose another path or move the file away")
    if _is_json(tail):
        os.write(fd, b"\n")
        return size + 1
    return end


def _after_last_newline(fd: int, size: int) -> int:
    end = size
    while end:
        start = max(0, end - _TAIL_BLOCK)
        newline = os.pread(fd, end - start, start).rfind(b"\n")
        if newline >= 0:
            return start + newline + 1
        end = start
    return 0


def _is_json(text: bytes) -> bool:
    try:
        orjson.loads(text)
    except orjson.JSONDecodeError:
        return False
    return True


def _end_of_frames(fd: int, size: int) -> int:
    end = 0
    while end + LENGTH_BYTES <= size:
        length = int.from_bytes(os.pread(fd, LENGTH_BYTES, end), "big")
        if end + LENGTH_BYTES + length > size:
            if length > _PLAUSIBLE_LENGTH:
                raise ForeignContentError(0, "holds other than length-prefixed records; choose another path")
            break
        end += LENGTH_BYTES + length
    return end
