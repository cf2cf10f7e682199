"""What it costs to watch 100 containers: CPU of the agent's receiver and of the engine, from cgroups and from the API.

python -m benchmarks.docker_stats --containers 100 --looks 6

Needs root and the Docker Engine's package; starts an engine of its own and removes it again.
"""

from __future__ import annotations

import argparse
import asyncio
import importlib
import os
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from benchmarks.harness import script
from benchmarks.process import BenchmarkError, machine
from ophion_agent.clock import Clock
from ophion_agent.testing import make_component
from ophion_docker.stats import DockerStatsReceiver

GOAL_PERCENT = 3.0
_TICKS = os.sysconf("SC_CLK_TCK")


def of_tests(module: str) -> Any:
    """A module of the tests, which know how to start an engine and to make images of local files."""
    root = Path(__file__).resolve().parent.parent
    sys.path += [str(folder) for folder in (root, root / "tests") if str(folder) not in sys.path]
    try:
        return importlib.import_module(module)
    except ImportError as error:
        raise BenchmarkError(f"{module}: {error}; pip install -r requirements/dev.txt") from error


@contextmanager
def running_docker() -> Iterator[Any]:
    """An engine of its own; BenchmarkError, with the remedy, when the machine lacks what it needs."""
    outcomes = of_tests("_pytest.outcomes")
    try:
        with of_tests("docker_engine").running_docker() as docker:
            yield docker
    except outcomes.OutcomeException as error:
        raise BenchmarkError(f"docker: {error.msg}") from None


class Counted:
    """A pipeline that only counts points."""

    def __init__(self) -> None:
        self.points = 0
        self.batches = 0

    async def consume(self, batch: Any, /) -> None:
        """Count a batch."""
        self.points += len(batch)
        self.batches += 1


def engine_cpu_seconds(docker: Any) -> float:
    """CPU time so far of the daemon and its containerd."""
    total = 0
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit():
            continue
        try:
            command = (entry / "cmdline").read_bytes()
            fields = (entry / "stat").read_text().rpartition(")")[2].split()
        except OSError:
            continue
        if str(docker.folder).encode() in command and b"shim" not in command:
            total += int(fields[11]) + int(fields[12])
    return total / _TICKS


async def start_containers(docker: Any, containers: int) -> None:
    """Start as many sleeping containers."""
    async with docker.client(timeout_seconds=120) as engine:
        await docker.image(engine, "sleeping", ["sleep"])
        for number in range(containers):
            await docker.run(engine, "sleeping", ["sleep", "86400"], f"sleeper-{number}", Labels={"team": "bench"})


async def observe(docker: Any, source: str, interval: float, looks: int) -> str:
    """Run the receiver for some looks and return a line of the table."""
    sink = Counted()
    config = {"endpoint": docker.address, "source": source, "collection_interval": f"{interval:g}s"}
    receiver = make_component(DockerStatsReceiver, config, sink=sink, clock=Clock())
    await receiver.start()
    while sink.batches < 1:  # noqa: ASYNC110 - the first look also opens files and encodes resources
        await asyncio.sleep(0.05)
    await asyncio.sleep(0.5)
    began, cpu, engine = time.monotonic(), time.process_time(), engine_cpu_seconds(docker)
    points, batches = sink.points, sink.batches
    await asyncio.sleep(interval * looks)
    seconds = time.monotonic() - began
    ours = (time.process_time() - cpu) / seconds * 100
    theirs = (engine_cpu_seconds(docker) - engine) / seconds * 100
    await receiver.stop()
    await receiver.context.close()
    points, batches = sink.points - points, sink.batches - batches
    if not batches:
        raise BenchmarkError(f"docker_stats: {source}: no figures came within {seconds:.0f} s")
    per_look = ours / 100 * seconds / batches * 1000
    per_million = ours / 100 * seconds / points * 1e6
    met = f"{'meets' if ours <= GOAL_PERCENT else 'misses'} {GOAL_PERCENT:g} %" if source == "cgroup" else ""
    figures = f"{batches} | {points // batches} | {per_look:.1f} | {per_million:.1f} | {ours:.2f} | {theirs:.2f}"
    return f"| {source} | {figures} | {met} |"


def run(options: argparse.Namespace) -> None:
    """Print the table."""
    if options.quick:
        options.containers, options.looks, options.interval = 20, 3, 2.0
    print(f"\n## Watch {options.containers} containers every {options.interval:g} s\n\n- {machine()}\n")
    with running_docker() as docker:
        asyncio.run(start_containers(docker, options.containers))
        print("| source | looks | points a look | CPU ms a look | CPU-s per M points | agent, % | engine, % | goal |")
        print("|---|---|---|---|---|---|---|---|")
        for source in ("cgroup", "api"):
            print(asyncio.run(observe(docker, source, options.interval, options.looks)), flush=True)


def main() -> int:
    """Parse the command line and run."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--containers", type=int, default=100)
    parser.add_argument("--looks", type=int, default=6, help="how often the receiver looks while it is measured")
    parser.add_argument("--interval", type=float, default=10.0, help="seconds between looks")
    parser.add_argument("--quick", action="store_true", help="20 containers, 3 looks, every 2 s")
    return script(parser, run)


if __name__ == "__main__":
    raise SystemExit(main())
