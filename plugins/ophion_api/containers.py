"""Containers: those that resources name, with the latest of their metrics.

The agent names a container by its id, name and image; an application in it may know the id alone. Resources with the
same id are one container, and so are those with the same name on a host: one that was made anew keeps its history.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from pydantic import BaseModel, Field

from ophion_agent.server import Call, NotFound, Permission, Route
from ophion_api.any_values import attribute_columns, attributes_of
from ophion_api.attributes_routes import days_within
from ophion_api.container_figures import ContainerFigures, container_figures
from ophion_api.cursors import decode_cursor, encode_cursor
from ophion_api.sql_parts import Binder, conjunction, string_attribute
from ophion_api.telemetry_access import Telemetry, TenantStore
from ophion_api.time_ranges import RangeQuery, TimeRange, rfc3339

_TAG: Final = "containers"
_MOST_RESOURCES: Final = 20_000
_SHORT_ID: Final = 12
_TEXTS: Final = {
    "id": "container.id", "name": "container.name", "image": "container.image.name", "runtime": "container.runtime",
    "host": "host.name",
}  # fmt: skip
_IS_CONTAINER: Final = "(has(attributes.keys, 'container.id') OR has(attributes.keys, 'container.name'))"


class ContainersQuery(RangeQuery):
    """Which containers; the figures are of the last five minutes of the range."""

    search: str = Field("", max_length=1000, description="Text that the name, image or a service contains.")
    host: str | None = Field(None, max_length=1000, description="Host that they run on.")
    service: str | None = Field(None, max_length=1000, description="Service that runs in them.")
    limit: int = Field(200, ge=1, le=1000, description="Containers in a page.")
    cursor: str | None = Field(None, max_length=2000, description="`next_cursor` of the page before.")


class ContainerQuery(RangeQuery):
    """Of which time, and on which host."""

    host: str | None = Field(None, max_length=1000, description="Host, where several have a container of this name.")


class Container(BaseModel):
    """A container."""

    name: str = Field(description="container.name, else the first twelve digits of its id.")
    id: str = Field(description="container.id of the newest of this name; empty where none is known.")
    host: str = Field(description="host.name; empty where it is not known.")
    image: str = Field(description="container.image.name; empty where it is not known.")
    runtime: str = Field(description="container.runtime; empty where it is not known.")
    services: list[str] = Field(description="Services in it.")
    last_seen: str = Field(description="When a batch last named its resource for the first time on a day.")
    figures: ContainerFigures = Field(description="The latest of its metrics.")


class ContainerPage(BaseModel):
    """A page of containers."""

    containers: list[Container] = Field(description="Containers by name and host.")
    next_cursor: str | None = Field(None, description="`cursor` of the next page; null at the end.")


class ContainerView(Container):
    """A container with all that is known of it."""

    attributes: dict[str, Any] = Field(description="Attributes of its resources, of the newest where they differ.")
    selector: str = Field(description="A PromQL selector of its metrics.", examples=['{container_name="shop-1"}'])


class ContainerRoutes:
    """Lists and shows containers."""

    def __init__(self, telemetry: Telemetry) -> None:
        self._telemetry = telemetry

    def routes(self) -> Sequence[Route]:
        """Return the routes."""
        return [
            Route(
                "GET", "/api/containers", self._containers, Permission.READ, query=ContainersQuery,
                answer=ContainerPage, tag=_TAG, errors=(422,), summary="Containers with their latest metrics",
            ),
            Route(
                "GET", "/api/containers/{name}", self._container, Permission.READ, query=ContainerQuery,
                answer=ContainerView, tag=_TAG, errors=(404, 422), summary="A container by its name or id",
            ),
        ]  # fmt: skip

    async def _containers(self, call: Call) -> ContainerPage:
        store, query = self._telemetry.of(call), call.query
        bounds = query.bounds(self._telemetry.now_ns())
        after = decode_cursor(query.cursor, "containers", str)[0] if query.cursor else ""
        found = [one for one in await found_containers(store, bounds) if one.key > after and _matches(one, query)]
        page = found[: query.limit]
        figures = await container_figures(store, {one.key: one.resources for one in page}, bounds)
        cursor = encode_cursor("containers", page[-1].key) if len(found) > query.limit else None
        return ContainerPage(containers=[_shown(one, figures) for one in page], next_cursor=cursor)

    async def _container(self, call: Call) -> ContainerView:
        store, name = self._telemetry.of(call), call.path["name"]
        bounds = call.query.bounds(self._telemetry.now_ns())
        named = [one for one in await found_containers(store, bounds) if one.is_called(name)]
        chosen = [one for one in named if call.query.host in (None, one.host)]
        if not chosen:
            raise NotFound(f'there is no container "{name}" in this time range; /api/containers lists those there are')
        one = max(chosen, key=lambda found: found.seen)
        figures = await container_figures(store, {one.key: one.resources}, bounds)
        return ContainerView(
            **dict(_shown(one, figures)), attributes=await _attributes(store, bounds, one), selector=one.selector()
        )


@dataclass(slots=True)
class Found:
    """A container as its resources tell of it; texts of the newest resource that has them."""

    name: str = ""
    id: str = ""
    host: str = ""
    image: str = ""
    runtime: str = ""
    is_named: bool = False
    seen: int = 0
    services: set[str] = field(default_factory=set)
    resources: list[int] = field(default_factory=list)

    @property
    def key(self) -> str:
        """What pages are ordered by."""
        return f"{self.name}\n{self.host}"

    def is_called(self, name: str) -> bool:
        """Tell whether a name, an id or the beginning of an id means this container."""
        return name == self.name or (len(name) >= _SHORT_ID and self.id.startswith(name))

    def selector(self) -> str:
        """Return a PromQL selector of its metrics."""
        if not self.is_named:
            return f'{{container_id="{_quoted(self.id)}"}}'
        host = f', host_name="{_quoted(self.host)}"' if self.host else ""
        return f'{{container_name="{_quoted(self.name)}"{host}}}'

    def add(self, row: Mapping[str, Any]) -> None:
        """Take what a resource says; those that the agent reports come first, then the newest."""
        for key in _TEXTS:
            if not getattr(self, key):
                setattr(self, key, row[key])
        self.seen = max(self.seen, row["seen"])
        self.resources.append(row["resource_id"])
        if row["service"]:
            self.services.add(row["service"])


async def found_containers(store: TenantStore, bounds: TimeRange) -> list[Found]:
    """Return the containers of a range's days by name and host."""
    binder = Binder()
    texts = ", ".join(f"{string_attribute(key)} AS {column}" for column, key in _TEXTS.items())
    sql = (
        "SELECT resource_id, toString(service_name) AS service, max(toUnixTimestamp(received)) AS seen, "
        f"{', '.join(f'any({column}) AS {column}' for column in _TEXTS)} FROM (SELECT resource_id, service_name, "
        f"received, {texts} FROM resources WHERE {days_within(binder, bounds, 'toDate(received)')} AND "
        f"{_IS_CONTAINER}) GROUP BY resource_id, service ORDER BY image != '' DESC, seen DESC LIMIT {_MOST_RESOURCES}"
    )
    return joined((await store.query(sql, binder)).dicts())


def joined(rows: Iterable[Mapping[str, Any]]) -> list[Found]:
    """Return containers of the rows of resources: one for each id, then one for each name on a host."""
    by_id: dict[Any, Found] = {}
    for row in rows:
        by_id.setdefault(row["id"] or (row["name"], row["host"]), Found()).add(row)
    by_name: dict[str, Found] = {}
    for one in sorted(by_id.values(), key=lambda found: -found.seen):
        one.is_named = bool(one.name)
        one.name = one.name or one.id[:_SHORT_ID]
        newest = by_name.setdefault(one.key, one)
        if newest is not one:
            newest.services |= one.services
            newest.resources += one.resources
    return sorted(by_name.values(), key=lambda found: found.key)


def _matches(one: Found, query: ContainersQuery) -> bool:
    text = query.search.casefold()
    return (
        (not text or any(text in name.casefold() for name in (one.name, one.image, *one.services)))
        and query.host in (None, one.host)
        and (query.service is None or query.service in one.services)
    )


def _shown(one: Found, figures: Mapping[str, ContainerFigures]) -> Container:
    return Container(
        name=one.name, id=one.id, host=one.host, image=one.image, runtime=one.runtime, services=sorted(one.services),
        last_seen=rfc3339(one.seen * 1_000_000_000), figures=figures[one.key],
    )  # fmt: skip


async def _attributes(store: TenantStore, bounds: TimeRange, one: Found) -> dict[str, Any]:
    binder = Binder()
    ids = binder.bind(one.resources[:1000], "Array(UInt64)")
    where = conjunction([days_within(binder, bounds, "toDate(received)"), f"resource_id IN {ids}"])
    sql = f"SELECT {attribute_columns()} FROM resources WHERE {where} ORDER BY received LIMIT 200"
    found: dict[str, Any] = {}
    for row in (await store.query(sql, binder)).dicts():
        found.update(attributes_of(row["attributes_keys"], row["attributes_values"]))
    # What belongs to a process in it is shown with its service.
    return {
        key: value for key, value in sorted(found.items()) if key.startswith(("container.", "host.", "k8s.", "os."))
    }


def _quoted(text: str) -> str:
    return text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
