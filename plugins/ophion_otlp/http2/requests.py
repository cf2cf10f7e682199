"""The requests under way on one connection: from a header block to an answer that is out."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Final

from ophion_otlp.http2.exchange import Answer, Call, Stream, Trouble
from ophion_otlp.http2.frames import (
    END_STREAM,
    MAX_STREAM,
    Code,
    ConnectionFault,
    StreamFault,
    reset,
)
from ophion_otlp.http2.headers import Head, HeaderReader, Malformed
from ophion_otlp.http2.keepalive import Keepalive
from ophion_otlp.http2.limits import Budget, Limits
from ophion_otlp.http2.sending import Outbox

_REMEMBERED: Final = 1000
"""Streams that were reset here; what their client had already sent is ignored."""


class Requests:
    """Keeps the streams of a connection in the states of RFC 9113 section 5.1 and runs their calls.

    `now` is the time of the last event; `finished()` is called when no request is left.
    """

    def __init__(
        self,
        call_of: Callable[[Head], Call],
        limits: Limits,
        now: float,
        finished: Callable[[], None],
    ) -> None:
        self._call_of = call_of
        self._limits = limits
        self._finished = finished
        self._reader = HeaderReader(limits.header_bytes)
        self._budget = Budget(limits.idle_frames, limits.idle_frames_per_second, now)
        self._streams: dict[int, Stream] = {}
        self._dropped: dict[int, None] = {}
        self._skipped = range(0)
        self._held = 0
        self._loop = asyncio.get_running_loop()
        self.keepalive = Keepalive(limits.pings, now)
        self.now = now
        self.last = 0
        """Highest stream that the client opened."""
        self.accepted = MAX_STREAM
        """Highest stream that is looked at; lower once the connection is to end."""
        self.reading = False
        """Whether the connection is reading, so that it will flush by itself."""

    def attach(self, outbox: Outbox) -> None:
        """Answer through `outbox`."""
        self._outbox = outbox

    def __len__(self) -> int:
        return len(self._streams)

    @property
    def held_bytes(self) -> int:
        """Bytes of messages that are announced or not answered yet."""
        return self._held

    def spend(self) -> None:
        """Count a frame that carries nothing; raises ConnectionFault when there are too many."""
        if not self._budget.spend(self.now):
            raise ConnectionFault(Code.ENHANCE_YOUR_CALM, "too many frames that carry nothing")

    def check_known(self, number: int) -> None:
        """Raise ConnectionFault when the client never opened the stream."""
        if not number & 1 or number > self.last:
            raise ConnectionFault(Code.PROTOCOL_ERROR, "a frame of a stream that is not open")

    def headers(self, number: int, flags: int, block: bytes, depends_on_itself: bool) -> None:
        """Take a whole header block: a new request, or the trailers of one."""
        if number <= self.last:
            self._trailers(number, flags, block)
            return
        if number > self.last + 2:
            self._skipped = range(self.last + 1 | 1, number, 2)
        self.last = number
        try:
            head, timeout = self._reader.request(block)
        except Malformed:
            raise StreamFault(number, Code.PROTOCOL_ERROR) from None
        if number > self.accepted:
            self._drop(number)
        elif depends_on_itself:
            raise StreamFault(number, Code.PROTOCOL_ERROR)
        elif len(self._streams) >= self._limits.streams:
            raise StreamFault(number, Code.REFUSED_STREAM)
        else:
            self._open(number, head, timeout, flags)

    def data(self, number: int, flags: int, chunk: bytes, start: int, stop: int, size: int) -> None:
        """Take the content `chunk[start:stop]` of a DATA frame that counts `size` bytes with its padding."""
        stream = self._streams.get(number)
        if stream is None or stream.ended:
            self.check_known(number)
            if number not in self._dropped:
                raise StreamFault(number, Code.STREAM_CLOSED)
            return
        stream.window -= size
        if stream.window < 0:
            raise StreamFault(number, Code.FLOW_CONTROL_ERROR)
        if start == stop and not flags & END_STREAM:
            self.spend()
        stream.received += stop - start
        answer = self._keep(stream, chunk, start, stop) if stream.refusal is None else None
        if answer is not None:
            stream.ended = bool(flags & END_STREAM)
            self.answer(stream, answer)
        elif flags & END_STREAM:
            self._ended(stream)
        elif stream.refusal is not None and stream.received > self._limits.discarded_bytes:
            self.answer(stream, stream.refusal)

    def cancelled(self, number: int) -> None:
        """The client resets a stream. Opening and cancelling costs it nothing (CVE-2023-44487), so it is counted."""
        self.check_known(number)
        self.spend()
        stream = self._streams.get(number)
        if stream is not None:
            stream.ended = True
            self._close(stream)

    def fail(self, number: int, code: Code) -> None:
        """Reset a stream for a fault of the client."""
        self.spend()
        if number > self.last:
            raise ConnectionFault(code, "a fault on a stream that is not open")
        stream = self._streams.get(number)
        if stream is not None:
            stream.ended = True
            self._close(stream)
        self._drop(number)
        self._outbox.put(reset(number, code))

    def set_initial_window(self, value: int) -> None:
        """Take the client's INITIAL_WINDOW_SIZE."""
        for stream in self._outbox.set_initial_window(value, list(self._streams.values())):
            self._close(stream)

    def open_window(self, number: int, increment: int) -> None:
        """Widen a send window, of the connection (0) or a stream, and send what waited for it."""
        if not number:
            opened = self._outbox.open_connection(increment)
        else:
            stream = self._streams.get(number)
            opened = [] if stream is None else self._outbox.open_stream(stream, increment)
        for stream in opened:
            self._close(stream)

    def end_overdue(self) -> None:
        """Give up requests whose client has been too slow to send, or to take the answer."""
        for stream in [stream for stream in self._streams.values() if stream.due and stream.due <= self.now]:
            if stream.waiting is not None:
                self.fail(stream.number, Code.CANCEL)
            else:
                self.answer(stream, stream.refusal or stream.call.give_up(Trouble.SLOW))

    def release_all(self) -> None:
        """Cancel everything, without an answer."""
        streams = list(self._streams.values())
        self._streams.clear()
        self._held = 0
        for stream in streams:
            stream.release()

    def answer(self, stream: Stream, answer: Answer) -> None:
        """Send the answer and end the stream, unless it is gone already."""
        if self._streams.get(stream.number) is not stream or stream.waiting is not None:
            return
        self.keepalive.answered()
        if self._outbox.answer(stream, answer):
            self._close(stream)
        else:
            stream.due = self.now + self._limits.blocked_seconds
        if not self.reading:
            self._outbox.flush_soon()

    def _open(self, number: int, head: Head, timeout: float | None, flags: int) -> None:
        call = head.call
        if call is None:
            call = head.call = self._call_of(head)
        limits = self._limits
        stream = Stream(number, head, call, limits.stream_window, self.now + limits.body_seconds)
        if not self._streams:
            self.keepalive.busy()
        self._streams[number] = stream
        if timeout is not None:
            stream.timer = self._loop.call_later(timeout, self._expire, stream)
        if flags & END_STREAM:
            self._ended(stream)

    def _trailers(self, number: int, flags: int, block: bytes) -> None:
        """Trailers, which gRPC clients do not send; their block changes the table for later ones all the same."""
        well_formed = self._reader.trailers(block)
        stream = self._streams.get(number)
        if stream is None:
            if number in self._skipped:
                raise ConnectionFault(Code.PROTOCOL_ERROR, "HEADERS on a stream that was passed over")
            if number not in self._dropped:
                raise ConnectionFault(Code.STREAM_CLOSED, "HEADERS on a closed stream")
        elif stream.ended:
            raise StreamFault(number, Code.STREAM_CLOSED)
        elif not (flags & END_STREAM and well_formed):
            raise StreamFault(number, Code.PROTOCOL_ERROR)
        else:
            self._ended(stream)

    def _keep(self, stream: Stream, chunk: bytes, start: int, stop: int) -> Answer | None:
        """Keep what belongs to the message; an answer refuses it."""
        if stream.length < 0:
            start = stream.take_prefix(chunk, start, stop)
            if stream.length >= 0:
                answer = self._refused_by_length(stream)
                if answer is not None:
                    return answer
        size = stop - start
        if size > stream.missing:
            return stream.call.give_up(Trouble.NOT_ONE_MESSAGE)
        if size:
            stream.parts.append(chunk[start:stop])
            stream.missing -= size
        return None

    def _refused_by_length(self, stream: Stream) -> Answer | None:
        answer = stream.call.check(stream.flag, stream.length)
        if answer is None and self._held + stream.length > self._limits.held_bytes:
            answer = stream.call.give_up(Trouble.BUSY)
        if answer is not None:
            stream.length = 0
            return answer
        self._held += stream.length
        stream.due += stream.length / self._limits.body_bytes_per_second
        return None

    def _ended(self, stream: Stream) -> None:
        """The client has sent all: run the call, or say why not."""
        stream.ended = True
        if stream.waiting is not None:
            return
        stream.due = 0.0
        expected = stream.head.content_length
        if expected is not None and expected != stream.received:
            raise StreamFault(stream.number, Code.PROTOCOL_ERROR)
        if stream.refusal is not None:
            self.answer(stream, stream.refusal)
        elif stream.length < 0 and not stream.prefix:
            self.answer(stream, stream.call.give_up(Trouble.NOT_ONE_MESSAGE))
        elif stream.length < 0 or stream.missing:
            self.answer(stream, stream.call.give_up(Trouble.INCOMPLETE))
        else:
            stream.task = self._loop.create_task(self._run(stream))

    async def _run(self, stream: Stream) -> None:
        answer = await stream.call.run(stream.flag, stream.take_message())
        stream.task = None
        self.answer(stream, answer)

    def _expire(self, stream: Stream) -> None:
        if stream.waiting is None:
            self.answer(stream, stream.call.give_up(Trouble.DEADLINE))

    def _close(self, stream: Stream) -> None:
        """The stream is over for both sides; one that the client has not ended is reset."""
        del self._streams[stream.number]
        if stream.length > 0:
            self._held -= stream.length
        stream.release()
        self._outbox.forget(stream)
        if not stream.ended:
            self._drop(stream.number)
            self._outbox.put(reset(stream.number, Code.NO_ERROR))
        if not self._streams:
            self.keepalive.idle(self.now)
            self._finished()

    def _drop(self, number: int) -> None:
        self._dropped[number] = None
        if len(self._dropped) > _REMEMBERED:
            del self._dropped[next(iter(self._dropped))]
