"""One request and its answer, as the connection and the application above it see them."""

from __future__ import annotations

import asyncio
from enum import Enum, auto
from typing import Final, Protocol

from ophion_otlp.http2.frames import DATA, END_HEADERS, END_STREAM, HEADERS
from ophion_otlp.http2.headers import Head

PREFIX_BYTES: Final = 5
"""A gRPC message follows a byte that says whether it is compressed and four bytes of length."""


class Trouble(Enum):
    """Why the connection does not let a request reach the application."""

    INCOMPLETE = auto()
    """The request ended before its message did."""
    NOT_ONE_MESSAGE = auto()
    """No message, or more than one."""
    BUSY = auto()
    """The connection holds as many bytes of messages as it may."""
    SLOW = auto()
    """The message did not arrive in time."""
    DEADLINE = auto()
    """The time that the client gave is over."""


class Answer:
    """Header block, body and trailer block of a response, encoded once and sent on any stream.

    Without trailers the body ends the stream, without a body the headers do. A block must fit in one frame of 16 KiB.
    """

    __slots__ = ("body", "headers", "pieces", "trailers")

    def __init__(self, headers: bytes, body: bytes = b"", trailers: bytes = b"") -> None:
        self.headers = headers
        self.body = body
        self.trailers = trailers
        frames = [(HEADERS, END_HEADERS, headers)]
        if body:
            frames.append((DATA, 0, body))
        if trailers:
            frames.append((HEADERS, END_HEADERS, trailers))
        last_kind, last_flags, last_payload = frames.pop()
        frames.append((last_kind, last_flags | END_STREAM, last_payload))
        pieces = [b""]
        for kind, flags, payload in frames:
            pieces[-1] += len(payload).to_bytes(3, "big") + bytes((kind, flags))
            pieces.append(payload)
        self.pieces = tuple(pieces)
        """What stands between the stream numbers: `number.join(pieces)` is the whole response."""


class Call(Protocol):
    """What the application makes of a head; shared by all requests with the same one."""

    refusal: Answer | None
    """The answer when the headers alone decide it."""

    def check(self, flag: int, length: int) -> Answer | None:
        """Return an answer that refuses a message by its prefix, before any of it is kept."""
        ...

    def give_up(self, trouble: Trouble) -> Answer:
        """Return the answer to a request that does not reach `run`, and count it."""
        ...

    async def run(self, flag: int, message: bytes) -> Answer:
        """Return the answer to a whole request; raises nothing but CancelledError."""
        ...


class Stream:
    """A request under way. `length` is -1 until the message's prefix is known; `missing` is what has yet to arrive."""

    __slots__ = (
        "call",
        "due",
        "ended",
        "flag",
        "head",
        "length",
        "missing",
        "number",
        "parts",
        "prefix",
        "received",
        "refusal",
        "sent",
        "task",
        "timer",
        "waiting",
        "window",
    )

    def __init__(self, number: int, head: Head, call: Call, window: int, due: float) -> None:
        self.number = number
        self.head = head
        self.call = call
        self.refusal = call.refusal
        self.window = window
        self.due = due
        """When the connection gives up waiting for the peer; 0 while it does not wait."""
        self.ended = False
        self.flag = 0
        self.length = -1
        self.missing = 0
        self.received = 0
        self.prefix = b""
        self.parts: list[bytes] = []
        self.sent = 0
        """Bytes sent minus what the peer added to the stream's window."""
        self.waiting: tuple[bytes, bytes] | None = None
        """Rest of body and trailers that wait for a window."""
        self.task: asyncio.Task[None] | None = None
        self.timer: asyncio.TimerHandle | None = None

    def take_prefix(self, chunk: bytes, start: int, stop: int) -> int:
        """Read (a part of) the message's prefix from `chunk`; return where the rest begins."""
        after = min(stop, start + PREFIX_BYTES - len(self.prefix))
        self.prefix += chunk[start:after]
        if len(self.prefix) == PREFIX_BYTES:
            self.flag = self.prefix[0]
            self.length = self.missing = int.from_bytes(self.prefix[1:], "big")
        return after

    def take_message(self) -> bytes:
        """Return the message and let go of its parts."""
        parts, self.parts = self.parts, []
        return parts[0] if len(parts) == 1 else b"".join(parts)

    def release(self) -> None:
        """Cancel what still runs for this request."""
        if self.timer is not None:
            self.timer.cancel()
            self.timer = None
        task, self.task = self.task, None
        if task is not None:
            task.cancel()
