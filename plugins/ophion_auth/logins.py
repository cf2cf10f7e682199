"""Sliding-window limits of wrong passwords, per account and per address, shared by all servers of a control store."""

from sqlalchemy import delete, func, insert, select

from ophion_agent.plugin import Clock
from ophion_agent.server import ControlStore, TooManyRequests
from ophion_auth.config import LoginLimits
from ophion_auth.limits import address_key
from ophion_auth.records import now_ms
from ophion_auth.tables import FAILURES, LOCKOUTS, LOGIN_LOCK, SETTINGS


class Logins:
    """Counts each attempt as failed before its password is verified: attempts at once cannot slip past the limit."""

    def __init__(self, config: LoginLimits, store: ControlStore, clock: Clock) -> None:
        self._config = config
        self._store = store
        self._clock = clock

    async def begin(self, account: str, client: str) -> None:
        """Count an attempt; raises TooManyRequests while the account or the address is locked."""
        subjects = self._subjects(account, client)
        now = now_ms(self._clock)
        async with self._store.session() as session:
            # On PostgreSQL attempts would not see one another; SQLite has one writer anyway.
            await session.execute(select(SETTINGS.c.name).where(SETTINGS.c.name == LOGIN_LOCK).with_for_update())
            locked = select(func.max(LOCKOUTS.c.until_ms)).where(LOCKOUTS.c.subject.in_(subjects))
            until = (await session.execute(locked)).scalar_one()
            if until is None or until <= now:
                await session.execute(insert(FAILURES), [{"subject": name, "at_ms": now} for name in subjects])
                for subject, limit in subjects.items():
                    await self._lock_beyond(subject, limit, now)
        if until is not None and until > now:
            raise TooManyRequests("too many wrong passwords; wait and try again", (until - now) / 1000)

    async def succeeded(self, account: str, client: str) -> None:
        """Forget the account's failures and take back the one that was counted for the address."""
        account_subject, address_subject = self._subjects(account, client)
        async with self._store.session() as session:
            await session.execute(delete(FAILURES).where(FAILURES.c.subject == account_subject))
            await session.execute(delete(LOCKOUTS).where(LOCKOUTS.c.subject == account_subject))
            newest = select(func.max(FAILURES.c.id)).where(FAILURES.c.subject == address_subject).scalar_subquery()
            await session.execute(delete(FAILURES).where(FAILURES.c.id == newest))
            if await self._count(address_subject, now_ms(self._clock)) < self._config.failures_per_address:
                await session.execute(delete(LOCKOUTS).where(LOCKOUTS.c.subject == address_subject))

    async def unlock(self, account: str) -> None:
        """Let an account log in again."""
        subject, _ = self._subjects(account, "")
        async with self._store.session() as session:
            await session.execute(delete(FAILURES).where(FAILURES.c.subject == subject))
            await session.execute(delete(LOCKOUTS).where(LOCKOUTS.c.subject == subject))

    async def prune(self) -> None:
        """Remove what counts no more."""
        now = now_ms(self._clock)
        async with self._store.session() as session:
            await session.execute(delete(FAILURES).where(FAILURES.c.at_ms <= now - self._window_ms))
            await session.execute(delete(LOCKOUTS).where(LOCKOUTS.c.until_ms <= now))

    @property
    def _window_ms(self) -> int:
        return int(self._config.window * 1000)

    def _subjects(self, account: str, client: str) -> dict[str, int]:
        return {
            f"account {account}": self._config.failures_per_account,
            f"address {address_key(client)}": self._config.failures_per_address,
        }

    async def _count(self, subject: str, now: int) -> int:
        recent = (FAILURES.c.subject == subject) & (FAILURES.c.at_ms > now - self._window_ms)
        async with self._store.session() as session:
            counted: int = (await session.execute(select(func.count()).where(recent))).scalar_one()
        return counted

    async def _lock_beyond(self, subject: str, limit: int, now: int) -> None:
        """Lock a subject whose last attempt within the limit this is; a right password takes the lock away again."""
        if await self._count(subject, now) < limit:
            return
        until = now + int(self._config.lockout * 1000)
        async with self._store.session() as session:
            await session.execute(delete(LOCKOUTS).where(LOCKOUTS.c.subject == subject))
            await session.execute(insert(LOCKOUTS).values(subject=subject, until_ms=until))
