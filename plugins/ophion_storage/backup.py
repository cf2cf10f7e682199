"""Backups of the telemetry store: every table as files in the engine's Native format, with the schema by migrations.

The same files go into an embedded engine and into a server. BACKUP and FREEZE of the engine were not taken: the first
needs a path allowed in the configuration of each server, and both write parts that only the same kind of engine reads.

    telemetry.json                       format, schema version, and per tenant and table the columns, rows and files
    TENANT/TABLE/00001.native.zst        a page of rows, a few tens of megabytes before it is compressed
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import orjson
import zstandard

from ophion_agent.plugin import OphionError
from ophion_storage.backup_format import FORMAT, MANIFEST, VERSION, TableFacts, read_manifest
from ophion_storage.backup_pages import Page, TableLayout, pages_of_day, pages_of_seconds
from ophion_storage.engine import Engine, EngineError, identifier
from ophion_storage.schema import migrations
from ophion_storage.tenants import Tenants, database_of

_PAGE_BYTES: Final = 32 << 20
_PAGE_ROWS: Final = 500_000
_STATEMENT_SECONDS: Final = 3600
# What rows of the others refer to is read after them, so that nothing in a backup lacks what it refers to.
_LAST: Final = ("trace_index", "streams", "series", "scopes", "resources")
# Made by the migrations, and again by the start.
_LEFT_OUT: Final = ("schema_versions",)
# Streams get their series a moment after they arrive.
_SETTLED_SECONDS: Final = 300

_LAYOUTS: Final = """
    SELECT
        t.name AS name, any(t.partition_key) AS partition_key, any(notEmpty(t.dependencies_table)) AS feeds_views,
        groupArray(c.name) AS columns
    FROM system.tables AS t
    INNER JOIN
    (
        SELECT table, name FROM system.columns
        WHERE database = {database:String} AND default_kind NOT IN ('ALIAS', 'MATERIALIZED', 'EPHEMERAL')
        ORDER BY table, position
    ) AS c ON c.table = t.name
    WHERE t.database = {database:String} AND endsWith(t.engine, 'MergeTree')
    GROUP BY name ORDER BY name
"""
_SIZES: Final = """
    SELECT table, sum(rows) AS rows, sum(data_uncompressed_bytes) AS bytes
    FROM system.parts WHERE active AND database = {database:String} GROUP BY table
"""
_DETACHED: Final = """
    SELECT table, name, reason FROM system.detached_parts
    WHERE database = {database:String} AND (startsWith(reason, 'broken') OR startsWith(reason, 'unexpected'))
    ORDER BY table, name LIMIT 100
"""
_WITHOUT_SERIES: Final = """
    SELECT count() AS streams FROM
    (
        SELECT DISTINCT stream_id FROM streams
        WHERE received < now() - {seconds:UInt32} AND stream_id NOT IN (SELECT stream_id FROM series)
    )
"""
_WITHOUT_STREAM: Final = """
    SELECT uniqExact(stream_id) AS series FROM series
    WHERE stream_id != 0 AND stream_id NOT IN (SELECT stream_id FROM streams)
"""


@dataclass(frozen=True, slots=True)
class TelemetryBackup:
    """Copies out, brings back and looks through all tenants of a running engine."""

    engine: Engine
    tenants: Tenants
    page_bytes: int = field(default=_PAGE_BYTES)

    # ---- out

    async def backup(self, directory: Path) -> None:
        """Write all tenants into `directory`, while telemetry comes in; raises EngineError.

        Of each table it holds what had arrived when its copy began.
        """
        found = {tenant: await self._backup_tenant(tenant, directory / tenant) for tenant in await self.tenants.names()}
        document = {
            "format": FORMAT,
            "version": VERSION,
            "schema_version": newest_schema(),
            "tenants": {
                tenant: {name: facts.document() for name, facts in tables.items()} for tenant, tables in found.items()
            },
        }
        text = json.dumps(document, indent=1)
        await asyncio.to_thread((directory / MANIFEST).write_text, text, encoding="utf-8")

    async def _backup_tenant(self, tenant: str, folder: Path) -> dict[str, TableFacts]:
        database = await self.tenants.ready(tenant)
        layouts = [layout for layout in await self._layouts(database) if layout.name not in _LEFT_OUT]
        layouts.sort(key=lambda layout: _LAST.index(layout.name) if layout.name in _LAST else -1)
        sizes = await self._rows(_SIZES, {"database": database}, database)
        row_bytes = {row["table"]: row["bytes"] // max(1, row["rows"]) for row in sizes}
        return {
            layout.name: await self._backup_table(
                database, layout, folder / layout.name, self._page_rows(row_bytes.get(layout.name, 1))
            )
            for layout in layouts
        }

    def _page_rows(self, row_bytes: int) -> int:
        return max(1, min(_PAGE_ROWS, self.page_bytes // max(1, row_bytes)))

    async def _backup_table(self, database: str, layout: TableLayout, folder: Path, page_rows: int) -> TableFacts:
        facts = TableFacts(layout.columns)
        names = ", ".join(map(identifier, layout.columns))
        await asyncio.to_thread(folder.mkdir, parents=True, mode=0o700)
        async for page in self._pages(database, layout, page_rows):
            data = await self.engine.query(
                f"SELECT {names} FROM {identifier(layout.name)} WHERE {page.where}",
                page.parameters,
                database=database,
                output_format="Native",
                settings={"max_execution_time": _STATEMENT_SECONDS},
            )
            if not data:
                continue
            name = f"{len(facts.files) + 1:05}.native.zst"
            await asyncio.to_thread(_write, folder / name, data)
            facts.files.append(name)
            facts.rows += page.rows
        return facts

    async def _pages(self, database: str, layout: TableLayout, page_rows: int) -> AsyncIterator[Page]:
        """Iterate over the pages of what is there now, oldest first."""
        if not layout.column:
            rows = await self._rows(f"SELECT count() AS n FROM {identifier(layout.name)}", {}, database)
            for page in Page("1", {}, rows[0]["n"]).split(page_rows):
                yield page
            return
        end = (await self._rows("SELECT toUnixTimestamp(now()) AS now", {}, database))[0]["now"]
        for day in await self._rows(layout.days_statement(), {"end": end}, database):
            if not layout.has_seconds:
                pages: Iterator[Page] = pages_of_day(layout, day["day"], day["n"], page_rows)
            else:
                seconds = await self._rows(layout.seconds_statement(), {"day": day["day"], "end": end}, database)
                pages = pages_of_seconds(layout, [(row["at"], row["n"]) for row in seconds], page_rows)
            for page in pages:
                yield page

    # ---- back

    async def restore(self, directory: Path, *, force: bool = False) -> None:
        """Bring back all tenants of a backup; with `force` what they have now is deleted for it.

        Raises OphionError for a tenant that has telemetry already, and for a backup that is none, is damaged or was
        made by a newer version: all of it before anything is changed but damage inside a page.
        """
        manifest = await asyncio.to_thread(read_manifest, directory, newest_schema())
        there = set(await self.tenants.names())
        filled = [tenant for tenant in manifest if tenant in there and await self._has_rows(tenant)]
        if filled and not force:
            raise OphionError(
                f"telemetry store: must have no telemetry of the tenants to be restored, got some of "
                f"{', '.join(filled)}; name a new `directory`, or give --force to delete it first"
            )
        for tenant, tables in manifest.items():
            if tenant in filled:
                await self.tenants.drop(tenant)
            await self._restore_tenant(tenant, tables, directory / tenant)

    async def _has_rows(self, tenant: str) -> bool:
        sizes = await self._rows(_SIZES, {"database": database_of(tenant)}, "")
        return any(row["rows"] for row in sizes if row["table"] not in _LEFT_OUT)

    async def _restore_tenant(self, tenant: str, tables: Mapping[str, TableFacts], folder: Path) -> None:
        database = await self.tenants.ready(tenant)
        layouts = {layout.name: layout for layout in await self._layouts(database)}
        missing = sorted(tables.keys() - layouts.keys())
        if missing:
            names = ", ".join(missing)
            raise OphionError(f"{folder}: tables {names} are unknown here; install the version that made the backup")
        # Views put rows into other tables when these are filled: such rows go before the table's own come.
        for name in sorted(tables, key=lambda name: not layouts[name].feeds_views):
            await self.engine.execute(f"TRUNCATE TABLE {identifier(name)}", database=database)
            for file in tables[name].files:
                await self._restore_page(database, name, tables[name].columns, folder / name / file)

    async def _restore_page(self, database: str, table: str, columns: Sequence[str], path: Path) -> None:
        data = await asyncio.to_thread(_read, path)
        try:
            await self.engine.insert(
                table,
                columns,
                data,
                database=database,
                input_format="Native",
                settings={"insert_deduplicate": 0, "max_execution_time": _STATEMENT_SECONDS},
            )
        except EngineError as error:
            raise OphionError(f"{path}: the engine does not take it: {error}; use another backup") from error

    # ---- damage

    async def check(self) -> list[str]:
        """Return what is damaged, a sentence each: parts that fail their checksums, and series that lost their stream.

        Reads everything, so it takes as long as reading the disk.
        """
        found: list[str] = []
        for tenant in await self.tenants.names():
            database = await self.tenants.ready(tenant)
            found += [f"telemetry store: tenant {tenant}: {problem}" async for problem in self._problems(database)]
        return found

    async def _problems(self, database: str) -> AsyncIterator[str]:
        for layout in await self._layouts(database):
            for part in await self._rows(f"CHECK TABLE {identifier(layout.name)}", {}, database):
                if not part["is_passed"]:
                    yield f"part {part['part_path']} of {layout.name} is damaged: {part['message']}"
        for row in await self._rows(_DETACHED, {"database": database}, database):
            yield f"part {row['name']} of {row['table']} was put aside as {row['reason']}"
        settled = {"seconds": _SETTLED_SECONDS}
        streams = (await self._rows(_WITHOUT_SERIES, settled, database))[0]["streams"]
        if streams:
            yield f"{streams} streams have no series, so PromQL does not know them; restart the server"
        series = (await self._rows(_WITHOUT_STREAM, {}, database))[0]["series"]
        if series:
            yield f"{series} series have lost their stream, so their points cannot be exported"

    # ---- statements

    async def _layouts(self, database: str) -> list[TableLayout]:
        rows = await self._rows(_LAYOUTS, {"database": database}, database)
        return [TableLayout.of(row) for row in rows]

    async def _rows(self, sql: str, parameters: Mapping[str, Any], database: str) -> list[dict[str, Any]]:
        lines = await self.engine.query(
            sql,
            parameters,
            database=database,
            output_format="JSONEachRow",
            settings={"output_format_json_quote_64bit_integers": 0, "max_execution_time": _STATEMENT_SECONDS},
        )
        return [orjson.loads(line) for line in lines.splitlines()]


def newest_schema() -> int:
    """Return the version of the tables that this program makes."""
    return max(migration.version for migration in migrations())


def _write(path: Path, data: bytes) -> None:
    path.write_bytes(zstandard.ZstdCompressor(level=3, write_checksum=True).compress(data))


def _read(path: Path) -> bytes:
    try:
        return zstandard.ZstdDecompressor().decompress(path.read_bytes())
    except (OSError, zstandard.ZstdError) as error:
        raise OphionError(f"{path}: cannot be read: {error}; use another backup") from error
