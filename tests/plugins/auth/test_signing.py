"""Secrets, access tokens and what else is signed."""

import jwt
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ophion_agent.plugin import OphionError
from ophion_agent.server import Unauthorized
from ophion_agent.testing import EPOCH_NS, ManualClock
from ophion_auth.signing import Claims, Signer, check_secret

SECRET = "4f1b0d3c9a7e58264f1b0d3c9a7e5826"
NOW = EPOCH_NS // 10**9


@pytest.mark.parametrize("secret", ["", "changeme", "secret", "your-secret-key", "x" * 31, "ä" * 15])
def test_refuses_short_secrets(secret: str) -> None:
    with pytest.raises(OphionError, match=r"must have at least 32 bytes, got .*; make one with `openssl rand -hex 32`"):
        check_secret(secret)


@pytest.mark.parametrize(
    "secret",
    [
        "changeme-changeme-changeme-changeme",
        "your-secret-key-goes-right-here-00",
        "change-me-run-openssl-rand-hex-32",
        "an-Example-value-of-forty-characters-000",
        "a" * 64,
        "0123456" * 6,
    ],
)
def test_refuses_example_values_without_repeating_them(secret: str) -> None:
    with pytest.raises(OphionError, match="must be random, got an example value; make one with") as caught:
        check_secret(secret)

    assert secret not in str(caught.value)


@given(st.binary(min_size=32, max_size=32))
def test_takes_what_openssl_makes(data: bytes) -> None:
    if len(set(data.hex())) >= 8:
        assert check_secret(data.hex()) == data.hex()


def signer(secret: str = SECRET) -> Signer:
    return Signer(secret, ManualClock(), 900)


def test_claims_are_read_back() -> None:
    assert signer().claims(signer().access_token(Claims("user", "session"))) == Claims("user", "session")


def refuse(token: str) -> None:
    with pytest.raises(
        Unauthorized, match="access token: is not one of this server; get one from POST /api/auth/login"
    ):
        signer().claims(token)


@given(st.text(max_size=100), st.lists(st.text("abcXYZ019_-=", max_size=40), min_size=3, max_size=3))
def test_refuses_what_was_not_signed(text: str, parts: list[str]) -> None:
    refuse(text)
    refuse(".".join(parts))


def test_refuses_other_signatures_and_algorithms() -> None:
    good = {"iss": "ophion", "sub": "u", "sid": "s", "iat": NOW, "exp": NOW + 60}
    key = signer()._access_key

    assert signer().claims(jwt.encode(good, key, algorithm="HS256")) == Claims("u", "s")
    refuse(signer(SECRET[::-1]).access_token(Claims("u", "s")))
    refuse(jwt.encode(good, SECRET, algorithm="HS256"))
    refuse(jwt.encode(good, None, algorithm="none"))
    refuse(jwt.encode(good, key * 2, algorithm="HS512"))
    header, payload, _ = jwt.encode(good, key, algorithm="HS256").split(".")
    refuse(f"{header}.{payload}.")


@pytest.mark.parametrize(
    "change",
    [{"iss": "other"}, {"sub": 7}, {"sid": None}, {"sid": ["s"]}, {"exp": "never"}, {"exp": None}, {"exp": 1e400}],
)
def test_refuses_tokens_of_another_form(change: dict[str, object]) -> None:
    payload = {"iss": "ophion", "sub": "u", "sid": "s", "exp": NOW + 60, **change}

    refuse(jwt.encode({k: v for k, v in payload.items() if v is not None}, signer()._access_key, algorithm="HS256"))


async def test_a_token_ends_by_the_components_clock() -> None:
    clock = ManualClock()
    signing = Signer(SECRET, clock, 900)
    token = signing.access_token(Claims("u", "s"))
    await clock.advance(899)
    signing.claims(token)
    await clock.advance(1)

    with pytest.raises(Unauthorized, match="access token: has ended; get another one from POST /api/auth/refresh"):
        signing.claims(token)


def test_each_use_has_a_key_of_its_own() -> None:
    signing = signer()

    assert len({signing._access_key, signing._csrf_key, signing._digest_key, SECRET.encode()}) == 4
    assert signing.is_csrf("s", signing.csrf("s"))
    assert not signing.is_csrf("other", signing.csrf("s"))
    assert signing.digest("a") != signer(SECRET[::-1]).digest("a")
