"""What the store does beside taking and answering: naming series, forgetting tenants."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from ophion_agent.plugin import Status
from ophion_agent.server import TENANTS
from ophion_agent.testing import ManualClock, make_context, make_logs, make_metrics
from ophion_storage.catalogue import Catalogue
from ophion_storage.config import StoreConfig
from ophion_storage.engine import EngineError
from ophion_storage.store import TelemetryStore
from ophion_storage.tenants import Tenants
from telemetry_store import running_store


async def names(store: TelemetryStore) -> list[str]:
    rows = await store.query("SELECT DISTINCT metric_name AS name FROM series ORDER BY name", tenant="default")
    return list(rows["name"])


async def test_keeps_points_whose_series_it_cannot_name_and_names_them_later(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def fail(_: Catalogue) -> int:
        raise EngineError("Code: 241. DB::Exception: Memory limit exceeded. (MEMORY_LIMIT_EXCEEDED)")

    async with running_store(tmp_path) as store:
        with monkeypatch.context() as patched:
            patched.setattr(Catalogue, "update", fail)
            await store.ingest(make_metrics(4), "default")

        assert (await store.query("SELECT count() AS n FROM samples", tenant="default"))["n"] == [4]
        assert await names(store) == []
        assert store.context.counter("ophion_store_series_not_learned").value == 1
        assert store.context.health.status is Status.DEGRADED
        assert store.context.health.reason == "PromQL does not see new series of default"

        await store.ingest(make_metrics(4), "default")

        assert await names(store) != []
        assert store.context.health.status is Status.OK


class Directory:
    """Tenants of which one can be removed."""

    def __init__(self) -> None:
        self.removed: list[str] = []
        self.kept: dict[str, dict[str, int | None]] = {}
        self.forgotten = asyncio.Event()

    async def retention(self, tenant: str) -> Mapping[str, int | None]:
        return self.kept.get(tenant, {})

    async def removed_tenants(self) -> list[str]:
        return self.removed

    async def telemetry_removed(self, tenant: str) -> None:
        assert tenant in self.removed
        self.forgotten.set()


@asynccontextmanager
async def store_with(directory: Directory, clock: ManualClock, folder: Path) -> AsyncIterator[TelemetryStore]:
    """Run a store beside a directory of tenants."""
    services = {"auth": directory}
    gathered = {TENANTS.name: ["auth"]}
    context = make_context("extension", "telemetry_store", clock=clock, services=services, gathered=gathered)
    store = TelemetryStore(StoreConfig.model_validate({"directory": str(folder / "telemetry")}), context)
    await store.start()
    try:
        yield store
    finally:
        await store.stop()
        await context.close()


async def forgotten(directory: Directory, clock: ManualClock) -> None:
    """Return when a removed tenant's telemetry is gone."""
    directory.forgotten.clear()
    async with asyncio.timeout(30):
        while not directory.forgotten.is_set():
            await clock.advance(60)
            await asyncio.sleep(0.01)


async def test_deletes_the_telemetry_of_a_removed_tenant_and_what_comes_late(tmp_path: Path) -> None:
    directory, clock = Directory(), ManualClock()
    async with store_with(directory, clock, tmp_path) as store:
        await store.ingest(make_logs(1), "default")
        for _ in range(2):
            await store.ingest(make_logs(2), "acme")
            assert await store.tenants() == ["acme", "default"]
            directory.removed = ["acme"]
            await forgotten(directory, clock)
            assert await store.tenants() == ["default"]


async def test_a_tenant_that_cannot_be_deleted_does_not_hold_the_others(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    dropped: list[str] = []
    drop = Tenants.drop

    async def drop_others(tenants: Tenants, tenant: str) -> None:
        dropped.append(tenant)
        if tenant == "aaa":
            raise EngineError("Code: 219. DB::Exception: the database is held. (DATABASE_NOT_EMPTY)")
        await drop(tenants, tenant)

    monkeypatch.setattr(Tenants, "drop", drop_others)
    directory, clock = Directory(), ManualClock()
    async with store_with(directory, clock, tmp_path) as store:
        for tenant in ("aaa", "acme", "default"):
            await store.ingest(make_logs(1), tenant)
        directory.removed = ["aaa", "acme"]
        directory.kept = {"default": {"logs": 3}}
        await forgotten(directory, clock)
        await forgotten(directory, clock)
        assert await store.tenants() == ["aaa", "default"]
        table = "SELECT engine_full AS engine FROM system.tables WHERE database = currentDatabase() AND name = 'logs'"
        assert "toIntervalDay(3)" in (await store.query(table, tenant="default"))["engine"][0]
    assert dropped.count("aaa") > 1
    assert dropped.count("acme") == 1
