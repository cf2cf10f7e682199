"""Retry of one delivery: exponential backoff with jitter, never shorter than the wait the destination asked for."""

import asyncio
import contextlib
import random
from collections.abc import Awaitable, Callable

from ophion_agent.clock import Clock
from ophion_agent.delivery import RetryConfig
from ophion_agent.errors import RetryableError
from ophion_agent.slots import Slots

Attempt = Callable[[], Awaitable[None]]
OnFailure = Callable[[RetryableError], None]


class Retrying:
    """Runs attempts until one succeeds, fails for good, or the time is up."""

    def __init__(
        self,
        config: RetryConfig,
        timeout_seconds: float,
        max_elapsed_seconds: float,
        clock: Clock,
        owner: str,
        slots: Slots | None = None,
    ) -> None:
        self._slots = slots
        self._config = config
        self._timeout = timeout_seconds or None
        self._max_elapsed = max_elapsed_seconds
        self._clock = clock
        self._owner = owner
        self._ended = asyncio.Event()

    def end(self) -> None:
        """Try no more: whoever waits for another attempt gets the last error now."""
        self._ended.set()

    async def run(self, attempt: Attempt, on_failure: OnFailure) -> None:
        """Return once an attempt succeeded; raise the last error otherwise.

        `on_failure` is told of each retryable failure that is going to be followed by another attempt.
        """
        started = self._clock.monotonic()
        interval = self._config.initial_interval
        while True:
            try:
                await self._in_turn(attempt)
            except RetryableError as error:
                wait = max(self._jitter(interval), error.retry_after_seconds or 0.0)
                if not self._config.enabled or self._exhausted(started, wait):
                    raise
                on_failure(error)
                with contextlib.suppress(TimeoutError):
                    await self._clock.wait_for(self._ended.wait(), wait)
                if self._ended.is_set():
                    raise
                interval = min(interval * self._config.multiplier, self._config.max_interval)
            else:
                return

    async def _in_turn(self, attempt: Attempt) -> None:
        if self._slots is None:
            await self._once(attempt)
        else:
            async with self._slots:
                await self._once(attempt)

    async def _once(self, attempt: Attempt) -> None:
        try:
            await self._clock.wait_for(attempt(), self._timeout)
        except TimeoutError as error:
            raise RetryableError(f"{self._owner}: no answer within {self._timeout} s") from error

    def _jitter(self, interval: float) -> float:
        share = self._config.randomization_factor
        return interval * random.uniform(1 - share, 1 + share)

    def _exhausted(self, started: float, wait: float) -> bool:
        elapsed = self._clock.monotonic() - started
        return bool(self._max_elapsed) and elapsed + wait > self._max_elapsed
