"""Conditions on spans as SQL."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final

from ophion_agent.hints import nearest
from ophion_agent.server import BadRequest
from ophion_api.search_sql import search_condition
from ophion_api.search_terms import parse_search
from ophion_api.sql_parts import Binder, Operator, attribute_condition, column_condition, conjunction, disjunction
from ophion_api.time_ranges import MINUTE, TimeRange, duration_ns
from ophion_api.traces_models import KINDS, STATUSES, Condition, Group, SpanFilters, TraceSearch

_ATTR: Final = re.compile(r"([^=!<>~]+)(=~|!=|>=|<=|=|>|<)(.*)", re.DOTALL)
_MOST_CONDITIONS: Final = 100
_DEEPEST: Final = 10
_COLUMNS: Final = {"service": "service_name", "operation": "name", "status_message": "status_message"}
_MOST_LOG_TRACES: Final = 20_000


def span_condition(binder: Binder, filters: SpanFilters, bounds: TimeRange) -> str:
    """Return SQL for everything but the time range of the spans; `bounds` is that of the search. Raises BadRequest."""
    parts = list(_simple(binder, filters))
    parts += [_attribute(binder, text) for text in filters.attr]
    if isinstance(filters, TraceSearch) and filters.where is not None:
        _check_size(filters.where)
        parts.append(_grouped(binder, filters.where))
    if filters.log_text.strip():
        parts.append(_with_logs(binder, filters.log_text, bounds))
    return conjunction(parts)


def is_service_only(filters: SpanFilters) -> bool:
    """Tell whether nothing but service and operation is asked for, which the minute figures can answer."""
    others = filters.model_dump(
        exclude={"start", "end", "service", "operation", "step", "limit"}, exclude_defaults=True
    )
    return not others


def named(binder: Binder, filters: SpanFilters) -> Iterator[str]:
    """Return SQL for service and operation, whose columns spans and figures per minute have in common."""
    if filters.service:
        yield binder.one_of("service_name", filters.service, "String")
    if filters.operation:
        yield binder.one_of("name", filters.operation, "String")


def _simple(binder: Binder, filters: SpanFilters) -> Iterator[str]:
    yield from named(binder, filters)
    if filters.kind:
        yield binder.one_of("kind", [KINDS.index(kind) for kind in filters.kind], "Int32")
    if filters.status:
        yield binder.one_of("status_code", [STATUSES.index(status) for status in filters.status], "Int32")
    if filters.min_duration is not None:
        yield f"duration >= {binder.bind(duration_ns('min_duration', filters.min_duration), 'Int64')}"
    if filters.max_duration is not None:
        yield f"duration <= {binder.bind(duration_ns('max_duration', filters.max_duration), 'Int64')}"
    if filters.root:
        yield "parent_span_id = ''"


def _attribute(binder: Binder, text: str) -> str:
    """Return SQL for `key=value`, or for `key` alone."""
    match = _ATTR.fullmatch(text)
    key, operator, value = (match[1], match[2], match[3]) if match else (text, "exists", "")
    if not key.strip() or (match is None and re.search("[=!<>~]", text)):
        raise BadRequest(
            f'attr: must be key=value, key!=value, key>5, key=~regex or key, got "{text[:100]}"', status=422
        )
    scope = "any"
    if key.startswith("resource."):
        key, scope = key.removeprefix("resource."), "resource"
    elif key.startswith("span."):
        key, scope = key.removeprefix("span."), "own"
    return attribute_condition(binder, key, operator, value, scope)  # type: ignore[arg-type]


def _check_size(where: Group | Condition) -> None:
    waiting, seen = [(where, 1)], 0
    while waiting:
        node, depth = waiting.pop()
        seen += 1
        if seen > _MOST_CONDITIONS or depth > _DEEPEST:
            most = f"{_MOST_CONDITIONS} conditions, {_DEEPEST} deep"
            raise BadRequest(f"where: may have {most}; ask for less at once", status=422)
        if isinstance(node, Group):
            inner = [*node.all, *node.any, *([node.none] if node.none is not None else [])]
            waiting += [(child, depth + 1) for child in inner]


def _grouped(binder: Binder, node: Group | Condition) -> str:
    if isinstance(node, Condition):
        return _condition(binder, node)
    parts = [_grouped(binder, child) for child in node.all]
    if node.any:
        parts.append(disjunction(_grouped(binder, child) for child in node.any))
    if node.none is not None:
        parts.append(f"NOT ({_grouped(binder, node.none)})")
    return conjunction(parts)


def _condition(binder: Binder, condition: Condition) -> str:
    if condition.attribute is not None:
        scope = "own" if condition.scope == "span" else condition.scope
        return attribute_condition(binder, condition.attribute, condition.op, condition.value, scope)
    field = condition.field or ""
    if field in _COLUMNS:
        return column_condition(binder, _COLUMNS[field], condition.op, condition.value)
    if condition.op in ("=~", "exists"):
        raise BadRequest(f"{field} {condition.op}: cannot be used; use one of = != > >= < <=", status=422)
    return _numeric(binder, field, condition.op, condition.value)


def _numeric(binder: Binder, field: str, operator: Operator, value: object) -> str:
    if field == "duration":
        return f"duration {operator} {binder.bind(duration_ns('duration', str(value)), 'Int64')}"
    names: tuple[str, ...] = KINDS if field == "kind" else STATUSES
    if value not in names or operator not in ("=", "!="):
        raise BadRequest(
            f'{field}: takes = or != and a name, got {operator} "{value}"; {nearest(str(value)[:50], names)}',
            status=422,
        )
    column = "kind" if field == "kind" else "status_code"
    return f"{column} {operator} {binder.bind(names.index(str(value)), 'Int32')}"


def _with_logs(binder: Binder, text: str, bounds: TimeRange) -> str:
    """Return SQL for spans of traces with a log record that matches; records may come some minutes after their span."""
    near = TimeRange(max(0, bounds.start - MINUTE), bounds.end + 10 * MINUTE)
    found = search_condition(binder, parse_search(text))
    limit = binder.bind(_MOST_LOG_TRACES, "UInt64")
    return (
        f"trace_id IN (SELECT trace_id FROM logs WHERE {binder.within('time', near)} AND trace_id != '' "
        f"AND ({found}) ORDER BY time DESC LIMIT {limit})"
    )
