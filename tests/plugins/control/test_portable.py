"""Backups of the control store: from either database into either, and what a check finds."""

import json
import os
import sqlite3
import stat
import sys
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import text

from ophion_agent.plugin import OphionError
from ophion_control.store import ControlStoreExtension

from .conftest import OpenStore, write_script

EVERYTHING = """op.create_table("things_parent", sa.Column("name", sa.String(9), primary_key=True))
op.create_table("things_a", # before its parent by name
    sa.Column("id", sa.BigInteger().with_variant(sa.Integer, "sqlite"), primary_key=True),
    sa.Column("parent", sa.String(9), sa.ForeignKey("things_parent.name")),
    sa.Column("blob", sa.LargeBinary), sa.Column("flag", sa.Boolean), sa.Column("real", sa.Float),
    sa.Column("exact", sa.Numeric(20, 5)), sa.Column("json", sa.JSON),
    sa.Column("at", sa.DateTime(timezone=True)), sa.Column("naive", sa.DateTime()))"""
ROW = """INSERT INTO things_a (parent, blob, flag, real, exact, json, at, naive)
    VALUES (:parent, :blob, :flag, 0.1, 12.50000, '{"$bytes": [1, null]}', :at, :naive)"""


def other_kind(config: dict[str, Any], request: pytest.FixtureRequest, tmp_path: Path) -> dict[str, Any]:
    """Return an empty store on the other kind of database."""
    new = {key: value for key, value in config.items() if key != "url"} | {"directory": str(tmp_path / "other")}
    return new if "url" in config else {**new, "url": request.getfixturevalue("postgres").new_database()}


@pytest.fixture
def things(tmp_path: Path) -> Path:
    folder = tmp_path / "ophion_things" / "migrations"
    write_script(folder, "0001", None, EVERYTHING)
    (folder.parent / "__init__.py").write_text("")
    return folder


def make(folder: Path) -> None:
    folder.mkdir()


async def fill(store: ControlStoreExtension, things: Path) -> None:
    from datetime import UTC, datetime

    await store.migrate("things", things)
    at = datetime(2026, 1, 2, 3, 4, 5, 678901, UTC)
    is_sqlite = store._database is not None and store._database.is_sqlite
    values = {"parent": "p", "blob": bytes(range(256)), "flag": True, "at": at, "naive": at.replace(tzinfo=None)}
    if is_sqlite:
        values |= {"at": "2026-01-02 03:04:05.678901", "naive": "2026-01-02 03:04:05.678901"}
    async with store.session() as session:
        await session.execute(text("INSERT INTO things_parent VALUES ('p')"))
        await session.execute(text(ROW), values)
        await session.execute(text("INSERT INTO things_a (parent) VALUES (NULL)"))


async def backed_up(store: ControlStoreExtension, folder: Path) -> Path:
    make(folder)
    await store.backup(folder)
    return folder


async def test_moves_between_the_kinds_of_database(
    config: dict[str, Any], open_store: OpenStore, things: Path, tmp_path: Path, request: pytest.FixtureRequest,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    monkeypatch.setattr(sys, "path", [str(things.parent.parent), *sys.path])
    store = await open_store(config)
    await fill(store, things)
    first = await backed_up(store, tmp_path / "first")
    other = await open_store(other_kind(config, request, tmp_path))

    await other.restore(first)

    second = await backed_up(other, tmp_path / "second")
    assert (first / "control.ndjson").read_text() == (second / "control.ndjson").read_text()
    rows = [json.loads(line)["row"] for line in (first / "control.ndjson").read_text().splitlines()[1:]]
    assert rows[1]["json"] == {"$json": {"$bytes": [1, None]}}
    assert rows[1]["at"] == {"$time": "2026-01-02T03:04:05.678901+00:00"}
    assert await other.check() == []


async def test_new_rows_get_numbers_after_the_restored_ones(
    config: dict[str, Any], open_store: OpenStore, things: Path, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    store = await open_store(config)
    await fill(store, things)
    folder = await backed_up(store, tmp_path / "backup")
    other = await open_store(other_kind(config, request, tmp_path))
    other._families.update(store._families)
    await other.restore(folder)

    async with other.session() as session:
        await session.execute(text("INSERT INTO things_a (parent) VALUES ('p')"))
        ids = list((await session.execute(text("SELECT id FROM things_a ORDER BY id"))).scalars())

    assert ids == [1, 2, 3]


async def test_a_backup_of_an_older_version_is_brought_up_to_date(
    config: dict[str, Any], open_store: OpenStore, scripts: Path, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    store = await open_store(config)
    await store.migrate("notes", scripts)
    async with store.session() as session:
        await session.execute(text("INSERT INTO notes_note (text) VALUES ('old')"))
    folder = await backed_up(store, tmp_path / "backup")
    write_script(scripts, "0002", "0001", 'op.add_column("notes_note", sa.Column("n", sa.Integer, server_default="7"))')
    other = await open_store(other_kind(config, request, tmp_path))
    other._families.update(store._families)

    await other.restore(folder)

    async with other.session() as session:
        assert (await session.execute(text("SELECT text, n FROM notes_note"))).all() == [("old", 7)]


async def test_writes_go_on_during_a_backup(store: ControlStoreExtension, scripts: Path, tmp_path: Path) -> None:
    await store.migrate("notes", scripts)
    async with store.session() as session:
        await session.execute(text("INSERT INTO notes_note (text) VALUES ('before')"))

    async with store.session() as session:
        await session.execute(text("INSERT INTO notes_note (text) VALUES ('not yet')"))
        (tmp_path / "backup").mkdir()
        from ophion_control.portable import dump

        # What `backup` does first: it must not wait for the transaction that is open here.
        await store._in_thread(
            lambda connection: connection.run_sync(dump, tmp_path / "backup" / "control.ndjson"), reading=True
        )

    written = (tmp_path / "backup" / "control.ndjson").read_text()
    assert "before" in written
    assert "not yet" not in written


async def test_sqlite_also_gives_its_file(tmp_path: Path, open_store: OpenStore, scripts: Path) -> None:
    store = await open_store({"directory": str(tmp_path / "s")})
    await store.migrate("notes", scripts)
    async with store.session() as session:
        await session.execute(text("INSERT INTO notes_note (text) VALUES ('a')"))

    folder = await backed_up(store, tmp_path / "backup")

    connection = sqlite3.connect(folder / "control.db")
    assert connection.execute("SELECT text FROM notes_note").fetchall() == [("a",)]
    connection.close()
    modes = [stat.S_IMODE((folder / name).stat().st_mode) for name in ("control.db", "control.ndjson")]
    assert modes == [0o600, 0o600]


async def test_refuses_to_restore_over_tables(store: ControlStoreExtension, scripts: Path, tmp_path: Path) -> None:
    await store.migrate("notes", scripts)
    folder = await backed_up(store, tmp_path / "backup")

    with pytest.raises(OphionError, match="must be empty to be restored into, got tables of notes; name a new"):
        await store.restore(folder)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", "must be a backup of a control store"),
        ("[]\n", "must be a backup of a control store"),
        ('{"format": "ophion-control", "version": 9, "families": {}}\n', "must be a backup .* version 9"),
        (
            '{"format": "ophion-control", "version": 1, "families": {"x": {"package": "../os", "revision": "1"}}}\n',
            "package '../os' of the tables of x is not installed; install it first",
        ),
        (
            '{"format": "ophion-control", "version": 1, "families": {"x": {"package": "json", "revision": "1"}}}\n',
            "package 'json' of the tables of x is not installed",
        ),
        ('{"format": "ophion-control", "version": 1, "families": {}}\nnonsense\n', ":2: must be a row of a backup"),
        (
            '{"format": "ophion-control", "version": 1, "families": {}}\n{"table": "t", "row": {"a": {"$x": 1}}}\n',
            ":2: must be a row of a backup",
        ),
        (
            '{"format": "ophion-control", "version": 1, "families": {}}\n{"table": "users", "row": {}}\n',
            "table users of the backup is unknown here",
        ),
        (None, "must be able to read .*control.ndjson, got No such file"),
    ],
)
async def test_refuses_what_is_no_backup_and_changes_nothing(
    store: ControlStoreExtension, tmp_path: Path, content: str | None, message: str
) -> None:
    if content is not None:
        (tmp_path / "control.ndjson").write_text(content)

    with pytest.raises(OphionError, match=message):
        await store.restore(tmp_path)

    assert await store.check() == []


async def test_a_restore_that_fails_midway_leaves_nothing(
    config: dict[str, Any], open_store: OpenStore, scripts: Path, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    store = await open_store(config)
    await store.migrate("notes", scripts)
    async with store.session() as session:
        await session.execute(text("INSERT INTO notes_note (text) VALUES ('a')"))
    folder = await backed_up(store, tmp_path / "backup")
    with (folder / "control.ndjson").open("a") as file:
        file.write("torn")
    other = await open_store(other_kind(config, request, tmp_path))
    other._families.update(store._families)

    with pytest.raises(OphionError, match=":3: must be a row"):
        await other.restore(folder)

    await other.migrate("notes", scripts)
    async with other.session() as session:
        assert (await session.execute(text("SELECT count(*) FROM notes_note"))).scalar_one() == 0


async def test_check_finds_tables_that_are_not_up_to_date(store: ControlStoreExtension, scripts: Path) -> None:
    await store.migrate("notes", scripts)
    assert await store.check() == []
    write_script(scripts, "0002", "0001", 'op.add_column("notes_note", sa.Column("n", sa.Integer))')

    assert await store.check() == ["control store: tables of notes must be at revision 0002, got 0001"]


async def test_check_finds_tables_of_a_plugin_that_is_gone(store: ControlStoreExtension, scripts: Path) -> None:
    await store.migrate("notes", scripts)
    store._families.clear()

    [problem] = await store.check()

    assert "package 'ophion_notes' of the tables of notes is not installed" in problem


async def test_check_finds_damage(tmp_path: Path, open_store: OpenStore, scripts: Path) -> None:
    store = await open_store({"directory": str(tmp_path / "s")})
    await store.migrate("notes", scripts)
    async with store.session() as session:
        await session.execute(
            text("INSERT INTO notes_note (text) SELECT hex(randomblob(500)) FROM json_each('[1,2,3,4,5,6,7,8,9]')")
        )
    await store.stop()
    file = tmp_path / "s" / "control.db"
    with file.open("r+b") as raw:
        raw.seek(-4000, os.SEEK_END)
        raw.write(bytes(3000))
    again = await open_store({"directory": str(tmp_path / "s")})

    assert any("control store: " in problem for problem in await again.check())
