"""A bounded memory of what the control store said a moment ago."""

from collections import OrderedDict
from collections.abc import Awaitable, Callable, Hashable
from typing import Generic, TypeVar

from ophion_agent.plugin import Clock

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")


class Expiring(Generic[K, V]):
    """Values that are forgotten after a time, when there are too many, and all at once by `clear`."""

    def __init__(self, lifetime_seconds: float, clock: Clock, capacity: int = 10_000) -> None:
        self._lifetime = lifetime_seconds
        self._clock = clock
        self._capacity = capacity
        self._values: OrderedDict[K, tuple[float, V]] = OrderedDict()
        self._cleared = 0

    def get(self, key: K) -> V | None:
        """Return what is remembered, else None."""
        found = self._values.get(key)
        if found is None or found[0] <= self._clock.monotonic():
            return None
        return found[1]

    def put(self, key: K, value: V) -> None:
        """Remember a value."""
        self._values.pop(key, None)
        self._values[key] = (self._clock.monotonic() + self._lifetime, value)
        if len(self._values) > self._capacity:
            self._values.popitem(last=False)

    async def get_or_read(self, key: K, read: Callable[[], Awaitable[V]]) -> V:
        """Return what is remembered, or read it; what was read while everything was forgotten is not remembered."""
        known = self.get(key)
        if known is not None:
            return known
        cleared = self._cleared
        value = await read()
        if cleared == self._cleared:
            self.put(key, value)
        return value

    def clear(self) -> None:
        """Forget everything."""
        self._cleared += 1
        self._values.clear()

    def __len__(self) -> int:
        return len(self._values)
