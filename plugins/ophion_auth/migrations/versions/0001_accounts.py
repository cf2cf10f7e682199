"""Tenants, users, sessions, keys, login limits and the audit log."""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

SERIAL = sa.BigInteger().with_variant(sa.Integer, "sqlite")


def upgrade() -> None:
    """Make every table."""
    _accounts()
    _sessions()
    _keys()
    _limits()
    _audit()


def _accounts() -> None:
    op.create_table(
        "auth_settings",
        sa.Column("name", sa.String(40), primary_key=True),
        sa.Column("value", sa.Text, nullable=False),
    )
    op.create_table(
        "auth_tenants",
        sa.Column("name", sa.String(40), primary_key=True),
        sa.Column("created_ms", sa.BigInteger, nullable=False),
        sa.Column("traces_days", sa.Integer),
        sa.Column("metrics_days", sa.Integer),
        sa.Column("logs_days", sa.Integer),
    )
    op.create_table(
        "auth_users",
        sa.Column("id", sa.String(16), primary_key=True),
        sa.Column("name", sa.String(64), nullable=False, unique=True),
        _of("tenant", 40, "auth_tenants.name", nullable=False),
        sa.Column("role", sa.String(16), nullable=False),
        sa.Column("password_hash", sa.Text, nullable=False),
        sa.Column("password_generated", sa.Boolean, nullable=False),
        sa.Column("password_ms", sa.BigInteger, nullable=False),
        sa.Column("disabled", sa.Boolean, nullable=False),
        sa.Column("created_ms", sa.BigInteger, nullable=False),
    )


def _sessions() -> None:
    op.create_table(
        "auth_sessions",
        sa.Column("id", sa.String(16), primary_key=True),
        _of("user_id", 16, "auth_users.id", nullable=False),
        sa.Column("cookie_hash", sa.LargeBinary, nullable=False),
        sa.Column("client", sa.String(64), nullable=False),
        sa.Column("created_ms", sa.BigInteger, nullable=False),
        sa.Column("used_ms", sa.BigInteger, nullable=False),
        sa.Column("expires_ms", sa.BigInteger, nullable=False, index=True),
    )
    op.create_table(
        "auth_refresh_tokens",
        sa.Column("id", sa.String(16), primary_key=True),
        _of("session_id", 16, "auth_sessions.id", nullable=False),
        sa.Column("secret_hash", sa.LargeBinary, nullable=False),
        sa.Column("expires_ms", sa.BigInteger, nullable=False),
        sa.Column("used_ms", sa.BigInteger),
    )


def _keys() -> None:
    op.create_table(
        "auth_keys",
        sa.Column("id", sa.String(16), primary_key=True),
        _of("tenant", 40, "auth_tenants.name", nullable=False),
        _of("user_id", 16, "auth_users.id", nullable=True),
        sa.Column("name", sa.String(100), nullable=False),
        sa.Column("kind", sa.String(10), nullable=False),
        sa.Column("scopes", sa.String(200), nullable=False),
        sa.Column("secret_hash", sa.LargeBinary, nullable=False),
        sa.Column("created_by", sa.String(100), nullable=False),
        sa.Column("created_ms", sa.BigInteger, nullable=False),
        sa.Column("expires_ms", sa.BigInteger),
        sa.Column("used_ms", sa.BigInteger),
    )


def _limits() -> None:
    op.create_table(
        "auth_failures",
        sa.Column("id", SERIAL, primary_key=True),
        sa.Column("subject", sa.String(200), nullable=False, index=True),
        sa.Column("at_ms", sa.BigInteger, nullable=False, index=True),
    )
    op.create_table(
        "auth_lockouts",
        sa.Column("subject", sa.String(200), primary_key=True),
        sa.Column("until_ms", sa.BigInteger, nullable=False),
    )
    op.execute("INSERT INTO auth_settings (name, value) VALUES ('login lock', '')")


def _audit() -> None:
    op.create_table(
        "auth_audit",
        sa.Column("id", SERIAL, primary_key=True),
        sa.Column("at_ms", sa.BigInteger, nullable=False, index=True),
        sa.Column("tenant", sa.String(40), nullable=False, index=True),
        sa.Column("principal", sa.String(100), nullable=False),
        sa.Column("kind", sa.String(16), nullable=False),
        sa.Column("action", sa.String(100), nullable=False),
        sa.Column("target", sa.String(300), nullable=False),
        sa.Column("detail", sa.Text, nullable=False),
        sa.Column("client", sa.String(64), nullable=False),
    )


def _of(name: str, length: int, parent: str, *, nullable: bool) -> sa.Column[str]:
    key = sa.ForeignKey(parent, ondelete="CASCADE")
    return sa.Column(name, sa.String(length), key, nullable=nullable, index=True)
