"""What it costs to read containers' output, and that nothing is lost or read twice across a restart of the agent.

python -m benchmarks.docker_logs --lines 500000

A container writes numbered lines; the receiver reads them all, is stopped in the middle and started again with its
stored position. Needs root and the Docker Engine's package; starts an engine of its own and removes it again.
"""

from __future__ import annotations

import argparse
import asyncio
import tempfile
import time
from pathlib import Path
from typing import Any

from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest

from benchmarks.docker_stats import running_docker
from benchmarks.harness import script
from benchmarks.process import BenchmarkError, machine
from ophion_agent.clock import Clock
from ophion_agent.plugin import QUEUE_STORAGE
from ophion_agent.testing import make_component
from ophion_docker.logs import DockerLogsReceiver
from ophion_extensions.file_storage import FileStorage

GOAL_LINES = 50_000
QUICK_LINES = 50_000
TEXT = (
    "2026-11-22 INFO checkout order placed customer=alice items=3 total=42.50 EUR duration=12ms trace=4bf92f3577b34da6"
)


class Kept:
    """A pipeline that keeps the encoded requests; they are looked into after the clock has stopped."""

    def __init__(self) -> None:
        self.payloads: list[bytes] = []
        self.lines = 0

    async def consume(self, batch: Any, /) -> None:
        """Keep a batch."""
        self.payloads.append(batch.payload)
        self.lines += len(batch)

    def numbers(self) -> list[int]:
        """The numbers of the lines, in the order of their arrival."""
        return [
            int(record.body.string_value.partition(" ")[0])
            for payload in self.payloads
            for group in ExportLogsServiceRequest.FromString(payload).resource_logs
            for scope in group.scope_logs
            for record in scope.log_records
        ]


async def write_lines(docker: Any, lines: int) -> None:
    """Let a container write the lines, and wait until the engine has them all."""
    content = "".join(f"{number} {TEXT}\n" for number in range(lines))
    async with docker.client(timeout_seconds=300) as engine:
        await docker.image(engine, "writer", ["sh", "cat", "sleep"], files={"/lines": content})
        container = await docker.run(engine, "writer", ["sh", "-c", "cat /lines; sleep 86400"])
        async with engine.logs(container, follow=True) as response:
            while f"{lines - 1} {TEXT}".encode() not in await response.content.readany():
                pass


async def read(docker: Any, sink: Kept, storage_folder: Path, until: int, lines: int) -> tuple[float, float]:
    """Read until that many lines came, or no more come; return CPU and wall seconds until the last.

    `lines` is how many there are: what has them all is watched for a moment for more, else patience is longer.
    """
    storage = make_component(FileStorage, {"directory": str(storage_folder)}, clock=Clock())
    await storage.start()
    config = {"endpoint": docker.address, "start_at": "beginning", "storage": "disk", "timeout": "60s"}
    receiver = make_component(
        DockerLogsReceiver,
        config,
        sink=sink,
        clock=Clock(),
        services={"disk": storage},
        provided={QUEUE_STORAGE.name: "disk"},
    )
    began, cpu = time.monotonic(), time.process_time()
    await receiver.start()
    seen, last, used = sink.lines, time.monotonic(), time.process_time()
    while sink.lines < until and time.monotonic() - last < (2 if sink.lines >= lines else 20):
        await asyncio.sleep(0.01)
        if sink.lines != seen:
            seen, last, used = sink.lines, time.monotonic(), time.process_time()
    await receiver.stop()
    await receiver.context.close()
    await storage.stop()
    await storage.context.close()
    return used - cpu, last - began


async def measure(docker: Any, lines: int) -> None:
    """Read everything with a restart in the middle and print what it took."""
    sink = Kept()
    with tempfile.TemporaryDirectory() as folder:
        first = await read(docker, sink, Path(folder), lines // 2, lines)
        restarted_at = sink.lines
        # Beyond the last line, so that one that came twice is seen.
        second = await read(docker, sink, Path(folder), lines + 1, lines)
    if not sink.lines:
        raise BenchmarkError("docker_logs: no line came")
    cpu, seconds = first[0] + second[0], first[1] + second[1]
    numbers = sink.numbers()
    lost, twice = lines - len(set(numbers)), len(numbers) - len(set(numbers))
    per_core = len(numbers) / cpu
    print(f"- {lines} lines of {len(TEXT) + 7} bytes, restart after {restarted_at}\n")
    print("| lines/s | lines/s per core | CPU-s per M lines | lost | twice | in order | goal |")
    print("|---|---|---|---|---|---|---|")
    met = "meets" if per_core >= GOAL_LINES and not lost else "misses"
    figures = f"{len(numbers) / seconds:,.0f} | {per_core:,.0f} | {cpu / len(numbers) * 1e6:.2f} | {lost} | {twice}"
    print(f"| {figures} | {numbers == sorted(numbers)} | {met} {GOAL_LINES:,} |", flush=True)
    if lost:
        raise BenchmarkError(f"docker_logs: {lost} of {lines} lines were lost")


def run(options: argparse.Namespace) -> None:
    """Print the table."""
    lines = min(options.lines, QUICK_LINES) if options.quick else options.lines
    print(f"\n## Read the output of containers across a restart\n\n- {machine()}")
    with running_docker() as docker:
        asyncio.run(write_lines(docker, lines))
        asyncio.run(measure(docker, lines))


def main() -> int:
    """Parse the command line and run."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--lines", type=int, default=500_000)
    parser.add_argument("--quick", action="store_true", help=f"{QUICK_LINES:,} lines")
    return script(parser, run)


if __name__ == "__main__":
    raise SystemExit(main())
