"""What a request says about who sends it: the Authorization and X-API-Key headers and the cookies, taken apart."""

import base64
import binascii
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from ophion_agent.server import Unauthorized
from ophion_auth.tokens import API_KEY, INGEST_KEY, SESSION, Token, parse_token

SESSION_COOKIE: Final = "ophion_session"
CSRF_COOKIE: Final = "ophion_csrf"
CSRF_HEADER: Final = "x-csrf-token"
SECURE_PREFIX: Final = "__Host-"
LONGEST: Final = 4096
_FORMS: Final = (
    "send `Authorization: Bearer <key or access token>`, `Basic <user:password in base64>` or `X-API-Key: <key>`"
)


@dataclass(frozen=True, slots=True, repr=False)
class Key:
    """An API or ingest key."""

    token: Token


@dataclass(frozen=True, slots=True, repr=False)
class AccessToken:
    """Something that may be a signed access token."""

    text: str


@dataclass(frozen=True, slots=True, repr=False)
class UserPassword:
    """A user's name and password over Basic."""

    user: str
    password: str


@dataclass(frozen=True, slots=True, repr=False)
class Cookie:
    """A browser's session, and the CSRF token that its page sent along."""

    token: Token
    csrf: str


Credentials = Key | AccessToken | UserPassword | Cookie


def credentials_of(headers: Mapping[str, str], cookies: Mapping[str, str]) -> Credentials | None:
    """Return what was sent, None for nothing; the Authorization header wins, then X-API-Key, then the cookie.

    Raises Unauthorized for what has none of the known forms. Header names are lower case.
    """
    authorization = headers.get("authorization", "").strip()
    if authorization:
        return _of_authorization(authorization)
    key = headers.get("x-api-key", "").strip()
    if key:
        return _key(key, "X-API-Key")
    return _of_cookies(headers, cookies)


def _of_authorization(value: str) -> Credentials:
    if len(value) > LONGEST:
        raise Unauthorized(f"Authorization header: must have at most {LONGEST} characters; {_FORMS}")
    scheme, _, rest = value.partition(" ")
    rest = rest.strip()
    if scheme.lower() == "bearer":
        return AccessToken(rest) if rest.count(".") == 2 else _key(rest, "Bearer")
    if scheme.lower() == "basic":
        return _of_basic(rest)
    raise Unauthorized(f"Authorization header: must be Bearer or Basic; {_FORMS}")


def _of_basic(encoded: str) -> Credentials:
    try:
        user, colon, password = base64.b64decode(encoded, validate=True).decode().partition(":")
    except (binascii.Error, ValueError):
        raise Unauthorized(f"Authorization header: Basic must carry user:password in base64; {_FORMS}") from None
    # A key may stand on either side: clients differ in which one they let be empty.
    for candidate in (password, user):
        token = parse_token(candidate, API_KEY, INGEST_KEY)
        if token is not None:
            return Key(token)
    if not colon or not user:
        raise Unauthorized(f"Authorization header: Basic must carry user:password or a key; {_FORMS}")
    return UserPassword(user, password)


def _key(text: str, where: str) -> Key:
    token = parse_token(text, API_KEY, INGEST_KEY)
    if token is None:
        raise Unauthorized(f"{where}: must be a key such as oph_<id>_<secret> or an access token; {_FORMS}")
    return Key(token)


def _of_cookies(headers: Mapping[str, str], cookies: Mapping[str, str]) -> Cookie | None:
    # A cookie with the prefix cannot have been planted by a neighbouring host.
    text = cookies.get(SECURE_PREFIX + SESSION_COOKIE) or cookies.get(SESSION_COOKIE, "")
    token = parse_token(text, SESSION)
    return Cookie(token, headers.get(CSRF_HEADER, "")) if token is not None else None
