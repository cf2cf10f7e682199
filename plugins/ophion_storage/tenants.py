"""A database per tenant: created at first use, brought up to date, and given its retention."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Awaitable, Callable, Iterator
from typing import Final

import orjson

from ophion_agent.server import check_tenant
from ophion_storage.config import RetentionConfig
from ophion_storage.engine import Engine, identifier
from ophion_storage.schema import Migration, migrations

PREFIX: Final = "ophion_"
_VERSIONS: Final = "schema_versions"
_TABLES: Final[dict[str, tuple[tuple[str, str], ...]]] = {
    "traces": (("spans", "received"), ("trace_index", "received"), ("operations", "received")),
    "metrics": (
        ("samples", "received"),
        ("histograms", "received"),
        ("exponential_histograms", "received"),
        ("summaries", "received"),
        ("exemplars", "received"),
        ("streams", "received"),
        ("series", "day"),
    ),
    "logs": (("logs", "received"),),
    "": (("resources", "received"), ("scopes", "received"), ("attribute_values", "day")),
}
_TTL: Final = re.compile(r"toIntervalDay\((\d+)\)")


def database_of(tenant: str) -> str:
    """Return the name of a tenant's database; raises ValueError for what cannot be a tenant."""
    return PREFIX + check_tenant(tenant)


class Tenants:
    """Knows which databases are ready."""

    def __init__(
        self, engine: Engine, retention_of: Callable[[str], Awaitable[RetentionConfig]], *, replicated: bool = False
    ) -> None:
        self._engine = engine
        self._retention_of = retention_of
        self._replicated = replicated
        self._ready: set[str] = set()
        self._locks: dict[str, asyncio.Lock] = {}

    async def names(self) -> list[str]:
        """Return the tenants that have a database."""
        sql = "SELECT name FROM system.databases WHERE startsWith(name, {prefix:String}) ORDER BY name"
        rows = await self._engine.query(sql, {"prefix": PREFIX}, database="", output_format="JSONColumns", settings={})
        return [name.removeprefix(PREFIX) for name in orjson.loads(rows)["name"]]

    async def ready(self, tenant: str) -> str:
        """Return the tenant's database, made and brought up to date where it is not."""
        if tenant in self._ready:
            return PREFIX + tenant
        database = database_of(tenant)
        async with self._locks.setdefault(tenant, asyncio.Lock()):
            if tenant not in self._ready:
                await self._migrate(database)
                await self.keep(tenant, await self._retention_of(tenant))
                self._ready.add(tenant)
        return database

    async def apply_retention(self) -> None:
        """Give every tenant the retention that is set for it now."""
        for tenant in await self.names():
            await self.keep(tenant, await self._retention_of(tenant))

    async def keep(self, tenant: str, retention: RetentionConfig) -> None:
        """Make the tables of a tenant forget what is older than `retention` says."""
        database = database_of(tenant)
        sql = "SELECT name, engine_full FROM system.tables WHERE database = {database:String}"
        rows = await self._engine.query(
            sql, {"database": database}, database=database, output_format="JSONColumns", settings={}
        )
        columns = orjson.loads(rows)
        engines = dict(zip(columns["name"], columns["engine_full"], strict=True))
        for table, column, days in _lifetimes(retention):
            found = _TTL.search(engines.get(table, ""))
            if days == (int(found.group(1)) if found else 0):
                continue
            change = f"MODIFY TTL {column} + toIntervalDay({days})" if days else "REMOVE TTL"
            await self._engine.execute(f"ALTER TABLE {identifier(table)} {change}", database=database)

    async def drop(self, tenant: str) -> None:
        """Delete a tenant's telemetry for good."""
        self._ready.discard(tenant)
        await self._engine.execute(f"DROP DATABASE IF EXISTS {identifier(database_of(tenant))} SYNC")

    async def _migrate(self, database: str) -> None:
        await self._engine.execute(f"CREATE DATABASE IF NOT EXISTS {identifier(database)}")
        await self._engine.execute(
            f"CREATE TABLE IF NOT EXISTS {_VERSIONS} (version UInt32, name String, applied DateTime DEFAULT now()) "
            f"ENGINE = {'Replicated' if self._replicated else ''}MergeTree ORDER BY version",
            database=database,
        )
        done = await self._engine.query(
            f"SELECT max(version) AS version FROM {_VERSIONS}",
            {},
            database=database,
            output_format="JSONColumns",
            settings={},
        )
        for migration in migrations(replicated=self._replicated):
            if migration.version > int(orjson.loads(done)["version"][0]):
                await self._apply(database, migration)

    async def _apply(self, database: str, migration: Migration) -> None:
        """Run a migration; one that was cut off is run again, so its statements must be harmless twice."""
        for statement in migration.statements:
            await self._engine.execute(statement, database=database)
        await self._engine.execute(
            f"INSERT INTO {_VERSIONS} (version, name) SELECT {{version:UInt32}}, {{name:String}}",
            {"version": migration.version, "name": migration.name},
            database=database,
        )


def _lifetimes(retention: RetentionConfig) -> Iterator[tuple[str, str, int]]:
    """Iterate over (table, column, days); what all signals share is kept as long as the longest of them."""
    days = {"traces": retention.traces, "metrics": retention.metrics, "logs": retention.logs}
    shared = 0 if 0 in days.values() else max(days.values())
    for signal, tables in _TABLES.items():
        for table, column in tables:
            yield table, column, days.get(signal, shared)
