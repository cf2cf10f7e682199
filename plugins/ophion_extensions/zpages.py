"""The status page: pipelines drawn with live rates, queues, errors, components and the configuration that runs."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Awaitable, Callable, Sequence
from importlib.resources import files
from typing import TYPE_CHECKING, Annotated, Any, Final

from pydantic import BeforeValidator, Field

from ophion_agent.plugin import Config, Context, Endpoint, Extension, null_is_default
from ophion_agent.server import DEFAULT_TENANT, HTTP_ROUTES, Call, Forbidden, Permission, Route
from ophion_agent.web import HTTPServerConfig, WebServer, server_auth
from ophion_extensions.browser_guard import guard
from ophion_extensions.zpages_page import config_page, status_page
from ophion_extensions.zpages_status import AgentStatus, Observer

if TYPE_CHECKING:
    from aiohttp import web

_OBSERVE_SECONDS: Final = 1.0
# otelcol's pages and the part of ours that shows the same.
_OTELCOL_PAGES: Final = {
    "/debug/servicez": "/",
    "/debug/pipelinez": "/#pipelines",
    "/debug/extensionz": "/#components",
    "/debug/featurez": "/config",
}


class Expvar(Config):
    """otelcol's Go variables."""

    enabled: bool = Field(False, description="Accepted for otelcol's sake; `/status.json` has the figures.")


class ZPagesConfig(HTTPServerConfig):
    """Where the status page is served."""

    endpoint: Endpoint = Field("localhost:55679", description="Address to listen on.")
    expvar: Annotated[Expvar, BeforeValidator(null_is_default)] = Field(
        Expvar(), description="Accepted for otelcol's sake; no effect."
    )


class ZPages(Extension[ZPagesConfig]):
    """Serves the status page: `/`, `/config` and `/status.json`; on a server the latter also as part of the API."""

    type_name = "zpages"
    provides = (HTTP_ROUTES,)

    def __init__(self, config: ZPagesConfig, context: Context) -> None:
        super().__init__(config, context)
        self._observer = Observer(context)
        self._server: WebServer | None = None
        self._style = ""

    async def start(self) -> None:
        """Listen; raise OphionError when the address is taken."""
        from aiohttp import web

        self._style = _asset("zpages_style.css")
        app = web.Application(middlewares=[guard(self.config.endpoint, _policy(self._style))])
        for path, handler in self._routes().items():
            app.router.add_get(path, handler)
        self._server = WebServer(self.config, app, auth=server_auth(self.config, self.context), shutdown_seconds=1.0)
        await self._server.start()
        self.context.spawn("observe", self._observe)

    async def stop(self) -> None:
        """Stop listening."""
        server, self._server = self._server, None
        if server is not None:
            await server.stop()

    def addresses(self) -> list[str]:
        """Return the URL of the status page."""
        return [f"{self._server.url}/"] if self._server is not None else []

    async def _observe(self) -> None:
        while True:
            self._observer.observe()
            await self.context.clock.sleep(_OBSERVE_SECONDS)

    def routes(self) -> Sequence[Route]:
        """Return the route of the status, for a server's API."""
        summary = "Pipelines with live rates, queues and states of the process that answers"
        path = "/api/agent/status"
        return [Route("GET", path, self._status, Permission.OPERATE, answer=AgentStatus, tag="server", summary=summary)]

    async def _status(self, call: Call) -> AgentStatus:
        # The process serves every tenant; its figures and errors are its operators' business.
        if call.tenant != DEFAULT_TENANT:
            raise Forbidden(f"the state of the agent is for the tenant {DEFAULT_TENANT}; ask its operators")
        return self._observer.snapshot()

    def _routes(self) -> dict[str, Callable[[web.Request], Awaitable[web.StreamResponse]]]:
        from aiohttp import web

        async def page(_: web.Request) -> web.Response:
            return _response(status_page(self._observer.snapshot(), self._style), "text/html")

        async def config(_: web.Request) -> web.Response:
            return _response(config_page(self.context.agent.effective_config(), self._style), "text/html")

        async def status(_: web.Request) -> web.Response:
            return web.json_response(self._observer.snapshot().as_json())

        async def script(_: web.Request) -> web.Response:
            return _response(_asset("zpages_app.js"), "text/javascript")

        async def otelcol_page(request: web.Request) -> web.Response:
            raise web.HTTPFound(_OTELCOL_PAGES[request.path])

        own: dict[str, Any] = {"/": page, "/config": config, "/status.json": status, "/app.js": script}
        return {**own, **dict.fromkeys(_OTELCOL_PAGES, otelcol_page)}


def _asset(name: str) -> str:
    return (files(__package__) / name).read_text(encoding="utf-8")


def _policy(style: str) -> str:
    """Allow the page its own style and script, and nothing else."""
    digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    return (
        f"default-src 'none'; style-src 'sha256-{digest}'; script-src 'self'; connect-src 'self'; img-src data:; "
        "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    )


def _response(text: str, content_type: str) -> web.Response:
    from aiohttp import web

    return web.Response(text=text, content_type=content_type, charset="utf-8")
