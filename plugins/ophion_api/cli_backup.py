"""`ophion-agent server backup`, `restore` and `check`: by the running server, or on its files while it is stopped."""

from __future__ import annotations

import argparse
import asyncio
import inspect
import os
import shutil
import tempfile
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, Final

import orjson

from ophion_agent.plugin import OphionError
from ophion_agent.server import CONTROL_STORE, STORAGE, BackupSource
from ophion_api.cli_client import Client, Refused, Unreachable, UsageError, complain, write

if TYPE_CHECKING:
    from ophion_api.archive import Unpacked

# A part is copied before any of it is sent.
_SILENCE_SECONDS: Final = 6 * 3600.0


async def backup(options: argparse.Namespace) -> int:
    """Write an archive."""
    target = Path(options.output or f"ophion-{datetime.now(UTC):%Y-%m-%d-%H%M%S}.tar.zst")
    with new_file(target) as file:
        try:
            async with running_server(options).open("POST", "/api/admin/backup", silence=_SILENCE_SECONDS) as response:
                async for piece in response.content.iter_any():
                    await asyncio.to_thread(file.write, piece)
        except (Unreachable, Refused) as error:
            need_config(options, error)
            await _backup_offline(options, file, target)
    size = (await asyncio.to_thread(target.stat)).st_size
    write(f"{target}: {size} bytes; `ophion-agent server restore` brings it back")
    return 0


async def _backup_offline(options: argparse.Namespace, file: BinaryIO, target: Path) -> None:
    from ophion_api.admin import archive_facts
    from ophion_api.archive import written

    async with stopped_server(options) as sources:
        async for piece in written(sources, archive_facts(), target.parent):
            await asyncio.to_thread(file.write, piece)


async def restore(options: argparse.Namespace) -> int:
    """Bring an archive back; everything in it is checked before anything is written."""
    from ophion_api.archive import unpack

    archive = Path(options.archive)
    with _work_folder(archive) as folder:
        unpacked = await asyncio.to_thread(unpack, archive, folder)
        parts = _chosen(unpacked, options.only)
        async with stopped_server(options) as sources:
            missing = [part for part in parts if part not in sources]
            if missing:
                raise OphionError(
                    f"{archive}: holds {', '.join(missing)}, which the configuration does not have; add it"
                )
            for part in (part for part in sources if part in parts):
                await _restore_part(sources[part], folder / part, force=options.force)
                write(f"{part}: restored")
    return 0


async def _restore_part(source: BackupSource, folder: Path, *, force: bool) -> None:
    # Not every part can delete what it has.
    can_force = "force" in inspect.signature(source.restore).parameters
    arguments: dict[str, Any] = {"force": True} if force and can_force else {}
    await asyncio.to_thread(folder.mkdir, parents=True, exist_ok=True)
    await source.restore(folder, **arguments)


def _chosen(unpacked: Unpacked, only: str | None) -> list[str]:
    if only is None:
        return unpacked.parts
    if only not in unpacked.parts:
        raise UsageError(f"--only: the archive holds {', '.join(unpacked.parts)}, got {only}; choose one of them")
    return [only]


async def check(options: argparse.Namespace) -> int:
    """Print what is damaged; exit code 1 where anything is."""
    try:
        found = await _check_running(options)
    except (Unreachable, Refused) as error:
        need_config(options, error)
        async with stopped_server(options) as sources:
            found = [problem for source in sources.values() for problem in await source.check()]
    for problem in found:
        write(problem)
    if not found:
        write("no damage found")
    return 1 if found else 0


async def _check_running(options: argparse.Namespace) -> list[str]:
    found: list[str] = []
    client = running_server(options)
    async with client.open("POST", "/api/admin/check", silence=_SILENCE_SECONDS) as response:
        async for line in response.content:
            entry = orjson.loads(line)
            if "problem" in entry:
                found.append(entry["problem"])
            if "done" in entry:
                return found
    raise OphionError(f"{client.url}: the check ended early; look at the server's log")


# ---- which server, and its files


def running_server(options: argparse.Namespace) -> Client:
    """Return the client of the server that may be running."""
    return Client.of(options)


def need_config(options: argparse.Namespace, error: Unreachable | Refused) -> None:
    """Raise `error` with its remedy, unless the server is stopped and its configuration is known."""
    if isinstance(error, Refused):
        if error.status == 404:
            raise OphionError(f"{error}; the server needs the extension `server_admin` for this") from error
        raise error
    if not options.config:
        raise OphionError(f"{error}; give --config to work on a server that is stopped") from error
    complain(f"{error.args[0].partition(';')[0]}; working on its files")


@asynccontextmanager
async def stopped_server(options: argparse.Namespace) -> AsyncIterator[dict[str, BackupSource]]:
    """Open the stores of a configuration whose server is stopped, by their names in an archive."""
    from ophion_agent.server.offline import open_extensions
    from ophion_api.admin import named

    async with open_extensions(options.config, options.sets, [STORAGE, CONTROL_STORE]) as services:
        stores: list[Any] = [services.get(STORAGE), services.get(CONTROL_STORE)]
        yield named(store for store in stores if hasattr(store, "backup"))


# ---- files


@contextmanager
def new_file(target: Path) -> Iterator[BinaryIO]:
    """Yield a file that becomes `target` at the end, readable to its owner alone, and is gone after an error."""
    partial = target.with_name(f"{target.name}.part")
    if target.exists():
        raise UsageError(f"--output: {target} exists; choose another name")
    try:
        fd = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    except OSError as error:
        raise UsageError(f"--output: {partial} cannot be written: {error.strerror}; choose another place") from error
    try:
        with open(fd, "wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        partial.replace(target)
    except OSError as error:
        raise OphionError(f"{target}: cannot be written: {error.strerror or error}; choose another place") from error
    finally:
        partial.unlink(missing_ok=True)


@contextmanager
def _work_folder(archive: Path) -> Iterator[Path]:
    """Yield an empty folder for the content of an archive: in $TMPDIR where it is set, else beside the archive."""
    try:
        folder = Path(
            tempfile.mkdtemp(prefix="ophion-restore-", dir=os.environ.get("TMPDIR") or archive.absolute().parent)
        )
    except OSError as error:
        remedy = "name an archive that is there, and a folder with room for it by TMPDIR"
        raise UsageError(f"{archive}: cannot be unpacked: {error.strerror}; {remedy}") from error
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)
