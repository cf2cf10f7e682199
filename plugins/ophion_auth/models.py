"""What the routes take and answer."""

import re
from datetime import UTC, datetime
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, SecretStr

from ophion_agent.server import Permission, Principal, Role
from ophion_auth.records import KeyRecord, User
from ophion_auth.tenants import TenantRecord

# Neither database takes a NUL in text; what a person reads has no control characters.
Line = Annotated[str, Field(min_length=1, max_length=300, pattern=r"^[^\x00-\x1f\x7f]+$")]
UserName = Annotated[str, Field(max_length=100, description="User name; case does not matter.")]
TenantName = Annotated[str, Field(pattern="^[a-z][a-z0-9_]{0,39}$", description="Name of a tenant.")]
Password = Annotated[SecretStr, Field(max_length=4096)]
Days = Annotated[int, Field(ge=1, le=36_500)]
_MOMENT = re.compile(r"\d{4}-\d\d-\d\d[Tt ]\d\d:\d\d(:\d\d(\.\d+)?)?([Zz]|[+-]\d\d:?\d\d)?", re.ASCII)


def _moment(value: Any) -> Any:
    # pydantic would take numbers, and numbers in text, for Unix time in a unit that it guesses.
    if isinstance(value, datetime):
        return value
    if isinstance(value, str) and _MOMENT.fullmatch(value):
        return datetime.fromisoformat(value.upper())
    raise ValueError("must be a date and time such as 2026-01-31T08:00:00Z")


Moment = Annotated[datetime, BeforeValidator(_moment)]


class _Body(BaseModel):
    model_config = ConfigDict(extra="forbid")


class Login(_Body):
    """Credentials of a user."""

    username: UserName
    password: Password


class Refresh(_Body):
    """A refresh token, which works once."""

    refresh_token: str = Field(max_length=200, description="The token that the last login or refresh answered.")


class ChangePassword(_Body):
    """The caller's own password."""

    current_password: Password = Field(description="The password until now.")
    new_password: Password = Field(description="At least 12 characters.")


class Me(BaseModel):
    """Who is calling."""

    subject: str = Field(description="User name, or id of the key.")
    kind: Literal["user", "api_key", "ingest_key", "anonymous"] = Field(description="What the caller is.")
    tenant: str = Field(description="Tenant whose data the caller sees.")
    permissions: list[Permission] = Field(description="What the caller may do.")


class Tokens(BaseModel):
    """A session, also set as cookies at a login."""

    access_token: str = Field(description="To be sent as `Authorization: Bearer`.")
    token_type: Literal["Bearer"] = "Bearer"
    expires_in: int = Field(description="Seconds until the access token ends.")
    refresh_token: str = Field(description="Gets the next tokens from POST /api/auth/refresh; works once.")
    csrf_token: str = Field(description="For the header X-CSRF-Token of changes made with the session's cookie.")
    user: Me


class UserAnswer(BaseModel):
    """A user."""

    username: str
    tenant: str
    role: Role
    disabled: bool = Field(description="Whether the user is kept from logging in.")
    created_at: datetime
    password_changed_at: datetime
    password_generated: bool = Field(description="Whether the password was made by the server and not changed since.")


class NewUser(_Body):
    """A user to add."""

    username: UserName
    password: Password | None = Field(None, description="At least 12 characters; without it one is generated.")
    role: Role = Field(Role.VIEWER, description="What the user may do.")
    tenant: TenantName | None = Field(None, description="Your own by default; others for admins of `default`.")


class CreatedUser(UserAnswer):
    """A new user."""

    password: str | None = Field(None, description="The generated password, shown here only.")


class ChangedUser(_Body):
    """What to change of a user; what is left out stays."""

    role: Role | None = Field(None, description="New role; ends the user's sessions.")
    disabled: bool | None = Field(None, description="Keep from logging in; ends the user's sessions.")
    password: Password | None = Field(None, description="New password; ends the user's sessions.")


class KeyAnswer(BaseModel):
    """A key without its secret."""

    id: str
    name: str
    kind: Literal["api", "ingest"]
    tenant: str
    scopes: list[Permission]
    created_by: str
    created_at: datetime
    expires_at: datetime | None
    last_used_at: datetime | None = Field(description="Exact to a minute.")


class NewKey(_Body):
    """A key to make."""

    name: Annotated[str, Field(min_length=1, max_length=100, pattern=r"^[^\x00-\x1f\x7f]+$")]
    kind: Literal["api", "ingest"] = Field("api", description="`ingest` keys may only send telemetry.")
    scopes: list[Permission] = Field(
        [], max_length=10, description="Of an API key: among your own, all of them when empty. Ingest keys have one."
    )
    expires_at: Moment | None = Field(None, description="When it ends, with a zone; never by default.")
    tenant: TenantName | None = Field(None, description="Your own by default; others for admins of `default`.")


class CreatedKey(KeyAnswer):
    """A new key."""

    key: str = Field(description="The key itself, shown here only.")


class TenantAnswer(BaseModel):
    """A tenant; days of retention replace the store's own where they are set."""

    name: str
    created_at: datetime
    traces_days: int | None
    metrics_days: int | None
    logs_days: int | None


class ChangedTenant(_Body):
    """Days of retention: what is left out stays, null goes back to the store's own."""

    traces_days: Days | None = Field(None, description="Days that traces are kept.")
    metrics_days: Days | None = Field(None, description="Days that metrics are kept.")
    logs_days: Days | None = Field(None, description="Days that logs are kept.")

    def days(self) -> dict[str, int | None]:
        """Return the signals that were named."""
        return {name.removesuffix("_days"): getattr(self, name) for name in self.model_fields_set if "_days" in name}


class NewTenant(ChangedTenant):
    """A tenant to add."""

    name: Annotated[str, Field(max_length=100, description="1-40 of a-z, 0-9 and _, beginning with a letter.")]


class RemoveTenant(BaseModel):
    """The confirmation of a removal."""

    confirm: TenantName = Field(description="The tenant's name once more: what is removed cannot be brought back.")


class AuditEntry(BaseModel):
    """One change."""

    id: int
    at: datetime
    tenant: str
    principal: str
    kind: str
    action: str
    target: str
    detail: dict[str, Any]
    client: str


class AuditPage(BaseModel):
    """Audit records, newest first."""

    records: list[AuditEntry]
    next_cursor: str | None = Field(description="For the parameter `cursor` of the next page; null at the end.")


class AuditQuery(BaseModel):
    """Filters of the audit log; all of them must fit."""

    principal: Line | None = Field(None, description="User name or id of a key.")
    action: Line | None = Field(None, description="Such as user.create.")
    target: Line | None = Field(None, description="What was changed.")
    since: Moment | None = Field(None, description="Not before, with a zone.")
    until: Moment | None = Field(None, description="Before, with a zone.")
    tenant: TenantName | None = Field(None, description="Your own by default; others for admins of `default`.")
    limit: int = Field(100, ge=1, le=1000, description="Most records in the answer.")
    cursor: str | None = Field(None, pattern="^[0-9]{1,18}$", description="`next_cursor` of the page before.")


class TenantQuery(BaseModel):
    """Which tenant a list is about."""

    tenant: TenantName | None = Field(None, description="Your own by default; others for admins of `default`.")


def me(principal: Principal) -> Me:
    """Return the caller as the API shows it."""
    return Me(
        subject=principal.subject,
        kind=principal.kind,
        tenant=principal.tenant,
        permissions=sorted(principal.permissions),
    )


def user_answer(user: User) -> dict[str, Any]:
    """Return a user as the API shows it."""
    return {
        "username": user.name,
        "tenant": user.tenant,
        "role": user.role,
        "disabled": user.disabled,
        "created_at": moment(user.created_ms),
        "password_changed_at": moment(user.password_ms),
        "password_generated": user.password_generated,
    }


def key_answer(key: KeyRecord) -> dict[str, Any]:
    """Return a key as the API shows it."""
    return {
        "id": key.id,
        "name": key.name,
        "kind": key.kind,
        "tenant": key.tenant,
        "scopes": sorted(key.scopes),
        "created_by": key.created_by,
        "created_at": moment(key.created_ms),
        "expires_at": moment(key.expires_ms) if key.expires_ms is not None else None,
        "last_used_at": moment(key.used_ms) if key.used_ms is not None else None,
    }


def tenant_answer(tenant: TenantRecord) -> TenantAnswer:
    """Return a tenant as the API shows it."""
    days = {f"{signal}_days": value for signal, value in tenant.days.items()}
    return TenantAnswer(name=tenant.name, created_at=moment(tenant.created_ms), **days)


def moment(ms: int) -> datetime:
    """Return milliseconds since the Unix epoch as a time in UTC."""
    return datetime.fromtimestamp(ms / 1000, UTC)


def ms_of(time: datetime) -> int:
    """Return a time as milliseconds since the Unix epoch; one without a zone is UTC."""
    return round((time if time.tzinfo else time.replace(tzinfo=UTC)).timestamp() * 1000)
