"""HTTP for rare visitors: the web framework is loaded at the first connection.

An agent whose own metrics nobody scrapes and whose control socket nobody opens does not pay the memory that aiohttp
takes, about 13 MB.
"""

import asyncio
import importlib
import socket
from collections.abc import Awaitable, Callable, Mapping
from typing import TYPE_CHECKING, Any, cast

from ophion_agent.log import agent_logger

if TYPE_CHECKING:
    from aiohttp import web

    Handler = Callable[[web.BaseRequest], Awaitable[web.StreamResponse]]

SHUTDOWN_SECONDS = 1.0


class _FirstVisit(asyncio.Protocol):
    """Waits for the first bytes of a client, loads the framework in a thread, and hands the connection over.

    Loading takes a few hundred milliseconds, in which the pipelines go on. A client that says nothing loads nothing.
    """

    def __init__(self, http_protocol: Callable[[], asyncio.Protocol]) -> None:
        self._http_protocol = http_protocol
        self._handover: asyncio.Task[None] | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)

    def data_received(self, data: bytes) -> None:
        self._transport.pause_reading()
        self._handover = asyncio.create_task(self._hand_over(data))

    async def _hand_over(self, data: bytes) -> None:
        await asyncio.to_thread(importlib.import_module, "aiohttp.web")
        if self._transport.is_closing():
            return
        protocol = self._http_protocol()
        self._transport.set_protocol(protocol)
        protocol.connection_made(self._transport)
        protocol.data_received(data)
        self._transport.resume_reading()


class RareHTTPServer:
    """Serves a few routes, given as (method, path) -> handler; a handler is cancelled when its client leaves."""

    def __init__(self, routes: "Mapping[tuple[str, str], Handler]") -> None:
        self._routes = routes
        self._listeners: list[asyncio.Server] = []
        self._protocols: web.Server | None = None

    async def listen(self, host: str | None, port: int) -> int:
        """Listen on TCP (host None: all interfaces) and return the bound port; raise OSError when that fails."""
        loop = asyncio.get_running_loop()
        server = await loop.create_server(self._protocol, host, port)
        self._listeners.append(server)
        bound: int = server.sockets[0].getsockname()[1]
        return bound

    async def listen_on(self, listener: socket.socket) -> None:
        """Listen on a bound Unix socket."""
        loop = asyncio.get_running_loop()
        self._listeners.append(await loop.create_unix_server(self._protocol, sock=listener))

    def _protocol(self) -> asyncio.BaseProtocol:
        return _FirstVisit(self.http_protocol) if self._protocols is None else self._protocols()

    def http_protocol(self) -> asyncio.Protocol:
        """Return a protocol that speaks HTTP on one connection."""
        from aiohttp import web

        if self._protocols is None:
            from ophion_agent.web import ServerLog

            logger = ServerLog(agent_logger().getChild("http"))
            self._protocols = web.Server(self._handle, handler_cancellation=True, access_log=None, logger=logger)
        return self._protocols()

    async def _handle(self, request: "web.BaseRequest") -> "web.StreamResponse":
        from aiohttp import web

        handler = self._routes.get((request.method, request.path))
        if handler is not None:
            return await handler(request)
        allowed = [method for method, path in self._routes if path == request.path]
        headers: dict[str, Any] = {"Allow": ", ".join(allowed)} if allowed else {}
        return web.Response(status=405 if allowed else 404, headers=headers)

    async def stop(self) -> None:
        """Stop listening, and give running requests a moment; safe twice."""
        for server in self._listeners:
            server.close()
        self._listeners.clear()
        protocols, self._protocols = self._protocols, None
        if protocols is not None:
            await protocols.shutdown(SHUTDOWN_SECONDS)
