"""OTLP in, batch (8192 items or 200 ms), OTLP out: what a collector does all day, beside rotel and otelcol.

A case is protocol, compression of what comes in, compression of what goes out. Rotel 0.0.1a15 gzips what it sends even
when it is told not to (counted on the wire), so in the cases that end in `none` it does more than the others.
"""

from __future__ import annotations

import argparse
from dataclasses import replace

from benchmarks import harness
from benchmarks.systems import OPHION, OTELCOL, ROTEL, Compression, Job, Protocol

Case = tuple[Protocol, Compression, Compression]
GOALS: dict[tuple[Case, int], float] = {
    (("grpc", "none", "none"), 512): 0.25,
    (("grpc", "none", "none"), 10): 2.0,
    (("http", "gzip", "gzip"), 512): 0.25,
}
CASES: tuple[Case, ...] = (
    ("grpc", "none", "none"),
    ("grpc", "none", "gzip"),
    ("grpc", "gzip", "gzip"),
    ("http", "none", "none"),
    ("http", "gzip", "gzip"),
    ("http", "zstd", "zstd"),
)


def run(options: argparse.Namespace) -> None:
    """Print one row per system and case."""
    loads = harness.chosen(options)
    harness.preamble("OTLP hop", loads)
    for case in CASES:
        protocol, received, sent = case
        if options.case not in ("", "/".join(case)):
            continue
        # Rotel has no zstd, so otelcol is the peer there.
        systems = harness.present([OPHION, OTELCOL] if sent == "zstd" else [OPHION, OTELCOL, ROTEL])
        for load in loads:
            title = f"{protocol} {received} -> {sent}, {load.items} a request"
            sending = replace(load, compression=received)
            harness.compare(
                title, systems, Job(protocol, sent), sending, options.repeats, GOALS.get((case, load.items))
            )


def main() -> int:
    """Parse the command line and run."""
    parser = argparse.ArgumentParser(description="OTLP in -> batch -> OTLP out, CPU-seconds per million spans.")
    parser.add_argument("--case", default="", help="only this one, such as grpc/none/none or http/gzip/gzip")
    harness.add_options(parser, "512,100,10")
    return harness.script(parser, run)


if __name__ == "__main__":
    raise SystemExit(main())
