"""All dashboards of a tenant in one place: those that people saved and those that files describe."""

from __future__ import annotations

import secrets
from collections.abc import Mapping

from ophion_agent.server import Conflict, NotFound, Principal
from ophion_dashboard.model import Dashboard
from ophion_dashboard.personal import Personal
from ophion_dashboard.provisioned import PROVISIONED_BY, DashboardFolder, Provisioned
from ophion_dashboard.saved import Entry, Saved, SavedDashboards, Version
from ophion_dashboard.snapshots import Snapshots


class Library:
    """What the routes work on. A file's dashboard stands before a saved one with the same uid."""

    def __init__(
        self,
        saved: SavedDashboards,
        snapshots: Snapshots,
        personal: Personal,
        folder: DashboardFolder | None,
        files_tenant: str,
    ) -> None:
        self._saved = saved
        self._folder = folder
        self._files_tenant = files_tenant
        self.snapshots = snapshots
        self.personal = personal

    def _files(self, tenant: str) -> Mapping[str, Provisioned]:
        return self._folder.found if self._folder is not None and tenant == self._files_tenant else {}

    async def listed(self, tenant: str) -> list[Entry]:
        """Return what is known of every dashboard, by title."""
        files = self._files(tenant)
        saved = [entry for entry in await self._saved.listed(tenant) if entry.uid not in files]
        found = [*saved, *(_entry(file) for file in files.values())]
        return sorted(found, key=lambda entry: (entry.title.lower(), entry.uid))

    async def get(self, tenant: str, uid: str) -> Saved:
        """Return a dashboard; raises NotFound."""
        file = self._files(tenant).get(uid)
        return Saved(_entry(file), file.dashboard) if file is not None else await self._saved.get(tenant, uid)

    async def create(
        self, principal: Principal, uid: str | None, dashboard: Dashboard, *, message: str = "", client: str = ""
    ) -> Saved:
        """Save a new dashboard, under a uid of our own where none is given; raises Conflict for one that is taken."""
        chosen = uid or secrets.token_hex(6)
        self._refuse_file(principal.tenant, chosen)
        return await self._saved.create(principal, chosen, dashboard, message=message, client=client)

    async def save(
        self, principal: Principal, uid: str, dashboard: Dashboard, version: int, *, message: str = "", client: str = ""
    ) -> Saved:
        """Save over a version; raises Conflict where somebody saved in between or a file describes it."""
        self._refuse_file(principal.tenant, uid)
        return await self._saved.save(principal, uid, dashboard, version, message=message, client=client)

    async def put(self, principal: Principal, uid: str | None, dashboard: Dashboard, *, client: str = "") -> Saved:
        """Save an imported dashboard over whatever has its uid."""
        there = await self._saved.find(principal.tenant, uid) if uid else None
        if uid is None or there is None:
            return await self.create(principal, uid, dashboard, message="imported", client=client)
        version = there.entry.version
        return await self.save(principal, uid, dashboard, version, message="imported", client=client)

    async def remove(self, principal: Principal, uid: str, client: str = "") -> None:
        """Delete a dashboard; raises Conflict for a file's, Forbidden for another's."""
        self._refuse_file(principal.tenant, uid)
        await self._saved.remove(principal, uid, client)

    async def versions(self, tenant: str, uid: str) -> list[Version]:
        """Return the versions of a dashboard, newest first; a file has but one."""
        file = self._files(tenant).get(uid)
        return [Version(1, "", file.changed_ms, PROVISIONED_BY)] if file else await self._saved.versions(tenant, uid)

    async def version(self, tenant: str, uid: str, number: int) -> Version:
        """Return one version with its content; raises NotFound."""
        file = self._files(tenant).get(uid)
        if file is None:
            return await self._saved.version(tenant, uid, number)
        if number != 1:
            raise NotFound(f"dashboard {uid}: there is no version {number}; its file has but one")
        return Version(1, "", file.changed_ms, PROVISIONED_BY, file.dashboard)

    async def restore(self, principal: Principal, uid: str, number: int, client: str = "") -> Saved:
        """Save an old version as the newest one."""
        self._refuse_file(principal.tenant, uid)
        return await self._saved.restore(principal, uid, number, client)

    def _refuse_file(self, tenant: str, uid: str) -> None:
        file = self._files(tenant).get(uid)
        if file is not None:
            raise Conflict(f"dashboard {uid}: the file {file.file} describes it; change it there, or save a copy")


def _entry(file: Provisioned) -> Entry:
    content = file.dashboard
    return Entry(
        uid=file.uid,
        title=content.title,
        description=content.description,
        folder=content.folder,
        tags=tuple(content.tags),
        panels=len(content.panels),
        version=1,
        created_ms=file.changed_ms,
        created_by=PROVISIONED_BY,
        updated_ms=file.changed_ms,
        updated_by=PROVISIONED_BY,
        file=file.file,
    )
