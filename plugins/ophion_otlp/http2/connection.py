"""One HTTP/2 connection: frames in, requests to `Requests`, answers out.

Rules are those of RFC 9113. A broken one ends the stream or the connection as the RFC says; nothing that a peer sends
raises out of here. Frames are read in one pass over what the socket gave.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Final, cast

from ophion_otlp.http2.blocks import Block, Blocks, unpadded
from ophion_otlp.http2.exchange import Call
from ophion_otlp.http2.frames import (
    ACK,
    CONTINUATION,
    DEFAULT_WINDOW,
    END_HEADERS,
    HAS_PRIORITY,
    HEAD_BYTES,
    INITIAL_WINDOW_SIZE,
    MAX_CONCURRENT_STREAMS,
    MAX_FRAME_SIZE,
    MAX_HEADER_LIST_SIZE,
    MAX_STREAM,
    PADDED,
    PING,
    PREFACE,
    SETTINGS,
    Code,
    ConnectionFault,
    StreamFault,
    frame,
    goaway,
    settings,
    settings_in,
    window_update,
)
from ophion_otlp.http2.headers import Head
from ophion_otlp.http2.keepalive import Due
from ophion_otlp.http2.limits import Limits
from ophion_otlp.http2.requests import Requests
from ophion_otlp.http2.sending import Outbox

_SHUTDOWN_PING: Final = b"ophion-1"
_KEEPALIVE_PING: Final = b"ophion-2"
_CLOSING_SECONDS: Final = 5.0
_BLOCK_FLAGS: Final = END_HEADERS | PADDED | HAS_PRIORITY
_REFILL_BYTES: Final = 4 << 20


class Connection(asyncio.Protocol):
    """Serves one client.

    `call_of(head)` gives the application's part of a request; `opened(self)` and `closed(self)` frame its life;
    `failed(error)` tells of a fault of this program, which ends this connection only. `clock()` returns seconds.
    """

    def __init__(
        self,
        call_of: Callable[[Head], Call],
        limits: Limits,
        clock: Callable[[], float],
        opened: Callable[[Connection], None],
        closed: Callable[[Connection], None],
        failed: Callable[[Exception], None],
    ) -> None:
        self._limits = limits
        self._clock = clock
        self._opened = opened
        self._closed = closed
        self._failed = failed
        self._made = clock()
        self._greeted = False
        self._configured = False
        self._rest: list[bytes] = []
        self._rest_size = 0
        self._needed = 0
        self._rest_since = self._made
        self._blocks = Blocks(limits)
        self._credit = max(limits.connection_window, DEFAULT_WINDOW)
        self._refill_below = self._credit - min(_REFILL_BYTES, self._credit // 2)
        self._draining = False
        self._closing_since: float | None = None
        self._blocked_since: float | None = None
        self._requests = Requests(call_of, limits, self._made, self._close_if_done)
        # In the order of the frame types' numbers.
        self._handlers = (
            self._data,
            self._headers,
            self._priority,
            self._rst_stream,
            self._settings,
            self._push_promise,
            self._ping,
            self._goaway,
            self._window_update,
            self._continuation,
        )

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Send our settings."""
        limits = self._limits
        self._transport = cast(asyncio.Transport, transport)  # uvloop's is none by inheritance.
        self._outbox = Outbox(self._transport, asyncio.get_running_loop())
        self._requests.attach(self._outbox)
        values = {
            MAX_CONCURRENT_STREAMS: limits.streams,
            INITIAL_WINDOW_SIZE: limits.stream_window,
            MAX_FRAME_SIZE: limits.frame_bytes,
            MAX_HEADER_LIST_SIZE: limits.header_bytes,
        }
        self._outbox.put(settings(values))
        if self._credit > DEFAULT_WINDOW:
            self._outbox.put(window_update(0, self._credit - DEFAULT_WINDOW))
        self._outbox.flush()
        self._opened(self)

    def data_received(self, data: bytes) -> None:
        """Take whole frames off what arrived and write all their answers together."""
        if self._closing_since is not None:
            return
        requests = self._requests
        now = requests.now = self._clock()
        requests.keepalive.heard(now)
        if self._rest:
            self._rest.append(data)
            self._rest_size += len(data)
            if self._rest_size < self._needed:
                return
            data = b"".join(self._rest)
            self._rest.clear()
        requests.reading = True
        try:
            self._read(data)
        except ConnectionFault as fault:
            self._end(fault.code, fault.reason)
        except Exception as error:  # noqa: BLE001 - a fault here must not reach the other connections
            self._failed(error)
            self._end(Code.INTERNAL_ERROR, "")
        finally:
            requests.reading = False
        if self._credit < self._refill_below:
            full = max(self._limits.connection_window, DEFAULT_WINDOW)
            self._outbox.put(window_update(0, full - self._credit))
            self._credit = full
        self._outbox.flush()

    def eof_received(self) -> bool:
        """Let answers to a client that only closed its sending side still go out."""
        self._draining = True
        self._requests.accepted = min(self._requests.accepted, self._requests.last)
        # TLS has no half-closed connections.
        return len(self._requests) > 0 and self._transport.get_extra_info("sslcontext") is None

    def connection_lost(self, exc: Exception | None) -> None:
        """Cancel what runs."""
        self._closing_since = self._closing_since or self._requests.now
        self._requests.release_all()
        self._closed(self)

    def pause_writing(self) -> None:
        """Read nothing more from a client that does not read."""
        self._blocked_since = self._clock()
        self._transport.pause_reading()

    def resume_writing(self) -> None:
        """Read again."""
        self._blocked_since = None
        self._transport.resume_reading()

    def drain(self) -> None:
        """Take no new requests after those on the way, and close when the last one is answered."""
        if self._closing_since is not None or self._draining:
            return
        if not self._configured:
            self._end(Code.NO_ERROR, "")
        else:
            # A client may have sent requests that are not here yet: the ping's answer comes after them (section 6.8).
            self._draining = True
            self._outbox.put(goaway(MAX_STREAM, Code.NO_ERROR) + frame(PING, 0, 0, _SHUTDOWN_PING))
        self._outbox.flush()

    def abort(self) -> None:
        """Close at once."""
        self._closing_since = self._closing_since or self._clock()
        self._requests.release_all()
        self._transport.abort()

    def check(self, now: float) -> None:
        """Do what is due at `now`, a time of the clock; to be called about every second."""
        self._requests.now = now
        if self._closing_since is not None:
            if now - self._closing_since >= _CLOSING_SECONDS:
                self.abort()
        elif self._blocked_since is not None:
            if now - self._blocked_since >= self._limits.blocked_seconds:
                self.abort()
        elif self._too_slow(now):
            self._end(Code.NO_ERROR, "too slow")
        else:
            self._check_requests(now)
        self._outbox.flush()

    def _check_requests(self, now: float) -> None:
        try:
            self._requests.end_overdue()
        except ConnectionFault as fault:
            self._end(fault.code, fault.reason)
            return
        due = self._requests.keepalive.due(now)
        if due is Due.PING:
            self._outbox.put(frame(PING, 0, 0, _KEEPALIVE_PING))
        elif due is Due.DRAIN:
            self.drain()
        elif due is Due.CLOSE:
            self.abort()

    def _too_slow(self, now: float) -> bool:
        limits = self._limits
        if not self._configured:
            return now - self._made >= limits.handshake_seconds
        if self._blocks.pending is not None:
            return now - self._blocks.pending.since >= limits.header_seconds
        return bool(self._rest) and now - self._rest_since >= limits.body_seconds

    def _end(self, code: Code, reason: str) -> None:
        """Say why and close."""
        self._closing_since = self._requests.now
        self._requests.release_all()
        if self._greeted:
            self._outbox.put(goaway(min(self._requests.last, self._requests.accepted), code, reason))
        self._outbox.flush()
        self._transport.close()

    def _close_if_done(self) -> None:
        """Close once nothing is under way, if no new request can come."""
        if self._draining and not self._requests and self._requests.accepted < MAX_STREAM:
            self._closing_since = self._requests.now
            self._outbox.flush()
            self._transport.close()

    def _read(self, chunk: bytes) -> None:
        at, end = 0, len(chunk)
        if not self._greeted:
            if not PREFACE.startswith(chunk[: len(PREFACE)]):
                self._end(Code.PROTOCOL_ERROR, "not HTTP/2")
                return
            if end < len(PREFACE):
                self._keep(chunk, len(PREFACE))
                return
            self._greeted, at = True, len(PREFACE)
        limit, handlers, needed = self._limits.frame_bytes, self._handlers, HEAD_BYTES
        while end - at >= HEAD_BYTES:
            size = int.from_bytes(chunk[at : at + 3], "big")
            if size > limit:
                raise ConnectionFault(Code.FRAME_SIZE_ERROR, "the frame is larger than MAX_FRAME_SIZE")
            start = at + HEAD_BYTES
            stop = start + size
            if stop > end:
                needed = stop - at
                break
            kind, flags = chunk[at + 3], chunk[at + 4]
            number = int.from_bytes(chunk[at + 5 : start], "big") & MAX_STREAM
            if not self._configured or (self._blocks.pending is None) is (kind == CONTINUATION):
                self._check_order(kind, flags)
            try:
                if kind <= CONTINUATION:
                    handlers[kind](flags, number, chunk, start, stop)
                else:
                    self._requests.spend()
            except StreamFault as fault:
                self._requests.fail(fault.number, fault.code)
            if self._closing_since is not None:
                return
            at = stop
        if at < end:
            self._keep(chunk[at:], needed)

    def _keep(self, rest: bytes, needed: int) -> None:
        self._rest.append(rest)
        self._rest_size = len(rest)
        self._needed = needed
        self._rest_since = self._requests.now

    def _check_order(self, kind: int, flags: int) -> None:
        if not self._configured:
            if kind != SETTINGS or flags & ACK:
                raise ConnectionFault(Code.PROTOCOL_ERROR, "the first frame is not SETTINGS")
        elif kind == CONTINUATION:
            raise ConnectionFault(Code.PROTOCOL_ERROR, "CONTINUATION without a header block")
        else:
            raise ConnectionFault(Code.PROTOCOL_ERROR, "a header block is interrupted")

    def _data(self, flags: int, number: int, chunk: bytes, start: int, stop: int) -> None:
        size = stop - start
        self._credit -= size
        if self._credit < 0:
            raise ConnectionFault(Code.FLOW_CONTROL_ERROR, "the connection's window is exceeded")
        if flags & PADDED:
            start, stop = unpadded(chunk, start, stop)
        self._requests.data(number, flags, chunk, start, stop, size)

    def _headers(self, flags: int, number: int, chunk: bytes, start: int, stop: int) -> None:
        if flags & _BLOCK_FLAGS == END_HEADERS and number & 1 and stop - start <= self._limits.header_bytes:
            self._requests.headers(number, flags, chunk[start:stop], False)
            return
        self._take_block(self._blocks.begin(flags, number, chunk, start, stop, self._requests.now))

    def _continuation(self, flags: int, number: int, chunk: bytes, start: int, stop: int) -> None:
        self._take_block(self._blocks.go_on(flags, number, chunk, start, stop))

    def _take_block(self, block: Block | None) -> None:
        if block is not None:
            self._requests.headers(block.number, block.flags, block.content, block.depends_on_itself)

    def _priority(self, _flags: int, number: int, chunk: bytes, start: int, stop: int) -> None:
        if not number:
            raise ConnectionFault(Code.PROTOCOL_ERROR, "PRIORITY of the connection")
        self._requests.spend()
        if stop - start != 5:
            raise StreamFault(number, Code.FRAME_SIZE_ERROR)
        if int.from_bytes(chunk[start : start + 4], "big") & MAX_STREAM == number:
            raise StreamFault(number, Code.PROTOCOL_ERROR)

    def _rst_stream(self, _flags: int, number: int, _chunk: bytes, start: int, stop: int) -> None:
        if stop - start != 4:
            raise ConnectionFault(Code.FRAME_SIZE_ERROR, "RST_STREAM is not 4 bytes long")
        self._requests.cancelled(number)

    def _settings(self, flags: int, number: int, chunk: bytes, start: int, stop: int) -> None:
        if number:
            raise ConnectionFault(Code.PROTOCOL_ERROR, "SETTINGS of a stream")
        if flags & ACK:
            if start != stop:
                raise ConnectionFault(Code.FRAME_SIZE_ERROR, "SETTINGS acknowledges with content")
            return
        self._requests.spend()
        self._configured = True
        values = settings_in(chunk[start:stop])
        self._outbox.put(frame(SETTINGS, ACK, 0))
        for key, value in values:
            if key == INITIAL_WINDOW_SIZE:
                self._requests.set_initial_window(value)

    def _push_promise(self, *_frame: object) -> None:
        raise ConnectionFault(Code.PROTOCOL_ERROR, "clients cannot push")

    def _ping(self, flags: int, number: int, chunk: bytes, start: int, stop: int) -> None:
        if number:
            raise ConnectionFault(Code.PROTOCOL_ERROR, "PING of a stream")
        if stop - start != 8:
            raise ConnectionFault(Code.FRAME_SIZE_ERROR, "PING is not 8 bytes long")
        if flags & ACK:
            if self._draining and chunk[start:stop] == _SHUTDOWN_PING:
                self._accept_no_more()
            return
        self._requests.spend()
        if self._requests.keepalive.too_many_pings(self._requests.now, bool(self._requests)):
            raise ConnectionFault(Code.ENHANCE_YOUR_CALM, "too_many_pings")
        self._outbox.put(frame(PING, ACK, 0, chunk[start:stop]))

    def _goaway(self, _flags: int, number: int, _chunk: bytes, start: int, stop: int) -> None:
        if number:
            raise ConnectionFault(Code.PROTOCOL_ERROR, "GOAWAY of a stream")
        if stop - start < 8:
            raise ConnectionFault(Code.FRAME_SIZE_ERROR, "GOAWAY is too short")
        self._draining = True
        self._accept_no_more()

    def _accept_no_more(self) -> None:
        if self._requests.accepted == MAX_STREAM:
            self._requests.accepted = self._requests.last
            self._outbox.put(goaway(self._requests.last, Code.NO_ERROR))
        self._close_if_done()

    def _window_update(self, _flags: int, number: int, chunk: bytes, start: int, stop: int) -> None:
        if stop - start != 4:
            raise ConnectionFault(Code.FRAME_SIZE_ERROR, "WINDOW_UPDATE is not 4 bytes long")
        increment = int.from_bytes(chunk[start:stop], "big") & MAX_STREAM
        if number:
            self._requests.check_known(number)
        if not increment:
            if number:
                raise StreamFault(number, Code.PROTOCOL_ERROR)
            raise ConnectionFault(Code.PROTOCOL_ERROR, "WINDOW_UPDATE by nothing")
        self._requests.open_window(number, increment)
