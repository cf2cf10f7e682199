"""Writes one container's figures as encoded OTLP, from pieces that are encoded once."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from ophion_agent import otlp_writing as wire
from ophion_agent.measured_metric import MeasuredMetric

SCHEMA_URL: Final = "https://opentelemetry.io/schemas/1.38.0"

_LARGEST: Final = (1 << 63) - 1


class StatsRecorder:
    """Takes the figures of one container after another.

    Call order: `begin`, any number of `add` and `add_with`, then `finish` or `drop`. Kept for its cache of encodings;
    not for use by two threads at once.
    """

    def __init__(self, metrics: Iterable[MeasuredMetric], scope: str, version: str) -> None:
        self._scope = wire.scope(scope, version)
        self._schema = wire.field(3, SCHEMA_URL.encode())
        self._single = {metric: _frame(metric) for metric in metrics if not metric.attributes}
        self._heads: dict[MeasuredMetric, dict[tuple[str, ...], bytes]] = {
            metric: {} for metric in metrics if metric.attributes
        }
        self._names = {metric: metric.head() for metric in self._heads}
        self._points: dict[MeasuredMetric, list[bytes]] = {}
        self._parts: list[bytes] = []
        self._start_ns = 0
        self._now_ns = 0
        self.count = 0
        """Points of the container so far."""

    def wants(self, *metrics: MeasuredMetric) -> bool:
        """True when any of the metrics is enabled: ask before reading what only they need."""
        return any(metric in self._single or metric in self._heads for metric in metrics)

    def begin(self, start_ns: int, now_ns: int) -> None:
        """Start a container whose sums began at `start_ns`; the figures are of `now_ns` (Unix nanoseconds)."""
        # A clock that went back since the container's start must not give a point that ends before it begins.
        self._start_ns, self._now_ns = min(start_ns, now_ns), now_ns
        self.drop()

    def add(self, metric: MeasuredMetric, value: float) -> None:
        """Record the one point of a metric without attributes; nothing happens when it is disabled."""
        frame = self._single.get(metric)
        if frame is not None:
            self._parts.append(frame[0] + self._tail(metric, value) + frame[1])
            self.count += 1

    def add_with(self, metric: MeasuredMetric, value: float, *attributes: str) -> None:
        """Record a point with the values of `metric.attributes`, in order; nothing happens when it is disabled."""
        heads = self._heads.get(metric)
        if heads is None:
            return
        head = heads.get(attributes)
        if head is None:
            head = heads[attributes] = metric.point_head(attributes)
        self._points.setdefault(metric, []).append(head + self._tail(metric, value))
        self.count += 1

    def drop(self) -> None:
        """Forget what was added since `begin`: the container is gone."""
        self._parts.clear()
        self._points.clear()
        self.count = 0

    def finish(self, resource: bytes) -> bytes:
        """Return the encoded `resource_metrics` field of the container under its encoded resource; empty for none."""
        for metric, points in self._points.items():
            self._parts.append(wire.field(2, self._names[metric] + metric.data(b"".join(points))))
        if not self._parts:
            return b""
        scope = wire.field(2, self._scope + b"".join(self._parts) + self._schema)
        if any(len(heads) > 10_000 for heads in self._heads.values()):
            # Names of interfaces that came and went.
            self._heads = {metric: {} for metric in self._heads}
        return wire.resource_metrics(resource, scope, SCHEMA_URL)

    def _tail(self, metric: MeasuredMetric, value: float) -> bytes:
        # The kernel counts to 2^64, OTLP to 2^63; "no limit" is above that in version 1.
        number = value if metric.value == "double" else min(int(value), _LARGEST)
        return metric.tail(self._start_ns, self._now_ns, number)


def _frame(metric: MeasuredMetric) -> tuple[bytes, bytes]:
    """Return what stands before and behind the tail of a metric's only point."""
    marker = b"\xff" * metric.tail_size
    before, _, behind = wire.field(2, metric.head() + metric.data(wire.field(1, marker))).partition(marker)
    return before, behind
