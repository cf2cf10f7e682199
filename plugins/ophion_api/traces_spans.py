"""The spans of one trace as the store has them, in columns.

A view of a trace is not made of its OTLP messages: reading tens of thousands of those field by field takes longer than
everything else that is done for the answer.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final

from ophion_agent.server import Columns
from ophion_api.any_values import AttributeReader, attribute_columns
from ophion_api.origins import stored_resources, stored_scopes
from ophion_api.sql_parts import Binder
from ophion_api.telemetry_access import TenantStore
from ophion_api.time_ranges import TimeRange
from ophion_api.traces_models import KINDS, STATUSES, ResourceView, ScopeView, SpanEvent, SpanLink, SpanView

_MS: Final = 1e6
_ENCODED: Final = "mapKeys({0}), arrayMap(v -> base64Encode(v), mapValues({0}))"
_SPAN: Final = (
    "lower(hex(span_id)) AS id, lower(hex(parent_span_id)) AS parent, name, service_name, kind, status_code, "
    "status_message, toUnixTimestamp64Nano(start_time) AS start, duration, trace_state, "
    f"{attribute_columns()}, "
    f"arrayMap(e -> (e.name, e.time_unix_nano, {_ENCODED.format('e.attributes')}), events) AS event_rows, "
    "arrayMap(l -> (lower(hex(l.trace_id)), lower(hex(l.span_id)), l.trace_state, "
    f"{_ENCODED.format('l.attributes')}), links) AS link_rows, resource_id, scope_id"
)


@dataclass(slots=True, eq=False)
class Span:
    """A span as it is shown, and its times in Unix nanoseconds; one that ends before it starts takes no time."""

    view: SpanView
    start: int
    end: int


@dataclass(frozen=True, slots=True)
class Spans:
    """The earliest spans of a trace, by start, with what they come from."""

    columns: Columns
    resources: list[ResourceView]
    scopes: list[ScopeView]

    @property
    def count(self) -> int:
        """How many there are."""
        return len(self.columns["id"]) if self.columns else 0

    def read(self, limit: int) -> list[Span]:
        """Return up to `limit` spans; their `self_ms` and `critical_ms` are still 0."""
        return list(_spans(self.columns, limit))


async def read_spans(store: TenantStore, trace_id: str, bounds: TimeRange, limit: int) -> Spans:
    """Return up to `limit` spans of a trace that starts within `bounds`."""
    binder = Binder()
    where = f"{binder.within('start_time', bounds)} AND trace_id = unhex({binder.text(trace_id)})"
    sql = f"SELECT {_SPAN} FROM spans WHERE {where} ORDER BY start_time, span_id LIMIT {binder.bind(limit, 'UInt64')}"
    columns = await store.query(sql, binder)
    if not columns:
        return Spans(columns, [], [])
    resource_ids, scope_ids = _ids(columns["resource_id"]), _ids(columns["scope_id"])
    resources, scopes = await asyncio.gather(
        stored_resources(store, set(columns["service_name"]), resource_ids), stored_scopes(store, scope_ids)
    )
    # What outlived its resource or scope is shown without one.
    return Spans(
        columns,
        [resources.get(one) or ResourceView(attributes={}, schema_url="") for one in resource_ids],
        [scopes.get(one) or ScopeView(name="", version="", attributes={}) for one in scope_ids],
    )


def _ids(column: Sequence[int]) -> list[int]:
    """Return each id once, in the order in which `_places` numbers them."""
    return list(dict.fromkeys(column))


def _places(column: Sequence[int]) -> dict[int, int]:
    return {one: place for place, one in enumerate(_ids(column))}


def _spans(columns: Columns, limit: int) -> Iterator[Span]:
    first = columns["start"][0]
    resource_at, scope_at = _places(columns["resource_id"]), _places(columns["scope_id"])
    attributes = AttributeReader()
    for (
        span_id, parent, name, service, kind, status, message, start, duration, trace_state, keys, encoded, events,
        links, resource, scope,
    ) in columns.rows()[:limit]:  # fmt: skip
        taken = max(0, duration)
        view = SpanView(
            span_id=span_id,
            parent_span_id=parent,
            name=name,
            service=service,
            kind=KINDS[kind] if 0 <= kind < len(KINDS) else "unspecified",
            status=STATUSES[status] if 0 <= status < len(STATUSES) else "unset",
            status_message=message,
            offset_ms=(start - first) / _MS,
            duration_ms=taken / _MS,
            self_ms=0.0,
            critical_ms=0.0,
            trace_state=trace_state,
            attributes=attributes.read(keys, encoded),
            events=_events(events, first, attributes) if events else [],
            links=_links(links, attributes) if links else [],
            resource=resource_at[resource],
            scope=scope_at[scope],
        )
        yield Span(view, start, start + taken)


def _events(rows: Sequence[Any], first: int, attributes: AttributeReader) -> list[SpanEvent]:
    return [
        SpanEvent(name=name, offset_ms=(time - first) / _MS, attributes=attributes.read(keys, encoded))
        for name, time, keys, encoded in rows
    ]


def _links(rows: Sequence[Any], attributes: AttributeReader) -> list[SpanLink]:
    return [
        SpanLink(trace_id=trace_id, span_id=span_id, trace_state=trace_state, attributes=attributes.read(keys, encoded))
        for trace_id, span_id, trace_state, keys, encoded in rows
    ]
