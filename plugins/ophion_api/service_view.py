"""One service: its figures, their course, its failures, and where it runs."""

from __future__ import annotations

from typing import Final

from pydantic import BaseModel, Field

from ophion_agent.server import Call, NotFound, Permission, Route
from ophion_api.attributes_routes import days_within
from ophion_api.service_errors import FrequentError, frequent_errors
from ophion_api.service_history import History, TracedRequest, history, longest_requests
from ophion_api.services import Service, named_service
from ophion_api.sql_parts import Binder, conjunction, string_attribute
from ophion_api.telemetry_access import Telemetry, TenantStore
from ophion_api.time_ranges import RangeQuery, TimeRange, rfc3339

_MOST_ERRORS: Final = 20
_MOST_INSTANCES: Final = 200


class ServiceQuery(RangeQuery):
    """Of which time."""

    points: int = Field(120, ge=1, le=1000, description="About how many steps its course has.")


class Instance(BaseModel):
    """Where a service runs; texts are empty where its resource does not say."""

    host: str = Field(description="host.name.")
    container: str = Field(description="container.name, else container.id.")
    version: str = Field(description="service.version.")
    environment: str = Field(description="deployment.environment.name.")
    last_seen: str = Field(description="When a batch last named its resource for the first time on a day.")
    processes: int = Field(description="Resources that differ in other attributes, such as service.instance.id.")


class ServiceView(Service):
    """A service with all that is known of it."""

    history: History = Field(description="The course of its requests.")
    longest: list[TracedRequest] = Field(description="The longest request now and then, and the longest failed one.")
    top_errors: list[FrequentError] = Field(description="Its failures that are most frequent.")
    instances: list[Instance] = Field(description="Where it runs on the days of the range; at most 200.")


class ServiceViewRoutes:
    """Shows a service."""

    def __init__(self, telemetry: Telemetry) -> None:
        self._telemetry = telemetry

    def routes(self) -> list[Route]:
        """Return the routes."""
        return [
            Route(
                "GET", "/api/services/{name}/view", self._service, Permission.READ, query=ServiceQuery,
                answer=ServiceView, tag="services", errors=(404, 422), summary="A service",
            )
        ]  # fmt: skip

    async def _service(self, call: Call) -> ServiceView:
        store, name, query = self._telemetry.of(call), call.path["name"], call.query
        bounds = query.bounds(self._telemetry.now_ns())
        figures = await named_service(store, bounds, name)
        instances = await _instances(store, bounds, name)
        if not figures.all_spans and not instances:
            raise NotFound(f'there is no service "{name}" in this time range; /api/services lists those there are')
        return ServiceView(
            **dict(figures),
            history=await history(store, name, bounds, query.points),
            longest=await longest_requests(store, name, bounds),
            top_errors=await frequent_errors(store, bounds, _MOST_ERRORS, name),
            instances=instances,
        )


async def _instances(store: TenantStore, bounds: TimeRange, name: str) -> list[Instance]:
    binder = Binder()
    where = conjunction([days_within(binder, bounds, "toDate(received)"), f"service_name = {binder.text(name)}"])
    texts = ", ".join(
        f"{string_attribute(key)} AS {column}"
        for key, column in (
            ("host.name", "host"), ("container.name", "container_name"), ("container.id", "container_id"),
            ("service.version", "version"), ("deployment.environment.name", "environment"),
        )
    )  # fmt: skip
    sql = (
        "SELECT host, if(container_name != '', container_name, container_id) AS container, version, environment, "
        "max(seen) AS last, uniqExact(resource_id) AS processes FROM "
        f"(SELECT resource_id, toUnixTimestamp(received) AS seen, {texts} FROM resources WHERE {where}) "
        f"GROUP BY host, container, version, environment ORDER BY host, container, last DESC LIMIT {_MOST_INSTANCES}"
    )
    return [
        Instance(
            host=row["host"], container=row["container"], version=row["version"], environment=row["environment"],
            last_seen=rfc3339(row["last"] * 1_000_000_000), processes=row["processes"],
        )
        for row in (await store.query(sql, binder)).dicts()
    ]  # fmt: skip
