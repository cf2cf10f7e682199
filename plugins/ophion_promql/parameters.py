"""Parameters of Prometheus' HTTP API: their models, and how their texts are read."""

import math
from datetime import UTC, datetime
from typing import Any, Final, Literal

from pydantic import BaseModel, ConfigDict, Field

from ophion_promql.errors import BadQuery
from ophion_promql.grid import LATEST, Grid

_LONGEST_SECONDS: Final = 292 * 365 * 86_400.0


class Parameters(BaseModel):
    """What every route takes. Unknown parameters are ignored, as Prometheus does."""

    model_config = ConfigDict(extra="ignore", populate_by_name=True)


class InstantParameters(Parameters):
    """Parameters of `query`."""

    query: str = Field("", description="PromQL expression.")
    time: str = Field("", description="Unix seconds or RFC 3339; now without one.")
    timeout: str = Field("", description="Longest evaluation, such as 30s.")
    limit: str = Field("", description="Most series in the answer; 0 for all.")


class RangeParameters(Parameters):
    """Parameters of `query_range`."""

    query: str = Field("", description="PromQL expression.")
    start: str = Field("", description="First time: Unix seconds or RFC 3339.")
    end: str = Field("", description="Last time, included.")
    step: str = Field("", description="Resolution: seconds or a duration such as 1m.")
    timeout: str = Field("", description="Longest evaluation, such as 30s.")
    limit: str = Field("", description="Most series in the answer; 0 for all.")


class CatalogueParameters(Parameters):
    """Parameters of `labels`, `label/{name}/values` and `series`."""

    match: list[str] = Field(default_factory=list, alias="match[]", description="Series selectors, any of which match.")
    start: str = Field("", description="First time that matters.")
    end: str = Field("", description="Last time that matters.")
    limit: str = Field("", description="Most entries in the answer; 0 for all.")


class MetadataParameters(Parameters):
    """Parameters of `metadata`."""

    metric: str = Field("", description="Only this metric.")
    limit: str = Field("", description="Most metrics in the answer.")
    limit_per_metric: str = Field("", description="Most entries for each metric.")


class ExemplarParameters(Parameters):
    """Parameters of `query_exemplars`."""

    query: str = Field("", description="Expression whose selectors say of which series.")
    start: str = Field("", description="First time.")
    end: str = Field("", description="Last time.")


class FormatParameters(Parameters):
    """Parameters of `format_query`."""

    query: str = Field("", description="PromQL expression.")


class PrometheusAnswer(BaseModel):
    """The frame of every answer."""

    status: Literal["success"] = "success"
    data: Any = None
    warnings: list[str] | None = None


def time_of(text: str, name: str, default: int | None = None) -> int:
    """Return a time in milliseconds; raises BadQuery for what is none."""
    if not text and default is not None:
        return default
    seconds = _number(text)
    if seconds is None:
        try:
            parsed = datetime.fromisoformat(text)
        except ValueError:
            raise _invalid(name, f'cannot parse "{text}" to a valid timestamp') from None
        seconds = (parsed if parsed.tzinfo else parsed.replace(tzinfo=UTC)).timestamp()
    if not abs(seconds) * 1000 <= LATEST:
        raise _invalid(name, f'cannot parse "{text}" to a valid timestamp')
    return round(seconds * 1000)


def duration_of(text: str, name: str) -> float:
    """Return a duration in seconds; raises BadQuery."""
    seconds = _number(text)
    if seconds is None:
        import promql_parser

        try:
            seconds = promql_parser.parse_duration(text).total_seconds()
        except BaseException as error:
            # A panic of the library's native code derives from BaseException, and means only that the text is unusual.
            if not isinstance(error, ValueError) and type(error).__name__ != "PanicException":
                raise
            raise _invalid(name, f'cannot parse "{text}" to a valid duration') from None
    if not abs(seconds) <= _LONGEST_SECONDS:
        raise _invalid(name, f'cannot parse "{text}" to a valid duration. It overflows int64')
    return seconds


def grid_of(parameters: RangeParameters) -> Grid:
    """Return the grid of a range query; raises BadQuery."""
    start, end = time_of(parameters.start, "start"), time_of(parameters.end, "end")
    if end < start:
        raise _invalid("end", "end timestamp must not be before start time")
    step = round(duration_of(parameters.step, "step") * 1000)
    if step <= 0:
        raise _invalid("step", "zero or negative query resolution step widths are not accepted. Try a positive integer")
    return Grid(start, end, step)


def timeout_of(text: str) -> float | None:
    """Return the asked timeout in seconds, None without one."""
    if not text:
        return None
    seconds = duration_of(text, "timeout")
    if seconds <= 0:
        raise _invalid("timeout", "must be longer than 0")
    return seconds


def limit_of(text: str, name: str = "limit") -> int:
    """Return a limit, 0 for none; raises BadQuery."""
    if not text:
        return 0
    if not text.isdecimal() or not text.isascii() or len(text) > 18:
        raise _invalid(name, "limit must be a number of at least 0")
    return int(text)


def _number(text: str) -> float | None:
    try:
        number = float(text) if "_" not in text else math.nan
    except ValueError:
        return None
    return None if math.isnan(number) else number


def _invalid(name: str, reason: str) -> BadQuery:
    return BadQuery(f'invalid parameter "{name}": {reason}')
