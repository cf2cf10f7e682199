"""`ophion-agent traces`: summaries of traces, or one trace as a waterfall."""

from __future__ import annotations

import argparse
import csv
import json
import re
import sys
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any, Final

from ophion_api.cli_client import Client, UsageError, complain, write
from ophion_api.cli_times import range_of, seconds_text
from ophion_api.terminal import Terminal, clean, cut, pad, short_duration, span_bar, table, width_of

_PAGE: Final = 500
_ID: Final = re.compile(r"[0-9a-fA-F]{32}\Z")
_DEEPEST: Final = 40
_COLUMNS: Final = ("trace_id", "start", "service", "operation", "duration_ms", "spans", "errors", "has_root")
_SPAN_COLUMNS: Final = ("span_id", "parent_span_id", "service", "name", "kind", "status", "offset_ms", "duration_ms")


async def traces(options: argparse.Namespace) -> int:
    """Print summaries, or the trace that was named."""
    if options.trace and not _ID.match(options.trace):
        raise UsageError(
            f"TRACE_ID: must be 32 hexadecimal digits, got {options.trace!r}; `ophion-agent traces` lists some"
        )
    client = Client.of(options)
    if options.trace:
        _print_trace(await client.get(f"/api/traces/{options.trace.lower()}"), options.output)
        return 0
    found = await _found(client, options)
    if options.output == "json":
        write(json.dumps(found, indent=2, ensure_ascii=False))
    elif options.output == "csv":
        _print_csv(_COLUMNS, found)
    elif not found:
        complain("no traces match; look further back with --since")
    else:
        write("\n".join(summary_lines(found, Terminal.of())))
    return 0


async def _found(client: Client, options: argparse.Namespace) -> list[dict[str, Any]]:
    bounds = range_of(options, "1h")
    parameters = {
        "from": seconds_text(bounds.start), "to": seconds_text(bounds.end), "service": options.service,
        "operation": options.operation, "status": options.status, "min_duration": options.min_duration,
        "sort": "longest" if options.longest else "newest",
    }  # fmt: skip
    found: list[dict[str, Any]] = []
    cursor = None
    while len(found) < options.limit:
        limit = min(_PAGE, options.limit - len(found))
        page = await client.get("/api/traces", {**parameters, "limit": limit, "cursor": cursor})
        found += page["traces"]
        cursor = page["next_cursor"]
        if cursor is None:
            break
    return found


def _print_csv(columns: Sequence[str], rows: Sequence[Mapping[str, Any]]) -> None:
    out = csv.writer(sys.stdout, lineterminator="\n")
    out.writerow(columns)
    out.writerows([row[column] for column in columns] for row in rows)


def summary_lines(found: Sequence[Mapping[str, Any]], terminal: Terminal) -> list[str]:
    """Return a table of summaries."""
    header = ("TRACE", "START", "SERVICE", "OPERATION", "DURATION", "SPANS", "ERRORS")
    rows = [
        (
            trace["trace_id"],
            _local(trace["start"]),
            trace["service"] or "-",
            trace["operation"] + ("" if trace["has_root"] else " (root missing)"),
            short_duration(trace["duration_ms"]),
            str(trace["spans"]),
            str(trace["errors"]),
        )
        for trace in found
    ]
    styles = [["", "dim", "cyan", "", "", "", "red" if trace["errors"] else "dim"] for trace in found]
    return table(header, rows, terminal, right=(4, 5, 6), styles=styles)


def _local(time: str) -> str:
    return f"{datetime.fromisoformat(time[:26] + '+00:00').astimezone():%m-%d %H:%M:%S}"


def _print_trace(trace: dict[str, Any], output: str) -> None:
    if output == "json":
        write(json.dumps(trace, indent=2, ensure_ascii=False))
    elif output == "csv":
        _print_csv(_SPAN_COLUMNS, trace["spans"])
    else:
        write("\n".join(waterfall(trace, Terminal.of())))


def waterfall(trace: Mapping[str, Any], terminal: Terminal) -> list[str]:
    """Return a trace as lines: spans indented under their parents, each with a bar for when it ran."""
    services = ", ".join(clean(service["name"] or "-") for service in trace["services"])
    head = (
        f"{trace['trace_id']}  {_local(trace['start'])}  {short_duration(trace['duration_ms'])}  "
        f"{len(trace['spans'])} spans  {trace['errors']} errors  {services}"
    )
    columns = terminal.columns if terminal.is_bounded else 120
    placed = list(_placed(trace["spans"]))
    labels = [
        f"{'  ' * min(depth, _DEEPEST)}{clean(span['service'] or '-')}: {clean(span['name'])}" for depth, span in placed
    ]
    label_columns = min(max(map(width_of, labels)), max(20, columns // 2))
    bar_columns = max(10, columns - label_columns - 12)
    lines = [terminal.paint(cut(head, columns), "bold")]
    for label, (_, span) in zip(labels, placed, strict=True):
        lines += _span_lines(label, span, trace["duration_ms"], (label_columns, bar_columns), terminal)
    if trace["truncated"]:
        lines.append("... and more spans than the server shows")
    return lines


def _span_lines(
    label: str, span: Mapping[str, Any], total: float, columns: tuple[int, int], terminal: Terminal
) -> Iterator[str]:
    failed = span["status"] == "error"
    bar = span_bar(span["offset_ms"], span["duration_ms"], total, columns[1])
    text = pad(cut(label, columns[0]), columns[0])
    yield "  ".join(
        (
            terminal.paint(text, "red" if failed else ""),
            pad(short_duration(span["duration_ms"]), 8, right=True),
            terminal.paint(bar, "red" if failed else "green" if span["critical_ms"] else "blue"),
        )
    )
    if failed and span["status_message"]:
        indent = " " * (len(label) - len(label.lstrip()) + 2)
        yield terminal.paint(cut(f"{indent}! {clean(span['status_message'])}", sum(columns) + 10), "red")


def _placed(spans: Sequence[Mapping[str, Any]]) -> Iterator[tuple[int, Mapping[str, Any]]]:
    """Iterate over (depth, span), children after their parents; what has no parent here, or a circle, is a root."""
    children: dict[str, list[Mapping[str, Any]]] = {}
    known = {span["span_id"] for span in spans}
    roots = []
    for span in spans:
        parent = span["parent_span_id"]
        if parent in known and parent != span["span_id"]:
            children.setdefault(parent, []).append(span)
        else:
            roots.append(span)
    seen: set[int] = set()
    for root in (*roots, *spans):
        waiting = [(0, root)]
        while waiting:
            depth, span = waiting.pop()
            if id(span) in seen:
                continue
            seen.add(id(span))
            yield depth, span
            waiting += [(depth + 1, child) for child in reversed(children.get(span["span_id"], ()))]
