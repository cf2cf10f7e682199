"""What an agent costs that only watches its host: memory, share of a core, time to ready; host metrics every 10 s."""

from __future__ import annotations

import argparse
import tempfile
import time
from pathlib import Path
from typing import Any

import yaml

from benchmarks import harness
from benchmarks.process import BenchmarkError, Measured, free_port, machine
from benchmarks.systems import OPHION, OTELCOL, Job, Launch, Ports, System

SCRAPERS = ("cpu", "disk", "filesystem", "load", "memory", "network", "paging", "processes", "system")
GOALS = {"rss_mb": 80.0, "cpu_percent": 0.5, "ready_seconds": 2.0}
HEADER = (
    "| system | RSS MB at the end | peak RSS MB | CPU, % of a core | ready, s | data points | goals |\n"
    "|---|---|---|---|---|---|---|"
)


def idle_config(ports: Ports, self_metrics_port: int) -> dict[str, Any]:
    """Host metrics every 10 s and an OTLP receiver, batched to the backend; own metrics served as by default."""
    prometheus = {"host": "127.0.0.1", "port": self_metrics_port}
    return {
        "receivers": {
            "hostmetrics": {"collection_interval": "10s", "scrapers": dict.fromkeys(SCRAPERS)},
            "otlp": {"protocols": {"grpc": {"endpoint": f"127.0.0.1:{ports.grpc_in}"}}},
        },
        "processors": {"batch": None},
        "exporters": {"otlp": {"endpoint": f"127.0.0.1:{ports.grpc_out}", "tls": {"insecure": True}}},
        "service": {
            "telemetry": {"metrics": {"readers": [{"pull": {"exporter": {"prometheus": prometheus}}}]}},
            "pipelines": {
                "metrics": {"receivers": ["hostmetrics", "otlp"], "processors": ["batch"], "exporters": ["otlp"]},
                "traces": {"receivers": ["otlp"], "processors": ["batch"], "exporters": ["otlp"]},
            },
        },
    }


def watching(system: System) -> System:
    """The system with the idle configuration in place of a job's."""

    def launch(job: Job, ports: Ports, scratch: Path) -> Launch:
        command = system.launch(job, ports, scratch).command
        Path(command[-1]).write_text(yaml.safe_dump(idle_config(ports, free_port())))
        return Launch(command)

    return System(system.name, launch)


def observe(process: Measured, seconds: float) -> float:
    """CPU share of the next `seconds`, percent of a core."""
    before, started = process.cpu_seconds(), time.monotonic()
    time.sleep(seconds)
    process.check()
    return (process.cpu_seconds() - before) / (time.monotonic() - started) * 100


def row(system: System, seconds: float) -> str:
    """One line of the table for one system."""
    with tempfile.TemporaryDirectory(prefix="ophion-bench-") as scratch, harness.backend() as sink:
        ports = harness.ports_for(sink)
        launch = watching(system).launch(Job(), ports, Path(scratch))
        with Measured(launch.command, Path(scratch) / "log") as process:
            ready = process.wait_for_port(ports.grpc_in)
            time.sleep(2)  # Start-up work is in `ready`, not in the idle share.
            cpu = observe(process, seconds)
            points, rss, peak = sink.ask("stats")["items"], process.rss() / 1e6, process.peak_rss() / 1e6
    if not points:
        raise BenchmarkError(f"{system.name}: no data point arrived in {seconds:g} s")
    found = {"rss_mb": rss, "cpu_percent": cpu, "ready_seconds": ready}
    missed = [f"{name} MISSED" for name, limit in GOALS.items() if found[name] > limit] if system is OPHION else []
    verdict = (", ".join(missed) or "met") if system is OPHION else ""
    return f"| {system.name} | {rss:.0f} | {peak:.0f} | {cpu:.2f} | {ready:.2f} | {points} | {verdict} |"


def run(options: argparse.Namespace) -> None:
    """Print one row per system."""
    seconds = 25.0 if options.quick else options.seconds
    print(f"\n## Idle agent, host metrics every 10 s, watched for {seconds:g} s\n\n{machine()}\n\n{HEADER}", flush=True)
    for system in harness.present([OPHION, OTELCOL]):
        print(row(system, seconds), flush=True)


def main() -> int:
    """Parse the command line and run."""
    parser = argparse.ArgumentParser(
        description="Memory, CPU and start-up of an agent that only collects host metrics."
    )
    parser.add_argument("--seconds", type=float, default=120.0, help="how long to watch")
    parser.add_argument("--quick", action="store_true", help="watch 25 s")
    return harness.script(parser, run)


if __name__ == "__main__":
    raise SystemExit(main())
