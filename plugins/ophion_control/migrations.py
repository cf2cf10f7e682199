"""Alembic without its files: a family's scripts are a folder with `versions/`, and run inside one transaction."""

import re
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Final

from alembic.config import Config as AlembicConfig
from alembic.runtime.environment import EnvironmentContext
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from alembic.util.exc import CommandError
from sqlalchemy import Connection, inspect, text

from ophion_agent.plugin import OphionError

FAMILIES: Final = "control_families"
_FAMILY: Final = re.compile(r"[a-z][a-z0-9_]{0,29}\Z")
_PACKAGE: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]*\Z")


@dataclass(frozen=True, slots=True)
class Family:
    """Who owns tables: their names begin with `name_`; `scripts` is the folder `migrations` of a package."""

    name: str
    scripts: Path

    def __post_init__(self) -> None:
        if not _FAMILY.match(self.name):
            raise OphionError(f"control store: family must be 1-30 of a-z, 0-9 and _, got {self.name!r}; rename it")

    @property
    def package(self) -> str:
        """The package that the scripts lie in."""
        return self.scripts.parent.name

    @property
    def version_table(self) -> str:
        """Where Alembic keeps the family's revision."""
        return f"alembic_version_{self.name}"


def upgrade(connection: Connection, family: Family, revision: str = "head") -> None:
    """Bring the family's tables to a revision, in the transaction that `connection` is in.

    Raises OphionError for tables of a newer program and for scripts that make tables outside the family's prefix.
    """
    before = set(inspect(connection).get_table_names())
    script = ScriptDirectory(str(family.scripts))

    def steps(current: Any, _context: Any) -> Any:
        return script._upgrade_revs(revision, current)

    with EnvironmentContext(AlembicConfig(), script, fn=steps, destination_rev=revision) as environment:
        environment.configure(
            connection=connection,
            version_table=family.version_table,
            render_as_batch=True,
            transaction_per_migration=False,
        )
        try:
            environment.run_migrations()
        except CommandError as error:
            raise OphionError(
                f"control store: tables of {family.name} must be known to this version, got {error};"
                " run the newer version that wrote them, or restore a backup"
            ) from error
    made = set(inspect(connection).get_table_names()) - before - {family.version_table}
    foreign = sorted(table for table in made if not table.startswith(f"{family.name}_"))
    if foreign:
        raise OphionError(
            f"control store: tables of {family.name} must be named {family.name}_..., got {', '.join(foreign)};"
            " rename them in the migration script"
        )
    _remember(connection, family)


def revision_of(connection: Connection, family: Family) -> str | None:
    """Return the revision that the family's tables are at."""
    context = MigrationContext.configure(connection, opts={"version_table": family.version_table})
    return context.get_current_revision()


def head_of(family: Family) -> str | None:
    """Return the newest revision of the family's scripts."""
    return ScriptDirectory(str(family.scripts)).get_current_head()


def known_families(connection: Connection) -> dict[str, str]:
    """Return family -> package of everything that has tables here."""
    if not inspect(connection).has_table(FAMILIES):
        return {}
    return {row.name: row.package for row in connection.execute(text(f"SELECT name, package FROM {FAMILIES}"))}


def installed_family(name: str, package: str) -> Family:
    """Return the family of an installed package; raises OphionError where it is not installed."""
    spec = find_spec(package) if _PACKAGE.match(package) else None
    for location in (spec.submodule_search_locations or ()) if spec else ():
        scripts = Path(location) / "migrations"
        if (scripts / "versions").is_dir():
            return Family(name, scripts)
    raise OphionError(f"control store: package {package!r} of the tables of {name} is not installed; install it first")


def _remember(connection: Connection, family: Family) -> None:
    columns = "name VARCHAR(30) NOT NULL PRIMARY KEY, package VARCHAR(200) NOT NULL"
    connection.execute(text(f"CREATE TABLE IF NOT EXISTS {FAMILIES} ({columns})"))
    connection.execute(text(f"DELETE FROM {FAMILIES} WHERE name = :name"), {"name": family.name})
    parameters = {"name": family.name, "package": family.package}
    connection.execute(text(f"INSERT INTO {FAMILIES} (name, package) VALUES (:name, :package)"), parameters)
