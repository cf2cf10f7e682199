"""The whole store as NDJSON, the same from SQLite and PostgreSQL, and what can be wrong with a store.

The first line names the format and each family with its package and revision. Every other line is a row:
{"table": "auth_users", "row": {...}}, tables in the order in which they refer to one another. Values that JSON lacks
are objects with one member: {"$bytes": base64}, {"$time": RFC 3339}, {"$decimal": text}, {"$json": any}.
"""

import base64
import json
import os
import sqlite3
from collections.abc import Iterable, Iterator, Mapping
from contextlib import closing
from datetime import UTC, datetime
from decimal import Decimal
from itertools import groupby, islice
from pathlib import Path
from typing import Any, Final

from sqlalchemy import JSON, BigInteger, Connection, Integer, MetaData, Table, func, insert, inspect, select, text

from ophion_agent.plugin import OphionError
from ophion_control.migrations import FAMILIES, Family, head_of, installed_family, known_families, revision_of, upgrade

_FORMAT: Final = "ophion-control"
_VERSION: Final = 1
_ROWS_AT_ONCE: Final = 500


def dump(connection: Connection, target: Path) -> None:
    """Write all families' tables to a new file, readable to its owner alone."""
    families = known_families(connection)
    header = {
        "format": _FORMAT,
        "version": _VERSION,
        "families": {
            name: {"package": package, "revision": revision_of(connection, Family(name, Path(package, "migrations")))}
            for name, package in families.items()
        },
    }
    fd = os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with open(fd, "w", encoding="utf-8") as file:
        file.write(json.dumps(header) + "\n")
        for table in _tables(connection, families):
            for row in connection.execute(select(table)).mappings():
                file.write(json.dumps({"table": table.name, "row": _encoded_row(table, row)}) + "\n")
        file.flush()
        os.fsync(file.fileno())


def load(connection: Connection, source: Path, known: Mapping[str, Family]) -> None:
    """Fill a store without tables from a file that `dump` wrote, and bring it up to date.

    Raises OphionError for a store that has tables, for a file that is none of `dump` and for families not installed.
    """
    there = known_families(connection)
    if there:
        raise OphionError(
            f"control store: must be empty to be restored into, got tables of {', '.join(sorted(there))};"
            " name a new `directory` or database"
        )
    try:
        with source.open(encoding="utf-8") as file:
            families = _families(source, file.readline(), known)
            for family, revision in families:
                upgrade(connection, family, revision)
            _insert(connection, _tables(connection, [family.name for family, _ in families]), _lines(source, file))
    except OSError as error:
        raise OphionError(f"control store: must be able to read {source}, got {error.strerror}") from error
    for family, _ in families:
        upgrade(connection, family)


def copy_sqlite(file: Path, target: Path) -> None:
    """Copy a SQLite database that is in use, readable to the owner alone."""
    os.close(os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600))
    with closing(sqlite3.connect(file)) as connection:
        connection.execute("VACUUM INTO ?", (str(target),))


def problems(connection: Connection, known: Mapping[str, Family]) -> list[str]:
    """Return what is wrong with the store, a sentence each."""
    found: list[str] = []
    if connection.dialect.name == "sqlite":
        for (message,) in connection.exec_driver_sql("PRAGMA integrity_check").all():
            found += [f"control store: {message}"] if message != "ok" else []
        for table, row, parent, _ in connection.exec_driver_sql("PRAGMA foreign_key_check").all():
            found.append(f"control store: row {row} of {table} refers to a missing row of {parent}")
    for name, package in known_families(connection).items():
        try:
            family = known.get(name) or installed_family(name, package)
        except OphionError as error:
            found.append(str(error))
            continue
        revision, newest = revision_of(connection, family), head_of(family)
        if revision != newest:
            found.append(f"control store: tables of {name} must be at revision {newest}, got {revision}")
    return found


def _tables(connection: Connection, families: Iterable[str]) -> list[Table]:
    """Return the families' tables, those that are referred to first."""
    prefixes = tuple(f"{name}_" for name in families)
    metadata = MetaData()
    names = [name for name in inspect(connection).get_table_names() if name.startswith(prefixes) and name != FAMILIES]
    metadata.reflect(connection, only=names)
    return [table for table in metadata.sorted_tables if table.name in names]


def _families(source: Path, line: str, known: Mapping[str, Family]) -> list[tuple[Family, str]]:
    try:
        header = json.loads(line)
        if (header["format"], header["version"]) != (_FORMAT, _VERSION):
            raise ValueError(f"format {header['format']} version {header['version']}")
        entries = [(name, facts["package"], facts["revision"]) for name, facts in header["families"].items()]
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise OphionError(
            f"{source}: must be a backup of a control store, got {error!r}; name the right folder"
        ) from error
    return [(known.get(name) or installed_family(name, package), revision) for name, package, revision in entries]


def _lines(source: Path, file: Iterable[str]) -> Iterator[tuple[str, dict[str, Any]]]:
    for number, line in enumerate(file, start=2):
        try:
            entry = json.loads(line)
            yield entry["table"], {name: _decoded(value) for name, value in entry["row"].items()}
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise OphionError(
                f"{source}:{number}: must be a row of a backup, got {error!r}; use another backup"
            ) from error


def _insert(connection: Connection, tables: list[Table], rows: Iterable[tuple[str, dict[str, Any]]]) -> None:
    by_name = {table.name: table for table in tables}
    # What the migration scripts themselves put in is in the backup too.
    for table in reversed(tables):
        connection.execute(table.delete())
    for name, group in groupby(rows, key=lambda row: row[0]):
        if name not in by_name:
            raise OphionError(f"control store: table {name} of the backup is unknown here; use a backup that is whole")
        table = by_name[name]
        while batch := [_fitting(table, row) for _, row in islice(group, _ROWS_AT_ONCE)]:
            connection.execute(insert(table), batch)
    if connection.dialect.name == "postgresql":
        for table in tables:
            _move_sequence(connection, table)


def _move_sequence(connection: Connection, table: Table) -> None:
    """Let PostgreSQL number new rows after the restored ones."""
    for column in table.primary_key.columns:
        if not isinstance(column.type, Integer | BigInteger):
            continue
        names = {"table": table.name, "column": column.name}
        sequence = connection.execute(text("SELECT pg_get_serial_sequence(:table, :column)"), names).scalar_one()
        highest = connection.execute(select(func.max(column))).scalar_one()
        if sequence is not None and highest is not None:
            connection.execute(text("SELECT setval(:sequence, :value)"), {"sequence": sequence, "value": highest})


def _encoded_row(table: Table, row: Mapping[Any, Any]) -> dict[str, Any]:
    return {
        column.name: {"$json": row[column]} if isinstance(column.type, JSON) else _encoded(row[column])
        for column in table.columns
    }


def _encoded(value: Any) -> Any:
    if isinstance(value, bytes):
        return {"$bytes": base64.b64encode(value).decode()}
    if isinstance(value, datetime):
        # SQLite keeps no zone: a time without one is UTC.
        return {"$time": (value.astimezone(UTC) if value.tzinfo else value.replace(tzinfo=UTC)).isoformat()}
    if isinstance(value, Decimal):
        return {"$decimal": str(value)}
    if value is None or isinstance(value, str | int | float | bool):
        return value
    raise OphionError(f"control store: column type {type(value).__name__} has no portable form; store text or numbers")


def _decoded(value: Any) -> Any:
    if not isinstance(value, dict):
        return value
    [(kind, content)] = value.items()
    if kind == "$bytes":
        return base64.b64decode(content, validate=True)
    if kind == "$time":
        return datetime.fromisoformat(content)
    return {"$decimal": Decimal, "$json": lambda content: content}[kind](content)


def _fitting(table: Table, row: dict[str, Any]) -> dict[str, Any]:
    """Return the row as the database takes it: times with a zone only where the column has one."""
    for name, value in row.items():
        if isinstance(value, datetime) and not getattr(table.columns[name].type, "timezone", False):
            row[name] = value.replace(tzinfo=None)
    return row
