"""A page of log lines with their labels, from the store to Loki's streams."""

from __future__ import annotations

from base64 import b64decode
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from opentelemetry.proto.common.v1.common_pb2 import AnyValue

from ophion_agent.prometheus_names import value_text
from ophion_agent.server import Storage
from ophion_grafana.logql_nodes import LogQuery
from ophion_grafana.logql_pipeline import compile_query
from ophion_grafana.loki_labels import INDEX_ATTRIBUTES, LEVEL, LEVEL_SQL, stream_labels
from ophion_grafana.running import run
from ophion_grafana.sql import Binder, every, map_columns
from ophion_grafana.values import decoded, labels_of, stored

_COLUMNS: Final = f"""
    toUnixTimestamp64Nano(time) AS nanoseconds, resource_id, scope_id, is_text,
    if(is_text, toValidUTF8({{line}}), base64Encode(body)) AS text, severity_number, severity_text,
    lower(hex(trace_id)) AS trace, lower(hex(span_id)) AS span, event_name, flags, dropped_attributes_count,
    if(has_time, toUnixTimestamp64Nano(observed_time), 0) AS observed_timestamp, {map_columns()}, {LEVEL_SQL} AS level
"""
# An alias that is the name of a column would stand for it in conditions as well.
_PLAIN: Final = {"severity_text": "severity_text", "trace": "trace_id", "span": "span_id", "event_name": "event_name"}
_COUNTED: Final = ("severity_number", "flags", "dropped_attributes_count", "observed_timestamp")


@dataclass(frozen=True, slots=True)
class Page:
    """Which lines are wanted: `start` is included and `end` is not, in nanoseconds."""

    start: int
    end: int
    limit: int
    forward: bool = False
    interval: int = 0


@dataclass(frozen=True, slots=True)
class Line:
    """A line with the labels of its stream and its structured metadata."""

    nanoseconds: int
    text: str
    stream: Mapping[str, str]
    metadata: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class _Origin:
    stream: Mapping[str, str]
    metadata: Mapping[str, str]


async def read_lines(storage: Storage, tenant: str, query: LogQuery, page: Page) -> list[Line]:
    """Return the lines that pass the filters of a query, in the order that the page asks for."""
    binder = Binder()
    pipeline = compile_query(query, binder, binder.since(page.start))
    where = every([f"time >= {binder.time(page.start)} AND time < {binder.time(page.end)}", *pipeline.conditions])
    interval = f"LIMIT 1 BY resource_id, intDiv(nanoseconds, {int(page.interval)})" if page.interval else ""
    sql = (
        f"SELECT {_COLUMNS.replace('{line}', pipeline.fields.line)} FROM logs WHERE {where} "
        f"ORDER BY time {'ASC' if page.forward else 'DESC'} {interval} LIMIT {int(page.limit)}"
    )
    rows = (await run(storage, tenant, sql, binder)).dicts()
    resources = await _origins(storage, tenant, "resource", {row["resource_id"] for row in rows})
    scopes = await _origins(storage, tenant, "scope", {row["scope_id"] for row in rows})
    return [_line(row, resources, scopes) for row in rows]


def _line(row: Mapping[str, Any], resources: Mapping[int, _Origin], scopes: Mapping[int, _Origin]) -> Line:
    origin = resources.get(row["resource_id"], _NOWHERE)
    scope = scopes.get(row["scope_id"], _NOWHERE)
    text = row["text"] if row["is_text"] else value_text(decoded(b64decode(row["text"])))
    return Line(row["nanoseconds"], text, origin.stream, {**origin.metadata, **scope.metadata, **_metadata(row)})


def _metadata(row: Mapping[str, Any]) -> dict[str, str]:
    attributes = stored(row["attributes_keys"], row["attributes_values"])
    found = {name: text for key, value in attributes.items() for name, text in labels_of(key, value) if text}
    found |= {name: row[column] for column, name in _PLAIN.items() if row[column]}
    found |= {name: str(row[name]) for name in _COUNTED if row[name]}
    return {**found, LEVEL: row["level"]}


_NOWHERE: Final = _Origin(stream_labels({}), {})


async def _origins(storage: Storage, tenant: str, kind: str, ids: set[int]) -> dict[int, _Origin]:
    """Return what is known of resources or scopes by their ids."""
    if not ids:
        return {}
    named = ", any(name) AS name, any(version) AS version" if kind == "scope" else ""
    sql = (
        f"SELECT {kind}_id AS id, any(mapKeys(attributes)) AS keys, "
        f"any(arrayMap(v -> base64Encode(v), mapValues(attributes))) AS encoded{named} "
        f"FROM {kind}s WHERE {kind}_id IN {{ids:Array(UInt64)}} GROUP BY {kind}_id"
    )
    rows = (await storage.query(sql, {"ids": sorted(ids)}, tenant=tenant)).dicts()
    make = _scope if kind == "scope" else _resource
    return {row["id"]: make(row, stored(row["keys"], row["encoded"])) for row in rows}


def _resource(_: Mapping[str, Any], attributes: Mapping[str, AnyValue]) -> _Origin:
    rest = {key: value for key, value in attributes.items() if key not in INDEX_ATTRIBUTES}
    return _Origin(stream_labels(attributes), _texts(rest))


def _scope(row: Mapping[str, Any], attributes: Mapping[str, AnyValue]) -> _Origin:
    named = {"scope_name": row["name"], "scope_version": row["version"]}
    return _Origin({}, {**_texts(attributes), **{name: text for name, text in named.items() if text}})


def _texts(attributes: Mapping[str, AnyValue]) -> dict[str, str]:
    return {name: text for key, value in attributes.items() for name, text in labels_of(key, value) if text}


def streams(
    lines: Sequence[tuple[Line, str, Mapping[str, str], Mapping[str, str]]], categorized: bool
) -> list[dict[str, Any]]:
    """Return Loki's streams from (line, text, structured metadata, parsed labels).

    `categorized` keeps the kinds of labels apart; otherwise all of them together make the stream.
    """
    found: dict[tuple[tuple[str, str], ...], dict[str, Any]] = {}
    for line, text, metadata, parsed in lines:
        labels = dict(line.stream) if categorized else {**line.stream, **metadata, **parsed}
        stream = found.setdefault(tuple(sorted(labels.items())), {"stream": labels, "values": []})
        value: list[Any] = [str(line.nanoseconds), text]
        if categorized:
            value.append(dict(_kinds(metadata, parsed)))
        stream["values"].append(value)
    return list(found.values())


def _kinds(metadata: Mapping[str, str], parsed: Mapping[str, str]) -> Iterator[tuple[str, Mapping[str, str]]]:
    if metadata:
        yield "structuredMetadata", metadata
    if parsed:
        yield "parsed", parsed
