"""The exporter that writes into the telemetry store."""

from __future__ import annotations

from typing import Annotated

from pydantic import AfterValidator, Field

from ophion_agent.plugin import SENDER_PREFIX, Batch, Exporter, ExporterConfig
from ophion_agent.server import DEFAULT_TENANT, check_tenant
from ophion_storage.store import TELEMETRY_STORE


class ClickHouseExporterConfig(ExporterConfig):
    """Which tenant telemetry belongs to."""

    tenant: Annotated[str, AfterValidator(check_tenant)] = Field(
        DEFAULT_TENANT, description="Tenant of telemetry whose sender did not prove to be another's."
    )


class ClickHouseExporter(Exporter[ClickHouseExporterConfig, Batch]):
    """Writes traces, metrics and logs into the telemetry store, each tenant's into its own database."""

    type_name = "clickhouse"
    requires = (TELEMETRY_STORE,)

    async def export(self, batch: Batch) -> None:
        """Store the batch; it can be queried when this returns."""
        tenant = batch.metadata.get(f"{SENDER_PREFIX}tenant", (self.config.tenant,))[0]
        await self.context.service(TELEMETRY_STORE).ingest(batch, tenant)
