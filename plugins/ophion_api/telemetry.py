"""The `telemetry_api` extension: the routes of traces, metrics, logs, services, hosts and the overview."""

from __future__ import annotations

from collections.abc import Sequence

from ophion_agent.plugin import Context, Extension
from ophion_agent.server import HTTP_ROUTES, PROMQL, STORAGE, Route
from ophion_api.telemetry_access import Telemetry, TelemetryConfig


class TelemetryApi(Extension[TelemetryConfig]):
    """Offers the telemetry store to the HTTP API."""

    type_name = "telemetry_api"
    provides = (HTTP_ROUTES,)
    requires = (STORAGE,)
    gathers = (PROMQL,)

    def __init__(self, config: TelemetryConfig, context: Context) -> None:
        super().__init__(config, context)
        self._routes: Sequence[Route] = ()

    def routes(self) -> Sequence[Route]:
        """Return the routes of every kind of telemetry, of what it comes from, and of the store."""
        # Made once: live tails are counted over all of them.
        self._routes = self._routes or self._make_routes()
        return self._routes

    def _make_routes(self) -> Sequence[Route]:
        from ophion_api.attributes_routes import AttributeRoutes
        from ophion_api.containers import ContainerRoutes
        from ophion_api.hosts import HostRoutes
        from ophion_api.logs_routes import LogRoutes
        from ophion_api.metrics_routes import MetricRoutes
        from ophion_api.overview import OverviewRoutes
        from ophion_api.service_view import ServiceViewRoutes
        from ophion_api.services import ServiceRoutes
        from ophion_api.store_figures import StoreRoutes
        from ophion_api.traces_routes import TraceRoutes

        context = self.context
        telemetry = Telemetry(
            storage=context.service(STORAGE),
            promql=next(iter(context.services(PROMQL)), None),
            clock=context.clock,
            config=self.config,
            counter=context.counter,
        )
        groups = (
            TraceRoutes, LogRoutes, MetricRoutes, ServiceRoutes, ServiceViewRoutes,
            AttributeRoutes, HostRoutes, ContainerRoutes, OverviewRoutes, StoreRoutes,
        )  # fmt: skip
        return [route for group in groups for route in group(telemetry).routes()]
