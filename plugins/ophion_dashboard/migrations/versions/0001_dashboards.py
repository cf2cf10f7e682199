"""Dashboards with their versions, snapshots, stars and homes."""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Make every table."""
    _dashboards()
    _snapshots()
    _of_people()


def _dashboards() -> None:
    op.create_table(
        "dashboard_dashboards",
        sa.Column("tenant", sa.String(40), primary_key=True),
        sa.Column("uid", sa.String(40), primary_key=True),
        sa.Column("title", sa.String(200), nullable=False),
        sa.Column("description", sa.Text, nullable=False),
        sa.Column("folder", sa.String(100), nullable=False),
        sa.Column("tags", sa.Text, nullable=False),
        sa.Column("panels", sa.Integer, nullable=False),
        sa.Column("body", sa.Text, nullable=False),
        sa.Column("version", sa.Integer, nullable=False),
        sa.Column("created_ms", sa.BigInteger, nullable=False),
        sa.Column("created_by", sa.String(100), nullable=False),
        sa.Column("updated_ms", sa.BigInteger, nullable=False),
        sa.Column("updated_by", sa.String(100), nullable=False),
    )
    op.create_table(
        "dashboard_versions",
        sa.Column("tenant", sa.String(40), primary_key=True),
        sa.Column("uid", sa.String(40), primary_key=True),
        sa.Column("version", sa.Integer, primary_key=True),
        sa.Column("body", sa.Text, nullable=False),
        sa.Column("message", sa.String(200), nullable=False),
        sa.Column("saved_ms", sa.BigInteger, nullable=False),
        sa.Column("saved_by", sa.String(100), nullable=False),
    )


def _snapshots() -> None:
    op.create_table(
        "dashboard_snapshots",
        sa.Column("id", sa.String(32), primary_key=True),
        sa.Column("tenant", sa.String(40), nullable=False, index=True),
        sa.Column("title", sa.String(200), nullable=False),
        sa.Column("body", sa.Text, nullable=False),
        sa.Column("size", sa.Integer, nullable=False),
        sa.Column("created_ms", sa.BigInteger, nullable=False),
        sa.Column("created_by", sa.String(100), nullable=False),
        sa.Column("expires_ms", sa.BigInteger, nullable=False, index=True),
    )


def _of_people() -> None:
    op.create_table(
        "dashboard_stars",
        sa.Column("tenant", sa.String(40), primary_key=True),
        sa.Column("subject", sa.String(100), primary_key=True),
        sa.Column("uid", sa.String(40), primary_key=True),
    )
    op.create_table(
        "dashboard_homes",
        sa.Column("tenant", sa.String(40), primary_key=True),
        sa.Column("subject", sa.String(100), primary_key=True),
        sa.Column("uid", sa.String(40), nullable=False),
    )
