"""Series: the last cumulative state of one Prometheus series, and how a data point changes it.

Each `set_*` and `add_*` function applies one point and returns False when the point is older than what the series holds
and must be dropped. `set_*` is for gauges and cumulative points; `add_*` turns deltas into cumulative values: a point
that starts where the last one ended is added, one that starts elsewhere begins the series anew.
"""

from typing import Any

from ophion_exporters.prometheus_buckets import Exponential

Labels = tuple[tuple[str, str], ...]

NEVER = float("-inf")
MAX_EXEMPLARS = 64


class Series:
    """One series: sorted `labels`, times in Unix nanoseconds, `updated` in seconds of the monotonic clock.

    `text`, `escaped_text` and `wire` hold its labels as the renderers encode them, once they have.
    """

    __slots__ = ("escaped_text", "exemplars", "labels", "start", "text", "time", "updated", "wire")

    def __init__(self, labels: Labels) -> None:
        self.labels = labels
        self.time = 0
        self.start = 0
        self.updated = NEVER
        self.exemplars: list[bytes] = []
        self.text: str | None = None
        self.escaped_text: str | None = None
        self.wire: bytes | None = None

    def forget(self) -> None:
        """Take the series out of exposition and let the next point begin it anew (OTLP's NoRecordedValue)."""
        self.updated = NEVER
        self.time = self.start = 0


class NumberSeries(Series):
    """A gauge or a counter."""

    __slots__ = ("value",)

    def __init__(self, labels: Labels) -> None:
        super().__init__(labels)
        self.value: float = 0


class HistogramSeries(Series):
    """A histogram with explicit bounds; `counts` are per bucket, not cumulative; `sum` is None where none was sent."""

    __slots__ = ("bounds", "count", "counts", "sum")

    def __init__(self, labels: Labels) -> None:
        super().__init__(labels)
        self.count = 0
        self.sum: float | None = None
        self.bounds: tuple[float, ...] = ()
        self.counts: list[int] = []


class NativeSeries(Series):
    """An exponential histogram."""

    __slots__ = ("buckets", "count", "sum")

    def __init__(self, labels: Labels) -> None:
        super().__init__(labels)
        self.count = 0
        self.sum: float | None = None
        self.buckets = Exponential(0, {}, {})


class SummarySeries(Series):
    """A summary: (quantile, value) pairs with count and sum."""

    __slots__ = ("count", "quantiles", "sum")

    def __init__(self, labels: Labels) -> None:
        super().__init__(labels)
        self.count = 0
        self.sum: float = 0
        self.quantiles: list[tuple[float, float]] = []


def set_number(series: NumberSeries, point: Any) -> bool:
    """Take over the value of a gauge or a cumulative sum."""
    time = point.time_unix_nano
    if time < series.time:
        return False
    # The unset member of the oneof reads as 0, so this is the value without asking which one is set.
    series.value = point.as_double or point.as_int
    series.time = time
    series.start = point.start_time_unix_nano
    exemplars = point.exemplars
    series.exemplars = [exemplars[-1]] if exemplars else []
    return True


def add_number(series: NumberSeries, point: Any) -> bool:
    """Add the value of a delta sum."""
    before, start = series.value, series.start
    continues = _continues(series, point)
    if not set_number(series, point):
        return False
    if continues:
        series.value += before
        series.start = start
    return True


def set_histogram(series: HistogramSeries, point: Any) -> bool:
    """Take over a cumulative histogram."""
    if point.time_unix_nano < series.time:
        return False
    _take_times(series, point)
    series.count = point.count
    series.sum = point.sum if point.HasField("sum") else None
    series.bounds = tuple(point.explicit_bounds)
    series.counts = list(point.bucket_counts)
    return True


def add_histogram(series: HistogramSeries, point: Any) -> bool:
    """Add a delta histogram; changed bounds begin the series anew."""
    if _overlaps(series, point):
        return False
    if not _continues(series, point) or series.bounds != tuple(point.explicit_bounds):
        return set_histogram(series, point)
    start = series.start
    _take_times(series, point)
    series.start = start
    series.count += point.count
    series.sum = _added(series.sum, point)
    series.counts = [old + new for old, new in zip(series.counts, point.bucket_counts, strict=False)]
    return True


def set_native(series: NativeSeries, point: Any) -> bool:
    """Take over a cumulative exponential histogram."""
    if point.time_unix_nano < series.time:
        return False
    _take_times(series, point)
    series.count = point.count
    series.sum = point.sum if point.HasField("sum") else None
    series.buckets = Exponential.of_point(point)
    return True


def add_native(series: NativeSeries, point: Any) -> bool:
    """Add a delta exponential histogram."""
    if _overlaps(series, point):
        return False
    if not _continues(series, point):
        return set_native(series, point)
    start = series.start
    _take_times(series, point)
    series.start = start
    series.count += point.count
    series.sum = _added(series.sum, point)
    series.buckets.add(Exponential.of_point(point))
    return True


def set_summary(series: SummarySeries, point: Any) -> bool:
    """Take over a summary; quantiles outside 0..1 are not exposed."""
    if point.time_unix_nano < series.time:
        return False
    series.time = point.time_unix_nano
    series.start = point.start_time_unix_nano
    series.count = point.count
    series.sum = point.sum
    values = {entry.quantile: entry.value for entry in point.quantile_values}
    series.quantiles = sorted(pair for pair in values.items() if 0 <= pair[0] <= 1)
    return True


def _continues(series: Series, point: Any) -> bool:
    # A start of 0 means unknown (OTLP): such senders mean "since the last point".
    start = point.start_time_unix_nano
    return series.updated != NEVER and (not start or start == series.time)


def _overlaps(series: Series, point: Any) -> bool:
    start = point.start_time_unix_nano
    if series.updated == NEVER or start == series.time:
        return False
    return bool(start < series.time if start else point.time_unix_nano < series.time)


def _take_times(series: Series, point: Any) -> None:
    series.time = point.time_unix_nano
    series.start = point.start_time_unix_nano
    series.exemplars = list(point.exemplars[-MAX_EXEMPLARS:])


def _added(total: float | None, point: Any) -> float | None:
    if not point.HasField("sum"):
        return total
    return (total or 0.0) + float(point.sum)
