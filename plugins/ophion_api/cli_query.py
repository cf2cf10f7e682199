"""`ophion-agent query`: PromQL as a table with sparklines."""

from __future__ import annotations

import argparse
import csv
import json
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from math import isnan
from typing import Any, Final

from ophion_api.cli_client import Client, UsageError, complain, write
from ophion_api.cli_times import length_of, range_of, seconds_text, time_of
from ophion_api.terminal import Terminal, short_number, sparkline, table
from ophion_api.time_ranges import SECOND

_DEFAULT_RANGE: Final = "15m"
_WIDEST_SPARKLINE: Final = 60
Sample = tuple[float, str]


@dataclass(frozen=True, slots=True)
class Grid:
    """The times of a range query, in seconds."""

    start: float
    end: float
    step: float

    @property
    def size(self) -> int:
        """How many times there are."""
        return int((self.end - self.start) / self.step + 1e-6) + 1


async def query(options: argparse.Namespace) -> int:
    """Evaluate the expression and print the result."""
    if options.at and (options.start or options.end or options.step):
        raise UsageError("--at asks for one time; leave out --from, --to and --step")
    client = Client.of(options)
    if options.at:
        return await _instant(client, options)
    bounds = range_of(options, _DEFAULT_RANGE)
    step = length_of("--step", options.step) if options.step else bounds.step(None)
    if step <= 0:
        raise UsageError(f"--step: must be longer than 0, got {options.step}; leave it out for about 60 values")
    # Counted back from the end: what has just been stored shows in the last value.
    end = bounds.end if options.end else -(-bounds.end // SECOND) * SECOND
    start = end - (end - bounds.start) // step * step
    parameters = {
        "query": options.expression,
        "start": seconds_text(start),
        "end": seconds_text(end),
        "step": seconds_text(step),
    }
    data = (await client.ask("POST", "/api/v1/query_range", data=parameters))["data"]
    grid = Grid(start / SECOND, end / SECOND, step / SECOND)
    _print(data, options, lambda series, terminal: _range_table(series, grid, options.limit, terminal))
    return 0


async def _instant(client: Client, options: argparse.Namespace) -> int:
    at = time_of("--at", options.at, time.time_ns())
    parameters = {"query": options.expression, "time": seconds_text(at)}
    data = (await client.ask("POST", "/api/v1/query", data=parameters))["data"]
    _print(data, options, lambda series, terminal: _instant_table(series, options.limit, terminal))
    return 0


def _print(data: Mapping[str, Any], options: argparse.Namespace, show: Any) -> None:
    if options.output == "json":
        write(json.dumps(data, indent=2, ensure_ascii=False))
        return
    series = series_of(data)
    if options.output == "csv":
        _print_csv(series)
    elif not series:
        complain("no series match; `ophion-agent query 'count by (__name__) ({__name__=~\".+\"})'` lists metrics")
    else:
        write("\n".join(show(series, Terminal.of())))


def series_of(data: Mapping[str, Any]) -> list[tuple[Mapping[str, str], Sequence[Sample]]]:
    """Return (labels, samples) of any type of result; a scalar or text is a series without labels."""
    result = data["result"]
    match data["resultType"]:
        case "matrix":
            return [(one["metric"], [(at, value) for at, value in one.get("values", ())]) for one in result]
        case "vector":
            return [(one["metric"], [(one["value"][0], one["value"][1])]) for one in result if "value" in one]
        case _:
            return [({}, [(result[0], result[1])])]


def name_of(labels: Mapping[str, str]) -> str:
    """Return labels as PromQL writes them."""
    pairs = ", ".join(
        f"{name}={json.dumps(text, ensure_ascii=False)}" for name, text in labels.items() if name != "__name__"
    )
    return labels.get("__name__", "") + (f"{{{pairs}}}" if pairs or "__name__" not in labels else "")


def _range_table(
    series: list[tuple[Mapping[str, str], Sequence[Sample]]], grid: Grid, limit: int, terminal: Terminal
) -> list[str]:
    series.sort(key=lambda one: -_number(one[1][-1][1]) if one[1] else 0.0)
    columns = min(_WIDEST_SPARKLINE, max(10, terminal.columns // 3))
    rows = [
        (name_of(labels), short_number(samples[-1][1]) if samples else "", sparkline(on_grid(samples, grid, columns)))
        for labels, samples in series[:limit]
    ]
    begin, end = _clock(grid.start), _clock(grid.end)
    lines = table(("SERIES", "LAST", f"{begin} to {end}"), rows, terminal, right=(1,), styles=_styles(rows))
    return [*lines, *_left_out(len(series), limit)]


def on_grid(samples: Sequence[Sample], grid: Grid, columns: int) -> list[float | None]:
    """Return a value per column of a sparkline: the last one of those times that fall into it, None for a gap."""
    size = min(columns, grid.size)
    found: list[float | None] = [None] * size
    for at, value in samples:
        index = round((at - grid.start) / grid.step) * size // grid.size
        if 0 <= index < size:
            found[index] = float(value)
    return found


def _instant_table(
    series: list[tuple[Mapping[str, str], Sequence[Sample]]], limit: int, terminal: Terminal
) -> list[str]:
    series.sort(key=lambda one: -_number(one[1][-1][1]))
    rows = [(name_of(labels), short_number(samples[-1][1])) for labels, samples in series[:limit]]
    lines = table(("SERIES", "VALUE"), rows, terminal, right=(1,), styles=_styles(rows))
    return [*lines, *_left_out(len(series), limit)]


def _styles(rows: Sequence[Sequence[str]]) -> list[list[str]]:
    return [["", "cyan", "green"][: len(row)] for row in rows]


def _left_out(found: int, limit: int) -> list[str]:
    return [f"... and {found - limit} more; --limit {found} shows them"] if found > limit else []


def _number(text: str) -> float:
    try:
        number = float(text)
    except ValueError:
        return 0.0
    return float("-inf") if isnan(number) else number


def _clock(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).astimezone().strftime("%H:%M:%S")


def _print_csv(series: Sequence[tuple[Mapping[str, str], Sequence[Sample]]]) -> None:
    names = sorted({name for labels, _ in series for name in labels})
    rows = csv.writer(sys.stdout, lineterminator="\n")
    rows.writerow([*names, "time", "value"])
    for labels, samples in series:
        cells = [labels.get(name, "") for name in names]
        rows.writerows([*cells, datetime.fromtimestamp(at, UTC).isoformat(), value] for at, value in samples)
