"""What the routes take and answer."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field

from ophion_agent.server import Permission, Principal
from ophion_dashboard.model import Dashboard, Tag, Uid
from ophion_dashboard.panels import Sentence


class _Body(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)


class ListQuery(BaseModel):
    """Which dashboards are listed."""

    model_config = ConfigDict(extra="forbid")

    search: str = Field("", max_length=200, description="Words in title, description, folder or tags.")
    tag: list[Tag] = Field([], max_length=20, description="Tags that they must have.")
    folder: str | None = Field(None, max_length=100, description="Folder that they lie in.")
    starred: bool = Field(False, description="Only those that the caller starred.")


class DashboardSummary(BaseModel):
    """What is known of a dashboard beside its content."""

    uid: str = Field(description="What links call it.")
    title: str
    description: str
    folder: str
    tags: list[str]
    panels: int = Field(description="How many panels it has.")
    version: int = Field(description="Counts every save; to be sent with the next one.")
    provisioned: bool = Field(description="Whether a file describes it, so that it cannot be changed here.")
    file: str = Field(description='Name of that file; "" without one.')
    starred: bool = Field(description="Whether the caller starred it.")
    created_at: datetime
    created_by: str
    updated_at: datetime
    updated_by: str


class DashboardAnswer(DashboardSummary):
    """A dashboard."""

    may_edit: bool = Field(description="Whether the caller may save over it.")
    may_delete: bool = Field(description="Whether the caller may delete it.")
    dashboard: Dashboard


class NewDashboard(_Body):
    """A dashboard to save."""

    uid: Uid | None = Field(None, description="What links shall call it; without it one is made.")
    dashboard: Dashboard
    message: Sentence = Field("", max_length=200, description="What was changed, for the list of versions.")


class ChangedDashboard(_Body):
    """A dashboard to save over a version."""

    version: int = Field(
        ge=1, le=999_999_999, description="The version that was changed; 409 where there is a newer one."
    )
    dashboard: Dashboard
    message: Sentence = Field("", max_length=200, description="What was changed, for the list of versions.")


class VersionSummary(BaseModel):
    """One saved state of a dashboard."""

    version: int
    message: str
    saved_at: datetime
    saved_by: str


class VersionAnswer(VersionSummary):
    """One saved state with its content."""

    dashboard: Dashboard


class ImportQuery(BaseModel):
    """How a YAML text is imported."""

    model_config = ConfigDict(extra="forbid")

    overwrite: bool = Field(False, description="Save over the dashboard with the same uid instead of answering 409.")
    uid: Uid | None = Field(None, description="Replaces the uid of the text.")


class TemplateAnswer(BaseModel):
    """A dashboard to start from."""

    name: str = Field(description="Tells it from the others.")
    dashboard: Dashboard


class HomeDashboard(_Body):
    """The dashboard that the caller sees first."""

    uid: Uid | None = Field(description="Null for the overview.")


class NewSnapshot(_Body):
    """A dashboard with the data that its panels show."""

    title: Annotated[Sentence, Field(min_length=1, max_length=200)]
    dashboard: Dashboard
    start: datetime = Field(description="Begin of the time that the data covers.")
    end: datetime = Field(description="End of the time that the data covers.")
    variables: dict[str, list[str]] = Field({}, max_length=30, description="What was chosen.")
    data: dict[str, Any] = Field(max_length=200, description="Id of a panel -> what it showed, as the page keeps it.")
    expires_in_days: int = Field(30, ge=1, le=365, description="How long it is kept.")


class SnapshotSummary(BaseModel):
    """What is known of a snapshot beside its content."""

    id: str = Field(description="Part of its link; nobody can guess it.")
    title: str
    size: int = Field(description="Bytes.")
    created_at: datetime
    created_by: str
    expires_at: datetime


class SnapshotAnswer(SnapshotSummary):
    """A snapshot."""

    dashboard: Dashboard
    start: datetime
    end: datetime
    variables: dict[str, list[str]]
    data: dict[str, Any]


def moment(ms: int) -> datetime:
    """Return milliseconds since the Unix epoch as a time in UTC."""
    return datetime.fromtimestamp(ms / 1000, UTC)


def summary(entry: Any, stars: set[str]) -> dict[str, Any]:
    """Return the fields of DashboardSummary for an entry."""
    names = ("uid", "title", "description", "folder", "panels", "version", "file", "created_by", "updated_by")
    return {
        **{name: getattr(entry, name) for name in names},
        "tags": list(entry.tags),
        "provisioned": bool(entry.file),
        "starred": entry.uid in stars,
        "created_at": moment(entry.created_ms),
        "updated_at": moment(entry.updated_ms),
    }


def permissions(entry: Any, principal: Principal) -> dict[str, bool]:
    """Return what the caller may do with a dashboard."""
    may_edit = principal.may(Permission.OPERATE) and not entry.file
    is_own = entry.created_by == principal.subject or principal.may(Permission.ADMIN)
    return {"may_edit": may_edit, "may_delete": may_edit and is_own}
