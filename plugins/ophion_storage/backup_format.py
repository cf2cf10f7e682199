"""What a backup of the telemetry store says of itself."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from ophion_agent.plugin import OphionError
from ophion_agent.server import check_tenant

MANIFEST: Final = "telemetry.json"
FORMAT: Final = "ophion-telemetry"
VERSION: Final = 1
_TABLE: Final = re.compile(r"[a-z][a-z0-9_]*\Z")
_FILE: Final = re.compile(r"[0-9]+\.native\.zst\Z")


@dataclass(slots=True)
class TableFacts:
    """One table in a backup: its columns, about how many rows it has, and its files in order."""

    columns: Sequence[str]
    rows: int = 0
    files: list[str] = field(default_factory=list)

    def document(self) -> dict[str, Any]:
        """Return it as it is written."""
        return {"columns": list(self.columns), "rows": self.rows, "files": self.files}


def read_manifest(directory: Path, newest_schema: int) -> dict[str, dict[str, TableFacts]]:
    """Return tenant -> table -> facts; raises OphionError for what is no backup, has gaps or is of a newer version."""
    path = directory / MANIFEST
    try:
        document = json.loads(path.read_bytes())
        if document["format"] != FORMAT:
            raise ValueError(f"format {document['format']!r}")
        _check_versions(path, int(document["version"]), int(document["schema_version"]), newest_schema)
        found = {
            check_tenant(tenant): {_matching(_TABLE, name): _facts(table) for name, table in tables.items()}
            for tenant, tables in document["tenants"].items()
        }
    except OSError as error:
        raise OphionError(f"{path}: cannot be read: {error.strerror}; name the folder of a backup") from error
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise OphionError(f"{path}: must be a backup of a telemetry store, got {error!r}; use another") from error
    _check_files(directory, found)
    return found


def _check_versions(path: Path, version: int, schema: int, newest_schema: int) -> None:
    if version > VERSION or schema > newest_schema:
        raise OphionError(
            f"{path}: must be of format {VERSION} and schema {newest_schema} or older, got format {version} and schema"
            f" {schema}; install the version of ophion-agent that made it"
        )


def _facts(table: Mapping[str, Any]) -> TableFacts:
    files = [_matching(_FILE, name) for name in table["files"]]
    return TableFacts([str(name) for name in table["columns"]], int(table["rows"]), files)


def _matching(pattern: re.Pattern[str], name: Any) -> str:
    if not isinstance(name, str) or not pattern.match(name):
        raise ValueError(f"name {name!r}")
    return name


def _check_files(directory: Path, found: Mapping[str, Mapping[str, TableFacts]]) -> None:
    for tenant, tables in found.items():
        for table, facts in tables.items():
            for name in facts.files:
                path = directory / tenant / table / name
                if not path.is_file():
                    raise OphionError(f"{path}: is missing; use a backup that is whole")
