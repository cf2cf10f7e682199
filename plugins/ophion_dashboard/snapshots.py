"""Snapshots: a dashboard with the data that its panels showed, kept until they expire."""

from __future__ import annotations

import json
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from sqlalchemy import RowMapping, delete, func, insert, select

from ophion_agent.plugin import Clock
from ophion_agent.server import AuditLog, BadRequest, ControlStore, Forbidden, NotFound, Permission, Principal
from ophion_dashboard.tables import BY_TENANT, SNAPSHOTS

MAX_SNAPSHOT_BYTES: Final = 4 << 20
_MOST_BYTES: Final = 256 << 20
_MS_PER_DAY: Final = 86_400_000
_Row = Mapping[str, Any] | RowMapping
_LISTED: Final = [column for column in SNAPSHOTS.c if column.name != "body"]


@dataclass(frozen=True, slots=True)
class Snapshot:
    """A row of dashboard_snapshots; `content` is None in lists."""

    id: str
    title: str
    size: int
    created_ms: int
    created_by: str
    expires_ms: int
    content: dict[str, Any] | None = None


class Snapshots:
    """The snapshots of all tenants."""

    def __init__(self, store: ControlStore, audit: AuditLog, clock: Clock) -> None:
        self._store = store
        self._audit = audit
        self._clock = clock

    async def create(
        self, principal: Principal, title: str, content: Mapping[str, Any], days: int, client: str = ""
    ) -> Snapshot:
        """Keep a snapshot for some days; raises BadRequest for too much, in one or in all of the tenant."""
        body = json.dumps(content, separators=(",", ":"))
        size, now = len(body), self._now_ms()
        if size > MAX_SNAPSHOT_BYTES:
            limit = f"{MAX_SNAPSHOT_BYTES >> 20} MiB"
            raise BadRequest(f"snapshot: must be {limit} at most, got {size} bytes; choose a shorter time", status=413)
        made = Snapshot(secrets.token_hex(16), title, size, now, principal.subject, now + days * _MS_PER_DAY)
        row = {name: getattr(made, name) for name in made.__slots__ if name != "content"}
        async with self._store.session() as session:
            held = select(func.coalesce(func.sum(SNAPSHOTS.c.size), 0)).where(SNAPSHOTS.c.tenant == principal.tenant)
            if int((await session.execute(held)).scalar() or 0) + size > _MOST_BYTES:
                limit = f"{_MOST_BYTES >> 20} MiB"
                raise BadRequest(f"snapshots: a tenant has {limit} of them at most; delete some", status=422)
            await session.execute(insert(SNAPSHOTS).values(**row, tenant=principal.tenant, body=body))
            await self._audit.record(principal, "dashboard.snapshot", made.id, {"title": title, "days": days}, client)
        return made

    async def listed(self, tenant: str) -> list[Snapshot]:
        """Return the snapshots of a tenant, newest first."""
        query = select(*_LISTED).where(SNAPSHOTS.c.tenant == tenant, SNAPSHOTS.c.expires_ms > self._now_ms())
        async with self._store.session() as session:
            rows = (await session.execute(query.order_by(SNAPSHOTS.c.created_ms.desc()).limit(1000))).mappings().all()
        return [_snapshot(row) for row in rows]

    async def get(self, tenant: str, snapshot_id: str) -> Snapshot:
        """Return a snapshot with its content; raises NotFound."""
        alive = SNAPSHOTS.c.expires_ms > self._now_ms()
        query = select(SNAPSHOTS).where(SNAPSHOTS.c.id == snapshot_id, SNAPSHOTS.c.tenant == tenant, alive)
        async with self._store.session() as session:
            row = (await session.execute(query)).mappings().first()
        if row is None:
            raise NotFound("snapshot: there is none, or it has expired; ask for a new one")
        return _snapshot(row, json.loads(row["body"]))

    async def remove(self, principal: Principal, snapshot_id: str, client: str = "") -> None:
        """Delete a snapshot; raises Forbidden for another's, which takes an admin."""
        async with self._store.session() as session:
            found = await self.get(principal.tenant, snapshot_id)
            if found.created_by != principal.subject and not principal.may(Permission.ADMIN):
                raise Forbidden(f"snapshot {snapshot_id}: {found.created_by} made it; ask them or an administrator")
            await session.execute(delete(SNAPSHOTS).where(SNAPSHOTS.c.id == snapshot_id))
            await self._audit.record(
                principal, "dashboard.snapshot.delete", snapshot_id, {"title": found.title}, client
            )

    async def prune(self) -> None:
        """Delete what has expired."""
        async with self._store.session() as session:
            await session.execute(delete(SNAPSHOTS).where(SNAPSHOTS.c.expires_ms <= self._now_ms()))

    async def forget(self, tenants: Sequence[str]) -> None:
        """Delete everything of tenants that were removed, so that a new one of the same name begins with nothing."""
        async with self._store.session() as session:
            for table in BY_TENANT if tenants else ():
                await session.execute(delete(table).where(table.c.tenant.in_(tenants)))

    def _now_ms(self) -> int:
        return self._clock.now_ns() // 1_000_000


def _snapshot(row: _Row, content: dict[str, Any] | None = None) -> Snapshot:
    return Snapshot(**{name: row[name] for name in Snapshot.__slots__ if name != "content"}, content=content)
