"""Processes read from /proc: one small read for most figures, more only for those that need it.

Layout of the files: https://man7.org/linux/man-pages/man5/proc_pid_stat.5.html and its neighbours.
"""

from __future__ import annotations

import os
import pwd
from contextlib import suppress

from ophion_host.host import Host
from ophion_host.process_figures import DiskFigures, Figures

# Field numbers of /proc/<pid>/stat, less the three (pid, name, state) before what is split, plus state at 0.
_PPID, _MINFLT, _MAJFLT, _UTIME, _STIME, _THREADS, _STARTTIME, _VSIZE, _RSS = 1, 7, 9, 11, 12, 17, 19, 20, 21
_STARTSTACK, _DELAYACCT_BLKIO, _ARG_START = 25, 39, 45

# The kernel cuts names in /proc/<pid>/stat to this many bytes.
_NAME_LIMIT = 15


class LinuxSource:
    """Processes of a host, by its /proc."""

    def __init__(self, host: Host) -> None:
        self._host = host
        self._ticks = os.sysconf("SC_CLK_TCK")
        self._page_size = os.sysconf("SC_PAGE_SIZE")
        self._boot_ns = host.boot_time_ns()
        self._users: dict[int, str] = {}

    def pids(self) -> list[int]:
        """Ids of all processes."""
        return self._host.pids()

    def figures(self, pid: int) -> Figures:
        """The figures of /proc/<pid>/stat. The name of a program is cut to 15 bytes, see `full_name`."""
        before, _, after = self._host.read_short(f"{pid}/stat").rpartition(b") ")
        name = before.partition(b"(")[2]
        row = after.split()
        return Figures(
            pid=pid,
            parent_pid=int(row[_PPID]),
            name=name.decode("utf-8", "replace"),
            # A new program gets a new stack and new arguments, at addresses that the kernel draws by lot.
            identity=(name, row[_PPID], row[_STARTTIME], row[_STARTSTACK], row[_ARG_START : _ARG_START + 1]),
            created_ns=self._boot_ns + int(row[_STARTTIME]) * 1_000_000_000 // self._ticks,
            user=int(row[_UTIME]) / self._ticks,
            system=int(row[_STIME]) / self._ticks,
            wait=int(row[_DELAYACCT_BLKIO]) / self._ticks if len(row) > _DELAYACCT_BLKIO else None,
            resident=int(row[_RSS]) * self._page_size,
            virtual=int(row[_VSIZE]),
            threads=int(row[_THREADS]),
            minor_faults=int(row[_MINFLT]),
            major_faults=int(row[_MAJFLT]),
        )

    def executable(self, pid: int) -> str:
        """Path of the program; empty for a process of the kernel."""
        try:
            return os.readlink(f"{self._host.proc}/{pid}/exe")
        except FileNotFoundError:
            return ""

    def arguments(self, pid: int) -> list[str]:
        """The command line; empty for a process of the kernel."""
        content = self._host.read(f"{pid}/cmdline").decode("utf-8", "replace")
        # A process that sets its own title often leaves one string, padded with zeros.
        return content.rstrip("\0").split("\0") if content.rstrip("\0") else []

    def owner(self, pid: int) -> str:
        """Name of the real user id, from the host's own /etc/passwd under a root_path; LookupError when unknown."""
        user_id = int(self._status(pid)["Uid"].split()[0])
        if user_id not in self._users:
            self._users[user_id] = self._user_name(user_id)
        return self._users[user_id]

    def cgroup(self, pid: int) -> str:
        """Content of /proc/<pid>/cgroup."""
        return self._host.read(f"{pid}/cgroup").decode("utf-8", "replace").removesuffix("\n")

    def disk(self, pid: int) -> DiskFigures:
        """Figures of /proc/<pid>/io, which only the process's user and root may read."""
        io = self._host.counters(f"{pid}/io")
        return DiskFigures(io[b"read_bytes"], io[b"write_bytes"], io[b"syscr"], io[b"syscw"])

    def open_files(self, pid: int) -> int:
        """Number of file descriptors, which only the process's user and root may list."""
        return len(os.listdir(f"{self._host.proc}/{pid}/fd"))

    def context_switches(self, pid: int) -> tuple[int, int]:
        """Voluntary and involuntary ones; the kernel counts them by thread."""
        voluntary = involuntary = 0
        for thread in os.listdir(f"{self._host.proc}/{pid}/task"):
            status = self._status(f"{pid}/task/{thread}")
            voluntary += int(status["voluntary_ctxt_switches"])
            involuntary += int(status["nonvoluntary_ctxt_switches"])
        return voluntary, involuntary

    def pending_signals(self, pid: int) -> int:
        """Number of kinds of signals pending for the process."""
        return int(self._status(pid)["ShdPnd"], 16).bit_count()

    def _status(self, path: int | str) -> dict[str, str]:
        lines = self._host.read_short(f"{path}/status").decode("utf-8", "replace").splitlines()
        return {key: value.strip() for key, _, value in (line.partition(":") for line in lines)}

    def _user_name(self, user_id: int) -> str:
        if not self._host.root:
            with suppress(KeyError):
                return pwd.getpwuid(user_id).pw_name
            raise LookupError(f"user id {user_id} has no name")
        with open(f"{self._host.root}/etc/passwd", encoding="utf-8", errors="replace") as users:
            for row in (line.split(":") for line in users):
                if len(row) > 2 and row[2] == str(user_id):
                    return row[0]
        raise LookupError(f"user id {user_id} is not in {self._host.root}/etc/passwd")


def full_name(name: str, arguments: list[str]) -> str:
    """The program's whole name where the kernel cut it and the command line begins with it, else `name`."""
    if len(name.encode()) < _NAME_LIMIT or not arguments:
        return name
    candidate = os.path.basename(arguments[0])
    return candidate if candidate.startswith(name) else name
