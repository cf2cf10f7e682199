"""OTLP/HTTP in: protobuf and JSON requests from aiohttp to the receiver."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, Final

import orjson

from ophion_agent.compression import CorruptDataError, check_encoding
from ophion_agent.plugin import (
    NO_METADATA,
    SIGNALS,
    Batch,
    Context,
    Metadata,
    OphionError,
    RetryableError,
    ServerAuth,
    sender_metadata,
)
from ophion_agent.web import WebServer, lower_headers, read_body, sender_facts
from ophion_otlp.receiver_config import HttpProtocolConfig
from ophion_otlp.status import code_of_http, refusal_of, retry_after_header, status_of

if TYPE_CHECKING:
    from aiohttp import web

    Take = Callable[[type[Batch], bytes, str, Metadata, bool], Awaitable[None]]

PROTOBUF: Final = "application/x-protobuf"
JSON: Final = "application/json"
_SUCCESS: Final = {PROTOBUF: b"", JSON: b"{}"}
_MESSAGE_LIMIT: Final = 1024


class HttpServer:
    """Serves a path per signal while started; `server.port` is the bound one.

    `take(signal, body, encoding, metadata, is_json)` is awaited for each request and raises OphionError to refuse it;
    `serves(signal)` says whether any pipeline wants the signal, `refuse(signal)` counts what never reached `take`.
    """

    def __init__(
        self,
        config: HttpProtocolConfig,
        context: Context,
        *,
        auth: ServerAuth | None,
        take: Take,
        serves: Callable[[type[Batch]], bool],
        refuse: Callable[[type[Batch]], None],
    ) -> None:
        self._config = config
        self._context = context
        self._auth = auth
        self._take = take
        self._serves = serves
        self._refuse = refuse
        self._signals = {getattr(config, f"{name}_url_path"): signal for name, signal in SIGNALS.items()}
        self.server: WebServer | None = None

    @property
    def port(self) -> int:
        """The bound port; 0 before the start and for Unix sockets."""
        return self.server.port if self.server is not None else 0

    async def start(self) -> None:
        """Listen; raises OphionError saying which address is not to be had."""
        from aiohttp import web

        app = web.Application()
        for path, signal in self._signals.items():
            app.router.add_post(path, self._handler(signal))
        self.server = WebServer(
            self._config,
            app,
            auth=self._auth,
            error_response=self._turn_away,
            report=lambda reason: self._context.log.warning("certificate_not_renewed", reason=reason),
        )
        await self.server.start()

    async def stop(self) -> None:
        """Take no new requests, let running ones end, close the connections."""
        if self.server is not None:
            await self.server.stop()

    def _turn_away(self, request: web.Request, status: int, message: str) -> web.StreamResponse:
        signal = self._signals.get(request.path)
        if signal is not None:
            self._refuse(signal)
        return error_response(request, status, message)

    def _handler(self, signal: type[Batch]) -> Callable[[web.Request], Awaitable[web.StreamResponse]]:
        from aiohttp import web

        config, take, serves = self._config, self._take, self._serves
        served = config.encodings

        async def export(request: web.Request) -> web.StreamResponse:
            content_type = request.content_type
            if not serves(signal):
                return error_response(request, 404, f"no pipeline takes {signal.signal} from this receiver")
            if content_type not in _SUCCESS:
                self._refuse(signal)
                return error_response(request, 415, f"unsupported media type, supported: [{JSON}, {PROTOBUF}]")
            try:
                encoding = check_encoding(request.headers.get("Content-Encoding", ""), served)
                body = await read_body(request, config.body_limit, config.read_timeout)
            except OphionError as error:
                self._refuse(signal)
                return _refused(request, error)
            except TimeoutError:
                self._refuse(signal)
                return error_response(request, 408, f"the body did not arrive within {config.read_timeout:g}s")
            except web.RequestPayloadError as error:
                self._refuse(signal)
                return _refused(request, CorruptDataError(f"the body is broken: {error}"))
            try:
                headers = lower_headers(request) if config.include_metadata else NO_METADATA
                metadata = sender_metadata(headers, sender_facts(request))
                await take(signal, body, encoding, metadata, content_type == JSON)
            except OphionError as error:
                return _refused(request, error)
            return web.Response(body=_SUCCESS[content_type], content_type=content_type)

        return export


def error_response(
    request: web.Request, status: int, message: str, headers: Mapping[str, str] | None = None
) -> web.StreamResponse:
    """Return an error as OTLP asks: a google.rpc.Status in the request's encoding, or plain text for other requests."""
    from aiohttp import web

    code, message = code_of_http(status), message[:_MESSAGE_LIMIT]
    content_type = request.content_type
    kwargs: dict[str, Any] = {"content_type": content_type}
    if content_type == PROTOBUF:
        kwargs["body"] = status_of(code, message).SerializeToString()
    elif content_type == JSON:
        kwargs["body"] = orjson.dumps({"code": code, "message": message})
    else:
        kwargs = {"text": f"{status} {message or HTTPStatus(status).phrase}\n"}
    return web.Response(status=status, headers=headers, **kwargs)


def _refused(request: web.Request, error: OphionError) -> web.StreamResponse:
    refusal = refusal_of(error)
    retryable = isinstance(error, RetryableError)
    headers = {"Retry-After": retry_after_header(refusal.wait_seconds)} if retryable else None
    return error_response(request, refusal.http_status, str(error), headers)
