"""Native histograms in plain Python: how they are sent, and what Prometheus 3 makes of them, bucket by bucket."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import pairwise

from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest

from benchmarks.remote_write import varint


@dataclass(frozen=True)
class Histogram:
    """One point; `at` and `began` are milliseconds, buckets have OTLP's indexes."""

    at: int
    scale: int
    positive: Mapping[int, float]
    negative: Mapping[int, float] = field(default_factory=dict)
    zero: float = 0
    total: float | None = 0.0
    threshold: float = 0.0
    began: int = 1
    stale: bool = False

    @property
    def count(self) -> float:
        return sum(self.positive.values()) + sum(self.negative.values()) + self.zero


def request(
    name: str, service: str, points: Sequence[Histogram], *, unit: str = "s", delta: bool = False
) -> ExportMetricsServiceRequest:
    """Return the points of one stream as OTLP."""
    made = ExportMetricsServiceRequest()
    group = made.resource_metrics.add()
    group.resource.attributes.add(key="service.name").value.string_value = service
    metric = group.scope_metrics.add().metrics.add(name=name, unit=unit)
    metric.exponential_histogram.aggregation_temporality = 1 if delta else 2
    for point in points:
        sent = metric.exponential_histogram.data_points.add(
            time_unix_nano=point.at * 1_000_000, start_time_unix_nano=point.began * 1_000_000, flags=int(point.stale)
        )
        sent.count, sent.scale, sent.zero_count = int(point.count), point.scale, int(point.zero)
        sent.zero_threshold = point.threshold
        if point.total is not None:
            sent.sum = point.total
        for side, buckets in ((sent.positive, point.positive), (sent.negative, point.negative)):
            if buckets:
                side.offset = min(buckets)
                side.bucket_counts.extend(int(buckets.get(k, 0)) for k in range(min(buckets), max(buckets) + 1))
    return made


def coarser(buckets: Mapping[int, float], by: int) -> Counter[int]:
    found: Counter[int] = Counter()
    for index, count in buckets.items():
        found[index >> by] += count  # type: ignore[assignment]
    return found


def combined(parts: Sequence[tuple[Histogram, float]]) -> Histogram:
    """Return the weighted sum of histograms, at the scale of the coarsest and never finer than 8."""
    scale = min(8, *(part.scale for part, _ in parts), 8)
    sides: list[dict[int, float]] = [{}, {}]
    for part, weight in parts:
        for side, buckets in zip(sides, (part.positive, part.negative), strict=True):
            for index, count in coarser(buckets, part.scale - scale).items():
                side[index] = side.get(index, 0.0) + weight * count
    positive, negative = ({k: c for k, c in side.items() if abs(c) > 1e-9} for side in sides)
    return replace(
        parts[0][0],
        scale=scale,
        positive=positive,
        negative=negative,
        zero=sum(weight * part.zero for part, weight in parts),
        total=sum(weight * (part.total or 0.0) for part, weight in parts),
        threshold=max(part.threshold for part, _ in parts),
    )


def grown(points: Sequence[Histogram], end: int, width: int, *, per_second: bool) -> Histogram | None:
    """Return `rate` or `increase` at a time: pair by pair, a point after a reset counts whole."""
    inside = [point for point in points if end - width < point.at <= end and not point.stale]
    if len(inside) < 2:
        return None
    parts: list[tuple[Histogram, float]] = []
    for before, after in pairwise(inside):
        was_reset = after.count < before.count or after.began != before.began
        parts += [(after, 1.0)] if was_reset else [(after, 1.0), (before, -1.0)]
    more = sum(part.count * weight for part, weight in parts)
    factor = _extrapolation(inside, more, end, width) / (width / 1000 if per_second else 1)
    return combined([(part, weight * factor) for part, weight in parts])


def _extrapolation(inside: Sequence[Histogram], more: float, end: int, width: int) -> float:
    between = (inside[-1].at - inside[0].at) / 1000
    average = between / (len(inside) - 1)
    start, after = (inside[0].at - (end - width)) / 1000, (end - inside[-1].at) / 1000
    start = average / 2 if start >= average * 1.1 else start
    if more > 0:
        start = min(start, between * inside[0].count / more)
    after = average / 2 if after >= average * 1.1 else after
    return (between + start + after) / between


def bounds(histogram: Histogram) -> list[tuple[float, float, float]]:
    """Return (lower, upper, count) of the populated buckets in order."""

    def bound(index: int) -> float:
        return float(2.0 ** (index * 2.0**-histogram.scale))

    negative = [(-bound(k + 1), -bound(k), c) for k, c in sorted(histogram.negative.items(), reverse=True)]
    positive = [(bound(k), bound(k + 1), c) for k, c in sorted(histogram.positive.items())]
    low = 0.0 if positive and not negative else -histogram.threshold
    high = 0.0 if negative and not positive else histogram.threshold
    zero = [(low, high, histogram.zero)] if histogram.zero else []
    return [*negative, *zero, *positive]


def quantile(share: float, histogram: Histogram) -> float:
    """Return what Prometheus 3 answers, walking from the nearer end."""
    if not 0 <= share <= 1:
        return math.inf if share > 1 else -math.inf
    if not histogram.count:
        return math.nan
    buckets = bounds(histogram)
    upwards = share < 0.5
    rank = (share if upwards else 1 - share) * histogram.count
    reached, (low, high, count) = 0.0, buckets[0]
    for bucket in buckets if upwards else reversed(buckets):
        low, high, count = bucket
        reached += count
        if reached >= rank:
            break
    inside = (rank - (reached - count) if upwards else reached - rank) / count
    if low <= 0 <= high:
        return low + (high - low) * inside
    if low > 0:
        return low * (high / low) ** inside
    return -(-high * (low / high) ** (1 - inside))


def fraction(lower: float, upper: float, histogram: Histogram) -> float:
    """Return the share of observations between two values."""
    return (_below(upper, histogram) - _below(lower, histogram)) / histogram.count


def _below(value: float, histogram: Histogram) -> float:
    rank = 0.0
    for low, high, count in bounds(histogram):
        if low >= value:
            return rank
        if high > value:
            if low <= 0 <= high:
                return rank + count * (value - low) / (high - low)
            near, far = (low, high) if value > 0 else (high, low)
            part = math.log(value / near) / math.log(far / near)
            return rank + count * (part if value > 0 else 1 - part)
        rank += count
    return histogram.count


def remote_written(labels: Mapping[str, str], points: Sequence[Histogram]) -> bytes:
    """Return a prometheus.WriteRequest with native histograms of whole counts."""
    series = b"".join(
        _field(1, _field(1, name.encode()) + _field(2, value.encode())) for name, value in sorted(labels.items())
    )
    return _field(1, series + b"".join(_field(4, _native(point)) for point in points))


def _native(point: Histogram) -> bytes:
    import struct

    encoded = _number(1, int(point.count)) + b"\x19" + struct.pack("<d", point.total or 0.0)
    encoded += _number(4, _zigzag(point.scale)) + b"\x29" + struct.pack("<d", point.threshold)
    encoded += _number(6, int(point.zero))
    for spans, deltas, buckets in ((8, 9, point.negative), (11, 12, point.positive)):
        if buckets:
            first, last = min(buckets), max(buckets)
            encoded += _field(spans, _number(1, _zigzag(first + 1)) + _number(2, last - first + 1))
            counts = [0, *(int(buckets.get(k, 0)) for k in range(first, last + 1))]
            encoded += _field(deltas, b"".join(varint(_zigzag(b - a)) for a, b in pairwise(counts)))
    return encoded + _number(15, point.at)


def _zigzag(value: int) -> int:
    return 2 * value if value >= 0 else -2 * value - 1


def _number(number: int, value: int) -> bytes:
    return varint(number << 3) + varint(value)


def _field(number: int, payload: bytes) -> bytes:
    return varint(number << 3 | 2) + varint(len(payload)) + payload
