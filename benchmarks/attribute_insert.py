"""One attribute inserted on every span between OTLP/gRPC in and out: the cheapest edit that needs decoded spans."""

from __future__ import annotations

import argparse

from benchmarks import harness
from benchmarks.systems import OPHION, OTELCOL, ROTEL, Job


def run(options: argparse.Namespace) -> None:
    """Print one row per system."""
    loads = harness.chosen(options)
    harness.preamble("Insert one attribute on every span", loads)
    systems = harness.present([OPHION, ROTEL, OTELCOL])
    for load in loads:
        harness.compare(
            f"grpc + insert, {load.items} a request", systems, Job(insert_attribute=True), load, options.repeats, 1.0
        )


def main() -> int:
    """Parse the command line and run."""
    parser = argparse.ArgumentParser(description="OTLP/gRPC -> attributes insert -> batch -> OTLP/gRPC.")
    harness.add_options(parser, "512")
    return harness.script(parser, run)


if __name__ == "__main__":
    raise SystemExit(main())
