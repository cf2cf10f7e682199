"""The `grafana_apis` extension: Jaeger's and Loki's query APIs on the telemetry store."""

from __future__ import annotations

from collections.abc import Sequence

from pydantic import Field

from ophion_agent.plugin import Config, Duration, Extension
from ophion_agent.server import HTTP_ROUTES, STORAGE, Route


class GrafanaApisConfig(Config):
    """How much the APIs answer at once."""

    max_log_lines: int = Field(
        5000,
        ge=1,
        le=50_000,
        description="Most log lines that a Loki query returns; queries that ask for more are refused.",
    )
    max_log_series: int = Field(
        500, ge=1, le=10_000, description="Most series that a LogQL metric query returns; one with more is refused."
    )
    max_traces: int = Field(
        1500,
        ge=1,
        le=10_000,
        description="Most traces that a Jaeger search returns; what it asks for beyond is left out.",
    )
    max_spans: int = Field(
        20_000,
        ge=1,
        le=200_000,
        description="Most spans that one Jaeger answer holds; a trace that is cut says so in its warnings.",
    )
    services_lookback: Duration = Field(
        72 * 3600.0, gt=0, description="How long services and operations without new spans stay in Jaeger's lists."
    )


class GrafanaApis(Extension[GrafanaApisConfig]):
    """Serves the query APIs of Jaeger (/jaeger/api) and Loki (/loki/api/v1) for Grafana, Jaeger UI and logcli."""

    type_name = "grafana_apis"
    provides = (HTTP_ROUTES,)
    requires = (STORAGE,)

    def routes(self) -> Sequence[Route]:
        """Return the routes of both APIs."""
        from ophion_grafana.jaeger_routes import JaegerRoutes
        from ophion_grafana.loki_routes import LokiRoutes

        storage, clock, config = self.context.service(STORAGE), self.context.clock, self.config
        loki = LokiRoutes(
            storage,
            clock,
            self.context.agent.version,
            most_lines=config.max_log_lines,
            most_series=config.max_log_series,
        )
        jaeger = JaegerRoutes(
            storage,
            clock,
            most_traces=config.max_traces,
            most_spans=config.max_spans,
            lookback_seconds=config.services_lookback,
        )
        return [*loki.routes(), *jaeger.routes()]
