"""A gRPC server for unary calls on HTTP/2 frames taken apart by hand: how cheap a small request can be in Python.

A sketch for measuring, not for serving: it trusts its peer (no CONTINUATION, no padding, no limits, no compression, and
it never waits for the window of the tiny answers it sends). What makes it cheap: one pass over each chunk read from the
socket, header blocks that were seen before on the connection are not decoded again, and the answer is constant bytes.
"""

from __future__ import annotations

import asyncio
import struct
from collections.abc import Callable
from typing import cast

from hpack import Decoder

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
DATA, HEADERS, RST_STREAM, SETTINGS, PING, WINDOW_UPDATE = 0, 1, 3, 4, 6, 8
END_STREAM, ACK, HAS_PRIORITY = 0x1, 0x1, 0x20
# The connection's window is refilled in steps of this many bytes.
REFILL = 1 << 22


def frame(kind: int, flags: int, stream: int, payload: bytes = b"") -> bytes:
    """One encoded HTTP/2 frame (RFC 9113 section 4.1)."""
    return len(payload).to_bytes(3, "big") + bytes((kind, flags)) + stream.to_bytes(4, "big") + payload


# Settings: at most 2000 streams, 16 MiB of window each, frames of up to 1 MiB.
HELLO = frame(SETTINGS, 0, 0, struct.pack(">HIHIHI", 3, 2000, 4, 1 << 24, 5, 1 << 20)) + frame(
    WINDOW_UPDATE, 0, 0, struct.pack(">I", 2**31 - 1 - 65535)
)
_HEADERS = b"\x88\x0f\x10\x10application/grpc"  # HPACK: `:status: 200`, then content-type without indexing.
_TRAILERS = b"\x00\x0bgrpc-status\x010"
_EMPTY_MESSAGE = bytes(5)
# Heads of the three frames of an answer, up to the stream id.
_HEADS = tuple(
    frame(kind, flags, 0, payload)[:5]
    for kind, flags, payload in ((1, 4, _HEADERS), (0, 0, _EMPTY_MESSAGE), (1, 5, _TRAILERS))
)


def answer(stream: int) -> bytes:
    """Status 0 and an empty message for `stream`."""
    number = stream.to_bytes(4, "big")
    headers, data, trailers = _HEADS
    return b"".join((headers, number, _HEADERS, data, number, _EMPTY_MESSAGE, trailers, number, _TRAILERS))


class Connection(asyncio.Protocol):
    """Hands each request's path and message to `handle` and answers it at once."""

    def __init__(self, handle: Callable[[bytes, bytes], None]) -> None:
        self._handle = handle
        self._rest = b""
        self._greeted = False
        self._decoder = Decoder()
        self._paths: dict[bytes, bytes] = {}
        self._streams: dict[int, tuple[bytes, list[bytes]]] = {}
        self._taken = 0
        self._out: list[bytes] = []

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Send our settings."""
        self._transport = cast(asyncio.WriteTransport, transport)  # uvloop's is none by inheritance.
        self._transport.write(HELLO)

    def data_received(self, data: bytes) -> None:
        """Take whole frames off what arrived and write all their answers together."""
        chunk = self._rest + data if self._rest else data
        at, end = 0, len(chunk)
        if not self._greeted:
            if end < len(PREFACE):
                self._rest = chunk
                return
            self._greeted, at = True, len(PREFACE)
        while end - at >= 9:
            after = at + 9 + int.from_bytes(chunk[at : at + 3], "big")
            if after > end:
                break
            stream = int.from_bytes(chunk[at + 5 : at + 9], "big")
            self._frame(chunk[at + 3], chunk[at + 4], stream, chunk[at + 9 : after])
            at = after
        self._rest = chunk[at:]
        if self._taken > REFILL:
            self._out.append(frame(WINDOW_UPDATE, 0, 0, struct.pack(">I", self._taken)))
            self._taken = 0
        if self._out:
            self._transport.write(b"".join(self._out))
            self._out.clear()

    def _frame(self, kind: int, flags: int, stream: int, payload: bytes) -> None:
        if kind == DATA:
            self._taken += len(payload)
            self._streams[stream][1].append(payload)
            if flags & END_STREAM:
                path, parts = self._streams.pop(stream)
                self._handle(path, (parts[0] if len(parts) == 1 else b"".join(parts))[5:])
                self._out.append(answer(stream))
        elif kind == HEADERS:
            self._streams[stream] = (self._path(payload[5:] if flags & HAS_PRIORITY else payload), [])
        elif kind in (SETTINGS, PING) and not flags & ACK:
            self._out.append(frame(kind, ACK, 0, payload if kind == PING else b""))
        elif kind == RST_STREAM:
            self._streams.pop(stream, None)

    def _path(self, block: bytes) -> bytes:
        path = self._paths.get(block)
        if path is None:
            path = dict(self._decoder.decode(block, raw=True))[b":path"]
            # All bytes at 0x80 or above: indexed fields only, which leave the table, and what other blocks mean, alone.
            if min(block) >= 0x80:
                self._paths[block] = path
            else:
                self._paths.clear()
        return path
