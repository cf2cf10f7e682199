"""One aiohttp application on one endpoint, with TLS, authentication, CORS, limits and an orderly end.

Receivers and extensions that speak HTTP give `WebServer` an application and its configuration. Nobody can hold a
connection for nothing: one that sends no complete header ends after `idle_timeout`, a body must arrive within
`read_timeout`, and no body grows beyond its limit.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import functools
import logging
import os
import re
import socket
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Annotated, Any, Final, Literal

from pydantic import Field

from ophion_agent.component import Config
from ophion_agent.compression import ENCODINGS, BodyTooLargeError
from ophion_agent.errors import OphionError, Unauthenticated
from ophion_agent.fields import ByteSize, Duration, Endpoint, ParsedEndpoint, Text, parse_endpoint
from ophion_agent.log import agent_logger
from ophion_agent.services import SERVER_AUTH, Provides, ServerAuth
from ophion_agent.tls import TLSServerConfig, server_context

if TYPE_CHECKING:
    import ssl

    from aiohttp import web

    from ophion_agent.context import Context

    Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]
    ErrorResponse = Callable[[web.Request, int, str], web.StreamResponse]

_SIMPLE_HEADERS: Final = ("accept", "content-type", "x-requested-with")
_METHODS: Final = ("HEAD", "GET", "POST", "PUT", "PATCH", "DELETE")
_LINGERING_SECONDS: Final = 2.0


class AuthReference(Config):
    """Names the extension that checks who is sending."""

    authenticator: Annotated[str, Provides(SERVER_AUTH)] = Field(description="Id of an authenticator extension.")


class CorsConfig(Config):
    """Which web pages may send to this server."""

    allowed_origins: list[str] = Field(
        [], description="Origins allowed, such as https://*.example.com; `*` allows any."
    )
    allowed_headers: list[str] = Field([], description="Request headers allowed beside the common ones.")
    exposed_headers: list[str] = Field([], description="Response headers that pages may read.")
    max_age: int = Field(0, ge=0, description="Seconds a browser may remember the answer; 0 leaves it to the browser.")


class HTTPServerConfig(Config):
    """otelcol's keys of an HTTP server."""

    endpoint: Endpoint = Field(description="Address to listen on: host:port, :port or unix:///path.")
    transport: Literal["tcp", "unix"] = Field("tcp", description="`unix` for an endpoint that is the path of a socket.")
    tls: TLSServerConfig | None = Field(None, description="Serve HTTPS with this certificate.")
    auth: AuthReference | None = Field(None, description="Let only authenticated senders in.")
    cors: CorsConfig | None = Field(None, description="Let web pages of other origins send.")
    max_request_body_size: ByteSize = Field(64 << 20, ge=0, description="Largest body, inflated; 0 means the default.")
    include_metadata: bool = Field(False, description="Hand the request's headers on with the data.")
    compression_algorithms: list[str] = Field(
        ["", *ENCODINGS], description="Content encodings taken; the empty name stands for plain bodies."
    )
    response_headers: dict[str, Text] = Field({}, description="Headers added to every response.")
    read_timeout: Duration = Field(30.0, ge=0, description="Time for a request's body to arrive; 0 for no limit.")
    read_header_timeout: Duration = Field(60.0, ge=0, description="Accepted; `idle_timeout` covers it.")
    write_timeout: Duration = Field(30.0, ge=0, description="Longest wait for a client to take a part of an answer.")
    idle_timeout: Duration = Field(60.0, gt=0, description="Close a connection that sends no request for this long.")
    keep_alives_enabled: bool = Field(True, description="Let a connection carry several requests.")

    @property
    def body_limit(self) -> int:
        """Largest body in bytes."""
        return self.max_request_body_size or 64 << 20

    @property
    def encodings(self) -> tuple[str, ...]:
        """Content encodings that are taken and known here."""
        return tuple(name for name in self.compression_algorithms if name in ENCODINGS)


def server_auth(config: HTTPServerConfig, context: Context) -> ServerAuth | None:
    """Return the authenticator that `config` names, or None when it names none."""
    return context.service(SERVER_AUTH, config.auth.authenticator) if config.auth else None


class WebServer:
    """Serves `app` while started. `start()` puts the configured gates on the application, so each app serves once.

    `error_response(request, status, message)` answers what never reaches a handler (401, 404, 405); without it that is
    plain text. With `cancel_with_client` a handler is cancelled when its client goes away. `additional_endpoints` serve
    the same as the configured endpoint; `urls` names where all of them can be reached.
    """

    def __init__(
        self,
        config: HTTPServerConfig,
        app: web.Application,
        *,
        auth: ServerAuth | None = None,
        error_response: ErrorResponse | None = None,
        report: Callable[[str], None] = lambda _: None,
        shutdown_seconds: float = 5.0,
        cancel_with_client: bool = False,
        additional_endpoints: Sequence[str] = (),
    ) -> None:
        self._config = config
        self._additional_endpoints = additional_endpoints
        self._app = app
        self._auth = auth
        self._error_response = error_response
        self._report = report
        self._shutdown_seconds = shutdown_seconds
        self._cancel_with_client = cancel_with_client
        self._runner: web.AppRunner | None = None
        self._unix_paths: list[str] = []
        self.port = 0
        self.url = ""
        self.urls: list[str] = []

    async def start(self) -> None:
        """Listen; raises OphionError saying which address is not to be had or which TLS file is not usable."""
        from aiohttp import web

        context = server_context(self._config.tls, report=self._report) if self._config.tls else None
        self._guard()
        self._runner = web.AppRunner(
            self._app,
            access_log=None,
            logger=ServerLog(agent_logger().getChild("http")),
            auto_decompress=False,
            keepalive_timeout=self._config.idle_timeout,
            handler_cancellation=self._cancel_with_client,
            # aiohttp waits this long twice: for handlers to end, then for their cancellation.
            shutdown_timeout=self._shutdown_seconds / 2,
            # Rest of a refused body that is read so that the sender sees the answer instead of a reset.
            lingering_time=_LINGERING_SECONDS,
        )
        await self._runner.setup()
        await self._listen(self._config.endpoint, context, "endpoint")
        for endpoint in self._additional_endpoints:
            await self._listen(endpoint, context, "additional_endpoints")

    async def _listen(self, configured: str, context: ssl.SSLContext | None, option: str) -> None:
        try:
            port, url = await self._add_site(parse_endpoint(configured), context)
        except OSError as exc:
            await self.stop()
            raise listen_error(configured, exc, option) from exc
        if not self.urls:
            self.port, self.url = port, url
        self.urls.append(url)

    async def _add_site(self, endpoint: ParsedEndpoint, context: ssl.SSLContext | None) -> tuple[int, str]:
        from aiohttp import web

        assert self._runner is not None
        if endpoint.unix_path is not None:
            await web.UnixSite(self._runner, endpoint.unix_path, ssl_context=context).start()
            self._unix_paths.append(endpoint.unix_path)
            return 0, f"unix:{endpoint.unix_path}"
        host, port = endpoint.host, endpoint.port or 0
        if port == 0:
            # A name with two addresses would get two different free ports.
            host = await _first_address(host)
        site = web.TCPSite(self._runner, host or None, port, ssl_context=context)
        await site.start()
        scheme = "https" if context else "http"
        return site.port, f"{scheme}://{_bracketed(host or 'localhost')}:{site.port}"

    async def stop(self) -> None:
        """Stop listening, let running requests end within `shutdown_seconds`, close the rest."""
        runner, self._runner = self._runner, None
        if runner is not None:
            await runner.cleanup()
        while self._unix_paths:
            with contextlib.suppress(FileNotFoundError):
                os.unlink(self._unix_paths.pop())

    def _guard(self) -> None:
        from aiohttp import web

        cors = Cors(self._config.cors) if self._config.cors and self._config.cors.allowed_origins else None
        auth, error_response = self._auth, self._error_response or _plain_error

        @web.middleware
        async def gate(request: web.Request, handler: Handler) -> web.StreamResponse:
            if cors is not None and cors.is_preflight(request):
                return web.Response(status=204, headers=cors.preflight_headers(request))
            try:
                if auth is not None:
                    request[_facts_key()] = await auth.authenticate(lower_headers(request))
                return await handler(request)
            except Unauthenticated as exc:
                response = error_response(request, 401, str(exc))
                response.headers.setdefault("WWW-Authenticate", exc.challenge)
                return response
            except web.HTTPException as exc:
                if exc.status < 400:
                    raise
                response = error_response(request, exc.status, exc.reason)
                if "Allow" in exc.headers:
                    response.headers["Allow"] = exc.headers["Allow"]
                return response

        async def finish(request: web.Request, response: web.StreamResponse) -> None:
            response.headers.update(self._config.response_headers)
            if cors is not None:
                response.headers.update(cors.headers(request))
            if not self._config.keep_alives_enabled:
                response.force_close()

        self._app.middlewares.append(gate)
        if cors is not None or self._config.response_headers or not self._config.keep_alives_enabled:
            self._app.on_response_prepare.append(finish)


class ServerLog(logging.LoggerAdapter[logging.Logger]):
    """aiohttp's log, with a line at level debug instead of a traceback for each request that is not HTTP."""

    def log(self, level: int, msg: object, *args: object, exc_info: Any = None, **kwargs: Any) -> None:
        from aiohttp.http_exceptions import HttpProcessingError

        if isinstance(exc_info, HttpProcessingError):
            # Without the error's text, which repeats the request.
            super().log(logging.DEBUG, f"{msg}: %s", *args, type(exc_info).__name__)
        else:
            super().log(level, msg, *args, exc_info=exc_info, **kwargs)


class Cors:
    """Answers a browser's question whether a page may send here (Fetch standard, CORS protocol)."""

    def __init__(self, config: CorsConfig) -> None:
        self._any_origin = "*" in config.allowed_origins
        pattern = "|".join(re.escape(origin).replace(r"\*", ".*") for origin in config.allowed_origins)
        self._origins = re.compile(pattern, re.IGNORECASE)
        self._headers = {name.lower() for name in (*config.allowed_headers, *_SIMPLE_HEADERS)}
        self._exposed = ", ".join(config.exposed_headers)
        self._max_age = config.max_age

    def is_preflight(self, request: web.Request) -> bool:
        """Whether the request only asks for leave to send another one."""
        return (
            request.method == "OPTIONS"
            and "Origin" in request.headers
            and "Access-Control-Request-Method" in request.headers
        )

    def preflight_headers(self, request: web.Request) -> Mapping[str, str]:
        """Return the headers that grant what the preflight asks; without them the browser refuses."""
        method = request.headers["Access-Control-Request-Method"]
        asked = request.headers.get("Access-Control-Request-Headers", "")
        wanted = {name.strip().lower() for name in asked.split(",") if name.strip()}
        if method not in _METHODS or not ("*" in self._headers or wanted <= self._headers):
            return {}
        granted = {"Access-Control-Allow-Methods": method}
        if asked:
            granted["Access-Control-Allow-Headers"] = asked
        if self._max_age:
            granted["Access-Control-Max-Age"] = str(self._max_age)
        return granted

    def headers(self, request: web.Request) -> Mapping[str, str]:
        """Return the headers that let the sending page see the response."""
        origin = request.headers.get("Origin")
        if origin is None or not (self._any_origin or self._origins.fullmatch(origin)):
            return {"Vary": "Origin"}
        # A wildcard must not be combined with credentials.
        allowed = (
            {"Access-Control-Allow-Origin": "*"}
            if self._any_origin
            else {"Access-Control-Allow-Origin": origin, "Access-Control-Allow-Credentials": "true", "Vary": "Origin"}
        )
        return {**allowed, "Access-Control-Expose-Headers": self._exposed} if self._exposed else allowed


def sender_facts(request: web.Request) -> Mapping[str, str]:
    """Return what the authenticator found out about who sends a request; nothing where none was asked."""
    facts: Mapping[str, str] = request.get(_facts_key(), {})
    return facts


@functools.cache
def _facts_key() -> web.RequestKey[Mapping[str, str]]:
    from aiohttp import web

    return web.RequestKey("sender_facts", dict)


async def read_body(request: web.Request, max_bytes: int, timeout_seconds: float = 0.0) -> bytes:
    """Return the body as it came, still compressed.

    Raises BodyTooLargeError as soon as it is known, TimeoutError when the body is not complete in time (0: no limit),
    HTTPBadRequest, which nobody gets to see, when the client hung up.
    """
    if (request.content_length or 0) > max_bytes:
        raise _body_too_large(max_bytes)
    if not request.body_exists:
        return b""
    if not timeout_seconds or request.content.is_eof():
        return await _read_all(request, max_bytes)
    async with asyncio.timeout(timeout_seconds):
        return await _read_all(request, max_bytes)


async def _read_all(request: web.Request, max_bytes: int) -> bytes:
    from aiohttp import web

    content = request.content
    chunks: list[bytes] = []
    size = 0
    try:
        while chunk := await content.readany():
            size += len(chunk)
            if size > max_bytes:
                raise _body_too_large(max_bytes)
            chunks.append(chunk)
    except ConnectionResetError as error:
        raise web.HTTPBadRequest(text="the connection was lost\n") from error
    return chunks[0] if len(chunks) == 1 else b"".join(chunks)


def lower_headers(request: web.Request) -> dict[str, tuple[str, ...]]:
    """Return the request's headers: lower-case name -> all values."""
    collected: dict[str, tuple[str, ...]] = {}
    for name, value in request.headers.items():
        key = name.lower()
        collected[key] = (*collected.get(key, ()), value)
    return collected


def listen_error(endpoint: str, exc: OSError, option: str = "endpoint") -> OphionError:
    """Return the error of a server that cannot listen, with the way out; `option` is where the endpoint stands."""
    if exc.errno == errno.EADDRINUSE:
        reason, remedy = "the address is in use", f"stop the other program or change `{option}`"
        return OphionError(f"cannot listen on {endpoint}: {reason}; {remedy}")
    reason = os.strerror(exc.errno) if exc.errno and exc.errno > 0 else str(exc)
    return OphionError(f"cannot listen on {endpoint}: {reason}; check `{option}`")


async def _first_address(host: str) -> str:
    loop = asyncio.get_running_loop()
    found = await loop.getaddrinfo(host or "127.0.0.1", 0, family=socket.AF_UNSPEC, type=socket.SOCK_STREAM)
    return str(sorted(found)[0][4][0])


def _bracketed(host: str) -> str:
    return f"[{host}]" if ":" in host else host


def _body_too_large(max_bytes: int) -> BodyTooLargeError:
    return BodyTooLargeError(f"the body is larger than {max_bytes} bytes; send smaller requests or raise the limit")


def _plain_error(_request: web.Request, status: int, message: str) -> web.StreamResponse:
    from aiohttp import web

    return web.Response(status=status, text=f"{message}\n")
