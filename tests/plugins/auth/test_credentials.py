"""Credentials in headers and cookies, tokens and cookies: whatever is sent is understood or refused."""

import base64
import contextlib
import http.cookies
import string

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ophion_agent.server import Unauthorized
from ophion_auth.cookies import expired_cookies, session_cookies
from ophion_auth.credentials import AccessToken, Cookie, Key, UserPassword, credentials_of
from ophion_auth.tokens import API_KEY, INGEST_KEY, REFRESH, SESSION, Token, new_token, parse_token

KINDS = (API_KEY, INGEST_KEY, REFRESH, SESSION)
tokens = st.builds(
    Token,
    st.sampled_from(KINDS),
    st.text("0123456789abcdef", min_size=16, max_size=16),
    st.text(string.ascii_letters + string.digits + "_-", min_size=43, max_size=43),
)
junk = st.text(max_size=80)


@given(tokens)
def test_a_token_is_read_back_as_it_was_written(token: Token) -> None:
    assert parse_token(token.text, *KINDS) == token
    assert token.secret not in repr(token)


@given(tokens, st.sampled_from(KINDS))
def test_a_token_is_taken_only_for_its_own_use(token: Token, kind: str) -> None:
    assert (parse_token(token.text, kind) is not None) == (kind == token.kind)


@given(tokens, st.data())
def test_a_token_with_anything_more_or_less_is_none(token: Token, data: st.DataObject) -> None:
    place = data.draw(st.integers(0, len(token.text)))
    more = token.text[:place] + data.draw(st.sampled_from(["\n", " ", "=", "\0", "é", "٣", "."])) + token.text[place:]
    less = token.text[:place] + token.text[place + 1 :]

    assert parse_token(more, *KINDS) is None
    assert place == len(token.text) or parse_token(less, token.kind) is None


def test_tokens_are_random() -> None:
    made = [new_token(API_KEY) for _ in range(100)]

    assert len({token.id for token in made}) == len({token.secret for token in made}) == 100
    assert all(parse_token(token.text, API_KEY) == token for token in made)
    assert made[0].fits(made[0].secret_hash)
    assert not made[0].fits(made[1].secret_hash)


@given(st.dictionaries(st.sampled_from(["authorization", "x-api-key", "x-csrf-token"]), junk), junk, junk)
def test_whatever_is_sent_is_understood_or_refused(headers: dict[str, str], cookie: str, secure: str) -> None:
    found: object = None
    with contextlib.suppress(Unauthorized):
        found = credentials_of(headers, {"ophion_session": cookie, "__Host-ophion_session": secure})
    assert found is None or isinstance(found, Key | AccessToken | UserPassword | Cookie)


@given(st.sampled_from(["Basic", "basic", "Bearer", "BEARER"]), st.binary(max_size=60))
def test_whatever_stands_behind_a_scheme_is_understood_or_refused(scheme: str, content: bytes) -> None:
    value = f"{scheme} {base64.b64encode(content).decode()}"
    try:
        found = credentials_of({"authorization": value}, {})
    except Unauthorized:
        return
    assert isinstance(found, UserPassword)
    assert f"{found.user}:{found.password}".encode() == content


@given(st.text(min_size=1, max_size=30).filter(lambda text: ":" not in text), st.text(max_size=60))
def test_basic_gives_name_and_password(user: str, password: str) -> None:
    encoded = base64.b64encode(f"{user}:{password}".encode("utf-8", "replace")).decode()

    found = credentials_of({"authorization": f"Basic {encoded}"}, {})

    assert found == UserPassword(user.encode("utf-8", "replace").decode(), password.encode("utf-8", "replace").decode())
    assert "password" not in repr(found)


@given(tokens.filter(lambda token: token.kind in (API_KEY, INGEST_KEY)))
def test_a_key_is_found_in_every_place(token: Token) -> None:
    for text in (f":{token.text}", f"{token.text}:", f"api:{token.text}", token.text):
        encoded = base64.b64encode(text.encode()).decode()
        assert credentials_of({"authorization": f"Basic {encoded}"}, {}) == Key(token)
    assert credentials_of({"authorization": f"Bearer  {token.text} "}, {}) == Key(token)
    assert credentials_of({"x-api-key": token.text}, {}) == Key(token)


def test_headers_win_over_cookies() -> None:
    key, session = new_token(API_KEY), new_token(SESSION)
    cookies = {"ophion_session": session.text}

    assert credentials_of({"authorization": "Bearer a.b.c", "x-api-key": key.text}, cookies) == AccessToken("a.b.c")
    assert credentials_of({"x-api-key": key.text}, cookies) == Key(key)
    assert credentials_of({"x-csrf-token": "t"}, cookies) == Cookie(session, "t")


def test_the_cookie_that_is_bound_to_the_host_wins() -> None:
    planted, own = new_token(SESSION), new_token(SESSION)

    found = credentials_of({}, {"ophion_session": planted.text, "__Host-ophion_session": own.text})

    assert found == Cookie(own, "")


@pytest.mark.parametrize(
    ("header", "message"),
    [
        ("Digest x", "Authorization header: must be Bearer or Basic"),
        ("Bearer rubbish", "Bearer: must be a key such as oph_<id>_<secret> or an access token"),
        ("Basic !", "Authorization header: Basic must carry user:password in base64"),
        ("Basic eA==", "Authorization header: Basic must carry user:password or a key"),
        ("Basic OnNlY3JldA==", "Authorization header: Basic must carry user:password or a key"),
        ("Bearer " + "x" * 5000, "Authorization header: must have at most 4096 characters"),
    ],
)
def test_says_what_is_wrong_without_repeating_it(header: str, message: str) -> None:
    with pytest.raises(Unauthorized) as caught:
        credentials_of({"authorization": header}, {})

    assert caught.value.detail.startswith(message)
    assert "rubbish" not in caught.value.detail


def test_says_what_is_wrong_with_an_api_key() -> None:
    with pytest.raises(Unauthorized, match="X-API-Key: must be a key such as"):
        credentials_of({"x-api-key": "rubbish"}, {})


@given(tokens, st.booleans())
def test_browsers_read_the_cookies_back(token: Token, secure: bool) -> None:
    jar: http.cookies.SimpleCookie = http.cookies.SimpleCookie()
    for cookie in session_cookies(token.text, "c5f", secure=secure, max_age_seconds=60.5):
        jar.load(cookie)
    prefix = "__Host-" if secure else ""
    session, csrf = jar[f"{prefix}ophion_session"], jar[f"{prefix}ophion_csrf"]

    assert (session.value, csrf.value) == (token.text, "c5f")
    assert (session["httponly"], csrf["httponly"]) == (True, "")
    assert (session["samesite"], csrf["samesite"]) == ("Lax", "Strict")
    assert {bool(cookie["secure"]) for cookie in (session, csrf)} == {secure}
    assert {cookie["path"] for cookie in (session, csrf)} == {"/"}
    assert [cookie.split("=")[0] for cookie in expired_cookies(secure=secure)] == list(jar)
