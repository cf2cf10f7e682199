"""`python -m benchmarks`: the whole table, one script after the other; exits with 1 when any of them fails."""

from __future__ import annotations

import argparse
import subprocess
import sys

AGENT = ("otlp_hop", "attribute_insert", "durable_queue", "hostmetrics_idle", "overload", "kill9")
SERVER = (
    "server_idle",
    "server_ingest",
    "server_ack",
    "server_kill9",
    "server_log_search",
    "server_traces",
    "promql_speed",
)
CONTAINERS = ("docker_stats", "docker_logs", "instrument_overhead")
PAGES = ("dashboard",)
SCRIPTS = (*AGENT, *SERVER, *CONTAINERS, *PAGES)


def main() -> int:
    """Run the chosen scripts in processes of their own."""
    parser = argparse.ArgumentParser(description="Runs every benchmark and prints its table.")
    parser.add_argument("--quick", action="store_true", help="minutes instead of hours; noisier")
    parser.add_argument(
        "--only", default=",".join(SCRIPTS), help=f"comma-separated, of: {', '.join(SCRIPTS)}, bare_hop"
    )
    options = parser.parse_args()
    failed = []
    for name in options.only.split(","):
        command = [sys.executable, "-m", f"benchmarks.{name}", *(["--quick"] if options.quick else [])]
        if subprocess.run(command, check=False).returncode:
            failed.append(name)
    print(f"\nfailed: {', '.join(failed)}" if failed else "\nno items were lost", flush=True)
    return 1 if failed else 0


if __name__ == "__main__":
    raise SystemExit(main())
