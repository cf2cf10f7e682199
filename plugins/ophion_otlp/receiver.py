"""The `otlp` receiver: a server per protocol, and one way from a request to a batch."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from functools import partial
from typing import cast

from ophion_agent import otlp_json
from ophion_agent.compression import inflate
from ophion_agent.plugin import (
    SERVER_AUTH,
    Batch,
    Context,
    Logs,
    Metadata,
    Metrics,
    OphionError,
    Receiver,
    ServerAuth,
    Traces,
)
from ophion_agent.web import AuthReference
from ophion_otlp.grpc_server import GrpcServer
from ophion_otlp.http_server import HttpServer
from ophion_otlp.receiver_config import OTLPReceiverConfig

Take = Callable[[type[Batch], bytes, str, Metadata, bool], Awaitable[None]]


class OTLPReceiver(Receiver[OTLPReceiverConfig, Traces | Metrics | Logs]):
    """Receive traces, metrics and logs over OTLP/gRPC and OTLP/HTTP.

    A request is answered with success once the pipelines took it. It is validated whole before anything else sees it,
    so a malformed one is refused and cannot spoil a batch that holds other senders' data.
    """

    type_name = "otlp"

    def __init__(self, config: OTLPReceiverConfig, context: Context) -> None:
        super().__init__(config, context)
        self.grpc: GrpcServer | None = None
        self.http: HttpServer | None = None

    async def start(self) -> None:
        """Listen on the configured endpoints; raises OphionError when one is not to be had."""
        grpc, http = self.config.protocols.grpc, self.config.protocols.http
        if grpc is not None:
            self.grpc = GrpcServer(
                grpc,
                self.context,
                auth=self._authenticator(grpc.auth),
                take=self._take("grpc", grpc.max_bytes),
                serves=self._serves,
                refuse=partial(self.refuse, transport="grpc"),
            )
            await self.grpc.start()
            self.log.info("listening", protocol="grpc", endpoint=grpc.endpoint, port=self.grpc.port)
        if http is not None:
            self.http = HttpServer(
                http,
                self.context,
                auth=self._authenticator(http.auth),
                take=self._take("http", http.body_limit),
                serves=self._serves,
                refuse=partial(self.refuse, transport="http"),
            )
            await self.http.start()
            self.log.info("listening", protocol="http", endpoint=http.endpoint, port=self.http.port)
        self.context.health.ok()

    async def stop(self) -> None:
        """Stop listening; requests under way may end."""
        if self.grpc is not None:
            await self.grpc.stop()
        if self.http is not None:
            await self.http.stop()

    def addresses(self) -> list[str]:
        """Return where OTLP is taken."""
        listening = []
        if self.grpc is not None and self.config.protocols.grpc is not None:
            listening.append(f"grpc {_shown(self.config.protocols.grpc.endpoint, self.grpc.port)}")
        if self.http is not None and self.config.protocols.http is not None:
            listening.append(f"http {_shown(self.config.protocols.http.endpoint, self.http.port)}")
        return listening

    def _authenticator(self, reference: AuthReference | None) -> ServerAuth | None:
        return self.context.service(SERVER_AUTH, reference.authenticator) if reference else None

    def _serves(self, signal: type[Batch]) -> bool:
        return signal in self.signals

    def _take(self, transport: str, max_bytes: int) -> Take:
        admit, refuse, emit = self.admit, self.refuse, self.emit

        async def take(signal: type[Batch], body: bytes, encoding: str, metadata: Metadata, is_json: bool) -> None:
            try:
                admit(len(body))
                if encoding:
                    body = inflate(body, encoding, max_bytes)
                    admit(len(body))
                if is_json:
                    body = otlp_json.to_wire(body, signal.request_type)
                batch = signal.from_wire(body, metadata)
            except OphionError:
                refuse(signal, transport=transport)
                raise
            await emit(cast(Traces | Metrics | Logs, batch), transport)

        return take


def _shown(endpoint: str, port: int) -> str:
    """Return the endpoint with the port that is really bound, for one that asks for any free port."""
    host, colon, _ = endpoint.rpartition(":")
    return f"{host}:{port}" if colon and port else endpoint
