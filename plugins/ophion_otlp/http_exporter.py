"""The `otlphttp` exporter: encoded batches to another OTLP/HTTP endpoint, as they came or as JSON."""

from __future__ import annotations

from typing import Literal, Self

from pydantic import Field, model_validator

from ophion_agent import otlp_json
from ophion_agent.httpclient import HTTPClient, HTTPClientConfig, client_auth
from ophion_agent.plugin import (
    Batch,
    Context,
    Duration,
    Exporter,
    ExporterConfig,
    Logs,
    Metrics,
    PermanentError,
    RetryableError,
    Traces,
)
from ophion_otlp.http_server import JSON, PROTOBUF
from ophion_otlp.partial_success import partial_success_of, report_partial_success

_PER_SIGNAL = ("traces_endpoint", "metrics_endpoint", "logs_endpoint")


class OTLPHTTPExporterConfig(HTTPClientConfig, ExporterConfig):
    """Options of the `otlphttp` exporter."""

    timeout: Duration = Field(30.0, ge=0, description="Time limit of one try; 0 is none.")
    traces_endpoint: str = Field("", description="URL for traces; by default `endpoint` with /v1/traces.")
    metrics_endpoint: str = Field("", description="URL for metrics; by default `endpoint` with /v1/metrics.")
    logs_endpoint: str = Field("", description="URL for logs; by default `endpoint` with /v1/logs.")
    encoding: Literal["proto", "json"] = Field("proto", description="Encoding of requests: proto or json.")

    @model_validator(mode="after")
    def _somewhere_to_send(self) -> Self:
        if not self.endpoint and not any(getattr(self, name) for name in _PER_SIGNAL):
            raise ValueError(f"needs somewhere to send; give `endpoint`, or {', '.join(_PER_SIGNAL)}")
        for name in ("endpoint", *_PER_SIGNAL):
            url = getattr(self, name)
            if url and not url.startswith(("http://", "https://", "unix:")):
                raise ValueError(f"{name}: must be a URL with http:// or https://, got {url!r}; write http://{url}")
        return self

    def url_of(self, signal: type[Batch]) -> str:
        """Return the URL that takes a signal, "" when there is none."""
        given: str = getattr(self, f"{signal.signal}_endpoint")
        if given or not self.endpoint:
            return given
        base = "http://localhost" if self.endpoint.startswith("unix:") else self.endpoint.rstrip("/")
        return f"{base}/v1/{signal.signal}"


class OTLPHTTPExporter(Exporter[OTLPHTTPExporterConfig, Traces | Metrics | Logs]):
    """Send traces, metrics and logs over OTLP/HTTP, without decoding them unless as JSON."""

    type_name = "otlphttp"
    aliases = ("otlp_http",)

    def __init__(self, config: OTLPHTTPExporterConfig, context: Context) -> None:
        super().__init__(config, context)
        self._client: HTTPClient | None = None
        self._urls = {signal: config.url_of(signal) for signal in (Traces, Metrics, Logs)}
        self._content_type = JSON if config.encoding == "json" else PROTOBUF

    async def start(self) -> None:
        """Make the HTTP session, which connects at the first request; raises TLSError for files it cannot use."""
        self._client = HTTPClient(
            self.config,
            auth=client_auth(self.config.auth, self.context),
            monotonic=self.context.clock.monotonic,
            report=lambda reason: self.log.warning("certificate_not_renewed", reason=reason),
        )
        await self._client.start()
        self.context.health.ok()

    async def stop(self) -> None:
        """Close the connections."""
        if self._client is not None:
            await self._client.stop()

    async def export(self, batch: Traces | Metrics | Logs) -> None:
        """Send the batch once; statuses mean what OTLP says, and a partial success is never sent again."""
        signal = type(batch)
        url = self._urls[signal]
        if not url:
            raise PermanentError(f"no URL for {signal.signal}; give `endpoint` or `{signal.signal}_endpoint`")
        if self._client is None:
            raise RetryableError(f"{url}: the exporter is not started")
        body = otlp_json.encode(batch.view().message) if self._content_type == JSON else batch.payload
        response = await self._client.post(url, body, self._content_type, batch.metadata)
        partial = partial_success_of(signal, response.body, json=response.content_type == JSON)
        if partial is not None:
            report_partial_success(self.context, signal, partial)
