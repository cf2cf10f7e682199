"""Counts, errors and durations of spans over time."""

from __future__ import annotations

from typing import Any, Final

from ophion_api.logs_search import buckets_of
from ophion_api.sql_parts import Binder, conjunction
from ophion_api.telemetry_access import TenantStore
from ophion_api.time_ranges import MINUTE, SECOND, TimeRange, rfc3339
from ophion_api.traces_filters import is_service_only, named, span_condition
from ophion_api.traces_models import SpanFilters, TraceBucket, TraceHistogram

_LONG: Final = 180 * MINUTE


def bucket_quantile(buckets: str, quantile: float) -> str:
    """Return SQL for a quantile in nanoseconds of a map as `operations.buckets` holds, summed: within 5 %.

    A bucket is the logarithm of the duration to the base 1.1; the quantile is the middle of its bucket.
    """
    sums = f"arrayCumSum(mapValues({buckets}))"
    return f"pow(1.1, toFloat64(mapKeys({buckets})[arrayFirstIndex(n -> n >= {quantile} * {sums}[-1], {sums})]) + 0.5)"


async def trace_histogram(store: TenantStore, filters: SpanFilters, bounds: TimeRange, step: int) -> TraceHistogram:
    """Return figures in buckets of `step` nanoseconds, aligned to the epoch.

    A long range of whole services is answered from the figures per minute, whose first and last minute count wholly.
    """
    binder = Binder()
    if is_service_only(filters) and step % MINUTE == 0 and bounds.nanoseconds >= _LONG:
        sql = _from_operations(binder, filters, bounds, step)
    else:
        sql = _from_spans(binder, filters, bounds, step)
    rows = {row["bucket"]: row for row in (await store.query(sql, binder)).dicts()}
    return TraceHistogram(
        step_ms=step / 1e6, buckets=[_bucket(number * step, rows.get(number)) for number in buckets_of(bounds, step)]
    )


def _from_spans(binder: Binder, filters: SpanFilters, bounds: TimeRange, step: int) -> str:
    where = conjunction([binder.within("start_time", bounds), span_condition(binder, filters, bounds)])
    return (
        f"SELECT intDiv(toUnixTimestamp64Nano(start_time), {binder.bind(step, 'Int64')}) AS bucket, count() AS n, "
        "countIf(status_code = 2) AS failed, quantilesTDigest(0.5, 0.95, 0.99)(greatest(duration, 0)) AS quantiles "
        f"FROM spans WHERE {where} GROUP BY bucket"
    )


def _from_operations(binder: Binder, filters: SpanFilters, bounds: TimeRange, step: int) -> str:
    parts = [minutes_within(binder, bounds), *named(binder, filters)]
    quantiles = ", ".join(bucket_quantile("merged", quantile) for quantile in (0.5, 0.95, 0.99))
    return (
        f"SELECT bucket, n, failed, [{quantiles}] AS quantiles FROM (SELECT "
        f"intDiv(toUnixTimestamp(minute), {binder.bind(step // SECOND, 'Int64')}) AS bucket, sum(spans) AS n, "
        f"sum(errors) AS failed, sumMap(buckets) AS merged FROM operations WHERE {conjunction(parts)} GROUP BY bucket)"
    )


def minutes_within(binder: Binder, bounds: TimeRange) -> str:
    """Return SQL for the minutes of `operations` that a range touches."""
    first, last = bounds.start // MINUTE * 60, (bounds.end - 1) // SECOND
    return (
        f"minute >= toDateTime({binder.bind(min(first, 2**32 - 1), 'UInt32')}, 'UTC') AND "
        f"minute <= toDateTime({binder.bind(min(last, 2**32 - 1), 'UInt32')}, 'UTC')"
    )


def _bucket(start: int, row: dict[str, Any] | None) -> TraceBucket:
    p50, p95, p99 = (value / 1e6 for value in row["quantiles"]) if row else (None, None, None)
    return TraceBucket(
        time=rfc3339(start),
        spans=row["n"] if row else 0,
        errors=row["failed"] if row else 0,
        p50_ms=p50,
        p95_ms=p95,
        p99_ms=p99,
    )
