"""Pings and ages of one connection (gRPC's proposals A8 and A9; grpc-go's rules for pings of clients)."""

from __future__ import annotations

from enum import Enum, auto
from typing import Final

from ophion_otlp.http2.limits import Pings

_STRIKES: Final = 2
_WITHOUT_STREAM_SECONDS: Final = 7200.0


class Due(Enum):
    """What a connection is to do now."""

    PING = auto()
    DRAIN = auto()
    CLOSE = auto()


class Keepalive:
    """Decides when to ping and when to end a connection. All times are of one monotonic clock, in seconds."""

    def __init__(self, rules: Pings, now: float) -> None:
        self._rules = rules
        self._made = now
        self._idle_since: float | None = now
        self._heard = now
        self._pinged: float | None = None
        self._drained: float | None = None
        self._last_ping = float("-inf")
        self._strikes = 0

    def heard(self, now: float) -> None:
        """Note that something arrived."""
        self._heard = now
        self._pinged = None

    def busy(self) -> None:
        """Note that there is a call."""
        self._idle_since = None

    def idle(self, now: float) -> None:
        """Note that the last call ended."""
        self._idle_since = now

    def answered(self) -> None:
        """Note that a response was sent: clients may measure it with a ping."""
        self._strikes = 0
        self._last_ping = float("-inf")

    def too_many_pings(self, now: float, has_streams: bool) -> bool:
        """Count a client's ping; True when it pings more often than it may."""
        permitted = has_streams or self._rules.without_stream
        pause = self._rules.min_interval if permitted else max(self._rules.min_interval, _WITHOUT_STREAM_SECONDS)
        if now - self._last_ping < pause:
            self._strikes += 1
        self._last_ping = now
        return self._strikes > _STRIKES

    def due(self, now: float) -> Due | None:
        """Return what is to be done at `now`."""
        rules = self._rules
        if self._drained is not None:
            # A client without calls that does not answer is gone.
            grace = rules.max_age_grace if self._idle_since is None else rules.timeout
            return Due.CLOSE if grace is not None and now - self._drained >= grace else None
        if self._pinged is not None:
            return Due.CLOSE if now - self._pinged >= rules.timeout else None
        idle = rules.max_idle is not None and self._idle_since is not None and now - self._idle_since >= rules.max_idle
        if idle or (rules.max_age is not None and now - self._made >= rules.max_age):
            self._drained = now
            return Due.DRAIN
        if now - self._heard >= rules.every:
            self._pinged = now
            return Due.PING
        return None
