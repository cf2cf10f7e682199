"""The routes that the server itself offers: health, probes, the OpenAPI document and the documentation page."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cache
from importlib.resources import files
from typing import Final

import orjson
from pydantic import BaseModel, Field

from ophion_agent.plugin import Context, Status
from ophion_agent.server import Call, Reply, Route
from ophion_api.docs_page import docs_page
from ophion_api.openapi import openapi_document

_PROBES: Final = frozenset({"/-/healthy", "/-/ready", "/api/health"})
_TAG: Final = "server"
_PAGE_POLICY: Final = (
    "default-src 'none'; style-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
# From the best to the worst; the server is what its worst component is.
_ORDER: Final = (Status.OK, Status.DEGRADED, Status.STARTING, Status.STOPPED, Status.FAILED)


class ComponentHealth(BaseModel):
    """One component of the server."""

    kind: str = Field(description="receiver, processor, exporter, connector or extension.")
    id: str = Field(description="Name in the configuration.")
    status: Status = Field(description="`degraded` can recover by itself, `failed` needs somebody.")


class ServerHealth(BaseModel):
    """How the server is."""

    status: Status = Field(description="That of the worst component.")
    version: str = Field(description="Version of the program.")
    uptime_seconds: float = Field(description="Seconds since the start.")
    components: list[ComponentHealth] = Field(description="Every component that runs.")


def is_probe(route: Route) -> bool:
    """Tell whether load balancers and supervisors ask the route: it must answer under full load."""
    return route.path in _PROBES


def builtin_routes(context: Context, routes: Callable[[], Sequence[Route]], public_url: str = "") -> list[Route]:
    """Return the server's own routes; `routes` returns all that are mounted once the first request comes."""
    health, pages = HealthRoutes(context), DocumentationRoutes(context, routes, public_url)
    return [*health.routes(), *pages.routes()]


class HealthRoutes:
    """What supervisors, load balancers and Grafana ask."""

    def __init__(self, context: Context) -> None:
        self._context = context

    def routes(self) -> list[Route]:
        """Return the routes; all are public and tell nothing of the data."""
        return [
            Route(
                "GET", "/api/health", self._health, None, answer=ServerHealth, tag=_TAG, summary="Health of the server"
            ),
            Route(
                "GET",
                "/-/healthy",
                self._healthy,
                None,
                media_type="text/plain",
                tag=_TAG,
                summary="Answers while the process runs",
            ),
            Route(
                "GET",
                "/-/ready",
                self._ready,
                None,
                media_type="text/plain",
                tag=_TAG,
                errors=(503,),
                summary="Answers 200 while every component works or recovers by itself",
                problem_reply=lambda problem: _text(problem.detail, problem.code),
            ),
        ]

    async def _health(self, _: Call) -> ServerHealth:
        agent = self._context.agent
        components = [
            ComponentHealth(kind=one.kind, id=one.id, status=Status(one.status)) for one in agent.components()
        ]
        return ServerHealth(
            status=self._worst(),
            version=agent.version,
            uptime_seconds=round((self._context.clock.now_ns() - agent.started_ns) / 1e9, 3),
            components=components,
        )

    def _worst(self) -> Status:
        return max(
            (Status(one.status) for one in self._context.agent.components()), key=_ORDER.index, default=Status.OK
        )

    async def _healthy(self, _: Call) -> Reply:
        return _text("Ophion is healthy.")

    async def _ready(self, _: Call) -> Reply:
        is_ready = self._worst() in (Status.OK, Status.DEGRADED)
        return _text("Ophion is ready.") if is_ready else _text("Ophion is not ready.", 503)


class DocumentationRoutes:
    """The OpenAPI document and the page made of it."""

    def __init__(self, context: Context, routes: Callable[[], Sequence[Route]], public_url: str) -> None:
        # Made by the first who asks: schemas of a hundred routes take too long for a start.
        self._document = cache(lambda: openapi_document(routes(), context.agent.version, public_url))
        self._json = cache(lambda: orjson.dumps(self._document()))
        self._page = cache(lambda: docs_page(self._document()).encode())

    def routes(self) -> list[Route]:
        """Return the routes; they are public because they hold no data."""
        return [
            Route(
                "GET",
                "/api/openapi.json",
                self._openapi,
                None,
                answer=dict[str, object],
                tag=_TAG,
                summary="This API as an OpenAPI 3.1 document",
            ),
            Route(
                "GET",
                "/api/docs",
                self._docs,
                None,
                media_type="text/html",
                tag=_TAG,
                summary="This API as a page",
            ),
            Route("GET", "/api/docs/style.css", self._style, None, media_type="text/css", documented=False),
        ]

    async def _openapi(self, _: Call) -> Reply:
        return Reply(self._json())

    async def _docs(self, _: Call) -> Reply:
        return Reply(self._page(), "text/html", headers={"Content-Security-Policy": _PAGE_POLICY})

    async def _style(self, _: Call) -> Reply:
        style = (files(__package__) / "docs.css").read_bytes()
        return Reply(style, "text/css", headers={"Cache-Control": "public, max-age=3600"})


def _text(text: str, status: int = 200) -> Reply:
    return Reply(f"{text}\n".encode(), "text/plain", status=status)
