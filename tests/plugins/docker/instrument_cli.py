"""`ophion-agent instrument` alone, which can be ended by SIGKILL at a point of the journal.

INSTRUMENT_RUNS, a JSON list of {"arguments": [...], "kill_at": "before start"}, carries out several at once, each in a
process forked from one that has the imports behind it, and prints a JSON list of [exit code, stdout, stderr].
"""

import argparse
import asyncio
import contextlib
import functools
import importlib
import json
import os
import signal
import sys
import tempfile
import traceback
from collections.abc import Sequence
from typing import IO, Any

from ophion_agent.plugin import OphionError
from ophion_docker.instrument import journal, verify
from ophion_docker.instrument.commands import add_commands


def _kill_at(point: str) -> None:
    def reached(self: journal.Journal, found: str) -> None:
        if found == point:
            os.kill(os.getpid(), signal.SIGKILL)

    journal.Journal.reached = reached  # type: ignore[method-assign]


def _run(arguments: Sequence[str], kill_at: str) -> int:
    if kill_at:
        _kill_at(kill_at)
    if settle := os.environ.get("INSTRUMENT_SETTLE"):
        verify.Patience = functools.partial(verify.Patience, settle=float(settle))  # type: ignore[assignment,misc]
    parser = argparse.ArgumentParser(prog="ophion-agent")
    add_commands(parser.add_subparsers(required=True))
    options = parser.parse_args(arguments)
    try:
        code: int = options.command(options)
    except OphionError as error:
        sys.stderr.write(f"ophion-agent: {error}\n")
        return 1
    return code


def _fork(arguments: Sequence[str], kill_at: str, outputs: Sequence[IO[bytes]]) -> int:
    process = os.fork()
    if process:
        return process
    for number, output in enumerate(outputs, 1):
        os.dup2(output.fileno(), number)
    code = 70
    try:
        code = _run(arguments, kill_at)
    except SystemExit as error:
        code = int(error.code or 0)
    except BaseException:  # noqa: BLE001 - goes to the output, as an interpreter's end would write it
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


async def _warm_up() -> None:
    """Import what every run imports: `asyncio.run` imports, too."""
    for module in ("aiohttp", "yaml", "ophion_docker.instrument.service"):
        importlib.import_module(module)


def _run_all(runs: Sequence[dict[str, Any]]) -> int:
    asyncio.run(_warm_up())
    ended = []
    with contextlib.ExitStack() as stack:
        begun = []
        for run in runs:
            outputs = [stack.enter_context(tempfile.TemporaryFile()) for _ in range(2)]
            begun.append((_fork(run["arguments"], run["kill_at"], outputs), outputs))
        for process, outputs in begun:
            code = os.waitstatus_to_exitcode(os.waitpid(process, 0)[1])
            ended.append([code, *(_text(output) for output in outputs)])
    sys.stdout.write(json.dumps(ended))
    return 0


def _text(output: IO[bytes]) -> str:
    output.seek(0)
    return output.read().decode()


def main() -> int:
    if runs := os.environ.get("INSTRUMENT_RUNS"):
        return _run_all(json.loads(runs))
    return _run(sys.argv[1:], os.environ.get("INSTRUMENT_KILL_AT", ""))


if __name__ == "__main__":
    sys.exit(main())
