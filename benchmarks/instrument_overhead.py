"""What instrumentation costs an application: time to start, memory, requests a second, CPU of a request.

python -m benchmarks.instrument_overhead --rounds 5 --seconds 8

Flask, gunicorn and Node.js in containers, as they are and instrumented by the product's own library, in turn; only one
runs at a time. Every request makes a span, a log record and metrics, nothing is sampled away, and an agent on the same
host takes them. The application has the first core, everything else the last. Needs root and the Docker Engine's
package; starts an engine of its own and removes it again.
"""

from __future__ import annotations

import argparse
import asyncio
import http.client
import os
import statistics
import tempfile
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil

from benchmarks.docker_stats import of_tests, running_docker
from benchmarks.harness import script
from benchmarks.process import BenchmarkError, Helper, machine, wait_until
from ophion_docker.engine import Engine
from ophion_docker.instrument.agent import AgentSocket
from ophion_docker.instrument.journal import Journal
from ophion_docker.instrument.service import Instrumentation
from ophion_docker.instrument.survey import Options
from ophion_docker.instrument.verify import Patience

PORT = 8000
READY_SECONDS = 60.0
# Longer than an SDK keeps spans back by default.
HELD_BACK_SECONDS = 6.0
MIB = 2**20


@dataclass(frozen=True)
class Application:
    """What runs in the containers."""

    title: str
    language: str
    path: str
    command: list[str]


PYTHON = "/usr/bin/python3.11"
GUNICORN = [PYTHON, "-m", "gunicorn", "--workers", "2", "--bind", f"0.0.0.0:{PORT}", "app:app"]
APPLICATIONS = {
    "flask": Application("Flask, its own server", "python", "/hello/eve", [PYTHON, "app.py"]),
    "gunicorn": Application("Flask, gunicorn with 2 workers", "python", "/hello/eve", GUNICORN),
    "node": Application("Node.js 22, http and pino", "nodejs", "/", ["/bin/node", "/app/app.cjs"]),
}


@dataclass(frozen=True)
class Figures:
    """One round of one container. Memory is that of all its processes."""

    ready_seconds: float
    idle_rss: float
    rss: float
    anonymous: float
    rate: float
    cpu_ms: float
    paced_cpu_ms: float
    p50: float
    p99: float
    spans: float


COLUMNS = {
    "ready_seconds": ("ready, s", ".2f"),
    "idle_rss": ("RSS MiB, idle", ".0f"),
    "rss": ("RSS MiB, after load", ".0f"),
    "anonymous": ("cgroup anonymous MiB, after load", ".0f"),
    "rate": ("requests/s", ",.0f"),
    "cpu_ms": ("CPU ms a request", ".3f"),
    "paced_cpu_ms": ("CPU ms a request, paced", ".3f"),
    "p50": ("p50 ms, paced", ".1f"),
    "p99": ("p99 ms, paced", ".1f"),
    "spans": ("spans a request", ".2f"),
}


class Bench:
    """An engine with the containers, and the agent that takes what they send."""

    def __init__(self, engine: Engine, agent: Any, options: argparse.Namespace) -> None:
        self.engine = engine
        self.agent = agent
        self.options = options

    async def round(self, container: str, application: Application) -> Figures:
        """Start a container, measure it, and stop it."""
        began = time.monotonic()
        await self.engine.start(container)
        try:
            address = await self.wait_for(container, application)
            ready = time.monotonic() - began
            await asyncio.sleep(2)
            idle = await self._rss(container)
            return await self._under_load(container, application, address, ready, idle)
        finally:
            await self.engine.stop(container, seconds=10)

    async def wait_for(self, container: str, application: Application) -> str:
        """The address of a container, once it answers."""
        networks = (await self.engine.inspect(container))["NetworkSettings"]["Networks"]
        address = str(next(iter(networks.values()))["IPAddress"])
        await asyncio.to_thread(wait_until, lambda: answers(address, application.path), READY_SECONDS, container)
        return address

    async def _under_load(
        self, container: str, application: Application, address: str, ready: float, idle: float
    ) -> Figures:
        words = ("--target", f"{address}:{PORT}", "--path", application.path, "--connections", "16")
        with await asyncio.to_thread(Helper, "benchmarks.http_load", *words) as load:
            await self._run(container, load, self.options.warm_up)
            flat_out, cpu = await self._run(container, load, self.options.seconds)
            await asyncio.sleep(HELD_BACK_SECONDS)
            spans = await self._spans()
            paced, paced_cpu = await self._run(container, load, self.options.seconds, self.options.rate)
            await asyncio.sleep(HELD_BACK_SECONDS)
            spans = await self._spans() - spans
        return Figures(
            ready_seconds=ready,
            idle_rss=idle,
            rss=await self._rss(container),
            anonymous=await self._anonymous(container),
            rate=flat_out["requests"] / flat_out["seconds"],
            cpu_ms=cpu * 1000 / flat_out["requests"],
            paced_cpu_ms=paced_cpu * 1000 / paced["requests"],
            p50=paced["p50"],
            p99=paced["p99"],
            spans=spans / paced["requests"],
        )

    async def _run(self, container: str, load: Helper, *words: float) -> tuple[dict[str, Any], float]:
        """What the load generator tells, and the CPU-seconds of the container meanwhile."""
        before = await self._cpu_seconds(container)
        answer = await asyncio.to_thread(load.ask, " ".join(map(str, ("run", *words))))
        if answer["errors"] or not answer["requests"]:
            raise BenchmarkError(f"{container}: {answer['errors']} requests failed of {answer['requests']:.0f}")
        return answer, await self._cpu_seconds(container) - before

    async def _cpu_seconds(self, container: str) -> float:
        stats = await self.engine.stats(container)
        return int(stats["cpu_stats"]["cpu_usage"]["total_usage"]) / 1e9

    async def _anonymous(self, container: str) -> float:
        """Memory of the cgroup without files, MiB; version 1 and version 2 name it differently."""
        stats = (await self.engine.stats(container))["memory_stats"]["stats"]
        return int(stats["anon"] if "anon" in stats else stats["total_rss"]) / MIB

    async def _rss(self, container: str) -> float:
        top = await self.engine.top(container, "-o pid")
        return sum(psutil.Process(int(row[0])).memory_info().rss for row in top["Processes"]) / MIB

    async def _spans(self) -> float:
        return float(await self.agent.metric("otelcol_receiver_accepted_spans"))


def answers(address: str, path: str) -> bool:
    """Whether the application answers with a 200."""
    connection = http.client.HTTPConnection(address, PORT, timeout=5)
    try:
        connection.request("GET", path)
        return connection.getresponse().status == 200
    except OSError:
        return False
    finally:
        connection.close()


async def prepare(docker: Any, bench: Bench, name: str, scratch: Path) -> tuple[str, str]:
    """Make both containers of an application, stopped: as it is, and instrumented."""
    application = APPLICATIONS[name]
    image = await image_of(docker, bench.engine, application)
    plain, instrumented = f"{name}-before", f"{name}-after"
    for container in (plain, instrumented):
        host = {"HostConfig": {"CpusetCpus": bench.options.cpus}} if bench.options.cpus else {}
        await docker.run(bench.engine, image, application.command, container, **host)
        await bench.wait_for(container, application)
        if container == instrumented:
            await instrument(bench, container, application, scratch)
        await bench.engine.stop(container, seconds=10)
    return plain, instrumented


async def image_of(docker: Any, engine: Engine, application: Application) -> str:
    """An image with the application, as the tests make it."""
    images = of_tests("tests.plugins.docker.instrument_images")
    if application.language == "python":
        return str(await images.python_image(docker, engine))
    return str(await images.node_image(docker, engine, "22"))


async def instrument(bench: Bench, container: str, application: Application, scratch: Path) -> None:
    """Instrument a running container as `ophion-agent instrument` does."""
    images = of_tests("tests.plugins.docker.instrument_images")
    options = Options(
        bundles=await asyncio.to_thread(images.bundles, application.language), patience=Patience(telemetry=60.0)
    )
    service = Instrumentation(bench.engine, AgentSocket(bench.agent.socket), Journal(scratch / "journal"))
    await service.instrument(container, options)


def table_rows(title: str, before: Sequence[Figures], after: Sequence[Figures]) -> list[str]:
    """Medians with the lowest and highest, and by what instrumentation multiplies the median."""
    rows = []
    for label, rounds in (("before", before), ("instrumented", after)):
        cells = [spread([getattr(one, name) for one in rounds], form) for name, (_, form) in COLUMNS.items()]
        rows.append(f"| {title} | {label} | {' | '.join(cells)} |")
    ratios = [ratio([getattr(one, name) for one in before], [getattr(one, name) for one in after]) for name in COLUMNS]
    return [*rows, f"| {title} | ratio | {' | '.join(ratios)} |"]


def spread(values: Sequence[float], form: str) -> str:
    """The median, and from where to where single rounds went."""
    low, middle, high = (format(value, form) for value in (min(values), statistics.median(values), max(values)))
    return f"{middle} ({low}-{high})" if len(values) > 1 else middle


def ratio(before: Sequence[float], after: Sequence[float]) -> str:
    """How many times the median is what it was; nothing where it was nothing."""
    base = statistics.median(before)
    return f"{statistics.median(after) / base:.2f} x" if base else ""


@asynccontextmanager
async def running_agent(folder: Path) -> AsyncIterator[Any]:
    """An agent that takes what containers send and keeps none of it."""
    processes = of_tests("agent_process")
    pipeline = {"receivers": ["otlp"], "exporters": ["debug"]}
    config = {
        "receivers": {"otlp": {"protocols": {"http": {"endpoint": f"0.0.0.0:{processes.free_port()}"}}}},
        "exporters": {"debug": None},
        "service": {"pipelines": dict.fromkeys(("traces", "metrics", "logs"), pipeline)},
    }
    async with processes.AgentProcess(folder, config) as agent:
        yield agent


async def compare(docker: Any, options: argparse.Namespace, scratch: Path) -> None:
    """Measure each application before and after in turn, and print its rows."""
    async with docker.client(timeout_seconds=120) as engine, running_agent(scratch / "agent") as agent:
        bench = Bench(engine, agent, options)
        for name in options.applications.split(","):
            containers = await prepare(docker, bench, name, scratch)
            rounds: tuple[list[Figures], list[Figures]] = ([], [])
            for _ in range(options.rounds):
                for container, found in zip(containers, rounds, strict=True):
                    found.append(await bench.round(container, APPLICATIONS[name]))
            print("\n".join(table_rows(APPLICATIONS[name].title, *rounds)), flush=True)


def share_cores(options: argparse.Namespace) -> str:
    """Keep this process and its children off the applications' core, and say so; one core alone is shared."""
    cores = sorted(os.sched_getaffinity(0))
    options.cpus = str(cores[0]) if len(cores) > 1 else ""
    if options.cpus:
        os.sched_setaffinity(0, set(cores[1:]))
        return "the application on a core of its own"
    return "everything on one core"


def run(options: argparse.Namespace) -> None:
    """Print the table."""
    if unknown := set(options.applications.split(",")) - set(APPLICATIONS):
        raise BenchmarkError(f"{', '.join(sorted(unknown))}: unknown; of: {', '.join(APPLICATIONS)}")
    if options.quick:
        options.rounds, options.seconds, options.warm_up = 1, 2.0, 1.0
    print("\n## Applications before and after instrumentation\n")
    print(f"- {machine()}; {share_cores(options)}")
    seconds = f"{options.seconds:g} s"
    print(f"- {options.rounds} rounds in turn; {seconds} flat out, {seconds} at {options.rate:g} requests a second")
    print(f"\n| application | | {' | '.join(title for title, _ in COLUMNS.values())} |\n|{'---|' * (len(COLUMNS) + 2)}")
    with tempfile.TemporaryDirectory(prefix="ophion-bench-") as scratch, running_docker() as docker:
        asyncio.run(compare(docker, options, Path(scratch)))


def main() -> int:
    """Parse the command line and run."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--applications", default=",".join(APPLICATIONS), help="comma-separated")
    parser.add_argument("--rounds", type=int, default=5, help="runs of each container, before and after in turn")
    parser.add_argument("--seconds", type=float, default=8.0, help="of load flat out, and of paced load")
    parser.add_argument("--warm-up", type=float, default=3.0, help="seconds of load before")
    parser.add_argument("--rate", type=float, default=100.0, help="requests a second of the paced load")
    parser.add_argument("--quick", action="store_true", help="one round of 2 s each")
    return script(parser, run)


if __name__ == "__main__":
    raise SystemExit(main())
