"""Who is asking, and what they may do."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from types import MappingProxyType
from typing import Final, Literal

DEFAULT_TENANT: Final = "default"
_TENANT: Final = re.compile(r"[a-z][a-z0-9_]{0,39}\Z")


class Permission(StrEnum):
    """What a route asks of its caller, and the scopes that a key can have."""

    READ = "telemetry:read"
    INGEST = "telemetry:write"
    OPERATE = "operate"
    ADMIN = "admin"


class Role(StrEnum):
    """What a user is; each role may do all that the one before it may."""

    VIEWER = "viewer"
    OPERATOR = "operator"
    ADMIN = "admin"


ROLE_PERMISSIONS: Final[Mapping[Role, frozenset[Permission]]] = MappingProxyType(
    {
        Role.VIEWER: frozenset({Permission.READ}),
        Role.OPERATOR: frozenset({Permission.READ, Permission.OPERATE}),
        Role.ADMIN: frozenset({Permission.READ, Permission.OPERATE, Permission.ADMIN}),
    }
)


@dataclass(frozen=True, slots=True)
class Principal:
    """A caller whose identity was proven, or ANONYMOUS. `tenant` bounds everything that they see and change."""

    subject: str
    kind: Literal["user", "api_key", "ingest_key", "anonymous"]
    tenant: str
    permissions: frozenset[Permission]
    session: str | None = None

    def may(self, permission: Permission) -> bool:
        """Tell whether the caller has the permission."""
        return permission in self.permissions


ANONYMOUS: Final = Principal("anonymous", "anonymous", "", frozenset())


def check_tenant(name: str) -> str:
    """Return `name` if it can be a tenant, whose database is named after it; raise ValueError otherwise."""
    if not _TENANT.match(name):
        raise ValueError(f"tenant: must be 1-40 of a-z, 0-9 and _, beginning with a letter, got {name!r}")
    return name
