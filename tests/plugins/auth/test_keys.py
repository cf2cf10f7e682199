"""API keys and ingest keys, and the senders of telemetry that use them."""

import base64
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import event

from ophion_agent.plugin import RetryableError, Unauthenticated
from ophion_agent.server import BadRequest, Forbidden, NotFound, Overloaded, Unauthorized
from ophion_agent.testing import EPOCH_NS

from .conftest import CLIENT, PASSWORD, Server

NOW = datetime.fromtimestamp(EPOCH_NS // 10**9, UTC)


@pytest.fixture
async def acme(server: Server) -> Server:
    """A server with a tenant, its admin ada and its viewer bob."""
    await server.call("POST", "/api/tenants", {"name": "acme"}, headers=server.root)
    await server.add_user("ada", "admin", "acme")
    await server.add_user("bob", "viewer", "acme")
    return server


def basic(text: str) -> dict[str, str]:
    return {"authorization": "Basic " + base64.b64encode(text.encode()).decode()}


async def test_a_key_works_in_every_place_that_clients_put_it(acme: Server) -> None:
    created = await acme.add_key(await acme.bearer("bob"))
    key = created["key"]

    for headers in (
        {"authorization": f"Bearer {key}"},
        {"x-api-key": key},
        basic(f":{key}"),
        basic(f"{key}:"),
        basic(f"grafana:{key}"),
    ):
        me = (await acme.call("GET", "/api/auth/me", headers=headers)).value
        assert me == {
            "subject": created["id"], "kind": "api_key", "tenant": "acme", "permissions": ["telemetry:read"],
        }  # fmt: skip


async def test_the_secret_is_stored_nowhere(acme: Server) -> None:
    created = await acme.add_key()
    secret = created["key"].rpartition("_" + created["id"] + "_")[2]
    record = await acme.accounts.keys.find(created["id"])
    listed = (await acme.call("GET", "/api/keys", headers=acme.root)).value

    assert len(secret) == 43
    assert record is not None
    assert len(record.secret_hash) == 32
    assert secret not in f"{record!r} {record.secret_hash!r} {listed} {await acme.audit()}"


async def test_scopes_are_a_subset_of_ones_own(acme: Server) -> None:
    bob, ada = await acme.bearer("bob"), await acme.bearer("ada")

    with pytest.raises(Forbidden, match=r"scopes: must be among your own \(telemetry:read\), got admin"):
        await acme.add_key(bob, scopes=["admin"])
    with pytest.raises(BadRequest, match=r"among those of an api key .*, got telemetry:write; .* with an ingest key"):
        await acme.add_key(ada, scopes=["telemetry:write"])
    assert (await acme.add_key(ada, scopes=["operate"]))["scopes"] == ["operate"]
    assert (await acme.add_key(bob))["scopes"] == ["telemetry:read"]


async def test_a_key_loses_what_its_user_loses(acme: Server) -> None:
    await acme.add_user("carol", "admin", "acme")
    key = {"x-api-key": (await acme.add_key(await acme.bearer("carol")))["key"]}
    assert "admin" in (await acme.call("GET", "/api/auth/me", headers=key)).value["permissions"]

    await acme.call("PATCH", "/api/users/carol", {"role": "viewer"}, headers=acme.root)
    assert (await acme.call("GET", "/api/auth/me", headers=key)).value["permissions"] == ["telemetry:read"]

    await acme.call("PATCH", "/api/users/carol", {"disabled": True}, headers=acme.root)
    with pytest.raises(Unauthorized, match="key: is not known here, or was revoked"):
        await acme.call("GET", "/api/auth/me", headers=key)

    await acme.call("DELETE", "/api/users/carol", headers=acme.root)
    assert (await acme.call("GET", "/api/keys", headers=await acme.bearer("ada"))).value == []


async def test_a_key_ends(acme: Server) -> None:
    created = await acme.add_key(expires_at=(NOW + timedelta(hours=1)).isoformat())
    headers = {"x-api-key": created["key"]}
    await acme.clock.advance(3599)
    await acme.call("GET", "/api/auth/me", headers=headers)
    await acme.clock.advance(1)

    with pytest.raises(Unauthorized, match="key: has expired; make a new one"):
        await acme.call("GET", "/api/auth/me", headers=headers)


async def test_refuses_a_key_that_has_ended_already(acme: Server) -> None:
    with pytest.raises(BadRequest, match="expires_at: must lie in the future"):
        await acme.add_key(expires_at=NOW.isoformat())


async def test_a_key_makes_others_only_as_an_admin_and_none_that_outlives_it(acme: Server) -> None:
    ends = (NOW + timedelta(hours=1)).isoformat().replace("+00:00", "Z")
    admin = await acme.add_key(await acme.bearer("ada"), expires_at=ends)
    reader = await acme.add_key(await acme.bearer("bob"))

    with pytest.raises(Forbidden, match="keys are made by users and by keys with the scope admin"):
        await acme.add_key({"x-api-key": reader["key"]})
    child = await acme.add_key({"x-api-key": admin["key"]})
    later = await acme.add_key({"x-api-key": admin["key"]}, expires_at=(NOW + timedelta(days=9)).isoformat())
    assert child["expires_at"] == later["expires_at"] == ends


async def test_revoking_ends_a_key_at_once(acme: Server) -> None:
    bob = await acme.bearer("bob")
    created = await acme.add_key(bob)
    headers = {"x-api-key": created["key"]}
    await acme.call("GET", "/api/auth/me", headers=headers)

    await acme.call("DELETE", f"/api/keys/{created['id']}", headers=bob)

    with pytest.raises(Unauthorized, match="key: is not known here, or was revoked"):
        await acme.call("GET", "/api/auth/me", headers=headers)
    assert [entry["action"] for entry in await acme.audit(tenant="acme", target=created["id"])] == [
        "key.revoke",
        "key.create",
    ]


async def test_users_see_their_own_keys_and_admins_all(acme: Server) -> None:
    ada, bob = await acme.bearer("ada"), await acme.bearer("bob")
    await acme.add_key(ada, name="adas")
    await acme.add_key(bob, name="bobs")

    def names(answer: Any) -> set[str]:
        return {key["name"] for key in answer.value}

    assert names(await acme.call("GET", "/api/keys", headers=bob)) == {"bobs"}
    assert names(await acme.call("GET", "/api/keys", headers=ada)) == {"adas", "bobs"}
    assert "adas" not in names(await acme.call("GET", "/api/keys", headers=acme.root))
    assert names(await acme.call("GET", "/api/keys", headers=acme.root, tenant="acme")) == {"adas", "bobs"}


async def test_nobody_reaches_keys_of_others(acme: Server) -> None:
    ada, bob = await acme.bearer("ada"), await acme.bearer("bob")
    foreign = await acme.add_key(name="of default")
    adas = await acme.add_key(ada)

    for headers, key in ((ada, foreign), (bob, foreign), (bob, adas)):
        with pytest.raises(NotFound, match="key: there is none of this id in your tenant"):
            await acme.call("DELETE", f"/api/keys/{key['id']}", headers=headers)
    for headers in (ada, bob):
        with pytest.raises(Forbidden, match="tenant: must be your own"):
            await acme.call("GET", "/api/keys", headers=headers, tenant="default")
        with pytest.raises(Forbidden, match="tenant: must be your own"):
            await acme.add_key(headers, tenant="default")


async def test_there_is_no_such_key(acme: Server) -> None:
    for key_id in ("0" * 16, "x", "a\0b", "' OR 1=1 --", "é"):
        with pytest.raises(NotFound, match="key: there is none"):
            await acme.call("DELETE", f"/api/keys/{key_id}", headers=acme.root)


async def test_refuses_keys_that_are_not_known(acme: Server) -> None:
    created = await acme.add_key()

    for key in (created["key"][:-43] + "A" * 43, "oph_0000000000000000_" + "A" * 43):
        with pytest.raises(Unauthorized, match="key: is not known here, or was revoked; make a new one"):
            await acme.call("GET", "/api/auth/me", headers={"x-api-key": key})


async def test_asks_the_store_once_for_many_uses_of_a_key(acme: Server) -> None:
    headers = {"x-api-key": (await acme.add_key())["key"]}
    statements: list[str] = []
    engine = acme.accounts.store._engine.sync_engine  # type: ignore[attr-defined]
    event.listen(engine, "before_cursor_execute", lambda *arguments: statements.append(arguments[2]))

    for _ in range(50):
        await acme.auth.identify(headers, {}, client=CLIENT, method="GET")
    unknown = {"x-api-key": "oph_0000000000000000_" + "A" * 43}
    for _ in range(50):
        with pytest.raises(Unauthorized):
            await acme.auth.identify(unknown, {}, client=CLIENT, method="GET")

    assert len([statement for statement in statements if "auth_keys" in statement]) == 3


async def test_the_last_use_is_kept_once_a_minute(acme: Server) -> None:
    created = await acme.add_key()
    headers = {"x-api-key": created["key"]}
    updates: list[str] = []
    engine = acme.accounts.store._engine.sync_engine  # type: ignore[attr-defined]
    event.listen(
        engine, "before_cursor_execute", lambda *arguments: updates.append(arguments[2])
        if arguments[2].startswith("UPDATE auth_keys") else None
    )  # fmt: skip

    for _ in range(12):
        await acme.auth.identify(headers, {}, client=CLIENT, method="GET")
        await acme.clock.advance(10)

    assert len(updates) == 2
    record = await acme.accounts.keys.find(created["id"])
    assert record is not None
    assert record.used_ms == EPOCH_NS // 10**6 + 60_000


async def test_ingest_keys_send_and_do_nothing_else(acme: Server) -> None:
    created = await acme.add_key(await acme.bearer("ada"), kind="ingest")

    assert created["key"].startswith("ophi_")
    assert created["scopes"] == ["telemetry:write"]
    facts = await acme.auth.authenticate({"authorization": [f"Bearer {created['key']}"]})
    assert facts == {"subject": created["id"], "tenant": "acme"}
    assert await acme.auth.authenticate({"x-api-key": [created["key"]]}) == facts
    assert await acme.auth.authenticate({"authorization": [basic(f"any:{created['key']}")["authorization"]]}) == facts
    for path in ("/api/auth/me", "/api/keys", "/api/users"):
        with pytest.raises(Forbidden):
            await acme.call("GET", path, headers={"x-api-key": created["key"]})


async def test_ingest_keys_outlive_who_made_them(acme: Server) -> None:
    await acme.add_user("carol", "admin", "acme")
    key = (await acme.add_key(await acme.bearer("carol"), kind="ingest"))["key"]
    await acme.call("DELETE", "/api/users/carol", headers=acme.root)

    assert (await acme.auth.authenticate({"x-api-key": [key]}))["tenant"] == "acme"


async def test_only_admins_make_ingest_keys(acme: Server) -> None:
    with pytest.raises(Forbidden, match="ingest keys are made by admins; ask one"):
        await acme.add_key(await acme.bearer("bob"), kind="ingest")
    with pytest.raises(BadRequest, match=r"those of an ingest key \(telemetry:write\), got admin"):
        await acme.add_key(kind="ingest", scopes=["admin"])


async def test_an_admin_of_default_makes_keys_for_other_tenants(acme: Server) -> None:
    created = await acme.add_key(kind="ingest", tenant="acme")

    assert (await acme.auth.authenticate({"x-api-key": [created["key"]]}))["tenant"] == "acme"
    api = await acme.add_key(await acme.bearer("ada"), tenant="acme")
    assert (await acme.call("GET", "/api/auth/me", headers={"x-api-key": api["key"]})).value["tenant"] == "acme"
    with pytest.raises(NotFound, match="tenant: there is no nowhere; add it first"):
        await acme.add_key(tenant="nowhere")


async def test_senders_without_an_ingest_key_are_refused(acme: Server) -> None:
    password = [basic(f"bob:{PASSWORD}")["authorization"]]
    cases: list[tuple[dict[str, list[str]], str]] = [
        ({}, "missing ingest key; send `Authorization: Bearer ophi_"),
        ({"authorization": []}, "missing ingest key"),
        ({"authorization": ["Digest x"]}, "must be Bearer or Basic"),
        ({"authorization": password}, "missing ingest key"),
        ({"x-api-key": ["ophi_0000000000000000_" + "A" * 43]}, "key: is not known here"),
    ]
    for headers, message in cases:
        with pytest.raises(Unauthenticated, match=message):
            await acme.auth.authenticate(headers)


async def test_senders_with_an_api_key_are_refused(acme: Server) -> None:
    key = (await acme.add_key())["key"]

    with pytest.raises(Unauthenticated, match="may not send telemetry; use an ingest key"):
        await acme.auth.authenticate({"x-api-key": [key]})


async def test_senders_try_again_when_the_store_does_not_answer(acme: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    async def failing(_: str) -> None:
        raise Overloaded("control store: does not answer")

    key = (await acme.add_key(kind="ingest"))["key"]
    monkeypatch.setattr(acme.accounts.keys, "find", failing)

    with pytest.raises(RetryableError, match="does not answer"):
        await acme.auth.authenticate({"x-api-key": [key]})
