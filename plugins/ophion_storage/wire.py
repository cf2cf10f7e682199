"""OTLP as the engine decodes it: a protobuf schema per signal and the SQL types of what it yields.

Two declarations differ from OTLP's own .proto files and read the same bytes. Attributes (`repeated KeyValue`) are a map
from key to the *encoded* AnyValue: exact for every kind of value at any depth, and a fraction of the work of decoding
them. A log record's body is the encoded AnyValue as well. The schema travels with each INSERT, so that neither an
embedded engine nor a cluster needs files.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final

from ophion_agent import skeleton

ATTRIBUTES: Final = "Map(LowCardinality(String), String)"
_SCOPE: Final = f"Tuple(name String, version String, attributes {ATTRIBUTES}, dropped_attributes_count UInt32)"
_RESOURCE: Final = f"Tuple(attributes {ATTRIBUTES}, dropped_attributes_count UInt32, entity_refs Array(String))"

EVENTS: Final = (
    f"Array(Tuple(time_unix_nano UInt64, name LowCardinality(String), attributes {ATTRIBUTES}, "
    "dropped_attributes_count UInt32))"
)
LINKS: Final = (
    f"Array(Tuple(trace_id String, span_id String, trace_state String, attributes {ATTRIBUTES}, "
    "dropped_attributes_count UInt32, flags UInt32))"
)
_SPANS: Final = (
    "Array(Tuple(trace_id String, span_id String, trace_state String, parent_span_id String, flags UInt32, "
    "name LowCardinality(String), kind Int32, start_time_unix_nano UInt64, end_time_unix_nano UInt64, "
    f"attributes {ATTRIBUTES}, dropped_attributes_count UInt32, events {EVENTS}, dropped_events_count UInt32, "
    f"links {LINKS}, dropped_links_count UInt32, status Tuple(message String, code Int32)))"
)
_LOG_RECORDS: Final = (
    "Array(Tuple(time_unix_nano UInt64, observed_time_unix_nano UInt64, severity_number Int32, "
    f"severity_text LowCardinality(String), body String, attributes {ATTRIBUTES}, dropped_attributes_count UInt32, "
    "flags UInt32, trace_id String, span_id String, event_name LowCardinality(String)))"
)
# The member of an Enum that is named like a oneof tells which of its fields came, and zero from absent.
EXEMPLARS: Final = (
    f"Array(Tuple(filtered_attributes {ATTRIBUTES}, time_unix_nano UInt64, "
    "value Enum8('none' = 0, 'as_double' = 3, 'as_int' = 6), as_double Float64, as_int Int64, span_id String, "
    "trace_id String))"
)
_NUMBERS: Final = (
    f"Array(Tuple(attributes {ATTRIBUTES}, start_time_unix_nano UInt64, time_unix_nano UInt64, "
    "value Enum8('none' = 0, 'as_double' = 4, 'as_int' = 6), as_double Float64, as_int Int64, "
    f"exemplars {EXEMPLARS}, flags UInt32))"
)
_HISTOGRAMS: Final = (
    f"Array(Tuple(attributes {ATTRIBUTES}, start_time_unix_nano UInt64, time_unix_nano UInt64, count UInt64, "
    "sum Nullable(Float64), bucket_counts Array(UInt64), explicit_bounds Array(Float64), "
    f"exemplars {EXEMPLARS}, flags UInt32, min Nullable(Float64), max Nullable(Float64)))"
)
BUCKETS: Final = "Tuple(offset Int32, bucket_counts Array(UInt64))"
_EXPONENTIAL: Final = (
    f"Array(Tuple(attributes {ATTRIBUTES}, start_time_unix_nano UInt64, time_unix_nano UInt64, count UInt64, "
    f"sum Nullable(Float64), scale Int32, zero_count UInt64, positive {BUCKETS}, negative {BUCKETS}, flags UInt32, "
    f"exemplars {EXEMPLARS}, min Nullable(Float64), max Nullable(Float64), zero_threshold Float64))"
)
QUANTILES: Final = "Array(Tuple(quantile Float64, value Float64))"
_SUMMARIES: Final = (
    f"Array(Tuple(attributes {ATTRIBUTES}, start_time_unix_nano UInt64, time_unix_nano UInt64, count UInt64, "
    f"sum Float64, quantile_values {QUANTILES}, flags UInt32))"
)
_METRIC: Final = (
    "Tuple(name LowCardinality(String), description LowCardinality(String), unit LowCardinality(String), "
    f"{{}}, metadata {ATTRIBUTES})"
)
NUMBER_METRIC: Final = _METRIC.format(
    f"gauge Tuple(data_points {_NUMBERS}), "
    f"sum Tuple(data_points {_NUMBERS}, aggregation_temporality Int32, is_monotonic Bool)"
)
_HISTOGRAM_METRIC: Final = _METRIC.format(f"histogram Tuple(data_points {_HISTOGRAMS}, aggregation_temporality Int32)")
_EXPONENTIAL_METRIC: Final = _METRIC.format(
    f"exponential_histogram Tuple(data_points {_EXPONENTIAL}, aggregation_temporality Int32)"
)
_SUMMARY_METRIC: Final = _METRIC.format(f"summary Tuple(data_points {_SUMMARIES})")


def _resources(signal: str, scopes: str, items: str) -> str:
    inner = f"Array(Tuple(scope {_SCOPE}, {items}, schema_url String))"
    return f"resource_{signal} Array(Tuple(resource {_RESOURCE}, {scopes} {inner}, schema_url String))"


_COMMON_PROTO: Final = """
message Resource {
  map<string, bytes> attributes = 1; uint32 dropped_attributes_count = 2; repeated bytes entity_refs = 3;
}
message Scope {
  string name = 1; string version = 2; map<string, bytes> attributes = 3; uint32 dropped_attributes_count = 4;
}
"""
_TRACES_PROTO: Final = """
message Event {
  fixed64 time_unix_nano = 1; string name = 2; map<string, bytes> attributes = 3; uint32 dropped_attributes_count = 4;
}
message Link {
  bytes trace_id = 1; bytes span_id = 2; string trace_state = 3; map<string, bytes> attributes = 4;
  uint32 dropped_attributes_count = 5; fixed32 flags = 6;
}
message Status { string message = 2; int32 code = 3; }
message Span {
  bytes trace_id = 1; bytes span_id = 2; string trace_state = 3; bytes parent_span_id = 4; fixed32 flags = 16;
  string name = 5; int32 kind = 6; fixed64 start_time_unix_nano = 7; fixed64 end_time_unix_nano = 8;
  map<string, bytes> attributes = 9; uint32 dropped_attributes_count = 10; repeated Event events = 11;
  uint32 dropped_events_count = 12; repeated Link links = 13; uint32 dropped_links_count = 14; Status status = 15;
}
message ScopeSpans { Scope scope = 1; repeated Span spans = 2; string schema_url = 3; }
message ResourceSpans { Resource resource = 1; repeated ScopeSpans scope_spans = 2; string schema_url = 3; }
message Request { repeated ResourceSpans resource_spans = 1; }
"""
_LOGS_PROTO: Final = """
message LogRecord {
  fixed64 time_unix_nano = 1; fixed64 observed_time_unix_nano = 11; int32 severity_number = 2; string severity_text = 3;
  bytes body = 5; map<string, bytes> attributes = 6; uint32 dropped_attributes_count = 7; fixed32 flags = 8;
  bytes trace_id = 9; bytes span_id = 10; string event_name = 12;
}
message ScopeLogs { Scope scope = 1; repeated LogRecord log_records = 2; string schema_url = 3; }
message ResourceLogs { Resource resource = 1; repeated ScopeLogs scope_logs = 2; string schema_url = 3; }
message Request { repeated ResourceLogs resource_logs = 1; }
"""
_METRICS_PROTO: Final = """
message Exemplar {
  map<string, bytes> filtered_attributes = 7; fixed64 time_unix_nano = 2;
  oneof value { double as_double = 3; sfixed64 as_int = 6; } bytes span_id = 4; bytes trace_id = 5;
}
message NumberDataPoint {
  map<string, bytes> attributes = 7; fixed64 start_time_unix_nano = 2; fixed64 time_unix_nano = 3;
  oneof value { double as_double = 4; sfixed64 as_int = 6; } repeated Exemplar exemplars = 5; uint32 flags = 8;
}
message HistogramDataPoint {
  map<string, bytes> attributes = 9; fixed64 start_time_unix_nano = 2; fixed64 time_unix_nano = 3; fixed64 count = 4;
  optional double sum = 5; repeated fixed64 bucket_counts = 6; repeated double explicit_bounds = 7;
  repeated Exemplar exemplars = 8; uint32 flags = 10; optional double min = 11; optional double max = 12;
}
message Buckets { sint32 offset = 1; repeated uint64 bucket_counts = 2; }
message ExponentialHistogramDataPoint {
  map<string, bytes> attributes = 1; fixed64 start_time_unix_nano = 2; fixed64 time_unix_nano = 3; fixed64 count = 4;
  optional double sum = 5; sint32 scale = 6; fixed64 zero_count = 7; Buckets positive = 8; Buckets negative = 9;
  uint32 flags = 10; repeated Exemplar exemplars = 11; optional double min = 12; optional double max = 13;
  double zero_threshold = 14;
}
message ValueAtQuantile { double quantile = 1; double value = 2; }
message SummaryDataPoint {
  map<string, bytes> attributes = 7; fixed64 start_time_unix_nano = 2; fixed64 time_unix_nano = 3; fixed64 count = 4;
  double sum = 5; repeated ValueAtQuantile quantile_values = 6; uint32 flags = 8;
}
message Gauge { repeated NumberDataPoint data_points = 1; }
message Sum { repeated NumberDataPoint data_points = 1; int32 aggregation_temporality = 2; bool is_monotonic = 3; }
message Histogram { repeated HistogramDataPoint data_points = 1; int32 aggregation_temporality = 2; }
message ExponentialHistogram {
  repeated ExponentialHistogramDataPoint data_points = 1; int32 aggregation_temporality = 2;
}
message Summary { repeated SummaryDataPoint data_points = 1; }
message Metric {
  string name = 1; string description = 2; string unit = 3; Gauge gauge = 5; Sum sum = 7; Histogram histogram = 9;
  ExponentialHistogram exponential_histogram = 10; Summary summary = 11; map<string, bytes> metadata = 12;
}
message ScopeMetrics { Scope scope = 1; repeated Metric metrics = 2; string schema_url = 3; }
message ResourceMetrics { Resource resource = 1; repeated ScopeMetrics scope_metrics = 2; string schema_url = 3; }
message Request { repeated ResourceMetrics resource_metrics = 1; }
"""


@dataclass(frozen=True, slots=True)
class Wire:
    """How one signal comes in: the Null-engine table that takes whole requests, its columns and the schema."""

    table: str
    columns: str
    schema: str

    def settings(self) -> dict[str, str | int]:
        """Return the settings of a statement that reads or writes the format ProtobufSingle."""
        return {
            "format_schema_source": "string",
            "format_schema": self.schema,
            "format_schema_message_name": "Request",
            "input_format_protobuf_oneof_presence": 1,
        }

    def insert_settings(self) -> dict[str, str | int]:
        """Return the settings of an INSERT in the format ProtobufSingle.

        The views behind a table are planned with every insert, and half of that was a search for better plans, of which
        there are none. Rows are grouped by the views, and their tables do it again when they merge.
        """
        return {**self.settings(), "query_plan_enable_optimizations": 0, "optimize_on_insert": 0}


def _schema(proto: str) -> str:
    return 'syntax = "proto3";' + " ".join((_COMMON_PROTO + proto).split())


def _metrics(table: str, metric: str) -> Wire:
    return Wire(table, _resources("metrics", "scope_metrics", f"metrics Array({metric})"), _schema(_METRICS_PROTO))


# Metrics come in by what kind they are, because each insert plans the views behind its table, and most requests have
# one or two kinds. What a table has no column for is skipped.
METRIC_WIRES: Final[Mapping[str, Wire]] = MappingProxyType(
    {
        "number": _metrics("otlp_numbers", NUMBER_METRIC),
        "histogram": _metrics("otlp_histograms", _HISTOGRAM_METRIC),
        "exponential_histogram": _metrics("otlp_exponential_histograms", _EXPONENTIAL_METRIC),
        "summary": _metrics("otlp_summaries", _SUMMARY_METRIC),
    }
)
WIRES: Final[Mapping[str, Wire]] = MappingProxyType(
    {
        "traces": Wire("otlp_traces", _resources("spans", "scope_spans", f"spans {_SPANS}"), _schema(_TRACES_PROTO)),
        "logs": Wire(
            "otlp_logs", _resources("logs", "scope_logs", f"log_records {_LOG_RECORDS}"), _schema(_LOGS_PROTO)
        ),
    }
)


def wires_of(signal: str, payload: bytes) -> list[Wire]:
    """Return how an encoded request goes in: metrics once for each kind that they have points of."""
    if signal != "metrics":
        return [WIRES[signal]]
    kinds = {"number" if kind in ("gauge", "sum") else kind for kind in skeleton.metric_kinds(payload)}
    return [wire for kind, wire in METRIC_WIRES.items() if kind in kinds]


# Every signal numbers resource, scope and schema URLs alike, so one declaration reads the origins of all.
ORIGINS: Final = Wire(
    "otlp_origins",
    f"groups Array(Tuple(resource {_RESOURCE}, scopes Array(Tuple(scope {_SCOPE}, schema_url String)), "
    "schema_url String))",
    _schema(
        """
message ScopeGroup { Scope scope = 1; string schema_url = 3; }
message ResourceGroup { Resource resource = 1; repeated ScopeGroup scopes = 2; string schema_url = 3; }
message Request { repeated ResourceGroup groups = 1; }
"""
    ),
)
