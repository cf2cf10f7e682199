"""`ophion-agent logs`: log records, searched or followed."""

from __future__ import annotations

import argparse
import asyncio
import csv
import json
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final

from ophion_agent.plugin import OphionError
from ophion_api.cli_client import Client, UsageError, complain, write
from ophion_api.cli_times import range_of, seconds_text
from ophion_api.terminal import Terminal, clean, cut, pad

_PAGE: Final = 1000
_RETRY_SECONDS: Final = 2.0
_MOST_RETRIES: Final = 30
_REMEMBERED: Final = 10_000
_COLUMNS: Final = ("time", "severity", "service", "body", "event_name", "trace_id", "span_id", "attributes", "resource")
_STYLES: Final = {"fatal": "red", "error": "red", "warn": "yellow", "info": "green", "debug": "blue", "trace": "dim"}
Record = Mapping[str, Any]


async def logs(options: argparse.Namespace) -> int:
    """Print records, the newest last."""
    if options.follow and (options.end or options.trace):
        raise UsageError("--follow goes on from now; leave out --to and --trace")
    client, printer = Client.of(options), Printer(options.output, Terminal.of())
    for record in await _found(client, options):
        printer.show(record)
    if options.follow:
        sys.stdout.flush()
        printer.is_following = True
        await _follow(client, options, printer)
    return 0


def _filters(options: argparse.Namespace) -> dict[str, Any]:
    return {"query": " ".join(options.words), "service": options.service, "severity_min": options.severity}


async def _found(client: Client, options: argparse.Namespace) -> list[Record]:
    """Return the newest records of the range, oldest first."""
    bounds = range_of(options, "1h")
    parameters = {**_filters(options), "trace_id": options.trace}
    parameters |= {"from": seconds_text(bounds.start), "to": seconds_text(bounds.end)}
    found: list[Record] = []
    cursor = None
    while len(found) < options.limit:
        limit = min(_PAGE, options.limit - len(found))
        page = await client.get("/api/logs", {**parameters, "limit": limit, "cursor": cursor})
        found += [{**record, "resource": page["resources"].get(record["resource"], {})} for record in page["logs"]]
        cursor = page["next_cursor"]
        if cursor is None:
            break
    return found[::-1]


async def _follow(client: Client, options: argparse.Namespace, printer: Printer) -> None:
    place = _Place()
    while True:
        try:
            await _follow_once(client, options, printer, place)
        except UsageError:
            raise
        except OphionError as error:
            place.failures += 1
            if not place.last_id or place.failures > _MOST_RETRIES:
                raise
            complain(f"{error}; trying again")
        await asyncio.sleep(_RETRY_SECONDS)


@dataclass(slots=True)
class _Place:
    """Where following is: the last event, and how often in a row it could not go on."""

    last_id: str = ""
    failures: int = 0


async def _follow_once(client: Client, options: argparse.Namespace, printer: Printer, place: _Place) -> None:
    async for last_id, name, data in client.events("/api/logs/tail", _filters(options), place.last_id):
        place.last_id, place.failures = last_id, 0
        if name == "dropped":
            complain(f"{data['records']} records were left out: there are too many; narrow the search")
        elif name == "log":
            printer.show(data)
            sys.stdout.flush()


@dataclass(slots=True)
class Printer:
    """Writes records in one form, each once: a tail that goes on sends some again."""

    output: str
    terminal: Terminal
    is_first: bool = True
    recent: dict[str, None] = field(default_factory=dict)
    is_following: bool = False

    def show(self, record: Record) -> None:
        """Write one record."""
        if self.is_following and record["id"] in self.recent:
            return
        self.recent[record["id"]] = None
        if len(self.recent) > _REMEMBERED:
            del self.recent[next(iter(self.recent))]
        if self.output == "json":
            write(json.dumps(record, ensure_ascii=False))
        elif self.output == "csv":
            self._csv(record)
        else:
            write(line_of(record, self.terminal))
        self.is_first = False

    def _csv(self, record: Record) -> None:
        rows = csv.writer(sys.stdout, lineterminator="\n")
        if self.is_first:
            rows.writerow(_COLUMNS)
        rows.writerow([_cell(record.get(name, "")) for name in _COLUMNS])


def _cell(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def line_of(record: Record, terminal: Terminal) -> str:
    """Return a record on one line: local time, severity, service, trace and body, cut where the terminal ends."""
    at = datetime.fromisoformat(record["time"][:26] + "+00:00").astimezone()
    when = f"{at:%m-%d %H:%M:%S}.{at.microsecond // 1000:03d}"
    level = record["severity"]
    style = _STYLES.get(level, "")
    trace = record["trace_id"][:8]
    service = clean(record["service"] or "-")
    body = clean(_cell(record["body"]) or record["event_name"])
    used = 18 + 2 + 5 + 2 + max(12, len(service)) + 2 + (len(trace) + 2 if trace else 0)
    if terminal.is_bounded:
        body = cut(body, max(20, terminal.columns - used - 1))
    parts = [
        terminal.paint(when, "dim"),
        terminal.paint(pad(level[:5].upper() if level != "unspecified" else "-", 5), style),
        terminal.paint(pad(service, 12), "cyan"),
        *([terminal.paint(trace, "dim")] if trace else []),
        terminal.paint(body, style if level in ("error", "fatal") else ""),
    ]
    return "  ".join(parts)
