"""`ophion-agent query`, `logs` and `traces`, and `server backup|restore|check|export|import`."""

from __future__ import annotations

import argparse
import asyncio
import os
import sys
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Final

from ophion_agent.server.commands import server_group

if TYPE_CHECKING:
    Parsers = argparse._SubParsersAction[argparse.ArgumentParser]

Work = Callable[[argparse.Namespace], Awaitable[int]]
SIGNALS: Final = ("traces", "metrics", "logs")
_TIMES: Final = "2026-01-31T08:00:00Z, Unix time or now-1h"


def add_commands(commands: Parsers) -> None:
    """Add the commands that talk to a server."""
    _add_query(commands)
    _add_logs(commands)
    _add_traces(commands)
    server = server_group(commands)
    _add_backup(server)
    _add_transfer(server)


def _add_query(commands: Parsers) -> None:
    parser = _command(commands, "query", _query, "evaluate PromQL: values over a time range, or at one time")
    parser.add_argument(
        "expression", metavar="EXPR", help="such as 'sum by (state) (rate(system_cpu_time_seconds_total[1m]))'"
    )
    parser.add_argument("--at", metavar="TIME", help=f"evaluate at one time: {_TIMES}")
    parser.add_argument("--from", dest="start", metavar="TIME", help="begin of the range; now-15m by default")
    parser.add_argument("--to", dest="end", metavar="TIME", help="end of the range; now by default")
    parser.add_argument("--step", metavar="DURATION", help="time between two values, such as 30s; about 60 by default")
    parser.add_argument(
        "--limit", type=_count, default=100, metavar="N", help="series shown in a table; 100 by default"
    )


def _add_logs(commands: Parsers) -> None:
    parser = _command(commands, "logs", _logs, "search log records, or follow them as they come")
    parser.add_argument("words", nargs="*", metavar="WORDS", help="'timeout -retry \"connection refused\" status>=500'")
    parser.add_argument("--service", metavar="NAME", help="records of one service")
    parser.add_argument("--severity", metavar="LEVEL", help="lowest level: trace, debug, info, warn, error or fatal")
    parser.add_argument("--trace", metavar="TRACE_ID", help="records of one trace")
    parser.add_argument("--follow", "-f", action="store_true", help="go on with records as they come, until Ctrl-C")
    _add_range(parser, "1h")
    _add_limit(parser, 100, "records")


def _add_traces(commands: Parsers) -> None:
    parser = _command(commands, "traces", _traces, "search traces, or show one as a waterfall")
    parser.add_argument("trace", nargs="?", metavar="TRACE_ID", help="the trace to show")
    parser.add_argument("--service", metavar="NAME", help="with a span of this service")
    parser.add_argument("--operation", metavar="NAME", help="with a span of this name")
    parser.add_argument("--status", choices=["unset", "ok", "error"], help="with a span of this status")
    parser.add_argument("--min-duration", metavar="DURATION", help="with a span at least as long: 500ms, 2s")
    parser.add_argument("--longest", action="store_true", help="the longest first instead of the newest")
    _add_range(parser, "1h")
    _add_limit(parser, 20, "traces")


def _add_range(parser: argparse.ArgumentParser, default: str) -> None:
    parser.add_argument("--since", metavar="DURATION", help=f"how far back: 30m, 12h, 7d; {default} by default")
    parser.add_argument("--from", dest="start", metavar="TIME", help=f"begin instead of --since: {_TIMES}")
    parser.add_argument("--to", dest="end", metavar="TIME", help="end; now by default")


def _add_limit(parser: argparse.ArgumentParser, default: int, what: str) -> None:
    parser.add_argument("--limit", type=_count, default=default, metavar="N", help=f"most {what}; {default} by default")


def _add_backup(server: Parsers) -> None:
    backup = _server_command(server, "backup", _backup, "write everything a server keeps into one file")
    backup.add_argument("--output", metavar="FILE", help="the archive; ophion-DATE.tar.zst by default")
    restore = _server_command(
        server, "restore", _restore, "bring a backup back, into a server that is stopped", online=False
    )
    restore.add_argument("archive", metavar="FILE", help="what `server backup` wrote")
    restore.add_argument("--only", metavar="PART", help="bring back one part only, such as telemetry_store")
    restore.add_argument("--force", action="store_true", help="delete the telemetry that is there for the backup's")
    _server_command(server, "check", _check, "look for damage in everything a server keeps")


def _add_transfer(server: Parsers) -> None:
    export = _server_command(server, "export", _export, "write telemetry as OTLP files, one per signal and day")
    export.add_argument("--tenant", default="default", help="the tenant; default unless told otherwise")
    export.add_argument("--signal", action="append", choices=SIGNALS, help="may be given several times; all by default")
    export.add_argument("--from", dest="start", metavar="TIME", help=f"begin: {_TIMES}; all there is by default")
    export.add_argument("--to", dest="end", metavar="TIME", help="end; now by default")
    export.add_argument("--format", choices=["proto", "json"], default="proto", help="proto by default")
    export.add_argument("--output", required=True, metavar="DIR", help="the folder to write into")
    bring = server.add_parser(
        "import", help="send exported OTLP files", description="send exported OTLP files to a receiver"
    )
    bring.add_argument("files", nargs="+", metavar="FILE", help="files or folders that `server export` wrote")
    port = os.environ.get("OTLP_HTTP_PORT") or "4318"
    bring.add_argument("--endpoint", default=f"http://localhost:{port}", metavar="URL", help="an OTLP/HTTP receiver")
    bring.add_argument("--key-file", metavar="FILE", help="file with an ingest key, whose tenant gets the telemetry")
    bring.set_defaults(command=lambda options: run(_import, options))


def _command(commands: Parsers, name: str, work: Work, text: str) -> argparse.ArgumentParser:
    from ophion_api.cli_client import add_client_options

    parser = commands.add_parser(name, help=text, description=text)
    parser.add_argument("--output", "-o", choices=["table", "json", "csv"], default="table", help="table by default")
    add_client_options(parser)
    parser.set_defaults(command=lambda options: run(work, options))
    return parser


def _server_command(
    server: Parsers, name: str, work: Work, text: str, *, online: bool = True
) -> argparse.ArgumentParser:
    from ophion_api.cli_client import add_client_options

    parser = server.add_parser(name, help=text, description=text)
    parser.add_argument(
        "--config", action="append", required=not online, metavar="FILE",
        help="configuration of the server" + ("; needed while it is stopped" if online else ""),
    )  # fmt: skip
    parser.add_argument(
        "--set", action="append", default=[], metavar="PATH=VALUE", dest="sets", help="override one option"
    )
    if online:
        add_client_options(parser)
    parser.set_defaults(command=lambda options: run(work, options))
    return parser


def _count(text: str) -> int:
    number = int(text) if text.isdecimal() else 0
    if not 1 <= number <= 1_000_000:
        raise argparse.ArgumentTypeError(f"must be 1 to 1000000, got {text!r}")
    return number


def run(work: Work, options: argparse.Namespace) -> int:
    """Run a command; what was typed wrong ends with 2, and a reader who went away ends it quietly."""
    from ophion_api.cli_client import UsageError, complain

    try:
        code = asyncio.run(_whole(work, options))
        sys.stdout.flush()
        return code
    except UsageError as error:
        complain(str(error))
        return 2
    except KeyboardInterrupt:
        if getattr(options, "follow", False):
            return 0
        raise
    except BrokenPipeError:
        # Python would complain once more when it flushes at the exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0


async def _whole(work: Work, options: argparse.Namespace) -> int:
    return await work(options)


async def _query(options: argparse.Namespace) -> int:
    from ophion_api.cli_query import query

    return await query(options)


async def _logs(options: argparse.Namespace) -> int:
    from ophion_api.cli_logs import logs

    return await logs(options)


async def _traces(options: argparse.Namespace) -> int:
    from ophion_api.cli_traces import traces

    return await traces(options)


async def _backup(options: argparse.Namespace) -> int:
    from ophion_api.cli_backup import backup

    return await backup(options)


async def _restore(options: argparse.Namespace) -> int:
    from ophion_api.cli_backup import restore

    return await restore(options)


async def _check(options: argparse.Namespace) -> int:
    from ophion_api.cli_backup import check

    return await check(options)


async def _export(options: argparse.Namespace) -> int:
    from ophion_api.cli_transfer import export

    return await export(options)


async def _import(options: argparse.Namespace) -> int:
    from ophion_api.cli_transfer import bring_in

    return await bring_in(options)
