"""One whole trace: its spans with everything they carry, and what its duration is made of."""

from __future__ import annotations

import asyncio
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from typing import Any, Final

from ophion_agent.server import BadRequest, NotFound
from ophion_api.search_sql import is_id
from ophion_api.sql_parts import Binder
from ophion_api.telemetry_access import TenantStore
from ophion_api.time_ranges import TimeRange, rfc3339
from ophion_api.traces_models import ServiceCount, SpanView, TraceLinks, TraceView
from ophion_api.traces_search import trace_times
from ophion_api.traces_spans import Span, Spans, read_spans

_MS: Final = 1e6


async def trace_bounds(store: TenantStore, trace_id: str) -> TimeRange:
    """Return between which times the spans of a trace start; raises BadRequest and NotFound."""
    if not is_id(trace_id, 32):
        raise BadRequest(f'traceId: must be 32 hexadecimal digits, got "{trace_id[:100]}"', status=422)
    found = await trace_times(store, [trace_id])
    if trace_id.lower() not in found:
        raise _missing(trace_id)
    return found[trace_id.lower()]


async def read_trace(store: TenantStore, trace_id: str, limit: int) -> Any:
    """Return the earliest `limit` spans of a trace as an ExportTraceServiceRequest; raises BadRequest and NotFound."""
    bounds = await trace_bounds(store, trace_id)
    binder = Binder()
    where = f"{binder.within('start_time', bounds)} AND trace_id = unhex({binder.text(trace_id)})"
    request = await store.read("traces", where, binder, order="start_time, span_id", limit=limit)
    if not request.resource_spans:
        raise _missing(trace_id)
    return request


async def trace_view(store: TenantStore, trace_id: str, limit: int) -> TraceView:
    """Return a trace as it is shown; raises BadRequest and NotFound."""
    bounds = await trace_bounds(store, trace_id)
    found = await read_spans(store, trace_id, bounds, limit + 1)
    if not found.columns:
        raise _missing(trace_id)
    return await asyncio.to_thread(view_of, found, trace_id.lower(), limit)


def _missing(trace_id: str) -> NotFound:
    return NotFound(f"there is no trace {trace_id.lower()}; it may be older than the retention")


def view_of(found: Spans, trace_id: str, limit: int) -> TraceView:
    """Return the view of a trace of which up to `limit` spans are shown."""
    spans = found.read(limit)
    start, end = spans[0].start, max(span.end for span in spans)
    children = _children(spans)
    critical = critical_path(spans, children)
    for span in spans:
        span.view.self_ms = _self_time(span, children.get(span.view.span_id, ())) / _MS
        span.view.critical_ms = critical.get(id(span), 0) / _MS
    views = [span.view for span in spans]
    return TraceView(
        trace_id=trace_id,
        start=rfc3339(start),
        duration_ms=(end - start) / _MS,
        errors=sum(view.status == "error" for view in views),
        truncated=found.count > limit,
        services=_services(views),
        spans=views,
        resources=found.resources,
        scopes=found.scopes,
        critical_path=[span.view.span_id for span in spans if critical.get(id(span), 0) > 0],
        links=TraceLinks(
            logs=f"/api/traces/{trace_id}/logs",
            hosts=f"/api/traces/{trace_id}/hosts",
            exemplars=f"/api/exemplars?trace_id={trace_id}",
        ),
    )


def _children(spans: Sequence[Span]) -> Mapping[str, list[Span]]:
    found: dict[str, list[Span]] = defaultdict(list)
    for span in spans:
        parent = span.view.parent_span_id
        if parent and parent != span.view.span_id:
            found[parent].append(span)
    return found


def critical_path(spans: Sequence[Span], children: Mapping[str, list[Span]]) -> dict[int, int]:
    """Return, by `id` of a Span, the nanoseconds that it adds to the duration of its root.

    Backwards from the end of a span, the child that ended last is what was waited for; between children it is the span
    itself. What of a child lies outside its parent was not waited for. Each span is visited at most once.
    """
    known = {span.view.span_id for span in spans}
    roots = [span for span in spans if span.view.parent_span_id not in known]
    if not roots:
        return {}
    root = max(roots, key=lambda span: span.end - span.start)
    spent: dict[int, int] = defaultdict(int)
    waiting, seen = [(root, root.start, root.end)], {id(root)}
    while waiting:
        span, since, until = waiting.pop()
        for child in sorted(children.get(span.view.span_id, ()), key=lambda one: one.end, reverse=True):
            end = min(child.end, until)
            begin = max(since, child.start)
            if id(child) in seen or end <= begin:
                continue
            seen.add(id(child))
            spent[id(span)] += until - end
            waiting.append((child, begin, end))
            until = begin
        spent[id(span)] += until - since
    return spent


def _self_time(span: Span, children: Sequence[Span]) -> int:
    """Return the nanoseconds of a span in which no child ran."""
    left, reached, last = span.end - span.start, span.start, span.end
    # In order of start, as all spans are.
    for child in children:
        begin = child.start if child.start > reached else reached
        end = child.end if child.end < last else last
        if end > begin:
            left -= end - begin
            reached = end
    return left


def _services(spans: Sequence[SpanView]) -> list[ServiceCount]:
    counts = Counter(span.service for span in spans)
    errors = Counter(span.service for span in spans if span.status == "error")
    found = [ServiceCount(name=name, spans=n, errors=errors[name]) for name, n in counts.items()]
    return sorted(found, key=lambda one: (-one.spans, one.name))
