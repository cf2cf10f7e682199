"""The `otlp` exporter: encoded batches to another OTLP/gRPC endpoint, as they came."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final, Literal

from pydantic import Field, field_validator, model_validator

from ophion_agent.httpclient import ClientAuthReference, as_client_options, client_auth
from ophion_agent.plugin import (
    SIGNALS,
    Batch,
    ByteSize,
    ClientAuth,
    Config,
    Context,
    Duration,
    Endpoint,
    Exporter,
    ExporterConfig,
    Logs,
    Metrics,
    OphionError,
    RetryableError,
    Secret,
    Traces,
)
from ophion_agent.tls import Reloading, TLSClientConfig, grpc_channel_credentials, peer_certificate
from ophion_otlp.grpc_server import service_and_method
from ophion_otlp.partial_success import partial_success_of, report_partial_success
from ophion_otlp.status import DETAILS_KEY, error_of_rpc

if TYPE_CHECKING:
    import grpc
    import grpc.aio

    Method = grpc.aio.UnaryUnaryMultiCallable[bytes, bytes]

_SCHEME: Final = re.compile(r"^(https?)://", re.IGNORECASE)
_GZIP: Final = 2


class KeepaliveClientConfig(Config):
    """otelcol's `keepalive` block of a gRPC client."""

    time: Duration = Field(10.0, ge=0, description="Ping a silent server after this.")
    timeout: Duration = Field(10.0, ge=0, description="Close a connection whose ping is not answered in this time.")
    permit_without_stream: bool = Field(False, description="Ping even while no request is under way.")


class OTLPExporterConfig(ExporterConfig):
    """Options of the `otlp` exporter."""

    endpoint: Endpoint = Field(description="Where to send: host:port. http:// means without TLS, https:// with TLS.")
    tls: TLSClientConfig = Field(TLSClientConfig(), description="How to speak TLS; `insecure: true` turns it off.")
    compression: Literal["gzip", "none", ""] = Field("gzip", description="Compression of requests: gzip or none.")
    headers: dict[str, Secret] = Field({}, description="Headers (gRPC metadata) added to every request.")
    auth: ClientAuthReference | None = Field(None, description="Extension that adds credentials.")
    keepalive: KeepaliveClientConfig | None = Field(None, description="Pings that find dead connections.")
    authority: str = Field("", description="Value of the :authority header, instead of the endpoint's host.")
    balancer_name: Literal["", "pick_first", "round_robin"] = Field(
        "", description="How requests spread over the addresses of the endpoint's name; empty means round_robin."
    )
    wait_for_ready: bool = Field(False, description="Wait for a connection instead of failing at once without one.")
    read_buffer_size: ByteSize = Field(0, ge=0, description="Accepted for compatibility; gRPC sizes it.")
    write_buffer_size: ByteSize = Field(512 << 10, ge=0, description="Accepted for compatibility; gRPC sizes it.")

    @model_validator(mode="before")
    @classmethod
    def _usual_forms(cls, value: Any) -> Any:
        return as_client_options(value)

    @field_validator("compression", mode="before")
    @classmethod
    def _served(cls, value: Any) -> Any:
        if value in ("zstd", "snappy", "zlib", "deflate"):
            raise ValueError(f"gRPC compresses with gzip or none here, got {value}; `otlphttp` has zstd")
        return value

    @field_validator("endpoint")
    @classmethod
    def _given(cls, value: str) -> str:
        if not value.strip():
            raise ValueError("must not be empty; write host:port")
        return value

    @property
    def target(self) -> str:
        """The endpoint as gRPC takes it: without http(s) scheme and trailing slash."""
        target = _SCHEME.sub("", self.endpoint).rstrip("/")
        if target.startswith(":"):
            return f"localhost{target}"
        return re.sub("^unix://(?!/)", "unix:", target)

    @property
    def plain_text(self) -> bool:
        """Whether to speak without TLS: the scheme decides where there is one."""
        scheme = _SCHEME.match(self.endpoint)
        if scheme:
            return scheme[1].lower() == "http"
        return self.tls.insecure


class OTLPExporter(Exporter[OTLPExporterConfig, Traces | Metrics | Logs]):
    """Send traces, metrics and logs over OTLP/gRPC, without decoding them."""

    type_name = "otlp"
    aliases = ("otlp_grpc",)

    def __init__(self, config: OTLPExporterConfig, context: Context) -> None:
        super().__init__(config, context)
        self._auth: ClientAuth | None = None
        self._credentials: Reloading[grpc.ChannelCredentials] | None = None
        self._channel: grpc.aio.Channel | None = None
        self._methods: Mapping[type[Batch], Method] = {}
        self._stale = False
        # gRPC takes header names in lower case only.
        self._headers = tuple((name.lower(), value.get_secret_value()) for name, value in config.headers.items())

    async def start(self) -> None:
        """Make the channel, which connects at the first request; raises TLSError for files that cannot be used."""
        self._auth = client_auth(self.config.auth, self.context)
        tls = self.config.tls
        if not self.config.plain_text:
            self._credentials = Reloading(
                tls,
                lambda material: grpc_channel_credentials(tls, material),
                self.context.clock.monotonic,
                lambda reason: self.log.warning("certificate_not_renewed", reason=reason),
            )
        # Without verification the credentials are made of what the server presents, so it must be there first.
        self._stale = self._credentials is not None and tls.insecure_skip_verify
        if not self._stale:
            self._open(self._credentials.current if self._credentials else None)
        self.context.health.ok()

    async def stop(self) -> None:
        """Close the channel; requests under way are cancelled."""
        channel, self._channel, self._methods, self._stale = self._channel, None, {}, False
        if channel is not None:
            await channel.close(None)

    async def export(self, batch: Traces | Metrics | Logs) -> None:
        """Send the payload once; statuses mean what OTLP says, and a partial success is never sent again."""
        import grpc
        import grpc.aio

        if self._stale or (self._credentials is not None and self._credentials.renewed() is not None):
            await self._reopen()
        method = self._methods.get(type(batch))
        if method is None:
            raise RetryableError(f"{self.config.endpoint}: the exporter is not started")
        try:
            response = await method(
                batch.payload,
                timeout=self.config.timeout or None,
                metadata=await self._metadata(batch),
                wait_for_ready=self.config.wait_for_ready,
            )
        except grpc.aio.AioRpcError as error:
            if error.code() is grpc.StatusCode.UNAVAILABLE:
                # A certificate taken on trust may have been replaced.
                self._stale = self._credentials is not None and self.config.tls.insecure_skip_verify
            raise _error_of(error) from error
        if response and (partial := partial_success_of(type(batch), response)):
            report_partial_success(self.context, type(batch), partial)

    async def _metadata(self, batch: Batch) -> tuple[tuple[str, str], ...]:
        if self._auth is None:
            return self._headers
        added = await self._auth.headers(batch.metadata)
        return self._headers + tuple((name.lower(), value) for name, value in added.items())

    async def _reopen(self) -> None:
        old = self._channel
        if self._credentials is not None and self.config.tls.insecure_skip_verify:
            self._open(*await self._trusting_whoever_answers())
        else:
            self._open(self._credentials.current if self._credentials else None)
        if old is not None:
            # Others may still wait for answers on it; their own deadlines end them.
            await old.close(self.config.timeout or None)

    async def _trusting_whoever_answers(self) -> tuple[grpc.ChannelCredentials, str]:
        """Return credentials that trust the server's present certificate: gRPC has no way not to verify at all."""
        try:
            certificate, name = await asyncio.to_thread(peer_certificate, self.config.target)
        except OSError as error:
            raise RetryableError(f"{self.config.endpoint}: cannot connect for its certificate: {error}") from error
        material = self.config.tls.read()._replace(ca=certificate)
        return grpc_channel_credentials(self.config.tls, material), name

    def _open(self, credentials: grpc.ChannelCredentials | None, server_name: str = "") -> None:
        import grpc.aio

        options = _options(self.config, server_name)
        target = self.config.target
        if credentials is None:
            self._channel = grpc.aio.insecure_channel(target, options=options)
        else:
            self._channel = grpc.aio.secure_channel(target, credentials, options=options)
        self._stale = False
        self._methods = {
            signal: self._channel.unary_unary("/{}/{}".format(*service_and_method(signal)), None, None)
            for signal in SIGNALS.values()
        }


def _error_of(error: grpc.aio.AioRpcError) -> OphionError:
    code = error.code()
    trailing: Any = error.trailing_metadata() or ()
    details = next((value for key, value in trailing if key == DETAILS_KEY), None)
    return error_of_rpc(code.value[0], code.name, error.details() or "", details)


def _options(config: OTLPExporterConfig, server_name: str) -> list[tuple[str, Any]]:
    options: list[tuple[str, Any]] = [
        ("grpc.max_send_message_length", -1),
        # The sending stack retries; gRPC's own retry would keep a second copy of each payload.
        ("grpc.enable_retries", 0),
        ("grpc.lb_policy_name", config.balancer_name or "round_robin"),
        ("grpc.primary_user_agent", "ophion-agent"),
        # Channels of equal options would otherwise share connections, and a renewed certificate would not be used.
        ("grpc.use_local_subchannel_pool", 1),
    ]
    if config.compression == "gzip":
        options.append(("grpc.default_compression_algorithm", _GZIP))
    if config.authority:
        options.append(("grpc.default_authority", config.authority))
    if name := config.tls.server_name_override or server_name:
        options.append(("grpc.ssl_target_name_override", name))
    if config.keepalive is not None:
        options += [
            ("grpc.keepalive_time_ms", round(config.keepalive.time * 1000)),
            ("grpc.keepalive_timeout_ms", round(config.keepalive.timeout * 1000)),
            ("grpc.keepalive_permit_without_calls", int(config.keepalive.permit_without_stream)),
        ]
    return options
