"""Who is calling: turns credentials into principals, and remembers for a moment what the control store said."""

import contextlib
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Final

from ophion_agent.plugin import Clock
from ophion_agent.server import ANONYMOUS, ROLE_PERMISSIONS, Forbidden, Overloaded, Principal, Unauthorized
from ophion_auth.config import AuthConfig
from ophion_auth.credentials import AccessToken, Cookie, Key, UserPassword, credentials_of
from ophion_auth.expiring import Expiring
from ophion_auth.keys import Keys
from ophion_auth.logins import Logins
from ophion_auth.passwords import LONGEST_BYTES, Passwords
from ophion_auth.records import TOUCH_MS, KeyRecord, Session, User, now_ms
from ophion_auth.sessions import Sessions
from ophion_auth.signing import Signer
from ophion_auth.tokens import Token
from ophion_auth.users import Users, account_of

SAFE_METHODS: Final = frozenset({"GET", "HEAD", "OPTIONS"})
_WRONG_LOGIN: Final = "wrong user name or password"
_ENDED: Final = "session: has ended; log in again"
_INVALID: Final = 'Bearer error="invalid_token"'


@dataclass(frozen=True, slots=True)
class _Nothing:
    """Remembered in place of what is not there, so that asking again costs nothing either."""


class Identities:
    """Finds the caller of each request."""

    def __init__(
        self,
        config: AuthConfig,
        users: Users,
        keys: Keys,
        sessions: Sessions,
        logins: Logins,
        passwords: Passwords,
        signer: Signer,
        clock: Clock,
    ) -> None:
        self._users, self._keys, self._sessions = users, keys, sessions
        self._logins, self._passwords, self._signer = logins, passwords, signer
        self._clock = clock
        self._key_cache: Expiring[str, tuple[KeyRecord, User | None] | _Nothing] = Expiring(
            config.cache_lifetime, clock
        )
        self._session_cache: Expiring[str, Session | _Nothing] = Expiring(config.cache_lifetime, clock)
        self._user_cache: Expiring[str, User | _Nothing] = Expiring(config.cache_lifetime, clock)
        self._touched: Expiring[str, bool] = Expiring(TOUCH_MS / 1000, clock)
        # Digest of name and password -> the user's id and the hash that was verified.
        self._basic_cache: Expiring[bytes, tuple[str, str]] = Expiring(config.basic_cache_lifetime, clock)

    def forget(self) -> None:
        """Forget what the control store said: something was changed here."""
        self._key_cache.clear()
        self._session_cache.clear()
        self._user_cache.clear()
        self._basic_cache.clear()

    async def identify(
        self, headers: Mapping[str, str], cookies: Mapping[str, str], *, client: str, method: str
    ) -> Principal:
        """Return who calls, ANONYMOUS without credentials; raises Unauthorized, Forbidden or TooManyRequests."""
        match credentials_of(headers, cookies):
            case None:
                return ANONYMOUS
            case Key(token):
                return await self.by_key(token)
            case AccessToken(text):
                return await self._by_access_token(text)
            case UserPassword(name, password):
                _refuse_cross_site(headers, method)
                return (await self.by_password(name, password, client)).principal()
            case Cookie(token, csrf):
                return await self._by_cookie(token, csrf, headers, method)

    async def by_ingest_credentials(self, headers: Mapping[str, str]) -> Principal:
        """Return the principal of the key that a sender of telemetry gave; raises Unauthorized."""
        credentials = credentials_of(headers, {})
        if not isinstance(credentials, Key):
            raise Unauthorized("missing ingest key; send `Authorization: Bearer ophi_...` or `X-API-Key: ophi_...`")
        return await self.by_key(credentials.token)

    async def by_key(self, token: Token) -> Principal:
        """Return the principal of a key; raises Unauthorized."""
        found = await self._key_cache.get_or_read(token.id, lambda: self._read_key(token.id))
        if isinstance(found, _Nothing):
            raise Unauthorized("key: is not known here, or was revoked; make a new one", _INVALID)
        record, user = found
        if not token.fits(record.secret_hash):
            raise Unauthorized("key: is not known here, or was revoked; make a new one", _INVALID)
        if record.is_over(now_ms(self._clock)):
            raise Unauthorized("key: has expired; make a new one", _INVALID)
        await self._touch(f"key {record.id}", lambda: self._keys.touch(record))
        if record.kind == "ingest":
            return Principal(record.id, "ingest_key", record.tenant, record.scopes)
        permissions = record.scopes & ROLE_PERMISSIONS[user.role] if user is not None else record.scopes
        return Principal(record.id, "api_key", record.tenant, permissions)

    async def by_password(self, name: str, password: str, client: str) -> User:
        """Return the user that a password proves; raises Unauthorized, or TooManyRequests before anything is hashed."""
        digest = self._signer.digest(f"{name}\n{password}")
        user_id, verified = self._basic_cache.get(digest) or ("", "")
        user = await self._user_cache.get_or_read(user_id, lambda: self._read_user(user_id)) if user_id else None
        if isinstance(user, User) and user.password_hash == verified and not user.disabled:
            return user
        user = await self.log_in(name, password, client)
        self._basic_cache.put(digest, (user.id, user.password_hash))
        return user

    async def log_in(self, name: str, password: str, client: str) -> User:
        """Like `by_password`, and never from memory."""
        account = account_of(name)
        await self._logins.begin(account or "?", client)
        user = await self._users.find(name)
        fits = len(password) <= LONGEST_BYTES
        right = await self._passwords.verify(user.password_hash if user else None, password if fits else "")
        if user is None or not right or not fits or user.disabled:
            raise Unauthorized(_WRONG_LOGIN)
        await self._logins.succeeded(account, client)
        return await self._users.renew_hash(user, password)

    async def _by_access_token(self, text: str) -> Principal:
        claims = self._signer.claims(text)
        session = await self._session(claims.session_id)
        if session.user.id != claims.user_id:
            raise Unauthorized(_ENDED, _INVALID)
        return session.user.principal(session.id)

    async def _by_cookie(self, token: Token, csrf: str, headers: Mapping[str, str], method: str) -> Principal:
        session = await self._session(token.id)
        if not self._sessions.admits_cookie(session, token):
            raise Unauthorized(_ENDED)
        if method.upper() not in SAFE_METHODS:
            _refuse_cross_site(headers, method)
            if not self._signer.is_csrf(session.id, csrf):
                raise Forbidden("X-CSRF-Token: must be the value of the ophion_csrf cookie; send it with every change")
        await self._touch(f"session {session.id}", lambda: self._sessions.touch(session))
        return session.user.principal(session.id)

    async def _touch(self, what: str, keep: Callable[[], Awaitable[None]]) -> None:
        """Keep the time of a use, once a minute; whoever calls is let in also where that fails."""
        if self._touched.get(what) is None:
            self._touched.put(what, True)
            with contextlib.suppress(Overloaded):
                await keep()

    async def _session(self, session_id: str) -> Session:
        found = await self._session_cache.get_or_read(session_id, lambda: self._read_session(session_id))
        if isinstance(found, _Nothing) or found.expires_ms <= now_ms(self._clock):
            raise Unauthorized(_ENDED, _INVALID)
        return found

    async def _read_session(self, session_id: str) -> Session | _Nothing:
        return await self._sessions.find(session_id) or _Nothing()

    async def _read_user(self, user_id: str) -> User | _Nothing:
        return await self._users.by_id(user_id) or _Nothing()

    async def _read_key(self, key_id: str) -> tuple[KeyRecord, User | None] | _Nothing:
        record = await self._keys.find(key_id)
        if record is None:
            return _Nothing()
        user = await self._users.by_id(record.user_id) if record.user_id is not None else None
        return _Nothing() if user is not None and user.disabled else (record, user)


def _refuse_cross_site(headers: Mapping[str, str], method: str) -> None:
    """Refuse a change that another site's page made the browser send with what it remembers."""
    if method.upper() not in SAFE_METHODS and headers.get("sec-fetch-site", "") == "cross-site":
        raise Forbidden("request comes from another site's page; send changes from your own")
