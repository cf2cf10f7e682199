"""One whole trace: its spans with everything they carry, and what its duration is made of."""

from __future__ import annotations

import asyncio
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from ophion_agent.server import BadRequest, NotFound
from ophion_api.any_values import shown_pairs
from ophion_api.search_sql import is_id
from ophion_api.sql_parts import Binder
from ophion_api.telemetry_access import TenantStore
from ophion_api.time_ranges import TimeRange, rfc3339
from ophion_api.traces_models import (
    KINDS,
    STATUSES,
    ResourceView,
    ScopeView,
    ServiceCount,
    SpanEvent,
    SpanLink,
    SpanView,
    TraceLinks,
    TraceView,
)
from ophion_api.traces_search import trace_times

_MS: Final = 1e6


async def trace_bounds(store: TenantStore, trace_id: str) -> TimeRange:
    """Return between which times the spans of a trace start; raises BadRequest and NotFound."""
    if not is_id(trace_id, 32):
        raise BadRequest(f'traceId: must be 32 hexadecimal digits, got "{trace_id[:100]}"', status=422)
    found = await trace_times(store, [trace_id])
    if trace_id.lower() not in found:
        raise NotFound(f"there is no trace {trace_id.lower()}; it may be older than the retention")
    return found[trace_id.lower()]


async def read_trace(store: TenantStore, trace_id: str, limit: int) -> Any:
    """Return the earliest `limit` spans of a trace as an ExportTraceServiceRequest; raises BadRequest and NotFound."""
    bounds = await trace_bounds(store, trace_id)
    binder = Binder()
    where = f"{binder.within('start_time', bounds)} AND trace_id = unhex({binder.text(trace_id)})"
    request = await store.read("traces", where, binder, order="start_time, span_id", limit=limit)
    if not request.resource_spans:
        raise NotFound(f"there is no trace {trace_id.lower()}; it may be older than the retention")
    return request


async def trace_view(store: TenantStore, trace_id: str, limit: int) -> TraceView:
    """Return a trace as it is shown; raises BadRequest and NotFound."""
    request = await read_trace(store, trace_id, limit + 1)
    return await asyncio.to_thread(view_of, request, trace_id.lower(), limit)


@dataclass(slots=True, eq=False)
class _Item:
    """A span with its place in the lists of resources and scopes.

    What is looked at often is read from the message once: each reading of a message costs as much as ten of a field.
    """

    span: Any
    service: str
    resource: int
    scope: int
    span_id: bytes
    parent_id: bytes
    start: int
    end: int


def _item(span: Any, service: str, resource: int, scope: int) -> _Item:
    start = span.start_time_unix_nano
    end = max(start, span.end_time_unix_nano)
    return _Item(span, service, resource, scope, span.span_id, span.parent_span_id, start, end)


def view_of(request: Any, trace_id: str, limit: int) -> TraceView:
    """Return the view of an OTLP request whose spans are all of one trace."""
    resources: list[ResourceView] = []
    scopes: list[ScopeView] = []
    items = list(_items(request, resources, scopes))
    items.sort(key=lambda item: (item.start, item.span_id))
    truncated = len(items) > limit
    items = items[:limit]
    start, end = items[0].start, max(item.end for item in items)
    children = _children(items)
    critical = critical_path(items, children)
    spans = [_span_view(item, start, children, critical) for item in items]
    return TraceView(
        trace_id=trace_id,
        start=rfc3339(start),
        duration_ms=(end - start) / _MS,
        errors=sum(span.status == "error" for span in spans),
        truncated=truncated,
        services=_services(spans),
        spans=spans,
        resources=resources,
        scopes=scopes,
        critical_path=[item.span_id.hex() for item in items if critical.get(id(item), 0) > 0],
        links=TraceLinks(
            logs=f"/api/traces/{trace_id}/logs",
            hosts=f"/api/traces/{trace_id}/hosts",
            exemplars=f"/api/exemplars?trace_id={trace_id}",
        ),
    )


def _items(request: Any, resources: list[ResourceView], scopes: list[ScopeView]) -> Iterable[_Item]:
    for group in request.resource_spans:
        attributes = shown_pairs(group.resource.attributes)
        resources.append(ResourceView(attributes=attributes, schema_url=group.schema_url))
        service = str(attributes.get("service.name", ""))
        for inner in group.scope_spans:
            scope = inner.scope
            scopes.append(ScopeView(name=scope.name, version=scope.version, attributes=shown_pairs(scope.attributes)))
            for span in inner.spans:
                yield _item(span, service, len(resources) - 1, len(scopes) - 1)


def _children(items: Sequence[_Item]) -> Mapping[bytes, list[_Item]]:
    found: dict[bytes, list[_Item]] = defaultdict(list)
    for item in items:
        if item.parent_id and item.parent_id != item.span_id:
            found[item.parent_id].append(item)
    return found


def critical_path(items: Sequence[_Item], children: Mapping[bytes, list[_Item]]) -> dict[int, int]:
    """Return, by `id` of an item, the nanoseconds that it adds to the duration of its root.

    Backwards from the end of a span, the child that ended last is what was waited for; between children it is the span
    itself. What of a child lies outside its parent was not waited for. Each span is visited at most once.
    """
    known = {item.span_id for item in items}
    roots = [item for item in items if item.parent_id not in known]
    if not roots:
        return {}
    root = max(roots, key=lambda item: item.end - item.start)
    spent: dict[int, int] = defaultdict(int)
    waiting, seen = [(root, root.start, root.end)], {id(root)}
    while waiting:
        item, since, until = waiting.pop()
        for child in sorted(children.get(item.span_id, ()), key=lambda one: one.end, reverse=True):
            end = min(child.end, until)
            begin = max(since, child.start)
            if id(child) in seen or end <= begin:
                continue
            seen.add(id(child))
            spent[id(item)] += until - end
            waiting.append((child, begin, end))
            until = begin
        spent[id(item)] += until - since
    return spent


def _self_time(item: _Item, children: Sequence[_Item]) -> int:
    """Return the nanoseconds of a span in which no child ran."""
    left, reached, last = item.end - item.start, item.start, item.end
    # In order of start, as all items are.
    for child in children:
        begin = child.start if child.start > reached else reached
        end = child.end if child.end < last else last
        if end > begin:
            left -= end - begin
            reached = end
    return left


def _span_view(item: _Item, start: int, children: Mapping[bytes, list[_Item]], critical: Mapping[int, int]) -> SpanView:
    span, status = item.span, item.span.status
    return SpanView(
        span_id=item.span_id.hex(),
        parent_span_id=item.parent_id.hex(),
        name=span.name,
        service=item.service,
        kind=KINDS[span.kind] if 0 <= span.kind < len(KINDS) else "unspecified",
        status=STATUSES[status.code] if 0 <= status.code < len(STATUSES) else "unset",
        status_message=status.message,
        offset_ms=(item.start - start) / _MS,
        duration_ms=(item.end - item.start) / _MS,
        self_ms=_self_time(item, children.get(item.span_id, ())) / _MS,
        critical_ms=critical.get(id(item), 0) / _MS,
        trace_state=span.trace_state,
        attributes=shown_pairs(span.attributes),
        events=[
            SpanEvent(
                name=event.name,
                offset_ms=(event.time_unix_nano - start) / _MS,
                attributes=shown_pairs(event.attributes),
            )
            for event in span.events
        ],
        links=[
            SpanLink(
                trace_id=link.trace_id.hex(),
                span_id=link.span_id.hex(),
                trace_state=link.trace_state,
                attributes=shown_pairs(link.attributes),
            )
            for link in span.links
        ],
        resource=item.resource,
        scope=item.scope,
    )


def _services(spans: Sequence[SpanView]) -> list[ServiceCount]:
    counts = Counter(span.service for span in spans)
    errors = Counter(span.service for span in spans if span.status == "error")
    found = [ServiceCount(name=name, spans=n, errors=errors[name]) for name, n in counts.items()]
    return sorted(found, key=lambda one: (-one.spans, one.name))
