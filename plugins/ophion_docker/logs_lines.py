"""Makes lines of what the engine sends: cuts off timestamps, joins the pieces of long lines.

The engine cuts a line into pieces of 16 KiB, each with the timestamp of the first, and only the last ends in a newline.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import Final

from ophion_docker.engine_frames import STDOUT, SYSTEM_ERROR, FrameError
from ophion_docker.metadata import time_ns

Line = tuple[int, int, bytes]
"""Stream (1 stdout, 2 stderr), the engine's time in Unix nanoseconds, content without its newline."""

PART: Final = 8
"""Added to the stream of a beginning of a line that is longer than a record may be; the rest of the line follows."""

PIECE_BYTES: Final = 16 << 10
_STAMP_BYTES: Final = 30
_LONGEST_STAMP: Final = 40
_STAMP: Final = re.compile(rb"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{1,9}(?:Z|[+-]\d\d:\d\d) ")


class StampReader:
    """Parses timestamps; consecutive ones share their second, which is parsed once."""

    __slots__ = ("_now_ns", "_second", "_second_ns")

    def __init__(self, now_ns: Callable[[], int]) -> None:
        self._now_ns = now_ns
        self._second = b""
        self._second_ns = 0

    def split(self, content: bytes) -> tuple[int, int]:
        """Return the time of a piece and where its text begins; without a timestamp, now and 0."""
        space = content.find(b" ", 0, _LONGEST_STAMP)
        # Docker writes `2026-11-22T02:47:51.467554169Z `, always with nine digits; Podman writes offsets.
        if space == _STAMP_BYTES and content[29:30] == b"Z":
            if content[:19] != self._second:
                self._second, self._second_ns = content[:19], time_ns(content[:19].decode("ascii", "replace") + "Z")
            fraction = content[20:29]
            if self._second_ns and fraction.isdigit():
                return self._second_ns + int(fraction), space + 1
        moment = time_ns(content[:space].decode("ascii", "replace")) if space > 0 else 0
        return (moment, space + 1) if moment else (self._now_ns(), 0)


class LineReader:
    """Joins pieces to lines, per stream. `max_bytes` bounds a line; what is longer goes on as several.

    `unmarked` is for log drivers that forget the newline of a line's last piece, as Docker's `local` does: a piece
    that is not full, or one with another timestamp, tells where the line ended.
    """

    def __init__(self, max_bytes: int, now_ns: Callable[[], int], *, tty: bool = False, unmarked: bool = False) -> None:
        self._max_bytes = max_bytes
        self._stamps = StampReader(now_ns)
        self._unmarked = unmarked and not tty
        self._open: dict[int, tuple[int, bytearray]] = {}
        self._rest = b""

    @property
    def oldest_open_ns(self) -> int | None:
        """Time of the oldest line whose end has not come yet."""
        return min((moment for moment, _ in self._open.values()), default=None)

    def read_frames(self, frames: Sequence[tuple[int, bytes]]) -> list[Line]:
        """Return the lines that end in these frames, and parts of lines that are longer than a record may be."""
        lines: list[Line] = []
        split, opened = self._stamps.split, self._open
        for stream, content in frames:
            moment, begin = split(content)
            if stream not in opened and content[-1:] == b"\n" and len(content) <= self._max_bytes:
                lines.append((stream, moment, content[begin:-1]))
            elif stream == SYSTEM_ERROR:
                raise FrameError(f"the engine cannot go on: {content.decode(errors='replace').strip()}")
            else:
                self._add_piece(stream, moment, content[begin:], lines)
        return lines

    def read_tty(self, chunk: bytes) -> list[Line]:
        """Return the same for the output of a terminal, which has no frames and ends lines with \\r\\n."""
        lines: list[Line] = []
        *whole, self._rest = (self._rest + chunk).split(b"\n")
        for content in whole:
            self._tty_line(content, lines, newline=True)
        if len(self._rest) > self._max_bytes + _LONGEST_STAMP:
            content, self._rest = self._rest, b""
            self._tty_line(content, lines, newline=False)
        return lines

    def _tty_line(self, content: bytes, lines: list[Line], *, newline: bool) -> None:
        if STDOUT in self._open:
            moment, text = self._open[STDOUT][0], content
        else:
            moment, begin = self._stamps.split(content)
            text = _without_stamps(content[begin:])
        text = text.removesuffix(b"\r") if newline else text
        self._add_piece(STDOUT, moment, text + b"\n" if newline else text, lines)

    def _add_piece(self, stream: int, moment: int, piece: bytes, lines: list[Line]) -> None:
        if self._unmarked:
            if stream in self._open and self._open[stream][0] != moment:
                self._close(stream, lines)
            if len(piece) < PIECE_BYTES and not piece.endswith(b"\n"):
                piece += b"\n"
        began, collected = self._open.setdefault(stream, (moment, bytearray()))
        ends = piece.endswith(b"\n")
        collected += piece[:-1] if ends else piece
        while len(collected) > self._max_bytes:
            lines.append((stream | PART, began, bytes(collected[: self._max_bytes])))
            del collected[: self._max_bytes]
        if ends:
            self._close(stream, lines)

    def _close(self, stream: int, lines: list[Line]) -> None:
        began, collected = self._open.pop(stream)
        lines.append((stream, began, bytes(collected)))

    def finish(self) -> list[Line]:
        """Return the lines that never ended, at the end of the output."""
        lines: list[Line] = []
        if self._rest:
            content, self._rest = self._rest, b""
            self._tty_line(content, lines, newline=True)
        lines += [(stream, moment, bytes(text)) for stream, (moment, text) in self._open.items() if text]
        self._open.clear()
        return lines

    def reset(self) -> None:
        """Forget unfinished lines: they will be sent again from their beginning."""
        self._open.clear()
        self._rest = b""


def _without_stamps(text: bytes) -> bytes:
    """Return a terminal's line without the timestamps before its second and further pieces of 16 KiB."""
    if len(text) <= PIECE_BYTES:
        return text
    pieces, position = [text[:PIECE_BYTES]], PIECE_BYTES
    while position < len(text):
        stamp = _STAMP.match(text, position)
        position = stamp.end() if stamp else position
        pieces.append(text[position : position + PIECE_BYTES])
        position += PIECE_BYTES
    return b"".join(pieces)
