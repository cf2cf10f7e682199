"""/api/dashboards: what people save, share and start from."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, Final

from ophion_agent.server import BadRequest, Call, NotFound, Permission, Reply, Route
from ophion_dashboard import answers
from ophion_dashboard.model import MAX_BODY_BYTES
from ophion_dashboard.templates_folder import templates
from ophion_dashboard.yaml_format import InvalidDashboardError, read_dashboard, write_dashboard

if TYPE_CHECKING:
    from ophion_dashboard.library import Library
    from ophion_dashboard.saved import Entry, Saved

_TAG: Final = "dashboards"
_ONE: Final = "/api/dashboards/{uid:[A-Za-z0-9_-]{1,40}}"
_VERSION: Final = r"{version:[1-9]\d{0,8}}"
YAML_TYPE: Final = "application/yaml"


class DashboardRoutes:
    """Handlers of /api/dashboards; `library` is asked at each call only."""

    def __init__(self, library: Callable[[], Library]) -> None:
        self._opened = library

    @property
    def _library(self) -> Library:
        return self._opened()

    def routes(self) -> Sequence[Route]:
        """Return the routes."""
        read, operate = Permission.READ, Permission.OPERATE
        return [
            Route("GET", "/api/dashboards", self.listed, read, query=answers.ListQuery,
                  answer=list[answers.DashboardSummary], tag=_TAG, summary="List dashboards"),
            Route("POST", "/api/dashboards", self.create, operate, body=answers.NewDashboard, status=201,
                  answer=answers.DashboardAnswer, tag=_TAG, summary="Save a new dashboard", errors=(409,)),
            Route("GET", "/api/dashboards/templates", self.templates, read, answer=list[answers.TemplateAnswer],
                  tag=_TAG, summary="Dashboards to start from"),
            Route("POST", "/api/dashboards/import", self.import_yaml, operate, query=answers.ImportQuery, body=bytes,
                  status=201, answer=answers.DashboardAnswer, tag=_TAG, errors=(400, 409, 422),
                  max_body_bytes=2 * MAX_BODY_BYTES, summary="Save a dashboard from its YAML text"),
            Route("GET", "/api/dashboards/home", self.home, read, answer=answers.HomeDashboard, tag=_TAG,
                  summary="The dashboard that the caller sees first"),
            Route("PUT", "/api/dashboards/home", self.set_home, read, body=answers.HomeDashboard, status=204, tag=_TAG,
                  summary="Choose the dashboard to see first", errors=(404,)),
            Route("GET", _ONE, self.show, read, answer=answers.DashboardAnswer, tag=_TAG, summary="A dashboard"),
            Route("PUT", _ONE, self.save, operate, body=answers.ChangedDashboard, answer=answers.DashboardAnswer,
                  tag=_TAG, summary="Save a dashboard anew", errors=(409,)),
            Route("DELETE", _ONE, self.remove, operate, status=204, tag=_TAG, errors=(409,),
                  summary="Delete a dashboard: one's own, or any as an admin"),
            Route("GET", f"{_ONE}/versions", self.versions, read, answer=list[answers.VersionSummary], tag=_TAG,
                  summary="The versions of a dashboard, newest first"),
            Route("GET", f"{_ONE}/versions/{_VERSION}", self.version, read, answer=answers.VersionAnswer, tag=_TAG,
                  summary="A version of a dashboard"),
            Route("POST", f"{_ONE}/versions/{_VERSION}/restore", self.restore, operate, tag=_TAG, errors=(409,),
                  answer=answers.DashboardAnswer, summary="Save an old version as the newest"),
            Route("GET", f"{_ONE}/export", self.export, read, media_type=YAML_TYPE, tag=_TAG,
                  summary="A dashboard as YAML, to be kept in git or imported elsewhere"),
            Route("PUT", f"{_ONE}/star", self.star, read, status=204, tag=_TAG, summary="Star a dashboard"),
            Route("DELETE", f"{_ONE}/star", self.unstar, read, status=204, tag=_TAG, summary="Take the star away"),
        ]  # fmt: skip

    async def listed(self, call: Call) -> list[answers.DashboardSummary]:
        """Answer the dashboards that fit the query."""
        entries = await self._library.listed(call.tenant)
        stars = await self._library.personal.stars(call.principal)
        return [
            answers.DashboardSummary(**answers.summary(entry, stars))
            for entry in entries
            if _fits(entry, call.query, stars)
        ]

    async def show(self, call: Call) -> answers.DashboardAnswer:
        """Answer a dashboard."""
        return await self._answer(call, await self._library.get(call.tenant, call.path["uid"]))

    async def create(self, call: Call) -> answers.DashboardAnswer:
        """Save a new dashboard."""
        body: answers.NewDashboard = call.body
        saved = await self._library.create(
            call.principal, body.uid, body.dashboard, message=body.message, client=call.client
        )
        return await self._answer(call, saved)

    async def save(self, call: Call) -> answers.DashboardAnswer:
        """Save over a version."""
        body: answers.ChangedDashboard = call.body
        saved = await self._library.save(
            call.principal, call.path["uid"], body.dashboard, body.version, message=body.message, client=call.client
        )
        return await self._answer(call, saved)

    async def remove(self, call: Call) -> Reply:
        """Delete a dashboard."""
        await self._library.remove(call.principal, call.path["uid"], call.client)
        return Reply(status=204)

    async def versions(self, call: Call) -> list[answers.VersionSummary]:
        """Answer the versions that are kept."""
        found = await self._library.versions(call.tenant, call.path["uid"])
        return [answers.VersionSummary(**_version(one)) for one in found]

    async def version(self, call: Call) -> answers.VersionAnswer:
        """Answer one version."""
        found = await self._library.version(call.tenant, call.path["uid"], int(call.path["version"]))
        return answers.VersionAnswer(**_version(found), dashboard=found.dashboard)

    async def restore(self, call: Call) -> answers.DashboardAnswer:
        """Save an old version as the newest."""
        uid, number = call.path["uid"], int(call.path["version"])
        return await self._answer(call, await self._library.restore(call.principal, uid, number, call.client))

    async def export(self, call: Call) -> Reply:
        """Answer a dashboard as YAML."""
        uid = call.path["uid"]
        found = await self._library.get(call.tenant, uid)
        headers = {"Content-Disposition": f'attachment; filename="{found.entry.uid}.yaml"'}
        return Reply(write_dashboard(uid, found.dashboard).encode(), YAML_TYPE, headers=headers)

    async def import_yaml(self, call: Call) -> answers.DashboardAnswer:
        """Save the dashboard of a YAML text."""
        try:
            read = read_dashboard(call.raw.decode(), "line")
        except UnicodeDecodeError as error:
            raise BadRequest("body: must be UTF-8; send the YAML text of a dashboard") from error
        except InvalidDashboardError as error:
            errors = [{"location": "body", "message": problem} for problem in error.problems]
            raise BadRequest(error.problems[0], status=422, extra={"errors": errors}) from error
        query: answers.ImportQuery = call.query
        work = self._library.put if query.overwrite else self._library.create
        saved = await work(call.principal, query.uid or read.uid, read.dashboard(), client=call.client)
        return await self._answer(call, saved)

    async def templates(self, _: Call) -> list[answers.TemplateAnswer]:
        """Answer what ships with the program."""
        return [answers.TemplateAnswer(name=name, dashboard=content) for name, content in templates().items()]

    async def star(self, call: Call) -> Reply:
        """Star a dashboard."""
        return await self._set_star(call, is_starred=True)

    async def unstar(self, call: Call) -> Reply:
        """Take the star away."""
        return await self._set_star(call, is_starred=False)

    async def _set_star(self, call: Call, *, is_starred: bool) -> Reply:
        uid = (await self._library.get(call.tenant, call.path["uid"])).entry.uid if is_starred else call.path["uid"]
        await self._library.personal.star(call.principal, uid, is_starred=is_starred)
        return Reply(status=204)

    async def home(self, call: Call) -> answers.HomeDashboard:
        """Answer the uid, null where the dashboard is gone."""
        uid = await self._library.personal.home(call.principal)
        try:
            return answers.HomeDashboard(uid=(await self._library.get(call.tenant, uid)).entry.uid if uid else None)
        except NotFound:
            return answers.HomeDashboard(uid=None)

    async def set_home(self, call: Call) -> Reply:
        """Choose the dashboard to see first."""
        uid = call.body.uid
        if uid is not None:
            await self._library.get(call.tenant, uid)
        await self._library.personal.set_home(call.principal, uid)
        return Reply(status=204)

    async def _answer(self, call: Call, saved: Saved) -> answers.DashboardAnswer:
        stars = await self._library.personal.stars(call.principal)
        entry = saved.entry
        known = {**answers.summary(entry, stars), **answers.permissions(entry, call.principal)}
        return answers.DashboardAnswer(**known, dashboard=saved.dashboard)


def _version(version: Any) -> dict[str, Any]:
    return {
        "version": version.version,
        "message": version.message,
        "saved_at": answers.moment(version.saved_ms),
        "saved_by": version.saved_by,
    }


def _fits(entry: Entry, query: answers.ListQuery, stars: set[str]) -> bool:
    text = " ".join([entry.title, entry.description, entry.folder, *entry.tags]).lower()
    return (
        all(word in text for word in query.search.lower().split())
        and set(query.tag) <= set(entry.tags)
        and query.folder in (None, entry.folder)
        and (not query.starred or entry.uid in stars)
    )
