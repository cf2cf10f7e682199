"""The dashboards that people saved, with their versions. Every change leaves a record in the audit log."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from sqlalchemy import RowMapping, and_, delete, func, insert, select, update
from sqlalchemy.exc import IntegrityError

from ophion_agent.plugin import Clock
from ophion_agent.server import AuditLog, BadRequest, Conflict, ControlStore, Forbidden, NotFound, Permission, Principal
from ophion_dashboard.model import MAX_BODY_BYTES, Dashboard
from ophion_dashboard.tables import DASHBOARDS, HOMES, STARS, VERSIONS

_MOST_DASHBOARDS: Final = 5000
_KEPT_VERSIONS: Final = 50
_Row = Mapping[str, Any] | RowMapping
_LISTED: Final = [column for column in DASHBOARDS.c if column.name != "body"]


@dataclass(frozen=True, slots=True)
class Entry:
    """What is known of a dashboard beside its content; `file` is set for one that a file describes."""

    uid: str
    title: str
    description: str
    folder: str
    tags: tuple[str, ...]
    panels: int
    version: int
    created_ms: int
    created_by: str
    updated_ms: int
    updated_by: str
    file: str = ""


@dataclass(frozen=True, slots=True)
class Saved:
    """A dashboard with what is known of it."""

    entry: Entry
    dashboard: Dashboard


@dataclass(frozen=True, slots=True)
class Version:
    """One saved state; `dashboard` is None in lists."""

    version: int
    message: str
    saved_ms: int
    saved_by: str
    dashboard: Dashboard | None = None


class SavedDashboards:
    """The dashboards of all tenants."""

    def __init__(self, store: ControlStore, audit: AuditLog, clock: Clock) -> None:
        self._store = store
        self._audit = audit
        self._clock = clock

    async def listed(self, tenant: str) -> list[Entry]:
        """Return every dashboard of a tenant, by title."""
        query = select(*_LISTED).where(DASHBOARDS.c.tenant == tenant).order_by(DASHBOARDS.c.title, DASHBOARDS.c.uid)
        async with self._store.session() as session:
            rows = (await session.execute(query)).mappings().all()
        return [_entry(row) for row in rows]

    async def find(self, tenant: str, uid: str) -> Saved | None:
        """Return a dashboard, None where there is none."""
        query = select(DASHBOARDS).where(DASHBOARDS.c.tenant == tenant, DASHBOARDS.c.uid == uid)
        async with self._store.session() as session:
            row = (await session.execute(query)).mappings().first()
        return Saved(_entry(row), Dashboard.model_validate_json(row["body"])) if row is not None else None

    async def get(self, tenant: str, uid: str) -> Saved:
        """Return a dashboard; raises NotFound."""
        found = await self.find(tenant, uid)
        if found is None:
            raise _missing(uid)
        return found

    async def create(
        self, principal: Principal, uid: str, dashboard: Dashboard, *, message: str = "", client: str = ""
    ) -> Saved:
        """Save a new dashboard; raises Conflict where the uid is taken, BadRequest for too much."""
        tenant, now = principal.tenant, self._now_ms()
        made = {"created_ms": now, "created_by": principal.subject, "version": 1}
        row = {"tenant": tenant, "uid": uid, **made, **_content(dashboard), **self._change(principal)}
        try:
            async with self._store.session() as session:
                count = select(func.count()).select_from(DASHBOARDS).where(DASHBOARDS.c.tenant == tenant)
                if ((await session.execute(count)).scalar() or 0) >= _MOST_DASHBOARDS:
                    raise BadRequest(f"a tenant has {_MOST_DASHBOARDS} dashboards at most; delete some", status=422)
                await session.execute(insert(DASHBOARDS).values(row))
                await self._note_version(session, row, message)
                await self._audit.record(principal, "dashboard.create", uid, {"title": dashboard.title}, client)
        except IntegrityError as error:
            raise Conflict(f'uid: "{uid}" is taken; choose another one, or save a new version of that one') from error
        return Saved(_entry(row), dashboard)

    async def save(
        self, principal: Principal, uid: str, dashboard: Dashboard, version: int, *, message: str = "", client: str = ""
    ) -> Saved:
        """Save over `version`; raises Conflict where somebody saved in between, NotFound where there is none."""
        tenant = principal.tenant
        here = and_(DASHBOARDS.c.tenant == tenant, DASHBOARDS.c.uid == uid)
        values = {**_content(dashboard), **self._change(principal), "version": version + 1}
        async with self._store.session() as session:
            change = update(DASHBOARDS).where(here, DASHBOARDS.c.version == version).values(values)
            done = await session.execute(change.returning(*DASHBOARDS.c))
            row = done.mappings().first()
            if row is None:
                there = (await session.execute(select(*_LISTED).where(here))).mappings().first()
                raise _changed(uid, version, there) if there is not None else _missing(uid)
            await self._note_version(session, row, message)
            await self._audit.record(
                principal, "dashboard.save", uid, {"title": dashboard.title, "version": version + 1}, client
            )
        return Saved(_entry(row), dashboard)

    async def remove(self, principal: Principal, uid: str, client: str = "") -> None:
        """Delete a dashboard with its versions; raises Forbidden for another's, which takes an admin."""
        tenant = principal.tenant
        async with self._store.session() as session:
            found = await self.get(tenant, uid)
            if found.entry.created_by != principal.subject and not principal.may(Permission.ADMIN):
                raise Forbidden(f"dashboard {uid}: {found.entry.created_by} made it; ask them or an administrator")
            for table in (DASHBOARDS, VERSIONS, STARS, HOMES):
                await session.execute(delete(table).where(table.c.tenant == tenant, table.c.uid == uid))
            await self._audit.record(principal, "dashboard.delete", uid, {"title": found.entry.title}, client)

    async def versions(self, tenant: str, uid: str) -> list[Version]:
        """Return the versions that are kept, newest first; raises NotFound."""
        columns = [column for column in VERSIONS.c if column.name != "body"]
        query = select(*columns).where(VERSIONS.c.tenant == tenant, VERSIONS.c.uid == uid)
        async with self._store.session() as session:
            rows = (await session.execute(query.order_by(VERSIONS.c.version.desc()))).mappings().all()
        if not rows:
            raise _missing(uid)
        return [Version(row["version"], row["message"], row["saved_ms"], row["saved_by"]) for row in rows]

    async def version(self, tenant: str, uid: str, number: int) -> Version:
        """Return one version with its content; raises NotFound."""
        place = (VERSIONS.c.tenant == tenant, VERSIONS.c.uid == uid, VERSIONS.c.version == number)
        async with self._store.session() as session:
            row = (await session.execute(select(VERSIONS).where(*place))).mappings().first()
        if row is None:
            raise NotFound(f"dashboard {uid}: there is no version {number}; see its versions")
        content = Dashboard.model_validate_json(row["body"])
        return Version(row["version"], row["message"], row["saved_ms"], row["saved_by"], content)

    async def restore(self, principal: Principal, uid: str, number: int, client: str = "") -> Saved:
        """Save an old version as the newest one."""
        old = await self.version(principal.tenant, uid, number)
        now = await self.get(principal.tenant, uid)
        assert old.dashboard is not None
        message = f"version {number} again"
        return await self.save(principal, uid, old.dashboard, now.entry.version, message=message, client=client)

    async def _note_version(self, session: Any, row: _Row, message: str) -> None:
        place = {"tenant": row["tenant"], "uid": row["uid"]}
        saved = {"saved_ms": row["updated_ms"], "saved_by": row["updated_by"]}
        values = {**place, **saved, "version": row["version"], "body": row["body"], "message": message}
        await session.execute(insert(VERSIONS).values(values))
        oldest = row["version"] - _KEPT_VERSIONS
        old = (VERSIONS.c.tenant == row["tenant"], VERSIONS.c.uid == row["uid"], VERSIONS.c.version <= oldest)
        await session.execute(delete(VERSIONS).where(*old))

    def _change(self, principal: Principal) -> dict[str, Any]:
        return {"updated_ms": self._now_ms(), "updated_by": principal.subject}

    def _now_ms(self) -> int:
        return self._clock.now_ns() // 1_000_000


def _content(dashboard: Dashboard) -> dict[str, Any]:
    body = dashboard.model_dump_json(by_alias=True)
    if len(body.encode()) > MAX_BODY_BYTES:
        raise BadRequest(
            f"dashboard: must be {MAX_BODY_BYTES >> 10} KiB at most; spread its panels over several", status=422
        )
    return {
        "title": dashboard.title,
        "description": dashboard.description,
        "folder": dashboard.folder,
        "tags": json.dumps(dashboard.tags),
        "panels": len(dashboard.panels),
        "body": body,
    }


def _entry(row: _Row) -> Entry:
    known = {name: row[name] for name in Entry.__slots__ if name not in ("tags", "file")}
    return Entry(**known, tags=tuple(json.loads(row["tags"])))


def _missing(uid: str) -> NotFound:
    return NotFound(f"dashboard {uid}: there is none; see the list of dashboards")


def _changed(uid: str, version: int, there: _Row) -> Conflict:
    now = f"version {there['version']} was saved by {there['updated_by']}"
    return Conflict(
        f"dashboard {uid}: must be changed from its newest version, got {version}, and {now}; load it again",
        extra={"version": there["version"], "updated_by": there["updated_by"]},
    )
