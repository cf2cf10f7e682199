"""What the log routes take and answer."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, Field

from ophion_api.search_terms import LONGEST_QUERY
from ophion_api.time_ranges import RangeQuery

PAGE_LIMIT = 1_000
Level = Literal["unspecified", "trace", "debug", "info", "warn", "error", "fatal"]
LEVELS: tuple[Level, ...] = ("unspecified", "trace", "debug", "info", "warn", "error", "fatal")
ExportFormat = Literal["json", "csv", "ndjson"]
FORMAT_HELP = "`csv` and `ndjson` stream all pages up to the server's limit; an Accept header does the same."
SearchText = Annotated[
    str,
    Field(
        max_length=LONGEST_QUERY,
        description=(
            'Words (all must match), "phrases", -without, OR, ( ), prefix*, field:value, field>value, field:/regex/, '
            "field:*. Fields are service, severity, trace_id, span_id, event, body and every attribute."
        ),
        examples=['timeout -retry http.status_code>=500 "connection refused"'],
    ),
]


class LogFilters(RangeQuery):
    """Which log records."""

    query: SearchText = ""
    service: str | None = Field(None, max_length=1000, description="Service name.", examples=["checkout"])
    severity_min: str | None = Field(
        None, max_length=50, description="Lowest level: trace, debug, info, warn, error, fatal or 1 to 24.",
        examples=["warn"],
    )  # fmt: skip
    trace_id: str | None = Field(None, pattern="^[0-9a-fA-F]{32}$", description="Trace that the records belong to.")


class LogQuery(LogFilters):
    """A page of log records."""

    order: Literal["newest", "oldest"] = Field("newest", description="Which end of the range comes first.")
    limit: int = Field(100, ge=1, le=PAGE_LIMIT, description="Records in a page.")
    cursor: str | None = Field(None, max_length=2000, description="`next_cursor` of the page before.")
    format: ExportFormat = Field("json", description=FORMAT_HELP)


class LogHistogramQuery(LogFilters):
    """Counts of log records over time."""

    step: str | None = Field(None, max_length=30, description="Width of a bucket, such as 30s; about 60 by default.")


class LogTailQuery(BaseModel):
    """Which log records to follow."""

    model_config = {"extra": "forbid"}

    query: SearchText = ""
    service: str | None = Field(None, max_length=1000, description="Service name.")
    severity_min: str | None = Field(None, max_length=50, description="Lowest level: trace ... fatal, or 1 to 24.")


class LogRecord(BaseModel):
    """One log record."""

    id: str = Field(description="Hash of the record's content.")
    time: str = Field(description="RFC 3339 with nanoseconds.", examples=["2026-01-31T08:00:00.123456789Z"])
    severity: Level = Field(description="Level of `severity_number`.")
    severity_number: int = Field(description="OpenTelemetry's SeverityNumber, 0 when it was not given.")
    severity_text: str = Field(description="The level as its sender writes it.")
    service: str = Field(description="service.name of the resource.")
    body: Any = Field(description="Text mostly; any JSON value.")
    event_name: str = Field(description="Name of the event, empty for a plain record.")
    trace_id: str = Field(description="Trace of the record, to be opened at /api/traces/{traceId}; empty without one.")
    span_id: str = Field(description="Span of the record; empty without one.")
    attributes: dict[str, Any] = Field(description="Attributes of the record.")
    resource: str = Field(description="Key of its resource in `resources`.")


class LogPage(BaseModel):
    """A page of log records."""

    logs: list[LogRecord] = Field(description="The records in the order that was asked for.")
    resources: dict[str, dict[str, Any]] = Field(description="Attributes of the resources, by the records' `resource`.")
    next_cursor: str | None = Field(None, description="`cursor` of the next page; null at the end.")


class LogBucket(BaseModel):
    """Counts of one span of time."""

    time: str = Field(description="Begin of the bucket.")
    counts: dict[Level, int] = Field(description="Records per level; levels without records are left out.")
    total: int = Field(description="Records of all levels.")


class LogHistogram(BaseModel):
    """Counts over time."""

    step_ms: float = Field(description="Width of a bucket.")
    buckets: list[LogBucket] = Field(description="All buckets of the range, empty ones included.")


def level_of(severity_number: int) -> Level:
    """Return the level of a SeverityNumber."""
    return LEVELS[min(max(severity_number + 3, 0) // 4, 6)] if severity_number > 0 else "unspecified"
