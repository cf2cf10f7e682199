"""`ophion-agent instrument` alone, ended by SIGKILL at the point of the journal that INSTRUMENT_KILL_AT names."""

import argparse
import os
import signal
import sys

from ophion_agent.plugin import OphionError
from ophion_docker.instrument import journal
from ophion_docker.instrument.commands import add_commands


def _kill_at(point: str) -> None:
    def reached(self: journal.Journal, found: str) -> None:
        if found == point:
            os.kill(os.getpid(), signal.SIGKILL)

    journal.Journal.reached = reached  # type: ignore[method-assign]


def main() -> int:
    if point := os.environ.get("INSTRUMENT_KILL_AT"):
        _kill_at(point)
    parser = argparse.ArgumentParser(prog="ophion-agent")
    add_commands(parser.add_subparsers(required=True))
    options = parser.parse_args()
    try:
        code: int = options.command(options)
    except OphionError as error:
        sys.stderr.write(f"ophion-agent: {error}\n")
        return 1
    return code


if __name__ == "__main__":
    sys.exit(main())
