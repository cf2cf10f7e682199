"""Samples what every thread does, by looking at their stacks from a thread of its own."""

import sys
import threading
import time
from collections import Counter
from dataclasses import dataclass
from types import CodeType, FrameType
from typing import Final

SAMPLES_PER_SECOND: Final = 100
_DEEPEST: Final = 128
# A profile that runs for days must not grow without end; what comes later counts under one name.
_MOST_STACKS: Final = 20_000

# Innermost Python calls of threads that wait: for a lock, for work, for events. uvloop waits, and does its own work,
# without a Python call of its own.
_IDLE: Final = frozenset(
    {
        ("select", "selectors.py"),
        ("run", "runners.py"),
        ("run", "threading.py"),
        ("wait", "threading.py"),
        ("_wait_for_tstate_lock", "threading.py"),
        ("_worker", "thread.py"),
    }
)

Stack = tuple["Place", ...]


@dataclass(frozen=True, slots=True)
class Place:
    """A function and the line in it; line 0 where the lines were not kept."""

    function: str
    file: str
    first_line: int
    line: int


OTHER: Final[Stack] = (Place("(other stacks)", "", 0, 0),)


@dataclass(frozen=True)
class Profile:
    """How often each stack, outermost call first, was seen; taken every `period_ns`."""

    stacks: dict[Stack, int]
    started_ns: int
    duration_ns: int
    period_ns: int


class Sampler:
    """Takes samples between `start` and `stop`."""

    def __init__(self, samples_per_second: int = SAMPLES_PER_SECOND) -> None:
        self._period_seconds = 1 / samples_per_second
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None
        self._seen: Counter[tuple[tuple[CodeType, int], ...]] = Counter()
        self._started_ns = self._began = 0

    def start(self) -> None:
        """Begin to take samples."""
        self._started_ns, self._began = time.time_ns(), time.monotonic_ns()
        self._thread = threading.Thread(target=self._run, name="pprof-sampler", daemon=True)
        self._thread.start()

    def _run(self) -> None:
        own = threading.get_ident()
        while not self._stop.wait(self._period_seconds):
            for thread, frame in sys._current_frames().items():
                if thread != own and not _is_idle(frame):
                    self._count(_stack_of(frame))

    def _count(self, stack: tuple[tuple[CodeType, int], ...]) -> None:
        if stack in self._seen or len(self._seen) < _MOST_STACKS:
            self._seen[stack] += 1
        else:
            self._seen[()] += 1

    def end(self) -> None:
        """Take no more samples; does not wait."""
        self._stop.set()

    def stop(self) -> Profile:
        """Wait for the last sample, and return what was seen; blocks for up to one period."""
        self.end()
        if self._thread is not None:
            self._thread.join()
        stacks: Counter[Stack] = Counter()
        for seen, count in self._seen.items():
            stacks[tuple(_place(code, line) for code, line in seen) or OTHER] += count
        duration_ns = time.monotonic_ns() - self._began
        return Profile(dict(stacks), self._started_ns, duration_ns, round(self._period_seconds * 1e9))


def _is_idle(frame: FrameType) -> bool:
    code = frame.f_code
    return (code.co_name, code.co_filename.rpartition("/")[2]) in _IDLE


def _stack_of(frame: FrameType | None) -> tuple[tuple[CodeType, int], ...]:
    stack: list[tuple[CodeType, int]] = []
    while frame is not None and len(stack) < _DEEPEST:
        stack.append((frame.f_code, frame.f_lineno or frame.f_code.co_firstlineno))
        frame = frame.f_back
    return tuple(reversed(stack))


def _place(code: CodeType, line: int) -> Place:
    return Place(code.co_qualname, code.co_filename, code.co_firstlineno, line)
