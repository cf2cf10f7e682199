"""Lock-out of accounts and addresses after wrong passwords."""

import asyncio
from typing import Any

import pytest

from ophion_agent.server import TooManyRequests, Unauthorized

from .conftest import PASSWORD, Server, make_auth


@pytest.fixture
def config(config: dict[str, Any]) -> dict[str, Any]:
    limits = {"window": "10m", "failures_per_account": 3, "failures_per_address": 5, "lockout": "2m"}
    return {**config, "login_limits": limits}


@pytest.fixture
async def ada(server: Server) -> Server:
    await server.add_user("ada", "admin")
    return server


async def fail(server: Server, username: str = "ada", client: str = "192.0.2.1") -> None:
    with pytest.raises(Unauthorized, match="wrong user name or password"):
        await server.log_in(username, "wrong password!", client=client)


async def test_an_account_is_locked_for_a_time(ada: Server) -> None:
    for number in range(3):
        await fail(ada, client=f"192.0.2.{number}")

    with pytest.raises(TooManyRequests, match="too many wrong passwords; wait and try again") as caught:
        await ada.log_in("ada", client="198.51.100.1")

    assert caught.value.headers == {"Retry-After": "120"}
    await ada.clock.advance(119)
    with pytest.raises(TooManyRequests):
        await ada.log_in("ADA", client="198.51.100.1")
    await ada.clock.advance(1)
    await ada.log_in("ada", client="198.51.100.1")


async def test_no_hash_is_computed_while_locked(ada: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    for _ in range(3):
        await fail(ada)
    monkeypatch.setattr(ada.accounts.passwords, "verify", None)

    with pytest.raises(TooManyRequests):
        await ada.log_in("ada")


async def test_the_window_slides(ada: Server) -> None:
    for _ in range(2):
        await fail(ada)
    await ada.clock.advance(300)
    await fail(ada, client="192.0.2.9")
    await ada.clock.advance(120)  # The lock is over, and all three still count.
    await fail(ada, client="192.0.2.9")
    with pytest.raises(TooManyRequests):
        await ada.log_in("ada", client="192.0.2.10")
    await ada.clock.advance(300)  # The first two count no more.

    await fail(ada, client="192.0.2.11")
    with pytest.raises(TooManyRequests):
        await ada.log_in("ada", client="192.0.2.10")
    await ada.clock.advance(600)
    for _ in range(2):
        await fail(ada, client="192.0.2.12")
    await ada.log_in("ada", client="192.0.2.10")


async def test_a_right_password_starts_the_count_anew(ada: Server) -> None:
    for _ in range(4):
        for _ in range(2):
            await fail(ada, client="")
        await ada.clock.advance(601)
        await ada.log_in("ada", client="")
    for _ in range(2):
        await fail(ada)
    await ada.log_in("ada")
    for _ in range(2):
        await fail(ada)
    await ada.log_in("ada")


async def test_an_address_is_locked_whatever_names_it_tries(ada: Server) -> None:
    for number in range(5):
        await fail(ada, f"nobody{number}")

    with pytest.raises(TooManyRequests):
        await ada.log_in("ada", client="192.0.2.1")
    await ada.log_in("ada", client="192.0.2.2")


async def test_right_passwords_do_not_lock_their_address(ada: Server) -> None:
    for _ in range(12):
        await ada.log_in("ada", client="192.0.2.1")


async def test_neighbours_in_an_ipv6_network_count_as_one(ada: Server) -> None:
    for number in range(5):
        await fail(ada, f"nobody{number}", client=f"2001:db8:0:1::{number}")

    with pytest.raises(TooManyRequests):
        await ada.log_in("ada", client="2001:db8:0:1:ffff::1")
    await ada.log_in("ada", client="2001:db8:0:2::1")


async def test_attempts_at_once_do_not_slip_past_the_limit(ada: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    outcomes = await asyncio.gather(
        *(ada.log_in("ada", "wrong password!", client=f"192.0.2.{number}") for number in range(20)),
        return_exceptions=True,
    )

    assert sum(isinstance(outcome, Unauthorized) for outcome in outcomes) == 3
    assert sum(isinstance(outcome, TooManyRequests) for outcome in outcomes) == 17


async def test_several_servers_count_together_and_remember(ada: Server, config: dict[str, Any], store: Any) -> None:
    for _ in range(3):
        await fail(ada)
    other = make_auth(config, store, ada.clock)
    await other.start()

    with pytest.raises(TooManyRequests):
        await other.accounts.identities.log_in("ada", PASSWORD, "198.51.100.1")

    await other.stop()
    await other.context.close()


async def test_basic_passwords_count_too(ada: Server) -> None:
    import base64

    headers = {"authorization": "Basic " + base64.b64encode(b"ada:wrong password!").decode()}
    for _ in range(3):
        with pytest.raises(Unauthorized, match="wrong user name or password"):
            await ada.call("GET", "/api/auth/me", headers=headers)

    with pytest.raises(TooManyRequests):
        await ada.call("GET", "/api/auth/me", headers=headers)


async def test_guessing_the_old_password_counts_too(ada: Server) -> None:
    bearer = await ada.bearer("ada")
    body = {"current_password": "wrong password!", "new_password": "another fine password"}
    for _ in range(3):
        with pytest.raises(Exception, match="current_password: is wrong"):
            await ada.call("POST", "/api/auth/password", body, headers=bearer)

    with pytest.raises(TooManyRequests):
        await ada.call("POST", "/api/auth/password", body, headers=bearer)


async def test_a_lock_leaves_sessions_and_keys_alone(ada: Server) -> None:
    bearer = await ada.bearer("ada")
    for _ in range(3):
        await fail(ada)

    assert (await ada.call("GET", "/api/auth/me", headers=bearer)).value["subject"] == "ada"


async def test_an_admin_unlocks_by_setting_a_password(ada: Server) -> None:
    for number in range(3):
        await fail(ada, client=f"192.0.2.{number}")

    await ada.call("PATCH", "/api/users/ada", {"password": "another fine password"}, headers=ada.root)

    await ada.log_in("ada", "another fine password", client="198.51.100.1")


async def test_what_counts_no_more_is_removed(ada: Server) -> None:
    from sqlalchemy import func, select

    from ophion_auth.tables import FAILURES, LOCKOUTS

    for _ in range(3):
        await fail(ada)
    await ada.clock.advance(601)
    await ada.accounts.prune()

    async with ada.accounts.store.session() as session:
        for table in (FAILURES, LOCKOUTS):
            assert (await session.execute(select(func.count()).select_from(table))).scalar_one() == 0
