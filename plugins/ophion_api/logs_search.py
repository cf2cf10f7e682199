"""Pages of log records, and their counts over time.

A page is found in two steps. The first reads times alone, in windows that grow from the end where the page begins,
until it has as many matches as the page holds. The second reads the whole records between the first and the last of
those times: a few granules.
"""

from __future__ import annotations

from base64 import b64decode
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from ophion_agent.server import Columns
from ophion_api.any_values import attribute_columns, attributes_of, decoded
from ophion_api.cursors import decode_cursor, encode_cursor
from ophion_api.logs_models import (
    LogBucket,
    LogFilters,
    LogHistogram,
    LogPage,
    LogQuery,
    LogRecord,
    LogTailQuery,
    level_of,
)
from ophion_api.origins import stored_resources
from ophion_api.search_sql import search_condition, severity_number
from ophion_api.search_terms import parse_search
from ophion_api.sql_parts import Binder, conjunction
from ophion_api.telemetry_access import TenantStore
from ophion_api.time_ranges import TimeRange, rfc3339

RECORD_ID: Final = (
    "cityHash64(time, observed_time, service_name, resource_id, severity_number, body, trace_id, span_id, attributes)"
)
RECORD_COLUMNS: Final = (
    "toUnixTimestamp64Nano(time) AS at, service_name, toString(resource_id) AS resource, severity_number, "
    "severity_text, is_text, if(is_text, toValidUTF8(body), base64Encode(body)) AS shown_body, event_name, "
    f"lower(hex(trace_id)) AS trace, lower(hex(span_id)) AS span, {attribute_columns()}"
)


@dataclass(frozen=True, slots=True)
class Position:
    """Where a page ended: the time and id of its last record, how many equal to it, and how many of that time."""

    time: int
    record: int
    equal: int
    same_time: int


def log_condition(binder: Binder, filters: LogFilters | LogTailQuery) -> str:
    """Return SQL for everything but the time range; raises BadRequest."""
    parts = []
    if filters.service is not None:
        parts.append(f"service_name = {binder.text(filters.service)}")
    if filters.severity_min is not None:
        number = severity_number("severity_min", filters.severity_min)
        parts.append(f"severity_number >= {binder.bind(number, 'Int32')}")
    if isinstance(filters, LogFilters) and filters.trace_id is not None:
        parts.append(f"trace_id = unhex({binder.text(filters.trace_id)})")
    if filters.query:
        parts.append(search_condition(binder, parse_search(filters.query)))
    return conjunction(parts)


async def log_page(store: TenantStore, query: LogQuery, bounds: TimeRange) -> LogPage:
    """Return a page of records; raises BadRequest."""
    kind = f"logs {query.order}"
    after = Position(*decode_cursor(query.cursor, kind, int, int, int, int)) if query.cursor else None
    newest_first = query.order == "newest"
    rest = _rest_of(bounds, after, newest_first)
    if rest is None:
        return LogPage(logs=[], resources={})
    wanted = query.limit + 1 + (after.same_time if after else 0)
    span = await _span_of_page(store, query, rest, wanted, newest_first)
    if span is None:
        return LogPage(logs=[], resources={})
    found = await _records(store, query, span, after, newest_first)
    rows = found.dicts()[after.equal if after else 0 :]
    page = rows[: query.limit]
    cursor = encode_cursor(kind, *_position(page, after)) if len(rows) > query.limit else None
    return LogPage(logs=[record_of(row) for row in page], resources=await resources_of(store, page), next_cursor=cursor)


def _rest_of(bounds: TimeRange, after: Position | None, newest_first: bool) -> TimeRange | None:
    if after is None:
        return bounds
    start = bounds.start if newest_first else max(bounds.start, after.time)
    end = min(bounds.end, after.time + 1) if newest_first else bounds.end
    return TimeRange(start, end) if start < end else None


async def _span_of_page(
    store: TenantStore, query: LogQuery, bounds: TimeRange, wanted: int, newest_first: bool
) -> TimeRange | None:
    """Return the times between which the first `wanted` matches lie, None where there are none."""
    times: list[int] = []
    for window in bounds.windows(newest_first=newest_first):
        binder = Binder()
        where = conjunction([binder.within("time", window), log_condition(binder, query)])
        order = "DESC" if newest_first else "ASC"
        limit = binder.bind(wanted - len(times), "UInt64")
        sql = f"SELECT toUnixTimestamp64Nano(time) AS at FROM logs WHERE {where} ORDER BY time {order} LIMIT {limit}"
        times += (await store.query(sql, binder))["at"]
        if len(times) >= wanted:
            break
    if not times:
        return None
    return TimeRange(min(times), max(times) + 1)


async def _records(
    store: TenantStore, query: LogQuery, span: TimeRange, after: Position | None, newest_first: bool
) -> Columns:
    binder = Binder()
    parts = [binder.within("time", span), log_condition(binder, query)]
    order, sign = ("DESC", "<") if newest_first else ("ASC", ">")
    if after is not None:
        time = binder.time(after.time)
        parts.append(f"time {sign} {time} OR (time = {time} AND id >= {binder.bind(after.record, 'UInt64')})")
    limit = binder.bind(query.limit + 1 + (after.equal if after else 0), "UInt64")
    where = conjunction(parts)
    sql = f"SELECT {RECORD_COLUMNS}, {RECORD_ID} AS id FROM logs WHERE {where} ORDER BY time {order}, id LIMIT {limit}"
    return await store.query(sql, binder)


def _position(page: Sequence[Mapping[str, Any]], after: Position | None) -> tuple[int, int, int, int]:
    time, record = page[-1]["at"], page[-1]["id"]
    equal = sum(row["at"] == time and row["id"] == record for row in page)
    same_time = sum(row["at"] == time for row in page)
    if after is not None and after.time == time:
        same_time += after.same_time
        equal += after.equal if after.record == record else 0
    return time, record, equal, same_time


def record_of(row: Mapping[str, Any]) -> LogRecord:
    """Return a row of RECORD_COLUMNS and `id` as it is shown."""
    body = row["shown_body"] if row["is_text"] else decoded(b64decode(row["shown_body"]))
    return LogRecord(
        id=f"{row['id']:016x}",
        time=rfc3339(row["at"]),
        severity=level_of(row["severity_number"]),
        severity_number=row["severity_number"],
        severity_text=row["severity_text"],
        service=row["service_name"],
        body=body,
        event_name=row["event_name"],
        trace_id=row["trace"],
        span_id=row["span"],
        attributes=attributes_of(row["attributes_keys"], row["attributes_values"]),
        resource=row["resource"],
    )


async def resources_of(store: TenantStore, rows: Sequence[Mapping[str, Any]]) -> dict[str, dict[str, Any]]:
    """Return the attributes of the rows' resources by their ids (`resource` and `service_name` of a row)."""
    if not rows:
        return {}
    services, ids = {row["service_name"] for row in rows}, {int(row["resource"]) for row in rows}
    found = await stored_resources(store, services, ids)
    return {str(one): resource.attributes for one, resource in found.items()}


async def log_histogram(store: TenantStore, filters: LogFilters, bounds: TimeRange, step: int) -> LogHistogram:
    """Return counts by level in buckets of `step` nanoseconds, aligned to the epoch."""
    binder = Binder()
    where = conjunction([binder.within("time", bounds), log_condition(binder, filters)])
    sql = (
        f"SELECT intDiv(toUnixTimestamp64Nano(time), {binder.bind(step, 'Int64')}) AS bucket, "
        "least(intDiv(greatest(severity_number, 0) + 3, 4), 6) AS level, count() AS records "
        f"FROM logs WHERE {where} GROUP BY bucket, level"
    )
    counts: dict[int, dict[int, int]] = {}
    for bucket, level, records in (await store.query(sql, binder)).rows():
        counts.setdefault(bucket, {})[level] = records
    return LogHistogram(step_ms=step / 1e6, buckets=[_bucket(n, step, counts) for n in buckets_of(bounds, step)])


def buckets_of(bounds: TimeRange, step: int) -> range:
    """Return the numbers of the buckets that a range touches."""
    return range(bounds.start // step, (bounds.end - 1) // step + 1)


def _bucket(number: int, step: int, counts: Mapping[int, Mapping[int, int]]) -> LogBucket:
    from ophion_api.logs_models import LEVELS

    found = counts.get(number, {})
    by_level = {LEVELS[level]: found[level] for level in sorted(found)}
    return LogBucket(time=rfc3339(number * step), counts=by_level, total=sum(found.values()))
