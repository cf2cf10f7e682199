"""Crashes: the agent gets SIGKILL again and again under load; what it acknowledged must arrive at least once.

Every span is numbered, the queue is durable, senders retry what was not acknowledged. After the rounds the backend
closes its port for a while under load and opens it again: everything must arrive then too. The share of duplicates is
printed.
"""

from __future__ import annotations

import argparse
import random
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path

from benchmarks import harness
from benchmarks.process import BenchmarkError, Helper, Measured, machine
from benchmarks.systems import OPHION, OTELCOL, Job, Launch, Ports, System

HEADER = (
    "| system | kills | backend down, s | acknowledged | lost | again after kills "
    "| again after outage | share of all | requests retried by senders | verdict |\n"
    "|---|---|---|---|---|---|---|---|---|---|"
)
PER_REQUEST = 20
JOB = Job(
    batch="exporter",
    durable=True,
    queue={"queue_size": 100_000, "block_on_overflow": True},
    retry={"initial_interval": "100ms", "max_interval": "1s", "max_elapsed_time": "0s"},
)


@dataclass
class Ledger:
    """What the senders were promised."""

    acknowledged: list[int] = field(default_factory=list)
    retries: int = 0

    def note(self, answer: dict[str, object]) -> None:
        """Add the answer of one burst of load."""
        firsts = answer["acknowledged"]
        assert isinstance(firsts, list)
        self.acknowledged += firsts
        self.retries += int(str(answer["retries"]))

    def missing(self, sink: Helper) -> int:
        """How many acknowledged items have not arrived."""
        if not self.acknowledged:
            return 0
        answer = sink.ask(f"missing {PER_REQUEST} " + " ".join(map(str, self.acknowledged)))
        return int(answer["missing"])


class Victim:
    """The agent on fixed ports and a queue directory that outlives it."""

    def __init__(self, system: System, ports: Ports, scratch: Path) -> None:
        self.launch: Launch = system.launch(JOB, ports, scratch)
        self.ports = ports
        self.scratch = scratch
        self.process = self.start()

    def start(self) -> Measured:
        """A new process, accepting connections."""
        process = Measured(self.launch.command, self.scratch / "agent.log", self.launch.env)
        process.wait_for_port(self.ports.grpc_in)
        return process

    def cut(self) -> None:
        """SIGKILL and start again."""
        self.process.kill()
        self.process = self.start()


def rounds(victim: Victim, sender: Helper, count: int, rng: random.Random, ledger: Ledger) -> None:
    """Kill at a random moment of each of `count` bursts of load."""
    for _ in range(count):
        sender.send("for 4")
        time.sleep(rng.uniform(0.05, 1.5))
        victim.cut()
        ledger.note(sender.read())


def outage(sink: Helper, sender: Helper, seconds: float, ledger: Ledger) -> None:
    """Load while the backend's port is closed for `seconds`."""
    sender.send(f"for {seconds + 2}")
    time.sleep(1)
    sink.ask("down")
    time.sleep(seconds)
    sink.ask("up")
    ledger.note(sender.read())


def settle(sink: Helper, ledger: Ledger, patience: float) -> int:
    """How many acknowledged items are missing once nothing more arrives, or after `patience` seconds."""
    deadline = time.monotonic() + patience
    while (missing := ledger.missing(sink)) and time.monotonic() < deadline:
        time.sleep(1)
    return missing


def row(system: System, options: argparse.Namespace) -> int:
    """Print one line of the table; how many acknowledged items were lost."""
    rng, ledger = random.Random(options.seed), Ledger()
    load = harness.Load(items=PER_REQUEST, in_flight=8)
    extra = ("--ids", "--retry", "--rate", str(options.rate), "--timeout", "10")
    with tempfile.TemporaryDirectory(prefix="ophion-bench-") as scratch, harness.backend("--ids") as sink:
        ports = harness.ports_for(sink)
        victim = Victim(system, ports, Path(scratch))
        try:
            with harness.generator(JOB, load, ports, *extra) as sender:
                rounds(victim, sender, options.rounds, rng, ledger)
                lost_by_kills = settle(sink, ledger, options.patience)
                again_by_kills = sink.ask("stats")["duplicates"]
                outage(sink, sender, options.down, ledger)
                lost = settle(sink, ledger, options.patience)
        finally:
            victim.process.stop()
        stats = sink.ask("stats")
    total = len(ledger.acknowledged) * PER_REQUEST
    share = stats["duplicates"] / max(1, stats["items"]) * 100
    verdict = "held" if not lost else f"LOST ({lost_by_kills:,} after the kills)"
    print(
        f"| {system.name} | {options.rounds} | {options.down:g} | {total:,} | {lost:,} | {again_by_kills:,} "
        f"| {stats['duplicates'] - again_by_kills:,} | {share:.2f} % "
        f"| {ledger.retries:,} x {PER_REQUEST} | {verdict} |",
        flush=True,
    )
    return lost


def run(options: argparse.Namespace) -> None:
    """Print one row per system; raises BenchmarkError when ours lost something."""
    if options.quick:
        options.rounds, options.down = 3, 3.0
    print(f"\n## kill -9 under load, durable queue\n\n{machine()}\n\n{HEADER}", flush=True)
    systems = [system for system in (OPHION, OTELCOL) if options.system in ("", system.name)]
    lost = {system.name: row(system, options) for system in harness.present(systems)}
    if lost.get(OPHION.name):
        raise BenchmarkError(f"ophion: {lost[OPHION.name]} acknowledged items never arrived")


def main() -> int:
    """Parse the command line and run."""
    parser = argparse.ArgumentParser(description="kill -9 at random moments under load, then a backend outage.")
    parser.add_argument("--rounds", type=int, default=50)
    parser.add_argument("--down", type=float, default=120.0, help="seconds that the backend's port stays closed")
    parser.add_argument("--rate", type=float, default=4_000, help="spans a second that are offered")
    parser.add_argument("--patience", type=float, default=120.0, help="seconds to wait for what is still missing")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--system", default=OPHION.name, choices=("", OPHION.name, OTELCOL.name))
    parser.add_argument("--quick", action="store_true", help="3 rounds, backend down 3 s")
    return harness.script(parser, run)


if __name__ == "__main__":
    raise SystemExit(main())
