"""The cgroups of containers: where they are, and which containers they belong to.

Without an engine this is all there is to know of containers: their ids are in the names of their cgroups.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Final

_CONTAINER: Final = re.compile(r"(?:(docker|libpod|cri-containerd|crio|containerd)-)?([0-9a-f]{64})(?:\.scope)?")
_RUNTIMES: Final = {"docker": "docker", "libpod": "podman", "cri-containerd": "containerd", "crio": "cri-o"}
_PARENTS: Final = {"docker": "docker", "libpod_parent": "podman", "machine.slice": "podman", "kubepods": "containerd"}
_CONTROLLERS: Final = ("cpuacct", "cpu", "memory", "blkio", "pids")
_DEEPEST: Final = 12
_CHUNK: Final = 65536


@dataclass(frozen=True, slots=True)
class Cgroup:
    """The folders of one container's cgroup: one for version 2, one per controller for version 1."""

    version: int
    folders: Mapping[str, str]

    def folder(self, controller: str) -> str:
        """Return the folder of a controller's files; "" where there is none."""
        return self.folders.get("" if self.version == 2 else controller, "")

    def exists(self) -> bool:
        """True while the container has its cgroup."""
        return any(os.path.isdir(folder) for folder in self.folders.values())


@dataclass(frozen=True, slots=True)
class Found:
    """A container known from its cgroup only; `runtime` is "" where the name does not tell."""

    id: str
    runtime: str
    cgroup: Cgroup


class CgroupTree:
    """The cgroups of a host, the machine itself or one whose root filesystem is mounted at `root_path`."""

    def __init__(self, root_path: str = "") -> None:
        root = root_path.rstrip("/")
        self.proc = f"{root}/proc"
        self.top = f"{root}/sys/fs/cgroup"
        self.version = self._version()

    def _version(self) -> int:
        """Return 2 for the unified hierarchy, 1 for one per controller (hybrid too), 0 when nothing can be read."""
        if os.path.exists(f"{self.top}/cgroup.controllers"):
            return 2
        return 1 if any(os.path.isdir(f"{self.top}/{controller}") for controller in _CONTROLLERS) else 0

    def of_process(self, pid: int, container: str) -> Cgroup | None:
        """Return the cgroup of a container's first process; None when it is gone or is not the container's.

        Inside a cgroup namespace the paths are relative to it, and end in the id only by chance: `find` looks further.
        """
        try:
            lines = read(f"{self.proc}/{pid}/cgroup").decode(errors="replace").splitlines()
        except OSError:
            return None
        paths = {
            controller: path
            for _, names, path in (line.split(":", 2) for line in lines if line.count(":") >= 2)
            for controller in names.split(",")
        }
        folders = {name: f"{self.top}/{name}{path}" for name, path in paths.items() if name in _CONTROLLERS}
        if self.version == 2:
            folders = {"": f"{self.top}{paths.get('', '')}"}
        folders = {name: path for name, path in folders.items() if container in path and "/../" not in path}
        cgroup = Cgroup(self.version, folders)
        return cgroup if folders and cgroup.exists() else None

    def find(self) -> dict[str, Found]:
        """Return every container of the host by its id, whichever engine it belongs to."""
        start = self.top if self.version == 2 else f"{self.top}/{self._walked()}"
        found = {}
        for path in _folders(start, _DEEPEST) if self.version else ():
            match = _CONTAINER.fullmatch(os.path.basename(path))
            if match is not None:
                relative = path[len(start) :]
                found[match[2]] = Found(match[2], _runtime(match[1], relative), self._cgroup(relative))
        return found

    def _walked(self) -> str:
        return next((name for name in ("memory", "cpuacct", "cpu") if os.path.isdir(f"{self.top}/{name}")), "pids")

    def _cgroup(self, relative: str) -> Cgroup:
        if self.version == 2:
            return Cgroup(2, {"": f"{self.top}{relative}"})
        return Cgroup(1, {name: f"{self.top}/{name}{relative}" for name in _CONTROLLERS})

    def first_process(self, cgroup: Cgroup) -> int:
        """Return the lowest process id of a cgroup, as the host numbers it; 0 when it has none."""
        for folder in cgroup.folders.values():
            try:
                numbers = [int(word) for word in read(f"{folder}/cgroup.procs").split()]
            except (OSError, ValueError):
                continue
            return min((number for number in numbers if number), default=0)
        return 0


def read(path: str) -> bytes:
    """Return the whole content of a small file of the kernel. Raises OSError."""
    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        content = os.read(fd, _CHUNK)
        while content and (more := os.read(fd, _CHUNK)):
            content += more
        return content
    finally:
        os.close(fd)


def read_or_empty(path: str) -> bytes:
    """Return the content of a file; empty when there is none or it cannot be read, as while a container ends."""
    try:
        return read(path)
    except OSError:
        return b""


def _runtime(prefix: str | None, path: str) -> str:
    if prefix:
        return _RUNTIMES.get(prefix, "containerd")
    parts = path.split("/")
    return next((runtime for parent, runtime in _PARENTS.items() if parent in parts), "")


def _folders(top: str, depth: int) -> Iterator[str]:
    """Yield the folders below one, not looking into those of containers."""
    try:
        with os.scandir(top) as entries:
            names = [entry.name for entry in entries if entry.is_dir(follow_symlinks=False)]
    except OSError:
        return
    for name in names:
        path = f"{top}/{name}"
        yield path
        if depth and not _CONTAINER.fullmatch(name):
            yield from _folders(path, depth - 1)
