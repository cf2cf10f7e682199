"""API keys, which act for a user or a machine, and ingest keys, which may only send telemetry."""

from collections.abc import Collection, Mapping
from types import MappingProxyType
from typing import Final

from sqlalchemy import delete, insert, select, update

from ophion_agent.plugin import Clock
from ophion_agent.server import (
    ROLE_PERMISSIONS,
    BadRequest,
    ControlStore,
    Forbidden,
    NotFound,
    Permission,
    Principal,
    Role,
)
from ophion_auth.audit import Audit
from ophion_auth.records import TOUCH_MS, KeyRecord, key_of, may_see, now_ms
from ophion_auth.tables import KEYS, TENANTS
from ophion_auth.tokens import API_KEY, INGEST_KEY, Token, is_id, new_token

_MOST_LISTED: Final = 10_000
_PREFIXES: Final = {"api": API_KEY, "ingest": INGEST_KEY}
KEY_SCOPES: Final[Mapping[str, frozenset[Permission]]] = MappingProxyType(
    {"api": ROLE_PERMISSIONS[Role.ADMIN], "ingest": frozenset({Permission.INGEST})}
)


class Keys:
    """The keys of all tenants."""

    def __init__(self, store: ControlStore, audit: Audit, clock: Clock) -> None:
        self._store = store
        self._audit = audit
        self._clock = clock

    async def find(self, key_id: str) -> KeyRecord | None:
        """Return a key by id, None where there is none."""
        if not is_id(key_id):
            return None
        async with self._store.session() as session:
            row = (await session.execute(select(KEYS).where(KEYS.c.id == key_id))).first()
        return key_of(row) if row is not None else None

    async def create(
        self,
        principal: Principal,
        name: str,
        *,
        kind: str,
        tenant: str,
        scopes: Collection[Permission] = (),
        user_id: str | None = None,
        expires_ms: int | None = None,
        client: str = "",
    ) -> tuple[KeyRecord, Token]:
        """Add a key and return it with its secret, which is kept nowhere; raises BadRequest, Forbidden or NotFound."""
        granted = _granted(principal, kind, scopes)
        token, now = new_token(_PREFIXES[kind]), now_ms(self._clock)
        if expires_ms is not None and expires_ms <= now:
            raise BadRequest("expires_at: must lie in the future; choose a later time", status=422)
        owner = user_id if kind == "api" else None
        record = KeyRecord(
            token.id,
            tenant,
            owner,
            name,
            kind,
            granted,
            token.secret_hash,
            principal.subject[:100],
            now,
            expires_ms,
            None,
        )
        values = {column.name: getattr(record, column.name) for column in KEYS.columns}
        values["scopes"] = " ".join(sorted(granted))
        async with self._store.session() as session:
            if (await session.execute(select(TENANTS.c.name).where(TENANTS.c.name == tenant))).first() is None:
                raise NotFound(f"tenant: there is no {tenant}; add it first")
            await session.execute(insert(KEYS).values(values))
            facts = {"name": name, "kind": kind, "scopes": sorted(granted), "tenant": tenant, "expires_ms": expires_ms}
            await self._audit.record(principal, "key.create", record.id, facts, client)
        return record, token

    async def listed(self, tenant: str, user_id: str | None) -> list[KeyRecord]:
        """Return the keys of a tenant, newest first; with `user_id` only those of that user."""
        query = select(KEYS).where(KEYS.c.tenant == tenant).order_by(KEYS.c.created_ms.desc(), KEYS.c.id)
        if user_id is not None:
            query = query.where(KEYS.c.user_id == user_id)
        async with self._store.session() as session:
            return [key_of(row) for row in (await session.execute(query.limit(_MOST_LISTED))).all()]

    async def revoke(self, principal: Principal, key_id: str, user_id: str | None, client: str = "") -> None:
        """Remove a key: an admin any of the tenant, others their own; raises NotFound."""
        record = await self.find(key_id)
        own = record is not None and user_id is not None and record.user_id == user_id
        if record is None or not (own or (principal.may(Permission.ADMIN) and may_see(principal, record.tenant))):
            raise NotFound("key: there is none of this id in your tenant")
        async with self._store.session() as session:
            await session.execute(delete(KEYS).where(KEYS.c.id == key_id))
            facts = {"name": record.name, "kind": record.kind, "tenant": record.tenant}
            await self._audit.record(principal, "key.revoke", key_id, facts, client)

    async def touch(self, record: KeyRecord) -> None:
        """Keep the time of the last use, at most once a minute."""
        now = now_ms(self._clock)
        if record.used_ms is not None and record.used_ms > now - TOUCH_MS:
            return
        stale = KEYS.c.used_ms.is_(None) | (KEYS.c.used_ms <= now - TOUCH_MS)
        async with self._store.session() as session:
            await session.execute(update(KEYS).where(KEYS.c.id == record.id, stale).values(used_ms=now))

    async def remove_named(self, name: str, tenant: str) -> None:
        """Remove the machine keys of a name, for the program that replaces its own."""
        same = (KEYS.c.name == name) & (KEYS.c.tenant == tenant) & KEYS.c.user_id.is_(None)
        async with self._store.session() as session:
            await session.execute(delete(KEYS).where(same))


def key_scopes(kind: str, scopes: Collection[str]) -> frozenset[Permission]:
    """Return the scopes of these names; raises BadRequest for those that no key of the kind has."""
    foreign = sorted(set(scopes) - KEY_SCOPES[kind])
    if foreign:
        own = ", ".join(sorted(KEY_SCOPES[kind]))
        remedy = "; telemetry is sent with an ingest key" if Permission.INGEST in foreign else ""
        message = f"scopes: must be among those of an {kind} key ({own}), got {', '.join(foreign)}; leave them out"
        raise BadRequest(f"{message}{remedy}", status=422)
    return frozenset(map(Permission, scopes))


def _granted(principal: Principal, kind: str, scopes: Collection[Permission]) -> frozenset[Permission]:
    """Return what a new key may do, never more than who makes it; raises Forbidden or BadRequest."""
    if kind == "ingest" and not principal.may(Permission.ADMIN):
        raise Forbidden("ingest keys are made by admins; ask one")
    chosen = key_scopes(kind, scopes)
    if kind == "ingest":
        return KEY_SCOPES[kind]
    # A key that was given away for reading must not be able to make others that outlive it.
    if principal.kind == "api_key" and not principal.may(Permission.ADMIN):
        raise Forbidden("keys are made by users and by keys with the scope admin; log in")
    wanted = chosen or principal.permissions
    missing = sorted(wanted - principal.permissions)
    if missing:
        own = ", ".join(sorted(principal.permissions))
        raise Forbidden(f"scopes: must be among your own ({own}), got {', '.join(missing)}; leave them out")
    return wanted
