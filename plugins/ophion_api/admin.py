"""The `server_admin` extension: backup, check and export of a server that runs."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Iterable, Sequence
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, Final, Literal

import orjson
from pydantic import BaseModel, ConfigDict, Field

from ophion_agent.plugin import Config, Context, Extension
from ophion_agent.server import (
    AUDIT_LOG,
    BACKUP,
    DEFAULT_TENANT,
    HTTP_ROUTES,
    STORAGE,
    BackupSource,
    BadRequest,
    Call,
    Conflict,
    Forbidden,
    NotFound,
    Permission,
    Route,
    Stream,
)
from ophion_api.otlp_export import Export

_TAG: Final = "admin"
_LAST: Final = 2**63 - 1


class ServerAdminConfig(Config):
    """Where backups are put together."""

    directory: Path = Field(
        Path("./var/backups"), description="Folder for what a backup holds until it is sent; empty at other times."
    )


class ExportQuery(BaseModel):
    """Which telemetry."""

    model_config = ConfigDict(extra="forbid")

    tenant: str = Field(DEFAULT_TENANT, max_length=40, description="The tenant.")
    signal: Literal["traces", "metrics", "logs"] = Field(description="The signal.")
    first: int = Field(0, ge=0, le=_LAST, description="Begin, in nanoseconds since 1970.")
    last: int = Field(_LAST, ge=0, le=_LAST, description="End, not included.")


class ExportFileQuery(ExportQuery):
    """Which telemetry, and in which form."""

    format: Literal["proto", "json"] = Field("proto", description="Requests with their lengths, or OTLP/JSON lines.")


class ExportDay(BaseModel):
    """One day of a signal."""

    start: int = Field(description="Begin in nanoseconds since 1970, UTC.")
    items: int = Field(description="Spans, points or records.")


class ServerAdmin(Extension[ServerAdminConfig]):
    """Offers backup, check and export to administrators of the default tenant."""

    type_name = "server_admin"
    provides = (HTTP_ROUTES,)
    requires = (STORAGE, AUDIT_LOG)
    gathers = (BACKUP,)

    def __init__(self, config: ServerAdminConfig, context: Context) -> None:
        super().__init__(config, context)
        self._copying = asyncio.Lock()

    def routes(self) -> Sequence[Route]:
        """Return the routes."""
        admin = Permission.ADMIN
        return [
            Route(
                "POST", "/api/admin/backup", self._backup, admin, media_type="application/zstd", tag=_TAG,
                errors=(403, 409), summary="Everything the server keeps, as one archive (tar.zst)",
            ),
            Route(
                "POST", "/api/admin/check", self._check, admin, media_type="application/x-ndjson", tag=_TAG,
                errors=(403, 409), summary="Look for damage",
                description="A line {part} as a part begins, a line {part, problem} for each finding, {done} at last.",
            ),
            Route(
                "GET", "/api/admin/export/days", self._days, admin, query=ExportQuery, answer=list[ExportDay], tag=_TAG,
                errors=(403, 404, 422), summary="Days that have telemetry",
            ),
            Route(
                "GET", "/api/admin/export", self._export, admin, query=ExportFileQuery,
                media_type="application/octet-stream", tag=_TAG, errors=(403, 404, 422), summary="Telemetry as OTLP",
            ),
        ]  # fmt: skip

    async def _backup(self, call: Call) -> Stream:
        from ophion_api.archive import written

        self._allow(call)
        sources = named(self.context.services(BACKUP))
        await self._record(call, "backup.create", ", ".join(sources))
        chunks = self._one_at_a_time(written(sources, archive_facts(), self.config.directory))
        name = f"ophion-{datetime.now(UTC):%Y-%m-%d}.tar.zst"
        return Stream(chunks, "application/zstd", {"Content-Disposition": f'attachment; filename="{name}"'})

    async def _check(self, call: Call) -> Stream:
        self._allow(call)
        sources = named(self.context.services(BACKUP))
        await self._record(call, "check.run", ", ".join(sources))
        return Stream(self._one_at_a_time(self._findings(sources)), "application/x-ndjson")

    async def _findings(self, sources: dict[str, BackupSource]) -> AsyncIterator[bytes]:
        for part, source in sources.items():
            yield _line({"part": part})
            for problem in await source.check():
                yield _line({"part": part, "problem": problem})
        yield _line({"done": True})

    async def _one_at_a_time(self, chunks: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
        """Pass chunks on; the lock is held until the stream ends, or its client goes away."""
        async with self._copying:
            try:
                async for chunk in chunks:
                    yield chunk
            finally:
                await chunks.aclose()  # type: ignore[attr-defined]

    def _allow(self, call: Call) -> None:
        _default_tenant_only(call)
        if self._copying.locked():
            raise Conflict("a backup or a check runs already; wait until it ends")

    async def _days(self, call: Call) -> list[ExportDay]:
        query: ExportQuery = call.query
        export = await self._export_of(call, query)
        return [ExportDay(start=day.start, items=day.items) for day in await export.days(query.first, query.last)]

    async def _export(self, call: Call) -> Stream:
        query: ExportFileQuery = call.query
        export = await self._export_of(call, query)
        detail = {"signal": query.signal, "first": query.first, "last": query.last}
        await self._record(call, "export.create", query.tenant, **detail)
        return Stream(export.records(query.first, query.last, query.format), "application/octet-stream")

    async def _export_of(self, call: Call, query: ExportQuery) -> Export:
        _default_tenant_only(call)
        if query.first >= query.last:
            raise BadRequest(f"first: must be before `last`, got {query.first} and {query.last}", status=422)
        storage = self.context.service(STORAGE)
        if query.tenant not in await storage.tenants():
            raise NotFound(f"tenant {query.tenant}: has no telemetry; choose another")
        return Export(storage, query.tenant, query.signal)

    async def _record(self, call: Call, action: str, target: str, **detail: Any) -> None:
        await self.context.service(AUDIT_LOG).record(call.principal, action, target, detail, call.client)


def _default_tenant_only(call: Call) -> None:
    if call.tenant != DEFAULT_TENANT:
        raise Forbidden(f"only administrators of the tenant {DEFAULT_TENANT} may do this; ask one of them")


def _line(value: Any) -> bytes:
    return orjson.dumps(value, option=orjson.OPT_APPEND_NEWLINE)


def named(sources: Iterable[BackupSource]) -> dict[str, BackupSource]:
    """Return the sources by the names that their folders have in an archive, the control store first.

    It refuses a restore at once where that cannot be; so nothing else was written then.
    """
    found = {str(getattr(source, "type_name", type(source).__name__)): source for source in sources}
    return {name: found[name] for name in sorted(found, key=lambda name: (name != "control_store", name))}


def archive_facts() -> dict[str, Any]:
    """Return what an archive says of its making."""
    try:
        program = version("ophion-agent")
    except PackageNotFoundError:
        program = "unknown"
    return {"ophion_version": program, "created": datetime.fromtimestamp(int(time.time()), UTC).isoformat()}
