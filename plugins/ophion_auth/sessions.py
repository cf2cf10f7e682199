"""Sessions of users: a browser's cookie, and refresh tokens of which each works once.

A refresh token that comes a second time was stolen, or the first one was: the whole session ends (RFC 9700, 4.14.2).
"""

from dataclasses import dataclass
from typing import Any, Final

from sqlalchemy import delete, insert, select, update

from ophion_agent.plugin import Clock
from ophion_agent.server import ControlStore, Principal, Unauthorized
from ophion_auth.audit import Audit
from ophion_auth.config import AuthConfig
from ophion_auth.records import TOUCH_MS, Session, User, now_ms, user_of
from ophion_auth.tables import REFRESH_TOKENS, SESSIONS, USERS
from ophion_auth.tokens import REFRESH, SESSION, Token, new_id, new_token, parse_token

_REFUSED: Final = "refresh token: is not valid any more; log in again"
_CHALLENGE: Final = 'Bearer error="invalid_token"'


@dataclass(frozen=True, slots=True, repr=False)
class Opened:
    """A session and its secrets, which are shown once."""

    id: str
    user: User
    refresh: Token
    cookie: Token | None = None


class Sessions:
    """Opens, finds, renews and ends sessions."""

    def __init__(self, config: AuthConfig, store: ControlStore, audit: Audit, clock: Clock) -> None:
        self._store = store
        self._audit = audit
        self._clock = clock
        self._refresh_ms = int(config.refresh_token_lifetime * 1000)
        self.cookie_seconds = config.session_lifetime
        self._cookie_ms = int(config.session_lifetime * 1000)
        self._idle_ms = int(config.session_idle_timeout * 1000)

    async def open(self, user: User, client: str) -> Opened:
        """Begin a session."""
        now, session_id = now_ms(self._clock), new_id()
        cookie, refresh = new_token(SESSION, session_id), new_token(REFRESH)
        values = {
            "id": session_id,
            "user_id": user.id,
            "cookie_hash": cookie.secret_hash,
            "client": client[:64],
            "created_ms": now,
            "used_ms": now,
            "expires_ms": now + max(self._refresh_ms, self._cookie_ms),
        }
        async with self._store.session() as session:
            await session.execute(insert(SESSIONS).values(values))
            await session.execute(insert(REFRESH_TOKENS).values(self._refresh_row(refresh, session_id, now)))
            await self._audit.record(user.principal(session_id), "login", user.name, client=client)
        return Opened(session_id, user, refresh, cookie)

    async def find(self, session_id: str) -> Session | None:
        """Return a session that has not ended, of a user who may log in."""
        columns = [column.label(f"session_{column.name}") for column in SESSIONS.columns]
        query = select(USERS, *columns).join(SESSIONS, SESSIONS.c.user_id == USERS.c.id)
        async with self._store.session() as session:
            row = (await session.execute(query.where(SESSIONS.c.id == session_id))).first()
        if row is None or row.disabled or row.session_expires_ms <= now_ms(self._clock):
            return None
        return Session(
            id=session_id,
            user=user_of(row),
            cookie_hash=row.session_cookie_hash,
            created_ms=row.session_created_ms,
            used_ms=row.session_used_ms,
            expires_ms=row.session_expires_ms,
        )

    def admits_cookie(self, session: Session, cookie: Token) -> bool:
        """Tell whether the cookie is the session's, and used often and recently enough."""
        now = now_ms(self._clock)
        in_time = now < session.created_ms + self._cookie_ms and now < session.used_ms + self._idle_ms
        return cookie.fits(session.cookie_hash) and in_time

    async def touch(self, session: Session) -> None:
        """Keep the time of the last use, at most once a minute."""
        now = now_ms(self._clock)
        if session.used_ms > now - TOUCH_MS:
            return
        stale = (SESSIONS.c.id == session.id) & (SESSIONS.c.used_ms <= now - TOUCH_MS)
        async with self._store.session() as transaction:
            await transaction.execute(update(SESSIONS).where(stale).values(used_ms=now))

    async def refresh(self, text: str, client: str) -> Opened:
        """Take a refresh token and return the next one; raises Unauthorized, and ends the session of a used token."""
        token = parse_token(text, REFRESH)
        row = await self._refresh_token(token.id) if token is not None else None
        if token is None or row is None or not token.fits(row.secret_hash):
            raise Unauthorized(_REFUSED, _CHALLENGE)
        found = await self.find(row.session_id)
        if found is None or row.expires_ms <= now_ms(self._clock):
            raise Unauthorized(_REFUSED, _CHALLENGE)
        following = new_token(REFRESH)
        if not await self._exchange(token, following, found):
            await self._end_stolen(found, client)
            raise Unauthorized("refresh token: was used before, so its session was ended; log in again", _CHALLENGE)
        return Opened(found.id, found.user, following)

    async def end(self, principal: Principal, session_id: str, client: str) -> None:
        """End a session."""
        async with self._store.session() as session:
            await session.execute(delete(SESSIONS).where(SESSIONS.c.id == session_id))
            await self._audit.record(principal, "logout", principal.subject, client=client)

    async def prune(self) -> None:
        """Remove sessions that have ended, and used refresh tokens after their end."""
        now = now_ms(self._clock)
        async with self._store.session() as session:
            await session.execute(delete(SESSIONS).where(SESSIONS.c.expires_ms <= now))
            await session.execute(delete(REFRESH_TOKENS).where(REFRESH_TOKENS.c.expires_ms <= now))

    def _refresh_row(self, token: Token, session_id: str, now: int) -> dict[str, Any]:
        return {
            "id": token.id,
            "session_id": session_id,
            "secret_hash": token.secret_hash,
            "expires_ms": now + self._refresh_ms,
        }

    async def _refresh_token(self, token_id: str) -> Any:
        async with self._store.session() as session:
            return (await session.execute(select(REFRESH_TOKENS).where(REFRESH_TOKENS.c.id == token_id))).first()

    async def _exchange(self, token: Token, following: Token, found: Session) -> bool:
        """Mark a token as used and store the next; false where it was used already, even at this very moment."""
        now = now_ms(self._clock)
        unused = (REFRESH_TOKENS.c.id == token.id) & REFRESH_TOKENS.c.used_ms.is_(None)
        async with self._store.session() as session:
            marked: Any = await session.execute(update(REFRESH_TOKENS).where(unused).values(used_ms=now))
            if marked.rowcount != 1:
                return False
            await session.execute(insert(REFRESH_TOKENS).values(self._refresh_row(following, found.id, now)))
            longer = max(found.expires_ms, now + self._refresh_ms)
            await session.execute(update(SESSIONS).where(SESSIONS.c.id == found.id).values(expires_ms=longer))
        return True

    async def _end_stolen(self, found: Session, client: str) -> None:
        async with self._store.session() as session:
            await session.execute(delete(SESSIONS).where(SESSIONS.c.id == found.id))
            principal, detail = found.user.principal(found.id), {"reason": "a refresh token came twice"}
            await self._audit.record(principal, "session.revoke", found.user.name, detail, client)
