"""Requests that never repeat: templates whose ids, times and values are replaced, a fraction of a millisecond each.

A store would compress a request that it gets twice, and a series has one point at a time. Attributes and texts come
from `POOL` templates, far enough apart that a compression block holds none of them twice.
"""

from __future__ import annotations

import itertools
import os
import struct
import time
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Protocol

from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from benchmarks.payloads import EPOCH_NANO, METHODS, ROUTES, Signal, attribute, logs, metrics, traces

POOL = 64
# Spans of a trace; the first of them is the root.
TRACE = 8
# Series start this long ago and get a point a second of their own clock, which runs faster than the real one.
HEAD_START_NS = 3600 * 10**9
SECOND_NS = 10**9
_TIME = struct.Struct("<BQ")
_SPAN_TIMES = struct.Struct("<BQBQ")
_NUMBER = struct.Struct("<BQBd")


class Template(Protocol):
    """A request whose ids, times and values can be replaced."""

    def request(self, number: int, base_ns: int) -> bytes:
        """The request of this number; its times begin at `base_ns`."""


class _Pieces:
    """An encoded request cut where it changes: parts that stay, and the pieces between them."""

    def __init__(self, body: bytes) -> None:
        self._body = body
        self._kept: list[bytes] = []
        self._at = 0

    def cut(self, piece: bytes) -> None:
        """Mark the next occurrence of `piece` as one that changes."""
        start = self._body.index(piece, self._at)
        self._kept.append(self._body[self._at : start])
        self._at = start + len(piece)

    def joined(self, pieces: list[bytes]) -> bytes:
        """The request with other pieces in place of those that were cut, in the same order."""
        every = [b""] * (2 * len(pieces) + 1)
        every[0:-1:2], every[1::2], every[-1] = self._kept, pieces, self._body[self._at :]
        return b"".join(every)


class FreshTraces:
    """Traces of eight spans. With `numbered` the ids of spans are numbers, and each request is one trace."""

    def __init__(self, spans: int, seed: int, *, numbered: bool = False) -> None:
        request = ExportTraceServiceRequest.FromString(traces(spans, seed))
        every = request.resource_spans[0].scope_spans[0].spans
        self._count = spans
        self._numbered = numbered
        self._length = spans if numbered else TRACE
        for span in every[:: self._length]:
            span.parent_span_id = b""
        self._pieces = _Pieces(request.SerializeToString())
        self._times: list[tuple[int, int]] = []
        for span in every:
            parent = _id(4, span.parent_span_id) if span.parent_span_id else b""
            self._pieces.cut(_id(1, span.trace_id) + _id(2, span.span_id) + parent)
            self._pieces.cut(_SPAN_TIMES.pack(0x39, span.start_time_unix_nano, 0x41, span.end_time_unix_nano))
            self._times.append((span.start_time_unix_nano - EPOCH_NANO, span.end_time_unix_nano - EPOCH_NANO))

    def request(self, number: int, base_ns: int) -> bytes:
        """See `Template.request`."""
        pieces = [b""] * (2 * self._count)
        pieces[0::2] = self._ids(number * self._count)
        pieces[1::2] = [_SPAN_TIMES.pack(0x39, base_ns + start, 0x41, base_ns + end) for start, end in self._times]
        return self._pieces.joined(pieces)

    def _ids(self, first: int) -> list[bytes]:
        count, length = self._count, self._length
        packed = struct.pack(f">{count}Q", *range(first, first + count)) if self._numbered else os.urandom(8 * count)
        names = [packed[at : at + 8] for at in range(0, 8 * count, 8)]
        pieces = []
        for start in range(0, count, length):
            trace = _id(1, trace_of(first) if self._numbered else os.urandom(16)) + b"\x12\x08"
            parent = b"\x22\x08" + names[start]
            pieces.append(trace + names[start])
            pieces += [trace + name + parent for name in names[start + 1 : start + length]]
        return pieces


def _id(number: int, value: bytes) -> bytes:
    """The bytes of a field with an id."""
    return bytes((number << 3 | 2, len(value))) + value


def trace_of(first: int) -> bytes:
    """The trace id of a numbered request whose first span has this number."""
    return b"numbered" + first.to_bytes(8, "big")


class FreshLogs:
    """Log records with times and trace context of their own."""

    def __init__(self, records: int, seed: int) -> None:
        encoded = logs(records, seed)
        self._pieces = _Pieces(encoded)
        self._offsets: list[int] = []
        for record in ExportLogsServiceRequest.FromString(encoded).resource_logs[0].scope_logs[0].log_records:
            self._pieces.cut(_TIME.pack(0x09, record.time_unix_nano))
            context = _id(9, record.trace_id) + _id(10, record.span_id)
            self._pieces.cut(context + _TIME.pack(0x59, record.observed_time_unix_nano))
            self._offsets.append(record.time_unix_nano - EPOCH_NANO)

    def request(self, _: int, base_ns: int) -> bytes:
        """See `Template.request`."""
        ids = os.urandom(24 * len(self._offsets))
        pieces: list[bytes] = []
        for at, offset in zip(range(0, len(ids), 24), self._offsets, strict=True):
            context = b"\x4a\x10" + ids[at : at + 16] + b"\x52\x08" + ids[at + 16 : at + 24]
            pieces.append(_TIME.pack(0x09, base_ns + offset))
            pieces.append(context + _TIME.pack(0x59, base_ns + offset + 1_000))
        return self._pieces.joined(pieces)


class FreshMetrics:
    """Data points of series of their own, later in each request; counters grow by whole numbers."""

    def __init__(self, points: int, seed: int) -> None:
        request = ExportMetricsServiceRequest.FromString(metrics(points, seed))
        _tell_apart(request, seed)
        self._pieces = _Pieces(request.SerializeToString())
        self._points: list[_Number | _Histogram] = []
        for metric in request.resource_metrics[0].scope_metrics[0].metrics:
            for point in metric.sum.data_points:
                self._pieces.cut(_NUMBER.pack(0x19, point.time_unix_nano, 0x21, point.as_double))
                self._points.append(_Number(1 + int(point.as_double)))
            for found in metric.histogram.data_points:
                histogram = _Histogram(tuple(found.bucket_counts), found.sum)
                self._pieces.cut(histogram.at(found.time_unix_nano, 1))
                self._points.append(histogram)

    def request(self, number: int, base_ns: int) -> bytes:
        """See `Template.request`; `number` is how often the counters have grown."""
        return self._pieces.joined([point.at(base_ns, number) for point in self._points])


class _Number:
    """The time and value of a sum's point."""

    def __init__(self, step: int) -> None:
        self._step = step

    def at(self, time_ns: int, number: int) -> bytes:
        """The fields of the point after `number` steps."""
        return _NUMBER.pack(0x19, time_ns, 0x21, float(self._step * number))


class _Histogram:
    """The time, count, sum and buckets of a histogram's point."""

    def __init__(self, counts: tuple[int, ...], total: float) -> None:
        self._layout = struct.Struct(f"<BQBQBdBB{len(counts)}Q")
        self._counts = counts
        self._total = total

    def at(self, time_ns: int, number: int) -> bytes:
        """The fields of the point after `number` steps."""
        counts = [count * number for count in self._counts]
        times = (0x19, time_ns, 0x21, sum(counts), 0x29, self._total * number)
        return self._layout.pack(*times, 0x32, 8 * len(counts), *counts)


def _tell_apart(request: ExportMetricsServiceRequest, seed: int) -> None:
    """Give each data point of a request, and each request, a series of its own."""
    group = request.resource_metrics[0]
    for pair in group.resource.attributes:
        if pair.key == "service.instance.id":
            pair.value.string_value = f"627cc493-f310-47de-96bd-{seed:012d}"
    for metric in group.scope_metrics[0].metrics:
        points: list[Any] = [*metric.histogram.data_points, *metric.sum.data_points]
        for index, point in enumerate(points):
            del point.attributes[:]
            point.attributes.append(attribute("http.route", ROUTES[index % 5]))
            point.attributes.append(attribute("http.request.method", METHODS[index // 5 % 4]))


TEMPLATES: Mapping[Signal, Callable[[int, int], Template]] = {
    "traces": FreshTraces,
    "logs": FreshLogs,
    "metrics": FreshMetrics,
}


def fresh_requests(signal: Signal, items: int, *, numbered: bool = False) -> Iterator[tuple[int, bytes]]:
    """Endless (number of the first item, body) pairs. Times are now, those of metrics a second apart and past."""
    if numbered and signal == "traces":
        pool: list[Template] = [FreshTraces(items, seed, numbered=True) for seed in range(POOL)]
    else:
        pool = [TEMPLATES[signal](items, seed) for seed in range(POOL)]
    started = time.time_ns() - HEAD_START_NS
    for number in itertools.count():
        turn = number // POOL
        if signal == "metrics":
            yield number * items, pool[number % POOL].request(turn + 1, started + turn * SECOND_NS)
        else:
            yield number * items, pool[number % POOL].request(number, time.time_ns() - SECOND_NS)


def sample_rows(points: int) -> tuple[int, int]:
    """How many rows of `samples` and of `histograms` a metrics request of `points` points makes.

    A histogram is its buckets, `_count` and `_sum` to PromQL.
    """
    request = ExportMetricsServiceRequest.FromString(metrics(points))
    every = request.resource_metrics[0].scope_metrics[0].metrics
    histograms = [point for metric in every for point in metric.histogram.data_points]
    numbers = sum(len(metric.sum.data_points) for metric in every)
    return numbers + sum(len(point.bucket_counts) + 2 for point in histograms), len(histograms)
