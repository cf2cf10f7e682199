"""Pages of traces that have a matching span.

Spans are matched, then grouped by trace. A trace stands where its newest matching span starts (or its longest
matching span, sorted by duration), and the search goes down from there in slices: windows of time that grow by four,
or spans down to a duration that some thousands exceed. A slice is one query that reads the columns of the conditions,
and only for matches the trace id. A trace found in one slice may have matched in one above, and was shown there: a
second query, on the few traces of the page and their own time alone, takes those out. What is shown of a trace is
computed for the page.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from typing import Any, Final

from ophion_api.cursors import decode_cursor, encode_cursor
from ophion_api.search_sql import is_id
from ophion_api.sql_parts import Binder, conjunction, disjunction
from ophion_api.telemetry_access import TenantStore
from ophion_api.time_ranges import MINUTE, TimeRange, rfc3339
from ophion_api.traces_filters import span_condition
from ophion_api.traces_models import ServiceCount, TracePage, TraceQuery, TraceSummary

_KEYS: Final = {"newest": "toUnixTimestamp64Nano(start_time)", "longest": "duration"}
_MOST_SERVICES: Final = 50
_MOST_INTERVALS: Final = 60
_SPANS_PER_TRACE: Final = 50


@dataclass(frozen=True, slots=True)
class Found:
    """A matching trace: its id in hexadecimal, the key it is sorted by, and the start of its newest matching span."""

    trace_id: str
    key: int
    matched: int


@dataclass(frozen=True, slots=True)
class _Slice:
    """Keys from `low` to `high`, both included; None is no limit."""

    low: int | None
    high: int | None


async def trace_page(store: TenantStore, query: TraceQuery, bounds: TimeRange) -> TracePage:
    """Return a page of traces; raises BadRequest."""
    kind = f"traces {query.sort}"
    after = None
    if query.cursor:
        key, trace_id = decode_cursor(query.cursor, kind, int, str)
        after = Found(trace_id if is_id(trace_id, 32) else "", key, 0)
    found = await _Search(store, query, bounds, after).page(query.limit + 1)
    page = found[: query.limit]
    last = page[-1] if len(found) > query.limit else None
    cursor = encode_cursor(kind, last.key, last.trace_id) if last else None
    return TracePage(traces=await summaries(store, page), next_cursor=cursor)


class _Search:
    def __init__(self, store: TenantStore, query: TraceQuery, bounds: TimeRange, after: Found | None) -> None:
        self._store = store
        self._query = query
        self._bounds = bounds
        self._after = after
        self._key = _KEYS[query.sort]

    async def page(self, wanted: int) -> list[Found]:
        """Return up to `wanted` traces after the cursor."""
        found: list[Found] = []
        slices = self._windows() if self._query.sort == "newest" else self._durations(wanted * _SPANS_PER_TRACE)
        async for part in slices:
            while len(found) < wanted:
                size = wanted - len(found)
                batch = await self._matches(part, size)
                known = await self._known(batch, part)
                found += [one for one in batch if one.trace_id not in known]
                if len(batch) < size:
                    break
                self._after = batch[-1]
            if len(found) >= wanted:
                break
        return found

    async def _windows(self) -> AsyncIterator[_Slice]:
        end = min(self._bounds.end, self._after.key + 1) if self._after else self._bounds.end
        rest = TimeRange(self._bounds.start, max(self._bounds.start, end))
        for window in rest.windows(newest_first=True):
            # Nothing matches above the very end of the range.
            yield _Slice(window.start, window.end - 1 if window.end < self._bounds.end else None)

    async def _durations(self, spans: int) -> AsyncIterator[_Slice]:
        """Yield slices of which each begins where a number of spans is reached, eight times as many each time."""
        high = self._after.key if self._after else None
        while True:
            binder = Binder()
            where = self._where(binder, _Slice(None, high))
            offset = binder.bind(spans, "UInt64")
            sql = f"SELECT {self._key} AS found FROM spans WHERE {where} ORDER BY found DESC LIMIT 1 OFFSET {offset}"
            keys = (await self._store.query(sql, binder))["found"]
            yield _Slice(keys[0] if keys else None, high)
            if not keys:
                return
            high, spans = keys[0] - 1, spans * 8

    def _where(self, binder: Binder, part: _Slice) -> str:
        parts = [binder.within("start_time", self._bounds)]
        if self._query.sort == "newest":
            low = part.low if part.low is not None else self._bounds.start
            high = part.high + 1 if part.high is not None else self._bounds.end
            parts = [binder.within("start_time", TimeRange(low, high))]
        else:
            if part.low is not None:
                parts.append(f"{self._key} >= {binder.bind(part.low, 'Int64')}")
            if part.high is not None:
                parts.append(f"{self._key} <= {binder.bind(part.high, 'Int64')}")
        parts.append(span_condition(binder, self._query, self._bounds))
        return conjunction(parts)

    def _upper(self, part: _Slice) -> int | None:
        """Return the greatest key that a trace of this part of the page can have."""
        limits = [limit for limit in (part.high, self._after.key if self._after else None) if limit is not None]
        return min(limits) if limits else None

    async def _matches(self, part: _Slice, size: int) -> list[Found]:
        binder = Binder()
        where = self._where(binder, _Slice(part.low, self._upper(part)))
        having = "id != ''"
        if self._after is not None:
            key, trace_id = binder.bind(self._after.key, "Int64"), binder.text(self._after.trace_id)
            having = f"{having} AND (found < {key} OR (found = {key} AND id > {trace_id}))"
        sql = (
            f"SELECT lower(hex(trace_id)) AS id, max({self._key}) AS found, "
            f"toUnixTimestamp64Nano(max(start_time)) AS matched FROM spans WHERE {where} "
            f"GROUP BY trace_id HAVING {having} ORDER BY found DESC, id LIMIT {binder.bind(size, 'UInt64')}"
        )
        rows = (await self._store.query(sql, binder)).rows()
        return [Found(*row) for row in rows]

    async def _known(self, batch: Sequence[Found], part: _Slice) -> set[str]:
        """Return those that have a matching span above this part: they were found before."""
        upper = self._upper(part)
        if upper is None or not batch:
            return set()
        ids = [one.trace_id for one in batch]
        intervals = list((await trace_times(self._store, ids)).values())
        if self._query.sort == "newest":
            intervals = [TimeRange(max(one.start, upper + 1), one.end) for one in intervals if one.end > upper + 1]
        binder = Binder()
        above = f"{self._key} > {binder.bind(upper, 'Int64')}"
        near = within_any(binder, intervals, self._bounds)
        if near is None:
            return set()
        where = conjunction(
            [near, f"trace_id IN {binder.ids(ids)}", above, span_condition(binder, self._query, self._bounds)]
        )
        limit = binder.bind(len(ids), "UInt64")
        sql = f"SELECT DISTINCT lower(hex(trace_id)) AS id FROM spans WHERE {where} LIMIT {limit}"
        return set((await self._store.query(sql, binder))["id"])


async def trace_times(store: TenantStore, trace_ids: Sequence[str]) -> dict[str, TimeRange]:
    """Return between which times the spans of traces start."""
    binder = Binder()
    sql = (
        "SELECT lower(hex(trace_id)) AS id, toUnixTimestamp64Nano(min(first_start)) AS first, "
        "toUnixTimestamp64Nano(max(last_start)) AS last FROM trace_index "
        f"WHERE trace_id IN {binder.ids(trace_ids)} GROUP BY trace_id"
    )
    rows = (await store.query(sql, binder)).rows() if trace_ids else []
    return {trace_id: TimeRange(first, last + 1) for trace_id, first, last in rows}


def within_any(binder: Binder, intervals: Sequence[TimeRange], bounds: TimeRange | None = None) -> str | None:
    """Return SQL for a start in one of the intervals, cut to `bounds`; None where nothing is left.

    Intervals that lie close together become one, so that the statement stays short.
    """
    if bounds is not None:
        intervals = [TimeRange(max(one.start, bounds.start), min(one.end, bounds.end)) for one in intervals]
    merged = sorted((one for one in intervals if one.start < one.end), key=lambda one: one.start)
    gap = MINUTE // 60
    while True:
        merged = _merged(merged, gap)
        if len(merged) <= _MOST_INTERVALS:
            break
        gap *= 4
    return disjunction(binder.within("start_time", one) for one in merged) if merged else None


def _merged(intervals: Sequence[TimeRange], gap: int) -> list[TimeRange]:
    found: list[TimeRange] = []
    for one in intervals:
        if found and one.start <= found[-1].end + gap:
            found[-1] = TimeRange(found[-1].start, max(found[-1].end, one.end))
        else:
            found.append(one)
    return found


async def summaries(store: TenantStore, page: Sequence[Found]) -> list[TraceSummary]:
    """Return what a list shows of traces, in their order."""
    ids = [one.trace_id for one in page]
    binder = Binder()
    near = within_any(binder, list((await trace_times(store, ids)).values()))
    if near is None:
        return []
    sql = (
        "SELECT lower(hex(trace_id)) AS id, count() AS n, countIf(status_code = 2) AS failed, "
        "min(toUnixTimestamp64Nano(start_time)) AS first, "
        "max(toUnixTimestamp64Nano(start_time) + greatest(duration, 0)) AS last, "
        "argMin((toString(service_name), toString(name), parent_span_id = ''), (parent_span_id != '', start_time)) "
        "AS root, "
        "sumMap(map(toString(service_name), toUInt64(1))) AS services, "
        "sumMap(map(toString(service_name), toUInt64(status_code = 2))) AS failures "
        f"FROM spans WHERE {near} AND trace_id IN {binder.ids(ids)} GROUP BY trace_id"
    )
    rows = {row["id"]: row for row in (await store.query(sql, binder)).dicts()}
    return [_summary(rows[one.trace_id], one) for one in page if one.trace_id in rows]


def _summary(row: dict[str, Any], found: Found) -> TraceSummary:
    service, operation, has_root = row["root"]
    failures = row["failures"]
    services = [ServiceCount(name=name, spans=n, errors=failures.get(name, 0)) for name, n in row["services"].items()]
    services.sort(key=lambda one: (-one.spans, one.name))
    return TraceSummary(
        trace_id=found.trace_id,
        service=service,
        operation=operation,
        has_root=bool(has_root),
        start=rfc3339(row["first"]),
        duration_ms=(row["last"] - row["first"]) / 1e6,
        spans=row["n"],
        errors=row["failed"],
        matched=rfc3339(found.matched),
        services=services[:_MOST_SERVICES],
    )
