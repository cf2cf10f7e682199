"""One request on its way through the server: its id and client, what is counted and logged of it, its headers."""

from __future__ import annotations

import re
import secrets
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any, Final

from aiohttp import web

from ophion_agent.plugin import Context
from ophion_agent.server import Problem
from ophion_api.clients import Client, Clients
from ophion_api.config import ApiConfig
from ophion_api.problems import problem_reply

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]

REQUEST_ID: Final = "X-Request-Id"
_REQUEST_ID: Final = re.compile(r"[A-Za-z0-9._:/+=-]{1,128}")
# What nginx logs for a client that went away before its answer.
_CLIENT_GONE: Final = 499
_POLICY: Final = "default-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
_HSTS: Final = "max-age=31536000; includeSubDomains"


@dataclass(slots=True)
class Exchange:
    """What is known of one request; `route` is "" until one was found, `subject` until the caller is known."""

    request_id: str
    client: Client
    started: float
    route: str = ""
    subject: str = ""


_KEY: Final = web.RequestKey("exchange", Exchange)


def exchange_of(request: web.Request) -> Exchange:
    """Return what the server's outermost layer noted of the request."""
    return request[_KEY]


@dataclass(slots=True)
class Faults:
    """Errors that nobody meant: logged with their traceback and counted; the client learns an id to ask for."""

    context: Context

    def problem(self, request: web.Request, event: str = "request_failed") -> Problem:
        """Log the exception being handled and return what the client is told."""
        exchange = exchange_of(request)
        error_id = secrets.token_hex(8)
        self.context.counter("ophion_api_faults", route=exchange.route).add()
        self.context.log.exception(
            event, error_id=error_id, method=request.method, route=exchange.route, request_id=exchange.request_id
        )
        detail = "the server made a mistake; its log says more under this error_id"
        return Problem(detail, status=500, extra={"error_id": error_id})


@dataclass(slots=True)
class Observer:
    """The outermost layer: marks each request, counts and logs its answer, and adds the security headers."""

    context: Context
    config: ApiConfig
    clients: Clients
    faults: Faults
    in_flight: int = 0
    _policy: str = field(init=False)

    def __post_init__(self) -> None:
        self._policy = self.config.content_security_policy or _POLICY

    async def observe(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        """Pass the request on, and count what comes back."""
        clock = self.context.clock
        exchange = Exchange(_request_id(request), self.clients.of(request), clock.monotonic())
        request[_KEY] = exchange
        self.in_flight += 1
        status = _CLIENT_GONE
        try:
            response = await handler(request)
            status = response.status
            return response
        except web.HTTPException as error:
            status = error.status
            raise
        except Exception:  # noqa: BLE001 - logged and counted; what fails before a route must not show its insides
            status = 500
            reply = problem_reply(self.faults.problem(request), request.path)
            return web.Response(body=reply.body, status=status, content_type=reply.media_type)
        finally:
            self.in_flight -= 1
            self._count(request, exchange, status)

    def _count(self, request: web.Request, exchange: Exchange, status: int) -> None:
        seconds = self.context.clock.monotonic() - exchange.started
        count = self.context.counter
        count("ophion_api_requests", route=exchange.route, method=_method(request), status=str(status)).add()
        count("ophion_api_request_seconds", route=exchange.route).add(seconds)
        if self.config.access_log:
            self.context.log.info(
                "request",
                method=request.method,
                path=request.path,
                route=exchange.route,
                status=status,
                milliseconds=round(seconds * 1e3, 1),
                client=exchange.client.address,
                subject=exchange.subject,
                request_id=exchange.request_id,
            )

    async def add_headers(self, request: web.Request, response: web.StreamResponse) -> None:
        """Add what every answer carries; headers that a route set itself stay."""
        exchange = request.get(_KEY)
        headers = response.headers
        for name, value in self._headers().items():
            headers.setdefault(name, value)
        headers["Server"] = "ophion"
        if exchange is not None:
            headers[REQUEST_ID] = exchange.request_id
            if exchange.client.secure:
                headers.setdefault("Strict-Transport-Security", _HSTS)

    def _headers(self) -> dict[str, str]:
        return {
            "Content-Security-Policy": self._policy,
            "X-Content-Type-Options": "nosniff",
            "X-Frame-Options": "DENY",
            "Referrer-Policy": "no-referrer",
            "Cache-Control": "no-store",
            "Cross-Origin-Opener-Policy": "same-origin",
            "Cross-Origin-Resource-Policy": "same-origin",
        }


def middleware(observer: Observer) -> Any:
    """Return the observer as aiohttp wants it."""

    @web.middleware
    async def observe(request: web.Request, handler: Handler) -> web.StreamResponse:
        return await observer.observe(request, handler)

    return observe


def _request_id(request: web.Request) -> str:
    given = request.headers.get(REQUEST_ID, "")
    return given if _REQUEST_ID.fullmatch(given) else secrets.token_hex(16)


def _method(request: web.Request) -> str:
    # Clients can invent methods; each would be a series of its own.
    return request.method if request.method in ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS") else "other"
