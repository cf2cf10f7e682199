"""Rates per second over the last seconds, from numbers that only grow."""

from collections import deque
from collections.abc import Hashable, Mapping

Totals = Mapping[Hashable, float]


class Rates:
    """Keeps the totals of the last `window_seconds` and derives rates from them."""

    def __init__(self, window_seconds: float) -> None:
        self._window_seconds = window_seconds
        self._history: deque[tuple[float, Totals]] = deque()

    def observe(self, now: float, totals: Totals) -> None:
        """Remember the totals of a moment; `now` never goes back."""
        self._history.append((now, totals))
        # The oldest one kept is at least as old as the window, so that rates cover all of it.
        while len(self._history) > 2 and self._history[1][0] <= now - self._window_seconds:
            self._history.popleft()

    def per_second(self, key: Hashable) -> float:
        """Return the mean rate over the window; 0 while two observations are missing."""
        if len(self._history) < 2:
            return 0.0
        (start, before), (end, after) = self._history[0], self._history[-1]
        grown = after.get(key, 0.0) - before.get(key, 0.0)
        return max(0.0, grown / (end - start)) if end > start else 0.0
