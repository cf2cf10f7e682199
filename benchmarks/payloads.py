"""Realistic OTLP requests of a given size, and the cheapest way to count what a request holds.

A span is about 370 bytes encoded: eight semantic-convention attributes and, on every eighth span, one event. Requests
are deterministic for a seed, so two systems under test see the same bytes.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any, Literal

from google.protobuf import descriptor_pb2, descriptor_pool, message_factory
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, KeyValue
from opentelemetry.proto.metrics.v1.metrics_pb2 import AggregationTemporality
from opentelemetry.proto.resource.v1.resource_pb2 import Resource
from opentelemetry.proto.trace.v1.trace_pb2 import Span

Signal = Literal["traces", "metrics", "logs"]
CUMULATIVE = AggregationTemporality.AGGREGATION_TEMPORALITY_CUMULATIVE
EPOCH_NANO = 1_760_000_000_000_000_000
ROUTES = ("/api/v1/orders/{id}", "/api/v1/customers/{id}/cart", "/healthz", "/api/v1/search", "/api/v1/payments")
METHODS = ("GET", "POST", "PUT", "DELETE")


def attribute(key: str, value: str | int | float | bool) -> KeyValue:
    """One key-value pair in OTLP form."""
    if isinstance(value, bool):
        return KeyValue(key=key, value=AnyValue(bool_value=value))
    if isinstance(value, int):
        return KeyValue(key=key, value=AnyValue(int_value=value))
    if isinstance(value, float):
        return KeyValue(key=key, value=AnyValue(double_value=value))
    return KeyValue(key=key, value=AnyValue(string_value=value))


def resource(service: str) -> Resource:
    """The resource that an SDK with its usual detectors reports."""
    return Resource(
        attributes=[
            attribute("service.name", service),
            attribute("service.version", "2.14.3"),
            attribute("service.instance.id", "627cc493-f310-47de-96bd-71410b7dec09"),
            attribute("deployment.environment.name", "production"),
            attribute("host.name", "node-7.example.internal"),
            attribute("telemetry.sdk.language", "python"),
            attribute("telemetry.sdk.name", "opentelemetry"),
            attribute("telemetry.sdk.version", "1.38.0"),
        ]
    )


def traces(spans: int, seed: int = 0, first_id: int | None = None) -> bytes:
    """An encoded ExportTraceServiceRequest of `spans` spans under one resource.

    With `first_id` the span ids are the 8-byte big-endian numbers `first_id`, `first_id + 1`, ... so that a receiver
    can tell which ones arrived; otherwise they are random.
    """
    rng = random.Random(seed)
    request = ExportTraceServiceRequest()
    group = request.resource_spans.add(resource=resource(f"checkout-{seed % 4}"))
    scope = group.scope_spans.add()
    scope.scope.name = "opentelemetry.instrumentation.asgi"
    scope.scope.version = "0.59b0"
    trace_id = rng.randbytes(16)
    for index in range(spans):
        if index % 8 == 0:
            trace_id = rng.randbytes(16)
        span_id = rng.randbytes(8) if first_id is None else (first_id + index).to_bytes(8, "big")
        scope.spans.append(_span(rng, index, trace_id, span_id))
    return request.SerializeToString()


def _span(rng: random.Random, index: int, trace_id: bytes, span_id: bytes) -> Span:
    route, method = rng.choice(ROUTES), rng.choice(METHODS)
    start = EPOCH_NANO + index * 1_000_000 + rng.randrange(1_000_000)
    span = Span(
        trace_id=trace_id,
        span_id=span_id,
        parent_span_id=rng.randbytes(8),
        name=f"{method} {route}",
        kind=Span.SPAN_KIND_SERVER,
        start_time_unix_nano=start,
        end_time_unix_nano=start + rng.randrange(50_000_000),
        attributes=[
            attribute("http.request.method", method),
            attribute("http.route", route),
            attribute("url.path", route.replace("{id}", str(rng.randrange(1_000_000)))),
            attribute("http.response.status_code", rng.choice((200, 200, 200, 404, 500))),
            attribute("server.address", "shop.eu-1.example.com"),
            attribute("client.address", f"10.1.{rng.randrange(256)}.{rng.randrange(256)}"),
            attribute("network.protocol.version", "1.1"),
            attribute("user.authenticated", rng.random() < 0.5),
        ],
    )
    if index % 8 == 0:
        span.events.add(name="cache.miss", time_unix_nano=start, attributes=[attribute("cache.key", f"cart:{index}")])
    return span


def metrics(points: int, seed: int = 0) -> bytes:
    """An encoded ExportMetricsServiceRequest of `points` data points: metrics of ten points, one histogram in five."""
    rng = random.Random(seed)
    request = ExportMetricsServiceRequest()
    scope = request.resource_metrics.add(resource=resource(f"checkout-{seed % 4}")).scope_metrics.add()
    scope.scope.name = "opentelemetry.instrumentation.asgi"
    for index in range(points):
        if index % 10 == 0:
            metric = scope.metrics.add(name=f"http.server.metric.{index // 10}", unit="s", description="Of requests.")
        attributes = [
            attribute("http.route", rng.choice(ROUTES)),
            attribute("http.request.method", rng.choice(METHODS)),
        ]
        times = {"start_time_unix_nano": EPOCH_NANO, "time_unix_nano": EPOCH_NANO + 10_000_000_000}
        if index // 10 % 5 == 0:
            metric.histogram.aggregation_temporality = CUMULATIVE
            counts = [rng.randrange(100) for _ in range(11)]
            metric.histogram.data_points.add(
                attributes=attributes,
                count=sum(counts),
                sum=rng.random() * 100,
                bucket_counts=counts,
                explicit_bounds=[0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0],
                **times,
            )
        else:
            metric.sum.aggregation_temporality = CUMULATIVE
            metric.sum.is_monotonic = True
            metric.sum.data_points.add(attributes=attributes, as_double=rng.random() * 1000, **times)
    return request.SerializeToString()


def logs(records: int, seed: int = 0) -> bytes:
    """An encoded ExportLogsServiceRequest of `records` application log records with trace context."""
    rng = random.Random(seed)
    request = ExportLogsServiceRequest()
    scope = request.resource_logs.add(resource=resource(f"checkout-{seed % 4}")).scope_logs.add()
    scope.scope.name = "shop.checkout"
    for index in range(records):
        now = EPOCH_NANO + index * 1_000_000
        scope.log_records.add(
            time_unix_nano=now,
            observed_time_unix_nano=now + 1_000,
            severity_number=9,
            severity_text="INFO",
            body=AnyValue(string_value=f"order {rng.randrange(1_000_000)} placed, total {rng.random() * 100:.2f} EUR"),
            attributes=[
                attribute("code.function.name", "shop.checkout.place_order"),
                attribute("code.line.number", 118),
                attribute("thread.name", "MainThread"),
                attribute("customer.id", rng.randrange(1_000_000)),
            ],
            trace_id=rng.randbytes(16),
            span_id=rng.randbytes(8),
        )
    return request.SerializeToString()


MAKERS: dict[Signal, Callable[[int, int], bytes]] = {"traces": traces, "metrics": metrics, "logs": logs}
SERVICES: dict[Signal, str] = {
    "traces": "/opentelemetry.proto.collector.trace.v1.TraceService/Export",
    "metrics": "/opentelemetry.proto.collector.metrics.v1.MetricsService/Export",
    "logs": "/opentelemetry.proto.collector.logs.v1.LogsService/Export",
}
# Field numbers of the five data kinds of Metric: gauge, sum, histogram, exponential histogram, summary.
_POINT_FIELDS = (5, 7, 9, 10, 11)


class Counter:
    """Counts the spans, data points or log records of an encoded request at about 0.02 microseconds an item.

    A cut-down descriptor declares the *repeated* groups, scopes and metrics as *singular* messages: protobuf merges
    repeated occurrences of a singular message field, so a single parse ends with all records in one list of bytes.
    """

    def __init__(self, signal: Signal) -> None:
        file = descriptor_pb2.FileDescriptorProto(name=f"count_{signal}.proto", package="count", syntax="proto3")
        _message(file, "Request", (("group", 1, "Group"),))
        _message(file, "Group", (("scope", 2, "Scope"),))
        if signal == "metrics":
            _message(file, "Scope", (("metric", 2, "Metric"),))
            _message(file, "Metric", tuple((f"f{number}", number, "Points") for number in _POINT_FIELDS))
            _message(file, "Points", (("items", 1, ""),))
        else:
            _message(file, "Scope", (("items", 2, ""),))
        pool = descriptor_pool.DescriptorPool()
        pool.Add(file)
        self._class: Any = message_factory.GetMessageClass(pool.FindMessageTypeByName("count.Request"))
        self._is_metrics = signal == "metrics"

    def count(self, payload: bytes) -> int:
        """The number of items in `payload`; raises `google.protobuf.message.DecodeError` when it is malformed."""
        scope = self._class.FromString(payload).group.scope
        if self._is_metrics:
            return sum(len(getattr(scope.metric, f"f{number}").items) for number in _POINT_FIELDS)
        return len(scope.items)


def _message(file: descriptor_pb2.FileDescriptorProto, name: str, fields: tuple[tuple[str, int, str], ...]) -> None:
    message = file.message_type.add(name=name)
    kinds = descriptor_pb2.FieldDescriptorProto
    for field, number, type_name in fields:
        if type_name:
            message.field.add(
                name=field,
                number=number,
                type=kinds.TYPE_MESSAGE,
                label=kinds.LABEL_OPTIONAL,
                type_name=f".count.{type_name}",
            )
        else:
            message.field.add(name=field, number=number, type=kinds.TYPE_BYTES, label=kinds.LABEL_REPEATED)


class Numbered:
    """Trace requests whose span ids are consecutive numbers, made by patching a template: microseconds each."""

    def __init__(self, spans: int, seed: int = 0) -> None:
        first = 0x7E57_0000_0000_0000
        self._template = bytearray(traces(spans, seed, first))
        # Field 2 of Span with length 8: the tag and length make the marker unique among random bytes.
        markers = (b"\x12\x08" + (first + index).to_bytes(8, "big") for index in range(spans))
        self._offsets = [self._template.index(marker) + 2 for marker in markers]

    def request(self, first_id: int) -> bytes:
        """The encoded request whose spans are numbered from `first_id`."""
        for number, offset in enumerate(self._offsets, first_id):
            self._template[offset : offset + 8] = number.to_bytes(8, "big")
        return bytes(self._template)


def span_ids(payload: bytes) -> list[int]:
    """The span ids of an encoded trace request, as the numbers that `Numbered` put there."""
    request = ExportTraceServiceRequest.FromString(payload)
    return [
        int.from_bytes(span.span_id, "big")
        for group in request.resource_spans
        for scope in group.scope_spans
        for span in scope.spans
    ]
