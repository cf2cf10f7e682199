"""The way out of a connection: writes are joined, and bodies wait for the peer's windows."""

from __future__ import annotations

import asyncio
from typing import Final

from ophion_otlp.http2.exchange import Answer, Stream
from ophion_otlp.http2.frames import (
    DATA,
    DEFAULT_WINDOW,
    END_HEADERS,
    END_STREAM,
    HEADERS,
    MAX_WINDOW,
    MIN_FRAME_LIMIT,
    Code,
    ConnectionFault,
    StreamFault,
    frame,
)

_PIECE: Final = MIN_FRAME_LIMIT


class Outbox:
    """Collects frames of one connection and writes them together; keeps the send windows."""

    def __init__(self, transport: asyncio.WriteTransport, loop: asyncio.AbstractEventLoop) -> None:
        self._transport = transport
        self._loop = loop
        self._frames: list[bytes] = []
        self._scheduled = False
        self._window = DEFAULT_WINDOW
        self._initial = DEFAULT_WINDOW
        self._waiting: dict[int, Stream] = {}

    def put(self, data: bytes) -> None:
        """Have `data` written by the next `flush`."""
        self._frames.append(data)

    def flush(self) -> None:
        """Write what was put."""
        frames = self._frames
        if frames:
            data = frames[0] if len(frames) == 1 else b"".join(frames)
            frames.clear()
            if not self._transport.is_closing():
                self._transport.write(data)

    def flush_soon(self) -> None:
        """Write what was put once the tasks that are ready now have run."""
        if not self._scheduled:
            self._scheduled = True
            self._loop.call_soon(self._flush_scheduled)

    def _flush_scheduled(self) -> None:
        self._scheduled = False
        self.flush()

    def answer(self, stream: Stream, answer: Answer) -> bool:
        """Put the whole answer; False when a part waits for a window and `opened` will return the stream."""
        size = len(answer.body)
        if not size or (size <= self._window and size <= self._initial - stream.sent):
            self._window -= size
            self._frames.append(stream.number.to_bytes(4, "big").join(answer.pieces))
            return True
        self._frames.append(frame(HEADERS, END_HEADERS, stream.number, answer.headers))
        stream.waiting = (answer.body, answer.trailers)
        return self._advance(stream)

    def forget(self, stream: Stream) -> None:
        """Send nothing more on `stream`."""
        self._waiting.pop(stream.number, None)

    def set_initial_window(self, value: int, streams: list[Stream]) -> list[Stream]:
        """Take the peer's INITIAL_WINDOW_SIZE; returns the streams that could end. Raises ConnectionFault."""
        self._initial = value
        if any(value - stream.sent > MAX_WINDOW for stream in streams):
            raise ConnectionFault(Code.FLOW_CONTROL_ERROR, "INITIAL_WINDOW_SIZE overflows a window")
        return self._opened()

    def open_connection(self, increment: int) -> list[Stream]:
        """Widen the connection's window; returns the streams that could end. Raises ConnectionFault."""
        self._window += increment
        if self._window > MAX_WINDOW:
            raise ConnectionFault(Code.FLOW_CONTROL_ERROR, "WINDOW_UPDATE overflows the window")
        return self._opened() if self._waiting else []

    def open_stream(self, stream: Stream, increment: int) -> list[Stream]:
        """Widen a stream's window; returns the streams that could end. Raises StreamFault."""
        stream.sent -= increment
        if self._initial - stream.sent > MAX_WINDOW:
            raise StreamFault(stream.number, Code.FLOW_CONTROL_ERROR)
        return self._opened() if self._waiting else []

    def _opened(self) -> list[Stream]:
        return [stream for stream in list(self._waiting.values()) if self._advance(stream)]

    def _advance(self, stream: Stream) -> bool:
        """Send as much of the waiting body as the windows let; True when the answer is out."""
        assert stream.waiting is not None
        body, trailers = stream.waiting
        while body:
            size = min(len(body), _PIECE, self._window, self._initial - stream.sent)
            if size <= 0:
                stream.waiting = (body, trailers)
                self._waiting[stream.number] = stream
                return False
            self._window -= size
            stream.sent += size
            last = size == len(body) and not trailers
            self._frames.append(frame(DATA, END_STREAM if last else 0, stream.number, body[:size]))
            body = body[size:]
        if trailers:
            self._frames.append(frame(HEADERS, END_HEADERS | END_STREAM, stream.number, trailers))
        self._waiting.pop(stream.number, None)
        return True
