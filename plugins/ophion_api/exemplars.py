"""Exemplars: from a metric to the traces in which it was measured."""

from __future__ import annotations

from typing import Final

from ophion_agent.server import BadRequest
from ophion_api.any_values import attribute_columns, attributes_of
from ophion_api.metrics_catalogue import number_shown
from ophion_api.metrics_models import Exemplar, ExemplarList, ExemplarsQuery
from ophion_api.sql_parts import Binder, conjunction
from ophion_api.telemetry_access import TenantStore
from ophion_api.time_ranges import TimeRange, rfc3339

_SUFFIXES: Final = ("", "_bucket", "_count", "_sum", "_total")


async def exemplars(store: TenantStore, query: ExemplarsQuery, bounds: TimeRange) -> ExemplarList:
    """Return the newest exemplars of a metric, or of a trace; raises BadRequest where neither is named."""
    if query.metric is None and query.trace_id is None:
        raise BadRequest("metric: is missing; name a metric or a trace_id", status=422)
    binder = Binder()
    parts = [binder.within("time", bounds)]
    if query.metric is not None:
        names = binder.bind([f"{query.metric}{suffix}" for suffix in _SUFFIXES], "Array(String)")
        parts.append(f"stream_id IN (SELECT stream_id FROM series WHERE metric_name IN {names})")
    if query.trace_id is not None:
        parts.append(f"trace_id = unhex({binder.text(query.trace_id)})")
    limit = binder.bind(query.limit, "UInt64")
    sql = (
        "SELECT toUnixTimestamp64Nano(found.time) AS at, found.value AS value, lower(hex(found.trace_id)) AS trace, "
        "lower(hex(found.span_id)) AS span, streams.metric AS metric, streams.service AS service, "
        f"{attribute_columns('attributes')}, {attribute_columns('filtered_attributes')} "
        "FROM (SELECT time, value, trace_id, span_id, filtered_attributes, stream_id FROM exemplars "
        f"WHERE {conjunction(parts)} ORDER BY time DESC LIMIT {limit}) AS found "
        "LEFT JOIN (SELECT stream_id, any(toString(name)) AS metric, any(attributes) AS attributes, "
        "any(service_name) AS service FROM streams LEFT JOIN (SELECT resource_id, toString(any(service_name)) AS "
        "service_name FROM resources GROUP BY resource_id) AS known USING (resource_id) "
        f"WHERE stream_id IN (SELECT stream_id FROM exemplars WHERE {conjunction(parts)}) GROUP BY stream_id) "
        "AS streams "
        f"ON found.stream_id = streams.stream_id ORDER BY at DESC, trace, span LIMIT {limit}"
    )
    return ExemplarList(
        exemplars=[
            Exemplar(
                metric=row["metric"],
                service=row["service"],
                attributes=attributes_of(row["attributes_keys"], row["attributes_values"]),
                time=rfc3339(row["at"]),
                value=number_shown(row["value"]),
                trace_id=row["trace"],
                span_id=row["span"],
                filtered_attributes=attributes_of(row["filtered_attributes_keys"], row["filtered_attributes_values"]),
            )
            for row in (await store.query(sql, binder)).dicts()
        ]
    )
