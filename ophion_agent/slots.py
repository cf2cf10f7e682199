"""How many attempts run at the same time: fewer while a destination fails, up to all while it succeeds."""

import asyncio
from types import TracebackType

from ophion_agent.errors import RetryableError


class Slots:
    """A limit on concurrent attempts that halves with each retryable failure and grows by one with each success.

    A destination that is too slow for all consumers at once would otherwise time out for every one of them, take
    everything in vain, and get the same again: it would deliver nothing although it works. Additive increase and
    multiplicative decrease is how TCP shares a link (RFC 5681).
    """

    def __init__(self, most: int) -> None:
        self.most = most
        self.limit = float(most)
        self.used = 0
        self._changed = asyncio.Event()

    async def __aenter__(self) -> None:
        """Wait for a free slot and take it."""
        while self.used >= int(self.limit):
            self._changed.clear()
            await self._changed.wait()
        self.used += 1

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Free the slot, and learn from how the attempt ended."""
        self.used -= 1
        if kind is None:
            self.limit = min(self.most, self.limit + 1)
        elif issubclass(kind, RetryableError):
            self.limit = max(1.0, self.limit / 2)
        # Nothing is awaited here: a cancellation in between would leave those who wait without a wake-up.
        self._changed.set()
