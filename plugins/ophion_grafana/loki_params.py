"""The parameters of Loki's HTTP API, as pkg/loghttp/params.go of Loki reads them."""

from __future__ import annotations

import re
from datetime import datetime
from typing import Final

from pydantic import AliasChoices, BaseModel, ConfigDict, Field

from ophion_agent.server import BadRequest
from ophion_grafana.logql_lexer import nanoseconds
from ophion_grafana.logql_vectors import Steps

_HOUR: Final = 3_600 * 10**9
_MOST_STEPS: Final = 11_000
_LATEST: Final = 2**63 - 1
_RFC3339: Final = re.compile(r"\d{4}-\d\d-\d\d[Tt ]\d\d:\d\d:\d\d(\.\d+)?([Zz]|[-+]\d\d:\d\d)")


class LokiQuery(BaseModel):
    """What every route takes. Values stay text here, so that errors are worded by the functions below."""

    model_config = ConfigDict(extra="ignore", populate_by_name=True)

    query: str = Field("", description="LogQL.")
    start: str = Field("", description="Unix nanoseconds, Unix seconds or RFC 3339; an hour before `end`.")
    end: str = Field("", description="Unix nanoseconds, Unix seconds or RFC 3339; now.")
    since: str = Field("", description="Duration before `end`, instead of `start`.")
    time: str = Field("", description="When an instant query is evaluated; now.")
    limit: str = Field("", description="Most lines, series or fields; 100 lines.")
    step: str = Field("", description="Seconds or a duration between the values of a metric query.")
    interval: str = Field("", description="At most one line of each stream per interval.")
    direction: str = Field("", description="`forward` or `backward`: which lines come first, and which are left out.")
    match: list[str] = Field(
        default_factory=list,
        validation_alias=AliasChoices("match[]", "match"),
        description="Stream selectors; what matches any of them is returned.",
    )
    target_labels: str = Field("", alias="targetLabels", description="Labels that volumes are grouped by.")
    aggregate_by: str = Field("", alias="aggregateBy", description="`series` or `labels`.")
    line_limit: str = Field("", description="Most lines that are looked at for fields.")
    field_limit: str = Field("", description="Another name of `limit` for fields.")


def timestamp(text: str, default: int, name: str) -> int:
    """Return Unix nanoseconds."""
    if not text:
        return default
    try:
        if re.fullmatch(r"-?\d+\.\d*", text):
            return _checked(round(float(text) * 1e9), text, name)
        if re.fullmatch(r"-?\d{1,20}", text):
            return _checked(int(text) * (10**9 if len(text) <= 10 else 1), text, name)
        return _checked(_rfc3339(text), text, name)
    except (ValueError, OverflowError):
        raise BadRequest(f"could not parse '{name}' parameter: {text[:60]!r}; send Unix nanoseconds") from None


def _checked(value: int, text: str, name: str) -> int:
    if not 0 <= value <= _LATEST:
        raise BadRequest(f"could not parse '{name}' parameter: {text[:60]!r} is before 1970 or after 2262")
    return value


def _rfc3339(text: str) -> int:
    match = _RFC3339.fullmatch(text)
    if match is None:
        raise ValueError(text)
    fraction = match[1] or ""
    whole = datetime.fromisoformat(text.replace(fraction, "", 1).upper())
    return round(whole.timestamp()) * 10**9 + int(fraction[1:10].ljust(9, "0") or 0)


def duration(text: str, name: str) -> int:
    """Return the nanoseconds of a number of seconds or a duration."""
    try:
        return min(round(float(text) * 1e9), _LATEST)
    except (ValueError, OverflowError):
        pass
    try:
        return nanoseconds(text)
    except ValueError:
        raise BadRequest(f"{name}: cannot parse {text[:60]!r} to a valid duration") from None


def bounds(query: LokiQuery, now: int) -> tuple[int, int]:
    """Return start and end in nanoseconds."""
    end = timestamp(query.end, now, "end")
    since = duration(query.since, "since") if query.since else _HOUR
    start = timestamp(query.start, max(min(end, now) - since, 0), "start")
    if end < start:
        raise BadRequest("end timestamp must not be before or equal to start time")
    return start, end


def count(text: str, default: int, most: int, name: str = "limit") -> int:
    """Return a positive number."""
    if not text:
        return min(default, most)
    if not re.fullmatch(r"\d{1,9}", text) or int(text) < 1:
        raise BadRequest(f"{name} must be a positive value, got {text[:40]!r}")
    return int(text)


def line_limit(query: LokiQuery, most: int) -> int:
    """Return the most lines that are wanted; raises BadRequest where more are than there may be."""
    wanted = count(query.limit, 100, most)
    if wanted > most:
        raise BadRequest(
            f"max entries limit per query exceeded, limit > max_entries_limit_per_query ({wanted} > {most})"
        )
    return wanted


def is_forward(query: LokiQuery) -> bool:
    """Tell which lines come first."""
    direction = query.direction.lower() or "backward"
    if direction not in ("forward", "backward"):
        raise BadRequest(f"invalid direction '{query.direction[:40]}'")
    return direction == "forward"


def steps(query: LokiQuery, now: int) -> Steps:
    """Return the times of a range query."""
    start, end = bounds(query, now)
    step = duration(query.step, "step") if query.step else max((end - start) // 10**9 // 250, 1) * 10**9
    if step <= 0:
        raise BadRequest("zero or negative query resolution step widths are not accepted. Try a positive integer")
    if (end - start) // step > _MOST_STEPS:
        raise BadRequest(
            f"exceeded maximum resolution of {_MOST_STEPS} points per time series. Try increasing the value of the "
            "step parameter"
        )
    return Steps(start, step, (end - start) // step + 1)
