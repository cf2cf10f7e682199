"""Stored telemetry as OTLP, in pages: what `server export` writes into files.

A file is a row of Export*ServiceRequests: each after four bytes of big-endian length, or as OTLP/JSON on a line. That
is what the `file` exporter writes as well, and what the collector's otlpjsonfile receiver reads.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any, Final, Literal

from ophion_agent.server import Storage

_PAGE_ITEMS: Final = 10_000
_DAY: Final = 86_400 * 1_000_000_000
_OF_DAY: Final = "toStartOfDay(toDateTime({column}, 'UTC'))"
_BETWEEN: Final = (
    "{column} >= fromUnixTimestamp64Nano({{first:Int64}}) AND {column} < fromUnixTimestamp64Nano({{last:Int64}})"
)
_TABLES: Final = {
    "traces": (("spans", "start_time", "1"),),
    "logs": (("logs", "time", "1"),),
    "metrics": (
        # The rest of the samples is derived from the other tables, or came by remote write and has no OTLP.
        ("samples", "time", "kind IN ('none', 'double', 'int')"),
        ("histograms", "time", "1"),
        ("exponential_histograms", "time", "1"),
        ("summaries", "time", "1"),
    ),
}
_READ_COLUMNS: Final = {"traces": "start_time", "logs": "time", "metrics": "p.time"}
Signal = Literal["traces", "metrics", "logs"]
Form = Literal["proto", "json"]


@dataclass(frozen=True, slots=True)
class Day:
    """One day of a signal: its begin in nanoseconds, and how many spans, points or records it has."""

    start: int
    items: int


@dataclass(frozen=True, slots=True)
class Export:
    """One signal of one tenant. Times are those of the telemetry itself, in nanoseconds since the epoch."""

    storage: Storage
    tenant: str
    signal: Signal

    async def days(self, first: int, last: int) -> list[Day]:
        """Return the days (UTC) between two times that have telemetry."""
        found: dict[int, int] = {}
        for table, column, where in _TABLES[self.signal]:
            day = _OF_DAY.format(column=column)
            sql = (
                f"SELECT toUnixTimestamp({day}) AS day, count() AS items FROM {table} "
                f"WHERE {_BETWEEN.format(column=column)} AND {where} GROUP BY day"
            )
            for start, items in (await self._query(sql, first, last)).rows():
                found[start] = found.get(start, 0) + items
        return [Day(start * 1_000_000_000, found[start]) for start in sorted(found)]

    async def records(self, first: int, last: int, form: Form) -> AsyncIterator[bytes]:
        """Iterate over the bytes of a file, a request of at most some thousand items at a time, in order of time."""
        column = _READ_COLUMNS[self.signal]
        async for start, end, items in self._windows(first, last):
            request = await self.storage.read(
                self.signal,
                _BETWEEN.format(column=column),
                {"first": start, "last": end},
                tenant=self.tenant,
                order=column,
                limit=max(_PAGE_ITEMS, items),
            )
            yield await asyncio.to_thread(_framed, request, form)

    async def _windows(self, first: int, last: int) -> AsyncIterator[tuple[int, int, int]]:
        """Iterate over (first, last, items) of spans of time that hold a page at most, or are a single instant."""
        waiting = [(first, last)]
        while waiting:
            start, end = waiting.pop()
            items = await self._count(start, end)
            if items > _PAGE_ITEMS and end - start > 1:
                middle = (start + end) // 2
                waiting += [(middle, end), (start, middle)]
            elif items:
                yield start, end, items

    async def _count(self, first: int, last: int) -> int:
        counts = (
            f"(SELECT count() FROM {table} WHERE {_BETWEEN.format(column=column)} AND {where})"
            for table, column, where in _TABLES[self.signal]
        )
        return int((await self._query(f"SELECT {' + '.join(counts)} AS items", first, last))["items"][0])

    async def _query(self, sql: str, first: int, last: int) -> Any:
        return await self.storage.query(sql, {"first": first, "last": last}, tenant=self.tenant)


def whole_days(first: int, last: int) -> tuple[int, int]:
    """Return the day that begins at `first`, as a span of time that ends at `last` at the latest."""
    return first, min(last, first - first % _DAY + _DAY)


def _framed(request: Any, form: Form) -> bytes:
    if form == "json":
        from ophion_agent.otlp_json import encode

        return encode(request) + b"\n"
    data: bytes = request.SerializeToString()
    return len(data).to_bytes(4, "big") + data
