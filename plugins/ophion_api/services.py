"""Services and their operations: rate, errors and duration, from the figures kept per minute."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from pydantic import BaseModel, Field

from ophion_agent.server import Call, Permission, Route
from ophion_api.service_history import ENTRY, Trend, trends
from ophion_api.service_map import ServiceMap, ServiceMapQuery, service_map
from ophion_api.sql_parts import Binder, conjunction
from ophion_api.telemetry_access import Telemetry, TenantStore
from ophion_api.time_ranges import RangeQuery, TimeRange
from ophion_api.traces_figures import bucket_quantile, minutes_within
from ophion_api.traces_models import KINDS, SpanKind

_TAG: Final = "services"
FIGURES: Final = (
    "sum(spans) AS n, sum(errors) AS failed, sum(duration) AS total, max(longest) AS most, sumMap(buckets) AS merged"
)
QUANTILES: Final = ", ".join(
    f"{bucket_quantile('merged', quantile)} AS p{round(quantile * 100)}" for quantile in (0.5, 0.95, 0.99)
)


class ServicesQuery(RangeQuery):
    """Which services."""

    search: str = Field("", max_length=1000, description="Text that the name contains, in any case.")
    limit: int = Field(200, ge=1, le=1000, description="Most entries; those with the most spans come first.")


class ServiceListQuery(ServicesQuery):
    """Which services, and how much of their course."""

    points: int = Field(0, ge=0, le=120, description="About how many steps their trends have; 0 leaves trends out.")


class Red(BaseModel):
    """Rate, errors and duration; quantiles are within 5 %."""

    spans: int = Field(description="Spans in the range.")
    rate: float = Field(description="Spans per second.")
    errors: int = Field(description="Spans with status error.")
    error_rate: float = Field(description="Their share, 0 to 1.")
    average_ms: float = Field(description="Mean duration.")
    p50_ms: float = Field(description="Median duration.")
    p95_ms: float = Field(description="95th percentile of the duration.")
    p99_ms: float = Field(description="99th percentile of the duration.")
    max_ms: float = Field(description="Longest duration.")


class Service(Red):
    """A service by the requests that it answers, or by all its spans where it answers none."""

    name: str = Field(description="service.name.")
    all_spans: int = Field(description="Its spans of all kinds.")
    trend: Trend | None = Field(None, description="The course of its requests, where `points` asks for it.")


class ServiceList(BaseModel):
    """Services of a time range."""

    services: list[Service] = Field(description="Most spans first.")
    truncated: bool = Field(description="Whether there are more.")


class Operation(Red):
    """An operation of a service."""

    name: str = Field(description="Span name.")
    kind: SpanKind = Field(description="Span kind.")


class OperationList(BaseModel):
    """Operations of a service."""

    service: str = Field(description="service.name.")
    operations: list[Operation] = Field(description="Most spans first.")
    truncated: bool = Field(description="Whether there are more.")


class ServiceRoutes:
    """Lists services, their operations and who calls whom."""

    def __init__(self, telemetry: Telemetry) -> None:
        self._telemetry = telemetry

    def routes(self) -> Sequence[Route]:
        """Return the routes."""
        read = Permission.READ
        return [
            Route(
                "GET", "/api/services", self._services, read, query=ServiceListQuery, answer=ServiceList, tag=_TAG,
                errors=(422,), summary="Services with rate, errors and duration",
            ),
            Route(
                "GET", "/api/services/map", self._map, read, query=ServiceMapQuery, answer=ServiceMap, tag=_TAG,
                errors=(422,), summary="Which service calls which",
            ),
            Route(
                "GET", "/api/services/{name}/operations", self._operations, read, query=ServicesQuery,
                answer=OperationList, tag=_TAG, errors=(422,), summary="Operations of a service",
            ),
        ]  # fmt: skip

    async def _services(self, call: Call) -> ServiceList:
        query: ServiceListQuery = call.query
        bounds = query.bounds(self._telemetry.now_ns())
        found = await services(self._telemetry.of(call), bounds, query.search, query.limit + 1, query.points)
        return ServiceList(services=found[: query.limit], truncated=len(found) > query.limit)

    async def _operations(self, call: Call) -> OperationList:
        query: ServicesQuery = call.query
        bounds = query.bounds(self._telemetry.now_ns())
        name = call.path["name"]
        found = await operations(self._telemetry.of(call), bounds, name, query.search, query.limit + 1)
        return OperationList(service=name, operations=found[: query.limit], truncated=len(found) > query.limit)

    async def _map(self, call: Call) -> ServiceMap:
        query: ServiceMapQuery = call.query
        return await service_map(self._telemetry.of(call), query, query.bounds(self._telemetry.now_ns()))


async def services(store: TenantStore, bounds: TimeRange, search: str, limit: int, points: int = 0) -> list[Service]:
    """Return the services with the most spans, with trends of about `points` steps."""
    binder = Binder()
    found = await _services(store, bounds, binder, _containing(binder, "service_name", search), limit)
    if points:
        courses = await trends(store, [one.name for one in found], bounds, points)
        for one in found:
            one.trend = courses[one.name]
    return found


async def named_service(store: TenantStore, bounds: TimeRange, name: str) -> Service:
    """Return the service of a name; one without spans has figures of zero."""
    binder = Binder()
    found = await _services(store, bounds, binder, [f"service_name = {binder.text(name)}"], 1)
    nothing = {"n": 0, "failed": 0, "total": 0, "most": 0, "p50": 0.0, "p95": 0.0, "p99": 0.0}
    return found[0] if found else Service(name=name, all_spans=0, **red_of(nothing, bounds.seconds))


async def _services(
    store: TenantStore, bounds: TimeRange, binder: Binder, conditions: Sequence[str], limit: int
) -> list[Service]:
    where = conjunction([minutes_within(binder, bounds), *conditions])
    sql = (
        f"SELECT service_name, n, failed, total, most, {QUANTILES}, everything FROM (SELECT service_name, "
        f"{ENTRY} AS entry, {FIGURES}, sum(n) OVER (PARTITION BY service_name) AS everything FROM operations "
        f"WHERE {where} GROUP BY service_name, entry ORDER BY entry DESC LIMIT 1 BY service_name) "
        f"ORDER BY everything DESC, service_name LIMIT {binder.bind(limit, 'UInt64')}"
    )
    rows = (await store.query(sql, binder)).dicts()
    return [
        Service(name=row["service_name"], all_spans=row["everything"], **red_of(row, bounds.seconds)) for row in rows
    ]


async def operations(
    store: TenantStore, bounds: TimeRange, service: str | None, search: str, limit: int, order: str = "n"
) -> list[Operation]:
    """Return the operations of a service with the most spans."""
    binder = Binder()
    parts = [minutes_within(binder, bounds), *_containing(binder, "name", search)]
    if service is not None:
        parts.append(f"service_name = {binder.text(service)}")
    sql = (
        f"SELECT name, kind, n, failed, total, most, {QUANTILES} FROM (SELECT name, kind, {FIGURES} FROM operations "
        f"WHERE {conjunction(parts)} GROUP BY name, kind) ORDER BY n DESC, name LIMIT {binder.bind(limit, 'UInt64')}"
    )
    rows = (await store.query(sql, binder)).dicts()
    return [Operation(name=row["name"], kind=kind_name(row["kind"]), **red_of(row, bounds.seconds)) for row in rows]


def _containing(binder: Binder, column: str, search: str) -> list[str]:
    return [f"positionCaseInsensitiveUTF8({column}, {binder.text(search)}) > 0"] if search else []


def kind_name(kind: int) -> SpanKind:
    """Return the name of an OTLP span kind."""
    return KINDS[kind] if 0 <= kind < len(KINDS) else "unspecified"


def red_of(row: dict[str, Any], seconds: float) -> dict[str, Any]:
    """Return the fields of `Red` from a row with n, failed, total, most, p50, p95 and p99."""
    longest = max(row["most"], 0) / 1e6
    return {
        "spans": row["n"],
        "rate": row["n"] / seconds,
        "errors": row["failed"],
        "error_rate": row["failed"] / row["n"] if row["n"] else 0.0,
        "average_ms": row["total"] / row["n"] / 1e6 if row["n"] else 0.0,
        **{f"{name}_ms": min(row[name] / 1e6, longest) for name in ("p50", "p95", "p99")},
        "max_ms": longest,
    }
