"""Rate, errors and duration of services over time."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from pydantic import BaseModel, Field

from ophion_api.sql_parts import Binder, conjunction
from ophion_api.telemetry_access import TenantStore
from ophion_api.time_ranges import MINUTE, SECOND, TimeRange, rfc3339
from ophion_api.traces_figures import bucket_quantile, minutes_within

# Kinds of spans by which a service answers others: server and consumer.
ENTRY: Final = "kind IN (2, 5)"
# A step of which the range holds less than this share says little, and its rate jumps.
_LEAST_COVERED: Final = 0.3
_NOTHING: Final = {"n": 0, "failed": 0, "quantiles": (None, None, None)}


class Trend(BaseModel):
    """The course of a service's requests, as in `Red`; one value per step."""

    start: float = Field(description="Unix seconds at the begin of the first step.")
    step_seconds: float = Field(description="Width of a step.")
    rate: list[float] = Field(description="Spans per second.")
    error_rate: list[float | None] = Field(description="Share of failed spans, 0 to 1; null without spans.")
    p95_ms: list[float | None] = Field(description="95th percentile of the duration; null without spans.")


class History(Trend):
    """The whole course."""

    errors: list[float] = Field(description="Failed spans per second.")
    p50_ms: list[float | None] = Field(description="Median duration.")
    p99_ms: list[float | None] = Field(description="99th percentile of the duration.")


class TracedRequest(BaseModel):
    """A request whose trace shows what took so long, or what failed."""

    time: str = Field(description="Start of its span.")
    duration_ms: float = Field(description="Duration of its span.")
    failed: bool = Field(description="Whether the span has status error.")
    trace_id: str = Field(description="Its trace.")


@dataclass(frozen=True, slots=True)
class Grid:
    """The steps of a range: whole multiples of `step` nanoseconds since the epoch."""

    first: int
    last: int
    step: int
    bounds: TimeRange

    def covered(self, bucket: int) -> float:
        """Return how many seconds of a step lie in the range."""
        start, end = bucket * self.step, (bucket + 1) * self.step
        return (min(end, self.bounds.end) - max(start, self.bounds.start)) / SECOND

    def buckets(self) -> range:
        """Return the numbers of the steps that the range covers well enough."""
        least = _LEAST_COVERED * self.step / SECOND
        first = self.first + (self.covered(self.first) < least and self.last > self.first)
        return range(first, self.last + 1 - (self.covered(self.last) < least and self.last > first))


def grid(bounds: TimeRange, points: int, *, whole_minutes: bool) -> Grid:
    """Return about `points` steps; of whole minutes the range begins with the minute that it touches."""
    step = bounds.step(None, points)
    if whole_minutes or step % MINUTE == 0:
        step = max(step, MINUTE)
        bounds = TimeRange(bounds.start // MINUTE * MINUTE, bounds.end)
    return Grid(bounds.start // step, (bounds.end - 1) // step, step, bounds)


async def trends(store: TenantStore, names: Sequence[str], bounds: TimeRange, points: int) -> dict[str, Trend]:
    """Return the trends of services by the figures kept per minute."""
    steps = grid(bounds, points, whole_minutes=True)
    found = await _rows(store, _from_operations, names, steps)
    return {name: Trend(**_course(found[name], steps)) for name in names}


async def history(store: TenantStore, name: str, bounds: TimeRange, points: int) -> History:
    """Return the history of a service; steps shorter than a minute are made of its spans."""
    steps = grid(bounds, points, whole_minutes=False)
    source = _from_operations if steps.step % MINUTE == 0 else _from_spans
    rows = (await _rows(store, source, [name], steps))[name]
    buckets = [rows.get(bucket, _NOTHING) for bucket in steps.buckets()]
    return History(
        **_course(rows, steps),
        errors=[
            _rate(row["failed"], steps.covered(at)) for at, row in zip(steps.buckets(), buckets, strict=True)
        ],
        p50_ms=[_milliseconds(row, 0) for row in buckets],
        p99_ms=[_milliseconds(row, 2) for row in buckets],
    )  # fmt: skip


async def longest_requests(store: TenantStore, name: str, bounds: TimeRange, steps: int = 24) -> list[TracedRequest]:
    """Return the longest request of each of some steps of a range, by time, and the longest that failed."""
    binder = Binder()
    where = conjunction([binder.within("start_time", bounds), f"service_name = {binder.text(name)}"])
    width = binder.bind(max(1, bounds.nanoseconds // steps), "Int64")
    sql = (
        "SELECT toUnixTimestamp64Nano(argMax(start_time, duration)) AS time, max(duration) AS longest, "
        "status_code = 2 AS failed, lower(hex(argMax(trace_id, duration))) AS trace, "
        f"{ENTRY} AS entry, max(entry) OVER () AS serves, "
        f"intDiv(toUnixTimestamp64Nano(start_time) - {binder.bind(bounds.start, 'Int64')}, {width}) AS bucket "
        f"FROM spans WHERE {where} GROUP BY bucket, failed, entry ORDER BY time LIMIT 500"
    )
    return [
        TracedRequest(
            time=rfc3339(row["time"]), duration_ms=row["longest"] / 1e6, failed=row["failed"], trace_id=row["trace"]
        )
        for row in (await store.query(sql, binder)).dicts()
        if row["entry"] == row["serves"]
    ]


def _course(rows: Mapping[int, Mapping[str, Any]], steps: Grid) -> dict[str, Any]:
    buckets = [(bucket, rows.get(bucket, _NOTHING)) for bucket in steps.buckets()]
    return {
        "start": steps.buckets().start * steps.step / SECOND,
        "step_seconds": steps.step / SECOND,
        "rate": [_rate(row["n"], steps.covered(bucket)) for bucket, row in buckets],
        "error_rate": [round(row["failed"] / row["n"], 5) if row["n"] else None for _, row in buckets],
        "p95_ms": [_milliseconds(row, 1) for _, row in buckets],
    }


def _rate(count: int, seconds: float) -> float:
    return round(count / seconds, 4) if seconds > 0 else 0.0


def _milliseconds(row: Mapping[str, Any], quantile: int) -> float | None:
    value = row["quantiles"][quantile]
    return None if value is None else round(value / 1e6, 4)


async def _rows(
    store: TenantStore, source: Any, names: Sequence[str], steps: Grid
) -> dict[str, dict[int, dict[str, Any]]]:
    """Return rows with `n`, `failed` and `quantiles` by service and step."""
    binder = Binder()
    among = f"service_name IN {binder.bind(list(names), 'Array(String)')}"
    rows: dict[str, dict[int, dict[str, Any]]] = defaultdict(dict)
    if names:
        for row in (await store.query(source(binder, among, steps), binder)).dicts():
            rows[row["service"]][row["bucket"]] = row
    return rows


def _from_operations(binder: Binder, among: str, steps: Grid) -> str:
    quantiles = ", ".join(bucket_quantile("merged", quantile) for quantile in (0.5, 0.95, 0.99))
    bucket = f"intDiv(toUnixTimestamp(minute), {binder.bind(steps.step // SECOND, 'Int64')}) AS bucket"
    figures = "sum(spans) AS n, sum(errors) AS failed, sumMap(buckets) AS merged"
    where = conjunction([minutes_within(binder, steps.bounds), among])
    return _entries(f"{bucket}, {figures} FROM operations WHERE {where}", f"[{quantiles}] AS quantiles")


def _from_spans(binder: Binder, among: str, steps: Grid) -> str:
    bucket = f"intDiv(toUnixTimestamp64Nano(start_time), {binder.bind(steps.step, 'Int64')}) AS bucket"
    figures = (
        "count() AS n, countIf(status_code = 2) AS failed, "
        "quantilesTDigest(0.5, 0.95, 0.99)(greatest(duration, 0)) AS quantiles"
    )
    where = conjunction([binder.within("start_time", steps.bounds), among])
    return _entries(f"{bucket}, {figures} FROM spans WHERE {where}", "quantiles")


def _entries(source: str, quantiles: str) -> str:
    """Return SQL that keeps the requests that services answer, or all spans of those that answer none."""
    return (
        f"SELECT service, bucket, n, failed, {quantiles} FROM (SELECT toString(service_name) AS service, "
        f"{ENTRY} AS entry, max(entry) OVER (PARTITION BY service) AS serves, {source} "
        "GROUP BY service, entry, bucket) WHERE entry = serves ORDER BY service, bucket LIMIT 100000"
    )
