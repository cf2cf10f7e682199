"""Writes one container's figures as encoded OTLP, from pieces that are encoded once."""

from __future__ import annotations

import struct
from collections.abc import Iterable
from typing import Final

from ophion_docker import wire
from ophion_docker.stats_metrics import Metric

SCHEMA_URL: Final = "https://opentelemetry.io/schemas/1.38.0"

# Ends of a NumberDataPoint, fields of eight bytes behind a tag each: start time and time, value.
_SUM_INT: Final = struct.Struct("<BQBQBq")
_SUM_DOUBLE: Final = struct.Struct("<BQBQBd")
_GAUGE_INT: Final = struct.Struct("<BQBq")
_GAUGE_DOUBLE: Final = struct.Struct("<BQBd")
_START, _TIME, _AS_DOUBLE, _AS_INT = 0x11, 0x19, 0x21, 0x31
_LARGEST: Final = (1 << 63) - 1


class StatsRecorder:
    """Takes the figures of one container after another.

    Call order: `begin`, any number of `add` and `add_with`, then `finish` or `drop`. Kept for its cache of encodings;
    not for use by two threads at once.
    """

    def __init__(self, metrics: Iterable[Metric], scope: str, version: str) -> None:
        self._scope = wire.scope(scope, version)
        self._schema = wire.field(3, SCHEMA_URL.encode())
        self._single = {metric: _frame(metric) for metric in metrics if not metric.attributes}
        self._heads: dict[Metric, dict[tuple[str, ...], bytes]] = {
            metric: {} for metric in metrics if metric.attributes
        }
        self._names = {metric: _head(metric) for metric in self._heads}
        self._points: dict[Metric, list[bytes]] = {}
        self._parts: list[bytes] = []
        self._start_ns = 0
        self._now_ns = 0
        self.count = 0
        """Points of the container so far."""

    def wants(self, *metrics: Metric) -> bool:
        """True when any of the metrics is enabled: ask before reading what only they need."""
        return any(metric in self._single or metric in self._heads for metric in metrics)

    def begin(self, start_ns: int, now_ns: int) -> None:
        """Start a container whose sums began at `start_ns`; the figures are of `now_ns` (Unix nanoseconds)."""
        # A clock that went back since the container's start must not give a point that ends before it begins.
        self._start_ns, self._now_ns = min(start_ns, now_ns), now_ns
        self.drop()

    def add(self, metric: Metric, value: float) -> None:
        """Record the one point of a metric without attributes; nothing happens when it is disabled."""
        frame = self._single.get(metric)
        if frame is not None:
            self._parts.append(frame[0] + self._tail(metric, value) + frame[1])
            self.count += 1

    def add_with(self, metric: Metric, value: float, *attributes: str) -> None:
        """Record a point with the values of `metric.attributes`, in order; nothing happens when it is disabled."""
        heads = self._heads.get(metric)
        if heads is None:
            return
        head = heads.get(attributes)
        if head is None:
            head = heads[attributes] = self._point_head(metric, attributes)
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
            self._parts.append(wire.field(2, self._names[metric] + _data(metric, b"".join(points))))
        if not self._parts:
            return b""
        scope = wire.field(2, self._scope + b"".join(self._parts) + self._schema)
        if any(len(heads) > 10_000 for heads in self._heads.values()):
            # Names of interfaces that came and went.
            self._heads = {metric: {} for metric in self._heads}
        return wire.field(1, resource + scope + self._schema)

    def _tail(self, metric: Metric, value: float) -> bytes:
        if metric.value == "double":
            if metric.monotonic is None:
                return _GAUGE_DOUBLE.pack(_TIME, self._now_ns, _AS_DOUBLE, value)
            return _SUM_DOUBLE.pack(_START, self._start_ns, _TIME, self._now_ns, _AS_DOUBLE, value)
        # The kernel counts to 2^64, OTLP to 2^63; "no limit" is above that in version 1.
        number = min(int(value), _LARGEST)
        if metric.monotonic is None:
            return _GAUGE_INT.pack(_TIME, self._now_ns, _AS_INT, number)
        return _SUM_INT.pack(_START, self._start_ns, _TIME, self._now_ns, _AS_INT, number)

    def _point_head(self, metric: Metric, attributes: tuple[str, ...]) -> bytes:
        body = wire.attributes(7, list(zip(metric.attributes, attributes, strict=True)))
        return b"\x0a" + wire.varint(len(body) + _tail_size(metric)) + body


def _tail_size(metric: Metric) -> int:
    return _GAUGE_INT.size if metric.monotonic is None else _SUM_INT.size


def _head(metric: Metric) -> bytes:
    strings = (metric.name, metric.description, metric.unit)
    return b"".join(wire.field(number, value.encode()) for number, value in enumerate(strings, start=1))


def _data(metric: Metric, points: bytes) -> bytes:
    """Return the `gauge` or `sum` field of a Metric around encoded points."""
    if metric.monotonic is None:
        return wire.field(5, points)
    return wire.field(7, points + (b"\x10\x02\x18\x01" if metric.monotonic else b"\x10\x02"))


def _frame(metric: Metric) -> tuple[bytes, bytes]:
    """Return what stands before and behind the tail of a metric's only point."""
    marker = b"\xff" * _tail_size(metric)
    before, _, behind = wire.field(2, _head(metric) + _data(metric, wire.field(1, marker))).partition(marker)
    return before, behind
