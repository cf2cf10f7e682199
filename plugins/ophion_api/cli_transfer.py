"""`ophion-agent server export` and `import`: telemetry as OTLP files, and back through an OTLP receiver."""

from __future__ import annotations

import argparse
import asyncio
import os
import re
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final, Protocol

from ophion_agent.plugin import OphionError
from ophion_agent.server import STORAGE, check_tenant
from ophion_api.cli_backup import need_config, new_file, running_server
from ophion_api.cli_client import Client, Refused, Unreachable, UsageError, read_key, write
from ophion_api.cli_times import time_of
from ophion_api.otlp_export import Export, whole_days

SIGNALS: Final = ("traces", "metrics", "logs")
_LAST: Final = 2**63 - 1
_SUFFIXES: Final = {"proto": "otlp.pb", "json": "otlp.jsonl"}
_NAME: Final = re.compile(r"(traces|metrics|logs)-.*\.otlp\.(pb|jsonl)\Z")
_LENGTH_BYTES: Final = 4
_MOST_BYTES: Final = 64 << 20
_TRIES: Final = 8


class Origin(Protocol):
    """Where telemetry is exported from."""

    async def days(self, signal: str, first: int, last: int) -> list[tuple[int, int]]:
        """Return (begin, items) of the days that have telemetry."""

    def records(self, signal: str, first: int, last: int) -> AsyncIterator[bytes]:
        """Iterate over the bytes of a file."""


async def export(options: argparse.Namespace) -> int:
    """Write a file per signal and day."""
    now = time.time_ns()
    first = time_of("--from", options.start, now) if options.start else 0
    last = time_of("--to", options.end, now) if options.end else _LAST
    if first >= last:
        raise UsageError(f"--from: must be before --to, got {options.start} and {options.end or 'now'}")
    try:
        check_tenant(options.tenant)
    except ValueError as error:
        raise UsageError(f"--{error}") from None
    folder = Path(options.output)
    await asyncio.to_thread(_make, folder)
    running = _Running(running_server(options), options.tenant, options.format)
    try:
        await _export_from(running, options, folder, (first, last))
    except (Unreachable, Refused) as error:
        need_config(options, error)
        async with _stopped(options) as origin:
            await _export_from(origin, options, folder, (first, last))
    return 0


def _make(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    except OSError as error:
        raise UsageError(f"--output: {folder} cannot be made: {error.strerror}; choose another place") from error


async def _export_from(origin: Origin, options: argparse.Namespace, folder: Path, bounds: tuple[int, int]) -> None:
    for signal in options.signal or SIGNALS:
        for start, items in await origin.days(signal, *bounds):
            day = datetime.fromtimestamp(start // 1_000_000_000, UTC).date()
            path = folder / f"{signal}-{day}.{_SUFFIXES[options.format]}"
            first, last = whole_days(max(start, bounds[0]), bounds[1])
            with new_file(path) as file:
                async for piece in origin.records(signal, first, last):
                    await asyncio.to_thread(file.write, piece)
            write(f"{path}: {items} items")


@dataclass(frozen=True, slots=True)
class _Running:
    client: Client
    tenant: str
    form: str

    async def days(self, signal: str, first: int, last: int) -> list[tuple[int, int]]:
        found = await self.client.get("/api/admin/export/days", self._parameters(signal, first, last))
        return [(day["start"], day["items"]) for day in found]

    async def records(self, signal: str, first: int, last: int) -> AsyncIterator[bytes]:
        parameters = {**self._parameters(signal, first, last), "format": self.form}
        async with self.client.open("GET", "/api/admin/export", params=parameters, silence=600.0) as response:
            async for piece in response.content.iter_any():
                yield piece

    def _parameters(self, signal: str, first: int, last: int) -> dict[str, str]:
        return {"tenant": self.tenant, "signal": signal, "first": str(first), "last": str(last)}


@dataclass(frozen=True, slots=True)
class _Stopped:
    export: Callable[[Any], Export]
    form: Any

    async def days(self, signal: str, first: int, last: int) -> list[tuple[int, int]]:
        return [(day.start, day.items) for day in await self.export(signal).days(first, last)]

    def records(self, signal: str, first: int, last: int) -> AsyncIterator[bytes]:
        return self.export(signal).records(first, last, self.form)


@asynccontextmanager
async def _stopped(options: argparse.Namespace) -> AsyncIterator[_Stopped]:
    from ophion_agent.server.offline import open_extensions

    async with open_extensions(options.config, options.sets, [STORAGE]) as services:
        storage = services.get(STORAGE)
        if options.tenant not in await storage.tenants():
            raise UsageError(f"--tenant: {options.tenant} has no telemetry; choose another")
        yield _Stopped(lambda signal: Export(storage, options.tenant, signal), options.format)


# ---- import


async def bring_in(options: argparse.Namespace) -> int:
    """Send what files hold to an OTLP/HTTP receiver, oldest file first; a file that was sent whole is reported."""
    files = [file for given in options.files for file in await asyncio.to_thread(_files_in, Path(given))]
    endpoint = options.endpoint.rstrip("/")
    client = Client(endpoint, read_key(options.key_file, os.environ, is_local=False))
    for path in files:
        match = _NAME.match(path.name)
        assert match is not None
        content_type = "application/x-protobuf" if match[2] == "pb" else "application/json"
        requests = await _send_file(client, path, f"/v1/{match[1]}", content_type)
        write(f"{path}: {requests} requests sent")
    return 0


def _files_in(given: Path) -> list[Path]:
    files = sorted(path for path in given.iterdir() if _NAME.match(path.name)) if given.is_dir() else [given]
    if not files or not all(_NAME.match(path.name) and path.is_file() for path in files):
        raise UsageError(
            f"{given}: must be an export, such as traces-2026-01-31.otlp.pb; `ophion-agent server export` writes it"
        )
    return files


async def _send_file(client: Client, path: Path, route: str, content_type: str) -> int:
    records, count = _records(path), 0
    while (record := await asyncio.to_thread(next, records, None)) is not None:
        await _again_while_busy(lambda body=record: _send(client, route, body, content_type))  # type: ignore[misc]
        count += 1
    return count


async def _send(client: Client, route: str, body: bytes, content_type: str) -> None:
    headers = {"Content-Type": content_type}
    async with client.open("POST", route, seconds=120.0, data=body, headers=headers) as response:
        await response.read()


async def _again_while_busy(attempt: Callable[[], Awaitable[None]]) -> None:
    for number in range(_TRIES):
        try:
            await attempt()
            return
        except Refused as error:
            if error.status not in (429, 502, 503, 504) or number == _TRIES - 1:
                raise
        await asyncio.sleep(min(30.0, 0.5 * 2**number))


def _records(path: Path) -> Iterator[bytes]:
    """Iterate over the requests of a file; raises OphionError where it ends in the middle of one."""
    try:
        with path.open("rb") as file:
            if path.suffix == ".jsonl":
                yield from (line for line in file if line.strip())
                return
            while head := file.read(_LENGTH_BYTES):
                length = int.from_bytes(head, "big")
                if len(head) < _LENGTH_BYTES or length > _MOST_BYTES or len(data := file.read(length)) < length:
                    raise OphionError(f"{path}: is damaged after {file.tell()} bytes; export it again")
                yield data
    except OSError as error:
        raise OphionError(f"{path}: cannot be read: {error.strerror}; name another file") from error
