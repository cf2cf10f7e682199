"""Header blocks that come in several frames: HEADERS and CONTINUATION (RFC 9113 sections 6.2 and 6.10)."""

from __future__ import annotations

from typing import NamedTuple

from ophion_otlp.http2.frames import END_HEADERS, HAS_PRIORITY, MAX_STREAM, PADDED, Code, ConnectionFault
from ophion_otlp.http2.limits import Limits


class Block(NamedTuple):
    """A header block: that of HEADERS, which the CONTINUATION frames add their `parts` to."""

    number: int
    flags: int
    depends_on_itself: bool
    since: float
    parts: list[bytes]

    @property
    def content(self) -> bytes:
        """The whole block."""
        return self.parts[0] if len(self.parts) == 1 else b"".join(self.parts)


class Blocks:
    """Puts the header blocks of one connection together; `pending` is one that is not complete."""

    def __init__(self, limits: Limits) -> None:
        self._max_frames = limits.header_frames
        self._max_bytes = limits.header_bytes
        self.pending: Block | None = None

    def begin(self, flags: int, number: int, chunk: bytes, start: int, stop: int, now: float) -> Block | None:
        """Take a HEADERS frame; returns the block when it is complete. Raises ConnectionFault."""
        if not number & 1:
            raise ConnectionFault(Code.PROTOCOL_ERROR, "HEADERS on a stream that a client cannot open")
        if flags & PADDED:
            start, stop = unpadded(chunk, start, stop)
        depends_on_itself = False
        if flags & HAS_PRIORITY:
            if stop - start < 5:
                raise ConnectionFault(Code.FRAME_SIZE_ERROR, "HEADERS is too short for its priority")
            depends_on_itself = int.from_bytes(chunk[start : start + 4], "big") & MAX_STREAM == number
            start += 5
        return self._add(Block(number, flags, depends_on_itself, now, []), flags, chunk[start:stop])

    def go_on(self, flags: int, number: int, chunk: bytes, start: int, stop: int) -> Block | None:
        """Take a CONTINUATION frame; returns the block when it is complete. Raises ConnectionFault."""
        block = self.pending
        if block is None or number != block.number:
            raise ConnectionFault(Code.PROTOCOL_ERROR, "CONTINUATION of another stream")
        return self._add(block, flags, chunk[start:stop])

    def _add(self, block: Block, flags: int, part: bytes) -> Block | None:
        parts = block.parts
        parts.append(part)
        if len(parts) > self._max_frames or sum(map(len, parts)) > self._max_bytes:
            raise ConnectionFault(Code.ENHANCE_YOUR_CALM, "the header block is too large")
        self.pending = None if flags & END_HEADERS else block
        return block if self.pending is None else None


def unpadded(chunk: bytes, start: int, stop: int) -> tuple[int, int]:
    """Return where the content of a padded frame begins and ends. Raises ConnectionFault."""
    if start == stop or chunk[start] >= stop - start:
        raise ConnectionFault(Code.PROTOCOL_ERROR, "the padding is longer than the frame")
    return start + 1, stop - chunk[start]
