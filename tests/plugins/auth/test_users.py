"""Users, their roles and tenants, and what admins may do to them."""

import asyncio
from typing import Any

import pytest

from ophion_agent.server import BadRequest, Conflict, Forbidden, NotFound, Principal, Unauthorized

from .conftest import PASSWORD, Server


@pytest.fixture
async def acme(server: Server) -> Server:
    """A server with a tenant of its own admins."""
    await server.call("POST", "/api/tenants", {"name": "acme"}, headers=server.root)
    await server.add_user("ada", "admin", "acme")
    await server.add_user("bob", "viewer", "acme")
    return server


async def test_users_are_added_listed_changed_and_removed(acme: Server) -> None:
    headers = await acme.bearer("ada")
    body = {"username": "Carol@example.com", "password": PASSWORD, "role": "operator"}

    created = (await acme.call("POST", "/api/users", body, headers=headers)).value
    listed = (await acme.call("GET", "/api/users", headers=headers)).value
    changed = await acme.call("PATCH", "/api/users/carol@example.com", {"role": "viewer"}, headers=headers)
    removed = await acme.call("DELETE", "/api/users/carol@example.com", headers=headers)

    assert (created["username"], created["tenant"], created["role"]) == ("carol@example.com", "acme", "operator")
    assert created["password"] is None
    assert [user["username"] for user in listed] == ["ada", "bob", "carol@example.com"]
    assert changed.value["role"] == "viewer"
    assert removed.status == 204
    with pytest.raises(NotFound):
        await acme.call("GET", "/api/users/carol@example.com", headers=headers)
    actions = [entry["action"] for entry in await acme.audit(tenant="acme", principal="ada")]
    assert actions == ["user.remove", "user.change", "user.create", "login"]


async def test_no_answer_and_no_record_holds_a_password(acme: Server) -> None:
    body = {"username": "carol", "password": PASSWORD}
    answer = await acme.call("POST", "/api/users", body, headers=await acme.bearer("ada"))
    user = await acme.accounts.users.find("carol")

    shown = f"{answer.value} {await acme.audit()} {user!r}"
    assert PASSWORD not in shown
    assert "argon2" not in shown


async def test_a_generated_password_is_shown_once(acme: Server) -> None:
    created = (await acme.call("POST", "/api/users", {"username": "carol"}, headers=await acme.bearer("ada"))).value

    await acme.log_in("carol", created["password"])
    assert created["password_generated"]
    assert "password" not in (await acme.call("GET", "/api/users/carol", headers=acme.root)).value


async def test_refuses_names_that_cannot_be(server: Server) -> None:
    for name in ("", "-x", "a b", "a:b", "a/b", "a\0b", "ä", "x" * 65, "\u212a"):
        with pytest.raises(BadRequest, match="username: must be 1-64 of a-z"):
            await server.call("POST", "/api/users", {"username": name, "password": PASSWORD}, headers=server.root)


async def test_a_name_exists_once(acme: Server) -> None:
    with pytest.raises(Conflict, match="username: is taken; choose another one"):
        await acme.add_user("BOB")


async def test_refuses_a_tenant_that_is_not_there(server: Server) -> None:
    with pytest.raises(NotFound, match="tenant: there is no nowhere; add it first"):
        await server.add_user("ada", "admin", "nowhere")


@pytest.mark.parametrize("change", [{"role": "operator"}, {"disabled": True}, None])
async def test_the_last_admin_stays(acme: Server, change: dict[str, Any] | None) -> None:
    headers = await acme.bearer("ada")

    with pytest.raises(Conflict, match="is the last admin of the tenant; make somebody else admin first"):
        await (
            acme.call("PATCH", "/api/users/ada", change, headers=headers)
            if change
            else acme.call("DELETE", "/api/users/ada", headers=headers)
        )

    # The refused change has not even ended the sessions.
    assert (await acme.call("GET", "/api/users/ada", headers=headers)).value["role"] == "admin"


async def test_a_disabled_admin_does_not_count_as_one(acme: Server) -> None:
    await acme.add_user("carol", "admin", "acme")
    await acme.call("PATCH", "/api/users/carol", {"disabled": True}, headers=acme.root)

    with pytest.raises(Conflict, match="last admin"):
        await acme.call("DELETE", "/api/users/ada", headers=acme.root)


async def test_two_admins_cannot_remove_each_other_at_once(acme: Server) -> None:
    await acme.add_user("carol", "admin", "acme")

    outcomes = await asyncio.gather(
        *(acme.call("DELETE", f"/api/users/{name}", headers=acme.root) for name in ("ada", "carol")),
        return_exceptions=True,
    )

    assert sorted(isinstance(outcome, Conflict) for outcome in outcomes) == [False, True]


@pytest.mark.parametrize("change", [{"role": "operator"}, {"password": "another fine password"}, {"disabled": False}])
async def test_changes_end_the_users_sessions(acme: Server, change: dict[str, Any]) -> None:
    bearer = await acme.bearer("bob")

    await acme.call("PATCH", "/api/users/bob", change, headers=await acme.bearer("ada"))

    with pytest.raises(Unauthorized, match="session: has ended"):
        await acme.call("GET", "/api/auth/me", headers=bearer)


async def test_a_change_that_is_refused_in_part_is_refused_as_a_whole(acme: Server) -> None:
    body = {"role": "admin", "password": "short"}

    with pytest.raises(BadRequest, match="at least 12"):
        await acme.call("PATCH", "/api/users/bob", body, headers=await acme.bearer("ada"))

    assert (await acme.call("GET", "/api/users/bob", headers=acme.root)).value["role"] == "viewer"


async def test_a_record_shares_the_fate_of_the_change(acme: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    async def failing(*_: Any, **__: Any) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr(acme.accounts.audit, "record", failing)

    with pytest.raises(ZeroDivisionError):
        await acme.call("DELETE", "/api/users/bob", headers=acme.root)

    assert await acme.accounts.users.find("bob") is not None


async def test_an_admin_sees_and_touches_nobody_of_another_tenant(acme: Server) -> None:
    await acme.add_user("root", "admin")
    headers = await acme.bearer("ada")

    for method, body in (("GET", None), ("PATCH", {"role": "viewer"}), ("DELETE", None)):
        with pytest.raises(NotFound, match="user: there is none of this name in your tenant"):
            await acme.call(method, "/api/users/root", body, headers=headers)
    with pytest.raises(Forbidden, match="tenant: must be your own"):
        await acme.call("GET", "/api/users", headers=headers, tenant="default")
    with pytest.raises(Forbidden, match="tenant: must be your own"):
        await acme.call("POST", "/api/users", {"username": "x", "tenant": "default"}, headers=headers)
    assert [user["username"] for user in (await acme.call("GET", "/api/users", headers=headers)).value] == [
        "ada",
        "bob",
    ]


async def test_an_admin_of_the_default_tenant_manages_all(acme: Server) -> None:
    listed = (await acme.call("GET", "/api/users", headers=acme.root, tenant="acme")).value

    assert [user["username"] for user in listed] == ["ada", "bob"]
    assert (await acme.call("GET", "/api/users/bob", headers=acme.root)).value["tenant"] == "acme"


async def test_only_admins_manage_users(acme: Server) -> None:
    await acme.add_user("dave", "operator", "acme")
    for headers in (await acme.bearer("bob"), await acme.bearer("dave")):
        for method, path, body in (
            ("GET", "/api/users", None),
            ("POST", "/api/users", {"username": "x"}),
            ("PATCH", "/api/users/dave", {"role": "admin"}),
            ("DELETE", "/api/users/bob", None),
            ("GET", "/api/audit", None),
            ("GET", "/api/tenants", None),
        ):
            with pytest.raises(Forbidden, match="not permitted"):
                await acme.call(method, path, body, headers=headers)


async def test_passwords_are_hashed_anew_when_the_costs_change(
    acme: Server, config: dict[str, Any], store: Any
) -> None:
    from .conftest import make_auth

    dearer = make_auth(
        {**config, "password_hashing": {**config["password_hashing"], "time_cost": 2}}, store, acme.clock
    )
    await dearer.start()
    await dearer.accounts.identities.log_in("ada", PASSWORD, "")
    stored = (await dearer.accounts.users.find("ada")).password_hash  # type: ignore[union-attr]
    await dearer.stop()
    await dearer.context.close()

    assert ",t=2," in stored
    await acme.log_in("ada")


def test_principals_of_a_role_have_its_permissions() -> None:
    from ophion_agent.server import ROLE_PERMISSIONS, Role
    from ophion_auth.records import User

    for role in Role:
        user = User("1", "ada", "acme", role, "", False, 0, False, 0)
        assert user.principal("s") == Principal("ada", "user", "acme", ROLE_PERMISSIONS[role], "s")
