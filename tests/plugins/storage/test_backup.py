"""Backups of the telemetry store, from one real embedded engine into another."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import zstandard

from clickhouse_server import clickhouse_server
from ophion_agent.plugin import OphionError
from ophion_storage.backup import TelemetryBackup, newest_schema
from ophion_storage.backup_format import read_manifest
from ophion_storage.backup_pages import TableLayout, pages_of_day, pages_of_seconds
from ophion_storage.store import TelemetryStore
from telemetry_sample import logs_request, metrics_request, traces_request
from telemetry_store import ingest, running_store

TABLES = ("spans", "logs", "samples", "histograms", "exemplars", "streams", "trace_index", "series", "attribute_values")


def backup_of(store: TelemetryStore, **options: Any) -> TelemetryBackup:
    assert store._tenants is not None
    return TelemetryBackup(store.engine, store._tenants, **options)


async def content(store: TelemetryStore, table: str, tenant: str = "default") -> Any:
    """Return a sum that changes with any value of any row, and the number of rows."""
    final = "FINAL" if table in ("series", "attribute_values") else ""
    sql = f"SELECT count() AS n, groupBitXor(sipHash64(toString(tuple(*)))) AS sum FROM {table} {final}"
    return (await store.query(sql, tenant=tenant)).rows()


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[TelemetryStore]:
    async with running_store(tmp_path / "first") as running:
        await ingest(running, "traces", traces_request().SerializeToString())
        await ingest(running, "logs", logs_request().SerializeToString())
        await ingest(running, "metrics", metrics_request().SerializeToString())
        yield running


async def made(store: TelemetryStore, directory: Path, **options: Any) -> Path:
    await asyncio.to_thread(directory.mkdir)
    await backup_of(store, **options).backup(directory)
    return directory


async def test_restores_everything_of_every_tenant_into_a_new_directory(store: TelemetryStore, tmp_path: Path) -> None:
    await ingest(store, "logs", logs_request().SerializeToString(), tenant="acme")
    backup = await made(store, tmp_path / "backup", page_bytes=2000)
    before = {table: await content(store, table) for table in TABLES}
    acme = await content(store, "logs", "acme")
    await store.stop()

    async with running_store(tmp_path / "second") as second:
        await backup_of(second).restore(backup)
        after = {table: await content(second, table) for table in TABLES}
        request = await second.read("traces", "1", tenant="default", limit=1000)
        restored_acme = await content(second, "logs", "acme")
        await ingest(second, "metrics", metrics_request().SerializeToString())
        samples = (await content(second, "samples"))[0][0]
        problems = await backup_of(second).check()

    assert after == before
    assert all(rows[0][0] for rows in before.values())
    assert restored_acme == acme
    assert sum(len(scope.spans) for group in request.resource_spans for scope in group.scope_spans) == 160
    assert len(list((backup / "default" / "spans").iterdir())) > 5
    assert samples == 2 * 204, "a restored store takes more telemetry"
    assert problems == []


async def test_goes_from_the_embedded_engine_into_a_server_and_back_out(store: TelemetryStore, tmp_path: Path) -> None:
    backup = await made(store, tmp_path / "backup", page_bytes=2000)
    before = {table: await content(store, table) for table in TABLES}
    await store.stop()

    async with clickhouse_server(tmp_path / "server") as (url, user, password):
        remote = {"urls": [url], "user": user, "password": password}
        async with running_store(tmp_path / "remote", engine="clickhouse", clickhouse=remote) as second:
            await backup_of(second).restore(backup)
            after = {table: await content(second, table) for table in TABLES}
            again = await made(second, tmp_path / "again", page_bytes=2000)
            problems = await backup_of(second).check()

    assert after == before
    assert problems == []
    assert read_manifest(again, newest_schema()).keys() == {"default"}
    rows = {name: facts.rows for name, facts in read_manifest(again, newest_schema())["default"].items()}
    assert (rows["spans"], rows["logs"]) == (160, 206)


async def test_is_whole_while_telemetry_comes_in(store: TelemetryStore, tmp_path: Path) -> None:
    payload = traces_request().SerializeToString()
    stop = asyncio.Event()

    async def keep_sending() -> None:
        while not stop.is_set():
            await ingest(store, "traces", payload)

    before = (await content(store, "spans"))[0][0]
    sending = asyncio.create_task(keep_sending())
    try:
        backup = await made(store, tmp_path / "backup")
    finally:
        stop.set()
        await sending
    total = (await content(store, "spans"))[0][0]

    await backup_of(store).restore(backup, force=True)
    spans = (await content(store, "spans"))[0][0]
    sql = "SELECT count() AS n FROM spans WHERE resource_id NOT IN (SELECT resource_id FROM resources)"
    orphans = (await store.query(sql, tenant="default"))["n"]

    assert before <= spans <= total
    assert spans % 160 == 0, "a request is in the backup as a whole or not at all"
    assert orphans == [0]


async def test_refuses_to_restore_over_telemetry_and_what_is_damaged(store: TelemetryStore, tmp_path: Path) -> None:
    backup = await made(store, tmp_path / "backup")
    await ingest(store, "logs", logs_request().SerializeToString())

    with pytest.raises(
        OphionError, match="must have no telemetry of the tenants to be restored, got some of default; "
    ):
        await backup_of(store).restore(backup)
    assert (await content(store, "logs"))[0][0] == 412

    change_manifest(tenants={"default": {"nothing": {"columns": [], "rows": 0, "files": []}}})(backup)
    with pytest.raises(OphionError, match="tables nothing are unknown here; install the version that made the backup"):
        await backup_of(store).restore(backup, force=True)

    facts = {"columns": ["time"], "rows": 1, "files": ["00001.native.zst"]}
    change_manifest(tenants={"default": {"logs": facts}})(backup)
    page = backup / "default" / "logs" / "00001.native.zst"
    whole = page.read_bytes()
    page.write_bytes(whole[:-9] + bytes([whole[-9] ^ 0xFF]) + whole[-8:])
    with pytest.raises(OphionError, match=r"default/logs/00001.native.zst: cannot be read: .*; use another backup"):
        await backup_of(store).restore(backup, force=True)

    page.write_bytes(zstandard.compress(b"\x01\x01no block"))
    with pytest.raises(OphionError, match=r"the engine does not take it: .*; use another backup"):
        await backup_of(store).restore(backup, force=True)


def damage(part: Path) -> None:
    path = next(path for path in [*part.glob("data.packed"), *part.glob("data.bin"), *part.glob("*.bin")])
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 0xFF
    path.write_bytes(content)


async def test_check_finds_damage_on_disk_and_series_without_a_stream(store: TelemetryStore) -> None:
    assert await backup_of(store).check() == []
    day = datetime.now(UTC).date()
    await store.insert(
        "series",
        json.dumps({"day": str(day), "series_id": 1, "metric_name": "gone", "stream_id": 2}).encode(),
        tenant="default",
        input_format="JSONEachRow",
    )
    sql = "SELECT path FROM system.parts WHERE active AND database = currentDatabase() AND table = 'spans'"
    part = Path((await store.query(sql, tenant="default"))["path"][0])
    damage(part)

    found = await backup_of(store).check()

    assert len(found) == 2
    assert found[0].startswith(f"telemetry store: tenant default: part {part.name} of spans is damaged: ")
    assert found[1].endswith("1 series have lost their stream, so their points cannot be exported")


# ---- the manifest


Change = Callable[[Path], None]


def a_backup(directory: Path) -> Path:
    (directory / "acme" / "logs").mkdir(parents=True)
    (directory / "acme" / "logs" / "00001.native.zst").write_bytes(b"")
    facts = {"columns": ["time"], "rows": 1, "files": ["00001.native.zst"]}
    document = {"format": "ophion-telemetry", "version": 1, "schema_version": 3, "tenants": {"acme": {"logs": facts}}}
    (directory / "telemetry.json").write_text(json.dumps(document))
    return directory


def remove(name: str) -> Change:
    return lambda backup: (backup / name).unlink()


def change_manifest(**values: Any) -> Change:
    def change(backup: Path) -> None:
        path = backup / "telemetry.json"
        path.write_text(json.dumps(json.loads(path.read_text()) | values))

    return change


def test_manifest_tells_tenants_tables_and_files(tmp_path: Path) -> None:
    found = read_manifest(a_backup(tmp_path), 4)

    assert found["acme"]["logs"].files == ["00001.native.zst"]
    assert newest_schema() >= 4


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (remove("acme/logs/00001.native.zst"), r"logs/00001.native.zst: is missing; use a backup that is whole"),
        (remove("telemetry.json"), "cannot be read: No such file or directory; name the folder of a backup"),
        (change_manifest(version=2), "got format 2 and schema 3; install the version of ophion-agent that made it"),
        (change_manifest(schema_version=5), "must be of format 1 and schema 4 or older, got format 1 and schema 5"),
        (change_manifest(format="tar"), r"must be a backup of a telemetry store, got ValueError.*; use another"),
        (change_manifest(tenants={"../x": {}}), "must be a backup of a telemetry store"),
        (
            change_manifest(tenants={"acme": {"logs": {"columns": [], "rows": 0, "files": ["../../x"]}}}),
            "must be a backup of a telemetry store",
        ),
        (change_manifest(tenants={"acme": {"a/b": {}}}), "must be a backup of a telemetry store"),
    ],
)
def test_refuses_what_is_no_whole_backup(tmp_path: Path, change: Change, message: str) -> None:
    backup = a_backup(tmp_path)
    change(backup)

    with pytest.raises(OphionError, match=message):
        read_manifest(backup, 4)


# ---- pages


def test_pages_hold_neighbouring_seconds_and_split_a_full_one() -> None:
    layout = TableLayout("spans", ("a",), "received", True, False)

    pages = list(pages_of_seconds(layout, [(1, 4), (2, 5), (3, 25), (9, 1)], 10))

    assert [page.parameters for page in pages] == [
        {"first": 1, "last": 2},
        *({"first": 3, "last": 3, "count": 3, "number": number} for number in range(3)),
        {"first": 9, "last": 9},
    ]
    assert [page.rows for page in pages] == [9, 9, 8, 8, 1]
    assert list(pages_of_seconds(layout, [], 10)) == []


def test_a_table_of_days_is_split_by_a_hash() -> None:
    layout = TableLayout.of({"name": "series", "columns": ["a"], "partition_key": "day", "feeds_views": 0})

    pages = list(pages_of_day(layout, "2026-01-01", 21, 10))

    assert (layout.column, layout.has_seconds) == ("day", False)
    assert [page.parameters["number"] for page in pages] == [0, 1, 2]
    assert next(pages_of_day(layout, "2026-01-01", 5, 10)).where == "`day` = {day:Date}"
