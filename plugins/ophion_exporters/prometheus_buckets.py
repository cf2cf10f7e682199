"""Bucket arithmetic: exponential histograms as native and as classic Prometheus buckets, explicit bounds made regular.

OTLP bucket `i` of scale `s` holds the values in `(base**i, base**(i+1)]` with `base = 2**(2**-s)`. Prometheus numbers a
bucket by its upper bound, one higher. Both halve their resolution when neighbours of one pair are added up.
"""

from collections.abc import Sequence
from functools import lru_cache
from itertools import accumulate, pairwise
from math import inf, isfinite, isnan
from typing import Any

Buckets = dict[int, int]

MAX_SCALE = 8
MIN_SCALE = -4
MAX_BUCKETS = 320
CLASSIC_SCALE = 0


class Exponential:
    """The buckets of an exponential histogram, sparse: index -> count, at one scale.

    It holds at most `MAX_BUCKETS` buckets per sign and no scale above `MAX_SCALE`, the finest that Prometheus takes;
    finer or larger input loses resolution, never counts.
    """

    __slots__ = ("negative", "positive", "scale", "zero_count", "zero_threshold")

    def __init__(
        self, scale: int, positive: Buckets, negative: Buckets, zero_count: int = 0, zero_threshold: float = 0.0
    ) -> None:
        self.scale = scale
        self.positive = positive
        self.negative = negative
        self.zero_count = zero_count
        self.zero_threshold = zero_threshold
        self._bound()

    @classmethod
    def of_point(cls, point: Any) -> "Exponential":
        """Return the buckets of an ExponentialHistogramDataPoint."""
        positive, negative = _sparse(point.positive), _sparse(point.negative)
        return cls(point.scale, positive, negative, point.zero_count, point.zero_threshold)

    def add(self, other: "Exponential") -> None:
        """Add the counts of another histogram, at the coarser of the two scales."""
        scale = min(self.scale, other.scale)
        self._downscale(self.scale - scale)
        for mine, theirs in ((self.positive, other.positive), (self.negative, other.negative)):
            for index, count in downscaled(theirs, other.scale - scale).items():
                mine[index] = mine.get(index, 0) + count
        self.zero_count += other.zero_count
        self.zero_threshold = max(self.zero_threshold, other.zero_threshold)
        self._bound()

    def _bound(self) -> None:
        if self.scale > MAX_SCALE:
            self._downscale(self.scale - MAX_SCALE)
        while max(len(self.positive), len(self.negative)) > MAX_BUCKETS:
            self._downscale(1)

    def _downscale(self, steps: int) -> None:
        if steps:
            self.positive = downscaled(self.positive, steps)
            self.negative = downscaled(self.negative, steps)
            self.scale -= steps


def _sparse(buckets: Any) -> Buckets:
    return {index: count for index, count in enumerate(buckets.bucket_counts, buckets.offset) if count}


def downscaled(buckets: Buckets, steps: int) -> Buckets:
    """Return the buckets at a scale lower by `steps`: each merges 2**steps neighbours."""
    if steps <= 0:
        return buckets
    merged: Buckets = {}
    for index, count in buckets.items():
        merged[index >> steps] = merged.get(index >> steps, 0) + count
    return merged


def spans_and_deltas(buckets: Buckets) -> tuple[list[tuple[int, int]], list[int]]:
    """Return the spans (gap to the previous span, length) and count deltas of the Prometheus protobuf format."""
    spans: list[tuple[int, int]] = []
    deltas: list[int] = []
    expected, previous = 0, 0
    for index in sorted(buckets):
        number, count = index + 1, buckets[index]
        if spans and number == expected:
            spans[-1] = (spans[-1][0], spans[-1][1] + 1)
        else:
            spans.append((number - expected, 1))
        deltas.append(count - previous)
        expected, previous = number + 1, count
    return spans, deltas


def classic_buckets(buckets: Exponential) -> list[tuple[float, int]]:
    """Return (upper bound, cumulative count) at the powers of two, for formats without native histograms.

    The scale is fixed at 0 (lower only for coarser input), so that the bounds, which are labels, do not change when a
    sender rescales. Only bounds next to an occupied bucket appear; +Inf is left to the caller.
    """
    steps = max(buckets.scale - CLASSIC_SCALE, 0)
    scale = buckets.scale - steps
    counts: dict[float, int] = {}
    for index, count in downscaled(buckets.negative, steps).items():
        _count_at(counts, -_bound_of(index, scale), count)
    if buckets.zero_count:
        _count_at(counts, buckets.zero_threshold, buckets.zero_count)
    for index, count in downscaled(buckets.positive, steps).items():
        _count_at(counts, _bound_of(index, scale), 0)
        _count_at(counts, _bound_of(index + 1, scale), count)
    bounds = sorted(bound for bound in counts if bound < inf)
    return list(zip(bounds, accumulate(counts[bound] for bound in bounds), strict=True))


def _count_at(counts: dict[float, int], bound: float, count: int) -> None:
    counts[bound] = counts.get(bound, 0) + count


def _bound_of(index: int, scale: int) -> float:
    try:
        return float(2.0 ** (index * 2.0**-scale))
    except OverflowError:
        return inf


def explicit_buckets(bounds: tuple[float, ...], counts: Sequence[int]) -> list[tuple[float, int]]:
    """Return (upper bound, cumulative count) of explicit bounds, without +Inf.

    Bounds that a sender left unsorted, repeated, NaN or infinite are put right, as otelcol does.
    """
    if _regular(bounds):
        return list(zip(bounds, accumulate(counts), strict=False))
    merged: dict[float, int] = {}
    for bound, count in zip(bounds, counts, strict=False):
        if not isnan(bound):
            merged[bound] = merged.get(bound, 0) + count
    ordered = sorted(merged)
    cumulative = accumulate(merged[bound] for bound in ordered)
    return [(bound, total) for bound, total in zip(ordered, cumulative, strict=True) if bound != inf]


@lru_cache(maxsize=1024)
def _regular(bounds: tuple[float, ...]) -> bool:
    return all(map(isfinite, bounds)) and all(low < high for low, high in pairwise(bounds))
