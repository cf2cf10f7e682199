"""Processes of a container as the host's /proc shows them. Everything here may vanish while it is read."""

from __future__ import annotations

import mmap
import re
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Final

PROC: Final = Path("/proc")
_LARGEST_MAPS: Final = 8 << 20
_RUNTIMES: Final = ("runc", "crun")


@dataclass(frozen=True)
class Process:
    """One process of a container; what cannot be read is empty."""

    pid: int
    proc: Path = PROC

    @property
    def folder(self) -> Path:
        """Its folder below /proc."""
        return self.proc / str(self.pid)

    @property
    def root(self) -> Path:
        """The root of its files as the host reaches it."""
        return self.folder / "root"

    @cached_property
    def executable(self) -> str:
        """The path of the program inside the container."""
        with suppress(OSError):
            return str((self.folder / "exe").readlink()).removesuffix(" (deleted)")
        return ""

    @property
    def name(self) -> str:
        """The last part of the program's path."""
        return self.executable.rpartition("/")[2]

    @cached_property
    def mapped(self) -> frozenset[str]:
        """The files mapped into its memory: the program and its libraries."""
        with suppress(OSError), (self.folder / "maps").open("rb") as file:
            lines = file.read(_LARGEST_MAPS).decode(errors="replace").splitlines()
            return frozenset(parts[5] for line in lines if len(parts := line.split(None, 5)) == 6)
        return frozenset()

    @cached_property
    def environment(self) -> dict[str, str]:
        """The environment that it was started with."""
        with suppress(OSError):
            items = (self.folder / "environ").read_bytes().decode(errors="replace").split("\0")
            return {key: value for key, separator, value in (item.partition("=") for item in items) if separator}
        return {}

    @cached_property
    def command(self) -> tuple[str, ...]:
        """Its command line."""
        with suppress(OSError):
            return tuple((self.folder / "cmdline").read_bytes().decode(errors="replace").split("\0")[:-1])
        return ()

    @property
    def is_starting(self) -> bool:
        """Whether it is the container runtime still, which becomes the application's program within milliseconds."""
        started_as = self.command[0].rpartition("/")[2] if self.command else ""
        return started_as in _RUNTIMES and (self.command[1:2] == ("init",) or self.name in _RUNTIMES)

    def mapped_file(self, name: str) -> str:
        """Return the path of a mapped file of this name, or nothing."""
        return next((path for path in self.mapped if path.endswith(f"/{name}")), "")

    def search_program(self, pattern: bytes) -> re.Match[bytes] | None:
        """Return the first match of a pattern in the program's file; the match holds its own bytes."""
        with suppress(OSError, ValueError), (self.folder / "exe").open("rb") as file:
            with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
                found = re.search(pattern, content)
                text = found.group() if found else b""
            return re.match(pattern, text) if text else None
        return None


def descendants(pid: int, proc: Path = PROC) -> list[Process]:
    """Return a container's first process and everything that descends from it.

    What was executed into the container descends from the engine's shim instead, and is left out.
    """
    children: dict[int, list[int]] = {}
    for child, parent in _parents(proc):
        children.setdefault(parent, []).append(child)
    found, waiting = [], [pid]
    while waiting:
        current = waiting.pop(0)
        found.append(current)
        waiting += sorted(children.pop(current, []))
    return [Process(one, proc) for one in found]


def _parents(proc: Path) -> Iterator[tuple[int, int]]:
    for entry in proc.iterdir():
        if entry.name.isdigit():
            with suppress(OSError, ValueError, IndexError):
                stat = (entry / "stat").read_bytes()
                yield int(entry.name), int(stat.rpartition(b")")[2].split()[1])
