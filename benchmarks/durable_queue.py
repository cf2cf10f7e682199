"""The durable queue (written and fsynced before the sender is answered) beside the memory queue of the same agent.

Batching happens in the exporter's queue, so that each request is stored before it is acknowledged.
"""

from __future__ import annotations

import argparse
from dataclasses import replace

from benchmarks import harness
from benchmarks.systems import OPHION, OTELCOL, Job, System

QUEUE = {"queue_size": 20_000, "block_on_overflow": True}
MEMORY = Job(batch="exporter", queue=QUEUE)
DURABLE = replace(MEMORY, durable=True)


def with_queue(system: System, durable: bool) -> System:
    """The system with one kind of queue, under a name that says which."""
    job = DURABLE if durable else MEMORY
    name = f"{system.name}, {'durable' if durable else 'memory'} queue"
    return System(name, lambda _job, ports, scratch: system.launch(job, ports, scratch))


def run(options: argparse.Namespace) -> None:
    """Print a durable and a memory row per system."""
    loads = harness.chosen(options)
    harness.preamble("Durable queue", loads)
    for system in harness.present([OPHION, OTELCOL]):
        pair = [with_queue(system, True), with_queue(system, False)]
        for load in loads:
            harness.compare(f"grpc, queue, {load.items} a request", pair, MEMORY, load, options.repeats, 1.5)


def main() -> int:
    """Parse the command line and run."""
    parser = argparse.ArgumentParser(description="Cost of the durable sending queue against the memory queue.")
    harness.add_options(parser, "512,10")
    return harness.script(parser, run)


if __name__ == "__main__":
    raise SystemExit(main())
