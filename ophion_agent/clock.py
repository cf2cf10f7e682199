"""Time as components see it, so that tests can hold it still."""

import asyncio
import time
from collections.abc import Awaitable
from typing import TypeVar

T = TypeVar("T")


class Clock:
    """Real time. Components take all time from here; tests put `ophion_agent.testing.ManualClock` in its place."""

    def now_ns(self) -> int:
        """Return the wall clock in nanoseconds since the Unix epoch."""
        return time.time_ns()

    def monotonic(self) -> float:
        """Return seconds on a clock that never goes back."""
        return time.monotonic()

    async def sleep(self, seconds: float) -> None:
        """Wait for `seconds`."""
        await asyncio.sleep(seconds)

    async def wait_for(self, awaitable: Awaitable[T], seconds: float | None) -> T:
        """Return the result of `awaitable`, or cancel it and raise TimeoutError after `seconds` (None: no limit)."""
        if seconds is None:
            return await awaitable
        async with asyncio.timeout(seconds):
            return await awaitable
