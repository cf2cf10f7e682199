"""Finding traces among many spans of 24 hours: by id, and by service, duration and attribute.

Cold is the first time that something is asked after a restart (the operating system may still have the files in its
cache), warm is the same once more. With JAEGER=path in the environment the same spans go into Jaeger with Badger.
"""

from __future__ import annotations

import argparse
import json
import random
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from benchmarks.bulk import fill
from benchmarks.fresh import POOL, TRACE, FreshTraces
from benchmarks.jaeger import Jaeger, jaeger
from benchmarks.payloads import METHODS, ROUTES
from benchmarks.process import BenchmarkError, wait_until
from benchmarks.server_process import Server, header, main_of, running, title

DAY_NS = 24 * 3600 * 10**9
PER_REQUEST = 512
LIMIT = 20
HEADER = header("system", "question", "cold, ms", "warm, ms", "warm p95, ms", "answers")


@dataclass(frozen=True)
class Data:
    """The spans: how many, from when on, and ids of some traces among them."""

    spans: int
    start_ns: int
    ids: tuple[str, ...]


class Source:
    """The same number of spans for each system, spread over 24 hours; remembers ids of traces by chance."""

    def __init__(self, spans: int, tries: int) -> None:
        self.requests = -(-spans // PER_REQUEST)
        self.start_ns = time.time_ns() - DAY_NS
        self._rng = random.Random(5)
        self._asked = set(self._rng.sample(range(self.requests), min(self.requests, tries)))
        self._ids: list[str] = []

    def data(self) -> Data:
        """What was sent."""
        return Data(self.requests * PER_REQUEST, self.start_ns, tuple(self._ids))

    def bodies(self) -> Iterator[bytes]:
        """The requests, in order of time."""
        self._ids.clear()
        pool = [FreshTraces(PER_REQUEST, seed) for seed in range(POOL)]
        step = (DAY_NS - 60 * 10**9) // self.requests
        for number in range(self.requests):
            body = pool[number % POOL].request(number, self.start_ns + number * step)
            if number in self._asked:
                spans = ExportTraceServiceRequest.FromString(body).resource_spans[0].scope_spans[0].spans
                self._ids.append(self._rng.choice(spans).trace_id.hex())
            yield body


def searches(tries: int) -> list[dict[str, str]]:
    """Searches by service, duration and attribute; no two are alike."""
    rng = random.Random(7)
    return [
        {
            "service": f"checkout-{number % 4}",
            "milliseconds": f"{rng.uniform(45, 49.9):.2f}",
            "route": rng.choice(ROUTES),
            "method": rng.choice(METHODS),
        }
        for number in range(tries)
    ]


def tried(call: Callable[[int], int], tries: int) -> tuple[list[float], int]:
    """Milliseconds of each try, and the sum of what they returned."""
    taken, found = [], 0
    for number in range(tries):
        started = time.perf_counter()
        found += call(number)
        taken.append((time.perf_counter() - started) * 1000)
    return taken, found


def rows(system: str, questions: dict[str, Callable[[int], int]], tries: int) -> None:
    """Print a row for each question, asked cold and then warm."""
    for question, call in questions.items():
        cold, _ = tried(call, tries)
        warm, found = tried(call, tries)
        p95 = sorted(warm)[round(0.95 * (len(warm) - 1))]
        print(
            f"| {system} | {question} | {statistics.median(cold):.1f} | {statistics.median(warm):.1f} | {p95:.1f} "
            f"| {found} |",
            flush=True,
        )


def ours(server: Server, data: Data, tries: int) -> dict[str, Callable[[int], int]]:
    """The questions to the server."""
    asked, day = searches(tries), {"from": str(data.start_ns), "to": str(data.start_ns + DAY_NS)}

    def by_id(number: int) -> int:
        trace = server.get(f"/api/traces/{data.ids[number]}")
        if len(trace["spans"]) != TRACE:
            raise BenchmarkError(f"ophion: trace {data.ids[number]} has {len(trace['spans'])} spans of {TRACE}")
        return 1

    def search(number: int, sort: str) -> int:
        one = asked[number]
        terms = [f"http.route={one['route']}", f"http.request.method={one['method']}"]
        query = {"service": one["service"], "min_duration": f"{one['milliseconds']}ms", "attr": terms}
        return len(server.get("/api/traces", sort=sort, limit=LIMIT, **query, **day)["traces"])

    return {
        "trace by id": by_id,
        "search, the newest 20": lambda number: search(number, "newest"),
        "search, the longest 20": lambda number: search(number, "longest"),
    }


def theirs(peer: Jaeger, data: Data, tries: int) -> dict[str, Callable[[int], int]]:
    """The questions to Jaeger, which has one order."""
    asked, day = searches(tries), {"start": data.start_ns // 1000, "end": (data.start_ns + DAY_NS) // 1000}

    def by_id(number: int) -> int:
        spans = peer.get(f"/api/traces/{data.ids[number]}")[0]["spans"]
        if len(spans) != TRACE:
            raise BenchmarkError(f"jaeger: trace {data.ids[number]} has {len(spans)} spans of {TRACE}")
        return 1

    def search(number: int) -> int:
        one = asked[number]
        tags = json.dumps({"http.route": one["route"], "http.request.method": one["method"]})
        query = {"service": one["service"], "minDuration": f"{one['milliseconds']}ms", "tags": tags}
        return len(peer.get("/api/traces", limit=LIMIT, **query, **day))

    return {"trace by id": by_id, "search, 20": search}


def size_of(directory: Path) -> int:
    """Bytes on disk of the files below a directory; Badger's are sparse."""
    return sum(path.stat().st_blocks * 512 for path in directory.rglob("*") if path.is_file())


def measure_ours(options: argparse.Namespace, spans: int) -> None:
    """Fill the server and ask it."""
    source = Source(spans, options.tries)
    with running(options) as server:
        seconds = fill(server.grpc, "traces", source.bodies())
        data = source.data()
        server.wait_stored("spans", data.spans, 900, 1.0)
        server.settle("spans", options.settle)
        size = server.tables()["spans"]["bytes"] / data.spans
        print(f"- ophion: {data.spans:,} spans in {seconds:.0f} s, {size:.0f} bytes a span\n\n{HEADER}", flush=True)
        server.stop()
        server.start()
        rows("ophion", ours(server, data, options.tries), options.tries)
        print(f"\n- ophion: at most {server.process.peak_rss() / 2**20:.0f} MiB after the restart\n", flush=True)


def measure_theirs(directory: Path, options: argparse.Namespace, spans: int) -> None:
    """Fill Jaeger and ask it, where there is one."""
    source = Source(spans, options.tries)
    with jaeger(directory) as peer:
        if peer is None:
            return
        seconds = fill(peer.grpc, "traces", source.bodies())
        data = source.data()
        wait_until(lambda: _has(peer, data.ids[-1]), 300, "the last trace in Jaeger", 1.0)
        size = size_of(directory) / data.spans
        print(f"- jaeger: {data.spans:,} spans in {seconds:.0f} s, {size:.0f} bytes a span\n\n{HEADER}", flush=True)
        rows("jaeger", theirs(peer, data, options.tries), options.tries)
        print(f"\n- jaeger: at most {peer.process.peak_rss() / 2**20:.0f} MiB\n", flush=True)


def _has(peer: Jaeger, name: str) -> bool:
    try:
        return bool(peer.get(f"/api/traces/{name}"))
    except BenchmarkError:
        return False


def run(options: argparse.Namespace) -> None:
    """Print the rows of both systems."""
    spans = 200_000 if options.quick else options.spans
    title("Server: find traces", f"{spans:,} spans of 24 hours; medians of {options.tries} tries, each of another")
    measure_ours(options, spans)
    with tempfile.TemporaryDirectory(prefix="ophion-bench-", dir=options.scratch or None) as scratch:
        measure_theirs(Path(scratch) / "jaeger", options, spans)


def options_of(parser: argparse.ArgumentParser) -> None:
    """The options of this script."""
    parser.add_argument("--spans", type=int, default=20_000_000)
    parser.add_argument("--tries", type=int, default=20)
    parser.add_argument("--settle", type=float, default=180.0, help="most seconds to wait for merges")


def main() -> int:
    """Parse the command line and run."""
    return main_of("Trace by id, and trace search, over 24 hours.", options_of, run)


if __name__ == "__main__":
    raise SystemExit(main())
