"""From a trace to its log records and to the hosts that it crossed."""

from __future__ import annotations

from typing import Final, Literal

from pydantic import BaseModel, Field

from ophion_api.hosts import HOST_NAME, HostFigures, host_figures
from ophion_api.logs_models import PAGE_LIMIT, LogPage, LogQuery, SearchText
from ophion_api.logs_search import log_page
from ophion_api.sql_parts import Binder
from ophion_api.telemetry_access import TenantStore
from ophion_api.time_ranges import MINUTE, TimeRange, rfc3339
from ophion_api.traces_view import trace_bounds

# Records can be written some time after the last span began.
_LOGS_BEFORE: Final = 5 * MINUTE
_LOGS_AFTER: Final = 60 * MINUTE
_AROUND: Final = 5 * MINUTE
_MOST_HOSTS: Final = 100


class TraceLogsQuery(BaseModel):
    """Which of a trace's log records."""

    model_config = {"extra": "forbid"}

    query: SearchText = ""
    order: Literal["newest", "oldest"] = Field("oldest", description="Which end comes first.")
    limit: int = Field(100, ge=1, le=PAGE_LIMIT, description="Records in a page.")
    cursor: str | None = Field(None, max_length=2000, description="`next_cursor` of the page before.")


class TraceHost(BaseModel):
    """A host that a trace crossed."""

    name: str = Field(description="host.name.")
    services: list[str] = Field(description="Services of the trace on it.")
    spans: int = Field(description="Spans of the trace on it.")
    figures: HostFigures = Field(description="Its metrics around the trace.")
    link: str = Field(description="More about the host at that time.")


class TraceHosts(BaseModel):
    """Hosts of a trace."""

    start: str = Field(description="Begin of the time the figures are of.")
    end: str = Field(description="End of that time.")
    hosts: list[TraceHost] = Field(description="Hosts by name; those whose resources say no host.name are not here.")


async def trace_logs(store: TenantStore, trace_id: str, query: TraceLogsQuery) -> LogPage:
    """Return the log records of a trace; raises BadRequest and NotFound."""
    bounds = await trace_bounds(store, trace_id)
    near = TimeRange(max(0, bounds.start - _LOGS_BEFORE), bounds.end + _LOGS_AFTER)
    wanted = LogQuery(
        query=query.query, order=query.order, limit=query.limit, cursor=query.cursor, trace_id=trace_id.lower()
    )
    return await log_page(store, wanted, near)


async def trace_hosts(store: TenantStore, trace_id: str) -> TraceHosts:
    """Return the hosts of a trace with their metrics around it; raises BadRequest and NotFound."""
    bounds = await trace_bounds(store, trace_id)
    binder = Binder()
    spans = (
        "SELECT resource_id, toString(any(service_name)) AS service, count() AS n FROM spans "
        f"WHERE {binder.within('start_time', bounds)} AND trace_id = unhex({binder.text(trace_id)}) "
        "GROUP BY resource_id"
    )
    hosts = (
        f"SELECT resource_id, any({HOST_NAME}) AS host FROM resources "
        f"WHERE resource_id IN (SELECT resource_id FROM ({spans})) GROUP BY resource_id"
    )
    sql = (
        "SELECT host, arraySort(groupUniqArray(service)) AS services, sum(n) AS spans FROM "
        f"({spans}) AS found INNER JOIN ({hosts}) AS hosts USING (resource_id) WHERE host != '' "
        f"GROUP BY host ORDER BY host LIMIT {_MOST_HOSTS}"
    )
    rows = (await store.query(sql, binder)).dicts()
    around = TimeRange(max(0, bounds.start - _AROUND), bounds.end + _AROUND)
    figures = await host_figures(store, await _resources(store, [row["host"] for row in rows]), around)
    start, end = rfc3339(around.start), rfc3339(around.end)
    return TraceHosts(
        start=start,
        end=end,
        hosts=[
            TraceHost(
                name=row["host"],
                services=row["services"],
                spans=row["spans"],
                figures=figures.get(row["host"], HostFigures()),
                link=f"/api/hosts/{_quoted(row['host'])}?from={start}&to={end}",
            )
            for row in rows
        ],
    )


async def _resources(store: TenantStore, hosts: list[str]) -> dict[str, list[int]]:
    """Return the resources of hosts: the metrics of a host come from another resource than its services' spans."""
    if not hosts:
        return {}
    binder = Binder()
    sql = (
        f"SELECT {HOST_NAME} AS host, groupUniqArray(1000)(resource_id) AS ids FROM resources "
        f"WHERE host IN {binder.bind(hosts, 'Array(String)')} GROUP BY host"
    )
    return dict((await store.query(sql, binder)).rows())


def _quoted(name: str) -> str:
    from urllib.parse import quote

    return quote(name, safe="")
