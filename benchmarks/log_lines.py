"""Log lines as services write them: words of a made-up vocabulary as often as Zipf's law has them, numbers and ids.

The same lines come as text for files and as OTLP requests. Words to look for are put in at known distances.
"""

from __future__ import annotations

import itertools
import random
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TextIO

from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.logs.v1.logs_pb2 import SeverityNumber

from benchmarks.payloads import resource

SERVICES = ("checkout", "payments", "search", "inventory", "gateway", "accounts", "mailer", "reports")
# Name of a severity, its number, and how many of 100 lines have it.
LEVELS = (("DEBUG", 5, 20), ("INFO", 9, 68), ("WARN", 13, 9), ("ERROR", 17, 3))
VOCABULARY = 30_000
WORDS = (4, 5, 6, 7, 8, 9, 10, 12, 14)
PER_REQUEST = 5_000
SPACING_NS = 1_000_000
_SYLLABLES = [first + vowel for first in "bcdfghjklmnprstvz" for vowel in "aeiou"]


@dataclass(frozen=True)
class Wanted:
    """A word to look for, in one of `every` lines; 0: in none."""

    title: str
    word: str
    every: int

    def lines(self, count: int) -> int:
        """In how many of the first `count` lines it is."""
        return -(-count // self.every) if self.every else 0


def wanted(lines: int) -> tuple[Wanted, ...]:
    """The words to look for among `lines` lines: none is in the vocabulary."""
    return (
        Wanted("absent", "qxabsentq", 0),
        Wanted("in about 10 lines", "qxraryq", max(1, lines // 10)),
        Wanted("in about 1,000 lines", "qxseldomq", max(1, lines // 1_000)),
        Wanted("in one of ten lines", "qxoftenq", 10),
    )


@dataclass(frozen=True)
class Chunk:
    """Lines of one service, in order of time."""

    service: str
    first_ns: int
    levels: list[int]
    bodies: list[str]

    def write(self, file: TextIO) -> None:
        """Append the lines to a log file."""
        lines = []
        for index, (level, body) in enumerate(zip(self.levels, self.bodies, strict=True)):
            seconds, rest = divmod(self.first_ns + index * SPACING_NS, 10**9)
            stamp = f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%dT%H:%M:%S}.{rest // 1_000_000:03d}Z"
            lines.append(f"{stamp} {LEVELS[level][0]} {self.service} {body}\n")
        file.writelines(lines)

    def request(self) -> bytes:
        """The lines as an encoded OTLP request."""
        request = ExportLogsServiceRequest()
        scope = request.resource_logs.add(resource=resource(self.service)).scope_logs.add()
        for index, (level, body) in enumerate(zip(self.levels, self.bodies, strict=True)):
            record = scope.log_records.add()
            record.time_unix_nano = self.first_ns + index * SPACING_NS
            record.severity_text = LEVELS[level][0]
            record.severity_number = SeverityNumber.ValueType(LEVELS[level][1])
            record.body.string_value = body
        return request.SerializeToString()


def vocabulary(seed: int = 1) -> list[str]:
    """Distinct pronounceable words, the frequent ones first and shorter."""
    rng, words = random.Random(seed), dict[str, None]()
    while len(words) < VOCABULARY:
        words["".join(rng.choices(_SYLLABLES, k=1 + min(len(words), 4_000) // 1_000 + rng.randrange(2)))] = None
    return list(words)


def chunks(lines: int, start_ns: int, seed: int = 2) -> Iterator[Chunk]:
    """`lines` lines from `start_ns` on, a millisecond apart, the services in turn."""
    rng, words = random.Random(seed), vocabulary()
    weights = list(itertools.accumulate(1 / (rank + 2.7) for rank in range(len(words))))
    shares = list(itertools.accumulate(level[2] for level in LEVELS))
    marks = [found for found in wanted(lines) if found.every]
    for number, first in enumerate(range(0, lines, PER_REQUEST)):
        count = min(PER_REQUEST, lines - first)
        lengths = rng.choices(WORDS, k=count)
        stream = iter(rng.choices(words, cum_weights=weights, k=sum(lengths)))
        bodies = [_body(rng, list(itertools.islice(stream, length))) for length in lengths]
        for mark in marks:
            for at in range(-first % mark.every, count, mark.every):
                bodies[at] += f" {mark.word}"
        levels = rng.choices(range(len(LEVELS)), cum_weights=shares, k=count)
        yield Chunk(SERVICES[number % len(SERVICES)], start_ns + first * SPACING_NS, levels, bodies)


def _body(rng: random.Random, words: list[str]) -> str:
    middle = len(words) // 2
    before, after = " ".join(words[:middle]), " ".join(words[middle:])
    return f"{before} id={rng.getrandbits(48):012x} {after} took {rng.randrange(5_000)} ms"
