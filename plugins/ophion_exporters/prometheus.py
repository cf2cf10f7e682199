"""The `prometheus` exporter: keeps the last state of every series and serves it to scrapers on `/metrics`.

Exponential histograms are native histograms in the protobuf format, which Prometheus asks for when its feature
`native-histograms` is on; the text formats get classic buckets at the powers of two instead.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated

from pydantic import BeforeValidator, Field, field_validator

from ophion_agent.compression import compress
from ophion_agent.plugin import (
    Config,
    Context,
    Counter,
    Duration,
    Exporter,
    ExporterConfig,
    Metrics,
    QueueConfig,
    null_is_default,
)
from ophion_agent.prometheus_names import Namer, TranslationStrategy
from ophion_agent.web import HTTPServerConfig, WebServer, server_auth
from ophion_exporters.prometheus_exposition import Encoding, Format, accepts_gzip, negotiate
from ophion_exporters.prometheus_protobuf import render_protobuf
from ophion_exporters.prometheus_store import IDENTITY_ATTRIBUTES, Store, StoreSettings
from ophion_exporters.prometheus_text import render_text

if TYPE_CHECKING:
    from aiohttp import web

DROP_REASONS = ("type_conflict", "series_limit", "out_of_order", "unsupported")
THREAD_COMPRESSION_BYTES = 256 * 1024


class ResourceConversionConfig(Config):
    """Copying of all resource attributes to every series."""

    enabled: bool = Field(False, description="Add every resource attribute to every series as a label.")
    exclude_service_attributes: bool = Field(
        False, description="Leave out service.name, service.namespace and service.instance.id: job and instance say it."
    )


class ResourceLabelsConfig(Config):
    """Choice of resource attributes by wildcard patterns."""

    included: list[str] = Field([], description="Patterns of attributes to add, such as k8s.pod.*; empty adds all.")
    excluded: list[str] = Field([], description="Patterns of attributes to leave out even so.")


class PrometheusConfig(ExporterConfig, HTTPServerConfig):
    """Options of the Prometheus scrape endpoint."""

    namespace: str = Field("", description="Prefix of every metric name.")
    const_labels: dict[str, str] = Field({}, description="Labels added to every series.")
    send_timestamps: bool = Field(False, description="Expose each sample with the time of its data point.")
    metric_expiration: Duration = Field(300.0, gt=0, description="Stop exposing a series not updated for this long.")
    enable_open_metrics: bool = Field(
        False, description="Serve OpenMetrics, with exemplars, to scrapers that ask for it."
    )
    add_metric_suffixes: bool = Field(
        True, description="Add units and types to metric names; `translation_strategy` overrides it."
    )
    translation_strategy: TranslationStrategy | None = Field(
        None, description="How OTLP names become Prometheus names."
    )
    resource_to_telemetry_conversion: Annotated[ResourceConversionConfig, BeforeValidator(null_is_default)] = Field(
        ResourceConversionConfig(), description="Copy all resource attributes to every series."
    )
    resource_constant_labels: ResourceLabelsConfig | None = Field(
        None, description="Choose resource attributes to copy; overrides resource_to_telemetry_conversion."
    )
    without_scope_info: bool = Field(False, description="Leave out the otel_scope_* labels.")
    max_series: int = Field(
        100_000, ge=1, description="Most series held, 1 to 2 KB each; points of further ones are dropped and counted."
    )
    sending_queue: Annotated[QueueConfig, BeforeValidator(null_is_default)] = Field(
        QueueConfig(enabled=False), description="Queue before the exporter; off, as there is no one to wait for."
    )

    @field_validator("const_labels")
    @classmethod
    def _generated_labels_are_free(cls, labels: dict[str, str]) -> dict[str, str]:
        taken = [name for name in labels if name in ("le", "quantile")]
        if taken:
            raise ValueError(f"must not be named {taken[0]}, which histograms and summaries use; choose another name")
        return labels

    def strategy(self) -> TranslationStrategy:
        """Return the strategy in force."""
        if self.translation_strategy is not None:
            return self.translation_strategy
        if self.add_metric_suffixes:
            return TranslationStrategy.UNDERSCORES_WITH_SUFFIXES
        return TranslationStrategy.UNDERSCORES

    def resource_patterns(self) -> tuple[tuple[str, ...], tuple[str, ...]]:
        """Return the patterns of resource attributes to add to every series, and of those to leave out."""
        chosen, conversion = self.resource_constant_labels, self.resource_to_telemetry_conversion
        if chosen is not None and (chosen.included or chosen.excluded):
            return tuple(chosen.included or ("*",)), tuple(chosen.excluded)
        if not conversion.enabled:
            return (), ()
        return ("*",), IDENTITY_ATTRIBUTES if conversion.exclude_service_attributes else ()

    def store_settings(self) -> StoreSettings:
        """Return what of this the store needs."""
        included, excluded = self.resource_patterns()
        return StoreSettings(
            namer=Namer(self.namespace, self.strategy()),
            const_labels=self.const_labels,
            expiration_seconds=self.metric_expiration,
            max_series=self.max_series,
            scope_labels=not self.without_scope_info,
            included=included,
            excluded=excluded,
        )


class PrometheusExporter(Exporter[PrometheusConfig, Metrics]):
    """Serve the last state of every metric to Prometheus."""

    type_name = "prometheus"

    def __init__(self, config: PrometheusConfig, context: Context) -> None:
        super().__init__(config, context)
        self.server: WebServer | None = None
        self._store = Store(config.store_settings())
        self._dropped: dict[str, Counter] = {
            reason: context.counter("ophion_exporter_prometheus_dropped_points", reason=reason)
            for reason in DROP_REASONS
        }
        self._full = False
        self._conflicts_logged = 0

    async def start(self) -> None:
        """Listen; OphionError says which address is not to be had."""
        from aiohttp import web

        app = web.Application()
        app.router.add_get("/metrics", self._scrape)
        self.context.gauge("ophion_exporter_prometheus_series", lambda: len(self._store))
        self.server = WebServer(self.config, app, auth=server_auth(self.config, self.context))
        await self.server.start()
        self.log.info("serving_metrics", url=f"{self.server.url}/metrics")

    def addresses(self) -> list[str]:
        """Return where Prometheus scrapes."""
        return [f"{self.server.url}/metrics"] if self.server is not None else []

    async def stop(self) -> None:
        """Stop listening."""
        if self.server is not None:
            await self.server.stop()

    async def export(self, batch: Metrics) -> None:
        """Take the batch into the store; points that cannot be exposed are dropped, counted and reported."""
        dropped = self._store.accumulate(batch.payload, self.context.clock.monotonic())
        for reason, points in dropped.items():
            self._dropped[reason].add(points)
        self._report_conflicts()
        self._report_limit(full="series_limit" in dropped)

    def _report_conflicts(self) -> None:
        conflicts = self._store.conflicts
        if len(conflicts) > self._conflicts_logged:
            for name, reason in list(conflicts.items())[self._conflicts_logged :]:
                self.log.warning("metric_refused", metric=name, reason=reason, remedy="rename one of the metrics")
            self._conflicts_logged = len(conflicts)

    def _report_limit(self, full: bool) -> None:
        if full and not self._full:
            self._full = True
            reason = f"holds {self.config.max_series} series, the limit; new ones are dropped; raise max_series"
            self.log.warning("series_limit_reached", limit=self.config.max_series, remedy="raise max_series")
            self.context.health.degraded(reason)
        elif self._full and len(self._store) < self.config.max_series:
            self._full = False
            self.log.info("series_limit_left", series=len(self._store))
            self.context.health.ok()

    async def _scrape(self, request: web.Request) -> web.Response:
        from aiohttp import web

        layout = negotiate(
            ",".join(request.headers.getall("Accept", [])),
            openmetrics=self.config.enable_open_metrics,
            utf8=self.config.strategy().utf8,
            timestamps=self.config.send_timestamps,
        )
        body = await self.exposition(layout)
        headers = {"Content-Type": layout.content_type, "Vary": "Accept, Accept-Encoding"}
        if accepts_gzip(request.headers.get("Accept-Encoding", "")):
            headers["Content-Encoding"] = "gzip"
            if len(body) > THREAD_COMPRESSION_BYTES:
                body = await asyncio.to_thread(compress, body, "gzip")
            else:
                body = compress(body, "gzip")
        return web.Response(body=body, headers=headers)

    async def exposition(self, layout: Format) -> bytes:
        """Return everything exposed now; other work gets its turn after each metric family."""
        pieces = []
        for piece in self._render(layout):
            pieces.append(piece)
            await asyncio.sleep(0)
        return b"".join(pieces)

    def _render(self, layout: Format) -> Iterator[bytes]:
        families = self._store.families(self.context.clock.monotonic())
        if layout.encoding is Encoding.PROTOBUF:
            return render_protobuf(families, layout)
        return (piece.encode() for piece in render_text(families, layout))
