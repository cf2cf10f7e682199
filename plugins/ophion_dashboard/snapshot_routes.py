"""/api/dashboards/snapshots: what panels showed, to be looked at by whoever has the link and an account."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, Final

from ophion_agent.server import Call, Permission, Reply, Route
from ophion_dashboard import answers

if TYPE_CHECKING:
    from ophion_dashboard.library import Library
    from ophion_dashboard.snapshots import Snapshot

_TAG: Final = "dashboards"
_ALL: Final = "/api/dashboards/snapshots"
_ONE: Final = f"{_ALL}/{{id:[0-9a-f]{{32}}}}"
# JSON may be written wider than it is kept.
_MAX_BODY_BYTES: Final = 8 << 20


class SnapshotRoutes:
    """Handlers of /api/dashboards/snapshots."""

    def __init__(self, library: Callable[[], Library]) -> None:
        self._library = library

    def routes(self) -> Sequence[Route]:
        """Return the routes."""
        read, operate = Permission.READ, Permission.OPERATE
        return [
            Route("GET", _ALL, self.listed, read, answer=list[answers.SnapshotSummary], tag=_TAG,
                  summary="List snapshots"),
            Route("POST", _ALL, self.create, operate, body=answers.NewSnapshot, answer=answers.SnapshotSummary,
                  status=201, max_body_bytes=_MAX_BODY_BYTES, tag=_TAG, summary="Keep what a dashboard shows",
                  description="4 MiB at most, and 256 MiB of a tenant's snapshots together."),
            Route("GET", _ONE, self.show, read, answer=answers.SnapshotAnswer, tag=_TAG, summary="A snapshot"),
            Route("DELETE", _ONE, self.remove, operate, status=204, tag=_TAG,
                  summary="Delete a snapshot: one's own, or any as an admin"),
        ]  # fmt: skip

    async def listed(self, call: Call) -> list[answers.SnapshotSummary]:
        """Answer the snapshots of the tenant."""
        return [answers.SnapshotSummary(**_summary(one)) for one in await self._library().snapshots.listed(call.tenant)]

    async def create(self, call: Call) -> answers.SnapshotSummary:
        """Keep a snapshot."""
        body: answers.NewSnapshot = call.body
        content = body.model_dump(mode="json", by_alias=True, exclude={"title", "expires_in_days"})
        made = await self._library().snapshots.create(
            call.principal, body.title, content, body.expires_in_days, call.client
        )
        return answers.SnapshotSummary(**_summary(made))

    async def show(self, call: Call) -> answers.SnapshotAnswer:
        """Answer a snapshot."""
        found = await self._library().snapshots.get(call.tenant, call.path["id"])
        return answers.SnapshotAnswer.model_validate({**_summary(found), **(found.content or {})})

    async def remove(self, call: Call) -> Reply:
        """Delete a snapshot."""
        await self._library().snapshots.remove(call.principal, call.path["id"], call.client)
        return Reply(status=204)


def _summary(snapshot: Snapshot) -> dict[str, Any]:
    return {
        "id": snapshot.id,
        "title": snapshot.title,
        "size": snapshot.size,
        "created_at": answers.moment(snapshot.created_ms),
        "created_by": snapshot.created_by,
        "expires_at": answers.moment(snapshot.expires_ms),
    }
