"""The rate limit of one container: a bucket of tokens, one a line."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from ophion_docker.logs_lines import Line


class LineLimit:
    """Lets `burst` lines pass at once and `lines_per_second` on average."""

    def __init__(self, lines_per_second: float, burst: int, monotonic: Callable[[], float]) -> None:
        self._rate = lines_per_second
        self._burst = burst
        self._monotonic = monotonic
        self._tokens = float(burst)
        self._last = monotonic()

    def admit(self, lines: Sequence[Line]) -> list[Line]:
        """Return the first lines, as many as may pass now."""
        now = self._monotonic()
        self._tokens = min(self._burst, self._tokens + (now - self._last) * self._rate)
        self._last = now
        admitted = min(len(lines), int(self._tokens))
        self._tokens -= admitted
        return list(lines[:admitted])
