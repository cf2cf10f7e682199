"""Where the figures of a container are read, found once per start of the container. Blocking; runs in a thread."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Final

from ophion_docker.cgroup import Cgroup, CgroupTree, Found, read, read_or_empty
from ophion_docker.metadata import Container

_TICKS: Final = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True, slots=True)
class Place:
    """The cgroup of a container and the process whose network namespace is its own; `pid` 0 for none."""

    container: Container
    cgroup: Cgroup
    pid: int


@dataclass(frozen=True, slots=True)
class HostFigures:
    """What is the same for all containers of a look: memory in bytes, CPU time in nanoseconds, cores."""

    memory: int
    cpu_ns: int
    cores: int


class Places:
    """Finds and keeps the places of containers."""

    def __init__(self, tree: CgroupTree) -> None:
        self.tree = tree
        self._places: dict[str, Place] = {}

    def of(self, container: Container, find: Callable[[], Mapping[str, Found]] | None = None) -> Place | None:
        """Return the place of a container; None when its cgroup cannot be found or read.

        `find` walks over all cgroups, where the process of a container does not tell its own.
        """
        place = self._places.get(container.id)
        if place is not None and place.container == container and place.cgroup.exists():
            return place
        self.forget(container.id)
        cgroup = self.tree.of_process(container.pid, container.id) if container.pid else None
        if cgroup is None:
            seen = (find or self.tree.find)().get(container.id)
            cgroup = seen.cgroup if seen is not None and seen.cgroup.exists() else None
        if cgroup is None:
            return None
        place = Place(container, cgroup, self._network_process(container, cgroup))
        self._places[container.id] = place
        return place

    def _network_process(self, container: Container, cgroup: Cgroup) -> int:
        pid = container.pid or self.tree.first_process(cgroup)
        if not pid or container.network_mode == "host":
            return 0
        return 0 if self._namespace(pid) == self._namespace(1) else pid

    def _namespace(self, pid: int) -> str:
        try:
            return os.readlink(f"{self.tree.proc}/{pid}/ns/net")
        except OSError:
            # Without the right to look: not the same as any other.
            return str(pid)

    def network_table(self, place: Place) -> bytes:
        """Return the `net/dev` of a container; empty when it has no network of its own."""
        return read_or_empty(f"{self.tree.proc}/{place.pid}/net/dev") if place.pid else b""

    def forget(self, container: str) -> None:
        """Look for the place again at the next question."""
        self._places.pop(container, None)

    def keep_only(self, containers: Iterable[str]) -> None:
        """Forget every other container."""
        for gone in self._places.keys() - set(containers):
            del self._places[gone]

    def unnamed(self) -> list[Container]:
        """Return every container that has a cgroup, whichever engine it belongs to; only the id is known of it."""
        return [self._seen(seen) for seen in self.tree.find().values()]

    def _seen(self, seen: Found) -> Container:
        place = self._places.get(seen.id)
        if place is not None:
            return place.container
        pid = self.tree.first_process(seen.cgroup)
        return Container(id=seen.id, runtime=seen.runtime, pid=pid, started_ns=self._started_ns(pid))

    def _started_ns(self, pid: int) -> int:
        """Return when a process began, in Unix nanoseconds; 0 when it is gone."""
        try:
            # The name, in parentheses, may hold spaces and parentheses itself.
            fields = read(f"{self.tree.proc}/{pid}/stat").rpartition(b")")[2].split()
            boot = next(line for line in read(f"{self.tree.proc}/stat").splitlines() if line.startswith(b"btime "))
            return int(boot.split()[1]) * 1_000_000_000 + int(fields[19]) * 1_000_000_000 // _TICKS
        except (OSError, IndexError, ValueError, StopIteration):
            return 0

    def host(self) -> HostFigures:
        """Return the host's own figures; zeros for what cannot be read."""
        memory = next(
            (
                int(line.split()[1]) * 1024
                for line in read_or_empty(f"{self.tree.proc}/meminfo").splitlines()
                if line.startswith(b"MemTotal:")
            ),
            0,
        )
        lines = read_or_empty(f"{self.tree.proc}/stat").splitlines()
        # user nice system idle iowait irq softirq, as the engine adds them up.
        ticks = sum(map(int, lines[0].split()[1:8])) if lines else 0
        cores = sum(line.startswith(b"cpu") for line in lines) - 1
        return HostFigures(memory, ticks * 1_000_000_000 // _TICKS, max(1, cores))
