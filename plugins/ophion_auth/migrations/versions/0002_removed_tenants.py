"""Removed tenants, until their telemetry is gone and their name is given again."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Make the table."""
    op.create_table(
        "auth_removed_tenants",
        sa.Column("name", sa.String(40), primary_key=True),
        sa.Column("removed_ms", sa.BigInteger, nullable=False),
        sa.Column("emptied_ms", sa.BigInteger),
    )
