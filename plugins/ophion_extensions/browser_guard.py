"""What keeps other web pages away from pages that are meant for people at this machine."""

from __future__ import annotations

import ipaddress
from typing import TYPE_CHECKING

from ophion_agent.plugin import parse_endpoint

if TYPE_CHECKING:
    from aiohttp import web
    from aiohttp.typedefs import Handler, Middleware


def guard(endpoint: str, content_security_policy: str) -> Middleware:
    """Return a middleware that adds security headers and, on a loopback endpoint, refuses foreign Host headers.

    A page elsewhere could point its own name at 127.0.0.1 and read what is served there (DNS rebinding); its requests
    still carry that name.
    """
    from aiohttp import web

    is_local = _is_loopback(parse_endpoint(endpoint).host)
    headers = {
        "Content-Security-Policy": content_security_policy,
        "X-Content-Type-Options": "nosniff",
        "X-Frame-Options": "DENY",
        "Referrer-Policy": "no-referrer",
        "Cache-Control": "no-store",
    }

    @web.middleware
    async def middleware(request: web.Request, handler: Handler) -> web.StreamResponse:
        if is_local and not _is_loopback(_host_name(request.host)):
            return web.Response(status=421, text="this address is served to localhost only; open http://localhost\n")
        response = await handler(request)
        for name, value in headers.items():
            response.headers.setdefault(name, value)
        return response

    return middleware


def _host_name(host: str) -> str:
    return host[1:].partition("]")[0] if host.startswith("[") else host.partition(":")[0]


def _is_loopback(host: str) -> bool:
    if host.lower() == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
