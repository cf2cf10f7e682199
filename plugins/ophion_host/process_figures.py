"""What the process scraper asks of an operating system, and the answer from psutil."""

from __future__ import annotations

from collections.abc import Hashable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, NamedTuple, Protocol

if TYPE_CHECKING:
    import psutil


class Figures(NamedTuple):
    """What one cheap read tells of a process. Times in seconds, memory in bytes, None where the system does not tell.

    `identity` changes when the process becomes another program, so that what describes it must be read again.
    """

    pid: int
    parent_pid: int
    name: str
    identity: Hashable
    created_ns: int
    user: float
    system: float
    wait: float | None
    resident: int
    virtual: int
    threads: int
    minor_faults: int | None
    major_faults: int | None


class DiskFigures(NamedTuple):
    """Bytes transferred and operations."""

    read_bytes: int
    write_bytes: int
    reads: int
    writes: int


class ProcessSource(Protocol):
    """Processes of a host.

    Every method raises OSError: ProcessLookupError or FileNotFoundError once the process ended.
    """

    def pids(self) -> list[int]:
        """Ids of all processes."""

    def figures(self, pid: int) -> Figures:
        """The figures that every process has."""

    def executable(self, pid: int) -> str:
        """Path of the program; empty for a process of the kernel."""

    def arguments(self, pid: int) -> list[str]:
        """The command line."""

    def owner(self, pid: int) -> str:
        """Name of the user; LookupError when the user id has no name."""

    def cgroup(self, pid: int) -> str:
        """Content of the process's cgroup file."""

    def disk(self, pid: int) -> DiskFigures:
        """Bytes and operations."""

    def open_files(self, pid: int) -> int:
        """Number of file descriptors."""

    def context_switches(self, pid: int) -> tuple[int, int]:
        """Voluntary and involuntary ones of all threads."""

    def pending_signals(self, pid: int) -> int:
        """Number of signals sent and not yet handled."""


@contextmanager
def _os_errors(pid: int) -> Iterator[None]:
    import psutil

    try:
        yield
    except psutil.NoSuchProcess as error:
        raise ProcessLookupError(f"process {pid} ended") from error
    except psutil.AccessDenied as error:
        raise PermissionError(f"process {pid}: permission denied") from error


class PsutilSource:
    """Processes of this machine where there is no /proc."""

    def pids(self) -> list[int]:
        """Ids of all processes."""
        import psutil

        return psutil.pids()

    def figures(self, pid: int) -> Figures:
        """The figures that every process has; page faults and I/O wait are not among them."""
        with _os_errors(pid), (process := self._process(pid)).oneshot():
            times, memory, created = process.cpu_times(), process.memory_info(), process.create_time()
            return Figures(
                pid=pid,
                parent_pid=process.ppid(),
                name=process.name(),
                identity=(process.name(), created),
                created_ns=int(created * 1e9),
                user=times.user,
                system=times.system,
                wait=None,
                resident=memory.rss,
                virtual=memory.vms,
                threads=process.num_threads(),
                minor_faults=None,
                major_faults=None,
            )

    def executable(self, pid: int) -> str:
        """Path of the program."""
        with _os_errors(pid):
            return self._process(pid).exe()

    def arguments(self, pid: int) -> list[str]:
        """The command line."""
        with _os_errors(pid):
            return self._process(pid).cmdline()

    def owner(self, pid: int) -> str:
        """Name of the user."""
        with _os_errors(pid):
            return self._process(pid).username()

    def cgroup(self, pid: int) -> str:
        """Nothing: cgroups are Linux's."""
        return ""

    def disk(self, pid: int) -> DiskFigures:
        """Refused: psutil has no such figures outside Linux."""
        raise PermissionError("not available on this operating system")

    def open_files(self, pid: int) -> int:
        """Number of file descriptors."""
        with _os_errors(pid):
            return self._process(pid).num_fds()

    def context_switches(self, pid: int) -> tuple[int, int]:
        """Voluntary and involuntary ones."""
        with _os_errors(pid):
            switches = self._process(pid).num_ctx_switches()
            return switches.voluntary, switches.involuntary

    def pending_signals(self, pid: int) -> int:
        """Refused: psutil has no such figure."""
        raise PermissionError("not available on this operating system")

    @staticmethod
    def _process(pid: int) -> psutil.Process:
        import psutil

        return psutil.Process(pid)
