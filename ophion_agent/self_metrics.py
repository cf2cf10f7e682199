"""Counters and gauges of the agent itself, cheap enough for the data path.

Counting is an integer addition. The OpenTelemetry SDK reads the numbers through observable instruments, and only when
somebody collects (`telemetry.py`).
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ophion_agent.attempts import AttemptListener

Attributes = tuple[tuple[str, str], ...]


class Counter:
    """A number that only grows."""

    __slots__ = ("value",)

    def __init__(self) -> None:
        self.value: int | float = 0

    def add(self, amount: float = 1) -> None:
        """Add `amount`, which is not negative."""
        self.value += amount


@dataclass(frozen=True, slots=True)
class Sample:
    """One value of one series."""

    name: str
    attributes: Attributes
    value: int | float
    monotonic: bool


@dataclass
class SelfMetrics:
    """Every counter and gauge of one agent, by name and attributes."""

    attempt_listeners: "list[AttemptListener]" = field(default_factory=list)
    _counters: dict[str, dict[Attributes, Counter]] = field(default_factory=dict)
    _gauges: dict[str, dict[Attributes, Callable[[], float]]] = field(default_factory=dict)

    def counter(self, name: str, **attributes: str) -> Counter:
        """Return the counter of this name and these attributes, the same one at every call."""
        series = self._counters.setdefault(name, {})
        return series.setdefault(tuple(sorted(attributes.items())), Counter())

    def gauge(self, name: str, read: Callable[[], float], **attributes: str) -> Callable[[], None]:
        """Register a gauge whose value `read` returns; return what removes it again.

        A later gauge of the same name and attributes replaces this one, and is not removed by the earlier remover.
        """
        key = tuple(sorted(attributes.items()))
        series = self._gauges.setdefault(name, {})
        series[key] = read

        def remove() -> None:
            if series.get(key) is read:
                del series[key]

        return remove

    def samples(self) -> Iterator[Sample]:
        """Iterate over the present value of every series; a gauge that cannot be read is left out and counted."""
        for name, counters in self._counters.items():
            for attributes, counter in counters.items():
                yield Sample(name, attributes, counter.value, monotonic=True)
        for name, gauges in self._gauges.items():
            for attributes, read in gauges.items():
                try:
                    value = read()
                except Exception:  # noqa: BLE001 - one component's fault must not hide the metrics of the others
                    self.counter("ophion_gauge_read_failures", gauge=name).add()
                    continue
                yield Sample(name, attributes, value, monotonic=False)

    def total(self, name: str, **attributes: str) -> int | float:
        """Sum the counters of `name` whose attributes include the given ones."""
        wanted = set(attributes.items())
        series = self._counters.get(name, {})
        return sum(counter.value for key, counter in series.items() if wanted <= set(key))
