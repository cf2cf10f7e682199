"""OTLP/gRPC in: the receiver's side of the HTTP/2 server. docs/adr/0003-own-grpc-server.md says why it is our own."""

from __future__ import annotations

from collections.abc import Callable

from ophion_agent.plugin import Batch, Context, ServerAuth
from ophion_agent.tls import server_context
from ophion_agent.web import listen_error
from ophion_otlp.grpc_calls import Service, Take, service_and_method
from ophion_otlp.http2.limits import Limits, Pings
from ophion_otlp.http2.server import Server
from ophion_otlp.receiver_config import GrpcProtocolConfig, KeepaliveConfig

__all__ = ["GrpcServer", "limits_of", "service_and_method"]


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
        self._limits = limits_of(config)
        self._service = Service(
            auth, take, serves, refuse, self._failed, config.include_metadata, self._limits.message_bytes
        )
        self._server: Server | None = None
        self.port = 0

    async def start(self) -> None:
        """Listen; raises OphionError saying which address is not to be had or which TLS file is not usable."""
        config, clock = self._config, self._context.clock
        server = Server(self._service.call_of, self._limits, clock.monotonic, self._failed)
        tls = server_context(config.tls, clock.monotonic, self._not_renewed, ["h2"]) if config.tls else None
        try:
            await server.start(config.endpoint, tls)
        except OSError as error:
            raise listen_error(config.endpoint, error) from error
        self._server = server
        self.port = server.port

    async def stop(self, grace_seconds: float = 5.0) -> None:
        """Take no new requests, let running ones end, cancel the rest."""
        server, self._server = self._server, None
        if server is not None:
            await server.stop(grace_seconds)

    def _failed(self, error: Exception) -> None:
        self._context.log.error("grpc_server_failed", exc_info=error)

    def _not_renewed(self, reason: str) -> None:
        self._context.log.warning("certificate_not_renewed", reason=reason)


def limits_of(config: GrpcProtocolConfig) -> Limits:
    """Return what a connection may use by the user's configuration; unset values are gRPC's."""
    return Limits.of(config.max_bytes, config.max_concurrent_streams, _pings(config.keepalive))


def _pings(keepalive: KeepaliveConfig | None) -> Pings:
    chosen: dict[str, float | None] = {}
    server = keepalive.server_parameters if keepalive else None
    policy = keepalive.enforcement_policy if keepalive else None
    if server is not None:
        chosen = {
            "max_idle": server.max_connection_idle,
            "max_age": server.max_connection_age,
            "max_age_grace": server.max_connection_age_grace,
            "every": server.time,
            "timeout": server.timeout,
        }
    if policy is not None:
        chosen |= {"min_interval": policy.min_time, "without_stream": policy.permit_without_stream}
    # 0 means unset, as in Go.
    return Pings(**{name: value for name, value in chosen.items() if value})  # type: ignore[arg-type]
