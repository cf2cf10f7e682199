"""What the metric routes take and answer."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, Field

from ophion_api.logs_models import FORMAT_HELP, ExportFormat
from ophion_api.time_ranges import RangeQuery, TimeText

MetricType = Literal["counter", "gauge", "histogram", "summary", "unknown"]
# NaN and the infinities are no JSON numbers, so they are texts as in Prometheus' API.
Number = float | str


class MetricsQuery(RangeQuery):
    """Which metrics; those that had samples on a day of the range."""

    search: str = Field("", max_length=1000, description="Words that the name or help contains, in any case and order.")
    limit: int = Field(200, ge=1, le=1000, description="Metrics in a page.")
    cursor: str | None = Field(None, max_length=2000, description="`next_cursor` of the page before.")


class Metric(BaseModel):
    """A metric as PromQL knows it."""

    name: str = Field(description="Prometheus name.", examples=["system_cpu_time_seconds_total"])
    type: MetricType = Field(description="Prometheus type.")
    unit: str = Field(description="Unit as its sender writes it, such as s or By.")
    help: str = Field(description="What it measures.")
    series: int = Field(description="Series in the range, by their labels.")


class MetricPage(BaseModel):
    """A page of metrics."""

    metrics: list[Metric] = Field(description="Metrics by name.")
    next_cursor: str | None = Field(None, description="`cursor` of the next page; null at the end.")


class MetricQuery(RangeQuery):
    """Of which time, and how much of a metric."""

    step: str | None = Field(None, max_length=30, description="Width of a step, such as 30s; about 60 by default.")
    label: list[Annotated[str, Field(max_length=2000)]] = Field(
        [], max_length=20, description="`name=value`, only series with it; may come several times."
    )
    limit: int = Field(20, ge=1, le=200, description="Most series.")


class MetricLabel(BaseModel):
    """A label of a metric."""

    name: str = Field(description="Label name.")
    values: list[str] = Field(description="Its values; at most 100.")
    truncated: bool = Field(description="Whether there are more.")


class MetricSeries(BaseModel):
    """A series rolled up to steps."""

    labels: dict[str, str] = Field(description="Labels without __name__.")
    latest: Number | None = Field(description="Last value in the range.")
    points: list[tuple[float, Number]] = Field(
        description="Unix seconds at the begin of a step, and the mean in it, or for a counter its rate per second."
    )


class MetricView(Metric):
    """A metric with its labels and values."""

    labels: list[MetricLabel] = Field(description="Labels by name.")
    step_ms: float = Field(description="Width of a step.")
    values: list[MetricSeries] = Field(description="Series by their labels.")
    truncated: bool = Field(description="Whether there are more series than are shown.")


class PromQLQuery(RangeQuery):
    """A PromQL expression over a range, or at one time."""

    query: str = Field(
        min_length=1, max_length=20_000, description="PromQL.", examples=["rate(system_cpu_time_seconds_total[5m])"]
    )
    step: str | None = Field(None, max_length=30, description="Resolution, such as 30s; about 60 points by default.")
    time: TimeText | None = Field(None, description="Evaluate at this time only, instead of over a range.")
    format: ExportFormat = Field("json", description=FORMAT_HELP)


class PromQLSeries(BaseModel):
    """A series of the result."""

    labels: dict[str, str] = Field(description="Labels, with __name__ where it has one.")
    points: list[tuple[float, Number]] = Field(description="Unix seconds and value.")


class PromQLResult(BaseModel):
    """The result of an expression."""

    step_ms: float | None = Field(description="Resolution; null for one time.")
    series: list[PromQLSeries] = Field(description="Series of the result.")


class ExemplarsQuery(RangeQuery):
    """Which exemplars."""

    metric: str | None = Field(None, max_length=1000, description="Metric name, with or without _bucket, _count, _sum.")
    trace_id: str | None = Field(None, pattern="^[0-9a-fA-F]{32}$", description="Trace that they name.")
    limit: int = Field(100, ge=1, le=1000, description="Most exemplars; the newest are.")


class Exemplar(BaseModel):
    """A measurement that names the trace it was made in."""

    metric: str = Field(description="Name as its sender writes it.")
    service: str = Field(description="service.name of the resource.")
    attributes: dict[str, object] = Field(description="Attributes of the series.")
    time: str = Field(description="RFC 3339 with nanoseconds.")
    value: Number = Field(description="What was measured.")
    trace_id: str = Field(description="Trace, to be opened at /api/traces/{traceId}; empty without one.")
    span_id: str = Field(description="Span; empty without one.")
    filtered_attributes: dict[str, object] = Field(description="Attributes that the series does not have.")


class ExemplarList(BaseModel):
    """Exemplars."""

    exemplars: list[Exemplar] = Field(description="Newest first.")
