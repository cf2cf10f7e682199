"""Tenants, and for how long each keeps its telemetry."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from sqlalchemy import delete, insert, select, update
from sqlalchemy.exc import IntegrityError

from ophion_agent.plugin import Clock
from ophion_agent.server import DEFAULT_TENANT, BadRequest, Conflict, ControlStore, NotFound, Principal, check_tenant
from ophion_auth.audit import Audit
from ophion_auth.records import now_ms
from ophion_auth.tables import REMOVED_TENANTS, TENANTS

if TYPE_CHECKING:
    from sqlalchemy.ext.asyncio import AsyncSession

SIGNALS = ("traces", "metrics", "logs")
# Other servers may know a tenant's keys and database for a while after its removal.
_NAME_RESTS_MS: Final = 300_000


@dataclass(frozen=True, slots=True)
class TenantRecord:
    """A row of auth_tenants; `days` per signal, None where the store's own retention holds."""

    name: str
    created_ms: int
    days: Mapping[str, int | None]


class Tenants:
    """The tenants of the installation."""

    def __init__(self, store: ControlStore, audit: Audit, clock: Clock) -> None:
        self._store = store
        self._audit = audit
        self._clock = clock

    async def listed(self) -> list[TenantRecord]:
        """Return all tenants by name."""
        async with self._store.session() as session:
            rows = (await session.execute(select(TENANTS).order_by(TENANTS.c.name))).mappings().all()
        return [
            TenantRecord(row["name"], row["created_ms"], {signal: row[f"{signal}_days"] for signal in SIGNALS})
            for row in rows
        ]

    async def find(self, name: str) -> TenantRecord:
        """Return a tenant; raises NotFound."""
        for tenant in await self.listed():
            if tenant.name == name:
                return tenant
        raise NotFound("tenant: there is none of this name")

    async def create(
        self, principal: Principal, name: str, days: Mapping[str, int | None], client: str = ""
    ) -> TenantRecord:
        """Add a tenant; raises BadRequest or Conflict."""
        try:
            check_tenant(name)
        except ValueError as error:
            raise BadRequest(f"{error}; choose another name", status=422) from None
        values = {"name": name, "created_ms": now_ms(self._clock), **_columns(days)}
        try:
            async with self._store.session() as session:
                await self._take_name(session, name)
                await session.execute(insert(TENANTS).values(values))
                await self._audit.record(principal, "tenant.create", name, dict(days), client)
        except IntegrityError:
            raise Conflict("tenant: is there already; choose another name") from None
        return await self.find(name)

    async def change(
        self, principal: Principal, name: str, days: Mapping[str, int | None], client: str = ""
    ) -> TenantRecord:
        """Set the retention of the signals in `days`; raises NotFound."""
        await self.find(name)
        if days:
            async with self._store.session() as session:
                await session.execute(update(TENANTS).where(TENANTS.c.name == name).values(_columns(days)))
                await self._audit.record(principal, "tenant.change", name, dict(days), client)
        return await self.find(name)

    async def remove(self, principal: Principal, name: str, client: str = "") -> None:
        """Remove a tenant with its users and keys, and let its telemetry be deleted; raises NotFound or Conflict."""
        if name == DEFAULT_TENANT:
            raise Conflict(f"tenant: {DEFAULT_TENANT} always exists; remove its users and keys instead")
        removed = delete(TENANTS).where(TENANTS.c.name == name).returning(TENANTS.c.name)
        async with self._store.session() as session:
            if (await session.execute(removed)).first() is None:
                raise NotFound("tenant: there is none of this name")
            await session.execute(delete(REMOVED_TENANTS).where(REMOVED_TENANTS.c.name == name))
            values = {"name": name, "removed_ms": now_ms(self._clock)}
            await session.execute(insert(REMOVED_TENANTS).values(values))
            await self._audit.record(principal, "tenant.remove", name, client=client)

    async def removed(self) -> list[str]:
        """Return the tenants that were removed and not added again since."""
        async with self._store.session() as session:
            query = select(REMOVED_TENANTS.c.name).order_by(REMOVED_TENANTS.c.name)
            return list((await session.execute(query)).scalars())

    async def note_telemetry_removed(self, principal: Principal, name: str) -> None:
        """Keep that a removed tenant has no telemetry any more; what is known already changes nothing."""
        is_new = (REMOVED_TENANTS.c.name == name) & REMOVED_TENANTS.c.emptied_ms.is_(None)
        async with self._store.session() as session:
            if (await session.execute(select(REMOVED_TENANTS.c.name).where(is_new))).first() is None:
                return
            await session.execute(update(REMOVED_TENANTS).where(is_new).values(emptied_ms=now_ms(self._clock)))
            await self._audit.record(principal, "tenant.telemetry_remove", name)

    async def ensure_default(self) -> None:
        """Add the tenant that always exists."""
        try:
            async with self._store.session() as session:
                query = select(TENANTS.c.name).where(TENANTS.c.name == DEFAULT_TENANT)
                if (await session.execute(query)).first() is None:
                    values = {"name": DEFAULT_TENANT, "created_ms": now_ms(self._clock)}
                    await session.execute(insert(TENANTS).values(values))
        except IntegrityError:
            return  # Another server was faster.

    async def _take_name(self, session: "AsyncSession", name: str) -> None:
        """Give the name of a removed tenant away; raises Conflict while telemetry of that one may be there."""
        removed = (await session.execute(select(REMOVED_TENANTS).where(REMOVED_TENANTS.c.name == name))).mappings()
        for row in removed.all():
            if row["emptied_ms"] is None or row["removed_ms"] > now_ms(self._clock) - _NAME_RESTS_MS:
                raise Conflict(
                    "tenant: one of this name was removed, and its telemetry is being deleted;"
                    " choose another name, or try again in some minutes"
                )
            await session.execute(delete(REMOVED_TENANTS).where(REMOVED_TENANTS.c.name == name))


def _columns(days: Mapping[str, int | None]) -> dict[str, int | None]:
    return {f"{signal}_days": value for signal, value in days.items()}
