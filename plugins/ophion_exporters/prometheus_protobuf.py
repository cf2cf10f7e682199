"""The protobuf format: length-delimited io.prometheus.client.MetricFamily messages, the one that has native histograms.

Written straight to the wire (https://protobuf.dev/programming-guides/encoding/): labels are encoded once for each
series, and no message classes for the format need to ship. Field numbers are those of prometheus/client_model.
"""

import struct
from collections.abc import Iterable, Iterator
from math import inf

from ophion_agent.otlp_writing import varint
from ophion_agent.prometheus_names import Kind
from ophion_exporters.prometheus_buckets import MIN_SCALE, classic_buckets, explicit_buckets, spans_and_deltas
from ophion_exporters.prometheus_exemplars import Exemplar, exemplars_of, latest_per_bucket
from ophion_exporters.prometheus_exposition import Entry, Format, escape_labels, plan
from ophion_exporters.prometheus_families import Family
from ophion_exporters.prometheus_series import HistogramSeries, NativeSeries, NumberSeries, Series, SummarySeries

# A native histogram needs one above 0 to be told from a classic one; this is what otelcol takes.
DEFAULT_ZERO_THRESHOLD = 1e-128

TYPE_NUMBERS = {Kind.COUNTER: 0, Kind.GAUGE: 1, Kind.SUMMARY: 2, Kind.UNTYPED: 3, Kind.HISTOGRAM: 4}
VALUE_FIELDS = {Kind.GAUGE: 2, Kind.COUNTER: 3, Kind.UNTYPED: 5}

_pack_double = struct.Struct("<d").pack


def render_protobuf(families: Iterable[Family], layout: Format) -> Iterator[bytes]:
    """Iterate over the exposition, one delimited message for each family."""
    for entry in plan(families, layout):
        message = _family(entry, layout)
        yield varint(len(message)) + message


def _family(entry: Entry, layout: Format) -> bytes:
    family = entry.family
    parts = [text_field(1, entry.name), text_field(2, family.help), uint_field(3, TYPE_NUMBERS[family.kind])]
    seen: set[bytes] = set()
    for series in list(family.series.values()):
        labels = _labels(series, layout.utf8)
        if labels in seen:
            continue
        seen.add(labels)
        time = uint_field(6, series.time // 1_000_000) if layout.timestamps and series.time else b""
        parts.append(field(4, labels + _value(family.kind, series) + time))
    return b"".join(parts)


def _labels(series: Series, utf8: bool) -> bytes:
    if series.wire is None or utf8:
        labels = series.labels if utf8 else escape_labels(series.labels)
        wire = b"".join(_label(name, text) for name, text in labels)
        if utf8:
            return wire
        series.wire = wire
    return series.wire


def _label(name: str, text: str) -> bytes:
    return field(1, text_field(1, name) + text_field(2, text))


def _value(kind: Kind, series: Series) -> bytes:
    if isinstance(series, NumberSeries):
        value = double_field(1, series.value)
        if kind is Kind.COUNTER:
            exemplar = next(exemplars_of(series), None)
            value += (_exemplar(2, exemplar) if exemplar else b"") + _created(3, series)
        return field(VALUE_FIELDS[kind], value)
    if isinstance(series, SummarySeries):
        return field(4, _summary(series))
    return field(7, _histogram(series)) if isinstance(series, HistogramSeries | NativeSeries) else b""


def _summary(series: SummarySeries) -> bytes:
    quantiles = [field(3, double_field(1, quantile) + double_field(2, value)) for quantile, value in series.quantiles]
    totals = uint_field(1, series.count) + double_field(2, series.sum)
    return totals + b"".join(quantiles) + _created(4, series)


def _histogram(series: HistogramSeries | NativeSeries) -> bytes:
    if isinstance(series, NativeSeries):
        buckets, native = classic_buckets(series.buckets), _native(series)
        total = series.count
    else:
        buckets, native = explicit_buckets(series.bounds, series.counts), b""
        total = max(series.count, sum(series.counts))
    # Classic buckets beside the native ones serve the servers that ask for protobuf without wanting native histograms.
    buckets.append((inf, max(total, buckets[-1][1] if buckets else 0)))
    found = latest_per_bucket([bound for bound, _ in buckets], series) if series.exemplars else {}
    parts = [uint_field(1, buckets[-1][1]), double_field(2, series.sum or 0.0)]
    for bound, count in buckets:
        exemplar = _exemplar(3, found[bound]) if bound in found else b""
        parts.append(field(3, uint_field(1, count) + double_field(2, bound) + exemplar))
    return b"".join(parts) + native + _created(15, series)


def _native(series: NativeSeries) -> bytes:
    buckets = series.buckets
    if buckets.scale < MIN_SCALE:
        return b""
    parts = [
        uint_field(5, zigzag(buckets.scale)),
        double_field(6, buckets.zero_threshold or DEFAULT_ZERO_THRESHOLD),
        uint_field(7, buckets.zero_count),
    ]
    for side, span_field in ((buckets.negative, 9), (buckets.positive, 12)):
        spans, deltas = spans_and_deltas(side)
        parts += [field(span_field, uint_field(1, zigzag(gap)) + uint_field(2, length)) for gap, length in spans]
        parts.append(field(span_field + 1, b"".join(varint(zigzag(delta)) for delta in deltas)) if deltas else b"")
    parts += [_exemplar(16, exemplar) for exemplar in exemplars_of(series) if exemplar.time]
    return b"".join(parts)


def _exemplar(number: int, exemplar: Exemplar) -> bytes:
    labels = b"".join(_label(name, text) for name, text in exemplar.labels)
    time = _timestamp(3, exemplar.time) if exemplar.time else b""
    return field(number, labels + double_field(2, exemplar.value) + time)


def _created(number: int, series: Series) -> bytes:
    return _timestamp(number, series.start) if series.start else b""


def _timestamp(number: int, unix_nano: int) -> bytes:
    return field(number, uint_field(1, unix_nano // 1_000_000_000) + uint_field(2, unix_nano % 1_000_000_000))


def zigzag(value: int) -> int:
    """Return a signed integer as sint32 and sint64 carry it."""
    return value * 2 if value >= 0 else -value * 2 - 1


def field(number: int, content: bytes) -> bytes:
    """Return a length-delimited field."""
    return varint(number << 3 | 2) + varint(len(content)) + content


def text_field(number: int, text: str) -> bytes:
    """Return a string field."""
    return field(number, text.encode("utf-8", "replace"))


def uint_field(number: int, value: int) -> bytes:
    """Return a varint field."""
    return varint(number << 3) + varint(value)


def double_field(number: int, value: float) -> bytes:
    """Return a double field."""
    return varint(number << 3 | 1) + _pack_double(value)
