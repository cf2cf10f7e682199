"""How long the batch processor waits for one more request before it sends what has come in."""

_GAPS = 8
_SHORTEST = 0.001
_SMOOTHING = 0.2
_PROBE_EVERY = 16


class QuietPeriod:
    """Follows the usual gap between requests that come in together.

    Senders that wait for their answer send nothing more, so a pause of several usual gaps means that they all wait.
    Gaps are measured only while requests wait: the time a sender needs after its answer is no gap. Every 16th batch
    waits the longest period, or requests that come in steadily would stay apart once the period had become short.
    """

    def __init__(self, longest: float, *, fixed: bool = False) -> None:
        self._longest = longest
        self._fixed = fixed
        self._gap = longest / _GAPS
        self._last_arrival = 0.0
        self._batches = 0

    def arrived(self, now: float, *, joins_others: bool) -> None:
        """Note a request; `joins_others` when others wait already."""
        if joins_others:
            self._gap += (now - self._last_arrival - self._gap) * _SMOOTHING
        self._last_arrival = now

    def seconds(self) -> float:
        """Return how long to wait from now for another request."""
        if self._fixed or self._batches % _PROBE_EVERY == 0:
            return self._longest
        return min(self._longest, max(self._gap * _GAPS, _SHORTEST))

    def sent(self, requests: int) -> None:
        """Note that a batch of so many requests was sent."""
        self._batches += 1
        if requests == 1:
            self._gap /= 2
