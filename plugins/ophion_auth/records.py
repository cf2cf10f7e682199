"""What the tables hold, as the rest of the family sees it, and who may see which of it."""

from dataclasses import dataclass
from typing import Any, Final

from sqlalchemy import Row

from ophion_agent.plugin import Clock
from ophion_agent.server import DEFAULT_TENANT, ROLE_PERMISSIONS, Forbidden, Permission, Principal, Role

TOUCH_MS: Final = 60_000  # How often the time of a use is kept.
_MS_PER_DAY: Final = 86_400_000


@dataclass(frozen=True, slots=True, repr=False)
class User:
    """A row of auth_users."""

    id: str
    name: str
    tenant: str
    role: Role
    password_hash: str
    password_generated: bool
    password_ms: int
    disabled: bool
    created_ms: int

    def principal(self, session: str | None = None) -> Principal:
        """Return the user as a caller."""
        return Principal(self.name, "user", self.tenant, ROLE_PERMISSIONS[self.role], session)


@dataclass(frozen=True, slots=True, repr=False)
class KeyRecord:
    """A row of auth_keys, with the role of the user that it acts for."""

    id: str
    tenant: str
    user_id: str | None
    name: str
    kind: str
    scopes: frozenset[Permission]
    secret_hash: bytes
    created_by: str
    created_ms: int
    expires_ms: int | None
    used_ms: int | None

    def is_over(self, now_ms: int) -> bool:
        """Tell whether the key has ended."""
        return self.expires_ms is not None and self.expires_ms <= now_ms


@dataclass(frozen=True, slots=True, repr=False)
class Session:
    """A row of auth_sessions with its user."""

    id: str
    user: User
    cookie_hash: bytes
    created_ms: int
    used_ms: int
    expires_ms: int


def user_of(row: Row[Any]) -> User:
    """Return the user in a row of auth_users."""
    values = row._mapping
    return User(
        id=values["id"],
        name=values["name"],
        tenant=values["tenant"],
        role=Role(values["role"]),
        password_hash=values["password_hash"],
        password_generated=values["password_generated"],
        password_ms=values["password_ms"],
        disabled=values["disabled"],
        created_ms=values["created_ms"],
    )


def key_of(row: Row[Any]) -> KeyRecord:
    """Return the key in a row of auth_keys."""
    values = row._mapping
    return KeyRecord(
        id=values["id"],
        tenant=values["tenant"],
        user_id=values["user_id"],
        name=values["name"],
        kind=values["kind"],
        scopes=frozenset(Permission(scope) for scope in values["scopes"].split()),
        secret_hash=values["secret_hash"],
        created_by=values["created_by"],
        created_ms=values["created_ms"],
        expires_ms=values["expires_ms"],
        used_ms=values["used_ms"],
    )


def now_ms(clock: Clock) -> int:
    """Return the time in milliseconds since the Unix epoch."""
    return clock.now_ns() // 1_000_000


def days_ms(days: float) -> int:
    """Return days in milliseconds."""
    return int(days * _MS_PER_DAY)


def is_platform_admin(principal: Principal) -> bool:
    """Tell whether the caller may manage every tenant: an admin of the tenant `default`."""
    return principal.tenant == DEFAULT_TENANT and principal.may(Permission.ADMIN)


def may_see(principal: Principal, tenant: str) -> bool:
    """Tell whether something of a tenant exists as far as the caller may know."""
    return principal.tenant == tenant or is_platform_admin(principal)


def chosen_tenant(principal: Principal, wanted: str | None) -> str:
    """Return the tenant that a request is about, the caller's own by default; raises Forbidden for one of others."""
    tenant = wanted or principal.tenant
    if not may_see(principal, tenant):
        raise Forbidden(f"tenant: must be your own, got another one; only admins of {DEFAULT_TENANT} manage others")
    return tenant
