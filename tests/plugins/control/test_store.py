"""Sessions, migrations and leadership of the control store, on SQLite and on PostgreSQL."""

import asyncio
import gc
import itertools
import os
import random
import stat
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import text
from sqlalchemy.exc import IntegrityError

from ophion_agent.clock import Clock
from ophion_agent.plugin import OphionError
from ophion_agent.server import Overloaded
from ophion_agent.testing import check_component, make_component
from ophion_control.store import ControlStoreExtension

from .conftest import OpenStore, write_script

INSERT = text("INSERT INTO notes_note (text) VALUES (:text)")


async def notes(store: ControlStoreExtension) -> list[str]:
    async with store.session() as session:
        return list((await session.execute(text("SELECT text FROM notes_note ORDER BY id"))).scalars())


async def test_keeps_the_contract(config: dict[str, Any]) -> None:
    await check_component(ControlStoreExtension, config)


async def test_commits_at_the_end_of_the_block(store: ControlStoreExtension, scripts: Path) -> None:
    await store.migrate("notes", scripts)

    async with store.session() as session:
        await session.execute(INSERT, {"text": "a"})

    assert await notes(store) == ["a"]


async def test_rolls_back_when_the_block_raises(store: ControlStoreExtension, scripts: Path) -> None:
    await store.migrate("notes", scripts)

    async def fail() -> None:
        async with store.session() as session:
            await session.execute(INSERT, {"text": "a"})
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await fail()

    assert await notes(store) == []


async def test_a_block_inside_a_block_shares_its_fate(store: ControlStoreExtension, scripts: Path) -> None:
    await store.migrate("notes", scripts)

    async def fail() -> None:
        async with store.session():
            async with store.session() as inner:
                await inner.execute(INSERT, {"text": "inner"})
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await fail()

    assert await notes(store) == []


async def test_a_failed_inner_block_leaves_the_outer_one_usable(store: ControlStoreExtension, scripts: Path) -> None:
    await store.migrate("notes", scripts)

    async with store.session() as outer:
        await outer.execute(INSERT, {"text": "a"})
        with pytest.raises(IntegrityError):
            async with store.session() as inner:
                await inner.execute(INSERT, {"text": "a"})
        await outer.execute(INSERT, {"text": "b"})

    assert await notes(store) == ["a", "b"]


async def test_many_tasks_write_at_once(store: ControlStoreExtension, scripts: Path) -> None:
    await store.migrate("notes", scripts)

    async def write(number: int) -> None:
        async with store.session() as session:
            count = (await session.execute(text("SELECT count(*) FROM notes_note"))).scalar_one()
            await session.execute(INSERT, {"text": f"{number} after {count}"})

    await asyncio.gather(*(write(number) for number in range(40)))

    assert len(await notes(store)) == 40


async def test_two_processes_write_at_once(config: dict[str, Any], open_store: OpenStore, scripts: Path) -> None:
    stores = [await open_store(config), await open_store(config)]
    await stores[0].migrate("notes", scripts)

    async def write(store: ControlStoreExtension, number: int) -> None:
        async with store.session() as session:
            await session.execute(text("SELECT count(*) FROM notes_note"))
            await session.execute(INSERT, {"text": str(number)})

    await asyncio.gather(*(write(stores[number % 2], number) for number in range(40)))

    assert len(await notes(stores[1])) == 40


async def test_works_on_after_a_cancelled_block(store: ControlStoreExtension, scripts: Path) -> None:
    await store.migrate("notes", scripts)
    inside = asyncio.Event()

    async def write() -> None:
        async with store.session() as session:
            await session.execute(INSERT, {"text": "never"})
            inside.set()
            await asyncio.sleep(60)

    for _ in range(12):
        inside.clear()
        task = asyncio.create_task(write())
        await inside.wait()
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)

    assert await notes(store) == []


@pytest.mark.parametrize("times", [1, 2])
async def test_works_on_after_statements_cancelled_at_any_moment(
    config: dict[str, Any], open_store: OpenStore, scripts: Path, times: int
) -> None:
    store = await open_store({**config, "lock_timeout": "2s", "pool_timeout": "4s"})
    await store.migrate("notes", scripts)
    moments, numbers = random.Random(7), itertools.count()

    async def write() -> None:
        async with store.session() as session:
            await session.execute(text("SELECT text FROM notes_note"))
            await session.execute(INSERT, {"text": str(next(numbers))})

    async def write_and_give_up() -> None:
        task = asyncio.create_task(write())
        for _ in range(times):
            await asyncio.sleep(moments.random() * 0.004)
            task.cancel()
        await asyncio.wait([task])
        assert task.cancelled() or task.exception() is None

    # Nothing may depend on what a collection happens to free.
    gc.disable()
    try:
        for _ in range(100):
            await asyncio.gather(*(write_and_give_up() for _ in range(4)))
            await notes(store)
    finally:
        gc.enable()


async def test_a_lost_connection_is_replaced(store: ControlStoreExtension) -> None:
    if store._database is None or store._database.is_sqlite:
        async with store.session() as session:
            assert (await session.execute(text("SELECT 1"))).scalar_one() == 1
        return
    with pytest.raises(Overloaded, match="try again later"):
        async with store.session() as session:
            await session.execute(text("SELECT pg_terminate_backend(pg_backend_pid())"))

    async with store.session() as session:
        assert (await session.execute(text("SELECT 1"))).scalar_one() == 1


async def test_tells_callers_to_come_back_when_the_database_is_busy(
    config: dict[str, Any], open_store: OpenStore, scripts: Path
) -> None:
    store = await open_store({**config, "pool_size": 1, "pool_timeout": "200ms"})
    holding = asyncio.Event()

    async def hold() -> None:
        async with store.session():
            holding.set()
            await asyncio.sleep(60)

    task = asyncio.create_task(hold())
    await holding.wait()
    with pytest.raises(Overloaded, match="control store: does not answer"):
        async with store.session():
            pass
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


async def test_refuses_work_before_the_start(tmp_path: Path) -> None:
    store = make_component(ControlStoreExtension, {"directory": str(tmp_path)})

    with pytest.raises(OphionError, match="is not open"):
        async with store.session():
            pass
    with pytest.raises(OphionError, match="is not open"):
        await store.migrate("notes", tmp_path)


async def test_several_servers_migrate_at_once(config: dict[str, Any], open_store: OpenStore, scripts: Path) -> None:
    stores = [await open_store(config) for _ in range(4)]

    await asyncio.gather(*(store.migrate("notes", scripts) for store in stores))

    assert await notes(stores[0]) == []
    assert await stores[0].check() == []


async def test_a_later_version_adds_to_the_tables(store: ControlStoreExtension, scripts: Path) -> None:
    await store.migrate("notes", scripts)
    async with store.session() as session:
        await session.execute(INSERT, {"text": "old"})
    write_script(scripts, "0002", "0001", 'op.add_column("notes_note", sa.Column("colour", sa.String(10)))')

    await store.migrate("notes", scripts)

    async with store.session() as session:
        assert (await session.execute(text("SELECT text, colour FROM notes_note"))).all() == [("old", None)]


async def test_refuses_tables_of_a_newer_version(store: ControlStoreExtension, scripts: Path) -> None:
    write_script(scripts, "0002", "0001", 'op.add_column("notes_note", sa.Column("colour", sa.String(10)))')
    await store.migrate("notes", scripts)
    (scripts / "versions" / "0002.py").unlink()

    with pytest.raises(OphionError, match=r"tables of notes must be known to this version.*0002.*newer version"):
        await store.migrate("notes", scripts)


async def test_a_failed_migration_leaves_nothing_behind(store: ControlStoreExtension, scripts: Path) -> None:
    write_script(scripts, "0002", "0001", 'op.execute("INSERT INTO nowhere VALUES (1)")')

    with pytest.raises(OphionError, match=r"control store: .*nowhere"):
        await store.migrate("notes", scripts)

    (scripts / "versions" / "0002.py").unlink()
    await store.migrate("notes", scripts)
    assert await notes(store) == []


async def test_refuses_tables_outside_the_family(store: ControlStoreExtension, tmp_path: Path) -> None:
    write_script(tmp_path / "p" / "migrations", "0001", None, 'op.create_table("users", sa.Column("id", sa.Integer))')

    with pytest.raises(OphionError, match=r"tables of notes must be named notes_\.\.\., got users; rename"):
        await store.migrate("notes", tmp_path / "p" / "migrations")


async def test_refuses_a_family_that_is_no_prefix(store: ControlStoreExtension, scripts: Path) -> None:
    with pytest.raises(OphionError, match="family must be 1-30 of a-z, 0-9 and _, got 'No;tes'; rename it"):
        await store.migrate("No;tes", scripts)


async def test_one_server_leads(config: dict[str, Any], open_store: OpenStore) -> None:
    first, second = await open_store(config), await open_store(config)

    async with first.leadership("rules") as leads:
        assert leads
        async with second.leadership("rules") as also:
            assert not also
        async with second.leadership("other") as other:
            assert other
    async with second.leadership("rules") as later:
        assert later


async def test_names_the_database_that_does_not_answer(tmp_path: Path) -> None:
    config = {"url": "postgres://ada:hidden@127.0.0.1:1/ophion", "start_timeout": "300ms"}
    store = make_component(ControlStoreExtension, config, clock=Clock())

    with pytest.raises(
        OphionError, match=r"must reach .*ada:\*\*\*@127.0.0.1:1/ophion within 0.3 s, got .*; check"
    ) as caught:
        await store.start()

    await store.stop()
    assert "hidden" not in str(caught.value)


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("mysql://host/db", "url must be sqlite or postgresql, got mysql; use one of these"),
        ("not a url: secret", "url must be a database URL; write postgresql://"),
        ("sqlite://", "url must name a file, got SQLite in memory; write sqlite:///path/control.db"),
    ],
)
async def test_refuses_other_databases(url: str, message: str) -> None:
    store = make_component(ControlStoreExtension, {"url": url})

    with pytest.raises(OphionError, match=message) as caught:
        await store.start()

    assert "secret" not in str(caught.value)


async def test_takes_postgresql_in_parts(postgres: Any, open_store: OpenStore) -> None:
    from sqlalchemy import make_url

    url = make_url(postgres.new_database())
    parts = {"host": url.host, "port": str(url.port), "database": url.database, "user": url.username}

    store = await open_store({"postgres": {**parts, "password": url.password, "ssl_mode": "disable"}})

    async with store.session() as session:
        assert (await session.execute(text("SELECT current_database()"))).scalar_one() == url.database


async def test_understands_sslmode_in_the_url(postgres: Any, open_store: OpenStore) -> None:
    store = await open_store({"url": postgres.new_database() + "?sslmode=disable"})

    async with store.session() as session:
        assert (await session.execute(text("SHOW application_name"))).scalar_one() == "ophion"


def test_an_empty_host_leaves_the_store_on_sqlite(tmp_path: Path) -> None:
    from ophion_control.config import ControlStoreConfig
    from ophion_control.database import Database

    config = ControlStoreConfig.model_validate({"url": "", "postgres": {"host": ""}, "directory": str(tmp_path)})

    assert Database(config).file == tmp_path / "control.db"


def test_refuses_url_and_parts_at_once() -> None:
    from ophion_control.config import ControlStoreConfig

    with pytest.raises(ValueError, match="must have `url` or `postgres`, got both; remove one"):
        ControlStoreConfig.model_validate({"url": "sqlite:///x.db", "postgres": {"host": "db"}})


async def test_only_the_owner_can_read_the_file(tmp_path: Path, open_store: OpenStore) -> None:
    store = await open_store({"directory": str(tmp_path / "new")})

    files = [tmp_path / "new" / name for name in ("control.db", "control.db-wal", "control.db-shm")]
    assert [stat.S_IMODE(file.stat().st_mode) for file in files] == [0o600] * 3
    os.chmod(files[0], 0o644)
    assert await store.check() == [f"{files[0]}: mode must be 0600, got 0644"]


async def test_says_which_folder_it_cannot_write(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    store = make_component(ControlStoreExtension, {"directory": str(tmp_path / "file")})

    with pytest.raises(OphionError, match=r"must be able to write .*control.db, got .*; set `directory`"):
        await store.start()


async def test_foreign_keys_hold(store: ControlStoreExtension, tmp_path: Path) -> None:
    body = """op.create_table("f_a", sa.Column("id", sa.Integer, primary_key=True))
op.create_table("f_b", sa.Column("a", sa.Integer, sa.ForeignKey("f_a.id")))"""
    write_script(tmp_path / "p" / "migrations", "0001", None, body)
    await store.migrate("f", tmp_path / "p" / "migrations")

    with pytest.raises(IntegrityError):
        async with store.session() as session:
            await session.execute(text("INSERT INTO f_b VALUES (7)"))
