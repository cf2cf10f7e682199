"""Stored items as the OTLP requests they came in, encoded by the engine itself.

What a oneof or an optional field holds is an array of at most one element here, declared as an unpacked repeated field:
the same bytes on the wire, and neither a zero nor an absence is lost.
"""

from __future__ import annotations

from base64 import b64decode
from collections.abc import Awaitable, Callable, Mapping, Sequence
from types import MappingProxyType
from typing import Any, Final

from opentelemetry.proto.common.v1.common_pb2 import AnyValue, EntityRef, InstrumentationScope, KeyValue
from opentelemetry.proto.resource.v1.resource_pb2 import Resource

from ophion_agent.server import Columns
from ophion_storage.engine import quoted
from ophion_storage.wire import WIRES

Query = Callable[[str, Mapping[str, Any]], Awaitable[Columns]]

_REMEMBERED: Final = 10_000

_SPAN: Final = (
    "(trace_id, span_id, trace_state, parent_span_id, flags, name, kind, "
    "reinterpretAsUInt64(toUnixTimestamp64Nano(start_time)), "
    "reinterpretAsUInt64(toUnixTimestamp64Nano(start_time) + duration), attributes, dropped_attributes_count, events, "
    "dropped_events_count, links, dropped_links_count, (status_message, status_code))"
)
_LENGTH: Final = """
    multiIf(
        length(body) < 128, char(length(body)),
        length(body) < 16384, char(bitOr(bitAnd(length(body), 127), 128), bitShiftRight(length(body), 7)),
        length(body) < 2097152, char(
            bitOr(bitAnd(length(body), 127), 128), bitOr(bitAnd(bitShiftRight(length(body), 7), 127), 128),
            bitShiftRight(length(body), 14)
        ),
        char(
            bitOr(bitAnd(length(body), 127), 128), bitOr(bitAnd(bitShiftRight(length(body), 7), 127), 128),
            bitOr(bitAnd(bitShiftRight(length(body), 14), 127), 128), bitShiftRight(length(body), 21)
        )
    )
"""
_LOG: Final = (
    "(if(has_time, reinterpretAsUInt64(toUnixTimestamp64Nano(time)), 0), "
    "reinterpretAsUInt64(toUnixTimestamp64Nano(observed_time)), severity_number, severity_text, "
    f"if(is_text, concat('\\x0A', {_LENGTH}, body), body), attributes, dropped_attributes_count, flags, trace_id, "
    "span_id, event_name)"
)
_ITEMS: Final[Mapping[str, tuple[str, str]]] = MappingProxyType({"traces": ("spans", _SPAN), "logs": ("logs", _LOG)})


def read_statement(signal: str, where: str, order: str, limit: int) -> str:
    """Return the statement whose result in the format ProtobufSingle is one request with what `where` selects.

    In place of resource and scope it has their ids, as decimal text in the two `schema_url` fields.
    """
    table, item = _ITEMS[signal]
    ordered = f"ORDER BY {order}" if order else ""
    column, _, kind = WIRES[signal].columns.partition(" ")
    return f"""
SELECT CAST(groupArray(group), {quoted(kind)}) AS {column}
FROM
(
    SELECT
        (
            (CAST(map(), 'Map(String, String)'), 0, CAST([], 'Array(String)')),
            groupArray((('', '', CAST(map(), 'Map(String, String)'), 0), items, toString(scope_id))),
            toString(resource_id)
        ) AS group
    FROM
    (
        SELECT resource_id, scope_id, groupArray({item}) AS items
        FROM (SELECT * FROM {table} WHERE {where} {ordered} LIMIT {int(limit)})
        GROUP BY resource_id, scope_id
    )
    GROUP BY resource_id
)
"""


def read_settings(signal: str) -> dict[str, str | int]:
    """Return the settings that the statement needs: the schema, and one thread where an order is to be kept."""
    return {**WIRES[signal].settings(), "max_threads": 1}


_RESOURCES: Final = """
    SELECT
        toString(resource_id) AS id, any(mapKeys(attributes)) AS keys, any(schema_url) AS url,
        any(arrayMap(v -> base64Encode(v), mapValues(attributes))) AS encoded, any(dropped_attributes_count) AS dropped,
        any(arrayMap(v -> base64Encode(v), entity_refs)) AS entity_refs
    FROM resources WHERE resource_id IN {ids:Array(UInt64)} GROUP BY resource_id
"""
_SCOPES: Final = """
    SELECT
        toString(scope_id) AS id, any(mapKeys(attributes)) AS keys, any(schema_url) AS url,
        any(arrayMap(v -> base64Encode(v), mapValues(attributes))) AS encoded, any(dropped_attributes_count) AS dropped,
        any(name) AS name, any(version) AS version
    FROM scopes WHERE scope_id IN {ids:Array(UInt64)} GROUP BY scope_id
"""


class Origins:
    """The resources and scopes of one tenant, remembered by id."""

    def __init__(self, query: Query) -> None:
        self._query = query
        self._known: dict[str, dict[str, tuple[Any, str]]] = {"resource": {}, "scope": {}}

    async def fill(self, request: Any, signal: str) -> None:
        """Put resources, scopes and their schema URLs where `read_statement` left ids."""
        plural = {"traces": "spans"}.get(signal, signal)
        groups = getattr(request, f"resource_{plural}")
        scoped = [inner for group in groups for inner in getattr(group, f"scope_{plural}")]
        await self._fill("resource", _RESOURCES, Resource, groups)
        await self._fill("scope", _SCOPES, InstrumentationScope, scoped)

    async def _fill(self, field: str, sql: str, message: Any, holders: Sequence[Any]) -> None:
        known = self._known[field]
        missing = {holder.schema_url for holder in holders} - known.keys()
        if len(known) + len(missing) > _REMEMBERED:
            known.clear()
            missing = {holder.schema_url for holder in holders}
        if missing:
            for row in (await self._query(sql, {"ids": sorted(map(int, missing))})).dicts():
                known[row["id"]] = (_message(message, row), row["url"])
        for holder in holders:
            # What outlived its resource is shown without one.
            found, url = known.get(holder.schema_url, (message(), ""))
            getattr(holder, field).CopyFrom(found)
            holder.schema_url = url


def _message(kind: Any, row: Mapping[str, Any]) -> Any:
    attributes = [
        KeyValue(key=key, value=AnyValue.FromString(b64decode(value)))
        for key, value in zip(row["keys"], row["encoded"], strict=True)
    ]
    refs = {"entity_refs": [EntityRef.FromString(b64decode(ref)) for ref in row.get("entity_refs", ())]}
    names: dict[str, Any] = refs if "entity_refs" in row else {}
    names |= {name: row[name] for name in ("name", "version") if name in row}
    return kind(attributes=attributes, dropped_attributes_count=row["dropped"], **names)
