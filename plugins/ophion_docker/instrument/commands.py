"""`ophion-agent instrument`: the command line of container instrumentation."""

from __future__ import annotations

import argparse
import asyncio
import signal
import sys
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import TYPE_CHECKING

from ophion_docker.instrument.bundle import LANGUAGES, build
from ophion_docker.instrument.errors import MissingBundle, Refused, RolledBack
from ophion_docker.instrument.inject import MOUNT
from ophion_docker.instrument.journal import DEFAULT_DIRECTORY, Record

if TYPE_CHECKING:
    from ophion_docker.instrument.service import Instrumentation
    from ophion_docker.instrument.survey import Options, Survey

    Parsers = argparse._SubParsersAction[argparse.ArgumentParser]
    Work = Callable[[Instrumentation, argparse.Namespace], Awaitable[None]]

EXIT_FAILED = 1
EXIT_REFUSED = 3
EXIT_ROLLED_BACK = 4
_DESCRIPTION = """Instrument a running container without changing its image: it is made again with OpenTelemetry and
verified, and put back as it was when it does not come up or nothing arrives.

Exit codes: 0 done; 1 failed; 2 wrong command line; 3 refused, nothing was touched; 4 rolled back, the original runs."""


def add_commands(commands: Parsers) -> None:
    """Add `instrument`."""
    parser = commands.add_parser(
        "instrument",
        help="instrument a container, list them, undo",
        description=_DESCRIPTION,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        usage="ophion-agent instrument [options] CONTAINER [LANGUAGE]\n"
        "       ophion-agent instrument --list | --recover | --status NAME | --undo NAME | --dry-run NAME\n"
        "       ophion-agent instrument bundle --lang LANGUAGE --out DIR",
    )
    parser.add_argument("container", nargs="?", help="name or id; `bundle` builds a bundle instead")
    parser.add_argument("language", nargs="?", default="", help="python, nodejs, java or dotnet; detected if left out")
    _add_actions(parser)
    _add_options(parser)
    parser.set_defaults(command=lambda options: _run(parser, options))


def _add_actions(parser: argparse.ArgumentParser) -> None:
    actions = parser.add_mutually_exclusive_group()
    actions.add_argument("--list", action="store_true", help="list the containers that were instrumented")
    actions.add_argument("--status", metavar="NAME", help="tell about one container")
    actions.add_argument("--undo", metavar="NAME", help="put a container back as it was")
    actions.add_argument("--dry-run", metavar="NAME", help="say what would be done, and change nothing")
    actions.add_argument("--recover", action="store_true", help="finish or take back what a killed run left")


def _add_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--bundle", type=Path, metavar="DIR", help="folder of bundles; default: below --state")
    parser.add_argument("--state", type=Path, default=DEFAULT_DIRECTORY, metavar="DIR", help="folder of the journal")
    parser.add_argument("--docker", default="", metavar="ADDRESS", help="engine, such as unix:///var/run/docker.sock")
    parser.add_argument("--socket", type=Path, metavar="PATH", help="control socket of the agent")
    parser.add_argument("--otlp-port", type=int, default=0, metavar="PORT", help="default: what the agent says")
    parser.add_argument("--proc", type=Path, default=Path("/proc"), metavar="DIR", help="/proc of the engine's host")
    parser.add_argument("--timeout", type=float, default=60.0, metavar="SECONDS", help="for the first telemetry")
    parser.add_argument(
        "--wait-span", type=float, default=5.0, metavar="SECONDS", help="for the application's first span"
    )
    parser.add_argument("--commit-changes", action="store_true", help="keep files it wrote, in an image of their own")
    parser.add_argument(
        "--force", action="store_true", help="again after a roll-back; with --undo give up written files"
    )
    parser.add_argument("--lang", choices=LANGUAGES, help="of `bundle`")
    parser.add_argument(
        "--from", type=Path, dest="source", metavar="DIR", help="of `bundle`: a folder to take as it is"
    )
    parser.add_argument("--out", type=Path, metavar="DIR", help="of `bundle`: where to put it")


def _run(parser: argparse.ArgumentParser, options: argparse.Namespace) -> int:
    if options.container == "bundle" and options.lang:
        return _bundle(parser, options)
    work = _work(options)
    if work is None:
        parser.error("name a container, or one of --list, --status, --undo, --dry-run, --recover")
    try:
        asyncio.run(_with_engine(work, options))
    except Refused as error:
        sys.stderr.write(f"refused: {error}\n")
        return EXIT_REFUSED
    except RolledBack as error:
        sys.stderr.write(f"rolled back: {error}\n")
        return EXIT_ROLLED_BACK
    except asyncio.CancelledError:
        sys.stderr.write("interrupted; what was begun has been taken back\n")
        return EXIT_FAILED
    return 0


def _work(options: argparse.Namespace) -> Work | None:
    named: dict[str, Work] = {"status": _status, "undo": _undo, "dry_run": _dry_run}
    for option, work in named.items():
        if name := getattr(options, option):
            options.container = name
            return work
    if options.list:
        return _list
    if options.recover:
        return _recover
    return _instrument if options.container else None


def _bundle(parser: argparse.ArgumentParser, options: argparse.Namespace) -> int:
    if options.out is None:
        parser.error("bundle: --out DIR is required")
    bundle = build(options.lang, options.out, options.source)
    sys.stdout.write(f"{bundle.folder}: {bundle.language} bundle {bundle.version}\n")
    return 0


async def _with_engine(work: Work, options: argparse.Namespace) -> None:
    from ophion_docker.instrument.agent import AgentSocket
    from ophion_docker.instrument.journal import Journal
    from ophion_docker.instrument.service import open_instrumentation

    task = asyncio.current_task()
    assert task is not None
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, task.cancel)
    agent, journal = AgentSocket(options.socket), Journal(options.state)
    async with open_instrumentation(options.docker, agent, journal, _Progress()) as instrumentation:
        await work(instrumentation, options)


class _Progress:
    """Prints what is being done, with the seconds since the start."""

    def __init__(self) -> None:
        self._started = time.monotonic()

    def __call__(self, text: str) -> None:
        sys.stdout.write(f"{time.monotonic() - self._started:6.1f} s  {text}\n")
        sys.stdout.flush()


def _survey_options(options: argparse.Namespace) -> Options:
    from ophion_docker.instrument.survey import Options
    from ophion_docker.instrument.verify import Patience

    return Options(
        bundles=options.bundle or options.state / "bundles",
        language=options.language,
        port=options.otlp_port,
        commit_changes=options.commit_changes,
        force=options.force,
        patience=Patience(telemetry=options.timeout),
        proc=options.proc,
    )


async def _instrument(instrumentation: Instrumentation, options: argparse.Namespace) -> None:
    chosen = _survey_options(options)
    try:
        outcome = await instrumentation.instrument(options.container, chosen, span_seconds=options.wait_span)
    except MissingBundle as error:
        if options.bundle is not None:
            raise
        sys.stdout.write(f"building the {error.language} bundle in {chosen.bundles}, once\n")
        sys.stdout.flush()
        await asyncio.to_thread(build, error.language, chosen.bundles)
        outcome = await instrumentation.instrument(options.container, chosen, span_seconds=options.wait_span)
    span = (
        f"first span: {outcome.first_span!r}" if outcome.first_span else "no span of the application yet: no request?"
    )
    sys.stdout.write(f"{outcome.name}: ready, {outcome.language} telemetry arrives at {outcome.endpoint}\n{span}\n")


async def _undo(instrumentation: Instrumentation, options: argparse.Namespace) -> None:
    await instrumentation.undo(options.container, proc=options.proc, force=options.force)
    sys.stdout.write(f"{options.container}: runs as it did before\n")


async def _dry_run(instrumentation: Instrumentation, options: argparse.Namespace) -> None:
    found = await instrumentation.plan(options.container, _survey_options(options))
    sys.stdout.write("\n".join(_plan_lines(found)) + "\n")


def _plan_lines(found: Survey) -> list[str]:
    runtime = found.runtime
    return [
        f"{found.name}: can be instrumented; nothing was changed",
        f"  language   {runtime.language} {runtime.version} ({runtime.libc}), process {runtime.process.pid}",
        f"  payload    volume {found.bundle.volume}, read-only at {MOUNT}",
        f"  agent      {found.endpoint}",
        f"  image      {found.moved_image or found.inspect['Config']['Image']}",
        *([f"  kept       {len(found.lost)} path(s) of its own layer, in an image"] if found.lost else []),
        "  steps      create beside it, stop it, start the new one, verify, remove the old one or go back",
    ]


async def _status(instrumentation: Instrumentation, options: argparse.Namespace) -> None:
    for record in instrumentation.records():
        if record.name == options.container.removeprefix("/"):
            state = await instrumentation.running_state(record)
            sys.stdout.write("\n".join(_status_lines(record, state)) + "\n")
            return
    sys.stdout.write(f"{options.container}: not instrumented\n")


def _status_lines(record: Record, state: str) -> list[str]:
    interrupted = " (interrupted; run --recover)" if record.swap else ""
    return [
        f"{record.name}: {record.phase}{interrupted}",
        f"  container  {state}",
        f"  language   {record.language}",
        f"  agent      {record.endpoint}",
        f"  payload    {record.volume}",
        f"  id         {record.token}",
        f"  since      {_clock(record)}",
        *([f"  reason     {record.reason}"] if record.reason else []),
    ]


def _clock(record: Record) -> str:
    return time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(record.changed_unix))


async def _list(instrumentation: Instrumentation, _: argparse.Namespace) -> None:
    records = instrumentation.records()
    for record in records:
        state = await instrumentation.running_state(record)
        sys.stdout.write(f"{record.name}  {record.language}  {record.phase}  {state}  {_clock(record)}\n")
    if not records:
        sys.stdout.write("no container was instrumented\n")


async def _recover(instrumentation: Instrumentation, _: argparse.Namespace) -> None:
    lines = await instrumentation.recover()
    sys.stdout.write("\n".join(lines or ["nothing to recover"]) + "\n")
