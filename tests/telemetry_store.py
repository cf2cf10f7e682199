"""A telemetry store for tests: the real embedded engine in a directory of the test.

async with running_store(tmp_path) as store:
    await ingest(store, "traces", request.SerializeToString())
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from ophion_agent.plugin import SIGNALS
from ophion_agent.server import TENANTS
from ophion_agent.testing import make_context
from ophion_storage.config import StoreConfig
from ophion_storage.store import TelemetryStore


@asynccontextmanager
async def running_store(directory: Path, **options: Any) -> AsyncIterator[TelemetryStore]:
    """Run a store whose options are the defaults but for its directory and `options`."""
    config = StoreConfig.model_validate({"directory": str(directory / "telemetry"), **options})
    store = TelemetryStore(config, make_context("extension", "telemetry_store", gathered={TENANTS.name: []}))
    try:
        await store.start()
        yield store
    finally:
        await store.stop()
        await store.context.close()


async def ingest(store: TelemetryStore, signal: str, request: bytes, *, tenant: str = "default") -> None:
    """Store an encoded OTLP request as the exporter does."""
    await store.ingest(SIGNALS[signal].from_wire(request), tenant)
