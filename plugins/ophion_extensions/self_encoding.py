"""The agent's log records and samples as OTLP."""

import logging
from collections.abc import Iterable, Mapping
from itertools import groupby
from typing import Any, Final

from ophion_agent.plugin import Logs, Metrics, Sample, fields_of

SCOPE: Final = "ophion_agent"

# Log data model, mapping of severities: the first number of each range.
_SEVERITIES: Final = {logging.DEBUG: 5, logging.INFO: 9, logging.WARNING: 13, logging.ERROR: 17, logging.CRITICAL: 21}
# otelcol sends these as sums, though they are read like gauges.
_SUMS: Final = frozenset({"otelcol_process_uptime", "otelcol_process_cpu_seconds"})
_UNITS: Final = (
    ("_spans", "{spans}"),
    ("_metric_points", "{datapoints}"),
    ("_log_records", "{records}"),
    ("_requests", "{requests}"),
    ("_queue_size", "{batches}"),
    ("_queue_capacity", "{batches}"),
    ("_seconds", "s"),
    ("_uptime", "s"),
    ("_bytes", "By"),
    ("_rss", "By"),
)

Resource = Mapping[str, str]


def encode_logs(records: Iterable[logging.LogRecord], resource: Resource, now_ns: int) -> Logs:
    """Return the records as one batch; the event's name is the body, its facts are the attributes."""
    batch = Logs.from_message(Logs.request_type())
    group = batch.edit().message.resource_logs.add()
    put_all(group.resource, resource)
    scope = group.scope_logs.add()
    scope.scope.name = SCOPE
    for record in records:
        _put_record(scope.log_records.add(), record, now_ns)
    return batch


def _put_record(target: Any, record: logging.LogRecord, now_ns: int) -> None:
    target.time_unix_nano, target.observed_time_unix_nano = round(record.created * 1e9), now_ns
    target.severity_number = _SEVERITIES.get(record.levelno, 9)
    target.severity_text = record.levelname
    target.event_name = target.body.string_value = record.getMessage()
    put_all(target, fields_of(record))
    if record.exc_info and record.exc_info[0] is not None:
        kind, error, _ = record.exc_info
        put_all(target, {"exception.type": kind.__qualname__, "exception.message": str(error)})
        put_all(target, {"exception.stacktrace": logging.Formatter().formatException(record.exc_info)})


def encode_metrics(samples: Iterable[Sample], resource: Resource, started_ns: int, now_ns: int) -> Metrics:
    """Return the samples as one batch: counters as cumulative sums since the agent's start, the others as gauges."""
    batch = Metrics.from_message(Metrics.request_type())
    group = batch.edit().message.resource_metrics.add()
    put_all(group.resource, resource)
    scope = group.scope_metrics.add()
    scope.scope.name = SCOPE
    for name, series in groupby(sorted(samples, key=lambda sample: sample.name), key=lambda sample: sample.name):
        metric = scope.metrics.add(name=name, unit=next((unit for end, unit in _UNITS if name.endswith(end)), "1"))
        _put_series(metric, list(series), started_ns, now_ns)
    return batch


def _put_series(metric: Any, series: list[Sample], started_ns: int, now_ns: int) -> None:
    if series[0].monotonic or metric.name in _SUMS:
        metric.sum.is_monotonic = True
        metric.sum.aggregation_temporality = 2  # cumulative
        points = metric.sum.data_points
    else:
        points, started_ns = metric.gauge.data_points, 0
    for sample in series:
        point = points.add(time_unix_nano=now_ns, start_time_unix_nano=started_ns)
        if isinstance(sample.value, int):
            point.as_int = sample.value
        else:
            point.as_double = sample.value
        put_all(point, dict(sample.attributes))


def put_all(owner: Any, facts: Mapping[str, Any]) -> None:
    """Add attributes to a resource, record, point or span."""
    for key, value in facts.items():
        target = owner.attributes.add(key=key).value
        if isinstance(value, bool):
            target.bool_value = value
        elif isinstance(value, int) and -(2**63) <= value < 2**63:
            target.int_value = value
        elif isinstance(value, float):
            target.double_value = value
        else:
            target.string_value = str(value)
