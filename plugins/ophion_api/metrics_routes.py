"""The routes of metrics."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from ophion_agent.server import BadRequest, Call, Permission, Problem, PromQL, Route, Series, Stream
from ophion_api.exemplars import exemplars
from ophion_api.exports import ExportPage, export, export_format
from ophion_api.metrics_catalogue import metric_page, metric_view, number_shown
from ophion_api.metrics_models import (
    ExemplarList,
    ExemplarsQuery,
    MetricPage,
    MetricQuery,
    MetricsQuery,
    MetricView,
    PromQLQuery,
    PromQLResult,
    PromQLSeries,
)
from ophion_api.telemetry_access import Telemetry
from ophion_api.time_ranges import SECOND, parse_time

_TAG: Final = "metrics"
_MEDIA: Final = "application/json, text/csv, application/x-ndjson"


class MetricRoutes:
    """Lists, shows and queries metrics."""

    def __init__(self, telemetry: Telemetry) -> None:
        self._telemetry = telemetry

    def routes(self) -> Sequence[Route]:
        """Return the routes."""
        read = Permission.READ
        return [
            Route(
                "GET", "/api/metrics", self._list, read, query=MetricsQuery, answer=MetricPage, tag=_TAG, errors=(422,),
                summary="Metrics by name",
            ),
            Route(
                "GET", "/api/metrics/{name}", self._metric, read, query=MetricQuery, answer=MetricView, tag=_TAG,
                errors=(404, 422), summary="A metric with its labels and values",
            ),
            Route(
                "POST", "/api/metrics/query", self._query, read, body=PromQLQuery, answer=PromQLResult,
                media_type=_MEDIA, tag=_TAG, errors=(503,), summary="The values of a PromQL expression",
            ),
            Route(
                "GET", "/api/exemplars", self._exemplars, read, query=ExemplarsQuery, answer=ExemplarList, tag=_TAG,
                errors=(422,), summary="Measurements that name a trace",
            ),
        ]  # fmt: skip

    async def _list(self, call: Call) -> MetricPage:
        query: MetricsQuery = call.query
        return await metric_page(self._telemetry.of(call), query, query.bounds(self._telemetry.now_ns()))

    async def _metric(self, call: Call) -> MetricView:
        query: MetricQuery = call.query
        bounds = query.bounds(self._telemetry.now_ns())
        return await metric_view(self._telemetry.of(call), call.path["name"], query, bounds, bounds.step(query.step))

    async def _exemplars(self, call: Call) -> ExemplarList:
        query: ExemplarsQuery = call.query
        return await exemplars(self._telemetry.of(call), query, query.bounds(self._telemetry.now_ns()))

    def _promql(self) -> PromQL:
        if self._telemetry.promql is None:
            remedy = "add the extension `promql` to the configuration"
            raise Problem(f"this server has no PromQL engine; {remedy}", status=503)
        return self._telemetry.promql

    async def _query(self, call: Call) -> PromQLResult | Stream:
        query: PromQLQuery = call.body
        kind = export_format(call, query.format)
        step, series = await self._evaluate(call, query)
        if kind != "json":
            names = sorted({_column(name) for one in series for name in one.labels})
            rows = _Rows(series)
            columns = ("time", "value", *names) if kind == "csv" else ("time", "value", "labels")
            return export(kind, "metrics", columns, rows.csv if kind == "csv" else rows.nested, self._most_rows())
        shown = [
            PromQLSeries(labels=dict(one.labels), points=[(time, number_shown(value)) for time, value in one.points])
            for one in series
        ]
        return PromQLResult(step_ms=step / 1e6 if step else None, series=shown)

    def _most_rows(self) -> int:
        return self._telemetry.config.export_max_rows

    async def _evaluate(self, call: Call, query: PromQLQuery) -> tuple[int | None, Sequence[Series]]:
        promql, now = self._promql(), self._telemetry.now_ns()
        if query.time is not None:
            if query.start is not None or query.end is not None or query.step is not None:
                raise BadRequest("time: cannot be given beside from, to and step; send one or the other", status=422)
            time = parse_time("time", query.time, now) / SECOND
            return None, await promql.query(query.query, time, tenant=call.tenant)
        bounds = query.bounds(now)
        step = bounds.step(query.step)
        found = await promql.query_range(
            query.query, bounds.start / SECOND, bounds.end / SECOND, step / SECOND, tenant=call.tenant
        )
        return step, found


def _column(label: str) -> str:
    """Return the column of a label; those that are named like the columns of every row are marked."""
    return f"label_{label}" if label in ("time", "value") else label


class _Rows:
    """The points of a result as rows, a series a page."""

    def __init__(self, series: Sequence[Series]) -> None:
        self._series = series

    async def csv(self, cursor: str | None) -> ExportPage:
        """Return rows with a column per label; infinities are inf and -inf, as most readers of CSV take them."""
        return self._page(cursor, lambda labels: {_column(name): text for name, text in labels.items()}, float)

    async def nested(self, cursor: str | None) -> ExportPage:
        """Return rows with all labels in one field."""
        return self._page(cursor, lambda labels: {"labels": labels}, number_shown)

    def _page(self, cursor: str | None, shown: Any, number: Any) -> ExportPage:
        place = int(cursor or 0)
        if place >= len(self._series):
            return [], None
        one = self._series[place]
        labels = shown(dict(one.labels))
        rows = [{**labels, "time": time, "value": number(value)} for time, value in one.points]
        return rows, str(place + 1) if place + 1 < len(self._series) else None
