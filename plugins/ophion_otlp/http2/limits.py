"""What one connection may use: sizes, times, and how many frames that carry nothing it may send."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

from ophion_otlp.http2.frames import MAX_WINDOW

_STREAMS: Final = 4096
_MESSAGE_CEILING: Final = MAX_WINDOW - (1 << 20)


@dataclass(frozen=True, slots=True)
class Pings:
    """gRPC's keepalive: when the server pings, ends connections, and how often clients may ping. Times in seconds.

    The defaults are those of grpc-go, which otelcol documents; None means never.
    """

    max_idle: float | None = None
    max_age: float | None = None
    max_age_grace: float | None = None
    every: float = 7200.0
    timeout: float = 20.0
    min_interval: float = 300.0
    without_stream: bool = False


@dataclass(frozen=True, slots=True)
class Limits:
    """Bounds of one connection. Bytes and seconds; a fault beyond them ends the request or the connection.

    `message_bytes` is the largest message as sent; `held_bytes` bounds all messages of a connection that are announced
    or not yet answered, so one sender's memory is bounded whatever it opens. The windows are wide because those two
    are the bound: a message is refused by its announced length, and no stream waits for another's window.
    """

    message_bytes: int = 64 << 20
    held_bytes: int = 256 << 20
    streams: int = _STREAMS
    header_bytes: int = 16 << 10
    header_frames: int = 16
    frame_bytes: int = 256 << 10
    stream_window: int = MAX_WINDOW
    connection_window: int = MAX_WINDOW
    discarded_bytes: int = 64 << 10
    idle_frames: int = 1000
    idle_frames_per_second: float = 33.0
    handshake_seconds: float = 20.0
    header_seconds: float = 20.0
    body_seconds: float = 60.0
    body_bytes_per_second: int = 16 << 10
    blocked_seconds: float = 60.0
    pings: Pings = field(default_factory=Pings)

    @classmethod
    def of(cls, message_bytes: int, streams: int = 0, pings: Pings | None = None) -> Limits:
        """Return the limits for messages of up to `message_bytes` and `streams` at once (0: as many as is safe)."""
        size = min(message_bytes, _MESSAGE_CEILING)
        return cls(
            message_bytes=size,
            held_bytes=max(64 << 20, 4 * size),
            streams=streams or _STREAMS,
            pings=pings or Pings(),
        )


class Budget:
    """A bucket of `burst` tokens that refills at `per_second`; frames that carry nothing cost one each."""

    __slots__ = ("_burst", "_left", "_per_second", "_since")

    def __init__(self, burst: int, per_second: float, now: float) -> None:
        self._burst = burst
        self._per_second = per_second
        self._left = float(burst)
        self._since = now

    def spend(self, now: float, tokens: int = 1) -> bool:
        """Take `tokens` at the time `now`; False when there are not as many left."""
        if now > self._since:
            self._left = min(self._burst, self._left + (now - self._since) * self._per_second)
            self._since = now
        self._left -= tokens
        return self._left >= 0
