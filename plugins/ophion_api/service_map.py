"""Who calls whom: spans joined with their parents in other services.

Of more spans than `map_max_spans`, whole traces are left out by a hash of their id, and the counts are multiplied back.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, Literal

from pydantic import BaseModel, Field

from ophion_api.service_history import ENTRY
from ophion_api.service_peers import ends, peers_sql
from ophion_api.sql_parts import Binder
from ophion_api.telemetry_access import TenantStore
from ophion_api.time_ranges import RangeQuery, TimeRange
from ophion_api.traces_figures import bucket_quantile, minutes_within

_MOST_EDGES: Final = 1_000
NodeKind = Literal["service", "database", "queue", "external"]


class ServiceMapQuery(RangeQuery):
    """Of which time, and around which service."""

    service: str | None = Field(None, max_length=1000, description="Only edges from or to this service.")
    peers: bool = Field(False, description="Also databases, queues and addresses that send no spans themselves.")


class ServiceEdge(BaseModel):
    """Calls of one service by another."""

    caller: str = Field(description="Service of the parent span.")
    callee: str = Field(description="Service of the child span.")
    calls: int = Field(description="Calls in the range, an estimate where `sampled_one_in` is above 1.")
    rate: float = Field(description="Calls per second.")
    errors: int = Field(description="Calls whose span has status error.")
    error_rate: float = Field(description="Their share, 0 to 1.")
    p50_ms: float = Field(description="Median duration of the callee's span.")
    p95_ms: float = Field(description="95th percentile of it.")
    p99_ms: float = Field(description="99th percentile of it.")


class ServiceNode(BaseModel):
    """A service in the map, or what services call."""

    name: str = Field(description="service.name; of a peer what its callers name it.")
    kind: NodeKind = Field("service", description="`service` sends spans itself.")
    system: str = Field("", description="Kind of database or queue, such as postgresql; else empty.")
    spans: int = Field(description="Its spans in the range; of a peer the calls.")
    errors: int = Field(description="Those with status error.")
    rate: float = Field(description="Requests per second that it answers; of one that answers none all its spans.")
    error_rate: float = Field(description="Failed share of these, 0 to 1.")
    p95_ms: float = Field(description="95th percentile of their duration.")


class ServiceMap(BaseModel):
    """Services and the calls between them."""

    nodes: list[ServiceNode] = Field(
        description="Services, most spans first; those without calls between services too."
    )
    edges: list[ServiceEdge] = Field(description="Calls, most first.")
    sampled_one_in: int = Field(description="1 where every trace was looked at, n where one in n was.")
    truncated: bool = Field(description="Whether there are more edges.")


async def service_map(store: TenantStore, query: ServiceMapQuery, bounds: TimeRange) -> ServiceMap:
    """Return the map of a time range."""
    nodes = await _nodes(store, bounds)
    spans = sum(node.spans for node in nodes)
    one_in = max(1, -(-spans // store.telemetry.config.map_max_spans))
    edges = await _edges(store, query.service, bounds, one_in)
    if query.peers:
        peers, calls = await _peers(store, query.service, bounds, one_in, {node.name for node in nodes})
        nodes, edges = nodes + peers, edges + calls
    if query.service is not None:
        near = {query.service, *(edge.caller for edge in edges), *(edge.callee for edge in edges)}
        nodes = [node for node in nodes if node.name in near]
    truncated = len(edges) > _MOST_EDGES
    return ServiceMap(nodes=nodes, edges=edges[:_MOST_EDGES], sampled_one_in=one_in, truncated=truncated)


async def _nodes(store: TenantStore, bounds: TimeRange) -> list[ServiceNode]:
    binder = Binder()
    sql = (
        f"SELECT service_name, everything, all_failed, n, failed, {bucket_quantile('merged', 0.95)} AS p95 FROM "
        f"(SELECT service_name, {ENTRY} AS entry, sum(spans) AS n, sum(errors) AS failed, sumMap(buckets) AS merged, "
        "sum(n) OVER (PARTITION BY service_name) AS everything, "
        "sum(failed) OVER (PARTITION BY service_name) AS all_failed FROM operations "
        f"WHERE {minutes_within(binder, bounds)} GROUP BY service_name, entry "
        "ORDER BY entry DESC LIMIT 1 BY service_name) ORDER BY everything DESC, service_name "
        f"LIMIT {binder.bind(_MOST_EDGES, 'UInt64')}"
    )
    return [
        ServiceNode(
            name=name, spans=everything, errors=all_failed, rate=n / bounds.seconds,
            error_rate=failed / n if n else 0.0, p95_ms=p95 / 1e6,
        )
        for name, everything, all_failed, n, failed, p95 in (await store.query(sql, binder)).rows()
    ]  # fmt: skip


async def _peers(
    store: TenantStore, service: str | None, bounds: TimeRange, one_in: int, known: set[str]
) -> tuple[list[ServiceNode], list[ServiceEdge]]:
    """Return what services call besides other services, and these calls; `known` are the services."""
    binder = Binder()
    sql = peers_sql(binder, _sampled(binder, bounds, one_in), service)
    nodes: dict[str, ServiceNode] = {}
    edges = []
    for row in (await store.query(sql, binder)).dicts():
        if row["peer"] in known:
            continue
        caller, callee = ends(row)
        edge = _edge(caller, callee, (row["n"], row["failed"], row["quantiles"]), bounds, one_in)
        edges.append(edge)
        unseen = ServiceNode(
            name=row["peer"], kind=row["what"], system=row["system"], spans=0, errors=0, rate=0, error_rate=0, p95_ms=0
        )
        _add_calls(nodes.setdefault(row["peer"], unseen), edge)
    return list(nodes.values()), edges


def _add_calls(node: ServiceNode, edge: ServiceEdge) -> None:
    node.spans += edge.calls
    node.errors += edge.errors
    node.rate += edge.rate
    node.error_rate = node.errors / node.spans
    # Percentiles cannot be added; the slowest caller's is what one looks for.
    node.p95_ms = max(node.p95_ms, edge.p95_ms)


def _sampled(binder: Binder, bounds: TimeRange, one_in: int) -> str:
    sample = f"cityHash64(trace_id) % {binder.bind(one_in, 'UInt64')} = 0" if one_in > 1 else "true"
    return f"{binder.within('start_time', bounds)} AND {sample}"


def _edge(
    caller: str, callee: str, figures: tuple[int, int, Sequence[float]], bounds: TimeRange, one_in: int
) -> ServiceEdge:
    n, failed, quantiles = figures
    p50, p95, p99 = (value / 1e6 for value in quantiles)
    return ServiceEdge(
        caller=caller, callee=callee, calls=n * one_in, rate=n * one_in / bounds.seconds, errors=failed * one_in,
        error_rate=failed / n, p50_ms=p50, p95_ms=p95, p99_ms=p99,
    )  # fmt: skip


async def _edges(store: TenantStore, service: str | None, bounds: TimeRange, one_in: int) -> list[ServiceEdge]:
    binder = Binder()
    where = _sampled(binder, bounds, one_in)
    around = "true"
    if service is not None:
        name = binder.text(service)
        around = f"(child.service_name = {name} OR parent.service_name = {name})"
    sql = (
        "SELECT toString(parent.service_name) AS caller, toString(child.service_name) AS callee, count() AS n, "
        "countIf(child.status_code = 2) AS failed, "
        "quantilesTDigest(0.5, 0.95, 0.99)(greatest(child.duration, 0)) AS quantiles "
        # A join on one number takes a fraction of the time and memory of one on two texts.
        "FROM (SELECT cityHash64(trace_id, parent_span_id) AS link, service_name, status_code, duration FROM spans "
        f"WHERE {where} AND parent_span_id != '') AS child "
        "INNER JOIN (SELECT cityHash64(trace_id, span_id) AS link, service_name FROM spans "
        f"WHERE {where}) AS parent USING (link) "
        f"WHERE child.service_name != parent.service_name AND {around} "
        f"GROUP BY caller, callee ORDER BY n DESC, caller, callee LIMIT {binder.bind(_MOST_EDGES + 1, 'UInt64')}"
    )
    return [
        _edge(caller, callee, (n, failed, quantiles), bounds, one_in)
        for caller, callee, n, failed, quantiles in (await store.query(sql, binder)).rows()
    ]
