"""Metrics, their labels and their values over time."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise
from typing import Any, Final

from ophion_agent.server import BadRequest, NotFound
from ophion_api.attributes_routes import days_within
from ophion_api.cursors import decode_cursor, encode_cursor
from ophion_api.metrics_models import (
    Metric,
    MetricLabel,
    MetricPage,
    MetricQuery,
    MetricSeries,
    MetricsQuery,
    MetricView,
    Number,
)
from ophion_api.sql_parts import Binder, conjunction
from ophion_api.telemetry_access import TenantStore
from ophion_api.time_ranges import SECOND, TimeRange

_MOST_VALUES: Final = 100
_MOST_POINTS: Final = 100_000
_TYPES: Final = ("counter", "gauge", "histogram", "summary")
_DESCRIPTION: Final = (
    "any(toString(kind)) AS kinds, any(toString(unit)) AS units, any(help) AS helps, uniq(cityHash64(labels)) AS n"
)


async def metric_page(store: TenantStore, query: MetricsQuery, bounds: TimeRange) -> MetricPage:
    """Return a page of metrics by name."""
    binder = Binder()
    parts = [days_within(binder, bounds)]
    for word in query.search.split():
        text = binder.text(word)
        parts.append(
            f"positionCaseInsensitiveUTF8(metric_name, {text}) > 0 OR positionCaseInsensitiveUTF8(help, {text}) > 0"
        )
    if query.cursor:
        (last,) = decode_cursor(query.cursor, "metrics", str)
        parts.append(f"metric_name > {binder.text(last)}")
    sql = (
        f"SELECT toString(metric_name) AS name, {_DESCRIPTION} FROM series WHERE {conjunction(parts)} "
        f"GROUP BY metric_name ORDER BY metric_name LIMIT {binder.bind(query.limit + 1, 'UInt64')}"
    )
    rows = (await store.query(sql, binder)).rows()
    page = [_metric(*row) for row in rows[: query.limit]]
    cursor = encode_cursor("metrics", page[-1].name) if len(rows) > query.limit else None
    return MetricPage(metrics=page, next_cursor=cursor)


def _metric(name: str, kind: str, unit: str, text: str, series: int) -> Metric:
    known = kind if kind in _TYPES else "unknown"
    return Metric(name=name, type=known, unit=unit, help=text, series=series)


async def metric_view(store: TenantStore, name: str, query: MetricQuery, bounds: TimeRange, step: int) -> MetricView:
    """Return a metric with labels and values; raises BadRequest and NotFound."""
    metric = await _described(store, name, bounds)
    found = await _series_ids(store, name, query, bounds)
    shown = found[: query.limit]
    if len(shown) * (bounds.nanoseconds // step + 1) > _MOST_POINTS:
        raise BadRequest(f"step: makes more than {_MOST_POINTS} points; use a longer one or fewer series", status=422)
    return MetricView(
        **dict(metric),
        labels=await _labels(store, name, bounds),
        step_ms=step / 1e6,
        values=await _values(store, shown, bounds, step, is_counter=_is_counter(metric)),
        truncated=len(found) > query.limit,
    )


def _is_counter(metric: Metric) -> bool:
    """Tell whether the values only grow: counters, and what Prometheus makes of histograms."""
    return metric.type == "counter" or metric.name.endswith(("_bucket", "_count", "_sum"))


async def _described(store: TenantStore, name: str, bounds: TimeRange) -> Metric:
    binder = Binder()
    where = conjunction([days_within(binder, bounds), f"metric_name = {binder.text(name)}"])
    rows = (await store.query(f"SELECT {_DESCRIPTION} FROM series WHERE {where}", binder)).rows()
    if not rows or not rows[0][-1]:
        raise NotFound(f'there is no metric "{name}" in this time range; /api/metrics lists those there are')
    return _metric(name, *rows[0])


async def _labels(store: TenantStore, name: str, bounds: TimeRange) -> list[MetricLabel]:
    binder = Binder()
    where = conjunction([days_within(binder, bounds), f"metric_name = {binder.text(name)}"])
    sql = (
        f"SELECT toString(pair.1) AS label, groupUniqArray({_MOST_VALUES + 1})(pair.2) AS found FROM "
        f"(SELECT arrayJoin(labels) AS pair FROM series WHERE {where}) GROUP BY label ORDER BY label LIMIT 200"
    )
    return [
        MetricLabel(name=label, values=sorted(values)[:_MOST_VALUES], truncated=len(values) > _MOST_VALUES)
        for label, values in (await store.query(sql, binder)).rows()
    ]


async def _series_ids(
    store: TenantStore, name: str, query: MetricQuery, bounds: TimeRange
) -> list[tuple[dict[str, str], list[int]]]:
    """Return one more than `limit` label sets, each with the ids of its series."""
    binder = Binder()
    parts = [days_within(binder, bounds), f"metric_name = {binder.text(name)}"]
    for text in query.label:
        label, found, value = text.partition("=")
        if not found or not label:
            raise BadRequest(f'label: must be name=value, got "{text[:100]}"', status=422)
        parts.append(f"labels[{binder.text(label)}] = {binder.text(value)}")
    sql = (
        "SELECT labels AS every, groupUniqArray(series_id) AS ids FROM series "
        f"WHERE {conjunction(parts)} GROUP BY labels ORDER BY toString(labels) "
        f"LIMIT {binder.bind(query.limit + 1, 'UInt64')}"
    )
    return [(every, ids) for every, ids in (await store.query(sql, binder)).rows()]


async def _values(
    store: TenantStore,
    series: Sequence[tuple[dict[str, str], list[int]]],
    bounds: TimeRange,
    step: int,
    *,
    is_counter: bool,
) -> list[MetricSeries]:
    places = {identity: place for place, (_, ids) in enumerate(series) for identity in ids}
    binder = Binder()
    ids, numbers = list(places), list(places.values())
    place = f"transform(series_id, {binder.bind(ids, 'Array(UInt64)')}, {binder.bind(numbers, 'Array(UInt64)')}, 0)"
    sql = (
        f"SELECT {place} AS place, intDiv(toUnixTimestamp64Nano(time), {binder.bind(step, 'Int64')}) AS bucket, "
        "avg(value) AS mean, argMax(value, time) AS last FROM samples "
        f"WHERE series_id IN {binder.bind(ids, 'Array(UInt64)')} AND {binder.within('time', bounds)} "
        "AND NOT isNaN(value) GROUP BY place, bucket ORDER BY place, bucket"
    )
    rows: list[list[tuple[int, Any, Any]]] = [[] for _ in series]
    for number, bucket, mean, last in (await store.query(sql, binder)).rows() if places else ():
        rows[number].append((bucket, mean, last))
    return [
        MetricSeries(
            labels=labels,
            latest=number_shown(rows[place][-1][2]) if rows[place] else None,
            points=_rates(rows[place], step) if is_counter else _means(rows[place], step),
        )
        for place, (labels, _) in enumerate(series)
    ]


def _means(rows: Sequence[tuple[int, Any, Any]], step: int) -> list[tuple[float, Number]]:
    return [(bucket * step / SECOND, number_shown(mean)) for bucket, mean, _ in rows]


def _rates(rows: Sequence[tuple[int, Any, Any]], step: int) -> list[tuple[float, Number]]:
    """Return the growth per second between the last values of steps; a value that fell began again at zero."""
    found: list[tuple[float, Number]] = []
    for (earlier, _, before), (bucket, _, last) in pairwise(rows):
        growth = float(last) - float(before)
        seconds = (bucket - earlier) * step / SECOND
        found.append((bucket * step / SECOND, number_shown((growth if growth >= 0 else float(last)) / seconds)))
    return found


def number_shown(value: Any) -> Number:
    """Return a number as JSON can hold it: NaN, +Inf and -Inf are texts."""
    number = float(value)
    if math.isfinite(number):
        return number
    return "NaN" if math.isnan(number) else "+Inf" if number > 0 else "-Inf"
