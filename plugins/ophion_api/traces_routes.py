"""The routes of traces."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final, Literal

from pydantic import BaseModel, Field

from ophion_agent.server import Call, Permission, Reply, Route, Stream
from ophion_api.correlation import TraceHosts, TraceLogsQuery, trace_hosts, trace_logs
from ophion_api.exports import ExportPage, export, export_format
from ophion_api.logs_models import LogPage
from ophion_api.telemetry_access import Telemetry
from ophion_api.traces_figures import trace_histogram
from ophion_api.traces_models import (
    OtlpTrace,
    TraceHistogram,
    TraceHistogramQuery,
    TracePage,
    TraceQuery,
    TraceSearch,
    TraceView,
)
from ophion_api.traces_overview import (
    TraceFacets,
    TraceFacetsQuery,
    TracePoints,
    TracePointsQuery,
    trace_facets,
    trace_points,
)
from ophion_api.traces_search import trace_page
from ophion_api.traces_view import read_trace, trace_view

_TAG: Final = "traces"
_COLUMNS: Final = (
    "trace_id", "service", "operation", "has_root", "start", "duration_ms", "spans", "errors", "matched", "services",
)  # fmt: skip
_MEDIA: Final = "application/json, text/csv, application/x-ndjson"


class TraceFormQuery(BaseModel):
    """How a trace is answered."""

    model_config = {"extra": "forbid"}

    format: Literal["json", "otlp"] = Field("json", description="`otlp` is OTLP/JSON, with everything that was sent.")


class TraceRoutes:
    """Searches and shows traces."""

    def __init__(self, telemetry: Telemetry) -> None:
        self._telemetry = telemetry

    def routes(self) -> Sequence[Route]:
        """Return the routes."""
        read = Permission.READ
        return [
            Route(
                "GET", "/api/traces", self._list, read, query=TraceQuery, answer=TracePage, media_type=_MEDIA, tag=_TAG,
                errors=(422,), summary="Traces of a time range",
            ),
            Route(
                "POST", "/api/traces/search", self._search, read, body=TraceSearch, answer=TracePage, media_type=_MEDIA,
                tag=_TAG, summary="Traces that match a search",
            ),
            Route(
                "GET", "/api/traces/histogram", self._histogram, read, query=TraceHistogramQuery, answer=TraceHistogram,
                tag=_TAG, errors=(422,), summary="Spans, errors and durations over time",
            ),
            Route(
                "GET", "/api/traces/facets", self._facets, read, query=TraceFacetsQuery, answer=TraceFacets, tag=_TAG,
                errors=(422,), summary="Values that spans can be filtered by, with counts",
            ),
            Route(
                "GET", "/api/traces/points", self._points, read, query=TracePointsQuery, answer=TracePoints, tag=_TAG,
                errors=(422,), summary="Traces as points of time and duration",
            ),
            Route(
                "GET", "/api/traces/{traceId}", self._trace, read, query=TraceFormQuery, answer=TraceView | OtlpTrace,
                tag=_TAG, errors=(404, 422), summary="A whole trace",
            ),
            Route(
                "GET", "/api/traces/{traceId}/logs", self._logs, read, query=TraceLogsQuery, answer=LogPage, tag=_TAG,
                errors=(404, 422), summary="Log records of a trace",
            ),
            Route(
                "GET", "/api/traces/{traceId}/hosts", self._hosts, read, answer=TraceHosts, tag=_TAG, errors=(404, 422),
                summary="Metrics of a trace's hosts around its time",
            ),
        ]  # fmt: skip

    async def _list(self, call: Call) -> TracePage | Stream:
        return await self._answer(call, call.query)

    async def _search(self, call: Call) -> TracePage | Stream:
        return await self._answer(call, call.body)

    async def _answer(self, call: Call, query: TraceQuery) -> TracePage | Stream:
        store, bounds = self._telemetry.of(call), query.bounds(self._telemetry.now_ns())
        kind = export_format(call, query.format)
        if kind == "json":
            return await trace_page(store, query, bounds)

        async def page(cursor: str | None) -> ExportPage:
            update = {"cursor": cursor or query.cursor, "limit": 500}
            found = await trace_page(store, query.model_copy(update=update), bounds)
            return [trace.model_dump() for trace in found.traces], found.next_cursor

        return export(kind, "traces", _COLUMNS, page, self._telemetry.config.export_max_rows)

    async def _histogram(self, call: Call) -> TraceHistogram:
        query: TraceHistogramQuery = call.query
        bounds = query.bounds(self._telemetry.now_ns())
        return await trace_histogram(self._telemetry.of(call), query, bounds, bounds.step(query.step))

    async def _facets(self, call: Call) -> TraceFacets:
        query: TraceFacetsQuery = call.query
        return await trace_facets(self._telemetry.of(call), query, query.bounds(self._telemetry.now_ns()))

    async def _points(self, call: Call) -> TracePoints:
        query: TracePointsQuery = call.query
        return await trace_points(self._telemetry.of(call), query, query.bounds(self._telemetry.now_ns()))

    async def _trace(self, call: Call) -> Any:
        store, limit = self._telemetry.of(call), self._telemetry.config.trace_max_spans
        if call.query.format == "json":
            return await trace_view(store, call.path["traceId"], limit)
        from ophion_agent.otlp_json import encode

        return Reply(encode(await read_trace(store, call.path["traceId"], limit)))

    async def _logs(self, call: Call) -> LogPage:
        return await trace_logs(self._telemetry.of(call), call.path["traceId"], call.query)

    async def _hosts(self, call: Call) -> TraceHosts:
        return await trace_hosts(self._telemetry.of(call), call.path["traceId"])
