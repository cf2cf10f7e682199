"""How a table is read in pages of a bounded size: by the second at which rows arrived, or by their day."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from ophion_storage.engine import identifier

_SECONDS_KEY: Final = re.compile(r"toDate\((\w+)\)\Z")
_DAY_KEY: Final = re.compile(r"(\w+)\Z")


@dataclass(frozen=True, slots=True)
class Page:
    """SQL that chooses some rows of a table, and about how many."""

    where: str
    parameters: Mapping[str, Any]
    rows: int

    def split(self, page_rows: int) -> Iterator[Page]:
        """Cut what is larger than a page by a hash of its rows."""
        count = -(-self.rows // page_rows)
        if count <= 1:
            yield self
            return
        for number in range(count):
            # The hash of a tuple that holds NULL would be NULL.
            where = f"({self.where}) AND cityHash64(toString(tuple(*))) % {{count:UInt64}} = {{number:UInt64}}"
            rows = self.rows // count + (number < self.rows % count)
            yield Page(where, {**self.parameters, "count": count, "number": number}, rows)


@dataclass(frozen=True, slots=True)
class TableLayout:
    """One table: `column` tells its partition, "" for none; `feeds_views` is whether inserts reach other tables."""

    name: str
    columns: Sequence[str]
    column: str
    has_seconds: bool
    feeds_views: bool

    @classmethod
    def of(cls, row: Mapping[str, Any]) -> TableLayout:
        """Return the layout of a row of the engine's system tables."""
        seconds, day = _SECONDS_KEY.match(row["partition_key"]), _DAY_KEY.match(row["partition_key"])
        found = seconds or day
        return cls(
            row["name"], row["columns"], found.group(1) if found else "", seconds is not None, bool(row["feeds_views"])
        )

    def days_statement(self) -> str:
        """Return SQL for the days on which rows arrived until `end`, with their number."""
        column = identifier(self.column)
        until = f"WHERE {column} <= toDateTime({{end:UInt32}})" if self.has_seconds else ""
        return (
            f"SELECT toDate({column}) AS day, count() AS n FROM {identifier(self.name)} {until} "
            "GROUP BY day ORDER BY day"
        )

    def seconds_statement(self) -> str:
        """Return SQL for the seconds of `day` in which rows arrived, with their number."""
        column = identifier(self.column)
        return (
            f"SELECT toUnixTimestamp({column}) AS at, count() AS n FROM {identifier(self.name)} "
            f"WHERE toDate({column}) = {{day:Date}} AND {column} <= toDateTime({{end:UInt32}}) "
            "GROUP BY at ORDER BY at"
        )


def pages_of_day(layout: TableLayout, day: str, rows: int, page_rows: int) -> Iterator[Page]:
    """Iterate over the pages of one day of a table that knows days only."""
    return Page(f"{identifier(layout.column)} = {{day:Date}}", {"day": day}, rows).split(page_rows)


def pages_of_seconds(layout: TableLayout, seconds: Sequence[tuple[int, int]], page_rows: int) -> Iterator[Page]:
    """Iterate over pages of neighbouring seconds; `seconds` are (Unix time, rows) in order."""
    column = identifier(layout.column)
    where = f"{column} >= toDateTime({{first:UInt32}}) AND {column} <= toDateTime({{last:UInt32}})"
    start, rows = 0, 0
    for index, (_, count) in enumerate(seconds):
        rows += count
        is_last = index + 1 == len(seconds)
        if is_last or rows + seconds[index + 1][1] > page_rows:
            bounds = {"first": seconds[start][0], "last": seconds[index][0]}
            yield from Page(where, bounds, rows).split(page_rows)
            start, rows = index + 1, 0
