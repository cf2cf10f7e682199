"""The `dashboard` extension: the pages, and the dashboards that people save."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Final

from ophion_agent.plugin import Context, Extension, OphionError
from ophion_agent.server import (
    AUDIT_LOG,
    CONTROL_STORE,
    HTTP_ROUTES,
    PAGES,
    TENANTS,
    Overloaded,
    Reply,
    Route,
)
from ophion_dashboard.config import DashboardConfig

if TYPE_CHECKING:
    from ophion_dashboard.library import Library
    from ophion_dashboard.pages import Pages
    from ophion_dashboard.provisioned import DashboardFolder

_EXTRA: Final = "dashboard: needs SQLAlchemy; pip install 'ophion-agent[server]'"
_SCAN_SECONDS: Final = 30.0
_PRUNE_SECONDS: Final = 60.0


class Dashboard(Extension[DashboardConfig]):
    """Shows hosts, services, metrics, traces, logs and saved dashboards in the browser."""

    type_name = "dashboard"
    provides = (HTTP_ROUTES, PAGES)
    requires = (CONTROL_STORE, AUDIT_LOG, TENANTS)

    def __init__(self, config: DashboardConfig, context: Context) -> None:
        super().__init__(config, context)
        self._pages: Pages | None = None
        self._library: Library | None = None

    async def start(self) -> None:
        """Read the built pages and open the saved dashboards; raises OphionError for a logo that cannot be had."""
        self._pages = await asyncio.to_thread(self._read_pages)
        if not self._pages.is_built:
            self.log.warning(
                "dashboard_missing", remedy="run `make dashboard`, or install a wheel that holds the pages"
            )
        folder = await self._folder()
        self._library = await self._open(folder)
        if folder is not None:
            self.context.spawn("files", lambda: self._watch(folder))
        self.context.spawn("prune", self._prune)

    def _read_pages(self) -> Pages:
        from ophion_dashboard.pages import Brand, read_logo, read_pages

        path, logo = read_logo(self.config.logo_file) if self.config.logo_file else (None, None)
        return read_pages(Brand(self.config.title, path), logo)

    async def _folder(self) -> DashboardFolder | None:
        if not self.config.dashboards_directory:
            return None
        from ophion_dashboard.provisioned import DashboardFolder

        def report(reason: str) -> None:
            self.log.error("dashboard_file_broken", reason=reason)

        folder = DashboardFolder(Path(self.config.dashboards_directory), report)
        await self._scan(folder)
        return folder

    async def _open(self, folder: DashboardFolder | None) -> Library:
        try:
            from ophion_dashboard.library import Library
            from ophion_dashboard.personal import Personal
            from ophion_dashboard.saved import SavedDashboards
            from ophion_dashboard.snapshots import Snapshots
            from ophion_dashboard.tables import FAMILY
        except ImportError as error:
            raise OphionError(f"{_EXTRA} (missing: {error.name})") from error
        store, audit, clock = self.context.service(CONTROL_STORE), self.context.service(AUDIT_LOG), self.context.clock
        await store.migrate(FAMILY, Path(__file__).parent / "migrations")
        return Library(
            SavedDashboards(store, audit, clock),
            Snapshots(store, audit, clock),
            Personal(store),
            folder,
            self.config.dashboards_tenant,
        )

    async def stop(self) -> None:
        """Forget the pages and close the saved dashboards."""
        self._pages = self._library = None

    def page(self, path: str, headers: Mapping[str, str]) -> Reply | None:
        """Return the page at a path, None before the start and where there is none."""
        return self._pages.page(path, headers) if self._pages is not None else None

    def routes(self) -> Sequence[Route]:
        """Return the routes of the brand, of saved dashboards and of snapshots."""
        from ophion_dashboard.brand import brand_routes
        from ophion_dashboard.routes import DashboardRoutes
        from ophion_dashboard.snapshot_routes import SnapshotRoutes

        return [
            *brand_routes(self.config),
            *SnapshotRoutes(self._opened).routes(),
            *DashboardRoutes(self._opened).routes(),
        ]

    def _opened(self) -> Library:
        if self._library is None:
            raise OphionError("dashboard: is not open; it opens at the server's start and closes at its end")
        return self._library

    async def _watch(self, folder: DashboardFolder) -> None:
        while True:
            await self.context.clock.sleep(_SCAN_SECONDS)
            await self._scan(folder)

    async def _scan(self, folder: DashboardFolder) -> None:
        await folder.scan()
        if folder.broken:
            more = f" (and {len(folder.broken) - 1} more)" if len(folder.broken) > 1 else ""
            self.context.health.degraded(f"{folder.broken[0]}{more}")
        else:
            self.context.health.ok()

    async def _prune(self) -> None:
        while True:
            await self.context.clock.sleep(_PRUNE_SECONDS)
            try:
                snapshots = self._opened().snapshots
                await snapshots.prune()
                await snapshots.forget(await self.context.service(TENANTS).removed_tenants())
            except Overloaded as error:
                self.log.warning("prune_failed", error=str(error))
