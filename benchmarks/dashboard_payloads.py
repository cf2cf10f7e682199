"""Telemetry of a size that pages must bear: traces of 10,000 spans, charts of 100,000 points, 1,000 lines a second.

`python -m benchmarks.dashboard_payloads URL LINES_PER_SECOND [KEY]` sends log lines to an OTLP/HTTP receiver until it
is ended or its standard input closes; service `flood`, bodies `line 1 of the flood`, `line 2 of the flood`, ...
"""

from __future__ import annotations

import random
import select
import sys
import time
import urllib.request
from typing import Any

from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from benchmarks.payloads import attribute

SECOND = 10**9
LARGE_TRACE = "1a29e000000000000000000000010000"
LARGE_SPANS = 10_000
LARGE_SERVICES = 25
LARGE_SECONDS = 12.0
LARGE_DEEPEST = 12
SERIES = 100
SERIES_POINTS = 1000
SERIES_STEP_SECONDS = 10
SERIES_METRIC = "rig.wave"
_FAILED_EVERY = 101


def large_trace(now_ns: int, spans: int = LARGE_SPANS) -> bytes:
    """The trace `LARGE_TRACE` of `spans` spans of services `large-00` to `large-24`, up to 12 deep.

    It begins a minute before `now_ns`. The root is `GET /report` of `large-00`, which takes 12 s; span n is called
    `step n`; every 101st has failed.
    """
    rng = random.Random(spans)
    request = ExportTraceServiceRequest()
    scopes = [_service_scope(request, number) for number in range(LARGE_SERVICES)]
    first = now_ns - 60 * SECOND
    # Of each span: where it begins and ends, and how deep it lies.
    placed = [(first, first + int(LARGE_SECONDS * SECOND), 1)]
    _large_span(scopes[0], 0, None, "GET /report", placed[0])
    for number in range(1, spans):
        parent = _parent(rng, placed)
        start, end, depth = placed[parent]
        begin = start + int((end - start) * rng.random() * 0.8)
        close = begin + max(1000, int((end - begin) * rng.random() * 0.6))
        placed.append((begin, close, depth + 1))
        _large_span(scopes[number % LARGE_SERVICES], number, parent, f"step {number}", placed[-1])
    return request.SerializeToString()


def _parent(rng: random.Random, placed: list[tuple[int, int, int]]) -> int:
    while True:
        # Recent spans more often than old ones: chains, and not only fans.
        number = len(placed) - 1 - int(len(placed) * rng.random() ** 2)
        if placed[max(0, number)][2] < LARGE_DEEPEST:
            return max(0, number)


def _service_scope(request: ExportTraceServiceRequest, number: int) -> Any:
    group = request.resource_spans.add()
    group.resource.attributes.append(attribute("service.name", f"large-{number:02}"))
    group.resource.attributes.append(attribute("host.name", f"large-host-{number % 5}"))
    return group.scope_spans.add()


def _large_span(scope: Any, number: int, parent: int | None, name: str, placed: tuple[int, int, int]) -> None:
    span = scope.spans.add(
        trace_id=bytes.fromhex(LARGE_TRACE),
        span_id=(number + 1).to_bytes(8, "big"),
        name=name,
        kind=2 if parent is None else 1 + number % 3,
        start_time_unix_nano=placed[0],
        end_time_unix_nano=placed[1],
        attributes=[attribute("step.number", number), attribute("step.kind", f"kind-{number % 7}")],
    )
    if parent is not None:
        span.parent_span_id = (parent + 1).to_bytes(8, "big")
    if number and number % _FAILED_EVERY == 0:
        span.status.code, span.status.message = 2, f"step {number} failed"


def long_series(now_ns: int) -> bytes:
    """The gauge `rig_wave`: 100 series (label `wave`: 000 to 099) of 1,000 points, one every 10 s until `now_ns`."""
    rng = random.Random(7)
    request = ExportMetricsServiceRequest()
    group = request.resource_metrics.add()
    group.resource.attributes.append(attribute("service.name", "waves"))
    metric = group.scope_metrics.add().metrics.add(name=SERIES_METRIC)
    times = [now_ns - (SERIES_POINTS - 1 - step) * SERIES_STEP_SECONDS * SECOND for step in range(SERIES_POINTS)]
    for number in range(SERIES):
        labels, level = [attribute("wave", f"{number:03}")], float(number)
        for time_ns in times:
            level += rng.uniform(-1, 1)
            metric.gauge.data_points.add(attributes=labels, time_unix_nano=time_ns, as_double=level)
    return request.SerializeToString()


def log_lines(first: int, count: int, service: str = "flood") -> bytes:
    """`count` log records of now: `line N of the flood`, from N = `first` on; every 50th is an error."""
    request = ExportLogsServiceRequest()
    group = request.resource_logs.add()
    group.resource.attributes.append(attribute("service.name", service))
    scope, now = group.scope_logs.add(), time.time_ns()
    for number in range(first, first + count):
        record = scope.log_records.add(time_unix_nano=now, severity_number=17 if number % 50 == 0 else 9)
        record.body.string_value = f"line {number} of the flood"
    return request.SerializeToString()


def flood(url: str, lines_per_second: int, key: str = "") -> int:
    """Send log lines in ten requests a second until standard input closes; return how many there were."""
    headers = {"Content-Type": "application/x-protobuf", **({"Authorization": f"Bearer {key}"} if key else {})}
    portion, sent, due = lines_per_second // 10, 0, time.monotonic()
    while not select.select([sys.stdin], [], [], max(0.0, due - time.monotonic()))[0]:
        request = urllib.request.Request(f"{url}/v1/logs", log_lines(sent + 1, portion), headers)
        with urllib.request.urlopen(request, timeout=30) as response:
            response.read()
        sent += portion
        due += 0.1
    return sent


if __name__ == "__main__":
    print(flood(sys.argv[1], int(sys.argv[2]), *sys.argv[3:4]), flush=True)
