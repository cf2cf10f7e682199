"""Commands that talk to a running agent by its control socket: `tap` and `replay`."""

import argparse
import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any
from urllib.parse import quote

import orjson

from ophion_agent.errors import OphionError


def add_commands(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add the commands of this module."""
    tap = commands.add_parser("tap", help="show what passes an edge of a running agent's pipelines")
    tap.add_argument("edge", nargs="?", help="PIPELINE/in, PIPELINE/PROCESSOR or PIPELINE/out; none lists them")
    tap.add_argument("--json", action="store_true", help="print OTLP-JSON, one request a line")
    tap.add_argument("--limit", type=int, default=0, metavar="N", help="end after N batches")
    tap.set_defaults(command=_tap)
    replay = commands.add_parser("replay", help="send the dead letters of an exporter again")
    replay.add_argument("--queue", required=True, metavar="EXPORTER", help="id of the exporter, such as otlp/backend")
    replay.set_defaults(command=_replay)
    for parser in (tap, replay):
        parser.add_argument("--socket", metavar="PATH", help="control socket of the agent")
        parser.add_argument("--config", action="append", metavar="FILE", help="find the socket by the agent's files")
    replay.description = "Asks the running agent; with --config and no agent running, sends by itself and ends."


def _socket_path(options: argparse.Namespace) -> Path:
    from ophion_agent.control_socket import find_socket

    if options.socket:
        return Path(options.socket)
    if options.config:
        from ophion_agent.agent import Sources

        configured = Sources(options.config).plan()[0].service.control.socket
        if configured:
            return Path(configured)
    return find_socket()


def _tap(options: argparse.Namespace) -> int:
    try:
        asyncio.run(_print_tap(_socket_path(options), options))
    except (KeyboardInterrupt, BrokenPipeError):
        return 0
    return 0


async def _print_tap(path: Path, options: argparse.Namespace) -> None:
    from ophion_agent.otlp_summary import summary_lines

    if not options.edge:
        answer = await request(path, "GET", "/edges")
        print("\n".join(answer["edges"]))
        return
    seen = 0
    async for line in stream(path, f"/tap?edge={quote(options.edge)}"):
        if options.json:
            print(line.decode().rstrip("\n"), flush=True)
        else:
            print("\n".join(summary_lines(orjson.loads(line))), flush=True)
        seen += 1
        if options.limit and seen >= options.limit:
            return


def _replay(options: argparse.Namespace) -> int:
    path = _socket_path(options)
    try:
        replayed = asyncio.run(request(path, "POST", f"/replay?exporter={quote(options.queue)}"))["replayed"]
    except NotRunning:
        if not options.config:
            raise
        replayed = asyncio.run(_replay_offline(options.config, options.queue))
    print(f"{options.queue}: {replayed} batch(es) sent again")
    return 0


async def _replay_offline(configs: Sequence[str], exporter_id: str) -> int:
    """Run nothing but the exporter and the extensions it needs, long enough to send its dead letters."""
    from ophion_agent.offline import exporter_alone

    async with exporter_alone(configs, exporter_id) as (sender, seconds):
        replayed = await sender.replay()
        try:
            await asyncio.wait_for(sender.flush(), seconds)
        except TimeoutError as error:
            raise OphionError(
                f"{exporter_id}: the destination did not take everything; {sender.queue_info()}"
            ) from error
        return replayed


class NotRunning(OphionError):  # noqa: N818 - states the condition
    """No agent answers on the control socket."""


async def request(path: Path, method: str, url: str) -> Any:
    """Return the JSON answer of the agent behind a control socket; raise OphionError with what it says otherwise."""
    async with _answer(path, method, url) as response:
        return orjson.loads(await response.read())


async def stream(path: Path, url: str) -> AsyncIterator[bytes]:
    """Iterate over the lines that the agent behind a control socket sends."""
    async with _answer(path, "GET", url) as response:
        buffer = b""
        async for chunk in response.content.iter_any():
            *lines, buffer = (buffer + chunk).split(b"\n")
            for line in lines:
                yield line


def _explain(answer: Any) -> str:
    choices = [f"{key}: {', '.join(value)}" for key, value in answer.items() if isinstance(value, list)]
    return "; ".join([str(answer.get("error", answer)), *choices])


@asynccontextmanager
async def _answer(path: Path, method: str, url: str) -> AsyncIterator[Any]:
    import aiohttp

    timeout = aiohttp.ClientTimeout(total=None, sock_connect=5)
    try:
        async with (
            aiohttp.ClientSession(connector=aiohttp.UnixConnector(str(path)), timeout=timeout) as session,
            session.request(method, f"http://agent{url}") as response,
        ):
            if response.status >= 400:
                raise OphionError(_explain(orjson.loads(await response.read())))
            yield response
    except aiohttp.ClientConnectorError as error:
        reason = f"no agent answers on the control socket {path}: {error.strerror}"
        raise NotRunning(f"{reason}; name it with --socket or --config") from error
    except aiohttp.ClientError as error:
        raise OphionError(f"the agent closed the control socket {path}: {error or type(error).__name__}") from error
