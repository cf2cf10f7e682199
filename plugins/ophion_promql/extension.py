"""The `promql` extension: the service PROMQL, and Prometheus' HTTP API."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Literal

from pydantic import Field

from ophion_agent.plugin import Config, Duration, Extension, OphionError
from ophion_agent.server import HTTP_ROUTES, PROMQL, STORAGE, Route, Series

if TYPE_CHECKING:
    from ophion_promql.evaluating import Evaluator


class PromqlConfig(Config):
    """How expressions are evaluated, and how much they may ask for."""

    lookback_delta: Duration = Field(
        300.0, ge=0.001, description="How old the newest sample of a series may be for an instant selector to take it."
    )
    max_series: int = Field(
        50_000, ge=1, le=1_000_000, description="Most series that one selector may match; more are an error."
    )
    max_points: int = Field(
        11_000, ge=1, le=1_000_000, description="Most times at which a range query may evaluate its expression."
    )
    timeout: Duration = Field(120.0, gt=0, description="Longest evaluation; a request may ask for a shorter one.")
    range_boundaries: Literal["prometheus3", "prometheus2"] = Field(
        "prometheus3",
        description="Whether a range leaves out its first instant, as Prometheus does since version 3, or has it, as "
        "version 2 did. With prometheus2 also `rate` and `increase` extrapolate as then, at several times the cost.",
    )
    default_subquery_step: Duration = Field(
        60.0, ge=0.001, description="Resolution of a sub-query that names none; Prometheus' evaluation interval."
    )


class Promql(Extension[PromqlConfig]):
    """Evaluates PromQL over the telemetry store and serves Prometheus' HTTP API under /api/v1."""

    type_name = "promql"
    provides = (PROMQL, HTTP_ROUTES)
    requires = (STORAGE,)

    async def start(self) -> None:
        """Look for the parser and the decompressor; raises OphionError where one is not installed."""
        try:
            import cramjam  # noqa: F401 - remote write needs it, and should not find out at the first request
            import promql_parser  # noqa: F401
        except ImportError as error:
            remedy = "pip install 'ophion-agent[server]'"
            raise OphionError(f"promql: needs the library {error.name}; {remedy}") from None

    @cached_property
    def _evaluator(self) -> Evaluator:
        from ophion_promql.compiling import Semantics
        from ophion_promql.evaluating import Bounds, Evaluator

        config = self.config
        semantics = Semantics(
            lookback=round(config.lookback_delta * 1000),
            prometheus2=config.range_boundaries == "prometheus2",
            subquery_step=round(config.default_subquery_step * 1000),
        )
        bounds = Bounds(series=config.max_series, points=config.max_points, seconds=config.timeout)
        return Evaluator(self.context.service(STORAGE), semantics, bounds)

    def routes(self) -> Sequence[Route]:
        """Return the routes of Prometheus' HTTP API."""
        from ophion_promql.catalogue import Catalogue
        from ophion_promql.http_api import HttpApi
        from ophion_promql.remote_write import RemoteWrite

        storage, clock, evaluator = self.context.service(STORAGE), self.context.clock, self._evaluator
        catalogue = Catalogue(storage, self.config.max_series, not evaluator.semantics.prometheus2)
        api = HttpApi(evaluator, catalogue, RemoteWrite(storage, clock), clock, self.context.agent.version)
        return api.routes()

    async def query_range(self, expression: str, start: float, end: float, step: float, *, tenant: str) -> list[Series]:
        """See `PromQL.query_range`."""
        from ophion_promql.errors import BadQuery
        from ophion_promql.grid import Grid

        grid = Grid(round(start * 1000), round(end * 1000), round(step * 1000))
        if grid.step <= 0 or grid.end < grid.start:
            raise BadQuery(f"must have a positive step and an end not before the start, got {start}, {end}, {step}")
        return await self._evaluator.series(expression, grid, tenant)

    async def query(self, expression: str, time: float, *, tenant: str) -> list[Series]:
        """See `PromQL.query`."""
        from ophion_promql.grid import single

        return await self._evaluator.series(expression, single(round(time * 1000)), tenant)
