"""The first page of a dashboard in one answer."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from pydantic import BaseModel, Field

from ophion_agent.server import Call, Permission, Route
from ophion_api.hosts import Host, hosts
from ophion_api.logs_models import LEVELS, Level
from ophion_api.service_errors import FrequentError, frequent_errors
from ophion_api.services import FIGURES, QUANTILES, Red, Service, kind_name, red_of, services
from ophion_api.sql_parts import Binder
from ophion_api.store_figures import IngestRates, ingest_rates
from ophion_api.telemetry_access import Telemetry, TenantStore
from ophion_api.time_ranges import RangeQuery, TimeRange, rfc3339
from ophion_api.traces_figures import minutes_within
from ophion_api.traces_models import SpanKind

_MOST: Final = 10
_MOST_LISTED: Final = 50


class SlowOperation(Red):
    """An operation of a service."""

    service: str = Field(description="service.name.")
    name: str = Field(description="Span name.")
    kind: SpanKind = Field(description="Span kind.")


class OverviewQuery(RangeQuery):
    """Of which time."""

    points: int = Field(0, ge=0, le=120, description="About how many steps services' trends have; 0 leaves them out.")


class Overview(BaseModel):
    """What a dashboard shows first."""

    start: str = Field(description="Begin of the range.")
    end: str = Field(description="End of the range.")
    services: list[Service] = Field(description="Services with rate, errors and duration; at most 50.")
    hosts: list[Host] = Field(description="Hosts with their latest metrics; at most 50.")
    ingest: IngestRates = Field(description="What arrives.")
    top_errors: list[FrequentError] = Field(description="Failures that are most frequent.")
    slowest_operations: list[SlowOperation] = Field(description="Operations with the longest 95th percentile.")
    logs_by_severity: dict[Level, int] = Field(description="Log records per level.")


class OverviewRoutes:
    """Answers the overview."""

    def __init__(self, telemetry: Telemetry) -> None:
        self._telemetry = telemetry

    def routes(self) -> Sequence[Route]:
        """Return the routes."""
        return [
            Route(
                "GET", "/api/dashboard/overview", self._overview, Permission.READ, query=OverviewQuery, answer=Overview,
                tag="dashboard", errors=(422,), summary="Services, hosts, errors and volumes of a time range",
            )
        ]  # fmt: skip

    async def _overview(self, call: Call) -> Overview:
        store = self._telemetry.of(call)
        bounds = call.query.bounds(self._telemetry.now_ns())
        # One after the other: a page that everybody opens must not take every connection of the store.
        return Overview(
            start=rfc3339(bounds.start),
            end=rfc3339(bounds.end),
            services=await services(store, bounds, "", _MOST_LISTED, call.query.points),
            hosts=await hosts(store, bounds, "", "", _MOST_LISTED),
            ingest=await ingest_rates(store),
            top_errors=await frequent_errors(store, bounds, _MOST),
            slowest_operations=await _slowest(store, bounds),
            logs_by_severity=await _levels(store, bounds),
        )


async def _slowest(store: TenantStore, bounds: TimeRange) -> list[SlowOperation]:
    binder = Binder()
    sql = (
        f"SELECT service, name, kind, n, failed, total, most, {QUANTILES} FROM (SELECT "
        f"toString(service_name) AS service, name, kind, {FIGURES} FROM operations "
        f"WHERE {minutes_within(binder, bounds)} GROUP BY service, name, kind) "
        f"ORDER BY p95 DESC, service, name LIMIT {_MOST}"
    )
    return [
        SlowOperation(
            service=row["service"], name=row["name"], kind=kind_name(row["kind"]), **red_of(row, bounds.seconds)
        )
        for row in (await store.query(sql, binder)).dicts()
    ]


async def _levels(store: TenantStore, bounds: TimeRange) -> dict[Level, int]:
    binder = Binder()
    sql = (
        "SELECT least(intDiv(greatest(severity_number, 0) + 3, 4), 6) AS level, count() AS n FROM logs "
        f"WHERE {binder.within('time', bounds)} GROUP BY level ORDER BY level"
    )
    return {LEVELS[level]: n for level, n in (await store.query(sql, binder)).rows()}
