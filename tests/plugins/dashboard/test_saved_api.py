"""Saved dashboards over HTTP: who may do what, versions, conflicts, YAML, snapshots, stars."""

import asyncio
import io
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from sqlalchemy import text

from ophion_agent.testing import make_component
from ophion_control.store import ControlStoreExtension
from postgres_server import running_postgres
from tests.plugins.dashboard.dashboards import Dashboards, dashboards, sample


@pytest.fixture
async def server(tmp_path: Path) -> AsyncIterator[Dashboards]:
    async with dashboards(tmp_path) as running:
        yield running


async def _made(server: Dashboards, uid: str = "hosts", key: str = "ada", **changes: Any) -> dict[str, Any]:
    body = {"uid": uid, "dashboard": sample(**changes), "message": "first"}
    made: dict[str, Any] = await server.ask("POST", "/api/dashboards", body, key=key, expect=201)
    return made


async def test_what_was_saved_comes_back_whole(server: Dashboards) -> None:
    made = await _made(server)
    got = await server.ask("GET", "/api/dashboards/hosts", key="vera")
    assert {**got, "may_edit": True, "may_delete": True} == made
    assert (got["version"], got["created_by"], got["updated_by"], got["panels"]) == (1, "ada", "ada", 2)
    panel = got["dashboard"]["panels"][0]
    assert panel["queries"][0]["legend"] == "{{state}}"
    assert got["dashboard"]["time"] == {"from": "now-6h", "to": "now"}
    assert server.directory.records == [("ada", "dashboard.create", "hosts", {"title": "Hosts"})]


async def test_a_dashboard_outlives_the_server(tmp_path: Path) -> None:
    async with dashboards(tmp_path) as server:
        await _made(server)
    async with dashboards(tmp_path) as server:
        assert (await server.ask("GET", "/api/dashboards/hosts"))["title"] == "Hosts"


async def test_makes_a_uid_where_none_is_given(server: Dashboards) -> None:
    uids = {(await server.ask("POST", "/api/dashboards", {"dashboard": sample()}, expect=201))["uid"] for _ in range(3)}
    assert len(uids) == 3


async def test_viewers_read_and_change_nothing(server: Dashboards) -> None:
    await _made(server)
    changed = {"version": 1, "dashboard": sample()}
    for method, path, body in [
        ("POST", "/api/dashboards", {"dashboard": sample()}),
        ("PUT", "/api/dashboards/hosts", changed),
        ("DELETE", "/api/dashboards/hosts", None),
        ("POST", "/api/dashboards/hosts/versions/1/restore", None),
        ("POST", "/api/dashboards/import", None),
        ("POST", "/api/dashboards/snapshots", None),
    ]:
        assert "operate" in await server.refused(method, path, body, key="vera", expect=403)
    got = await server.ask("GET", "/api/dashboards/hosts", key="vera")
    assert (got["may_edit"], got["may_delete"], got["version"]) == (False, False, 1)


async def test_only_its_maker_and_admins_delete_a_dashboard(server: Dashboards) -> None:
    await _made(server)
    await _made(server, "second")
    assert (await server.ask("GET", "/api/dashboards/hosts", key="bob"))["may_delete"] is False
    assert await server.refused("DELETE", "/api/dashboards/hosts", key="bob", expect=403) == (
        "dashboard hosts: ada made it; ask them or an administrator"
    )
    await server.ask("DELETE", "/api/dashboards/hosts", key="ada", expect=204)
    await server.ask("DELETE", "/api/dashboards/second", key="root", expect=204)
    assert await server.ask("GET", "/api/dashboards") == []
    assert [record[:3] for record in server.directory.records[2:]] == [
        ("ada", "dashboard.delete", "hosts"),
        ("root", "dashboard.delete", "second"),
    ]


async def test_tenants_see_nothing_of_one_another(server: Dashboards) -> None:
    await _made(server)
    await _made(server, key="eve", title="Theirs")
    assert (await server.ask("GET", "/api/dashboards/hosts", key="eve"))["title"] == "Theirs"
    assert [one["title"] for one in await server.ask("GET", "/api/dashboards")] == ["Hosts"]
    await server.ask("DELETE", "/api/dashboards/hosts", key="eve", expect=204)
    assert (await server.ask("GET", "/api/dashboards/hosts"))["title"] == "Hosts"
    for path in ("", "/versions", "/versions/1", "/export"):
        detail = await server.refused("GET", f"/api/dashboards/hosts{path}", key="eve", expect=404)
        assert detail.startswith("dashboard hosts: there is no")


@pytest.mark.parametrize("uid", ["home", "import", "new", "snapshots", "templates"])
async def test_refuses_a_uid_that_is_a_page(server: Dashboards, uid: str) -> None:
    detail = await server.refused("POST", "/api/dashboards", {"uid": uid, "dashboard": sample()}, expect=422)
    assert f'must not be "{uid}", which has a meaning of its own; choose another uid' in detail


async def test_refuses_a_uid_that_is_taken(server: Dashboards) -> None:
    await _made(server)
    detail = await server.refused("POST", "/api/dashboards", {"uid": "hosts", "dashboard": sample()}, expect=409)
    assert detail == 'uid: "hosts" is taken; choose another one, or save a new version of that one'


async def test_refuses_to_save_over_what_somebody_else_saved(server: Dashboards) -> None:
    await _made(server)
    body = {"version": 1, "dashboard": sample("Bob's")}
    assert (await server.ask("PUT", "/api/dashboards/hosts", body, key="bob"))["version"] == 2
    conflict = await server.ask("PUT", "/api/dashboards/hosts", body, key="ada", expect=409)
    assert conflict["detail"] == (
        "dashboard hosts: must be changed from its newest version, got 1, and version 2 was saved by bob; load it again"
    )
    assert (conflict["version"], conflict["updated_by"]) == (2, "bob")
    assert await server.refused("PUT", "/api/dashboards/none", body, expect=404) == (
        "dashboard none: there is none; see the list of dashboards"
    )


async def test_of_saves_at_the_same_time_one_wins(server: Dashboards) -> None:
    await _made(server)
    bodies = [{"version": 1, "dashboard": sample(f"number {number}")} for number in range(8)]
    done = await asyncio.gather(*(server.request("PUT", "/api/dashboards/hosts", json=body) for body in bodies))
    assert sorted(answer.status for answer in done) == [200] + [409] * 7
    assert len(await server.ask("GET", "/api/dashboards/hosts/versions")) == 2


async def test_old_versions_can_be_seen_and_restored(server: Dashboards) -> None:
    await _made(server)
    body = {"version": 1, "dashboard": sample("Changed"), "message": "a better title"}
    await server.ask("PUT", "/api/dashboards/hosts", body, key="bob")
    versions = await server.ask("GET", "/api/dashboards/hosts/versions", key="vera")
    assert [(one["version"], one["message"], one["saved_by"]) for one in versions] == [
        (2, "a better title", "bob"),
        (1, "first", "ada"),
    ]
    old = await server.ask("GET", "/api/dashboards/hosts/versions/1", key="vera")
    assert old["dashboard"]["title"] == "Hosts"
    restored = await server.ask("POST", "/api/dashboards/hosts/versions/1/restore")
    assert (restored["version"], restored["title"]) == (3, "Hosts")
    assert (await server.ask("GET", "/api/dashboards/hosts/versions"))[0]["message"] == "version 1 again"
    assert await server.refused("GET", "/api/dashboards/hosts/versions/9", expect=404) == (
        "dashboard hosts: there is no version 9; see its versions"
    )


async def test_keeps_the_newest_fifty_versions(server: Dashboards) -> None:
    await _made(server)
    for version in range(1, 53):
        await server.ask("PUT", "/api/dashboards/hosts", {"version": version, "dashboard": sample(str(version))})
    kept = [one["version"] for one in await server.ask("GET", "/api/dashboards/hosts/versions")]
    assert (kept[0], kept[-1], len(kept)) == (53, 4, 50)


async def test_the_list_is_searched_by_words_tags_and_folder(server: Dashboards) -> None:
    await _made(server, "a", title="Disks of hosts", tags=["disk"])
    await _made(server, "b", title="Checkout", tags=["service", "disk"], folder="Shop")

    async def found(query: str) -> list[str]:
        return [one["uid"] for one in await server.ask("GET", f"/api/dashboards?{query}", key="vera")]

    assert await found("") == ["b", "a"]
    assert await found("search=DISK%20hosts") == ["a"]
    assert await found("search=shop") == ["b"]
    assert await found("tag=disk") == ["b", "a"]
    assert await found("tag=disk&tag=service") == ["b"]
    assert await found("folder=Infrastructure") == ["a"]
    assert await found("starred=true") == []


async def test_stars_and_the_home_are_everybody_s_own(server: Dashboards) -> None:
    await _made(server)
    for _ in range(2):
        await server.ask("PUT", "/api/dashboards/hosts/star", key="vera", expect=204)
    assert [one["starred"] for one in await server.ask("GET", "/api/dashboards?starred=true", key="vera")] == [True]
    assert await server.ask("GET", "/api/dashboards?starred=true", key="ada") == []
    await server.ask("PUT", "/api/dashboards/home", {"uid": "hosts"}, key="vera", expect=204)
    assert await server.ask("GET", "/api/dashboards/home", key="vera") == {"uid": "hosts"}
    assert await server.ask("GET", "/api/dashboards/home", key="ada") == {"uid": None}
    await server.ask("DELETE", "/api/dashboards/hosts/star", key="vera", expect=204)
    assert await server.ask("GET", "/api/dashboards?starred=true", key="vera") == []
    await server.refused("PUT", "/api/dashboards/none/star", expect=404)
    await server.refused("PUT", "/api/dashboards/home", {"uid": "none"}, expect=404)
    await server.ask("DELETE", "/api/dashboards/hosts", expect=204)
    assert await server.ask("GET", "/api/dashboards/home", key="vera") == {"uid": None}


async def test_an_exported_dashboard_can_be_imported_as_it_was(server: Dashboards) -> None:
    made = await _made(server)
    exported = await server.request("GET", "/api/dashboards/hosts/export", key="vera")
    assert exported.headers["Content-Type"] == "application/yaml"
    assert exported.headers["Content-Disposition"] == 'attachment; filename="hosts.yaml"'
    assert yaml.safe_load(exported.body)["uid"] == "hosts"
    assert "decimals" not in exported.text
    detail = await server.refused("POST", "/api/dashboards/import", data=exported.body, expect=409)
    assert detail.startswith('uid: "hosts" is taken')
    again = await server.ask("POST", "/api/dashboards/import?overwrite=true", data=exported.body, expect=201)
    assert (again["version"], again["dashboard"]) == (2, made["dashboard"])
    copy = await server.ask("POST", "/api/dashboards/import?uid=copy", data=exported.body, expect=201)
    assert (copy["uid"], copy["dashboard"]) == ("copy", made["dashboard"])


async def test_an_import_names_line_and_reason_of_every_mistake(server: Dashboards) -> None:
    text = "title: Broken\ncolour: red\npanels:\n  - id: 1\n    kind: pie\n    queries: []\n"
    answer = await server.ask("POST", "/api/dashboards/import", data=text.encode(), expect=422)
    kinds = "'timeseries', 'stat', 'table', 'heatmap', 'logs', 'traces', 'text', 'gauge' or 'bar'"
    messages = [one["message"] for one in answer["errors"]]
    assert messages[0] == f"line:5: panels[0].kind: must be {kinds}, got 'pie'"
    assert messages[1].startswith("line:2: colour: unknown option")
    assert answer["detail"] == messages[0]


@pytest.mark.parametrize(
    ("body", "status", "message"),
    [
        (b"", 422, "line: is empty; a dashboard has a title and panels"),
        (b"- 1", 422, "must be a mapping of options"),
        (b"title: [", 422, "line:"),
        (b"\xff", 400, "body: must be UTF-8; send the YAML text of a dashboard"),
        (b"title: &a [*a]", 422, "line:"),
        (b"title: x" + b" " * (512 << 10), 422, "line: must be 512 KiB at most"),
    ],
)
async def test_refuses_what_is_no_dashboard(server: Dashboards, body: bytes, status: int, message: str) -> None:
    assert message in await server.refused("POST", "/api/dashboards/import", data=body, expect=status)


async def test_refuses_dashboards_that_are_too_large(server: Dashboards) -> None:
    panels = [{"id": number, "kind": "text", "text": "x" * 20_000} for number in range(1, 41)]
    body = {"dashboard": {"title": "Large", "panels": panels}}
    detail = await server.refused("POST", "/api/dashboards", body, expect=422)
    assert detail == "dashboard: must be 512 KiB at most; spread its panels over several"


# ---- snapshots


def _snapshot(**changes: Any) -> dict[str, Any]:
    return {
        "title": "The outage",
        "dashboard": sample(),
        "start": "2026-01-31T08:00:00Z",
        "end": "2026-01-31T09:00:00Z",
        "variables": {"host": ["a", "b"]},
        "data": {"1": [{"labels": {"host_name": "a"}, "points": [[1.5, None], [2.5, 3]]}]},
        **changes,
    }


async def test_a_snapshot_holds_what_was_shown_until_it_expires(server: Dashboards) -> None:
    made = await server.ask("POST", "/api/dashboards/snapshots", _snapshot(expires_in_days=1), expect=201)
    path = f"/api/dashboards/snapshots/{made['id']}"
    shown = await server.ask("GET", path, key="vera")
    assert {name: shown[name] for name in ("data", "variables", "start", "title")} == {
        name: _snapshot()[name] for name in ("data", "variables", "start", "title")
    }
    assert shown["dashboard"]["title"] == "Hosts"
    assert [one["id"] for one in await server.ask("GET", "/api/dashboards/snapshots", key="vera")] == [made["id"]]
    await server.clock.advance(86_400)
    assert await server.refused("GET", path, expect=404) == (
        "snapshot: there is none, or it has expired; ask for a new one"
    )
    assert await server.ask("GET", "/api/dashboards/snapshots") == []


async def test_snapshots_belong_to_their_tenant_and_their_maker(server: Dashboards) -> None:
    made = await server.ask("POST", "/api/dashboards/snapshots", _snapshot(), expect=201)
    path = f"/api/dashboards/snapshots/{made['id']}"
    await server.refused("GET", path, key="eve", expect=404)
    await server.refused("DELETE", path, key="eve", expect=404)
    detail = await server.refused("DELETE", path, key="bob", expect=403)
    assert detail == f"snapshot {made['id']}: ada made it; ask them or an administrator"
    await server.ask("DELETE", path, key="root", expect=204)
    await server.refused("GET", path, expect=404)
    assert [record[1] for record in server.directory.records] == ["dashboard.snapshot", "dashboard.snapshot.delete"]


async def test_refuses_snapshots_that_are_too_large(server: Dashboards) -> None:
    body = _snapshot(data={"1": ["x" * 500_000] * 9})
    sent = {"data": io.BytesIO(json.dumps(body).encode()), "headers": {"Content-Type": "application/json"}}
    detail = await server.refused("POST", "/api/dashboards/snapshots", expect=413, **sent)
    assert detail.startswith("snapshot: must be 4 MiB at most, got 45")


async def test_what_expired_and_what_removed_tenants_left_is_deleted(server: Dashboards) -> None:
    await _made(server)
    await _made(server, key="eve")
    await server.ask("POST", "/api/dashboards/snapshots", _snapshot(expires_in_days=1), expect=201)
    server.directory.removed.append("other")
    await server.clock.advance(86_400)

    async def count(table: str) -> int:
        async with server.store.session() as session:
            return int((await session.execute(text(f"SELECT count(*) FROM {table}"))).scalar() or 0)

    async with asyncio.timeout(10):
        while await count("dashboard_snapshots") or await count("dashboard_dashboards") > 1:
            await server.clock.advance(60)
    assert [one["title"] for one in await server.ask("GET", "/api/dashboards")] == ["Hosts"]
    assert await count("dashboard_versions") == 1


# ---- templates, backups, PostgreSQL


async def test_templates_can_be_saved_as_they_are(server: Dashboards) -> None:
    templates = await server.ask("GET", "/api/dashboards/templates", key="vera")
    assert [one["name"] for one in templates] == ["agent", "container", "host", "service"]
    for one in templates:
        await server.ask("POST", "/api/dashboards", {"uid": one["name"], "dashboard": one["dashboard"]}, expect=201)


async def test_a_backup_holds_the_dashboards(tmp_path: Path) -> None:
    backup = tmp_path / "backup"
    backup.mkdir()
    async with dashboards(tmp_path / "one") as server:
        await _made(server)
        await server.ask("POST", "/api/dashboards/snapshots", _snapshot(), expect=201)
        await server.store.backup(backup)
    fresh = make_component(ControlStoreExtension, {"directory": str(tmp_path / "two" / "control")})
    await fresh.start()
    await fresh.restore(backup)
    await fresh.stop()
    async with dashboards(tmp_path / "two") as server:
        assert (await server.ask("GET", "/api/dashboards/hosts"))["dashboard"]["refresh"] == "30s"
        assert len(await server.ask("GET", "/api/dashboards/hosts/versions")) == 1
        assert len(await server.ask("GET", "/api/dashboards/snapshots")) == 1


async def test_works_on_postgresql(tmp_path: Path) -> None:
    with running_postgres() as postgres, postgres.database() as url:
        async with dashboards(tmp_path, database={"directory": str(tmp_path), "url": url}) as server:
            await _made(server)
            body = {"version": 1, "dashboard": sample("Changed")}
            assert (await server.ask("PUT", "/api/dashboards/hosts", body))["version"] == 2
            await server.refused("PUT", "/api/dashboards/hosts", body, expect=409)
            await server.refused("POST", "/api/dashboards", {"uid": "hosts", "dashboard": sample()}, expect=409)
            await server.ask("PUT", "/api/dashboards/hosts/star", expect=204)
            await server.ask("POST", "/api/dashboards/snapshots", _snapshot(), expect=201)
            assert len(await server.ask("GET", "/api/dashboards?starred=true")) == 1
            await server.ask("DELETE", "/api/dashboards/hosts", expect=204)
