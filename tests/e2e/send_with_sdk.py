"""Sends one trace, one set of metrics and one log record with the OpenTelemetry Python SDK.

python send_with_sdk.py grpc|http ENDPOINT SERVICE_NAME

A program of its own, because the SDK's threads would live on in the process of the tests. Prints the ids as JSON.
"""

import json
import sys
from typing import Any

import grpc
from opentelemetry import trace
from opentelemetry._logs import LogRecord, SeverityNumber
from opentelemetry.exporter.otlp.proto.grpc._log_exporter import OTLPLogExporter as GrpcLogs
from opentelemetry.exporter.otlp.proto.grpc.metric_exporter import OTLPMetricExporter as GrpcMetrics
from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter as GrpcSpans
from opentelemetry.exporter.otlp.proto.http import Compression
from opentelemetry.exporter.otlp.proto.http._log_exporter import OTLPLogExporter as HttpLogs
from opentelemetry.exporter.otlp.proto.http.metric_exporter import OTLPMetricExporter as HttpMetrics
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter as HttpSpans
from opentelemetry.metrics import Observation
from opentelemetry.sdk._logs import LoggerProvider
from opentelemetry.sdk._logs.export import BatchLogRecordProcessor
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import PeriodicExportingMetricReader
from opentelemetry.sdk.metrics.view import ExponentialBucketHistogramAggregation, View
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.trace import Link, SpanKind, Status, StatusCode


def exporters(protocol: str, endpoint: str) -> tuple[Any, Any, Any]:
    """Return the exporters of traces, metrics and logs, all with gzip."""
    if protocol == "grpc":
        options: dict[str, Any] = {"endpoint": endpoint, "insecure": True, "compression": grpc.Compression.Gzip}
        return GrpcSpans(**options), GrpcMetrics(**options), GrpcLogs(**options)
    gzip = Compression.Gzip
    return (
        HttpSpans(endpoint=f"{endpoint}/v1/traces", compression=gzip),
        HttpMetrics(endpoint=f"{endpoint}/v1/metrics", compression=gzip),
        HttpLogs(endpoint=f"{endpoint}/v1/logs", compression=gzip),
    )


def main() -> int:
    """Send everything; return 1 when the SDK says that something was not taken."""
    protocol, endpoint, service_name = sys.argv[1:]
    spans, metrics, logs = exporters(protocol, endpoint)
    resource = Resource({"service.name": service_name, "service.version": "1.2.3"})
    tracing, logging = TracerProvider(resource=resource), LoggerProvider(resource=resource)
    tracing.add_span_processor(BatchSpanProcessor(spans))
    logging.add_log_record_processor(BatchLogRecordProcessor(logs))
    exponential = View(instrument_name="payload.size", aggregation=ExponentialBucketHistogramAggregation())
    # A shutdown would export once more, without the exemplars, which the SDK hands out only once.
    metering = MeterProvider(
        [PeriodicExportingMetricReader(metrics)], resource=resource, views=[exponential], shutdown_on_exit=False
    )

    tracer, meter, logger = tracing.get_tracer("shop", "0.9"), metering.get_meter("shop"), logging.get_logger("shop")
    with tracer.start_as_current_span(
        "POST /orders", kind=SpanKind.SERVER, attributes={"http.response.status_code": 201}
    ) as parent:
        link = Link(parent.get_span_context(), {"why": "same order"})
        with tracer.start_as_current_span("INSERT orders", kind=SpanKind.CLIENT, links=[link]) as child:
            child.set_attributes({"db.rows": 3, "ratio": 0.5, "cached": True, "tags": ["a", "b"]})
            child.add_event("retry", {"attempt": 1})
            child.set_status(Status(StatusCode.ERROR, "deadlock"))
        meter.create_counter("orders.placed", unit="{order}").add(2, {"region": "eu"})
        meter.create_up_down_counter("carts.open").add(-1)
        meter.create_observable_gauge("room.temperature", [lambda _: [Observation(21.5)]], unit="Cel")
        latency = meter.create_histogram("order.duration", unit="s", explicit_bucket_boundaries_advisory=[0.1, 1.0])
        size = meter.create_histogram("payload.size", unit="By")
        for seconds in (0.05, 0.5, 5.0):
            latency.record(seconds, {"region": "eu"})
            size.record(seconds * 1000)
        logger.emit(
            LogRecord(
                context=trace.set_span_in_context(parent),
                severity_number=SeverityNumber.WARN,
                severity_text="WARN",
                body="order 7 is late",
                attributes={"order.id": 7},
            )
        )
        identity = parent.get_span_context()
    taken = [provider.force_flush() for provider in (tracing, metering, logging)]
    for provider in (tracing, logging):
        provider.shutdown()
    json.dump({"traceId": f"{identity.trace_id:032x}", "spanId": f"{identity.span_id:016x}"}, sys.stdout)
    return 0 if all(taken) else 1


if __name__ == "__main__":
    sys.exit(main())
