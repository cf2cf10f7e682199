"""What the trace routes take and answer."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from ophion_api.logs_models import FORMAT_HELP, ExportFormat
from ophion_api.search_terms import LONGEST_QUERY
from ophion_api.time_ranges import RangeQuery

PAGE_LIMIT = 500
SpanStatus = Literal["unset", "ok", "error"]
STATUSES: tuple[SpanStatus, ...] = ("unset", "ok", "error")
SpanKind = Literal["unspecified", "internal", "server", "client", "producer", "consumer"]
KINDS: tuple[SpanKind, ...] = ("unspecified", "internal", "server", "client", "producer", "consumer")
Name = Annotated[str, Field(max_length=1000)]


class Condition(BaseModel):
    """A condition on an attribute or a field of a span."""

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={"examples": [{"attribute": "http.response.status_code", "op": ">=", "value": 500}]},
    )

    attribute: Name | None = Field(None, description="Attribute of the span or of its resource.")
    scope: Literal["any", "span", "resource"] = Field("any", description="Where the attribute is looked for.")
    field: Literal["service", "operation", "status", "status_message", "kind", "duration"] | None = Field(
        None, description="Field of the span, instead of an attribute."
    )
    op: Literal["=", "!=", ">", ">=", "<", "<=", "=~", "exists"] = Field(
        "=", description="`=~` is an RE2 expression that may match anywhere; `!=` needs the attribute to be there."
    )
    value: str | int | float | bool | None = Field(None, description="What to compare with; durations as text: 250ms.")

    @model_validator(mode="after")
    def _names_one_thing(self) -> Condition:
        if (self.attribute is None) == (self.field is None):
            raise ValueError("needs either `attribute` or `field`")
        if self.value is None and self.op != "exists":
            raise ValueError(f"needs a `value` for {self.op}")
        return self


class Group(BaseModel):
    """Conditions that must all hold, of which one must hold, and one that must not; groups nest."""

    model_config = ConfigDict(extra="forbid", populate_by_name=True)

    all: list[Group | Condition] = Field([], max_length=50, description="All of these hold.")
    any: list[Group | Condition] = Field([], max_length=50, description="One of these holds; none given: no matter.")
    none: Group | Condition | None = Field(None, alias="not", description="This does not hold.")


class SpanFilters(RangeQuery):
    """Which spans: a trace matches when one of its spans meets everything at once."""

    service: list[Name] = Field(
        [], max_length=20, description="Service of the span; one of several.", examples=[["checkout"]]
    )
    operation: list[Name] = Field(
        [], max_length=20, description="Name of the span; one of several.", examples=[["GET /cart"]]
    )
    kind: list[SpanKind] = Field([], max_length=20, description="Kind of the span; one of several.")
    status: list[SpanStatus] = Field([], max_length=20, description="Status of the span; one of several.")
    min_duration: str | None = Field(
        None, max_length=30, description="Shortest duration of the span.", examples=["250ms"]
    )
    max_duration: str | None = Field(None, max_length=30, description="Longest duration of the span.", examples=["10s"])
    root: bool = Field(False, description="Only spans without a parent.")
    log_text: str = Field(
        "", max_length=LONGEST_QUERY, description="Query of log records of which the trace has one; as in /api/logs."
    )
    attr: list[Annotated[str, Field(max_length=5000)]] = Field(
        [],
        max_length=50,
        description="`key=value` with = != > >= < <= =~, or `key` alone: is there. May come several times.",
        examples=[["http.response.status_code>=500"]],
    )


class TraceQuery(SpanFilters):
    """A page of traces."""

    sort: Literal["newest", "longest"] = Field(
        "newest", description="By the start of the newest matching span, or the duration of the longest."
    )
    limit: int = Field(20, ge=1, le=PAGE_LIMIT, description="Traces in a page.")
    cursor: str | None = Field(None, max_length=2000, description="`next_cursor` of the page before.")
    format: ExportFormat = Field("json", description=FORMAT_HELP)


class TraceSearch(TraceQuery):
    """A page of traces, with conditions in groups."""

    where: Group | Condition | None = Field(None, description="Further conditions on the span.")


class TraceHistogramQuery(SpanFilters):
    """Figures of spans over time."""

    step: str | None = Field(None, max_length=30, description="Width of a bucket, such as 30s; about 60 by default.")


class ServiceCount(BaseModel):
    """A service's part in a trace."""

    name: str = Field(description="Service name.")
    spans: int = Field(description="Its spans.")
    errors: int = Field(description="Those with status error.")


class TraceSummary(BaseModel):
    """A trace in a list."""

    trace_id: str = Field(description="Id in hexadecimal.", examples=["4bf92f3577b34da6a3ce929d0e0e4736"])
    service: str = Field(description="Service of the root span, or of the earliest where the root is missing.")
    operation: str = Field(description="Name of that span.")
    has_root: bool = Field(description="Whether the root span is there.")
    start: str = Field(description="Start of the earliest span.")
    duration_ms: float = Field(description="From there to the end of the latest.")
    spans: int = Field(description="Spans of the trace.")
    errors: int = Field(description="Spans with status error.")
    matched: str = Field(description="Start of the newest matching span.")
    services: list[ServiceCount] = Field(description="Services in it, most spans first; at most 50.")


class TracePage(BaseModel):
    """A page of traces."""

    traces: list[TraceSummary] = Field(description="The traces in the order that was asked for.")
    next_cursor: str | None = Field(None, description="`cursor` of the next page; null at the end.")


class TraceBucket(BaseModel):
    """Figures of one span of time."""

    time: str = Field(description="Begin of the bucket.")
    spans: int = Field(description="Matching spans that start in it.")
    errors: int = Field(description="Those with status error.")
    p50_ms: float | None = Field(description="Median duration; null without spans.")
    p95_ms: float | None = Field(description="95th percentile of the duration.")
    p99_ms: float | None = Field(description="99th percentile of the duration.")


class TraceHistogram(BaseModel):
    """Figures over time."""

    step_ms: float = Field(description="Width of a bucket.")
    buckets: list[TraceBucket] = Field(description="All buckets of the range, empty ones included.")


# A large trace has tens of thousands of these: made from the store, they need no validation.


@dataclass(slots=True)
class SpanEvent:
    """An event of a span."""

    name: Annotated[str, Field(description="Name.")]
    offset_ms: Annotated[float, Field(description="From the start of the trace.")]
    attributes: Annotated[dict[str, Any], Field(description="Attributes.")]


@dataclass(slots=True)
class SpanLink:
    """A link to another span."""

    trace_id: Annotated[str, Field(description="Trace of the other span.")]
    span_id: Annotated[str, Field(description="The other span.")]
    trace_state: Annotated[str, Field(description="W3C trace state.")]
    attributes: Annotated[dict[str, Any], Field(description="Attributes.")]


@dataclass(slots=True)
class SpanView:
    """A span of a trace."""

    span_id: Annotated[str, Field(description="Id in hexadecimal.")]
    parent_span_id: Annotated[str, Field(description="Parent; empty for the root.")]
    name: Annotated[str, Field(description="Operation.")]
    service: Annotated[str, Field(description="service.name of the resource.")]
    kind: Annotated[SpanKind, Field(description="Kind.")]
    status: Annotated[SpanStatus, Field(description="Status.")]
    status_message: Annotated[str, Field(description="Why it failed.")]
    offset_ms: Annotated[float, Field(description="Start, from the start of the trace.")]
    duration_ms: Annotated[float, Field(description="Duration.")]
    self_ms: Annotated[float, Field(description="Time in which none of its children ran.")]
    critical_ms: Annotated[
        float, Field(description="Its part in the critical path, which the trace's duration is made of.")
    ]
    trace_state: Annotated[str, Field(description="W3C trace state.")]
    attributes: Annotated[dict[str, Any], Field(description="Attributes.")]
    events: Annotated[list[SpanEvent], Field(description="Events.")]
    links: Annotated[list[SpanLink], Field(description="Links.")]
    resource: Annotated[int, Field(description="Index in `resources`.")]
    scope: Annotated[int, Field(description="Index in `scopes`.")]


class ResourceView(BaseModel):
    """What spans come from."""

    attributes: dict[str, Any] = Field(description="Attributes.")
    schema_url: str = Field(description="Schema of the attributes.")


class ScopeView(BaseModel):
    """The library that made spans."""

    name: str = Field(description="Name.")
    version: str = Field(description="Version.")
    attributes: dict[str, Any] = Field(description="Attributes.")


class TraceLinks(BaseModel):
    """Where what belongs to the trace is found."""

    logs: str = Field(description="Log records of the trace.")
    hosts: str = Field(description="Metrics of the hosts around the trace.")
    exemplars: str = Field(description="Metric samples that name the trace.")


class OtlpTrace(BaseModel):
    """A whole trace as it was sent."""

    resource_spans: list[dict[str, Any]] = Field(alias="resourceSpans", description="As in OTLP/JSON.")


class TraceView(BaseModel):
    """A whole trace."""

    trace_id: str = Field(description="Id in hexadecimal.")
    start: str = Field(description="Start of the earliest span, RFC 3339 with nanoseconds.")
    duration_ms: float = Field(description="From there to the end of the latest span.")
    errors: int = Field(description="Spans with status error.")
    truncated: bool = Field(description="Whether there are more spans than the server shows.")
    services: list[ServiceCount] = Field(description="Services in it, most spans first.")
    spans: list[SpanView] = Field(description="Spans by start.")
    resources: list[ResourceView] = Field(description="Each resource once.")
    scopes: list[ScopeView] = Field(description="Each scope once.")
    critical_path: list[str] = Field(description="Ids of the spans on the critical path, in order of time.")
    links: TraceLinks = Field(description="What else belongs to it.")
