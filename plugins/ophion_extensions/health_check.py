"""Answers whether the agent runs (`/`, `/live`) and whether it does its work (`/ready`)."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import BeforeValidator, Field

from ophion_agent.plugin import ComponentInfo, Config, Context, Duration, Endpoint, Extension, Status, null_is_default
from ophion_agent.web import HTTPServerConfig, WebServer, server_auth
from ophion_extensions.times import go_duration, rfc3339

if TYPE_CHECKING:
    from aiohttp import web

# What a component is in while the agent does what it was told to, failing destinations included.
_RUNNING = (Status.OK, Status.DEGRADED)


class ResponseBody(Config):
    """Texts that replace the JSON bodies of `path`."""

    healthy: str = Field("", description="Body of the 200; empty for otelcol's JSON.")
    unhealthy: str = Field("", description="Body of the 503; empty for otelcol's JSON.")


class CheckPipeline(Config):
    """otelcol's check of exporters, which it does not do any more; ours is `/ready`."""

    enabled: bool = Field(False, description="Accepted for otelcol's sake; ask `/ready` instead.")
    interval: Duration = Field(300.0, description="Accepted for otelcol's sake; no effect.")
    exporter_failure_threshold: int = Field(5, ge=0, description="Accepted for otelcol's sake; no effect.")


class HealthCheckConfig(HTTPServerConfig):
    """Where to answer, and what."""

    endpoint: Endpoint = Field("localhost:13133", description="Address to listen on.")
    path: str = Field(
        "/",
        pattern="^/",
        description="200 once every component has started and while none has failed, else 503. A backend that is down "
        "changes nothing, so this is safe for a liveness probe. A path that ends with / covers all below it. "
        "`/live` is 200 while the process answers; `/ready` is 503 with every reason while an exporter fails, a queue "
        "is full or anything else does not work; `/ready?verbose` lists all components.",
    )
    response_body: Annotated[ResponseBody, BeforeValidator(null_is_default)] = Field(
        ResponseBody(), description="Texts to answer with."
    )
    check_collector_pipeline: Annotated[CheckPipeline, BeforeValidator(null_is_default)] = Field(
        CheckPipeline(), description="Accepted for otelcol's sake; `/ready` always includes exporters and queues."
    )


class HealthCheck(Extension[HealthCheckConfig]):
    """Answers probes: `/` like otelcol, `/live` and `/ready` with all that is wrong."""

    type_name = "health_check"
    aliases = ("healthcheck",)

    def __init__(self, config: HealthCheckConfig, context: Context) -> None:
        super().__init__(config, context)
        self._server: WebServer | None = None

    async def start(self) -> None:
        """Listen; raise OphionError when the address is taken."""
        from aiohttp import web

        app = web.Application()
        path = self.config.path
        # The configured path wins: with `path: /ready` a user asks for otelcol's answer there.
        for route, handler in {"/live": self._live, "/ready": self._ready, path: self._health}.items():
            app.router.add_get(route, handler)
        if path.endswith("/"):
            app.router.add_get(path + "{below:.*}", self._health)
        self._server = WebServer(self.config, app, auth=server_auth(self.config, self.context), shutdown_seconds=1.0)
        await self._server.start()

    async def stop(self) -> None:
        """Stop listening."""
        server, self._server = self._server, None
        if server is not None:
            await server.stop()

    def addresses(self) -> list[str]:
        """Return the URL of the health check."""
        return [self._server.url + self.config.path] if self._server is not None else []

    async def _health(self, _: web.Request) -> web.Response:
        agent = self.context.agent
        components = agent.components()
        healthy = bool(components) and all(component.status in _RUNNING for component in components)
        texts = self.config.response_body
        text = texts.healthy if healthy else texts.unhealthy
        if text:
            return _text(text, healthy)
        if not healthy:
            return _json({"status": "Server not available", "upSince": "0001-01-01T00:00:00Z", "uptime": ""}, healthy)
        uptime_seconds = (self.context.clock.now_ns() - agent.started_ns) / 1e9
        up_since, uptime = rfc3339(agent.started_ns), go_duration(uptime_seconds)
        return _json({"status": "Server available", "upSince": up_since, "uptime": uptime}, healthy)

    async def _live(self, _: web.Request) -> web.Response:
        return _json({"status": "alive"}, True)

    async def _ready(self, request: web.Request) -> web.Response:
        readiness = self.context.agent.readiness()
        body: dict[str, Any] = {"ready": readiness.ready, "reasons": list(readiness.reasons)}
        if "verbose" in request.query:
            body["components"] = [component_facts(component) for component in self.context.agent.components()]
        return _json(body, readiness.ready)


def component_facts(component: ComponentInfo) -> dict[str, str]:
    """Return one component as it is shown in JSON."""
    return {
        "kind": component.kind,
        "id": component.id,
        "status": component.status,
        "reason": component.reason,
        "since": rfc3339(component.since_ns),
    }


def _json(body: dict[str, Any], good: bool) -> web.Response:
    from aiohttp import web

    return web.json_response(body, status=200 if good else 503, dumps=lambda value: json.dumps(value) + "\n")


def _text(body: str, good: bool) -> web.Response:
    from aiohttp import web

    return web.Response(text=body, status=200 if good else 503)
