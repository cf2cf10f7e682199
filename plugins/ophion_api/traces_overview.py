"""What a search of traces looks like as a whole: counts by facet, and a sample of its traces as points."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any, Final, Literal

from pydantic import BaseModel, Field

from ophion_api.sql_parts import Binder, conjunction
from ophion_api.telemetry_access import TenantStore
from ophion_api.time_ranges import MINUTE, TimeRange, rfc3339
from ophion_api.traces_figures import minutes_within
from ophion_api.traces_filters import is_service_only, named, span_condition
from ophion_api.traces_models import KINDS, STATUSES, SpanFilters

Facet = Literal["service", "operation", "kind", "status"]
_COLUMNS: Final[Mapping[Facet, str]] = {
    "service": "toString(service_name)",
    "operation": "toString(name)",
    "kind": "toString(kind)",
    "status": "toString(status_code)",
}
_LONG: Final = 180 * MINUTE
_SLOWEST: Final = 100


class TraceFacetsQuery(SpanFilters):
    """Which spans are counted."""

    limit: int = Field(20, ge=1, le=200, description="Most values of a facet; those with the most spans come first.")


class TraceFacetValue(BaseModel):
    """A value and how many spans have it."""

    value: str = Field(description="What to filter by.")
    spans: int = Field(description="Matching spans that have it.")


class TraceFacets(BaseModel):
    """Values to filter by. A facet's own filter does not count, so that its other values stay in sight."""

    service: list[TraceFacetValue] = Field(description="Services.")
    operation: list[TraceFacetValue] = Field(description="Span names.")
    kind: list[TraceFacetValue] = Field(description="Span kinds.")
    status: list[TraceFacetValue] = Field(description="Span states.")


class TracePointsQuery(SpanFilters):
    """Which traces become points."""

    limit: int = Field(1_000, ge=1, le=5_000, description="Most points.")


class TracePoint(BaseModel):
    """A trace as a point of time and duration: those of its longest matching span."""

    trace_id: str = Field(description="Id in hexadecimal.")
    time: str = Field(description="Start of the span.")
    duration_ms: float = Field(description="Duration of the span.")
    failed: bool = Field(description="Whether a matching span of the trace has the status error.")
    service: str = Field(description="Service of the span.")
    operation: str = Field(description="Name of the span.")


class TracePoints(BaseModel):
    """Points of a search."""

    points: list[TracePoint] = Field(description="In no order.")
    traces: int = Field(description="Matching traces, estimated.")
    sampled: bool = Field(
        description="Whether there are more traces than points: then an even sample of them, and the slowest."
    )


async def trace_facets(store: TenantStore, filters: TraceFacetsQuery, bounds: TimeRange) -> TraceFacets:
    """Return the most frequent values of every facet; raises BadRequest."""
    facets: Sequence[Facet] = tuple(_COLUMNS)
    counts = await asyncio.gather(*(_values(store, facet, filters, bounds) for facet in facets))
    return TraceFacets(**dict(zip(facets, counts, strict=True)))


async def _values(
    store: TenantStore, facet: Facet, filters: TraceFacetsQuery, bounds: TimeRange
) -> list[TraceFacetValue]:
    others = filters.model_copy(update={facet: []})
    binder = Binder()
    # The figures per minute know no status.
    if facet != "status" and is_service_only(others) and bounds.nanoseconds >= _LONG:
        source, spans = f"operations WHERE {_whole_services(binder, others, bounds)}", "sum(spans)"
    else:
        where = conjunction([binder.within("start_time", bounds), span_condition(binder, others, bounds)])
        source, spans = f"spans WHERE {where}", "count()"
    sql = (
        f"SELECT {_COLUMNS[facet]} AS facet, toUInt64({spans}) AS n FROM {source} GROUP BY facet "
        f"ORDER BY n DESC, facet LIMIT {binder.bind(filters.limit, 'UInt64')}"
    )
    rows = (await store.query(sql, binder)).rows()
    return [TraceFacetValue(value=name, spans=n) for value, n in rows if (name := _name(facet, value)) is not None]


def _whole_services(binder: Binder, filters: SpanFilters, bounds: TimeRange) -> str:
    return conjunction([minutes_within(binder, bounds), *named(binder, filters)])


def _name(facet: Facet, value: str) -> str | None:
    """Return the value as filters take it; None for a number that has no name."""
    if facet not in ("kind", "status"):
        return value
    names: Sequence[str] = KINDS if facet == "kind" else STATUSES
    number = int(value)
    return names[number] if 0 <= number < len(names) else None


async def trace_points(store: TenantStore, query: TracePointsQuery, bounds: TimeRange) -> TracePoints:
    """Return traces as points; raises BadRequest.

    The first query counts, and finds from which duration on a span is one of the slowest. The second takes these, and
    of all others the traces whose hash falls into the share that is wanted.
    """
    binder = Binder()
    where = conjunction([binder.within("start_time", bounds), span_condition(binder, query, bounds)])
    counted = (
        f"SELECT uniq(trace_id) AS n, arrayElement(groupArraySorted({_SLOWEST})(-duration), -1) AS slow "
        f"FROM spans WHERE {where} AND trace_id != ''"
    )
    ((traces, slow),) = (await store.query(counted, binder)).rows()
    share = max(1, -(-int(traces) // query.limit))
    chosen = (
        f"(cityHash64(trace_id) % {binder.bind(share, 'UInt64')} = 0 OR duration >= {binder.bind(-int(slow), 'Int64')})"
    )
    sql = (
        "SELECT lower(hex(trace_id)) AS id, toUnixTimestamp64Nano(argMax(start_time, duration)) AS time, "
        "max(greatest(duration, 0)) AS took, max(status_code = 2) AS failed, "
        "argMax((toString(service_name), toString(name)), duration) AS named "
        f"FROM spans WHERE {where} AND trace_id != '' AND {chosen} GROUP BY trace_id "
        f"ORDER BY cityHash64(trace_id) LIMIT {binder.bind(query.limit + 1, 'UInt64')}"
    )
    rows = (await store.query(sql, binder)).dicts()
    return TracePoints(
        points=[_point(row) for row in rows[: query.limit]],
        traces=max(int(traces), len(rows)) if share == 1 else int(traces),
        sampled=share > 1 or len(rows) > query.limit,
    )


def _point(row: Mapping[str, Any]) -> TracePoint:
    service, operation = row["named"]
    return TracePoint(
        trace_id=row["id"],
        time=rfc3339(row["time"]),
        duration_ms=row["took"] / 1e6,
        failed=bool(row["failed"]),
        service=service,
        operation=operation,
    )
