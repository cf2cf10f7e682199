"""The DDL of one tenant's database: numbered SQL files with the parts that repeat filled in.

`$MergeTree` and its kin become `ReplicatedMergeTree` on a cluster. Everything else that is filled in is defined here,
so that a file and this module together say exactly what is created.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from importlib.resources import files
from string import Template
from typing import Final

from ophion_storage.wire import (
    ATTRIBUTES,
    BUCKETS,
    EVENTS,
    EXEMPLARS,
    LINKS,
    METRIC_WIRES,
    NUMBER_METRIC,
    ORIGINS,
    QUANTILES,
    WIRES,
)

_SPAN_COLUMNS: Final = f"""
    received DateTime CODEC(Delta, ZSTD(1)),
    service_name LowCardinality(String),
    resource_id UInt64,
    scope_id UInt64,
    trace_id String,
    span_id String,
    parent_span_id String,
    trace_state String,
    flags UInt32,
    name LowCardinality(String),
    kind Int32,
    start_time DateTime64(9, 'UTC'),
    duration Int64,
    status_code Int32,
    status_message String,
    attributes {ATTRIBUTES},
    dropped_attributes_count UInt32,
    events {EVENTS},
    dropped_events_count UInt32,
    links {LINKS},
    dropped_links_count UInt32""".strip()
_STREAM_COLUMNS: Final = (
    "resource_id UInt64, scope_id UInt64, name LowCardinality(String), description LowCardinality(String), "
    "unit LowCardinality(String), type Enum8('gauge' = 1, 'sum' = 2, 'histogram' = 3, 'exponential_histogram' = 4, "
    f"'summary' = 5), temporality Int32, monotonic Bool, metadata {ATTRIBUTES}"
)
_STREAM_NAMES: Final = "resource_id, scope_id, name, description, unit, type, temporality, monotonic, metadata"
_METRIC_NAMES: Final = (
    "resource_id, scope_id, m.name AS name, m.description AS description, m.unit AS unit, m.metadata AS metadata"
)
_METRIC_ID: Final = (
    "cityHash64(resource_id, scope_id, name, description, unit, type, temporality, monotonic, metadata) AS metric_id"
)
_TIMES: Final = (
    "fromUnixTimestamp64Nano(reinterpretAsInt64(p.start_time_unix_nano), 'UTC') AS start_time, "
    "fromUnixTimestamp64Nano(reinterpretAsInt64(p.time_unix_nano), 'UTC') AS time, p.flags AS flags"
)


HISTOGRAM_POINT: Final = (
    "cityHash64(p.time, p.start_time, p.flags, p.count, p.bucket_counts, p.explicit_bounds, "
    "toString((p.sum, p.min, p.max)))"
)
EXPONENTIAL_POINT: Final = (
    "cityHash64(p.time, p.start_time, p.flags, p.count, p.scale, p.zero_count, p.zero_threshold, p.positive, "
    "p.negative, toString((p.sum, p.min, p.max)))"
)


def number_point(value: str) -> str:
    """Return SQL for what tells a number point from others of its stream; `value` is its integer value."""
    return f"cityHash64(p.time, p.start_time, p.flags, CAST(p.kind, 'Int8'), if(p.kind = 'int', {value}, 0))"


def _text(value: str) -> str:
    """Return SQL for the text of an encoded string of less than 16 KiB."""
    return f"if(startsWith({value}, '\\x0A'), substring({value}, if(length({value}) < 130, 3, 4)), {value})"


def _numbers(kind: str, temporality: str, monotonic: str) -> str:
    return f"""SELECT
    now() AS received, cityHash64(metric_id, p.attributes) AS stream_id, {_STREAM_NAMES},
    p.attributes AS attributes, {_TIMES}, CAST(p.value, 'Int8') AS kind,
    if(p.value = 'as_int', toFloat64(p.as_int), p.as_double) AS value, p.as_int AS int_value, p.exemplars AS exemplars
FROM
(
    SELECT
        {_METRIC_NAMES}, '{kind}' AS type, {temporality} AS temporality, {monotonic} AS monotonic, {_METRIC_ID},
        arrayJoin(m.{kind}.data_points) AS p
    FROM numbers_metrics_in
)"""


def _metrics_of(table: str) -> str:
    """Return SQL for (resource_id, scope_id, m) of the metrics in whole requests."""
    return f"""SELECT resource_id, cityHash64(sm.scope, sm.schema_url) AS scope_id, arrayJoin(sm.metrics) AS m
FROM
(
    SELECT cityHash64(rm.resource, rm.schema_url) AS resource_id, arrayJoin(rm.scope_metrics) AS sm
    FROM (SELECT arrayJoin(resource_metrics) AS rm FROM {table})
)"""


_PARTS: Final[Mapping[str, str]] = {
    "attributes": ATTRIBUTES,
    "exemplars": EXEMPLARS,
    "number_metric": NUMBER_METRIC,
    ORIGINS.table: ORIGINS.columns,
    **{wire.table: wire.columns for wire in (*WIRES.values(), *METRIC_WIRES.values())},
    **{f"metrics_of_{kind}": _metrics_of(wire.table) for kind, wire in METRIC_WIRES.items()},
    "span_columns": _SPAN_COLUMNS,
    "stream_columns": _STREAM_COLUMNS,
    "stream_names": _STREAM_NAMES,
    "metric_names": _METRIC_NAMES,
    "metric_id": _METRIC_ID,
    "times": _TIMES,
    "time_columns": "start_time DateTime64(9, 'UTC'), time DateTime64(9, 'UTC'), flags UInt32",
    "histogram_columns": (
        "count UInt64, sum Nullable(Float64), bucket_counts Array(UInt64), explicit_bounds Array(Float64), "
        "min Nullable(Float64), max Nullable(Float64)"
    ),
    "exponential_columns": (
        "count UInt64, sum Nullable(Float64), scale Int32, zero_count UInt64, zero_threshold Float64, "
        f"positive {BUCKETS}, negative {BUCKETS}, min Nullable(Float64), max Nullable(Float64)"
    ),
    "summary_columns": f"count UInt64, sum Float64, quantile_values {QUANTILES}",
    "gauges": _numbers("gauge", "0", "false"),
    "sums": _numbers("sum", "m.sum.aggregation_temporality", "m.sum.is_monotonic"),
    "exemplar_names": (
        "received, stream_id, p.time AS point_time, number, "
        "fromUnixTimestamp64Nano(reinterpretAsInt64(e.time_unix_nano), 'UTC') AS time, CAST(e.value, 'Int8') AS kind, "
        "if(e.value = 'as_int', toFloat64(e.as_int), e.as_double) AS value, e.as_int AS int_value, "
        "e.trace_id AS trace_id, e.span_id AS span_id, e.filtered_attributes AS filtered_attributes"
    ),
    "number_point": number_point("p.int_value"),
    "histogram_point": HISTOGRAM_POINT,
    "exponential_point": EXPONENTIAL_POINT,
    "service_name": _text("rs.resource.attributes['service.name']"),
    "resource_service_name": _text("r.resource.attributes['service.name']"),
}
_ENGINES: Final = ("MergeTree", "ReplacingMergeTree", "AggregatingMergeTree")
_CREATE: Final = re.compile(r"\ACREATE (TABLE|MATERIALIZED VIEW) ")
_COMMENT: Final = re.compile(r"^\s*--.*\n", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Migration:
    """One numbered file: statements that bring a database from the version before to `version`."""

    version: int
    name: str
    statements: tuple[str, ...]


def migrations(*, replicated: bool = False) -> Iterator[Migration]:
    """Iterate over all migrations in order."""
    engines = {name: f"Replicated{name}" if replicated else name for name in _ENGINES}
    folder = files("ophion_storage") / "sql"
    for entry in sorted(folder.iterdir(), key=lambda entry: entry.name):
        number, _, name = entry.name.removesuffix(".sql").partition("_")
        text = Template(_COMMENT.sub("", entry.read_text())).substitute(_PARTS, **engines)
        statements = filter(None, (part.strip().rstrip(";") for part in text.split(";\n")))
        yield Migration(int(number), name, tuple(map(_harmless_twice, statements)))


def _harmless_twice(statement: str) -> str:
    """Return a statement that may run again, and whose table gives up whole days at once when they are over."""
    statement = _CREATE.sub(r"CREATE \1 IF NOT EXISTS ", statement)
    is_table = statement.startswith("CREATE TABLE") and "MergeTree" in statement
    return f"{statement} SETTINGS ttl_only_drop_parts = 1" if is_table else statement
