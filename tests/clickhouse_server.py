"""A server for tests that speaks ClickHouse's HTTP interface, on the embedded engine in a process of its own.

    async with clickhouse_server(tmp_path) as (url, user, password):
        ...

What it does as a real server does, and what it does not do, is said in `clickhouse_interface.py`.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import sys
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp

from agent_process import eventually, free_port
from clickhouse_interface import SETTINGS

USER = "ophion"
PASSWORD = "only-for-tests:é"
READY_SECONDS = 60.0
STOP_SECONDS = 30.0


@dataclass
class ClickHouseServer:
    """A server in a process of its own. It unpacks into url, user and password."""

    directory: Path
    port: int
    user: str = USER
    password: str = field(default=PASSWORD, repr=False)
    concurrency: int = 16
    tls: Mapping[str, str] | None = None
    _process: asyncio.subprocess.Process | None = None

    @property
    def url(self) -> str:
        """Where it listens, also while it does not run."""
        return f"{'https' if self.tls else 'http'}://localhost:{self.port}"

    def __iter__(self) -> Iterator[str]:
        return iter((self.url, self.user, self.password))

    @property
    def requests(self) -> list[dict[str, Any]]:
        """Return the queries that came in, oldest first: sql, settings, parameters, encoding ..."""
        log = self.directory / "requests"
        return [json.loads(line) for line in log.read_text().splitlines()] if log.exists() else []

    async def start(self) -> None:
        """Start the process and return once it answers."""
        self.directory.mkdir(parents=True, exist_ok=True)
        settings = {
            "directory": str(self.directory),
            "port": self.port,
            "user": self.user,
            "password": self.password,
            "concurrency": self.concurrency,
            "tls": dict(self.tls or {}),
        }
        with (self.directory / "output").open("ab") as output:
            self._process = await asyncio.create_subprocess_exec(
                sys.executable,
                str(Path(__file__).with_name("clickhouse_interface.py")),
                env={**os.environ, SETTINGS: json.dumps(settings)},
                # The engine puts schemas that came as text below its working directory.
                cwd=self.directory,
                stdin=asyncio.subprocess.DEVNULL,
                stdout=output,
                stderr=output,
            )
        await eventually(self._answers, lambda: f"the server answers: {self.output()}", READY_SECONDS)

    async def _answers(self) -> bool:
        assert self._process is not None
        assert self._process.returncode is None, f"the server ended: {self.output()}"
        with contextlib.suppress(aiohttp.ClientError, OSError):
            async with aiohttp.ClientSession() as session, session.get(f"{self.url}/ping", ssl=False) as response:
                return response.status == 200
        # A server that wants a certificate of its clients ends the handshake, and is there.
        return bool(self.tls and "client_ca" in self.tls) and await self._listens()

    async def _listens(self) -> bool:
        with contextlib.suppress(OSError):
            _, writer = await asyncio.open_connection("localhost", self.port)
            writer.close()
            await writer.wait_closed()
            return True
        return False

    def output(self) -> str:
        """Return what the process has written."""
        return (self.directory / "output").read_text(errors="replace")

    async def stop(self) -> None:
        """End the process; safe twice."""
        if self._process is None or self._process.returncode is not None:
            return
        self._process.terminate()
        try:
            async with asyncio.timeout(STOP_SECONDS):
                await self._process.wait()
        except TimeoutError:
            await self.kill()

    def pause(self) -> None:
        """Let the process hang: connections are taken and nothing is answered."""
        assert self._process is not None
        self._process.send_signal(signal.SIGSTOP)

    def resume(self) -> None:
        """Let a paused process go on."""
        assert self._process is not None
        self._process.send_signal(signal.SIGCONT)

    async def kill(self) -> None:
        """End the process as a crash would."""
        if self._process is not None and self._process.returncode is None:
            self._process.kill()
            await self._process.wait()


@asynccontextmanager
async def clickhouse_server(
    directory: Path, *, user: str = USER, password: str = PASSWORD, tls: Mapping[str, str] | None = None
) -> AsyncIterator[ClickHouseServer]:
    """Run a server that keeps its data in `directory`; it is always stopped.

    `tls` names the files `certificate` and `key`, and `client_ca` where clients need a certificate.
    """
    server = ClickHouseServer(directory / "clickhouse", free_port(), user, password, tls=tls)
    try:
        await server.start()
        yield server
    finally:
        await server.stop()
