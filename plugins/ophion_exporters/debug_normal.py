"""Telemetry as about one line per item: the debug exporter's `normal` verbosity, in otelcol's layout."""

import math
from collections.abc import Callable, Iterator, Mapping
from types import MappingProxyType
from typing import Any

from ophion_agent.plugin import Logs, Metrics, Traces, View
from ophion_exporters.debug_values import hex_id, pairs, plain_float, value_text

_TITLES = MappingProxyType({Traces: "Traces", Metrics: "Metrics", Logs: "Log"})


def normal_text(batch: Traces | Metrics | Logs) -> str:
    """Return a line for each resource, scope, and span, data point or log record."""
    title = _TITLES[type(batch)]
    view: View[Any, Any, Any] = batch.view()
    lines: list[str] = []
    for number, group in enumerate(view.groups()):
        lines.append(_headed(f"Resource{title} #{number}", _schema(group.schema_url), group.resource.attributes))
        for scope_number, entry in enumerate(getattr(group, view.scope_field)):
            scope = entry.scope
            name = f" {scope.name}" if scope.name else ""
            version = f"@{scope.version}" if scope.version else ""
            details = f"{name}{version}{_schema(entry.schema_url)}"
            lines.append(_headed(f"Scope{title} #{scope_number}", details, scope.attributes))
            for record in getattr(entry, view.record_field):
                lines.extend(_LINES[type(batch)](record))
    return "\n".join(lines)


def _headed(title: str, details: str, attributes: Any) -> str:
    return " ".join([f"{title}{details}", *pairs(attributes)])


def _schema(url: str) -> str:
    return f" [{url}]" if url else ""


def _span_lines(span: Any) -> Iterator[str]:
    yield " ".join([span.name, hex_id(span.trace_id), hex_id(span.span_id), *pairs(span.attributes)])


def _log_lines(record: Any) -> Iterator[str]:
    yield f"{value_text(record.body)} {' '.join(pairs(record.attributes))}"


def _metric_lines(metric: Any) -> Iterator[str]:
    kind = metric.WhichOneof("data")
    if kind is None:
        return
    for point in getattr(metric, kind).data_points:
        labels = ",".join(pairs(point.attributes))
        yield f"{metric.name}{{{labels}}} {_POINTS[kind](point)}"


def _number(point: Any) -> str:
    match point.WhichOneof("value"):
        case "as_int":
            return str(point.as_int)
        case "as_double":
            return plain_float(point.as_double)
    return ""


def _summed(point: Any) -> list[str]:
    present = [name for name in ("sum", "min", "max") if point.HasField(name)]
    return [f"count={point.count}", *(f"{name}={plain_float(getattr(point, name))}" for name in present)]


def _histogram(point: Any) -> str:
    bounds = [f"le{plain_float(bound)}=" for bound in point.explicit_bounds]
    counts = list(point.bucket_counts)
    bounds += [""] * (len(counts) - len(bounds))
    return " ".join([*_summed(point), *(f"{bound}{count}" for bound, count in zip(bounds, counts, strict=False))])


def _exponential_histogram(point: Any) -> str:
    scale, negative, positive = point.scale, point.negative, point.positive
    below = [
        f"le{plain_float(-bucket_bound(scale, index))}={count}"
        for index, count in enumerate(negative.bucket_counts, start=negative.offset)
    ]
    above = [
        f"le{plain_float(bucket_bound(scale, index + 1))}={count}"
        for index, count in enumerate(positive.bucket_counts, start=positive.offset)
    ]
    zero = [f"zero={point.zero_count}"] if point.zero_count else []
    return " ".join([*_summed(point), *reversed(below), *zero, *above])


def _summary(point: Any) -> str:
    quantiles = [f"q{plain_float(entry.quantile)}={plain_float(entry.value)}" for entry in point.quantile_values]
    return " ".join([f"count={point.count}", f"sum={point.sum:f}", *quantiles])


def bucket_bound(scale: int, index: int) -> float:
    """Return the lower bound of an exponential histogram's bucket; infinite where a double cannot hold it."""
    if index == 0:
        return 1.0
    try:
        return math.exp(index * math.ldexp(math.log(2), -scale))
    except OverflowError:
        return float("inf") if index > 0 else 0.0


_POINTS: Mapping[str, Callable[[Any], str]] = MappingProxyType(
    {
        "gauge": _number,
        "sum": _number,
        "histogram": _histogram,
        "exponential_histogram": _exponential_histogram,
        "summary": _summary,
    }
)
_LINES: Mapping[type, Callable[[Any], Iterator[str]]] = MappingProxyType(
    {Traces: _span_lines, Metrics: _metric_lines, Logs: _log_lines}
)
