"""Crashes of the whole server: SIGKILL again and again under ingest; what it acknowledged must be queryable afterwards.

First a tenth of the load runs beside 20 query clients: the p99 of the acknowledgements and the memory must stay within
their limits. Then come the rounds, with the clients still asking. Every span is numbered and every request is one
trace. After each restart the traces acknowledged last must be found by their ids, all their spans, within a bounded
time; at the end the numbers of all spans are read from the store, which also tells what is there twice.
"""

from __future__ import annotations

import argparse
import json
import random
import statistics
import time
from dataclasses import dataclass, field
from typing import Any

from benchmarks.fresh import trace_of
from benchmarks.process import BenchmarkError, Helper, wait_until
from benchmarks.server_ack import MOST_MS, limit_mib, query_clients
from benchmarks.server_process import ONLY_OTLP, Server, header, main_of, running, title, verdict

PER_REQUEST = 512
LAST = 10
HEADER = header(
    "kills", "acknowledged", "lost", "there twice", "share", "ready after, s: p50", "max", "queryable after, s: p50",
    "max", "sent again by senders", "verdict",
)  # fmt: skip
CALM_HEADER = header(
    "spans/s", "query clients", "ack ms: p50", "p95", "p99", "max", "queries/s", "query errors", "peak RSS MiB",
    "limit MiB", "verdict",
)  # fmt: skip
NUMBERS = (
    "SELECT first, uniqExact(number) AS distinct, count() AS spans FROM (SELECT "
    f"reinterpretAsUInt64(reverse(span_id)) AS number, intDiv(number, {PER_REQUEST}) * {PER_REQUEST} AS first "
    "FROM spans WHERE startsWith(trace_id, 'numbered')) GROUP BY first"
)


@dataclass
class Ledger:
    """What the senders were promised, and how the server came back."""

    acknowledged: list[int] = field(default_factory=list)
    retries: int = 0
    ready: list[float] = field(default_factory=list)
    queryable: list[float] = field(default_factory=list)

    def note(self, answer: dict[str, Any]) -> None:
        """Add the answer of one burst of load; BenchmarkError for refusals that no retry can mend."""
        if answer["permanent"]:
            raise BenchmarkError(f"server: {answer['permanent']} permanent refusals")
        self.acknowledged += answer["acknowledged"]
        self.retries += answer["retries"]


def missing_spans(server: Server, first: int) -> int:
    """How many spans of a request a query does not find."""
    try:
        status, body = server.ask("GET", f"/api/traces/{trace_of(first).hex()}")
    except OSError:
        return PER_REQUEST
    if status == 404 or status >= 500:
        return PER_REQUEST
    if status != 200:
        raise BenchmarkError(f"server: trace of {first}: {status}: {body[:300]!r}")
    return PER_REQUEST - len({span["span_id"] for span in json.loads(body)["spans"]})


def wait_queryable(server: Server, firsts: list[int], seconds: float) -> float:
    """Seconds until a query finds every span of these requests; BenchmarkError after `seconds`."""
    left = list(firsts)

    def is_there() -> bool:
        while left and not missing_spans(server, left[-1]):
            left.pop()
        return not left

    try:
        return wait_until(is_there, seconds, "every acknowledged span queryable", 0.1)
    except BenchmarkError as error:
        raise BenchmarkError(f"{error}: {len(left)} of the last {len(firsts)} requests are not") from None


def calm(server: Server, sender: Helper, clients: Helper, options: argparse.Namespace, ledger: Ledger) -> bool:
    """Load and clients without a crash: print its row; whether the limits were kept."""
    ledger.note(sender.ask("for 2"))
    clients.send(f"for {options.calm}")
    answer = sender.ask(f"for {options.calm}")
    queries = clients.read()
    ledger.note(answer)
    ack, errors = answer["ack_ms"], sum(queries["errors"].values())
    peak, limit = server.process.peak_rss() / 2**20, limit_mib()
    good = ack["p99"] <= MOST_MS and peak <= limit
    print(
        f"{CALM_HEADER}\n| {answer['items'] / answer['seconds']:,.0f} | {options.clients} | {ack['p50']:.1f} "
        f"| {ack['p95']:.1f} | {ack['p99']:.1f} | {ack['max']:.1f} | {queries['answers'] / options.calm:.1f} "
        f"| {errors} | {peak:.0f} | {limit} | p99 <= {MOST_MS:g} ms, RSS within the limit: {verdict(met=good)} |\n",
        flush=True,
    )
    return good


def crash(server: Server, sender: Helper, clients: Helper, rng: random.Random, seconds: float, ledger: Ledger) -> None:
    """One round: kill at a random moment, start again, and find what was acknowledged last."""
    sender.send(f"for {seconds}")
    clients.send(f"for {seconds}")
    time.sleep(rng.uniform(0.1, seconds * 0.6))
    server.kill()
    server.start()
    ledger.ready.append(server.ready_seconds)
    # What the senders hold back is sent to the new process; the answer comes after that.
    ledger.note(sender.read())
    clients.read()
    ledger.queryable.append(wait_queryable(server, ledger.acknowledged[-LAST:], 60))


def accounted(server: Server, ledger: Ledger) -> tuple[int, int]:
    """How many acknowledged spans the store of the stopped server lacks, and how many it has twice."""
    with Helper("benchmarks.stored", str(server.directory / "var" / "telemetry")) as engine:
        columns = engine.ask(NUMBERS)["columns"]
    there = dict(zip(columns["first"], columns["distinct"], strict=True))
    lost = sum(PER_REQUEST - there.get(first, 0) for first in ledger.acknowledged)
    return lost, sum(columns["spans"]) - sum(columns["distinct"])


def rounds(server: Server, options: argparse.Namespace, ledger: Ledger) -> bool:
    """Load with and without crashes; whether the limits were kept before the first one."""
    rng = random.Random(options.seed)
    extra = ("--ids", "--retry", "--rate", str(options.rate), "--timeout", "10", "--max-seconds", "120")
    with (
        server.generator("traces", "grpc", *extra, "--in-flight", "16") as sender,
        query_clients(server, options) as clients,
    ):
        kept = calm(server, sender, clients, options, ledger)
        for number in range(options.rounds):
            crash(server, sender, clients, rng, options.burst, ledger)
            print(f"- round {number + 1}: {len(ledger.acknowledged) * PER_REQUEST:,} acknowledged", flush=True)
    wait_queryable(server, ledger.acknowledged[:LAST] + ledger.acknowledged[-LAST:], 120)
    return kept


def run(options: argparse.Namespace) -> None:
    """Print both rows; BenchmarkError when something acknowledged is missing or a limit was not kept."""
    if options.quick:
        options.rounds, options.calm = 2, 4.0
    title("Server: kill -9 under ingest", f"{options.rounds} rounds, {options.rate:,.0f} spans/s offered over gRPC")
    ledger = Ledger()
    with running(options, sets=ONLY_OTLP) as server:
        kept = rounds(server, options, ledger)
        server.stop()
        lost, twice = accounted(server, ledger)
    total = len(ledger.acknowledged) * PER_REQUEST
    print(
        f"\n{HEADER}\n| {options.rounds} | {total:,} | {lost:,} | {twice:,} | {twice / max(1, total) * 100:.2f} % "
        f"| {statistics.median(ledger.ready):.1f} | {max(ledger.ready):.1f} "
        f"| {statistics.median(ledger.queryable):.1f} | {max(ledger.queryable):.1f} "
        f"| {ledger.retries:,} x {PER_REQUEST} | {'held' if not lost else 'LOST'} |",
        flush=True,
    )
    if lost:
        raise BenchmarkError(f"server: {lost:,} acknowledged spans are not in the store")
    if not kept:
        print("(the limits beside query clients were not kept: see the first table)", flush=True)


def options_of(parser: argparse.ArgumentParser) -> None:
    """The options of this script."""
    parser.add_argument("--rounds", type=int, default=30)
    parser.add_argument("--rate", type=float, default=15_000, help="spans a second that are offered")
    parser.add_argument("--calm", type=float, default=30.0, help="seconds of load before the first crash")
    parser.add_argument("--burst", type=float, default=4.0, help="seconds of load of each round")
    parser.add_argument("--clients", type=int, default=20, help="query clients")
    parser.add_argument("--pause", type=float, default=1.0, help="seconds between an answer and the next question")
    parser.add_argument("--seed", type=int, default=1)


def main() -> int:
    """Parse the command line and run."""
    return main_of("kill -9 of a server under ingest; everything acknowledged is queryable.", options_of, run)


if __name__ == "__main__":
    raise SystemExit(main())
