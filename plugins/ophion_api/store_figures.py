"""How much a tenant has stored, and how much comes in."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, Literal

from pydantic import BaseModel, Field

from ophion_agent.server import Call, Permission, Route
from ophion_api.sql_parts import Binder
from ophion_api.telemetry_access import Telemetry, TenantStore
from ophion_api.time_ranges import SECOND, rfc3339

_TAG: Final = "server"
Signal = Literal["traces", "metrics", "logs", "shared"]
_SIGNALS: Final[dict[str, Signal]] = {
    "spans": "traces", "trace_index": "traces", "operations": "traces", "logs": "logs", "samples": "metrics",
    "series": "metrics", "streams": "metrics", "histograms": "metrics", "exponential_histograms": "metrics",
    "summaries": "metrics", "exemplars": "metrics", "resources": "shared", "scopes": "shared",
    "attribute_values": "shared",
}  # fmt: skip
_RATE_SECONDS: Final = 300


class TableFigures(BaseModel):
    """A table of the store."""

    table: str = Field(description="Name.")
    signal: Signal = Field(description="What it belongs to.")
    rows: int = Field(description="Rows; before merges, some count twice in tables of sums and catalogues.")
    bytes: int = Field(description="Bytes on disk.")
    uncompressed_bytes: int = Field(description="Bytes before compression.")
    oldest_day: str | None = Field(description="First day of arrival of what is kept.")


class IngestRates(BaseModel):
    """What arrived in the last five minutes."""

    spans_per_second: float = Field(description="Spans.")
    log_records_per_second: float = Field(description="Log records.")
    samples_per_second: float = Field(description="Samples as PromQL sees them.")


class StoreFigures(BaseModel):
    """The store as the caller's tenant sees it."""

    time: str = Field(description="When this was read.")
    bytes: int = Field(description="Bytes on disk.")
    bytes_by_signal: dict[Signal, int] = Field(description="Bytes on disk by signal.")
    tables: list[TableFigures] = Field(description="Tables, largest first.")
    ingest: IngestRates = Field(description="What arrives.")


class StoreRoutes:
    """Tells how much is stored."""

    def __init__(self, telemetry: Telemetry) -> None:
        self._telemetry = telemetry

    def routes(self) -> Sequence[Route]:
        """Return the routes."""
        return [
            Route(
                "GET", "/api/store", self._figures, Permission.READ, answer=StoreFigures, tag=_TAG,
                summary="What is stored, and what comes in",
            )
        ]  # fmt: skip

    async def _figures(self, call: Call) -> StoreFigures:
        store = self._telemetry.of(call)
        tables = await table_figures(store)
        by_signal: dict[Signal, int] = {}
        for table in tables:
            by_signal[table.signal] = by_signal.get(table.signal, 0) + table.bytes
        return StoreFigures(
            time=rfc3339(self._telemetry.now_ns()),
            bytes=sum(table.bytes for table in tables),
            bytes_by_signal=by_signal,
            tables=tables,
            ingest=await ingest_rates(store),
        )


async def table_figures(store: TenantStore) -> list[TableFigures]:
    """Return the figures of the tenant's tables."""
    binder = Binder()
    sql = (
        "SELECT table, sum(rows) AS n, sum(bytes_on_disk) AS size, sum(data_uncompressed_bytes) AS raw, "
        "min(partition) AS oldest FROM system.parts WHERE database = currentDatabase() AND active "
        f"AND table IN {binder.bind(list(_SIGNALS), 'Array(String)')} GROUP BY table ORDER BY size DESC, table"
    )
    return [
        TableFigures(
            table=table, signal=_SIGNALS[table], rows=n, bytes=size, uncompressed_bytes=raw, oldest_day=oldest or None
        )
        for table, n, size, raw, oldest in (await store.query(sql, binder)).rows()
    ]


async def ingest_rates(store: TenantStore) -> IngestRates:
    """Return what arrived a second; parts that are older are not read."""
    now = store.telemetry.now_ns() // SECOND
    counts = []
    for table in ("spans", "logs", "samples"):
        binder = Binder()
        since = f"toDateTime({binder.bind(now - _RATE_SECONDS, 'UInt32')})"
        sql = f"SELECT count() AS n FROM {table} WHERE received >= {since}"
        counts.append((await store.query(sql, binder))["n"][0] / _RATE_SECONDS)
    return IngestRates(spans_per_second=counts[0], log_records_per_second=counts[1], samples_per_second=counts[2])
