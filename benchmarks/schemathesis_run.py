"""Fuzz a running server from its OpenAPI document; the exit code is 0 when nothing was found.

python benchmarks/schemathesis_run.py --minutes 10 --key KEY [--url http://localhost:8080]

Every route is called as the owner of the key, with requests that fit the document and requests that do not. Found are
server errors, answers that the document does not describe, invalid input accepted, valid input refused,
and routes that ignore missing credentials. Give it a server whose data may be lost: the key's owner can delete it. One
with `rate_limits` and `login_limits` as they are by default makes it wait for most of its time.
"""

import argparse
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

_GRACE_SECONDS = 120
# A query, a time or a duration is text to the document, and not every text is one: those are answered with 400 or 422.
SETTINGS = """
[checks.positive_data_acceptance]
expected-statuses = ["2xx", "3xx", "400", "401", "403", "404", "409", "415", "422", "429", "503"]
"""
# A path such as /api/metrics/query is GET of one resource, which takes any name, and POST of another: Allow names both,
# which the fuzzer takes for an error. A setting that says so would yield to "all".
CHECKS = ("--checks", "all", "--exclude-checks", "allow_header_conformance")


def main(arguments: Sequence[str]) -> int:
    """Run the fuzzer; return its exit code."""
    options = _parser().parse_args(arguments)
    seconds = max(1, round(options.minutes * 60))
    command = [
        *(sys.executable, "-m", "schemathesis.cli", "run", f"{options.url.rstrip('/')}/api/openapi.json"),
        *("--url", options.url, "--max-time", str(seconds), "--workers", str(options.workers), *CHECKS),
        *("--phases", "examples,coverage,fuzzing", "--continue-on-failure", "--no-color", "--rate-limit", "auto"),
    ]
    if options.key:
        command += ["--header", f"Authorization: Bearer {options.key}"]
    if options.seed is not None:
        command += ["--seed", str(options.seed)]
    with tempfile.TemporaryDirectory() as directory:
        Path(directory, "schemathesis.toml").write_text(SETTINGS)
        limit = seconds + _GRACE_SECONDS
        return subprocess.run([*command, *options.more], check=False, timeout=limit, cwd=directory).returncode


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description="Fuzz a running server from its OpenAPI document.")
    parser.add_argument("--minutes", type=float, default=10, help="time to spend (10)")
    parser.add_argument("--url", default="http://localhost:8080", help="address of the server (http://localhost:8080)")
    parser.add_argument("--key", default="", help="API key that may do everything")
    parser.add_argument("--workers", type=int, default=2, help="requests at once (2)")
    parser.add_argument("--seed", type=int, help="repeat a run")
    parser.add_argument("more", nargs="*", help="further options of schemathesis, after --")
    return parser


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
