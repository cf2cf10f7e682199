"""Times and durations as people type them at the command line."""

from __future__ import annotations

import argparse
import re
import time
from typing import Final

from ophion_agent.server import BadRequest
from ophion_api.cli_client import UsageError
from ophion_api.time_ranges import SECOND, TimeRange, duration_ns, parse_time

_DAYS: Final = re.compile(r"(\d{1,5})([dw])", re.ASCII)
_DAY_SECONDS: Final = {"d": 86_400, "w": 604_800}


def time_of(option: str, text: str, now_ns: int) -> int:
    """Return nanoseconds since the epoch; raises UsageError that names the option."""
    try:
        return parse_time(option, text, now_ns)
    except BadRequest as error:
        raise UsageError(str(error)) from None


def length_of(option: str, text: str) -> int:
    """Return the nanoseconds of 90s, 1h30m or 7d; raises UsageError that names the option."""
    days = _DAYS.fullmatch(text)
    if days:
        return int(days[1]) * _DAY_SECONDS[days[2]] * SECOND
    try:
        return duration_ns(option, text)
    except BadRequest as error:
        raise UsageError(str(error)) from None


def range_of(options: argparse.Namespace, default: str) -> TimeRange:
    """Return the range that --since or --from, and --to, say."""
    now = time.time_ns()
    since = getattr(options, "since", None)
    if since and options.start:
        raise UsageError("--since and --from both name the begin; give one of them")
    end = time_of("--to", options.end, now) if options.end else now
    length = length_of("--since", since or default)
    start = time_of("--from", options.start, now) if options.start else end - length
    if not 0 <= start < end:
        raise UsageError(
            f"--from: must be before --to, got {options.start or since or default}; choose an earlier begin"
        )
    return TimeRange(start, end)


def seconds_text(nanoseconds: int) -> str:
    """Return Unix seconds with a fraction, exactly."""
    return f"{nanoseconds // SECOND}.{nanoseconds % SECOND:09d}"
