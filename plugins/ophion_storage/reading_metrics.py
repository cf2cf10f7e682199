"""Stored data points as the OTLP request they came in, encoded by the engine itself.

Where presence matters (the oneofs of Metric, NumberDataPoint and Exemplar, and optional fields) a field is declared as
an unpacked repeated one and holds at most one element: the same bytes on the wire, and zero is told from absent.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final

from ophion_storage.engine import quoted
from ophion_storage.schema import EXPONENTIAL_POINT, HISTOGRAM_POINT, number_point
from ophion_storage.wire import ATTRIBUTES, BUCKETS, METRIC_WIRES, QUANTILES

_ONE: Final = "[packed = false]"
_SCHEMA: Final = (
    METRIC_WIRES["number"]
    .schema.replace(
        "oneof value { double as_double = 3; sfixed64 as_int = 6; }",
        f"repeated double as_double = 3 {_ONE}; repeated sfixed64 as_int = 6 {_ONE};",
    )
    .replace(
        "oneof value { double as_double = 4; sfixed64 as_int = 6; }",
        f"repeated double as_double = 4 {_ONE}; repeated sfixed64 as_int = 6 {_ONE};",
    )
    .replace("optional double sum = 5;", f"repeated double sum = 5 {_ONE};")
    .replace("optional double min = 11;", f"repeated double min = 11 {_ONE};")
    .replace("optional double max = 12;", f"repeated double max = 12 {_ONE};")
    .replace("optional double min = 12;", f"repeated double min = 12 {_ONE};")
    .replace("optional double max = 13;", f"repeated double max = 13 {_ONE};")
    .replace("Gauge gauge = 5;", "repeated Gauge gauge = 5;")
    .replace("Sum sum = 7;", "repeated Sum sum = 7;")
    .replace("Histogram histogram = 9;", "repeated Histogram histogram = 9;")
    .replace("ExponentialHistogram exponential_", "repeated ExponentialHistogram exponential_")
    .replace("Summary summary = 11;", "repeated Summary summary = 11;")
)
_EXEMPLARS: Final = (
    f"Array(Tuple(filtered_attributes {ATTRIBUTES}, time_unix_nano UInt64, as_double Array(Float64), "
    "as_int Array(Int64), span_id String, trace_id String))"
)
_HEAD: Final = f"attributes {ATTRIBUTES}, start_time_unix_nano UInt64, time_unix_nano UInt64, flags UInt32"
_NUMBER: Final = f"Tuple({_HEAD}, as_double Array(Float64), as_int Array(Int64), exemplars {_EXEMPLARS})"
_HISTOGRAM: Final = (
    f"Tuple({_HEAD}, count UInt64, sum Array(Float64), bucket_counts Array(UInt64), explicit_bounds Array(Float64), "
    f"min Array(Float64), max Array(Float64), exemplars {_EXEMPLARS})"
)
_EXPONENTIAL: Final = (
    f"Tuple({_HEAD}, count UInt64, sum Array(Float64), scale Int32, zero_count UInt64, zero_threshold Float64, "
    f"positive {BUCKETS}, negative {BUCKETS}, min Array(Float64), max Array(Float64), exemplars {_EXEMPLARS})"
)
_SUMMARY: Final = f"Tuple({_HEAD}, count UInt64, sum Float64, quantile_values {QUANTILES})"
_METRIC: Final = (
    f"Tuple(name String, description String, unit String, metadata {ATTRIBUTES}, "
    f"gauge Array(Tuple(data_points Array({_NUMBER}))), "
    f"sum Array(Tuple(data_points Array({_NUMBER}), aggregation_temporality Int32, is_monotonic Bool)), "
    f"histogram Array(Tuple(data_points Array({_HISTOGRAM}), aggregation_temporality Int32)), "
    f"exponential_histogram Array(Tuple(data_points Array({_EXPONENTIAL}), aggregation_temporality Int32)), "
    f"summary Array(Tuple(data_points Array({_SUMMARY}))))"
)
_SCOPES: Final = f"Array(Tuple(metrics Array({_METRIC}), schema_url String))"
_RESOURCES: Final = f"Array(Tuple(scope_metrics {_SCOPES}, schema_url String))"

_POINT_HEAD: Final = (
    "attributes, reinterpretAsUInt64(toUnixTimestamp64Nano(p.start_time)), "
    "reinterpretAsUInt64(toUnixTimestamp64Nano(p.time)), p.flags"
)
_OPTIONAL: Final = "if(isNull({0}), [], [assumeNotNull({0})])"
_SUM, _MIN, _MAX = (_OPTIONAL.format(f"p.{name}") for name in ("sum", "min", "max"))
_NUMBER_POINT: Final = (
    f"({_POINT_HEAD}, "
    "if(p.kind = 'double', [if(bitAnd(p.flags, 1) = 1, reinterpretAsFloat64(p.int_value), p.value)], []), "
    "if(p.kind = 'int', [p.int_value], []), e.exemplars)"
)
_HISTOGRAM_POINT: Final = (
    f"({_POINT_HEAD}, p.count, {_SUM}, p.bucket_counts, p.explicit_bounds, {_MIN}, {_MAX}, e.exemplars)"
)
_EXPONENTIAL_POINT: Final = (
    f"({_POINT_HEAD}, p.count, {_SUM}, p.scale, p.zero_count, p.zero_threshold, p.positive, p.negative, {_MIN}, "
    f"{_MAX}, e.exemplars)"
)
_SUMMARY_POINT: Final = f"({_POINT_HEAD}, p.count, p.sum, p.quantile_values)"
_DESCRIPTION: Final = "resource_id, scope_id, name, description, unit, type, temporality, monotonic, metadata"
_EXEMPLAR: Final = (
    "(filtered_attributes, reinterpretAsUInt64(toUnixTimestamp64Nano(time)), "
    "if(kind = 'double', [value], []), if(kind = 'int', [int_value], []), span_id, trace_id)"
)


_EXEMPLARS_OF: Final = f"""(
    SELECT stream_id, point, groupArray({_EXEMPLAR}) AS exemplars
    FROM (SELECT * FROM exemplars ORDER BY number) GROUP BY stream_id, point
)"""
_STREAMS: Final = f"(SELECT stream_id, attributes, {_DESCRIPTION} FROM streams LIMIT 1 BY stream_id)"


@dataclass(frozen=True, slots=True)
class _Points:
    """One table of points: how to reach its streams and exemplars, and what a point of it is on the wire."""

    table: str
    key: str
    types: tuple[str, ...]
    item: str
    kind: str
    point: str = ""
    own: str = "1"

    def statement(self, where: str, order: str, limit: int) -> str:
        """Return SQL for (resource_id, scope_id, metric) with up to `limit` points."""
        exemplars = f"LEFT JOIN {_EXEMPLARS_OF} AS e ON e.stream_id = p.{self.key} AND e.point = {self.point}"
        fields = ", ".join(_field(name) if name in self.types else "[]" for name in _EXTRA)
        metric = f"(name, description, unit, metadata, {fields})"
        return f"""
SELECT resource_id, scope_id, CAST({metric}, {quoted(_METRIC)}) AS metric
FROM
(
    SELECT {_DESCRIPTION}, groupArray(item) AS items
    FROM
    (
        SELECT {_DESCRIPTION}, CAST({self.item}, {quoted(self.kind)}) AS item
        FROM {self.table} AS p
        INNER JOIN {_STREAMS} AS s ON s.stream_id = p.{self.key}
        {exemplars if self.point else ""}
        WHERE ({where}) AND {self.own}
        {f"ORDER BY {order}" if order else ""}
        LIMIT {int(limit)}
    )
    GROUP BY {_DESCRIPTION}
)"""


_EXTRA: Final[Mapping[str, str]] = MappingProxyType(
    {
        "gauge": "",
        "sum": ", temporality, monotonic",
        "histogram": ", temporality",
        "exponential_histogram": ", temporality",
        "summary": "",
    }
)
_TABLES: Final = (
    _Points(
        "samples",
        "series_id",
        ("gauge", "sum"),
        _NUMBER_POINT,
        _NUMBER,
        number_point("p.int_value"),
        "p.kind IN ('none', 'double', 'int')",
    ),
    _Points("histograms", "stream_id", ("histogram",), _HISTOGRAM_POINT, _HISTOGRAM, HISTOGRAM_POINT),
    _Points(
        "exponential_histograms",
        "stream_id",
        ("exponential_histogram",),
        _EXPONENTIAL_POINT,
        _EXPONENTIAL,
        EXPONENTIAL_POINT,
    ),
    _Points("summaries", "stream_id", ("summary",), _SUMMARY_POINT, _SUMMARY),
)


def _field(name: str) -> str:
    """Return SQL for the field of Metric that a type has: one element where the points are of that type."""
    return f"if(type = '{name}', [tuple(items{_EXTRA[name]})], [])"


def read_metrics_statement(where: str, order: str, limit: int) -> str:
    """Return the statement whose result in the format ProtobufSingle is one request with the points of `where`.

    `where` and `order` are SQL over the columns of `streams` and the times of the points (`p.start_time`, `p.time`);
    each kind of points gives up to `limit`. In place of resource and scope the request has their ids, as decimal text
    in the two `schema_url` fields.
    """
    united = " UNION ALL ".join(table.statement(where, order, limit) for table in _TABLES)
    return f"""
SELECT CAST(groupArray(group), {quoted(_RESOURCES)}) AS resource_metrics
FROM
(
    SELECT (groupArray((metrics, toString(scope_id))), toString(resource_id)) AS group
    FROM (SELECT resource_id, scope_id, groupArray(metric) AS metrics FROM ({united}) GROUP BY resource_id, scope_id)
    GROUP BY resource_id
)
"""


def read_metrics_settings() -> dict[str, str | int]:
    """Return the settings that the statement needs."""
    return {**METRIC_WIRES["number"].settings(), "format_schema": _SCHEMA, "max_threads": 1}
