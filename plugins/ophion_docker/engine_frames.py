"""The engine's multiplexed streams: stdout and stderr of a container on one connection.

A frame is eight bytes, [stream, 0, 0, 0, length as four bytes, big endian], and that many bytes. With a terminal there
are no frames. Source: Docker Engine API, "Stream format" of the attach call.
"""

from __future__ import annotations

from typing import Final

from ophion_docker.engine_errors import EngineError

STDIN: Final = 0
STDOUT: Final = 1
STDERR: Final = 2
SYSTEM_ERROR: Final = 3
"""The engine's own message that it cannot go on."""

HEADER_BYTES: Final = 8
_LARGEST_FRAME: Final = 64 << 20


class FrameError(EngineError):
    """What came is not a multiplexed stream."""


class FrameReader:
    """Cuts what arrives into frames; a frame that is not whole yet waits for the rest of it."""

    __slots__ = ("_rest",)

    def __init__(self) -> None:
        self._rest = b""

    @property
    def waiting_bytes(self) -> int:
        """Bytes of a frame that is not whole yet."""
        return len(self._rest)

    def feed(self, chunk: bytes) -> list[tuple[int, bytes]]:
        """Return the frames that are whole now, in order, as (stream, content). Raises FrameError."""
        data = self._rest + chunk if self._rest else chunk
        frames = []
        position, end = 0, len(data)
        while (body := position + HEADER_BYTES) <= end:
            length = int.from_bytes(data[position + 4 : body], "big")
            stream = data[position]
            if stream > SYSTEM_ERROR or length > _LARGEST_FRAME:
                raise FrameError(f"not a multiplexed stream: a frame begins with {data[position:body].hex()}")
            following = body + length
            if following > end:
                break
            frames.append((stream, data[body:following]))
            position = following
        self._rest = data[position:] if position else data
        return frames
