"""Failures that services have in common."""

from __future__ import annotations

from pydantic import BaseModel, Field

from ophion_api.sql_parts import Binder, conjunction
from ophion_api.telemetry_access import TenantStore
from ophion_api.time_ranges import TimeRange, rfc3339


class FrequentError(BaseModel):
    """Spans that failed in the same way."""

    service: str = Field(description="service.name.")
    operation: str = Field(description="Span name.")
    message: str = Field(description="Status message.")
    count: int = Field(description="Spans.")
    last: str = Field(description="Start of the newest.")
    trace_id: str = Field(description="Trace of the newest.")


async def frequent_errors(
    store: TenantStore, bounds: TimeRange, limit: int, service: str | None = None
) -> list[FrequentError]:
    """Return the failures that are most frequent, of one service or of all."""
    binder = Binder()
    parts = [binder.within("start_time", bounds), "status_code = 2"]
    if service is not None:
        parts.append(f"service_name = {binder.text(service)}")
    sql = (
        "SELECT toString(service_name) AS service, toString(name) AS operation, substring(status_message, 1, 500) AS "
        "message, count() AS n, max(toUnixTimestamp64Nano(start_time)) AS last, "
        "lower(hex(argMax(trace_id, start_time))) AS trace FROM spans "
        f"WHERE {conjunction(parts)} GROUP BY service, operation, message "
        f"ORDER BY n DESC, service, operation LIMIT {binder.bind(limit, 'UInt64')}"
    )
    return [
        FrequentError(service=name, operation=operation, message=message, count=n, last=rfc3339(last), trace_id=trace)
        for name, operation, message, n, last, trace in (await store.query(sql, binder)).rows()
    ]
