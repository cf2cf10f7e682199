"""What a server costs that only watches its own host: memory, share of a core, time to ready."""

from __future__ import annotations

import argparse
import time

from benchmarks.hostmetrics_idle import observe
from benchmarks.process import BenchmarkError
from benchmarks.server_process import header, main_of, running, title, verdict

MOST_MB = 350.0
HEADER = header(
    "ready, s", "RSS MB", "PSS MB", "anonymous MB", "peak RSS MB", "CPU, % of a core", "samples stored", "goal"
)


def run(options: argparse.Namespace) -> None:
    """Print the row."""
    warm_up, seconds = (5.0, 10.0) if options.quick else (options.warm_up, options.seconds)
    title(
        "Server: idle with its own host's metrics",
        f"configs/all-in-one.yaml, host metrics every 10 s; watched for {seconds:g} s after {warm_up:g} s",
    )
    with running(options) as server:
        ready = server.ready_seconds
        time.sleep(warm_up)
        cpu = observe(server.process, seconds)
        memory, peak = server.process.process.memory_full_info(), server.process.peak_rss()
        status = server.process.status_kib("RssAnon") * 1024
        samples = server.rows("samples")
    if not samples:
        raise BenchmarkError("server: stored no sample of its host")
    goal = f"RSS <= {MOST_MB:g} MB {verdict(met=memory.rss <= MOST_MB * 1e6)}"
    sizes = (memory.rss, memory.pss, status, peak)
    print(HEADER)
    print(f"| {ready:.2f} | {' | '.join(f'{size / 1e6:.0f}' for size in sizes)} | {cpu:.2f} | {samples} | {goal} |")


def options_of(parser: argparse.ArgumentParser) -> None:
    """The options of this script."""
    parser.add_argument("--warm-up", type=float, default=60.0, help="seconds before it is watched")
    parser.add_argument("--seconds", type=float, default=60.0, help="how long to watch")


def main() -> int:
    """Parse the command line and run."""
    return main_of("Memory and CPU of an idle all-in-one server.", options_of, run)


if __name__ == "__main__":
    raise SystemExit(main())
