"""The time range of a request: how callers write it, and its bounds in nanoseconds."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final

from pydantic import BaseModel, ConfigDict, Field, StrictFloat, StrictInt, StrictStr

from ophion_agent.fields import parse_duration
from ophion_agent.server import BadRequest

SECOND: Final = 1_000_000_000
MINUTE: Final = 60 * SECOND
_LATEST: Final = 2**63 - 1
_LONGEST: Final = 3660 * 86_400 * SECOND
_MOST_BUCKETS: Final = 2_000
_UNITS: Final = {"s": 1, "m": 60, "h": 3600, "d": 86_400, "w": 604_800}
_RELATIVE: Final = re.compile(r"now(?:-(\d{1,9})([smhdw]))?", re.ASCII)
_NUMBER: Final = re.compile(r"\d{1,19}(?:\.\d{1,9})?", re.ASCII)
_RFC3339: Final = re.compile(r"(\d{4}-\d\d-\d\d)[Tt ](\d\d:\d\d:\d\d)(?:\.(\d{1,9}))?([Zz]|[+-]\d\d:\d\d)", re.ASCII)
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
# Digits of a whole number of seconds, milliseconds, microseconds and nanoseconds since 1970 in this age of the world.
_SCALES: Final = ((11, SECOND), (14, 1_000_000), (17, 1_000), (20, 1))
_STEPS: Final = (1, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 14_400, 21_600, 43_200, 86_400)

_TIME_FORMS: Final = (
    "RFC 3339, Unix time in seconds, milliseconds, microseconds or nanoseconds, or relative: `now-1h` (s, m, h, d, w)."
)
# Strict, or JSON's true and false would be the numbers 1 and 0.
TimeText = StrictStr | StrictInt | StrictFloat


class RangeQuery(BaseModel):
    """A time range."""

    model_config = ConfigDict(extra="forbid", populate_by_name=True)

    start: TimeText | None = Field(
        None, alias="from", description=f"Begin, included: {_TIME_FORMS} An hour before the end by default.",
        examples=["now-1h"],
    )  # fmt: skip
    end: TimeText | None = Field(
        None, alias="to", description=f"End, not included: {_TIME_FORMS} Now by default.", examples=["now"]
    )

    def bounds(self, now_ns: int) -> TimeRange:
        """Return the range; raises BadRequest."""
        return time_range(self.start, self.end, now_ns)


@dataclass(frozen=True, slots=True)
class TimeRange:
    """Nanoseconds since the Unix epoch, `start` included and `end` not."""

    start: int
    end: int

    @property
    def nanoseconds(self) -> int:
        """The length."""
        return self.end - self.start

    @property
    def seconds(self) -> float:
        """The length in seconds."""
        return self.nanoseconds / SECOND

    def step(self, text: str | None, buckets: int = 60) -> int:
        """Return the nanoseconds of a step as the caller gave it, else a round one that makes about `buckets`."""
        if text is None:
            wanted = self.seconds / buckets
            return next((step for step in _STEPS if step >= wanted), -(-int(wanted) // 86_400) * 86_400) * SECOND
        nanos = duration_ns("step", text)
        if nanos < 1_000_000:
            raise BadRequest(f'step: must be at least 1ms, got "{text}"', status=422)
        if self.nanoseconds // nanos > _MOST_BUCKETS:
            raise BadRequest(f'step: "{text}" makes more than {_MOST_BUCKETS} steps; use a longer one', status=422)
        return nanos

    def windows(self, *, newest_first: bool, first: int = MINUTE) -> Iterator[TimeRange]:
        """Cut the range into windows from one end, each four times as long as the one before.

        A page of common matches then reads the first window only, and one of rare matches reads the range once.
        """
        width, done = first, 0
        while done < self.nanoseconds:
            # What is left over would hardly be worth a query of its own.
            end = done + width if done + width * 2 < self.nanoseconds else self.nanoseconds
            if newest_first:
                yield TimeRange(self.end - end, self.end - done)
            else:
                yield TimeRange(self.start + done, self.start + end)
            done, width = end, width * 4


def time_range(start: str | float | None, end: str | float | None, now_ns: int) -> TimeRange:
    """Return the range of what a caller gave, the last hour by default; raises BadRequest."""
    last = now_ns if end is None else parse_time("to", end, now_ns)
    first = max(0, last - 3600 * SECOND) if start is None else parse_time("from", start, now_ns)
    if first >= last:
        raise BadRequest(f"from: must be before `to`, got {start} and {'now' if end is None else end}", status=422)
    if last - first > _LONGEST:
        raise BadRequest("from: the range must be at most 10 years; ask for less", status=422)
    return TimeRange(first, last)


def parse_time(name: str, value: str | float, now_ns: int) -> int:
    """Return nanoseconds since the epoch; raises BadRequest that names the parameter."""
    text = str(value).strip()
    found = _relative(text, now_ns) if text.startswith("now") else _absolute(text)
    if found is None or not 0 <= found <= _LATEST:
        raise BadRequest(
            f'{name}: must be a time such as 2026-01-31T08:00:00Z, 1769846400 or now-1h, got "{text[:100]}"', status=422
        )
    return found


def _relative(text: str, now_ns: int) -> int | None:
    match = _RELATIVE.fullmatch(text)
    if match is None:
        return None
    number, unit = match.groups()
    return now_ns - int(number) * _UNITS[unit] * SECOND if number else now_ns


def _absolute(text: str) -> int | None:
    if _NUMBER.fullmatch(text):
        whole, _, fraction = text.partition(".")
        scale = next(scale for digits, scale in _SCALES if len(whole) <= digits)
        return int(whole) * scale + int((fraction + "000000000")[:9]) * scale // SECOND
    match = _RFC3339.fullmatch(text)
    if match is None:
        return None
    day, clock, fraction, zone = match.groups()
    try:
        moment = datetime.fromisoformat(f"{day}T{clock}{'+00:00' if zone in 'Zz' else zone}")
    except ValueError:
        return None
    return (moment - _EPOCH) // timedelta(seconds=1) * SECOND + int(((fraction or "") + "000000000")[:9])


def duration_ns(name: str, text: str) -> int:
    """Return the nanoseconds of `100ms` or `1.5s`; raises BadRequest that names the parameter."""
    try:
        nanos = round(parse_duration(text) * SECOND)
    except ValueError as error:
        raise BadRequest(f"{name}: {error}", status=422) from None
    if nanos < 0:
        raise BadRequest(f'{name}: must not be negative, got "{text}"', status=422)
    return nanos


def rfc3339(nanoseconds: int) -> str:
    """Return a time in UTC with all nine digits of its fraction, which JavaScript's numbers cannot hold."""
    seconds, rest = divmod(nanoseconds, SECOND)
    moment = _EPOCH + timedelta(seconds=seconds)
    return f"{moment:%Y-%m-%dT%H:%M:%S}.{rest:09d}Z"
