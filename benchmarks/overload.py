"""Twice as much offered as the backend takes: memory stays bounded, senders are told to retry, no promise is broken.

Every span is numbered. The backend is paced; the load generator offers twice its pace and does not retry what is
refused. Afterwards the backend takes everything, and each acknowledged span must have arrived.
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks import harness
from benchmarks.process import BenchmarkError, Helper, Measured, machine, wait_until
from benchmarks.systems import OPHION, OTELCOL, Job, System

HEADER = (
    "| system | offered/s | backend/s | minutes | acknowledged | lost | told to retry | refused for good | duplicates "
    "| peak RSS MiB | limit MiB | verdict |\n|---|---|---|---|---|---|---|---|---|---|---|---|"
)
PER_REQUEST = 200


@dataclass(frozen=True)
class Outcome:
    """What came of one overloaded run."""

    answer: dict[str, Any]
    lost: int
    duplicates: int
    peak_rss: int


@contextmanager
def overloaded(system: System, options: argparse.Namespace) -> Iterator[tuple[Measured, Helper, Helper]]:
    """The system with a paced backend and a sender of twice the pace."""
    job = Job(
        batch="processor" if options.batch_processor else "exporter",
        memory_limit_mib=options.limit_mib,
        queue={"queue_size": options.queue_bytes, "sizer": "bytes"},
        retry={"max_elapsed_time": "0s", "initial_interval": "1s", "max_interval": "5s"},
    )
    load = harness.Load(items=PER_REQUEST, in_flight=32)
    pace = ("--ids", "--rate", str(2 * options.rate), "--timeout", "20")
    with tempfile.TemporaryDirectory(prefix="ophion-bench-") as scratch, harness.backend("--ids") as sink:
        ports = harness.ports_for(sink)
        sink.ask(f"rate {options.rate}")
        with (
            harness.started(system, job, ports, Path(scratch)) as process,
            harness.generator(job, load, ports, *pace) as sender,
        ):
            yield process, sink, sender


def outcome(system: System, options: argparse.Namespace, seconds: float) -> Outcome:
    """Overload `system` for `seconds`, let it drain, and count."""
    with overloaded(system, options) as (process, sink, sender):
        answer = sender.ask(f"for {seconds}")
        process.check()
        sink.ask("rate 0")
        question = f"missing {PER_REQUEST} " + " ".join(map(str, answer["acknowledged"]))
        lost = drained(sink, question, options.patience)
        return Outcome(answer, lost, sink.ask("stats")["duplicates"], process.peak_rss())


def drained(sink: Helper, question: str, patience: float) -> int:
    """How many acknowledged items are still missing when all arrived or `patience` seconds are over."""
    try:
        wait_until(lambda: sink.ask(question)["missing"] == 0, patience, "drain", 0.5)
    except BenchmarkError:
        return int(sink.ask(question)["missing"])
    return 0


def row(system: System, options: argparse.Namespace, seconds: float) -> bool:
    """Print one line of the table; whether the promise held."""
    found = outcome(system, options, seconds)
    peak, answer = found.peak_rss / 2**20, found.answer
    broken = {
        "items lost": found.lost > 0,
        "over the limit": peak > options.limit_mib,
        "never told to retry": answer["retryable"] == 0,
        "refused for good": answer["permanent"] > 0,
    }
    verdict = ", ".join(name for name, is_broken in broken.items() if is_broken).upper() or "held"
    print(
        f"| {system.name} | {2 * options.rate:,.0f} | {options.rate:,.0f} | {seconds / 60:.1f} | {answer['items']:,} "
        f"| {found.lost:,} | {answer['retryable']:,} requests | {answer['permanent']:,} | {found.duplicates:,} "
        f"| {peak:.0f} | {options.limit_mib} | {verdict} |",
        flush=True,
    )
    return verdict == "held"


def run(options: argparse.Namespace) -> None:
    """Print one row per system; raises BenchmarkError when ours breaks its promise."""
    seconds = 20.0 if options.quick else options.minutes * 60
    print(f"\n## Overload: offered twice what the backend takes\n\n{machine()}\n\n{HEADER}", flush=True)
    systems = [system for system in (OPHION, OTELCOL) if options.system in ("", system.name)]
    held = {system.name: row(system, options, seconds) for system in harness.present(systems)}
    if not held.get(OPHION.name, True):
        raise BenchmarkError("ophion: the promise under overload did not hold; see the row above")


def main() -> int:
    """Parse the command line and run."""
    parser = argparse.ArgumentParser(
        description="Offers twice what the backend takes; checks memory, answers and losses."
    )
    parser.add_argument("--minutes", type=float, default=5.0)
    parser.add_argument("--rate", type=float, default=10_000, help="items a second that the backend takes")
    parser.add_argument("--limit-mib", type=int, default=256, help="memory_limiter.limit_mib")
    parser.add_argument("--queue-bytes", type=int, default=50_000_000, help="sending_queue.queue_size, in bytes")
    parser.add_argument("--batch-processor", action="store_true", help="batch in a processor, not in the queue")
    parser.add_argument("--patience", type=float, default=120.0, help="seconds to drain afterwards")
    parser.add_argument("--system", default="", choices=("", OPHION.name, OTELCOL.name))
    parser.add_argument("--quick", action="store_true", help="20 seconds")
    return harness.script(parser, run)


if __name__ == "__main__":
    raise SystemExit(main())
