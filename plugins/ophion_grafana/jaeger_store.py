"""What Jaeger's APIs ask of the telemetry store: services, operations, traces and dependencies."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from ophion_agent.server import Storage
from ophion_grafana.jaeger_model import KINDS, MISSING_SERVICE
from ophion_grafana.sql import Binder, every, some
from ophion_grafana.values import encodings

_MOST_NAMES: Final = 10_000
# Of more spans than these a sample of whole traces is joined to find who calls whom.
_JOINED_SPANS: Final = 2_000_000
_STATUS_CODES: Final = {"ERROR": 2, "OK": 1, "UNSET": 0}
_KIND_NUMBERS: Final = {name: number for number, name in KINDS.items()} | {"unspecified": 0}


@dataclass(frozen=True, slots=True)
class Search:
    """Which traces are wanted: those with one span that meets everything. Times and durations are nanoseconds."""

    start: int
    end: int
    service: str = ""
    operation: str = ""
    tags: Mapping[str, str] = field(default_factory=dict)
    shortest: int = 0
    longest: int = 0
    limit: int = 100


def service_text(stored: str) -> str:
    """Return the name of a service as Jaeger shows it."""
    return stored or MISSING_SERVICE


def _stored_service(shown: str) -> str:
    return "" if shown == MISSING_SERVICE else shown


@dataclass(frozen=True, slots=True)
class TraceReader:
    """Reads one tenant's spans; `since` is the time in Unix seconds before which services are forgotten."""

    storage: Storage
    tenant: str
    since: int
    most_spans: int

    async def services(self) -> list[str]:
        """Return the services that have spans."""
        sql = (
            "SELECT DISTINCT service_name FROM operations WHERE received >= toDateTime({since:UInt32}) "
            f"ORDER BY service_name LIMIT {_MOST_NAMES}"
        )
        found = await self.storage.query(sql, {"since": self.since}, tenant=self.tenant)
        return [service_text(name) for name in found["service_name"]]

    async def operations(self, service: str, kind: str = "") -> list[dict[str, str]]:
        """Return the names and kinds of a service's spans."""
        binder = Binder()
        where = [
            f"received >= toDateTime({binder.bind(self.since, 'UInt32')})",
            f"service_name = {binder.text(_stored_service(service))}",
        ]
        if kind:
            where.append(f"kind = {binder.integer(_KIND_NUMBERS.get(kind, -1))}")
        sql = f"SELECT DISTINCT name, kind FROM operations WHERE {every(where)} ORDER BY name, kind LIMIT {_MOST_NAMES}"
        rows = (await self.storage.query(sql, binder.values, tenant=self.tenant)).dicts()
        return [{"name": row["name"], "spanKind": KINDS.get(row["kind"], "")} for row in rows]

    async def find(self, search: Search) -> list[str]:
        """Return the ids of the traces that match, in hexadecimal, those with the latest spans first."""
        binder = Binder()
        sql = (
            "SELECT lower(hex(trace_id)) AS id FROM spans "
            f"WHERE {every(_conditions(binder, search))} GROUP BY trace_id ORDER BY max(start_time) DESC "
            f"LIMIT {int(search.limit)}"
        )
        return list((await self.storage.query(sql, binder.values, tenant=self.tenant))["id"])

    async def traces(self, ids: Sequence[str]) -> Any:
        """Return all spans of the traces as an ExportTraceServiceRequest, up to `most_spans`, the earliest first."""
        binder = Binder()
        sql = (
            "SELECT toUnixTimestamp64Nano(min(first_start)) AS first, toUnixTimestamp64Nano(max(last_start)) AS last, "
            f"count() AS found FROM trace_index WHERE trace_id IN (SELECT arrayJoin({binder.unhexed(ids)}))"
        )
        row = (await self.storage.query(sql, binder.values, tenant=self.tenant)).dicts()[0]
        where = Binder()
        bounds = f"start_time >= {where.time(row['first'])} AND start_time <= {where.time(row['last'])}"
        if not row["found"]:
            bounds = "false"
        wanted = f"trace_id IN (SELECT arrayJoin({where.unhexed(ids)}))"
        return await self.storage.read(
            "traces",
            every([bounds, wanted]),
            where.values,
            tenant=self.tenant,
            order="start_time, span_id",
            limit=self.most_spans,
        )

    async def dependencies(self, start: int, end: int) -> list[dict[str, Any]]:
        """Return who called whom, and how often, between two times in nanoseconds."""
        sampling = await self._sampling(start, end)
        binder = Binder()
        bounds = f"start_time >= {binder.time(start)} AND start_time <= {binder.time(end)}"
        sampled = f"cityHash64(trace_id) % {sampling} = 0"
        sql = f"""
SELECT parent, child, count() * {sampling} AS calls
FROM
(
    SELECT trace_id, parent_span_id, service_name AS child FROM spans
    WHERE {bounds} AND {sampled} AND parent_span_id != ''
) AS below
INNER JOIN
(
    SELECT trace_id, span_id, service_name AS parent FROM spans WHERE {bounds} AND {sampled}
) AS above ON below.trace_id = above.trace_id AND below.parent_span_id = above.span_id
WHERE parent != child
GROUP BY parent, child ORDER BY parent, child LIMIT {_MOST_NAMES}
"""
        rows = (await self.storage.query(sql, binder.values, tenant=self.tenant)).dicts()
        return [
            {
                "parent": service_text(row["parent"]),
                "child": service_text(row["child"]),
                "callCount": row["calls"],
            }
            for row in rows
        ]

    async def _sampling(self, start: int, end: int) -> int:
        """Return of how many traces one is looked at."""
        sql = (
            "SELECT sum(spans) AS spans FROM operations "
            "WHERE minute >= toDateTime({start:UInt32}) - 60 AND minute <= toDateTime({end:UInt32})"
        )
        seconds = {"start": max(start // 10**9, 60), "end": min(end // 10**9, 2**32 - 1)}
        found = await self.storage.query(sql, seconds, tenant=self.tenant)
        return 1 + int(found["spans"][0]) // _JOINED_SPANS


def _conditions(binder: Binder, search: Search) -> list[str]:
    found = [f"start_time >= {binder.time(search.start)} AND start_time <= {binder.time(search.end)}"]
    if search.service:
        found.append(f"service_name = {binder.text(_stored_service(search.service))}")
    if search.operation:
        found.append(f"name = {binder.text(search.operation)}")
    if search.shortest:
        found.append(f"duration >= {binder.integer(search.shortest)}")
    if search.longest:
        found.append(f"duration <= {binder.integer(search.longest)}")
    return [*found, *(_tag(binder, key, value) for key, value in search.tags.items())]


def _tag(binder: Binder, key: str, value: str) -> str:
    """Return SQL for a tag: of the span, its process or its logs, or one that Jaeger makes of a field of the span."""
    made = _made_tag(binder, key, value)
    name, candidates = binder.text(key), binder.unhexed(encodings(value))
    own = f"has({candidates}, attributes[{name}])"
    return some(
        [
            *made,
            own,
            f"resource_id IN (SELECT resource_id FROM resources WHERE {own})",
            f"arrayExists(a -> has({candidates}, a[{name}]), events.attributes)",
        ]
    )


def _made_tag(binder: Binder, key: str, value: str) -> list[str]:
    if key == "error" and value in ("true", "false"):
        return [f"status_code {'=' if value == 'true' else '!='} 2"]
    if key == "span.kind":
        return [f"kind = {binder.integer(_KIND_NUMBERS.get(value, -1))}"]
    if key == "otel.status_code":
        return [f"status_code = {binder.integer(_STATUS_CODES.get(value.upper(), -1))}"]
    if key == "otel.status_description":
        return [f"status_message = {binder.text(value)}"]
    if key == "w3c.tracestate":
        return [f"trace_state = {binder.text(value)}"]
    if key in ("otel.scope.name", "otel.library.name"):
        return [f"scope_id IN (SELECT scope_id FROM scopes WHERE name = {binder.text(value)})"]
    return []
