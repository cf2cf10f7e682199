"""What a user writes for the `otlp` receiver, in otelcol's shape."""

from __future__ import annotations

from typing import Any, Final, Literal

from pydantic import Field, field_validator, model_validator

from ophion_agent.plugin import ByteSize, Config, Duration, Endpoint
from ophion_agent.tls import TLSServerConfig
from ophion_agent.web import AuthReference, HTTPServerConfig

DEFAULT_LIMIT_MIB: Final = 64


class KeepaliveServerParameters(Config):
    """When the server pings and when it ends connections; unset values are gRPC's."""

    max_connection_idle: Duration | None = Field(None, description="Close a connection without calls after this.")
    max_connection_age: Duration | None = Field(None, description="Ask a client to reconnect after this.")
    max_connection_age_grace: Duration | None = Field(None, description="Time for its calls to end then.")
    time: Duration | None = Field(None, description="Ping a silent client after this.")
    timeout: Duration | None = Field(None, description="Close a connection whose ping is not answered in this time.")


class KeepaliveEnforcement(Config):
    """How often clients may ping."""

    min_time: Duration | None = Field(None, description="Shortest time between two pings of a client.")
    permit_without_stream: bool = Field(False, description="Let clients ping while they have no call.")


class KeepaliveConfig(Config):
    """otelcol's `keepalive` block of a gRPC server."""

    server_parameters: KeepaliveServerParameters | None = Field(None, description="Pings and ages of connections.")
    enforcement_policy: KeepaliveEnforcement | None = Field(None, description="Limits on the pings of clients.")


class GrpcProtocolConfig(Config):
    """otelcol's keys of a gRPC server."""

    endpoint: Endpoint = Field("localhost:4317", description="Address to listen on: host:port, :port or unix:///path.")
    transport: Literal["tcp", "unix"] = Field("tcp", description="`unix` for an endpoint that is the path of a socket.")
    tls: TLSServerConfig | None = Field(None, description="Serve TLS with this certificate.")
    auth: AuthReference | None = Field(None, description="Let only authenticated senders in.")
    keepalive: KeepaliveConfig | None = Field(None, description="Pings, ages and limits of connections.")
    max_recv_msg_size_mib: int = Field(
        DEFAULT_LIMIT_MIB, ge=0, description="Largest request in MiB, inflated; 0 means the default."
    )
    max_concurrent_streams: int = Field(0, ge=0, description="Most requests at once on one connection; 0 for 4096.")
    read_buffer_size: ByteSize = Field(512 << 10, ge=0, description="Accepted for compatibility; gRPC sizes it.")
    write_buffer_size: ByteSize = Field(32 << 10, ge=0, description="Accepted for compatibility; gRPC sizes it.")
    include_metadata: bool = Field(False, description="Hand the request's headers on with the data.")

    @property
    def max_bytes(self) -> int:
        """Largest request in bytes."""
        return (self.max_recv_msg_size_mib or DEFAULT_LIMIT_MIB) << 20


class HttpProtocolConfig(HTTPServerConfig):
    """otelcol's keys of the HTTP side."""

    endpoint: Endpoint = Field("localhost:4318", description="Address to listen on: host:port, :port or unix:///path.")
    traces_url_path: str = Field("/v1/traces", description="Path that takes traces.")
    metrics_url_path: str = Field("/v1/metrics", description="Path that takes metrics.")
    logs_url_path: str = Field("/v1/logs", description="Path that takes logs.")

    @field_validator("traces_url_path", "metrics_url_path", "logs_url_path")
    @classmethod
    def _absolute(cls, path: str) -> str:
        return path if path.startswith("/") else f"/{path}"


class ProtocolsConfig(Config):
    """Which protocols are served."""

    grpc: GrpcProtocolConfig | None = Field(None, description="Serve OTLP/gRPC; an empty section takes the defaults.")
    http: HttpProtocolConfig | None = Field(None, description="Serve OTLP/HTTP; an empty section takes the defaults.")

    @model_validator(mode="before")
    @classmethod
    def _null_takes_defaults(cls, sections: Any) -> Any:
        if isinstance(sections, dict):
            return {name: {} if section is None else section for name, section in sections.items()}
        return sections

    @model_validator(mode="after")
    def _at_least_one(self) -> ProtocolsConfig:
        if self.grpc is None and self.http is None:
            raise ValueError("must name at least one protocol; write `grpc:` or `http:` below `protocols:`")
        return self


class OTLPReceiverConfig(Config):
    """Options of the `otlp` receiver."""

    protocols: ProtocolsConfig = Field(description="The protocols to serve: grpc, http or both.")

    @model_validator(mode="before")
    @classmethod
    def _needs_protocols(cls, value: Any) -> Any:
        if isinstance(value, dict) and value.get("protocols") is None:
            return {**value, "protocols": {}}
        return value
