"""Exporters of OTLP/JSON over HTTP for Python 3.8 and 3.9, of the standard library only: nothing can collide with it.

Endpoint, headers and timeout come from OTEL_EXPORTER_OTLP_*. What cannot be sent is dropped.
"""

from __future__ import annotations

import json
import logging
import os
import time
from http.client import HTTPConnection, HTTPSConnection
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote, urlsplit

from opentelemetry import context
from opentelemetry.sdk._logs import export as logs_export
from opentelemetry.sdk.metrics import export as metrics_export
from opentelemetry.sdk.trace import export as trace_export

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    Json = dict[str, Any]

# The names of OpenTelemetry's loggers are kept from being exported, so that a failed export cannot cause another.
_logger = logging.getLogger("opentelemetry.ophion_otlp_json")
_ATTEMPTS = 3
_RETRYABLE = (429, 502, 503, 504)


def _headers() -> Json:
    given = os.environ.get("OTEL_EXPORTER_OTLP_HEADERS", "")
    pairs = (item.partition("=") for item in given.split(",") if "=" in item)
    named = {unquote(key.strip()): unquote(value.strip()) for key, _, value in pairs}
    return {**named, "Content-Type": "application/json"}


def _send(path: str, body: Json) -> bool:
    url = urlsplit(os.environ.get("OTEL_EXPORTER_OTLP_ENDPOINT", "http://localhost:4318"))
    timeout = float(os.environ.get("OTEL_EXPORTER_OTLP_TIMEOUT", "10"))
    token = context.attach(context.set_value("suppress_instrumentation", True))
    try:
        data = json.dumps(body)
        for attempt in range(_ATTEMPTS):
            connection = (HTTPSConnection if url.scheme == "https" else HTTPConnection)(url.netloc, timeout=timeout)
            try:
                connection.request("POST", url.path.rstrip("/") + path, data, _headers())
                status = connection.getresponse().status
            except OSError:
                status = 503
            finally:
                connection.close()
            if status not in _RETRYABLE:
                return status < 300
            time.sleep(2**attempt)
        return False
    except Exception:
        _logger.debug("a request to %s failed", path, exc_info=True)
        return False
    finally:
        context.detach(token)


def _value(value: Any) -> Json:
    if isinstance(value, bool):
        return {"boolValue": value}
    if isinstance(value, int):
        return {"intValue": str(value)}
    if isinstance(value, float):
        return {"doubleValue": value}
    if isinstance(value, (list, tuple)):
        return {"arrayValue": {"values": [_value(item) for item in value]}}
    if isinstance(value, dict):
        return {"kvlistValue": {"values": _attributes(value)}}
    return {} if value is None else {"stringValue": str(value)}


def _attributes(attributes: Any) -> list[Json]:
    return [{"key": str(key), "value": _value(value)} for key, value in (attributes or {}).items()]


def _scope(scope: Any) -> Json:
    if scope is None:
        return {}
    found = {"name": scope.name, "attributes": _attributes(getattr(scope, "attributes", None))}
    return {**found, "version": scope.version} if scope.version else found


def _grouped(items: Iterable[Any], scope: Callable[[Any], Any], record: Callable[[Any], Json], name: str) -> list[Json]:
    """Return scopes with their records."""
    groups: dict[int, tuple[Any, list[Json]]] = {}
    for item in items:
        found = scope(item)
        groups.setdefault(id(found), (found, []))[1].append(record(item))
    return [{"scope": _scope(found), name: records} for found, records in groups.values()]


def _by_resource(items: Iterable[Any], resource: Callable[[Any], Any]) -> list[tuple[Json, list[Any]]]:
    groups: dict[int, tuple[Json, list[Any]]] = {}
    for item in items:
        found = resource(item)
        groups.setdefault(id(found), ({"attributes": _attributes(found.attributes)}, []))[1].append(item)
    return list(groups.values())


def _hex(number: int, digits: int) -> str:
    return format(number, "0%dx" % digits)  # noqa: UP031 - the width is a parameter


def _span(span: Any) -> Json:
    found = {
        "traceId": _hex(span.context.trace_id, 32),
        "spanId": _hex(span.context.span_id, 16),
        "traceState": ",".join(f"{key}={value}" for key, value in span.context.trace_state.items()),
        "flags": int(span.context.trace_flags),
        "name": span.name,
        "kind": span.kind.value + 1,
        "startTimeUnixNano": str(span.start_time or 0),
        "endTimeUnixNano": str(span.end_time or 0),
        "attributes": _attributes(span.attributes),
        "events": [
            {"timeUnixNano": str(event.timestamp), "name": event.name, "attributes": _attributes(event.attributes)}
            for event in span.events
        ],
        "links": [
            {
                "traceId": _hex(link.context.trace_id, 32),
                "spanId": _hex(link.context.span_id, 16),
                "attributes": _attributes(link.attributes),
            }
            for link in span.links
        ],
        "status": {"code": span.status.status_code.value, "message": span.status.description or ""},
    }
    return {**found, "parentSpanId": _hex(span.parent.span_id, 16)} if span.parent else found


class SpanExporter(trace_export.SpanExporter):
    """Sends spans."""

    def export(self, spans: Any) -> Any:
        """Send a batch."""
        groups = [
            {
                "resource": resource,
                "scopeSpans": _grouped(some, lambda span: span.instrumentation_scope, _span, "spans"),
            }
            for resource, some in _by_resource(spans, lambda span: span.resource)
        ]
        sent = _send("/v1/traces", {"resourceSpans": groups})
        return trace_export.SpanExportResult.SUCCESS if sent else trace_export.SpanExportResult.FAILURE


def _log(data: Any) -> Json:
    record = data.log_record
    found = {
        "timeUnixNano": str(record.timestamp or 0),
        "observedTimeUnixNano": str(record.observed_timestamp or 0),
        "severityNumber": record.severity_number.value if record.severity_number else 0,
        "severityText": record.severity_text or "",
        "body": _value(record.body),
        "attributes": _attributes(record.attributes),
    }
    if record.trace_id:
        ids = {"traceId": _hex(record.trace_id, 32), "spanId": _hex(record.span_id, 16)}
        found.update(ids, flags=int(record.trace_flags or 0))
    return found


class LogExporter(logs_export.LogExporter):
    """Sends log records."""

    def export(self, batch: Any) -> Any:
        """Send a batch."""
        groups = [
            {
                "resource": resource,
                "scopeLogs": _grouped(some, lambda data: data.instrumentation_scope, _log, "logRecords"),
            }
            for resource, some in _by_resource(batch, lambda data: data.log_record.resource)
        ]
        sent = _send("/v1/logs", {"resourceLogs": groups})
        return logs_export.LogExportResult.SUCCESS if sent else logs_export.LogExportResult.FAILURE

    def shutdown(self) -> None:
        """Nothing is kept open."""


def _number_point(point: Any) -> Json:
    found = {"attributes": _attributes(point.attributes), "timeUnixNano": str(point.time_unix_nano)}
    if point.start_time_unix_nano:
        found["startTimeUnixNano"] = str(point.start_time_unix_nano)
    return found


def _plain_point(point: Any) -> Json:
    value = {"asInt": str(point.value)} if isinstance(point.value, int) else {"asDouble": point.value}
    return {**_number_point(point), **value}


def _histogram_point(point: Any) -> Json:
    found = {"count": str(point.count), "sum": point.sum, "min": point.min, "max": point.max}
    buckets = {
        "bucketCounts": [str(count) for count in point.bucket_counts],
        "explicitBounds": list(point.explicit_bounds),
    }
    return {**_number_point(point), **found, **buckets}


def _metric(metric: Any) -> Json:
    found = {"name": metric.name, "description": metric.description or "", "unit": metric.unit or ""}
    data, points = metric.data, metric.data.data_points
    temporality = getattr(data, "aggregation_temporality", None)
    if hasattr(data, "is_monotonic"):
        kind = {"aggregationTemporality": int(temporality or 0), "isMonotonic": data.is_monotonic}
        return {**found, "sum": {**kind, "dataPoints": [_plain_point(point) for point in points]}}
    if temporality is None:
        return {**found, "gauge": {"dataPoints": [_plain_point(point) for point in points]}}
    if points and not hasattr(points[0], "bucket_counts"):
        return {}  # Exponential histograms are made only by views, which nobody can configure here.
    histogram = {
        "aggregationTemporality": int(temporality),
        "dataPoints": [_histogram_point(point) for point in points],
    }
    return {**found, "histogram": histogram}


class MetricExporter(metrics_export.MetricExporter):
    """Sends metrics."""

    def export(self, metrics_data: Any, timeout_millis: float = 10_000, **_: Any) -> Any:
        """Send what one collection gave."""
        groups = [
            {
                "resource": {"attributes": _attributes(one.resource.attributes)},
                "scopeMetrics": [
                    {
                        "scope": _scope(scoped.scope),
                        "metrics": [found for metric in scoped.metrics if (found := _metric(metric))],
                    }
                    for scoped in one.scope_metrics
                ],
            }
            for one in metrics_data.resource_metrics
        ]
        sent = _send("/v1/metrics", {"resourceMetrics": groups})
        return metrics_export.MetricExportResult.SUCCESS if sent else metrics_export.MetricExportResult.FAILURE

    def force_flush(self, timeout_millis: float = 10_000) -> bool:
        """Nothing is kept back."""
        return True

    def shutdown(self, timeout_millis: float = 30_000, **_: Any) -> None:
        """Nothing is kept open."""
