"""Exemplars as Prometheus takes them: trace and span ids, and what else fits into 128 characters."""

from bisect import bisect_left
from collections.abc import Iterator, Sequence
from math import isnan
from typing import NamedTuple

from opentelemetry.proto.metrics.v1 import metrics_pb2

from ophion_agent.prometheus_names import legacy_label_name, value_text
from ophion_exporters.prometheus_series import Labels, Series

MAX_LABEL_CHARACTERS = 128


class Exemplar(NamedTuple):
    """One exemplar; `time` in Unix nanoseconds, 0 when unknown."""

    value: float
    time: int
    labels: Labels


def exemplars_of(series: Series) -> Iterator[Exemplar]:
    """Decode the exemplars that came with the last point of a series."""
    for encoded in series.exemplars:
        yield decode_exemplar(encoded)


def decode_exemplar(encoded: bytes) -> Exemplar:
    """Return an encoded OTLP exemplar; filtered attributes that would exceed the limit of OpenMetrics are left out."""
    message = metrics_pb2.Exemplar.FromString(encoded)
    labels = {}
    if message.trace_id:
        labels["trace_id"] = message.trace_id.hex()
    if message.span_id:
        labels["span_id"] = message.span_id.hex()
    room = MAX_LABEL_CHARACTERS - sum(len(name) + len(text) for name, text in labels.items())
    for attribute in message.filtered_attributes:
        name, text = legacy_label_name(attribute.key), value_text(attribute.value)
        if name not in labels and len(name) + len(text) <= room:
            labels[name] = text
            room -= len(name) + len(text)
    return Exemplar(message.as_double or message.as_int, message.time_unix_nano, tuple(labels.items()))


def latest_per_bucket(bounds: Sequence[float], series: Series) -> dict[float, Exemplar]:
    """Return upper bound -> the latest exemplar whose value falls into that bucket; the last of `bounds` is +Inf."""
    latest: dict[float, Exemplar] = {}
    for exemplar in exemplars_of(series):
        # A NaN falls into no bucket but +Inf's.
        bound = bounds[-1] if isnan(exemplar.value) else bounds[bisect_left(bounds, exemplar.value)]
        if bound not in latest or latest[bound].time <= exemplar.time:
            latest[bound] = exemplar
    return latest
