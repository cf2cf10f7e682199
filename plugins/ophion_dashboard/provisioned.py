"""Dashboards as code: YAML files in a folder, which git keeps. They are shown as they are, and changed in the files."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from ophion_dashboard.model import RESERVED, Dashboard
from ophion_dashboard.yaml_format import InvalidDashboardError, read_dashboard_file

_SUFFIXES: Final = frozenset({".yaml", ".yml"})
_MOST_FILES: Final = 2000
_NOT_OF_UID: Final = re.compile(r"[^A-Za-z0-9_-]+")
PROVISIONED_BY: Final = "files"

Stamp = tuple[int, int]


@dataclass(frozen=True, slots=True)
class Provisioned:
    """A dashboard that a file describes."""

    uid: str
    file: str
    changed_ms: int
    dashboard: Dashboard


class DashboardFolder:
    """What the files of a folder say; `found` and `broken` change when the files do."""

    def __init__(self, folder: Path, report: Callable[[str], None]) -> None:
        self._folder = folder
        self._report = report
        self._stamps: Mapping[Path, Stamp] | None = None
        self.found: Mapping[str, Provisioned] = {}
        self.broken: tuple[str, ...] = ()

    async def scan(self) -> bool:
        """Read the files if one of them has changed; true where that was so. Each new mistake is reported once."""
        stamps, problem = await asyncio.to_thread(_stamps, self._folder)
        if stamps == self._stamps and not problem:
            return False
        known = set(self.broken)
        self.found, broken = await asyncio.to_thread(_read, self._folder, stamps)
        self._stamps = stamps
        self.broken = (*((problem,) if problem else ()), *broken)
        for sentence in self.broken:
            if sentence not in known:
                self._report(sentence)
        return True


def _stamps(folder: Path) -> tuple[dict[Path, Stamp], str]:
    """Return file -> time and size of every dashboard file, and what is wrong with the folder."""
    try:
        if not folder.is_dir():
            return {}, f"{folder}: is not a folder; make it, or change dashboards_directory"
        found = dict(_stamped(folder))
    except OSError as error:
        return {}, f"{folder}: cannot be read: {error.strerror}"
    if len(found) > _MOST_FILES:
        return dict(
            list(found.items())[:_MOST_FILES]
        ), f"{folder}: holds more than {_MOST_FILES} files; the rest is not read"
    return found, ""


def _stamped(folder: Path) -> Iterator[tuple[Path, Stamp]]:
    for file in sorted(folder.rglob("*")):
        hidden = any(part.startswith(".") for part in file.relative_to(folder).parts)
        if file.suffix in _SUFFIXES and not hidden and file.is_file():
            stat = file.stat()
            yield file, (stat.st_mtime_ns, stat.st_size)


def _read(folder: Path, stamps: Mapping[Path, Stamp]) -> tuple[dict[str, Provisioned], list[str]]:
    found: dict[str, Provisioned] = {}
    broken: list[str] = []
    for file, (changed_ns, _) in stamps.items():
        try:
            content = read_dashboard_file(file)
        except InvalidDashboardError as error:
            broken += error.problems
            continue
        uid = content.uid or _uid_of(file)
        name = file.relative_to(folder).as_posix()
        if uid in RESERVED:
            broken.append(
                f'{file}: uid: is "{uid}" by the file\'s name, which has a meaning of its own; write another one'
            )
            continue
        if uid in found:
            broken.append(f'{file}: uid: "{uid}" is that of {found[uid].file} too; give it another one')
            continue
        found[uid] = Provisioned(uid, name, changed_ns // 1_000_000, content.dashboard())
    return found, broken


def _uid_of(file: Path) -> str:
    return _NOT_OF_UID.sub("-", file.stem).strip("-")[:40] or "dashboard"
