"""How soon senders are answered at a tenth of the load that a server takes, alone and beside 20 query clients.

The queue is durable: an acknowledgement means that the data is on the disk. Milliseconds are those of the
acknowledgement, from the request's first byte until the answer is read.
"""

from __future__ import annotations

import argparse
import re
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any

from benchmarks.fresh import POOL
from benchmarks.payloads import Signal
from benchmarks.process import BenchmarkError, Helper
from benchmarks.server_ingest import GOALS, drained
from benchmarks.server_process import CONFIG, ONLY_OTLP, Server, header, main_of, running, title, verdict

MOST_MS = 50.0
LOADS: dict[Signal, int] = {signal: rate // 10 for signal, rate in GOALS.items()}
HEADER = header(
    "load",
    "query clients",
    "items/s",
    "ack ms: p50",
    "p95",
    "p99",
    "max",
    "told to retry",
    "queries/s",
    "query ms: p50",
    "p99",
    "query errors",
    "peak RSS MiB",
    "limit MiB",
    "verdict",
)


@dataclass(frozen=True)
class Beside:
    """What came of one load, by signal, and of the clients beside it."""

    answers: dict[Signal, dict[str, Any]]
    queries: dict[str, Any] | None

    def worst(self, name: str) -> float:
        """The highest percentile of this name of all signals."""
        return max(float(answer["ack_ms"][name]) for answer in self.answers.values())

    def total(self, name: str) -> float:
        """The sum over all signals."""
        return sum(float(answer[name]) for answer in self.answers.values())


def limit_mib() -> int:
    """`memory_limiter.limit_mib` of the configuration."""
    found = re.search(r"^ +limit_mib: (\d+)$", CONFIG.read_text(), re.MULTILINE)
    if found is None:
        raise BenchmarkError(f"{CONFIG}: has no limit_mib")
    return int(found.group(1))


@contextmanager
def senders(server: Server, signals: Sequence[Signal], options: argparse.Namespace) -> Iterator[dict[Signal, Helper]]:
    """A load generator for each signal at a tenth of the goal, all of whose connections are open."""
    with ExitStack() as stack:
        made: dict[Signal, Helper] = {}
        for signal in signals:
            pace = ("--rate", str(LOADS[signal] * options.scale), "--in-flight", "64", "--retry")
            made[signal] = stack.enter_context(server.generator(signal, options.protocol, *pace))
        yield made


def query_clients(server: Server, options: argparse.Namespace) -> Helper:
    """The query clients of `--clients`, ready."""
    counts = ("--clients", str(options.clients), "--pause", str(options.pause))
    return Helper("benchmarks.query_clients", "--target", f"127.0.0.1:{server.api}", "--key", server.key, *counts)


def loaded(server: Server, made: dict[Signal, Helper], clients: Helper | None, seconds: float) -> Beside:
    """Send for `seconds`, with or without clients beside it."""
    for helper in [*made.values(), *([clients] if clients else [])]:
        helper.send(f"for {seconds}")
    queries = clients.read() if clients else None
    answers = {signal: sender.read() for signal, sender in made.items()}
    for signal, answer in answers.items():
        if answer["permanent"]:
            raise BenchmarkError(f"{signal}: {answer['permanent']} permanent refusals")
    server.process.check()
    return Beside(answers, queries)


def row(load: str, found: Beside, clients: int, server: Server) -> str:
    """One line of the table."""
    seconds = max(answer["seconds"] for answer in found.answers.values())
    peak, limit = server.process.peak_rss() / 2**20, limit_mib()
    queries = found.queries or {"answers": 0, "errors": {}, "all_ms": {"p50": 0.0, "p99": 0.0}}
    errors = sum(queries["errors"].values())
    good = found.worst("p99") <= MOST_MS and peak <= limit and not errors
    return (
        f"| {load} | {clients} | {found.total('items') / seconds:,.0f} | {found.worst('p50'):.1f} "
        f"| {found.worst('p95'):.1f} | {found.worst('p99'):.1f} | {found.worst('max'):.1f} "
        f"| {found.total('retries'):,.0f} | {queries['answers'] / seconds:.1f} | {queries['all_ms']['p50']:.0f} "
        f"| {queries['all_ms']['p99']:.0f} | {errors} | {peak:.0f} | {limit} | {verdict(met=good)} |"
    )


def told(found: Beside) -> None:
    """Print what the clients got of each kind of query, and which errors."""
    if found.queries is None:
        return
    for kind, figures in sorted(found.queries["ms"].items()):
        print(f"- {kind}: p50 {figures['p50']:.0f} ms, p99 {figures['p99']:.0f} ms, max {figures['max']:.0f} ms")
    for error, count in found.queries["errors"].items():
        print(f"- {count} x {error}")


def run(options: argparse.Namespace) -> None:
    """Print a row for each load, alone and with clients."""
    if options.quick:
        options.seconds = 4.0
    title(
        "Server: acknowledgements at a tenth of the load",
        f"{options.protocol}, requests of 512 items, paced, {options.seconds:g} s each",
        f"{options.clients} query clients with {options.pause:g} s between an answer and the next question",
    )
    every: list[Signal] = [signal for signal in LOADS if signal in options.signals.split(",")]
    groups: list[list[Signal]] = [[signal] for signal in every] + ([every] if len(every) > 1 else [])
    last: Beside | None = None
    with running(options, sets=ONLY_OTLP) as server:
        sent = dict.fromkeys(every, 0.0)
        print(HEADER, flush=True)
        for group in groups:
            with senders(server, group, options) as made, query_clients(server, options) as clients:
                # New series and connections are not what is measured.
                for signal in group:
                    sent[signal] += made[signal].ask(f"run {POOL}")["items"]
                    drained(server, signal, int(sent[signal]), 120)
                for beside in (None, clients):
                    last = loaded(server, made, beside, options.seconds)
                    print(row(" + ".join(group), last, options.clients if beside else 0, server), flush=True)
                    for signal in group:
                        sent[signal] += last.answers[signal]["items"]
        for signal in every:
            drained(server, signal, int(sent[signal]), 120)
    print("\nWhat the clients asked beside the last load:\n")
    if last is not None:
        told(last)


def options_of(parser: argparse.ArgumentParser) -> None:
    """The options of this script."""
    parser.add_argument("--seconds", type=float, default=60.0, help="length of each load")
    parser.add_argument("--signals", default=",".join(LOADS), help="comma-separated")
    parser.add_argument("--protocol", default="grpc", choices=("grpc", "http"))
    parser.add_argument("--clients", type=int, default=20, help="query clients")
    parser.add_argument("--pause", type=float, default=1.0, help="seconds between an answer and the next question")
    parser.add_argument("--scale", type=float, default=1.0, help="factor on a tenth of the load")


def main() -> int:
    """Parse the command line and run."""
    return main_of("Ack latency at a tenth of the load, with and without query clients.", options_of, run)


if __name__ == "__main__":
    raise SystemExit(main())
