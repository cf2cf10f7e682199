"""Results as CSV and NDJSON, page by page, so that no export is ever whole in memory."""

from __future__ import annotations

import csv
import io
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from typing import Any, Final, Literal

import orjson

from ophion_agent.server import Call, Stream

ExportRow = Mapping[str, Any]
# One page: its rows, and the cursor of the next or None.
ExportPage = tuple[Sequence[ExportRow], str | None]
CSV: Final = "text/csv"
NDJSON: Final = "application/x-ndjson"
# What spreadsheets take for a formula: https://owasp.org/www-community/attacks/CSV_Injection
_FORMULA: Final = ("=", "+", "-", "@", "\t", "\r", "\n")


def export_format(call: Call, asked: str) -> Literal["json", "csv", "ndjson"]:
    """Return the form of the answer: that of the `format` parameter, else the first in Accept that there is."""
    if asked in ("csv", "ndjson"):
        return "csv" if asked == "csv" else "ndjson"
    for item in call.headers.get("accept", "").split(","):
        media_type = item.partition(";")[0].strip().lower()
        if media_type in (CSV, NDJSON):
            return "csv" if media_type == CSV else "ndjson"
        if media_type in ("application/json", "*/*"):
            break
    return "json"


def export(
    kind: Literal["csv", "ndjson"],
    name: str,
    columns: Sequence[str],
    page: Callable[[str | None], Awaitable[ExportPage]],
    most_rows: int,
) -> Stream:
    """Return a download of all pages up to `most_rows` rows; `page` is called with the cursor of the page before."""
    headers = {"Content-Disposition": f'attachment; filename="{name}.{kind}"'}
    if kind == "csv":
        return Stream(_csv(columns, _pages(page, most_rows)), f"{CSV}; charset=utf-8; header=present", headers)
    return Stream(_ndjson(_pages(page, most_rows)), NDJSON, headers)


async def _pages(
    page: Callable[[str | None], Awaitable[ExportPage]], most_rows: int
) -> AsyncIterator[Sequence[ExportRow]]:
    left, cursor = most_rows, None
    while left > 0:
        rows, cursor = await page(cursor)
        yield rows[:left]
        left -= len(rows)
        if cursor is None:
            return


async def _ndjson(pages: AsyncIterator[Sequence[ExportRow]]) -> AsyncIterator[bytes]:
    async for rows in pages:
        yield b"".join(orjson.dumps(row, option=orjson.OPT_APPEND_NEWLINE) for row in rows)


async def _csv(columns: Sequence[str], pages: AsyncIterator[Sequence[ExportRow]]) -> AsyncIterator[bytes]:
    # The head goes out with the first page: before that, a wrong request can still be answered with its status.
    head: list[Sequence[Any]] = [columns]
    async for rows in pages:
        yield _lines([*head, *([_cell(row.get(column)) for column in columns] for row in rows)])
        head = []


def _lines(rows: Sequence[Sequence[Any]]) -> bytes:
    text = io.StringIO()
    csv.writer(text).writerows(rows)
    return text.getvalue().encode()


def _cell(value: Any) -> Any:
    """Return a cell that no spreadsheet takes for a formula; nested values become JSON."""
    if isinstance(value, dict | list):
        return orjson.dumps(value).decode()
    if isinstance(value, str) and value.startswith(_FORMULA):
        return f"'{value}"
    return value
