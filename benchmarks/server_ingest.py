"""What one core of a server takes: OTLP in, through the durable queue, to stored and queryable.

The server has one core to itself, the load generator another one. Every acknowledged item must be in the store at the
end. `items/s` counts from the first request to the moment when the last acknowledged item is stored, so what the queue
holds back does not flatter it. Then the load is offered at two paces, a tenth of the goal and most of what was reached,
and a marked request every now and then tells how long it takes from its acknowledgement until a query finds it.
"""

from __future__ import annotations

import argparse
import threading
import time
from dataclasses import dataclass
from typing import Any

from benchmarks.fresh import POOL, sample_rows
from benchmarks.payloads import Signal
from benchmarks.probes import Probes
from benchmarks.process import BenchmarkError, Helper, quantiles, wait_until
from benchmarks.server_process import ONLY_OTLP, TABLES, Server, header, main_of, running, title, verdict

GOALS: dict[Signal, int] = {"traces": 150_000, "logs": 200_000, "metrics": 300_000}
MOST_BYTES = {"traces": 90.0}
MOST_SECONDS = 1.0
ITEMS = 512
SERVER_CORE, GENERATOR_CORE = 0, 1
HEADER = header(
    "signal",
    "protocol",
    "items/s",
    "CPU-s per million",
    "bytes an item",
    "bytes, all tables",
    "visible after, ms, at items/s",
    "p50",
    "max",
    "at items/s",
    "p50",
    "max",
    "peak RSS MiB",
    "items stored + twice",
    "goals",
)


@dataclass(frozen=True)
class Flood:
    """What came of sending as fast as acknowledgements came."""

    rate: float
    per_million: float


def expected_rows(signal: Signal, items: int) -> int:
    """Rows of the signal's table that `items` items make; fewer than a request are probes."""
    return items // ITEMS * sample_rows(ITEMS)[0] + items % ITEMS if signal == "metrics" else items


def checked(answer: dict[str, Any]) -> int:
    """The acknowledged items of one command; BenchmarkError for refusals that no retry can mend."""
    if answer["permanent"]:
        raise BenchmarkError(f"server: {answer['permanent']} permanent refusals")
    return int(answer["items"])


def drained(server: Server, signal: Signal, items: int, seconds: float) -> None:
    """Return when the exporter has written `items` items."""
    found = 0

    def is_done() -> bool:
        nonlocal found
        server.process.check()
        found = server.exported(signal)
        return found >= items

    try:
        wait_until(is_done, seconds, f"{items:,} items stored", 0.1)
    except BenchmarkError as error:
        raise BenchmarkError(f"{error}: {found:,} are") from None


def flood(server: Server, signal: Signal, sender: Helper, before: int, seconds: float) -> tuple[Flood, int]:
    """Send for `seconds` as fast as acknowledgements come; the figures and how many items were acknowledged."""
    cpu, started = server.process.cpu_seconds(), time.monotonic()
    items = checked(sender.ask(f"for {seconds}"))
    drained(server, signal, before + items, seconds * 10 + 60)
    taken = time.monotonic() - started
    return Flood(items / taken, (server.process.cpu_seconds() - cpu) / items * 1e6), items


@dataclass(frozen=True)
class Paced:
    """What came of sending at a pace: milliseconds from acknowledgements until queries found what they stood for."""

    rate: float
    milliseconds: dict[str, float]


def paced(server: Server, signal: Signal, options: argparse.Namespace, rate: float) -> tuple[Paced, int]:
    """Send at `rate` items a second beside probes; the figures and how many items were acknowledged."""
    probes, done = Probes(server, signal), threading.Event()
    thread = threading.Thread(target=probes.run, args=(done,))
    with sender_for(server, signal, options, rate) as sender:
        thread.start()
        try:
            items = checked(sender.ask(f"for {options.seconds}"))
        finally:
            done.set()
            thread.join()
    if probes.failure:
        raise BenchmarkError(probes.failure)
    return Paced(rate, quantiles(probes.milliseconds)), items + probes.items


def sender_for(server: Server, signal: Signal, options: argparse.Namespace, rate: float) -> Helper:
    """A load generator that sends again what was refused as retryable."""
    lanes = ("--in-flight", str(options.in_flight), "--retry", "--rate", str(rate))
    return server.generator(signal, options.protocol, *lanes, items=ITEMS, core=GENERATOR_CORE)


def measure(signal: Signal, options: argparse.Namespace) -> str:
    """The row of one signal over one protocol."""
    with running(options, core=SERVER_CORE, sets=ONLY_OTLP) as server:
        with sender_for(server, signal, options, 0) as sender:
            # Each series is seen once before the clock starts.
            total = checked(sender.ask(f"run {POOL}"))
            drained(server, signal, total, 60)
            flooded, items = flood(server, signal, sender, total, options.seconds)
            total += items
        every: list[Paced] = []
        for rate in (GOALS[signal] / 10, min(float(GOALS[signal]), flooded.rate * options.share)):
            found, items = paced(server, signal, options, rate)
            every.append(found)
            total += items
            drained(server, signal, total, 120)
        return row(server, signal, options.protocol, total, flooded, every)


def row(
    server: Server,
    signal: Signal,
    protocol: str,
    items: int,
    flooded: Flood,
    every: list[Paced],
) -> str:
    """One line of the table; BenchmarkError when what is stored is not what was acknowledged."""
    time.sleep(5)  # Merges that have begun come to an end.
    tables = server.tables()
    stored, expected = tables[TABLES[signal]]["rows"], expected_rows(signal, items)
    if stored < expected:
        raise BenchmarkError(f"{signal}: {stored:,} rows in {TABLES[signal]}, {expected:,} were acknowledged")
    own = sum(table["bytes"] for table in tables.values() if table["signal"] == signal) / items
    main = tables[TABLES[signal]]["bytes"] / items
    goals = {
        f">= {GOALS[signal]:,}/s": flooded.rate >= GOALS[signal],
        f"<= {MOST_SECONDS:g} s": every[0].milliseconds["max"] <= MOST_SECONDS * 1000,
    }
    if signal in MOST_BYTES:
        goals[f"<= {MOST_BYTES[signal]:g} B"] = main <= MOST_BYTES[signal]
    judged = ", ".join(f"{goal} {verdict(met=met)}" for goal, met in goals.items())
    late = "".join(
        f"| {one.rate:,.0f} | {one.milliseconds['p50']:.0f} | {one.milliseconds['max']:.0f} " for one in every
    )
    return (
        f"| {signal} | {protocol} | {flooded.rate:,.0f} | {flooded.per_million:.2f} | {main:.1f} | {own:.1f} {late}"
        f"| {server.process.peak_rss() / 2**20:.0f} | {items:,} + {stored - expected:,} | {judged} |"
    )


def run(options: argparse.Namespace) -> None:
    """Print one row per signal and protocol."""
    if options.quick:
        options.seconds = 4.0
    title(
        "Server: ingest on one core",
        f"requests of {ITEMS} items, {options.in_flight} in flight, {options.seconds:g} s as fast as acknowledgements "
        "come, then as long at each of two paces",
        "the server on one core, the load generator on another; nothing is sent twice, ids and times are new",
    )
    print(HEADER, flush=True)
    for signal in GOALS:
        for protocol in options.protocols.split(","):
            if signal in options.signals.split(","):
                options.protocol = protocol
                print(measure(signal, options), flush=True)


def options_of(parser: argparse.ArgumentParser) -> None:
    """The options of this script."""
    parser.add_argument("--seconds", type=float, default=30.0, help="length of the flood, and of each paced load")
    parser.add_argument("--signals", default=",".join(GOALS), help="comma-separated")
    parser.add_argument("--protocols", default="grpc,http", help="comma-separated")
    parser.add_argument("--in-flight", type=int, default=32, help="requests on the way")
    parser.add_argument("--share", type=float, default=0.8, help="share of the measured rate that is the second pace")


def main() -> int:
    """Parse the command line and run."""
    return main_of("OTLP to stored and queryable, on one core.", options_of, run)


if __name__ == "__main__":
    raise SystemExit(main())
