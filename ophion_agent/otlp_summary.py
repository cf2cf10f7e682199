"""One readable line per span, data point or log record of an OTLP-JSON request, for the terminal."""

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

_SECTIONS = {
    "resourceSpans": ("scopeSpans", "spans"),
    "resourceMetrics": ("scopeMetrics", "metrics"),
    "resourceLogs": ("scopeLogs", "logRecords"),
}


def summary_lines(request: dict[str, Any]) -> Iterator[str]:
    """Iterate over the lines of one Export*ServiceRequest in its JSON form."""
    for section, (scopes, records) in _SECTIONS.items():
        for group in request.get(section, ()):
            service = _attribute(group.get("resource", {}), "service.name") or "-"
            for scope in group.get(scopes, ()):
                for record in scope.get(records, ()):
                    yield from _LINES[section](service, record)


def _span(service: str, span: dict[str, Any]) -> Iterator[str]:
    start, end = int(span.get("startTimeUnixNano", 0)), int(span.get("endTimeUnixNano", 0))
    failed = " ERROR" if span.get("status", {}).get("code") == 2 else ""
    trace = span.get("traceId", "")
    took = f"{(end - start) / 1e6:.3f} ms"
    yield f"{_clock(start)} span   {service} {span.get('name', '')!r} {took}{failed} trace={trace}"


def _metric(service: str, metric: dict[str, Any]) -> Iterator[str]:
    for kind in ("gauge", "sum", "histogram", "exponentialHistogram", "summary"):
        for point in metric.get(kind, {}).get("dataPoints", ()):
            attributes = [f"{item['key']}={_plain(item.get('value', {}))}" for item in point.get("attributes", ())]
            name = f"{metric.get('name', '')}{{{','.join(attributes)}}}" if attributes else metric.get("name", "")
            time = _clock(int(point.get("timeUnixNano", 0)))
            yield f"{time} metric {service} {name} {_value(point)} {metric.get('unit', '')}".rstrip()


def _log(service: str, record: dict[str, Any]) -> Iterator[str]:
    time = int(record.get("timeUnixNano", 0)) or int(record.get("observedTimeUnixNano", 0))
    severity = record.get("severityText") or f"severity {record.get('severityNumber', 0)}"
    yield f"{_clock(time)} log    {service} {severity} {_plain(record.get('body', {}))}"


_LINES = {"resourceSpans": _span, "resourceMetrics": _metric, "resourceLogs": _log}


def _value(point: dict[str, Any]) -> str:
    if "asDouble" in point or "asInt" in point:
        return str(point.get("asDouble", point.get("asInt")))
    return f"count={point.get('count', 0)} sum={point.get('sum', 0)}"


def _attribute(owner: dict[str, Any], key: str) -> str:
    return next((_plain(item.get("value", {})) for item in owner.get("attributes", ()) if item["key"] == key), "")


def _plain(value: dict[str, Any]) -> str:
    return str(next(iter(value.values()), ""))


def _clock(unix_nano: int) -> str:
    return datetime.fromtimestamp(unix_nano / 1e9, UTC).strftime("%H:%M:%S.%f")[:-3]
