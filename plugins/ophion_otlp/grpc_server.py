"""OTLP/gRPC in: raw payloads from grpcio's asyncio server to the receiver.

grpcio neither parses nor inflates here. It would inflate without a limit, so a bomb could take all memory; with its
decompression off the handler gets the compressed bytes, and inflating them with ISA-L is bounded and costs half.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any, Final, NoReturn

from ophion_agent.plugin import (
    NO_METADATA,
    SIGNALS,
    Batch,
    Context,
    Metadata,
    OphionError,
    ServerAuth,
    Unauthenticated,
)
from ophion_agent.tls import grpc_server_credentials
from ophion_agent.web import grpc_listen_address
from ophion_otlp.receiver_config import GrpcProtocolConfig
from ophion_otlp.status import DETAILS_KEY, refusal_of, status_of

if TYPE_CHECKING:
    import grpc
    import grpc.aio

    Take = Callable[[type[Batch], bytes, str, Metadata, bool], Awaitable[None]]

SUCCESS: Final = b""
"""An Export*ServiceResponse without partial success encodes to nothing."""

_GZIP_MAGIC: Final = b"\x1f\x8b"
"""No protobuf message begins so (the first byte would be wire type 7), so it tells compressed requests."""

_IDENTITY_AND_GZIP: Final = 0b101
_HANDSHAKE_MS: Final = 20_000
_MESSAGE_LIMIT: Final = 1024


class GrpcServer:
    """Serves the three OTLP services while started; `port` is the bound one.

    `take(signal, payload, encoding, metadata, is_json)` is awaited for each request and raises OphionError to refuse
    it; `serves(signal)` says whether any pipeline wants the signal, `refuse(signal)` counts what never reached `take`.
    """

    def __init__(
        self,
        config: GrpcProtocolConfig,
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
        self._server: grpc.aio.Server | None = None
        self.port = 0

    async def start(self) -> None:
        """Listen; raises OphionError saying which address is not to be had."""
        import grpc
        import grpc.aio

        server = grpc.aio.server(options=_options(self._config))
        for signal in SIGNALS.values():
            service, method = service_and_method(signal)
            handler = grpc.unary_unary_rpc_method_handler(self._handler(signal))
            # Registered methods are found by name; generic handlers would be asked one by one.
            server.add_registered_method_handlers(service, {method: handler})  # type: ignore[attr-defined]
        self._server = server
        self.port = self._bind(server)
        await server.start()

    async def stop(self, grace_seconds: float = 5.0) -> None:
        """Take no new requests, let running ones end, cancel the rest."""
        server, self._server = self._server, None
        if server is not None:
            await server.stop(grace_seconds)

    def _bind(self, server: grpc.aio.Server) -> int:
        address = grpc_listen_address(self._config.endpoint)
        try:
            if self._config.tls is None:
                return server.add_insecure_port(address)
            credentials = grpc_server_credentials(
                self._config.tls,
                self._context.clock.monotonic,
                lambda reason: self._context.log.warning("certificate_not_renewed", reason=reason),
            )
            return server.add_secure_port(address, credentials)
        except RuntimeError as error:
            raise OphionError(
                f"cannot listen on {self._config.endpoint}: the address is in use or not of this host; "
                "stop the other program or change `endpoint`"
            ) from error

    def _handler(self, signal: type[Batch]) -> Callable[[bytes, Any], Awaitable[bytes]]:
        take, serves = self._take, self._serves
        plain = self._auth is None and not self._config.include_metadata

        async def export(request: bytes, context: grpc.aio.ServicerContext[bytes, bytes]) -> bytes:
            try:
                metadata = NO_METADATA if plain else await self._metadata(signal, context)
                if not serves(signal):
                    await _unimplemented(signal, context)
                await take(signal, request, "gzip" if request[:2] == _GZIP_MAGIC else "", metadata, False)
            except OphionError as error:
                await _abort(context, error)
            return SUCCESS

        return export

    async def _metadata(self, signal: type[Batch], context: grpc.aio.ServicerContext[bytes, bytes]) -> Metadata:
        headers: dict[str, tuple[str, ...]] = {}
        for key, value in context.invocation_metadata() or ():
            if isinstance(value, str):
                headers[key] = (*headers.get(key, ()), value)
        if self._auth is not None:
            try:
                await self._auth.authenticate(headers)
            except Unauthenticated:
                self._refuse(signal)
                raise
        return headers if self._config.include_metadata else NO_METADATA


def service_and_method(signal: type[Batch]) -> tuple[str, str]:
    """Return ("opentelemetry.proto.collector.trace.v1.TraceService", "Export") of Traces."""
    service = next(iter(signal.request_type.DESCRIPTOR.file.services_by_name.values()))
    return service.full_name, service.methods[0].name


async def _abort(context: grpc.aio.ServicerContext[bytes, bytes], error: OphionError) -> NoReturn:
    refusal = refusal_of(error)
    message = str(error)[:_MESSAGE_LIMIT]
    trailing: tuple[tuple[str, bytes], ...] = ()
    if refusal.wait_seconds is not None:
        status = status_of(refusal.grpc_code, message, refusal.wait_seconds)
        trailing = ((DETAILS_KEY, status.SerializeToString()),)
    await context.abort(_code(refusal.grpc_code), message, trailing)


async def _unimplemented(signal: type[Batch], context: grpc.aio.ServicerContext[bytes, bytes]) -> NoReturn:
    import grpc

    await context.abort(grpc.StatusCode.UNIMPLEMENTED, f"no pipeline takes {signal.signal} from this receiver")


def _code(number: int) -> grpc.StatusCode:
    import grpc

    return next(code for code in grpc.StatusCode if code.value[0] == number)


def _options(config: GrpcProtocolConfig) -> list[tuple[str, int]]:
    options = [
        # Without this a second agent on the same port takes part of the traffic instead of failing.
        ("grpc.so_reuseport", 0),
        ("grpc.max_receive_message_length", config.max_bytes),
        ("grpc.per_message_decompression", 0),
        ("grpc.compression_enabled_algorithms_bitset", _IDENTITY_AND_GZIP),
        ("grpc.server_handshake_timeout_ms", _HANDSHAKE_MS),
    ]
    if config.max_concurrent_streams:
        options.append(("grpc.max_concurrent_streams", config.max_concurrent_streams))
    return options + _keepalive_options(config)


def _keepalive_options(config: GrpcProtocolConfig) -> list[tuple[str, int]]:
    if config.keepalive is None:
        return []
    server, policy = config.keepalive.server_parameters, config.keepalive.enforcement_policy
    seconds: dict[str, float | None] = {}
    if server is not None:
        seconds = {
            "grpc.max_connection_idle_ms": server.max_connection_idle,
            "grpc.max_connection_age_ms": server.max_connection_age,
            "grpc.max_connection_age_grace_ms": server.max_connection_age_grace,
            "grpc.keepalive_time_ms": server.time,
            "grpc.keepalive_timeout_ms": server.timeout,
        }
    if policy is not None:
        seconds["grpc.http2.min_ping_interval_without_data_ms"] = policy.min_time
    options = [(name, round(value * 1000)) for name, value in seconds.items() if value]
    return (
        [*options, ("grpc.keepalive_permit_without_calls", 1)] if policy and policy.permit_without_stream else options
    )
