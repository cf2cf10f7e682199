"""The times at which an expression is evaluated. All times are milliseconds since 1970."""

from dataclasses import dataclass
from typing import Final

# What the engine's DateTime64(9) can hold, rounded inwards.
EARLIEST: Final = 0
LATEST: Final = 9_223_372_000_000


@dataclass(frozen=True, slots=True)
class Grid:
    """`start`, `start + step`, ... up to `end`."""

    start: int
    end: int
    step: int

    @property
    def count(self) -> int:
        """The number of times; at least 1 unless it ends before it starts."""
        return max(0, (self.end - self.start) // self.step + 1)

    @property
    def last(self) -> int:
        """The last time on the grid."""
        return self.start + (self.count - 1) * self.step

    def shifted(self, milliseconds: int) -> "Grid":
        """Return the grid that much later."""
        return Grid(self.start + milliseconds, self.end + milliseconds, self.step)

    def storable(self) -> tuple[int, "Grid"]:
        """Return how many leading times lie before 1970, where nothing is stored, and the rest of the grid."""
        before = min(self.count, max(0, -(-(EARLIEST - self.start) // self.step)))
        return before, Grid(self.start + before * self.step, min(self.last, LATEST), self.step)

    def times(self) -> list[float]:
        """Return the times in seconds."""
        return [(self.start + index * self.step) / 1000 for index in range(self.count)]


def single(time: int) -> Grid:
    """Return the grid of one time."""
    return Grid(time, time, 1000)
