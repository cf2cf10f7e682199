"""The tables of this family. Times are milliseconds since the Unix epoch; the migration scripts make them."""

from typing import Final

from sqlalchemy import BigInteger, Boolean, Column, ForeignKey, Integer, LargeBinary, MetaData, String, Table, Text

METADATA: Final = MetaData()
LOGIN_LOCK: Final = "login lock"  # A row of auth_settings that is there to be locked.
_SERIAL: Final = BigInteger().with_variant(Integer, "sqlite")


def _of_user(*, nullable: bool) -> Column[str]:
    return Column("user_id", String(16), ForeignKey("auth_users.id", ondelete="CASCADE"), nullable=nullable, index=True)


def _of_tenant() -> Column[str]:
    return Column("tenant", String(40), ForeignKey("auth_tenants.name", ondelete="CASCADE"), nullable=False, index=True)


SETTINGS: Final = Table(
    "auth_settings", METADATA, Column("name", String(40), primary_key=True), Column("value", Text, nullable=False)
)

TENANTS: Final = Table(
    "auth_tenants",
    METADATA,
    Column("name", String(40), primary_key=True),
    Column("created_ms", BigInteger, nullable=False),
    # Days of retention that replace the store's own; NULL keeps the store's.
    Column("traces_days", Integer),
    Column("metrics_days", Integer),
    Column("logs_days", Integer),
)

REMOVED_TENANTS: Final = Table(
    "auth_removed_tenants",
    METADATA,
    Column("name", String(40), primary_key=True),
    Column("removed_ms", BigInteger, nullable=False),
    # When its telemetry was deleted; NULL until then.
    Column("emptied_ms", BigInteger),
)

USERS: Final = Table(
    "auth_users",
    METADATA,
    Column("id", String(16), primary_key=True),
    Column("name", String(64), nullable=False, unique=True),
    _of_tenant(),
    Column("role", String(16), nullable=False),
    Column("password_hash", Text, nullable=False),
    Column("password_generated", Boolean, nullable=False),
    Column("password_ms", BigInteger, nullable=False),
    Column("disabled", Boolean, nullable=False),
    Column("created_ms", BigInteger, nullable=False),
)

SESSIONS: Final = Table(
    "auth_sessions",
    METADATA,
    Column("id", String(16), primary_key=True),
    _of_user(nullable=False),
    Column("cookie_hash", LargeBinary, nullable=False),
    Column("client", String(64), nullable=False),
    Column("created_ms", BigInteger, nullable=False),
    Column("used_ms", BigInteger, nullable=False),
    # The end of its last refresh token; the cookie may end before.
    Column("expires_ms", BigInteger, nullable=False, index=True),
)

REFRESH_TOKENS: Final = Table(
    "auth_refresh_tokens",
    METADATA,
    Column("id", String(16), primary_key=True),
    Column("session_id", String(16), ForeignKey("auth_sessions.id", ondelete="CASCADE"), nullable=False, index=True),
    Column("secret_hash", LargeBinary, nullable=False),
    Column("expires_ms", BigInteger, nullable=False),
    Column("used_ms", BigInteger),
)

KEYS: Final = Table(
    "auth_keys",
    METADATA,
    Column("id", String(16), primary_key=True),
    _of_tenant(),
    # An API key acts for its user and ends with them; keys of machines have none.
    _of_user(nullable=True),
    Column("name", String(100), nullable=False),
    Column("kind", String(10), nullable=False),
    Column("scopes", String(200), nullable=False),
    Column("secret_hash", LargeBinary, nullable=False),
    Column("created_by", String(100), nullable=False),
    Column("created_ms", BigInteger, nullable=False),
    Column("expires_ms", BigInteger),
    Column("used_ms", BigInteger),
)

FAILURES: Final = Table(
    "auth_failures",
    METADATA,
    Column("id", _SERIAL, primary_key=True),
    Column("subject", String(200), nullable=False, index=True),
    Column("at_ms", BigInteger, nullable=False, index=True),
)

LOCKOUTS: Final = Table(
    "auth_lockouts",
    METADATA,
    Column("subject", String(200), primary_key=True),
    Column("until_ms", BigInteger, nullable=False),
)

AUDIT: Final = Table(
    "auth_audit",
    METADATA,
    Column("id", _SERIAL, primary_key=True),
    Column("at_ms", BigInteger, nullable=False, index=True),
    Column("tenant", String(40), nullable=False, index=True),
    Column("principal", String(100), nullable=False),
    Column("kind", String(16), nullable=False),
    Column("action", String(100), nullable=False),
    Column("target", String(300), nullable=False),
    Column("detail", Text, nullable=False),
    Column("client", String(64), nullable=False),
)
