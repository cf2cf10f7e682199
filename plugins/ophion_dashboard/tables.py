"""The tables of this family. Times are milliseconds since the Unix epoch; the migration scripts make them."""

from typing import Final

from sqlalchemy import BigInteger, Column, Integer, MetaData, String, Table, Text

FAMILY: Final = "dashboard"
METADATA: Final = MetaData()


DASHBOARDS: Final = Table(
    "dashboard_dashboards",
    METADATA,
    Column("tenant", String(40), primary_key=True),
    Column("uid", String(40), primary_key=True),
    Column("title", String(200), nullable=False),
    Column("description", Text, nullable=False),
    Column("folder", String(100), nullable=False),
    Column("tags", Text, nullable=False),
    Column("panels", Integer, nullable=False),
    Column("body", Text, nullable=False),
    Column("version", Integer, nullable=False),
    Column("created_ms", BigInteger, nullable=False),
    Column("created_by", String(100), nullable=False),
    Column("updated_ms", BigInteger, nullable=False),
    Column("updated_by", String(100), nullable=False),
)

VERSIONS: Final = Table(
    "dashboard_versions",
    METADATA,
    Column("tenant", String(40), primary_key=True),
    Column("uid", String(40), primary_key=True),
    Column("version", Integer, primary_key=True),
    Column("body", Text, nullable=False),
    Column("message", String(200), nullable=False),
    Column("saved_ms", BigInteger, nullable=False),
    Column("saved_by", String(100), nullable=False),
)

SNAPSHOTS: Final = Table(
    "dashboard_snapshots",
    METADATA,
    Column("id", String(32), primary_key=True),
    Column("tenant", String(40), nullable=False, index=True),
    Column("title", String(200), nullable=False),
    Column("body", Text, nullable=False),
    Column("size", Integer, nullable=False),
    Column("created_ms", BigInteger, nullable=False),
    Column("created_by", String(100), nullable=False),
    Column("expires_ms", BigInteger, nullable=False, index=True),
)

STARS: Final = Table(
    "dashboard_stars",
    METADATA,
    Column("tenant", String(40), primary_key=True),
    Column("subject", String(100), primary_key=True),
    Column("uid", String(40), primary_key=True),
)

# The dashboard that somebody sees first.
HOMES: Final = Table(
    "dashboard_homes",
    METADATA,
    Column("tenant", String(40), primary_key=True),
    Column("subject", String(100), primary_key=True),
    Column("uid", String(40), nullable=False),
)

BY_TENANT: Final = (DASHBOARDS, VERSIONS, SNAPSHOTS, STARS, HOMES)
