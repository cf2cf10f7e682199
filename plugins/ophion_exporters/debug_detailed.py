"""Telemetry with everything it carries: the debug exporter's `detailed` verbosity, in otelcol's layout."""

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any

from ophion_agent.plugin import Logs, Metrics, Traces, View
from ophion_exporters.debug_normal import bucket_bound
from ophion_exporters.debug_values import (
    METRIC_TYPES,
    SEVERITIES,
    SPAN_KINDS,
    STATUS_CODES,
    TEMPORALITIES,
    enum_name,
    fixed_float,
    hex_id,
    time_text,
    typed_text,
)

Lines = list[str]

_TITLES = MappingProxyType(
    {
        Traces: ("ResourceSpans", "ScopeSpans", "Span"),
        Metrics: ("ResourceMetrics", "ScopeMetrics", "Metric"),
        # The collector prints this one without its s.
        Logs: ("ResourceLog", "ScopeLogs", "LogRecord"),
    }
)


def detailed_text(batch: Traces | Metrics | Logs) -> str:
    """Return the whole batch as text of many lines."""
    group_title, scope_title, record_title = _TITLES[type(batch)]
    view: View[Any, Any, Any] = batch.view()
    out: Lines = []
    for number, group in enumerate(view.groups()):
        out += [f"{group_title} #{number}", f"Resource SchemaURL: {group.schema_url}"]
        _attributes(out, "Resource attributes", group.resource.attributes)
        _entity_refs(out, group.resource.entity_refs)
        for scope_number, entry in enumerate(getattr(group, view.scope_field)):
            out += [f"{scope_title} #{scope_number}", f"{scope_title} SchemaURL: {entry.schema_url}"]
            out.append(f"InstrumentationScope {entry.scope.name} {entry.scope.version}")
            _attributes(out, "InstrumentationScope attributes", entry.scope.attributes)
            for record_number, record in enumerate(getattr(entry, view.record_field)):
                out.append(f"{record_title} #{record_number}")
                _RECORDS[type(batch)](out, record)
    return "\n".join(out)


def _attributes(out: Lines, header: str, attributes: Any, indent: str = "") -> None:
    if attributes:
        out.append(f"{header}:")
        out += [f"{indent}     -> {attribute.key}: {typed_text(attribute.value)}" for attribute in attributes]


def _entity_refs(out: Lines, references: Any) -> None:
    if references:
        out.append("Resource entity refs:")
    for number, reference in enumerate(references):
        out += [f"     -> Entity ref #{number}:", f"          -> Type: {reference.type}"]
        if reference.schema_url:
            out.append(f"          -> Schema URL: {reference.schema_url}")
        for title, keys in (("ID", reference.id_keys), ("Description", reference.description_keys)):
            if keys:
                out.append(f"          -> {title} keys:")
                out += [f"               -> {key}" for key in keys]


def _span(out: Lines, span: Any) -> None:
    facts = {
        "Trace ID": hex_id(span.trace_id),
        "Parent ID": hex_id(span.parent_span_id),
        "ID": hex_id(span.span_id),
        "Name": span.name,
        "Kind": enum_name(SPAN_KINDS, span.kind),
        **({"TraceState": span.trace_state} if span.trace_state else {}),
        "Start time": time_text(span.start_time_unix_nano),
        "End time": time_text(span.end_time_unix_nano),
        "Status code": enum_name(STATUS_CODES, span.status.code),
        "Status message": span.status.message,
    }
    out += [f"    {name:<15}: {fact}" for name, fact in facts.items()]
    out.append(f"    DroppedAttributesCount: {span.dropped_attributes_count}")
    out.append(f"    DroppedEventsCount: {span.dropped_events_count}")
    out.append(f"    DroppedLinksCount: {span.dropped_links_count}")
    _attributes(out, "Attributes", span.attributes)
    _events(out, span.events)
    _links(out, span.links)


def _events(out: Lines, events: Any) -> None:
    if events:
        out.append("Events:")
    for number, event in enumerate(events):
        out += [f"SpanEvent #{number}", f"     -> Name: {event.name}"]
        out.append(f"     -> Timestamp: {time_text(event.time_unix_nano)}")
        out.append(f"     -> DroppedAttributesCount: {event.dropped_attributes_count}")
        _attributes(out, "     -> Attributes:", event.attributes, "     ")


def _links(out: Lines, links: Any) -> None:
    if links:
        out.append("Links:")
    for number, link in enumerate(links):
        out += [
            f"SpanLink #{number}",
            f"     -> Trace ID: {hex_id(link.trace_id)}",
            f"     -> ID: {hex_id(link.span_id)}",
        ]
        out.append(f"     -> TraceState: {link.trace_state}")
        out.append(f"     -> DroppedAttributesCount: {link.dropped_attributes_count}")
        _attributes(out, "     -> Attributes:", link.attributes, "     ")


def _log_record(out: Lines, record: Any) -> None:
    out.append(f"ObservedTimestamp: {time_text(record.observed_time_unix_nano)}")
    out.append(f"Timestamp: {time_text(record.time_unix_nano)}")
    out.append(f"SeverityText: {record.severity_text}")
    out.append(f"SeverityNumber: {enum_name(SEVERITIES, record.severity_number)}({record.severity_number})")
    if record.event_name:
        out.append(f"EventName: {record.event_name}")
    out.append(f"Body: {typed_text(record.body)}")
    _attributes(out, "Attributes", record.attributes)
    out += [f"Trace ID: {hex_id(record.trace_id)}", f"Span ID: {hex_id(record.span_id)}", f"Flags: {record.flags}"]


def _metric(out: Lines, metric: Any) -> None:
    kind = metric.WhichOneof("data")
    out += ["Descriptor:", f"     -> Name: {metric.name}", f"     -> Description: {metric.description}"]
    out += [f"     -> Unit: {metric.unit}", f"     -> DataType: {METRIC_TYPES[kind]}"]
    if kind is None:
        return
    data = getattr(metric, kind)
    if kind == "sum":
        out.append(f"     -> IsMonotonic: {str(data.is_monotonic).lower()}")
    if kind not in ("gauge", "summary"):
        out.append(f"     -> AggregationTemporality: {enum_name(TEMPORALITIES, data.aggregation_temporality)}")
    title = "Number" if kind in ("gauge", "sum") else METRIC_TYPES[kind]
    for number, point in enumerate(data.data_points):
        out.append(f"{title}DataPoints #{number}")
        _attributes(out, "Data point attributes", point.attributes)
        out.append(f"StartTimestamp: {time_text(point.start_time_unix_nano)}")
        out.append(f"Timestamp: {time_text(point.time_unix_nano)}")
        _POINTS[kind](out, point)


def _number(out: Lines, point: Any) -> None:
    out.extend(_value(point, ""))
    _exemplars(out, point.exemplars)


def _value(point: Any, indent: str) -> Lines:
    match point.WhichOneof("value"):
        case "as_int":
            return [f"{indent}Value: {point.as_int}"]
        case "as_double":
            return [f"{indent}Value: {fixed_float(point.as_double)}"]
    return []


def _summed(out: Lines, point: Any) -> None:
    out.append(f"Count: {point.count}")
    out += [
        f"{name.title()}: {fixed_float(getattr(point, name))}" for name in ("sum", "min", "max") if point.HasField(name)
    ]


def _histogram(out: Lines, point: Any) -> None:
    _summed(out, point)
    out += [f"ExplicitBounds #{number}: {fixed_float(bound)}" for number, bound in enumerate(point.explicit_bounds)]
    out += [f"Buckets #{number}, Count: {count}" for number, count in enumerate(point.bucket_counts)]
    _exemplars(out, point.exemplars)


def _exponential_histogram(out: Lines, point: Any) -> None:
    _summed(out, point)
    negative, positive = point.negative, point.positive
    for index, count in reversed(list(enumerate(negative.bucket_counts, start=negative.offset))):
        low, high = _bounds(point.scale, index)
        out.append(f"Bucket [{fixed_float(-high)}, {fixed_float(-low)}), Count: {count}")
    if point.zero_count:
        out.append(f"Bucket [0, 0], Count: {point.zero_count}")
    for index, count in enumerate(positive.bucket_counts, start=positive.offset):
        low, high = _bounds(point.scale, index)
        out.append(f"Bucket ({fixed_float(low)}, {fixed_float(high)}], Count: {count}")
    _exemplars(out, point.exemplars)


def _bounds(scale: int, index: int) -> tuple[float, float]:
    return bucket_bound(scale, index), bucket_bound(scale, index + 1)


def _summary(out: Lines, point: Any) -> None:
    out += [f"Count: {point.count}", f"Sum: {fixed_float(point.sum)}"]
    for number, entry in enumerate(point.quantile_values):
        quantile, value = fixed_float(entry.quantile), fixed_float(entry.value)
        out.append(f"QuantileValue #{number}: Quantile {quantile}, Value {value}")


def _exemplars(out: Lines, exemplars: Any) -> None:
    if exemplars:
        out.append("Exemplars:")
    for number, exemplar in enumerate(exemplars):
        out += [f"Exemplar #{number}", f"     -> Trace ID: {hex_id(exemplar.trace_id)}"]
        out.append(f"     -> Span ID: {hex_id(exemplar.span_id)}")
        out.append(f"     -> Timestamp: {time_text(exemplar.time_unix_nano)}")
        out += _value(exemplar, "     -> ")
        _attributes(out, "     -> FilteredAttributes", exemplar.filtered_attributes, "     ")


_POINTS: Mapping[str, Callable[[Lines, Any], None]] = MappingProxyType(
    {
        "gauge": _number,
        "sum": _number,
        "histogram": _histogram,
        "exponential_histogram": _exponential_histogram,
        "summary": _summary,
    }
)
_RECORDS: Mapping[type, Callable[[Lines, Any], None]] = MappingProxyType(
    {Traces: _span, Metrics: _metric, Logs: _log_record}
)
