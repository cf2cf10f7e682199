"""Listens on TCP and Unix sockets, keeps the connections, and ends them in order."""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
import ssl
from collections.abc import Callable
from typing import Any, Final

from ophion_agent.plugin import parse_endpoint
from ophion_otlp.http2.connection import Connection
from ophion_otlp.http2.exchange import Call
from ophion_otlp.http2.headers import Head
from ophion_otlp.http2.limits import Limits

_LONGEST_CHECK_SECONDS: Final = 1.0
_SHORTEST_CHECK_SECONDS: Final = 0.01
_ABORT_SECONDS: Final = 1.0
_BACKLOG: Final = 1024


class Server:
    """Serves unary gRPC calls: `call_of(head)` gives the application's part of each.

    `failed(error)` is told of faults of this program that ended a connection; `clock()` returns seconds.
    """

    def __init__(
        self,
        call_of: Callable[[Head], Call],
        limits: Limits,
        clock: Callable[[], float],
        failed: Callable[[Exception], None],
    ) -> None:
        self._call_of = call_of
        self._limits = limits
        self._clock = clock
        self._failed = failed
        self._connections: set[Connection] = set()
        self._empty = asyncio.Event()
        self._listening: asyncio.Server | None = None
        self._unix_path = ""
        self._timer: asyncio.TimerHandle | None = None
        self.port = 0

    async def start(self, endpoint: str, tls: ssl.SSLContext | None = None) -> None:
        """Listen on host:port, :port or unix:///path; raises OSError when the address is not to be had."""
        loop = asyncio.get_running_loop()
        place = parse_endpoint(endpoint)
        options: dict[str, Any] = {"ssl": tls, "ssl_handshake_timeout": self._limits.handshake_seconds if tls else None}
        if place.unix_path is not None:
            self._listening = await loop.create_unix_server(
                self._connection, place.unix_path, backlog=_BACKLOG, **options
            )
            self._unix_path = place.unix_path.partition("\0")[0]
        else:
            # A name with two addresses would get two different free ports.
            host = place.host if place.port else await _first_address(place.host)
            self._listening = await loop.create_server(
                self._connection, host or None, place.port or 0, backlog=_BACKLOG, **options
            )
            self.port = self._listening.sockets[0].getsockname()[1]
        self._check_later()

    async def stop(self, grace_seconds: float) -> None:
        """Take no new requests, let running ones end, cancel the rest."""
        if self._listening is None:
            return
        self._listening.close()
        self._listening = None
        for connection in list(self._connections):
            connection.drain()
        await self._wait_until_empty(grace_seconds)
        for connection in list(self._connections):
            connection.abort()
        await self._wait_until_empty(_ABORT_SECONDS)
        if self._timer is not None:
            self._timer.cancel()
        if self._unix_path:
            with contextlib.suppress(FileNotFoundError):
                os.unlink(self._unix_path)

    def check(self) -> None:
        """Do what is due: end connections that are slow, idle or old, ping silent ones."""
        now = self._clock()
        for connection in list(self._connections):
            try:
                connection.check(now)
            except Exception as error:  # noqa: BLE001 - nor keep the others from being checked
                self._failed(error)
                connection.abort()

    def _connection(self) -> Connection:
        return Connection(self._call_of, self._limits, self._clock, self._opened, self._forget, self._failed)

    def _opened(self, connection: Connection) -> None:
        self._connections.add(connection)
        self._empty.clear()
        if self._listening is None:
            connection.abort()

    def _forget(self, connection: Connection) -> None:
        self._connections.discard(connection)
        if not self._connections:
            self._empty.set()

    async def _wait_until_empty(self, seconds: float) -> None:
        if self._connections:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(seconds):
                    await self._empty.wait()

    def _check_later(self) -> None:
        pings = self._limits.pings
        shortest = min(pings.max_idle or 2, pings.max_age or 2, pings.max_age_grace or 2, pings.every, pings.timeout)
        seconds = min(_LONGEST_CHECK_SECONDS, max(_SHORTEST_CHECK_SECONDS, shortest / 2))

        def check() -> None:
            self.check()
            self._timer = loop.call_later(seconds, check)

        loop = asyncio.get_running_loop()
        self._timer = loop.call_later(seconds, check)


async def _first_address(host: str) -> str:
    loop = asyncio.get_running_loop()
    found = await loop.getaddrinfo(host or "127.0.0.1", 0, family=socket.AF_UNSPEC, type=socket.SOCK_STREAM)
    return str(sorted(found)[0][4][0])
