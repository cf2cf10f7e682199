"""How fast dashboards are answered: the same queries over HTTP to a Prometheus and to Ophion with the same samples.

1,000 series of a sample every 15 s for a day, loaded through remote write. Each query is asked over 1 h, 6 h and 24 h
with a step that gives about 250 points, alternately of both. The figure that counts is the ratio of the medians.

Ophion runs in a process of its own, with the checks of a caller's key that every request pays for.
`--ophion http://127.0.0.1:8080 --token KEY --ingest-token KEY` measures a server that runs already.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import http.client
import json
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import Any
from urllib.parse import urlencode, urlsplit

import yaml

from benchmarks import harness
from benchmarks.process import BenchmarkError, Measured, free_port, machine, wait_until
from benchmarks.remote_write import Series, remote_write

COMMAND = [sys.executable, "-m", "ophion_agent.cli"]
INTERVAL_MS = 15_000
HOUR_MS = 3_600_000
# A head of more than three hours is due to be written; what both sides still merge after that gets some rest.
SETTLED_MS = 3 * HOUR_MS
REST_SECONDS = 20
INSTANCES = 25
BOUNDS = ("0.005", "0.01", "0.025", "0.05", "0.1", "0.25", "0.5", "1", "2.5", "+Inf")
# Length in hours and step in seconds: some 250 points each.
RANGES = ((1, 15), (6, 90), (24, 345))
# Name, largest step and first value.
GAUGES = (
    ("memory_bytes", 4e6, 6e8),
    ("memory_limit_bytes", 0.0, 2.0**31),
    ("queue_depth", 10.0, 120.0),
    ("up", 0.0, 1.0),
)
QUERIES = {
    "plain series": 'up{job="app"}',
    "rate": "rate(http_requests_total[5m])",
    "rate of one instance": 'rate(http_requests_total{instance="app-07:8080"}[5m])',
    "sum by of rate": "sum by (instance) (rate(http_requests_total[5m]))",
    "sum by code of rate": "sum by (code) (rate(http_requests_total[5m]))",
    "total rate": "sum(rate(http_requests_total[5m]))",
    "regular expression": 'sum by (handler) (rate(http_requests_total{code=~"5..|404"}[5m]))',
    "share of errors": 'sum(rate(http_requests_total{code=~"5.."}[5m])) / sum(rate(http_requests_total[5m])) * 100',
    "ratio by instance": 'sum by (instance) (rate(http_requests_total{code="500"}[5m]))'
    " / on(instance) sum by (instance) (rate(http_requests_total[5m]))",
    "quantile of all": "histogram_quantile(0.95, sum by (le) (rate(http_request_duration_seconds_bucket[5m])))",
    "quantile by instance": "histogram_quantile(0.99, sum by (le, instance) "
    "(rate(http_request_duration_seconds_bucket[5m])))",
    "mean duration": "sum(rate(http_request_duration_seconds_sum[5m]))"
    " / sum(rate(http_request_duration_seconds_count[5m]))",
    "average over time": "avg_over_time(memory_bytes[10m])",
    "max by instance": "max by (instance) (memory_bytes)",
    "share of memory": "memory_bytes / on(instance) group_left memory_limit_bytes * 100",
    "busy processors": '100 - avg by (instance) (rate(node_cpu_seconds_total{mode="idle"}[5m])) * 100',
    "five busiest": "topk(5, sum by (instance) (rate(http_requests_total[5m])))",
    "absent": 'absent(up{job="missing"})',
    "against an hour ago": "sum(rate(http_requests_total[5m])) - sum(rate(http_requests_total[5m] offset 1h))",
    "slope over threshold": "deriv(queue_depth[15m]) > 0 and queue_depth > 100",
}
HEADER = "| query | range | points | Prometheus ms | Ophion ms | ratio |\n|---|---|---|---|---|---|"


@dataclass
class Stream:
    """A series that is written on and on. `growth` is the mean step of a counter, the largest one of a gauge.

    Its samples come `offset_ms` after the grid of the queries, as every target has a time of its own.
    """

    labels: Mapping[str, str]
    growth: float
    random: Random
    offset_ms: int
    gauge: bool = False
    value: float = 0.0

    def piece(self, times: range) -> Series:
        """Return the samples of these times."""
        low, high = (-self.growth, self.growth) if self.gauge else (0.0, 2 * self.growth)
        samples = []
        for at in times:
            self.value += self.random.uniform(low, high)
            samples.append((at + self.offset_ms, round(self.value, 3)))
        return Series(self.labels, samples)


def streams() -> list[Stream]:
    """Return 1,000 series: requests, durations, processors, memory, queues and `up` of 25 instances."""
    return [stream for number in range(INSTANCES) for stream in _target(f"app-{number:02}:8080", 137 + 571 * number)]


def _target(instance: str, offset_ms: int) -> Iterator[Stream]:
    for name, growth, labels in _counters():
        all_labels = {"__name__": name, "job": "app", "instance": instance, **labels}
        yield Stream(all_labels, growth, Random(repr(all_labels)), offset_ms)
    for name, growth, start in GAUGES:
        all_labels = {"__name__": name, "job": "app", "instance": instance}
        yield Stream(all_labels, growth, Random(repr(all_labels)), offset_ms, True, start)


def _counters() -> Iterator[tuple[str, float, dict[str, str]]]:
    for handler in ("/", "/login", "/search", "/orders"):
        for code, growth in (("200", 40.0), ("404", 3.0), ("500", 0.5), ("503", 0.1)):
            yield "http_requests_total", growth, {"handler": handler, "code": code}
    for position, bound in enumerate(BOUNDS):
        yield "http_request_duration_seconds_bucket", 5.0 * (position + 1), {"le": bound}
    yield "http_request_duration_seconds_count", 50.0, {}
    yield "http_request_duration_seconds_sum", 12.0, {}
    for cpu in ("0", "1"):
        for mode, growth in (("idle", 11.0), ("user", 3.0), ("system", 0.8), ("iowait", 0.2)):
            yield "node_cpu_seconds_total", growth, {"cpu": cpu, "mode": mode}


def pieces(end_ms: int, hours: float) -> Iterator[list[Series]]:
    """Yield the samples of `hours` before `end_ms`, a quarter of an hour at a time; never all of them in memory."""
    series, length = streams(), 15 * 60_000
    first = end_ms - int(hours * HOUR_MS)
    for start in range(first, end_ms, length):
        times = range(start, min(start + length, end_ms), INTERVAL_MS)
        yield [stream.piece(times) for stream in series]


@dataclass(frozen=True)
class Side:
    """A server with the Prometheus HTTP API."""

    name: str
    url: str
    headers: Mapping[str, str] = field(default_factory=dict)
    writing_headers: Mapping[str, str] = field(default_factory=dict)

    def load(self, end_ms: int, hours: float) -> float:
        """Write the samples and return how many seconds it took."""
        started = time.monotonic()
        asyncio.run(remote_write(f"{self.url}/api/v1/write", pieces(end_ms, hours), self.writing_headers))
        return time.monotonic() - started

    def connect(self) -> http.client.HTTPConnection:
        """A connection that stays open."""
        address = urlsplit(self.url)
        return http.client.HTTPConnection(address.hostname or "", address.port, timeout=120)

    def ask(self, connection: http.client.HTTPConnection, parameters: Mapping[str, str]) -> tuple[float, bytes]:
        """Milliseconds until the whole answer was read, and the answer."""
        started = time.perf_counter()
        connection.request("GET", f"/api/v1/query_range?{urlencode(parameters)}", headers=dict(self.headers))
        response = connection.getresponse()
        body = response.read()
        taken = (time.perf_counter() - started) * 1000
        if response.status != 200:
            raise BenchmarkError(f"{self.name}: {parameters['query']}: HTTP {response.status}: {body[:300]!r}")
        return taken, body


@contextlib.contextmanager
def prometheus(scratch: Path) -> Iterator[Side]:
    """A Prometheus that takes remote write and scrapes nothing."""
    binary = shutil.which("prometheus")
    if binary is None:
        raise BenchmarkError("prometheus: not on this machine; apt-get install -y prometheus")
    port, config = free_port(), scratch / "prometheus.yml"
    config.write_text("scrape_configs: []\n")
    options = [
        f"--config.file={config}",
        f"--storage.tsdb.path={scratch / 'tsdb'}",
        "--web.enable-remote-write-receiver",
    ]
    options += [f"--web.listen-address=127.0.0.1:{port}", "--log.level=warn"]
    with Measured([binary, *options], scratch / "prometheus.log") as process:
        process.wait_for_port(port)
        side = Side("Prometheus", f"http://127.0.0.1:{port}")
        wait_until(lambda: _is_ready(side), 30, "Prometheus ready", 0.1)
        yield side


def settle(side: Side) -> None:
    """Wait until Prometheus has written what it was given late into blocks, as it would have over the day."""

    def is_settled() -> bool:
        connection = side.connect()
        try:
            connection.request("GET", "/metrics")
            lines = connection.getresponse().read().decode().splitlines()
        finally:
            connection.close()
        values = dict(line.rsplit(" ", 1) for line in lines if line.startswith("prometheus_tsdb_head_m"))
        youngest, oldest = (float(values[f"prometheus_tsdb_head_{end}_time"]) for end in ("max", "min"))
        return youngest - oldest < SETTLED_MS

    wait_until(is_settled, 180, "Prometheus has written its blocks", 1.0)
    time.sleep(REST_SECONDS)


def _is_ready(side: Side) -> bool:
    connection = side.connect()
    try:
        connection.request("GET", "/-/ready")
        return connection.getresponse().status == 200
    finally:
        connection.close()


def answer_size(body: bytes) -> tuple[int, int]:
    """How many series and samples a range answer holds."""
    result: list[dict[str, Any]] = json.loads(body)["data"]["result"]
    return len(result), sum(len(series["values"]) for series in result)


def measure(
    sides: tuple[Side, Side], query: str, parameters: Mapping[str, str], repeats: int
) -> tuple[float, float, int]:
    """Median milliseconds of each side, asked in turn, and the samples of the answer; they must give equally many."""
    connections = [side.connect() for side in sides]
    try:
        asked = {"query": query, **parameters}
        sizes = [answer_size(side.ask(line, asked)[1]) for side, line in zip(sides, connections, strict=True)]
        if sizes[0] != sizes[1]:
            both = " and ".join(f"{side.name} {size}" for side, size in zip(sides, sizes, strict=True))
            raise BenchmarkError(f"{query}: series and samples differ: {both}")
        taken: tuple[list[float], list[float]] = ([], [])
        for _ in range(repeats):
            for times, side, line in zip(taken, sides, connections, strict=True):
                times.append(side.ask(line, asked)[0])
        return statistics.median(taken[0]), statistics.median(taken[1]), sizes[0][1]
    finally:
        for line in connections:
            line.close()


def compare(sides: tuple[Side, Side], end_ms: int, ranges: tuple[tuple[int, int], ...], repeats: int) -> None:
    """Print a row for each query and range, then the medians of the ratios; failed queries are told at the end."""
    print(HEADER, flush=True)
    ratios: dict[int, list[float]] = {hours: [] for hours, _ in ranges}
    failures: list[str] = []
    for hours, step in ranges:
        start = (end_ms - hours * HOUR_MS) // 1000
        parameters = {"start": str(start), "end": str(end_ms // 1000), "step": str(step)}
        for title, query in QUERIES.items():
            try:
                theirs, ours, samples = measure(sides, query, parameters, repeats)
            except BenchmarkError as error:
                failures.append(str(error))
                continue
            ratios[hours].append(ours / theirs)
            print(
                f"| {title} | {hours} h | {samples:,} | {theirs:.1f} | {ours:.1f} | {ours / theirs:.2f} |", flush=True
            )
    for hours, found in ratios.items():
        if found:
            print(f"\n{hours} h: median of {len(found)} ratios {statistics.median(found):.2f}", flush=True)
    if every := [ratio for found in ratios.values() for ratio in found]:
        print(f"\nall: median of {len(every)} ratios {statistics.median(every):.2f}", flush=True)
    if failures:
        raise BenchmarkError("\n".join(failures))


def server_config(scratch: Path, port: int) -> dict[str, Any]:
    """A server with nothing but the store, PromQL and its HTTP API; callers are known and not limited."""
    extensions: dict[str, Any] = {
        "telemetry_store": {"directory": str(scratch / "telemetry"), "query": {"memory": "1GiB"}},
        "control_store": {"directory": str(scratch / "control")},
        "auth": {
            "directory": str(scratch / "control"),
            "cli_key_file": str(scratch / "cli.key"),
            "rate_limits": {"caller": None, "address": None, "anonymous": None},
        },
        "promql": {},
        "api": {"endpoint": f"127.0.0.1:{port}"},
    }
    return {
        "receivers": {"otlp": {"protocols": {"http": {"endpoint": f"127.0.0.1:{free_port()}"}}}},
        "exporters": {"debug": {}},
        "extensions": extensions,
        "service": {
            "extensions": list(extensions),
            "telemetry": {"metrics": {"level": "none"}, "logs": {"level": "warn"}},
            "pipelines": {"metrics": {"receivers": ["otlp"], "exporters": ["debug"]}},
        },
    }


@contextlib.contextmanager
def ophion(options: argparse.Namespace, scratch: Path) -> Iterator[Side]:
    """The server of `--ophion`, or one of its own process."""
    if options.ophion:
        yield Side("Ophion", options.ophion.rstrip("/"), _bearer(options.token), _bearer(options.ingest_token))
        return
    port, config = free_port(), scratch / "server.yaml"
    config.write_text(yaml.safe_dump(server_config(scratch, port), sort_keys=False))
    with Measured([*COMMAND, "run", "--config", str(config)], scratch / "ophion.log") as process:
        process.wait_for_port(port, 60)
        reading, writing = (_key(kind, config) for kind in ("api", "ingest"))
        yield Side("Ophion", f"http://127.0.0.1:{port}", _bearer(reading), _bearer(writing))
        process.check()


def _key(kind: str, config: Path) -> str:
    create = [
        *COMMAND,
        "server",
        "key",
        "create",
        f"benchmark {kind}",
        "--kind",
        kind,
        "--json",
        "--config",
        str(config),
    ]
    answer = subprocess.run(create, capture_output=True, text=True, timeout=60, check=False)
    if answer.returncode:
        raise BenchmarkError(f"ophion: no key could be made: {answer.stderr[-500:]}")
    return str(json.loads(answer.stdout)["key"])


def _bearer(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"} if token else {}


def run(options: argparse.Namespace) -> None:
    """Load both sides and compare them."""
    end_ms = int(time.time() * 1000) // 60_000 * 60_000
    longest = 1 if options.quick else options.hours
    ranges = tuple((hours, step) for hours, step in RANGES if hours <= longest)
    # An hour more, so that offsets and windows at the start find samples.
    loaded = ranges[-1][0] + 1.25
    with tempfile.TemporaryDirectory(prefix="ophion-bench-") as scratch, contextlib.ExitStack() as stack:
        peer = stack.enter_context(prometheus(Path(scratch)))
        ours = stack.enter_context(ophion(options, Path(scratch)))
        series = len(streams())
        samples = int(series * loaded * HOUR_MS / INTERVAL_MS)
        print(f"\n## PromQL\n\n{machine()}\n\n- {series:,} series, {samples:,} samples, {loaded:g} h", flush=True)
        for side in (peer, ours):
            seconds = side.load(end_ms, loaded)
            print(f"- {side.name} took them in {seconds:.1f} s", flush=True)
        settle(peer)
        print(f"- {options.repeats} runs of each query, in turn, medians\n", flush=True)
        compare((peer, ours), end_ms, ranges, options.repeats)


def main() -> int:
    """Parse the options and run."""
    parser = argparse.ArgumentParser(description="Dashboard queries: Ophion beside Prometheus.")
    parser.add_argument("--ophion", default="", metavar="URL", help="a running server instead of one started here")
    parser.add_argument("--token", default="", help="API key of that server")
    parser.add_argument("--ingest-token", default="", help="ingest key of that server")
    parser.add_argument("--hours", type=int, default=24, help="longest range: 1, 6 or 24")
    parser.add_argument("--repeats", type=int, default=7, help="runs of each query on each side")
    parser.add_argument("--quick", action="store_true", help="one run over an hour")
    parser.set_defaults(scale=1.0)
    return harness.script(parser, run)


if __name__ == "__main__":
    raise SystemExit(main())
