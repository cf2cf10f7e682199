"""Which container is looked at next, and when: one at a time, with growing pauses, within a bound."""

from __future__ import annotations

import asyncio
import math
from contextlib import suppress
from dataclasses import dataclass, field

from ophion_agent.plugin import Clock
from ophion_docker.metadata import Container


@dataclass(slots=True)
class Candidate:
    """A container to look at when `due`, in seconds of the monotonic clock; infinite for one that is done with.

    One that is `held` was touched, so that its own restart must not bring it forward.
    """

    container: Container
    due: float
    pause: float = 0.0
    held: bool = False
    running: bool = True
    said: set[str] = field(default_factory=set)


class Schedule:
    """The containers to instrument, until they are removed."""

    def __init__(self, clock: Clock, *, delay: float, first_pause: float, longest_pause: float, bound: int) -> None:
        self._clock = clock
        self._delay = delay
        self._first_pause = first_pause
        self._longest_pause = longest_pause
        self._bound = bound
        self._candidates: dict[str, Candidate] = {}
        self._changed = asyncio.Event()

    def __len__(self) -> int:
        return len(self._candidates)

    def started(self, container: Container) -> bool:
        """Take up a container that started or changed; false when there is no room for it."""
        known = self._candidates.get(container.id)
        due = self._clock.monotonic() + self._delay
        if known is None:
            if len(self) >= self._bound and not self._forget_one():
                return False
            known = self._candidates[container.id] = Candidate(container, due)
        known.container, known.running = container, True
        if not known.held:
            known.due = min(known.due, due)
        self._changed.set()
        return True

    def _forget_one(self) -> bool:
        ended = next((id_ for id_, candidate in self._candidates.items() if not candidate.running), "")
        return self._candidates.pop(ended, None) is not None

    def stopped(self, container: str) -> None:
        """Leave a container alone while it does not run."""
        if known := self._candidates.get(container):
            known.running = False

    def removed(self, container: str) -> None:
        """Forget a container that is no more."""
        self._candidates.pop(container, None)

    def again(self, candidate: Candidate, *, held: bool = False) -> None:
        """Look at a container again after a pause, twice as long as the one before."""
        candidate.held = candidate.held or held
        candidate.pause = min(max(self._first_pause, candidate.pause * 2), self._longest_pause)
        candidate.due = self._clock.monotonic() + candidate.pause

    def never(self, candidate: Candidate) -> None:
        """Do not look at a container any more."""
        candidate.held, candidate.due = True, math.inf

    async def next(self) -> Candidate:
        """Wait for the next container that is due."""
        while True:
            self._changed.clear()
            running = [candidate for candidate in self._candidates.values() if candidate.running]
            first = min(running, key=lambda candidate: candidate.due, default=None)
            left = math.inf if first is None else first.due - self._clock.monotonic()
            if first is not None and left <= 0:
                return first
            with suppress(TimeoutError):
                await self._clock.wait_for(self._changed.wait(), None if math.isinf(left) else left)
