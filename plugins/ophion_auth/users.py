"""Users: who may log in, with which role in which tenant."""

import re
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

from sqlalchemy import ColumnElement, delete, func, insert, select, update
from sqlalchemy.exc import IntegrityError

from ophion_agent.plugin import Clock
from ophion_agent.server import BadRequest, Conflict, ControlStore, NotFound, Principal, Role
from ophion_auth.audit import Audit
from ophion_auth.passwords import Passwords, check_password, new_password
from ophion_auth.records import User, may_see, now_ms, user_of
from ophion_auth.tables import SESSIONS, TENANTS, USERS
from ophion_auth.tokens import new_id

if TYPE_CHECKING:
    from sqlalchemy.ext.asyncio import AsyncSession

_NAME: Final = re.compile(r"[a-z0-9][a-z0-9._@+-]{0,63}", re.ASCII)
_MOST_LISTED: Final = 10_000


def account_of(name: str) -> str:
    """Return the name as accounts are counted and found by; "" for one that no user can have."""
    folded = name.lower() if name.isascii() else ""
    return folded if _NAME.fullmatch(folded) else ""


@dataclass(frozen=True, slots=True, repr=False)
class NewPassword:
    """A password that is fit to be set; `generated` is the password itself where it was made here."""

    hashed: str
    generated: str | None


class Users:
    """The users of all tenants; a name exists once in the whole installation."""

    def __init__(self, store: ControlStore, passwords: Passwords, audit: Audit, clock: Clock) -> None:
        self._store = store
        self._passwords = passwords
        self._audit = audit
        self._clock = clock

    async def find(self, name: str) -> User | None:
        """Return a user by name, None where there is none."""
        account = account_of(name)
        return await self._one(USERS.c.name == account) if account else None

    async def by_id(self, user_id: str) -> User | None:
        """Return a user by id, None where there is none."""
        return await self._one(USERS.c.id == user_id)

    async def seen_by(self, principal: Principal, name: str) -> User:
        """Return a user that the caller may know of; raises NotFound otherwise."""
        user = await self.find(name)
        if user is None or not may_see(principal, user.tenant):
            raise NotFound("user: there is none of this name in your tenant")
        return user

    async def of_tenant(self, tenant: str) -> list[User]:
        """Return the users of a tenant by name."""
        query = select(USERS).where(USERS.c.tenant == tenant).order_by(USERS.c.name).limit(_MOST_LISTED)
        async with self._store.session() as session:
            return [user_of(row) for row in (await session.execute(query)).all()]

    async def create(
        self, principal: Principal, name: str, password: str | None, role: Role, tenant: str, client: str = ""
    ) -> tuple[User, str | None]:
        """Add a user and return it, with the password where it was generated; raises BadRequest or Conflict."""
        account = account_of(name)
        if not account:
            rule = "username: must be 1-64 of a-z, 0-9 and . _ @ + -, beginning with a letter or digit"
            raise BadRequest(f"{rule}; choose another one", status=422)
        generated = new_password() if password is None else None
        hashed = await self._passwords.hash(generated or check_password(password or "", account))
        now = now_ms(self._clock)
        user = User(new_id(), account, tenant, role, hashed, generated is not None, now, False, now)
        await self._add(principal, user, client)
        return user, generated

    async def change(
        self, principal: Principal, user: User, *, role: Role | None, disabled: bool | None, client: str = ""
    ) -> User:
        """Change role or state and end the user's sessions; raises Conflict for the tenant's last admin."""
        values = {"role": role or user.role, "disabled": user.disabled if disabled is None else disabled}
        async with self._store.session() as session:
            await self._lock_admins(session, user.tenant)
            await session.execute(update(USERS).where(USERS.c.id == user.id).values(values))
            await self._keep_an_admin(session, user.tenant)
            await self._end_sessions(session, user.id)
            await self._audit.record(principal, "user.change", user.name, {"tenant": user.tenant, **values}, client)
        return await self.by_id(user.id) or user

    async def remove(self, principal: Principal, user: User, client: str = "") -> None:
        """Remove a user with sessions and API keys; raises Conflict for the tenant's last admin."""
        async with self._store.session() as session:
            await self._lock_admins(session, user.tenant)
            await session.execute(delete(USERS).where(USERS.c.id == user.id))
            await self._keep_an_admin(session, user.tenant)
            await self._audit.record(principal, "user.remove", user.name, {"tenant": user.tenant}, client)

    async def prepare_password(self, user: User, password: str | None) -> NewPassword:
        """Check and hash a password, or a generated one for None; raises BadRequest. Belongs before any transaction."""
        generated = new_password() if password is None else None
        hashed = await self._passwords.hash(generated or check_password(password or "", user.name))
        return NewPassword(hashed, generated)

    async def store_password(self, principal: Principal, user: User, password: NewPassword, client: str = "") -> None:
        """Set a password and end the user's sessions."""
        values = {
            "password_hash": password.hashed,
            "password_generated": password.generated is not None,
            "password_ms": now_ms(self._clock),
        }
        async with self._store.session() as session:
            await session.execute(update(USERS).where(USERS.c.id == user.id).values(values))
            await self._end_sessions(session, user.id)
            await self._audit.record(principal, "user.password", user.name, {"tenant": user.tenant}, client)

    async def renew_hash(self, user: User, password: str) -> User:
        """Hash a right password again where the configured costs have changed, and return the user as it is then."""
        if not self._passwords.is_outdated(user.password_hash):
            return user
        hashed = await self._passwords.hash(password)
        same = (USERS.c.id == user.id) & (USERS.c.password_hash == user.password_hash)
        async with self._store.session() as session:
            await session.execute(update(USERS).where(same).values(password_hash=hashed))
        return replace(user, password_hash=hashed)

    async def _add(self, principal: Principal, user: User, client: str) -> None:
        values = {column.name: getattr(user, column.name) for column in USERS.columns}
        try:
            async with self._store.session() as session:
                if (await session.execute(select(TENANTS.c.name).where(TENANTS.c.name == user.tenant))).first() is None:
                    raise NotFound(f"tenant: there is no {user.tenant}; add it first")
                await session.execute(insert(USERS).values(values))
                facts = {"tenant": user.tenant, "role": user.role}
                await self._audit.record(principal, "user.create", user.name, facts, client)
        except IntegrityError:
            raise Conflict("username: is taken; choose another one") from None

    async def _one(self, condition: ColumnElement[bool]) -> User | None:
        async with self._store.session() as session:
            row = (await session.execute(select(USERS).where(condition))).first()
        return user_of(row) if row is not None else None

    async def _lock_admins(self, session: "AsyncSession", tenant: str) -> None:
        """Let no other transaction change the admins meanwhile: two could each remove the one whom the other keeps."""
        query = select(USERS.c.id).where(USERS.c.tenant == tenant, USERS.c.role == Role.ADMIN)
        await session.execute(query.order_by(USERS.c.id).with_for_update())

    async def _keep_an_admin(self, session: "AsyncSession", tenant: str) -> None:
        admins = (USERS.c.tenant == tenant) & (USERS.c.role == Role.ADMIN) & USERS.c.disabled.is_(False)
        if not (await session.execute(select(func.count()).where(admins))).scalar_one():
            raise Conflict("user: is the last admin of the tenant; make somebody else admin first")

    async def _end_sessions(self, session: "AsyncSession", user_id: str) -> None:
        await session.execute(delete(SESSIONS).where(SESSIONS.c.user_id == user_id))
