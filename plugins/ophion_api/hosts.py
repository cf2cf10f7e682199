"""Hosts: those that resources name, with the latest of their metrics."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any, Final

from pydantic import BaseModel, Field

from ophion_agent.server import Call, NotFound, Permission, Route
from ophion_api.any_values import attribute_columns, attributes_of
from ophion_api.attributes_routes import days_within
from ophion_api.cursors import decode_cursor, encode_cursor
from ophion_api.latest_samples import latest_samples
from ophion_api.sql_parts import Binder, conjunction, string_attribute
from ophion_api.telemetry_access import Telemetry, TenantStore
from ophion_api.time_ranges import MINUTE, RangeQuery, TimeRange, rfc3339

_TAG: Final = "hosts"
_LATEST: Final = 5 * MINUTE
HOST_NAME: Final = string_attribute("host.name")
_CPU: Final = "system_cpu_time_seconds_total"
_MEMORY: Final = "system_memory_usage_bytes"
_FILES: Final = "system_filesystem_usage_bytes"
_LOADS: Final = {f"system_cpu_load_average_{minutes}m": f"load_{minutes}m" for minutes in (1, 5, 15)}
_METRICS: Final = (_CPU, _MEMORY, _FILES, *_LOADS)


class HostsQuery(RangeQuery):
    """Which hosts; the figures are of the last five minutes of the range."""

    search: str = Field("", max_length=1000, description="Text that the name contains, in any case.")
    limit: int = Field(100, ge=1, le=500, description="Hosts in a page.")
    cursor: str | None = Field(None, max_length=2000, description="`next_cursor` of the page before.")


class Filesystem(BaseModel):
    """A mounted file system."""

    mountpoint: str = Field(description="Where it is mounted.")
    used_bytes: float = Field(description="Used.")
    total_bytes: float = Field(description="Size.")
    utilization: float = Field(description="Used share, 0 to 1.")


class HostFigures(BaseModel):
    """Metrics of a host; null where the host does not send them."""

    cpu_utilization: float | None = Field(None, description="Share of processor time that was not idle, 0 to 1.")
    load_1m: float | None = Field(None, description="Load average of a minute.")
    load_5m: float | None = Field(None, description="Load average of five minutes.")
    load_15m: float | None = Field(None, description="Load average of 15 minutes.")
    memory_used_bytes: float | None = Field(None, description="Memory in use.")
    memory_total_bytes: float | None = Field(None, description="Memory of all states.")
    memory_utilization: float | None = Field(None, description="Used share, 0 to 1.")
    filesystems: list[Filesystem] = Field([], description="Fullest first.")


class Host(BaseModel):
    """A host."""

    name: str = Field(description="host.name.")
    last_seen: str = Field(description="When a batch last named its resource for the first time on a day.")
    services: list[str] = Field(description="Services on it.")
    figures: HostFigures = Field(description="The latest of its metrics.")


class HostPage(BaseModel):
    """A page of hosts."""

    hosts: list[Host] = Field(description="Hosts by name.")
    next_cursor: str | None = Field(None, description="`cursor` of the next page; null at the end.")


class HostLinks(BaseModel):
    """Where what belongs to a host is found."""

    traces: str = Field(description="Traces that crossed it.")
    logs: str = Field(description="Log records of it.")
    metrics: str = Field(description="A PromQL selector of all its metrics.")


class HostView(Host):
    """A host with all that is known of it."""

    attributes: dict[str, Any] = Field(description="Attributes of its newest resource.")
    links: HostLinks = Field(description="What else belongs to it.")


class HostRoutes:
    """Lists and shows hosts."""

    def __init__(self, telemetry: Telemetry) -> None:
        self._telemetry = telemetry

    def routes(self) -> Sequence[Route]:
        """Return the routes."""
        return [
            Route(
                "GET", "/api/hosts", self._hosts, Permission.READ, query=HostsQuery, answer=HostPage, tag=_TAG,
                errors=(422,), summary="Hosts with their latest metrics",
            ),
            Route(
                "GET", "/api/hosts/{name}", self._host, Permission.READ, query=RangeQuery, answer=HostView, tag=_TAG,
                errors=(404, 422), summary="A host",
            ),
        ]  # fmt: skip

    async def _hosts(self, call: Call) -> HostPage:
        query: HostsQuery = call.query
        bounds = query.bounds(self._telemetry.now_ns())
        after = decode_cursor(query.cursor, "hosts", str)[0] if query.cursor else ""
        found = await hosts(self._telemetry.of(call), bounds, query.search, after, query.limit + 1)
        page = found[: query.limit]
        cursor = encode_cursor("hosts", page[-1].name) if len(found) > query.limit else None
        return HostPage(hosts=page, next_cursor=cursor)

    async def _host(self, call: Call) -> HostView:
        store, name = self._telemetry.of(call), call.path["name"]
        bounds = call.query.bounds(self._telemetry.now_ns())
        binder = Binder()
        where = conjunction([days_within(binder, bounds, "toDate(received)"), f"{HOST_NAME} = {binder.text(name)}"])
        # What its agent says of it, rather than what a service or container on it does.
        order = "service_name = '' AND NOT has(attributes.keys, 'container.id') DESC, received DESC"
        sql = f"SELECT {attribute_columns()} FROM resources WHERE {where} ORDER BY {order} LIMIT 1"
        rows = (await store.query(sql, binder)).dicts()
        if not rows:
            raise NotFound(f'there is no host "{name}" in this time range; /api/hosts lists those there are')
        found = await hosts(store, bounds, "", "", 1, only=name)
        quoted = name.replace("\\", "\\\\").replace('"', '\\"')
        condition = f'resource.host.name:"{quoted}"'
        links = HostLinks(
            traces=f"/api/traces?attr={_url(f'resource.host.name={name}')}",
            logs=f"/api/logs?query={_url(condition)}",
            metrics=f'{{host_name="{quoted}"}}',
        )
        attributes = attributes_of(rows[0]["attributes_keys"], rows[0]["attributes_values"])
        return HostView(**dict(found[0]), attributes=attributes, links=links)


def _url(text: str) -> str:
    from urllib.parse import quote

    return quote(text, safe="")


async def hosts(
    store: TenantStore, bounds: TimeRange, search: str, after: str, limit: int, only: str | None = None
) -> list[Host]:
    """Return hosts by name with their figures."""
    binder = Binder()
    parts = [days_within(binder, bounds, "toDate(received)"), "host != ''", f"host > {binder.text(after)}"]
    if search:
        parts.append(f"positionCaseInsensitiveUTF8(host, {binder.text(search)}) > 0")
    if only is not None:
        parts.append(f"host = {binder.text(only)}")
    sql = (
        f"SELECT {HOST_NAME} AS host, toUnixTimestamp(max(received)) AS seen, "
        "arraySort(groupUniqArray(50)(toString(service_name))) AS services, groupUniqArray(1000)(resource_id) AS ids "
        f"FROM resources WHERE {conjunction(parts)} GROUP BY host ORDER BY host LIMIT {binder.bind(limit, 'UInt64')}"
    )
    rows = (await store.query(sql, binder)).dicts()
    figures = await host_figures(store, {row["host"]: row["ids"] for row in rows}, _last(bounds))
    return [
        Host(
            name=row["host"],
            last_seen=rfc3339(row["seen"] * 1_000_000_000),
            services=[name for name in row["services"] if name],
            figures=figures[row["host"]],
        )
        for row in rows
    ]


def _last(bounds: TimeRange) -> TimeRange:
    return TimeRange(max(bounds.start, bounds.end - _LATEST), bounds.end)


async def host_figures(
    store: TenantStore, resources: Mapping[str, Sequence[int]], bounds: TimeRange
) -> dict[str, HostFigures]:
    """Return the figures of hosts, given by the ids of their resources: the latest in `bounds`."""
    owner_of = {resource: host for host, ids in resources.items() for resource in ids}
    rows = await latest_samples(store, _METRICS, owner_of, ("state", "mountpoint"), bounds)
    return {host: figures_of(rows.get(host, ())) for host in resources}


def figures_of(rows: Sequence[Mapping[str, Any]]) -> HostFigures:
    """Return the figures of one host from rows of metric, state, mountpoint, latest and increase."""
    found = HostFigures()
    cpu, memory = (_by_state(rows, metric) for metric in (_CPU, _MEMORY))
    busy = {state: row["increase"] for state, row in cpu.items()}
    if (total := sum(busy.values())) > 0:
        found.cpu_utilization = 1 - busy.get("idle", 0) / total
    if memory:
        found.memory_used_bytes = memory.get("used", {}).get("latest", 0.0)
        found.memory_total_bytes = sum(row["latest"] for row in memory.values())
        found.memory_utilization = found.memory_used_bytes / found.memory_total_bytes if found.memory_total_bytes else 0
    for row in rows:
        if row["metric"] in _LOADS:
            setattr(found, _LOADS[row["metric"]], row["latest"])
    found.filesystems = _filesystems(rows)
    return found


def _by_state(rows: Sequence[Mapping[str, Any]], metric: str) -> dict[str, Mapping[str, Any]]:
    return {row["state"]: row for row in rows if row["metric"] == metric}


def _filesystems(rows: Sequence[Mapping[str, Any]]) -> list[Filesystem]:
    mounted: dict[str, dict[str, float]] = defaultdict(dict)
    for row in rows:
        if row["metric"] == _FILES:
            mounted[row["mountpoint"]][row["state"]] = row["latest"]
    found = [
        Filesystem(
            mountpoint=mountpoint,
            used_bytes=states.get("used", 0.0),
            total_bytes=sum(states.values()),
            utilization=states.get("used", 0.0) / total if (total := sum(states.values())) else 0.0,
        )
        for mountpoint, states in mounted.items()
    ]
    return sorted(found, key=lambda one: (-one.utilization, one.mountpoint))
