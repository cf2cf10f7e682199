"""Collects what one scraper reads and gives it back as encoded OTLP."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from ophion_agent import otlp_writing as wire
from ophion_host.metric import Metric

SYSTEM_SCHEMA_URL = "https://opentelemetry.io/schemas/1.9.0"
PROCESS_SCHEMA_URL = "https://opentelemetry.io/schemas/1.43.0"


@dataclass(slots=True)
class Failure:
    """Everything of one kind that a scrape could not read.

    `message` is the first one's, `times` how often it happened, `lost` how many metrics were not reported for it.
    """

    message: str
    times: int = 0
    lost: int = 0


@dataclass(slots=True)
class Scrape:
    """What a scraper's one run yielded.

    `scopes` holds encoded `scope_metrics` fields of the host's own resource, `groups` encoded `resource_metrics` fields
    of other resources (processes), `points` the data points in both, `failures` what went wrong, by kind.
    """

    scopes: bytes = b""
    groups: list[bytes] = field(default_factory=list)
    points: int = 0
    failures: dict[str, Failure] = field(default_factory=dict)

    @property
    def lost(self) -> int:
        """Metrics that could not be reported."""
        return sum(failure.lost for failure in self.failures.values())


class Recorder:
    """Takes the points of one scraper; kept from scrape to scrape for its cache of encoded attributes.

    Call order: `begin`; any number of `add`, `fail` and `start_group` ... `end_group`; `finish` or `abandon`.
    Not for use by two threads at once.
    """

    def __init__(self, scope: str, version: str, metrics: Iterable[Metric]) -> None:
        self._scope = wire.scope(scope, version)
        self._heads = {metric: metric.head() for metric in metrics}
        self._series: dict[tuple[Metric, tuple[str, ...]], bytes] = {}
        self._points: dict[Metric, list[bytes]] = {metric: [] for metric in self._heads}
        self._scrape = Scrape()
        self._start_ns = 0
        self.now_ns = 0

    @property
    def series_cached(self) -> int:
        """Number of series whose attributes are kept encoded."""
        return len(self._series)

    def begin(self, now_ns: int, start_ns: int) -> None:
        """Start a scrape at `now_ns`, of sums that began at `start_ns` (both Unix nanoseconds)."""
        self.now_ns = now_ns
        self._start_ns = start_ns
        self._scrape = Scrape()

    def wants(self, *metrics: Metric) -> bool:
        """True when any of the metrics is enabled: ask before reading what only they need."""
        return any(metric in self._heads for metric in metrics)

    def add(self, metric: Metric, value: float, *attributes: str) -> None:
        """Record a point; nothing happens when the metric is disabled.

        `attributes` are the values of `metric.attributes`, in order.
        """
        points = self._points.get(metric)
        if points is None:
            return
        key = (metric, attributes)
        head = self._series.get(key)
        if head is None:
            head = self._series[key] = metric.point_head(attributes)
        points.append(head + metric.tail(self._start_ns, self.now_ns, value))

    def fail(self, kind: str, message: str, lost: int = 1) -> None:
        """Note that something could not be read. `kind` is constant per cause, `message` tells this occurrence."""
        failure = self._scrape.failures.setdefault(kind, Failure(message))
        failure.times += 1
        failure.lost += lost

    def start_group(self, start_ns: int) -> None:
        """The points that follow belong to another resource, whose sums began at `start_ns`."""
        self._start_ns = start_ns

    def end_group(self, resource: bytes) -> None:
        """Close the points added since `start_group` under `resource`, an encoded `resource` field."""
        scopes = self._take()
        if scopes:
            self._scrape.groups.append(wire.resource_metrics(resource, scopes, PROCESS_SCHEMA_URL))

    def drop_group(self) -> None:
        """Forget the points added since `start_group`; their resource is gone."""
        for points in self._points.values():
            points.clear()

    def finish(self) -> Scrape:
        """The scrape as it is now; points outside groups belong to the host's own resource."""
        self._scrape.scopes = self._take()
        if len(self._series) > 1000 + 4 * self._scrape.points:
            self._series.clear()
        return self._scrape

    def abandon(self, kind: str, message: str) -> Scrape:
        """The scrape of a scraper that failed as a whole: no points, every enabled metric lost."""
        self.drop_group()
        self._scrape = Scrape()
        self.fail(kind, message, lost=len(self._heads))
        return self._scrape

    def _take(self) -> bytes:
        encoded = []
        for metric, points in self._points.items():
            if points:
                encoded.append(wire.field(2, self._heads[metric] + metric.data(b"".join(points))))
                self._scrape.points += len(points)
                points.clear()
        return wire.field(2, self._scope + b"".join(encoded)) if encoded else b""
