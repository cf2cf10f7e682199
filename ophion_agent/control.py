"""The control socket: how `ophion-agent tap` and `ophion-agent replay` reach a running agent.

HTTP on a Unix socket that only the agent's user and root can open. docs/operations.md lists what it answers.
"""

import contextlib
import os
import socket
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import orjson

from ophion_agent.control_socket import default_socket
from ophion_agent.errors import OphionError
from ophion_agent.info import AgentInfo
from ophion_agent.log import Log, agent_logger
from ophion_agent.otlp_json import encode
from ophion_agent.rare_http import RareHTTPServer

if TYPE_CHECKING:
    from aiohttp import web


class Controllable(AgentInfo, Protocol):
    """What the control socket may do to an agent."""

    async def replay(self, exporter_id: str) -> int:
        """Send the dead letters of an exporter again."""

    def request_reload(self) -> None:
        """Read the configuration again."""


class ControlServer:
    """Serves the control socket of one agent."""

    def __init__(self, agent: Controllable, path: str | None) -> None:
        self._agent = agent
        self.path = Path(path) if path else default_socket()
        self._is_default = path is None
        self._server: RareHTTPServer | None = None

    async def start(self) -> None:
        """Open the socket. One that is in use is an error where the user named it, else a warning: tap is a comfort."""
        try:
            listener = self._bind()
        except OphionError as error:
            if not self._is_default:
                raise
            Log(agent_logger(), {"component": "agent"}).warning("control_socket_not_open", error=str(error))
            return
        self._server = RareHTTPServer(
            {
                ("GET", "/edges"): self._edges,
                ("GET", "/tap"): self._tap,
                ("GET", "/config"): self._config,
                ("POST", "/replay"): self._replay,
                ("POST", "/reload"): self._reload,
            }
        )
        await self._server.listen_on(listener)

    def _bind(self) -> socket.socket:
        try:
            self.path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            if self._is_default and self.path.parent.stat().st_uid != os.getuid():
                reason = f"{self.path.parent} belongs to another user; set service.control.socket"
                raise OphionError(f"control socket: {reason}")
            self._remove_stale()
            return self._listen()
        except OSError as error:
            raise OphionError(
                f"control socket: cannot open {self.path}: {error.strerror or error}; set service.control.socket"
            ) from error

    def _listen(self) -> socket.socket:
        listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        mask = os.umask(0o177)
        try:
            listener.bind(str(self.path))
        except OSError:
            listener.close()
            raise
        finally:
            os.umask(mask)
        return listener

    def _remove_stale(self) -> None:
        if not os.path.lexists(self.path):
            return
        if not self.path.is_socket():
            raise OphionError(f"control socket: {self.path} is not a socket; set service.control.socket")
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
            try:
                probe.connect(str(self.path))
            except ConnectionRefusedError:
                self.path.unlink(missing_ok=True)
                return
        raise OphionError(f"control socket: {self.path} is in use by another agent; set service.control.socket")

    async def stop(self) -> None:
        """Close and remove the socket; safe twice."""
        if self._server is not None:
            await self._server.stop()
            self._server = None
            self.path.unlink(missing_ok=True)

    async def _edges(self, _: "web.BaseRequest") -> "web.Response":
        return _json({"edges": list(self._agent.edges())})

    async def _config(self, _: "web.BaseRequest") -> "web.Response":
        from aiohttp import web

        return web.Response(text=self._agent.effective_config(), content_type="application/yaml")

    async def _tap(self, request: "web.BaseRequest") -> "web.StreamResponse":
        """Stream OTLP-JSON, one request a line, until the client leaves."""
        from aiohttp import web

        edge = request.query.get("edge", "")
        try:
            batches = self._agent.tap(edge)
        except KeyError:
            return _json({"error": f"no edge {edge!r}", "edges": list(self._agent.edges())}, 404)
        response = web.StreamResponse(headers={"Content-Type": "application/x-ndjson"})
        await response.prepare(request)
        async with contextlib.aclosing(batches):
            async for batch in batches:
                await response.write(encode(batch.view().message) + b"\n")
        return response

    async def _replay(self, request: "web.BaseRequest") -> "web.Response":
        exporter = request.query.get("exporter", "")
        try:
            replayed = await self._agent.replay(exporter)
        except KeyError:
            exporters = [queue.exporter for queue in self._agent.queues()]
            return _json({"error": f"no exporter {exporter!r}", "exporters": exporters}, 404)
        except OphionError as error:
            return _json({"error": str(error)}, 503)
        return _json({"replayed": replayed})

    async def _reload(self, _: "web.BaseRequest") -> "web.Response":
        self._agent.request_reload()
        return _json({"reload": "requested"}, 202)


def _json(body: object, status: int = 200) -> "web.Response":
    from aiohttp import web

    return web.Response(body=orjson.dumps(body), status=status, content_type="application/json")
