"""Tenants and the audit log."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from pydantic import ValidationError

from ophion_agent.server import DEFAULT_TENANT, BadRequest, Conflict, Forbidden, NotFound, Principal, Unauthorized
from ophion_agent.testing import EPOCH_NS

from .conftest import PASSWORD, Permission, Server


async def test_tenants_are_added_changed_and_removed(server: Server) -> None:
    created = await server.call("POST", "/api/tenants", {"name": "acme", "logs_days": 7}, headers=server.root)
    changed = await server.call("PATCH", "/api/tenants/acme", {"traces_days": 3}, headers=server.root)
    back = await server.call("PATCH", "/api/tenants/acme", {"logs_days": None}, headers=server.root)
    listed = await server.call("GET", "/api/tenants", headers=server.root)

    assert (created.status, created.value["logs_days"]) == (201, 7)
    assert (changed.value["traces_days"], changed.value["logs_days"]) == (3, 7)
    assert back.value["logs_days"] is None
    assert [tenant["name"] for tenant in listed.value] == ["acme", "default"]
    await server.call("DELETE", "/api/tenants/acme", headers=server.root, confirm="acme")
    with pytest.raises(NotFound, match="tenant: there is none of this name"):
        await server.call("GET", "/api/tenants/acme", headers=server.root)
    actions = [entry["action"] for entry in await server.audit(target="acme")]
    assert actions == ["tenant.remove", "tenant.change", "tenant.change", "tenant.create"]


async def test_a_removed_tenant_takes_users_keys_and_sessions_along(server: Server) -> None:
    await server.call("POST", "/api/tenants", {"name": "acme"}, headers=server.root)
    await server.add_user("ada", "admin", "acme")
    bearer = await server.bearer("ada")
    key = await server.add_key(kind="ingest", tenant="acme")

    await server.call("DELETE", "/api/tenants/acme", headers=server.root, confirm="acme")

    assert await server.accounts.users.find("ada") is None
    assert await server.accounts.keys.find(key["id"]) is None
    with pytest.raises(Unauthorized):
        await server.call("GET", "/api/auth/me", headers=bearer)


async def test_a_removal_must_name_the_tenant_twice(server: Server) -> None:
    await server.call("POST", "/api/tenants", {"name": "acme"}, headers=server.root)

    with pytest.raises(ValidationError, match="confirm"):
        await server.call("DELETE", "/api/tenants/acme", headers=server.root)
    with pytest.raises(BadRequest, match='confirm: must be the name of the tenant to remove, got "acm"'):
        await server.call("DELETE", "/api/tenants/acme", headers=server.root, confirm="acm")
    with pytest.raises(NotFound, match="tenant: there is none of this name"):
        await server.call("DELETE", "/api/tenants/other", headers=server.root, confirm="other")
    assert (await server.call("GET", "/api/tenants/acme", headers=server.root)).status == 200
    assert await server.auth.removed_tenants() == []


async def test_the_telemetry_of_a_removed_tenant_is_to_be_deleted(server: Server) -> None:
    for name in ("acme", "other"):
        await server.call("POST", "/api/tenants", {"name": name}, headers=server.root)
    await server.call("DELETE", "/api/tenants/acme", headers=server.root, confirm="acme")

    assert await server.auth.removed_tenants() == ["acme"]
    for _ in range(2):
        await server.auth.telemetry_removed("acme")
    await server.auth.telemetry_removed("other")

    # What arrives late is deleted as well.
    assert await server.auth.removed_tenants() == ["acme"]
    records = [(entry["action"], entry["principal"]) for entry in await server.audit(target="acme")]
    assert records[0] == ("tenant.telemetry_remove", "system")
    assert [action for action, _ in records[1:]] == ["tenant.remove", "tenant.create"]


async def test_the_name_of_a_removed_tenant_rests_until_its_telemetry_is_gone(server: Server) -> None:
    async def add() -> None:
        await server.call("POST", "/api/tenants", {"name": "acme"}, headers=server.root)

    await add()
    await server.call("DELETE", "/api/tenants/acme", headers=server.root, confirm="acme")
    await server.clock.advance(3600)
    with pytest.raises(Conflict, match="tenant: one of this name was removed, and its telemetry is being deleted"):
        await add()
    await server.auth.telemetry_removed("acme")
    await add()
    assert await server.auth.removed_tenants() == []

    await server.call("DELETE", "/api/tenants/acme", headers=server.root, confirm="acme")
    await server.auth.telemetry_removed("acme")
    await server.clock.advance(299)
    with pytest.raises(Conflict, match="choose another name, or try again in some minutes"):
        await add()
    await server.clock.advance(1)
    await add()


async def test_the_default_tenant_stays(server: Server) -> None:
    with pytest.raises(Conflict, match="tenant: default always exists"):
        await server.call("DELETE", "/api/tenants/default", headers=server.root, confirm="default")


async def test_refuses_names_that_cannot_be_a_database(server: Server) -> None:
    with pytest.raises(BadRequest, match=r"tenant: must be 1-40 of a-z, 0-9 and _.*; choose another name"):
        await server.call("POST", "/api/tenants", {"name": "Acme; DROP"}, headers=server.root)
    with pytest.raises(Conflict, match="tenant: is there already; choose another name"):
        await server.call("POST", "/api/tenants", {"name": "default"}, headers=server.root)


async def test_refuses_retention_that_makes_no_sense(server: Server) -> None:
    for days in (0, -1, 40_000, 1.5):
        with pytest.raises(ValidationError):
            await server.call("POST", "/api/tenants", {"name": "acme", "logs_days": days}, headers=server.root)


async def test_tenants_are_the_platforms_business(server: Server) -> None:
    await server.call("POST", "/api/tenants", {"name": "acme"}, headers=server.root)
    await server.add_user("ada", "admin", "acme")
    headers = await server.bearer("ada")

    for method, path, body in (
        ("GET", "/api/tenants", None),
        ("POST", "/api/tenants", {"name": "more"}),
        ("GET", "/api/tenants/acme", None),
        ("PATCH", "/api/tenants/acme", {"logs_days": 1}),
        ("DELETE", "/api/tenants/default", None),
    ):
        with pytest.raises(Forbidden, match="tenants are managed by admins of the tenant default; ask one"):
            await server.call(
                method, path, body, headers=headers, **({"confirm": "default"} if method == "DELETE" else {})
            )


async def record(server: Server, tenant: str, number: int) -> None:
    principal = Principal("ada", "user", tenant, frozenset({Permission.ADMIN}))
    await server.auth.record(principal, "rule.change", f"rule {number}", {"n": number}, "192.0.2.1")


async def test_the_audit_log_is_read_page_by_page(server: Server) -> None:
    for number in range(7):
        await record(server, DEFAULT_TENANT, number)
    pages: list[list[int]] = []
    cursor: dict[str, Any] = {}

    while True:
        query = {"limit": 3, "action": "rule.change", **cursor}
        page = (await server.call("GET", "/api/audit", headers=server.root, **query)).value
        pages.append([entry["detail"]["n"] for entry in page["records"]])
        await record(server, DEFAULT_TENANT, 99)  # What comes later does not shift the pages.
        if page["next_cursor"] is None:
            break
        cursor = {"cursor": page["next_cursor"]}

    assert pages == [[6, 5, 4], [3, 2, 1], [0]]


async def test_the_audit_log_is_filtered(server: Server) -> None:
    start = datetime.fromtimestamp(EPOCH_NS // 10**9, UTC)
    for number in range(3):
        await record(server, DEFAULT_TENANT, number)
        await server.clock.advance(60)

    async def found(**query: Any) -> list[int]:
        return [entry["detail"]["n"] for entry in await server.audit(principal="ada", **query)]

    assert await found() == [2, 1, 0]
    assert await found(target="rule 1") == [1]
    assert await found(action="other") == []
    assert await found(since=start + timedelta(seconds=60)) == [2, 1]
    assert await found(until=(start + timedelta(seconds=60)).replace(tzinfo=None)) == [0]


async def test_tenants_do_not_see_one_anothers_records(server: Server) -> None:
    await server.call("POST", "/api/tenants", {"name": "acme"}, headers=server.root)
    await server.add_user("ada", "admin", "acme")
    headers = await server.bearer("ada")
    await record(server, DEFAULT_TENANT, 1)
    await record(server, "acme", 2)

    seen = (await server.call("GET", "/api/audit", headers=headers)).value["records"]

    assert {entry["tenant"] for entry in seen} == {"acme"}
    assert seen[0]["detail"] == {"n": 2}
    with pytest.raises(Forbidden, match="tenant: must be your own"):
        await server.call("GET", "/api/audit", headers=headers, tenant="default")


async def test_refuses_filters_that_make_no_sense(server: Server) -> None:
    for query in ({"cursor": "x"}, {"cursor": "9" * 19}, {"limit": 0}, {"principal": "a\0b"}):
        with pytest.raises(ValidationError):
            await server.audit(**query)


async def test_takes_records_with_text_that_databases_refuse(server: Server) -> None:
    principal = Principal("a\0\ud800", "user", DEFAULT_TENANT, frozenset())

    await server.auth.record(principal, "x", "t\0" * 400, {"nul": "\0", "lone": "\ud800", "at": datetime.now(UTC)})
    await server.auth.record(principal, "y", "t", {"long": "x" * 30_000})

    long, odd = (await server.audit())[:2]
    assert odd["principal"] == "a\N{REPLACEMENT CHARACTER}?"
    assert len(odd["target"]) == 300
    assert odd["detail"]["nul"] == "\0"
    assert long["detail"] == {"too_long_for_the_log": 30_012}


async def test_old_records_are_removed(server: Server) -> None:
    await record(server, DEFAULT_TENANT, 1)
    await server.clock.advance(364 * 86_400)
    await record(server, DEFAULT_TENANT, 2)
    await server.accounts.prune()
    assert [entry["detail"]["n"] for entry in await server.audit(principal="ada")] == [2, 1]
    await server.clock.advance(2 * 86_400)
    await server.accounts.prune()

    assert [entry["detail"]["n"] for entry in await server.audit(principal="ada")] == [2]


async def test_a_login_is_recorded_with_its_address(server: Server) -> None:
    await server.add_user("ada")
    await server.log_in("ada", PASSWORD, client="2001:db8::1")

    [entry] = await server.audit(action="login")

    assert (entry["principal"], entry["client"], entry["kind"]) == ("ada", "2001:db8::1", "user")
