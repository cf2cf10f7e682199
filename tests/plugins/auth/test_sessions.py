"""Logging in and out, cookies, refresh tokens and access tokens."""

import asyncio
from typing import Any

import pytest

from ophion_agent.server import ANONYMOUS, BadRequest, Forbidden, Unauthorized

from .conftest import CLIENT, PASSWORD, Server

NEW_PASSWORD = "another fine password"


@pytest.fixture
async def ada(server: Server) -> Server:
    """A server with the admin ada."""
    await server.add_user("ada", "admin")
    return server


def jar(cookies: list[str]) -> dict[str, str]:
    return dict(cookie.split(";")[0].split("=", 1) for cookie in cookies)


async def refresh(server: Server, token: str) -> Any:
    return (await server.call("POST", "/api/auth/refresh", {"refresh_token": token})).value


async def test_logs_in_and_tells_who_calls(ada: Server) -> None:
    tokens = (await ada.log_in("Ada")).value

    answer = await ada.call("GET", "/api/auth/me", headers={"authorization": f"bearer {tokens['access_token']}"})

    assert answer.value == tokens["user"]
    assert answer.value == {
        "subject": "ada",
        "kind": "user",
        "tenant": "default",
        "permissions": ["admin", "operate", "telemetry:read"],
    }
    assert tokens["expires_in"] == 900


async def test_refuses_wrong_credentials_in_the_same_words(ada: Server) -> None:
    names = ("nobody", "a:\0b", "\u212aada")
    wrong = [("ada", "wrong password!"), ("ada", "x" * 4000), *((name, PASSWORD) for name in names)]
    for username, password in wrong:
        with pytest.raises(Unauthorized, match=r"^wrong user name or password$"):
            await ada.log_in(username, password)


async def test_a_hash_is_verified_for_unknown_users_too(ada: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    verified: list[str] = []
    hasher = ada.accounts.passwords._ready()
    verify = type(hasher).verify

    def counting(self: Any, stored: str, password: bytes) -> bool:
        verified.append(stored)
        return verify(self, stored, password)

    monkeypatch.setattr(type(hasher), "verify", counting)
    for username in ("ada", "nobody", "no such name!"):
        with pytest.raises(Unauthorized):
            await ada.log_in(username, "wrong password!")

    assert len(verified) == 3
    # The same costs, so the same time.
    assert len({stored.split("$")[3] for stored in verified}) == 1


async def test_a_disabled_user_cannot_log_in(ada: Server) -> None:
    await ada.add_user("bob")
    bearer = await ada.bearer("bob")
    await ada.call("PATCH", "/api/users/bob", {"disabled": True}, headers=ada.root)

    with pytest.raises(Unauthorized, match="wrong user name or password"):
        await ada.log_in("bob")
    with pytest.raises(Unauthorized, match="session: has ended"):
        await ada.call("GET", "/api/auth/me", headers=bearer)


async def test_a_login_from_another_sites_page_is_refused(ada: Server) -> None:
    with pytest.raises(Forbidden, match="another site's page"):
        await ada.log_in("ada", headers={"sec-fetch-site": "cross-site"})


async def test_tokens_are_not_to_be_stored_by_caches(ada: Server) -> None:
    assert (await ada.log_in("ada")).headers["Cache-Control"] == "no-store"


async def test_access_tokens_end(ada: Server) -> None:
    bearer = await ada.bearer("ada")
    await ada.clock.advance(899)
    assert (await ada.call("GET", "/api/auth/me", headers=bearer)).value["subject"] == "ada"
    await ada.clock.advance(1)

    with pytest.raises(Unauthorized, match="access token: has ended; get another one"):
        await ada.call("GET", "/api/auth/me", headers=bearer)


async def test_refresh_tokens_work_once_and_give_the_next(ada: Server) -> None:
    first = (await ada.log_in("ada")).value["refresh_token"]

    second = await refresh(ada, first)
    third = await refresh(ada, second["refresh_token"])

    assert len({first, second["refresh_token"], third["refresh_token"]}) == 3
    headers = {"authorization": f"Bearer {third['access_token']}"}
    assert (await ada.call("GET", "/api/auth/me", headers=headers)).value["subject"] == "ada"


async def test_a_refresh_token_that_comes_twice_ends_the_whole_session(ada: Server) -> None:
    login = await ada.log_in("ada")
    stolen = login.value["refresh_token"]
    newest = await refresh(ada, stolen)

    with pytest.raises(Unauthorized, match="was used before, so its session was ended; log in again"):
        await refresh(ada, stolen)

    with pytest.raises(Unauthorized, match="refresh token: is not valid any more"):
        await refresh(ada, newest["refresh_token"])
    for headers, cookies in (({"authorization": f"Bearer {newest['access_token']}"}, {}), ({}, jar(login.cookies))):
        with pytest.raises(Unauthorized, match="session: has ended"):
            await ada.call("GET", "/api/auth/me", headers=headers, cookies=cookies)
    assert [(entry["action"], entry["principal"]) for entry in await ada.audit(limit=1)] == [("session.revoke", "ada")]


async def test_other_sessions_survive_a_stolen_refresh_token(ada: Server) -> None:
    other = await ada.bearer("ada")
    stolen = (await ada.log_in("ada")).value["refresh_token"]
    await refresh(ada, stolen)
    with pytest.raises(Unauthorized):
        await refresh(ada, stolen)

    assert (await ada.call("GET", "/api/auth/me", headers=other)).value["subject"] == "ada"


async def test_of_two_uses_at_once_one_ends_the_session(ada: Server) -> None:
    token = (await ada.log_in("ada")).value["refresh_token"]

    answers = await asyncio.gather(*(refresh(ada, token) for _ in range(4)), return_exceptions=True)

    refused = [answer for answer in answers if isinstance(answer, Unauthorized)]
    assert len(refused) == 3
    with pytest.raises(Unauthorized):
        await refresh(ada, next(answer for answer in answers if isinstance(answer, dict))["refresh_token"])


async def test_refresh_tokens_end(ada: Server) -> None:
    token = (await ada.log_in("ada")).value["refresh_token"]
    await ada.clock.advance(30 * 86_400)

    with pytest.raises(Unauthorized, match="refresh token: is not valid any more"):
        await refresh(ada, token)


async def test_refuses_what_is_no_refresh_token(ada: Server) -> None:
    for token in ("", "x", "ophr_0000000000000000_" + "A" * 43, "oph_0000000000000000_" + "A" * 43):
        with pytest.raises(Unauthorized, match="refresh token: is not valid any more; log in again"):
            await refresh(ada, token)


async def test_refuses_a_refresh_token_with_another_secret(ada: Server) -> None:
    token = (await ada.log_in("ada")).value["refresh_token"]

    with pytest.raises(Unauthorized, match="is not valid any more"):
        await refresh(ada, token[:-43] + "A" * 43)
    await refresh(ada, token)  # Guessing does not use the token up.


async def test_cookies_of_a_plain_connection(ada: Server) -> None:
    session, csrf = (await ada.log_in("ada")).cookies

    assert session.startswith("ophion_session=ophs_")
    assert session.endswith("; Path=/; HttpOnly; SameSite=Lax; Max-Age=2592000")
    assert csrf.startswith("ophion_csrf=")
    assert csrf.endswith("; Path=/; SameSite=Strict; Max-Age=2592000")


async def test_cookies_over_tls_are_bound_to_the_host(ada: Server) -> None:
    session, csrf = (await ada.log_in("ada", secure=True)).cookies

    assert session.startswith("__Host-ophion_session=ophs_")
    assert csrf.startswith("__Host-ophion_csrf=")
    for cookie in (session, csrf):
        assert cookie.endswith("; Secure")
        assert "Domain" not in cookie
        assert "; Path=/;" in cookie


@pytest.mark.parametrize("secure", [False, True])
async def test_a_cookie_reads_without_and_changes_with_the_csrf_token(ada: Server, secure: bool) -> None:
    login = await ada.log_in("ada", secure=secure)
    cookies, csrf = jar(login.cookies), login.value["csrf_token"]
    assert csrf in cookies.values()

    assert (await ada.call("GET", "/api/auth/me", cookies=cookies)).value["subject"] == "ada"
    with pytest.raises(Forbidden, match="X-CSRF-Token: must be the value of the ophion_csrf cookie"):
        await ada.call("POST", "/api/keys", {"name": "k"}, cookies=cookies)
    await ada.call("POST", "/api/keys", {"name": "k"}, cookies=cookies, headers={"x-csrf-token": csrf})


async def test_refuses_other_csrf_tokens(ada: Server) -> None:
    session = jar((await ada.log_in("ada")).cookies)
    for token in ("", "0" * 64, "é", "\udc80"):
        cookies = session | {"ophion_csrf": token}
        with pytest.raises(Forbidden, match="X-CSRF-Token"):
            await ada.call("POST", "/api/keys", {"name": "k"}, cookies=cookies, headers={"x-csrf-token": token})


async def test_refuses_the_csrf_token_of_another_session(ada: Server) -> None:
    other = (await ada.log_in("ada")).value["csrf_token"]
    cookies = jar((await ada.log_in("ada")).cookies) | {"ophion_csrf": other}

    with pytest.raises(Forbidden, match="X-CSRF-Token"):
        await ada.call("POST", "/api/keys", {"name": "k"}, cookies=cookies, headers={"x-csrf-token": other})


async def test_refuses_changes_from_another_sites_page(ada: Server) -> None:
    login = await ada.log_in("ada")
    headers = {"x-csrf-token": login.value["csrf_token"], "sec-fetch-site": "cross-site"}

    with pytest.raises(Forbidden, match="another site's page"):
        await ada.call("POST", "/api/keys", {"name": "k"}, cookies=jar(login.cookies), headers=headers)


async def test_a_session_that_is_not_used_ends(ada: Server) -> None:
    cookies = jar((await ada.log_in("ada")).cookies)
    for _ in range(3):
        await ada.clock.advance(86_000)
        assert (await ada.call("GET", "/api/auth/me", cookies=cookies)).value["subject"] == "ada"
    await ada.clock.advance(86_400)

    with pytest.raises(Unauthorized, match="session: has ended; log in again"):
        await ada.call("GET", "/api/auth/me", cookies=cookies)


async def test_a_session_ends_even_when_it_is_used(ada: Server) -> None:
    cookies = jar((await ada.log_in("ada")).cookies)
    for _ in range(30):
        await ada.call("GET", "/api/auth/me", cookies=cookies)
        await ada.clock.advance(86_399)
    await ada.clock.advance(30)

    with pytest.raises(Unauthorized, match="session: has ended"):
        await ada.call("GET", "/api/auth/me", cookies=cookies)


async def test_refuses_a_cookie_with_another_secret(ada: Server) -> None:
    cookies = jar((await ada.log_in("ada")).cookies)
    cookies["ophion_session"] = cookies["ophion_session"][:-43] + "A" * 43

    with pytest.raises(Unauthorized, match="session: has ended"):
        await ada.call("GET", "/api/auth/me", cookies=cookies)


async def test_logging_out_ends_the_session_and_clears_the_cookies(ada: Server) -> None:
    login = await ada.log_in("ada")
    bearer = {"authorization": f"Bearer {login.value['access_token']}"}

    answer = await ada.call("POST", "/api/auth/logout", headers=bearer)

    assert answer.status == 204
    assert jar(answer.cookies) == {"ophion_session": "", "ophion_csrf": ""}
    assert all("Max-Age=0" in cookie for cookie in answer.cookies)
    for headers, cookies in ((bearer, {}), ({}, jar(login.cookies))):
        with pytest.raises(Unauthorized, match="session: has ended"):
            await ada.call("GET", "/api/auth/me", headers=headers, cookies=cookies)
    with pytest.raises(Unauthorized):
        await refresh(ada, login.value["refresh_token"])


async def test_a_key_has_no_session_to_end(server: Server) -> None:
    with pytest.raises(BadRequest, match="logout: needs a session"):
        await server.call("POST", "/api/auth/logout", headers=server.root)


async def test_a_user_changes_the_password(ada: Server) -> None:
    before = await ada.bearer("ada")
    body = {"current_password": PASSWORD, "new_password": NEW_PASSWORD}

    answer = await ada.call("POST", "/api/auth/password", body, headers=before)

    with pytest.raises(Unauthorized, match="session: has ended"):
        await ada.call("GET", "/api/auth/me", headers=before)
    with pytest.raises(Unauthorized):
        await ada.log_in("ada")
    await ada.log_in("ada", NEW_PASSWORD)
    after = {"authorization": f"Bearer {answer.value['access_token']}"}
    assert (await ada.call("GET", "/api/auth/me", headers=after)).value["subject"] == "ada"


async def test_a_password_is_changed_only_with_the_old_one(ada: Server) -> None:
    body = {"current_password": "wrong password!", "new_password": NEW_PASSWORD}

    with pytest.raises(Forbidden, match="current_password: is wrong"):
        await ada.call("POST", "/api/auth/password", body, headers=await ada.bearer("ada"))
    with pytest.raises(BadRequest, match="only users have one, got a key"):
        await ada.call("POST", "/api/auth/password", body, headers=ada.root)


async def test_refuses_weak_passwords(ada: Server) -> None:
    weak = {
        "elevenchars": "must have at least 12 characters, got 11",
        "x" * 2000: "must have at most 1024 bytes",
        "aaaaaaaaaaaaaaa": "must not be the user's name or one character",
    }
    bearer = await ada.bearer("ada")
    for password, message in weak.items():
        body = {"current_password": PASSWORD, "new_password": password}
        with pytest.raises(BadRequest, match=message) as caught:
            await ada.call("POST", "/api/auth/password", body, headers=bearer)
        assert caught.value.code == 422
        assert password not in str(caught.value)


async def test_takes_passwords_over_basic_and_remembers_them_for_a_while(
    ada: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    import base64

    verified: list[None] = []
    verify = ada.accounts.passwords.verify

    async def counting(*arguments: Any) -> bool:
        verified.append(None)
        return await verify(*arguments)

    monkeypatch.setattr(ada.accounts.passwords, "verify", counting)
    headers = {"authorization": "Basic " + base64.b64encode(f"ada:{PASSWORD}".encode()).decode()}

    for _ in range(5):
        assert (await ada.call("GET", "/api/auth/me", headers=headers)).value["subject"] == "ada"
    assert len(verified) == 1
    await ada.clock.advance(61)
    await ada.call("GET", "/api/auth/me", headers=headers)
    assert len(verified) == 2

    await ada.call("PATCH", "/api/users/ada", {"password": NEW_PASSWORD}, headers=ada.root)
    with pytest.raises(Unauthorized, match="wrong user name or password"):
        await ada.call("GET", "/api/auth/me", headers=headers)
    with pytest.raises(Forbidden, match="another site's page"):
        await ada.call("POST", "/api/keys", {"name": "k"}, headers={**headers, "sec-fetch-site": "cross-site"})


async def test_changes_by_another_server_are_seen_in_time(ada: Server, config: dict[str, Any], store: Any) -> None:
    from .conftest import make_auth

    other = make_auth(config, store, ada.clock)
    await other.start()
    bearer = await ada.bearer("ada")
    assert (await other.identify(bearer, {}, client=CLIENT, method="GET")).subject == "ada"
    await ada.call("POST", "/api/auth/logout", headers=bearer)
    await ada.clock.advance(5)

    with pytest.raises(Unauthorized, match="session: has ended"):
        await other.identify(bearer, {}, client=CLIENT, method="GET")

    await other.stop()
    await other.context.close()


async def test_nobody_is_anonymous(server: Server) -> None:
    assert await server.auth.identify({}, {"ophion_session": "rubbish"}, client=CLIENT, method="GET") == ANONYMOUS


async def test_an_access_token_is_bound_to_its_user(ada: Server) -> None:
    from ophion_auth.signing import Claims

    await ada.add_user("bob")
    tokens = (await ada.log_in("bob")).value
    session = ada.accounts.signer.claims(tokens["access_token"]).session_id
    ada_id = (await ada.accounts.users.find("ada")).id  # type: ignore[union-attr]
    forged = ada.accounts.signer.access_token(Claims(ada_id, session))

    with pytest.raises(Unauthorized, match="session: has ended"):
        await ada.call("GET", "/api/auth/me", headers={"authorization": f"Bearer {forged}"})


async def test_what_has_ended_is_removed(ada: Server) -> None:
    from sqlalchemy import func, select

    from ophion_auth.tables import REFRESH_TOKENS, SESSIONS

    await refresh(ada, (await ada.log_in("ada")).value["refresh_token"])
    await ada.clock.advance(30 * 86_400 + 3600)
    await asyncio.wait_for(ada.accounts.prune(), 10)

    async with ada.accounts.store.session() as session:
        for table in (SESSIONS, REFRESH_TOKENS):
            assert (await session.execute(select(func.count()).select_from(table))).scalar_one() == 0
