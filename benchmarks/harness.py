"""Runs systems under test in turn under the same load, checks that every item arrived, and prints a table.

The figure that counts is CPU-seconds of the measured process per million items: load generator and backend share the
cores with it, so its wall-clock rate says as much about them. Systems alternate (A B A B) and medians are reported;
ratios are between medians of the same run.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from benchmarks.payloads import MAKERS, Signal
from benchmarks.process import BenchmarkError, Helper, Measured, free_port, machine, wait_until
from benchmarks.systems import ATTRIBUTE, OPHION, Compression, Job, Ports, System, installed


@dataclass(frozen=True)
class Load:
    """What is sent: requests of `items` items of one signal, `in_flight` of them at a time."""

    items: int = 512
    requests: int = 600
    signal: Signal = "traces"
    in_flight: int = 16
    connections: int = 4
    compression: Compression = "none"

    def describe(self) -> str:
        """The shape in words."""
        size = len(MAKERS[self.signal](self.items, 0)) / self.items
        lanes = f"{self.in_flight} in flight on {self.connections} connections"
        return f"{self.requests:,} requests of {self.items} items ({self.signal}, {size:.0f} bytes an item), {lanes}"


@dataclass(frozen=True)
class Run:
    """One measured run of one system."""

    system: str
    items: int
    requests: int
    cpu_seconds: float
    seconds: float
    peak_rss: int
    generator_cpu_seconds: float

    @property
    def per_million(self) -> float:
        """CPU-seconds of the measured process per million items."""
        return self.cpu_seconds / self.items * 1e6

    @property
    def per_request_us(self) -> float:
        """CPU-microseconds of the measured process per request."""
        return self.cpu_seconds / self.requests * 1e6

    @property
    def rate(self) -> float:
        """Items a second by the wall clock."""
        return self.items / self.seconds


@contextmanager
def backend(*arguments: str) -> Iterator[Helper]:
    """A running `benchmarks.sink`."""
    with Helper("benchmarks.sink", *arguments) as sink:
        yield sink


def ports_for(sink: Helper) -> Ports:
    """Free ports for a system that sends to `sink`."""
    return Ports(free_port(), free_port(), sink.hello["grpc"], sink.hello["http"])


@contextmanager
def started(system: System, job: Job, ports: Ports, scratch: Path) -> Iterator[Measured]:
    """The system running and accepting connections."""
    launch = system.launch(job, ports, scratch)
    with Measured(launch.command, scratch / f"{system.name}.log".replace(" ", "_"), launch.env) as process:
        process.wait_for_port(ports.grpc_in if job.protocol == "grpc" else ports.http_in)
        yield process


def generator(job: Job, load: Load, ports: Ports, *more: str) -> Helper:
    """A ready `benchmarks.loadgen` aimed at the system's receiver."""
    target = f"127.0.0.1:{ports.grpc_in if job.protocol == 'grpc' else ports.http_in}"
    shape = ["--items", str(load.items), "--signal", load.signal, "--compression", load.compression]
    lanes = ["--in-flight", str(load.in_flight), "--connections", str(load.connections)]
    return Helper("benchmarks.loadgen", "--protocol", job.protocol, "--target", target, *shape, *lanes, *more)


def drive(sender: Helper, sink: Helper, requests: int, arrived_before: int, patience: float = 60.0) -> dict[str, float]:
    """Send `requests` and return the sender's answer once all items arrived; BenchmarkError when some did not."""
    answer = sender.ask(f"run {requests}")
    if answer["retryable"] or answer["permanent"]:
        raise BenchmarkError(f"sender: {answer['retryable']} retryable and {answer['permanent']} permanent refusals")
    expected = arrived_before + answer["items"]
    try:
        wait_until(lambda: sink.ask("stats")["items"] >= expected, patience, "arrival of every item", 0.02)
    except BenchmarkError as error:
        raise BenchmarkError(f"{error}: {sink.ask('stats')['items']} of {expected} arrived") from None
    if (arrived := sink.ask("stats")["items"]) > expected:
        raise BenchmarkError(f"backend: {arrived} items arrived, {expected} were sent")
    return answer


def measure(system: System, job: Job, load: Load) -> Run:
    """One run: start, warm up, measure the load until all of it arrived, stop."""
    try:
        return _measure(system, job, load)
    except BenchmarkError as error:
        raise BenchmarkError(f"{system.name}: {error}") from None


def _measure(system: System, job: Job, load: Load) -> Run:
    marker = ("--marker", ATTRIBUTE[0]) if job.insert_attribute else ()
    with tempfile.TemporaryDirectory(prefix="ophion-bench-") as scratch, backend(*marker) as sink:
        ports = ports_for(sink)
        with started(system, job, ports, Path(scratch)) as process, generator(job, load, ports) as sender:
            warm = drive(sender, sink, max(load.in_flight, load.requests // 10), 0)
            before = process.cpu_seconds()
            answer = drive(sender, sink, load.requests, int(warm["items"]))
            cpu = process.cpu_seconds() - before
            stats = sink.ask("stats")
            if job.insert_attribute and stats["marked"] != stats["items"]:
                raise BenchmarkError(f"{stats['marked']} of {stats['items']} items carry {ATTRIBUTE[0]}")
            return Run(
                system=system.name,
                items=int(answer["items"]),
                requests=int(answer["requests"]),
                cpu_seconds=cpu,
                seconds=answer["seconds"],
                peak_rss=process.peak_rss(),
                generator_cpu_seconds=answer["cpu_seconds"],
            )


def alternate(systems: Sequence[System], repeats: int, once: Callable[[System], Run]) -> dict[str, list[Run]]:
    """Runs by system name, taken in the order A B A B."""
    runs: dict[str, list[Run]] = {system.name: [] for system in systems}
    for _ in range(repeats):
        for system in systems:
            runs[system.name].append(once(system))
    return runs


def median(runs: Sequence[Run]) -> Run:
    """The run with the middle CPU cost (of two middle ones, the cheaper)."""
    middle = statistics.median_low([run.per_million for run in runs])
    return next(run for run in runs if run.per_million == middle)


HEADER = (
    "| job | system | CPU-s per million items | us per request | items/s | peak RSS MiB | spread | ratio | goal |\n"
    "|---|---|---|---|---|---|---|---|---|"
)


def row(title: str, runs: Sequence[Run], base: Run | None, goal: float | None = None) -> str:
    """One line of the table; the ratio is to `base`, the peer's median run, and `goal` is the highest one wanted."""
    middle = median(runs)
    low, high = min(run.per_million for run in runs), max(run.per_million for run in runs)
    times = middle.per_million / base.per_million if base else 0.0
    ratio = f"{times:.2f} x {base.system}" if base else ""
    wanted = f"<= {goal:.2f} {'met' if times <= goal else 'MISSED'}" if base and goal else ""
    return (
        f"| {title} | {middle.system} | {middle.per_million:.2f} | {middle.per_request_us:.0f} | {middle.rate:,.0f} "
        f"| {middle.peak_rss / 2**20:.0f} | {low:.2f}-{high:.2f} | {ratio} | {wanted} |"
    )


def compare(
    title: str, systems: Sequence[System], job: Job, load: Load, repeats: int, goal: float | None = None
) -> dict[str, Run]:
    """Measure every system in turn, print its row, and return the median runs.

    The last system is the peer of the others; `goal` is the ratio to it that ours should not exceed.
    """
    runs = alternate(systems, repeats, lambda system: measure(system, job, load))
    middles = {name: median(found) for name, found in runs.items()}
    peer = middles[systems[-1].name] if len(systems) > 1 else None
    for name, found in runs.items():
        base = peer if peer and name != peer.system else None
        print(row(title, found, base, goal if name.startswith(OPHION.name) else None), flush=True)
    return middles


def present(systems: Sequence[System]) -> list[System]:
    """Those that are on this machine; says which are not."""
    for system in systems:
        if not installed(system):
            print(f"({system.name} is not on this machine: left out)", flush=True)
    return [system for system in systems if installed(system)]


def preamble(title: str, loads: Sequence[Load]) -> None:
    """Print what is measured, where and under what load."""
    shapes = "\n".join(f"- {load.describe()}" for load in loads)
    print(f"\n## {title}\n\n{machine()}\n\n{shapes}\n\n{HEADER}", flush=True)


def add_options(parser: argparse.ArgumentParser, sizes: str) -> None:
    """The options that every throughput script has; `sizes` is the default of `--sizes`."""
    known = ", ".join(map(str, SIZES))
    parser.add_argument("--sizes", default=sizes, help=f"spans per request, comma-separated, of: {known}")
    parser.add_argument("--repeats", type=int, default=3, help="runs of each system, alternating")
    parser.add_argument("--scale", type=float, default=1.0, help="factor on the number of requests")
    parser.add_argument("--quick", action="store_true", help="one run of a tenth of the load")


SIZES: dict[int, Load] = {
    512: Load(items=512, requests=1000),
    100: Load(items=100, requests=4000),
    10: Load(items=10, requests=15_000, in_flight=32),
}


def chosen(options: argparse.Namespace) -> list[Load]:
    """The loads of `--sizes`, with `--scale` applied."""
    loads = [SIZES[int(size)] for size in options.sizes.split(",")]
    return [replace(load, requests=max(load.in_flight, int(load.requests * options.scale))) for load in loads]


def script(parser: argparse.ArgumentParser, body: Callable[[argparse.Namespace], None]) -> int:
    """Parse the command line and run `body`; 1, with the reason printed, when items were lost or a part failed."""
    options = parser.parse_args()
    if getattr(options, "quick", False) and hasattr(options, "repeats"):
        options.repeats, options.scale = 1, options.scale / 10
    try:
        body(options)
    except BenchmarkError as error:
        print(f"FAILED: {error}", flush=True)
        return 1
    return 0
