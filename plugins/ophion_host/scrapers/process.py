"""CPU, memory, disk and more of every process, each process as a resource of its own."""

from __future__ import annotations

import os
from collections.abc import Callable, Hashable
from typing import Any, ClassVar, NamedTuple, TypeVar

from pydantic import Field, field_validator

from ophion_agent import otlp_writing as wire
from ophion_agent.plugin import Duration
from ophion_host.filters import ProcessMatch, name_filter
from ophion_host.host import Host
from ophion_host.metric import LINUX, WINDOWS, counter, gauge, updown
from ophion_host.process_figures import Figures, ProcessSource, PsutilSource
from ophion_host.process_linux import LinuxSource, full_name
from ophion_host.recorder import Recorder
from ophion_host.scraper import Scraper, ScraperConfig, Switch, check_names
from ophion_host.scrapers.memory import total_memory

CPU_TIME = counter(
    "process.cpu.time", "s", "Total CPU seconds broken down by different states.", "state", value="double"
)
CPU_UTILIZATION = gauge(
    "process.cpu.utilization",
    "1",
    "Percentage of total CPU time used by the process since last scrape, expressed as a value between 0 and 1. "
    "On the first scrape, no data point is emitted for this metric.",
    "state",
    enabled=False,
)
MEMORY_USAGE = updown("process.memory.usage", "By", "The amount of physical memory in use.")
MEMORY_VIRTUAL = updown("process.memory.virtual", "By", "The amount of committed virtual memory.")
MEMORY_UTILIZATION = gauge(
    "process.memory.utilization",
    "1",
    "Percentage of total physical memory that is used by the process.",
    enabled=False,
)
DISK_IO = counter("process.disk.io", "By", "Disk bytes transferred.", "direction", platforms=LINUX)
DISK_OPERATIONS = counter(
    "process.disk.operations",
    "{operations}",
    "Number of disk operations performed by the process.",
    "direction",
    enabled=False,
    platforms=LINUX,
)
PAGING_FAULTS = counter(
    "process.paging.faults",
    "{faults}",
    "Number of page faults the process has made.",
    "type",
    enabled=False,
    platforms=LINUX,
)
CONTEXT_SWITCHES = counter(
    "process.context_switches",
    "{count}",
    "Number of times the process has been context switched.",
    "type",
    enabled=False,
)
SIGNALS_PENDING = updown(
    "process.signals_pending",
    "{signals}",
    "Number of pending signals for the process.",
    enabled=False,
    platforms=LINUX,
)
THREADS = updown("process.threads", "{threads}", "Process threads count.", enabled=False)
OPEN_FILES = updown(
    "process.open_file_descriptors",
    "{count}",
    "Number of file descriptors in use by the process.",
    enabled=False,
)
HANDLES = updown(
    "process.handles", "{count}", "Number of open handles held by the process.", enabled=False, platforms=WINDOWS
)
UPTIME = gauge("process.uptime", "s", "The time the process has been running.", enabled=False)

RESOURCE_ATTRIBUTES = {
    "process.pid": True,
    "process.parent_pid": True,
    "process.executable.name": True,
    "process.executable.path": True,
    "process.command": True,
    "process.command_line": True,
    "process.owner": True,
    "process.cgroup": False,
    "process.linux.cgroup": False,
}

# What describes a process is read again after this time even if it seems unchanged: a program may set its own title.
_DESCRIPTION_MAX_AGE_NS = 300 * 1_000_000_000

T = TypeVar("T")


class ProcessConfig(ScraperConfig):
    """The `process` scraper."""

    table: ClassVar = (
        CPU_TIME, CPU_UTILIZATION, MEMORY_USAGE, MEMORY_VIRTUAL, MEMORY_UTILIZATION, DISK_IO, DISK_OPERATIONS,
        PAGING_FAULTS, CONTEXT_SWITCHES, SIGNALS_PENDING, THREADS, OPEN_FILES, HANDLES, UPTIME,
    )  # fmt: skip

    resource_attributes: dict[str, Switch] = Field(
        default_factory=dict, description="Attributes of a process's resource to switch on or off, by name."
    )
    include: ProcessMatch | None = Field(None, description="Only processes with these executable names.")
    exclude: ProcessMatch | None = Field(None, description="Not processes with these executable names.")
    mute_process_all_errors: bool = Field(False, description="Report no error of any process.")
    mute_process_name_error: bool = Field(False, description="Report no error in reading a process's name.")
    mute_process_exe_error: bool = Field(False, description="Report no error in reading a process's executable path.")
    mute_process_io_error: bool = Field(False, description="Report no error in reading a process's disk figures.")
    mute_process_user_error: bool = Field(False, description="Report no error in looking up a process's user.")
    mute_process_cgroup_error: bool = Field(False, description="Report no error in reading a process's cgroup.")
    scrape_process_delay: Duration = Field(
        0.0, ge=0, description="How long a process must have been running before it is reported."
    )

    @field_validator("resource_attributes", mode="before")
    @classmethod
    def _known_attributes(cls, given: Any) -> Any:
        return check_names("resource attribute", given, RESOURCE_ATTRIBUTES)

    def describes(self, attribute: str) -> bool:
        """True when the resource attribute is enabled."""
        switch = self.resource_attributes.get(attribute)
        return RESOURCE_ATTRIBUTES[attribute] if switch is None or switch.enabled is None else switch.enabled

    def muted(self, kind: str) -> bool:
        """True when errors of this kind (`name`, `exe`, `io`, `user`, `cgroup` or another) are not to be reported."""
        return self.mute_process_all_errors or getattr(self, f"mute_process_{kind}_error", False) is True


class _Failed(NamedTuple):
    kind: str
    message: str
    lost: int


class _Described(NamedTuple):
    """A process's encoded resource, None when the filters exclude it; what could not be read; when it was made."""

    identity: Hashable
    resource: bytes | None
    failed: list[_Failed]
    at_ns: int


class _CpuSeen(NamedTuple):
    created_ns: int
    at_ns: int
    times: dict[str, float]


class ProcessScraper(Scraper[ProcessConfig]):
    """Reports every process that the filters let through. A process that ends meanwhile is left out."""

    name = "process"

    def __init__(self, config: ProcessConfig, host: Host) -> None:
        super().__init__(config, host)
        self._wanted = name_filter(config.include, config.exclude)
        self._source: ProcessSource | None = None
        self._described: dict[int, _Described] = {}
        self._cpu_seen: dict[int, _CpuSeen] = {}

    def scrape(self, out: Recorder) -> None:
        """See `Scraper.scrape`."""
        if self._source is None:
            self._source = LinuxSource(self.host) if self.host.linux else PsutilSource()
        memory = total_memory(self.host) if out.wants(MEMORY_UTILIZATION) else 0
        pids = self._source.pids()
        for pid in pids:
            try:
                self._scrape_process(out, self._source, pid, memory)
            except (FileNotFoundError, ProcessLookupError):
                out.drop_group()
            except (OSError, ValueError, IndexError) as error:
                out.drop_group()
                self._note(out, [_Failed("name", f"error reading process name for pid {pid}: {_reason(error)}", 1)])
        self._forget(set(pids))

    def _scrape_process(self, out: Recorder, source: ProcessSource, pid: int, memory: int) -> None:
        figures = source.figures(pid)
        delay = self.config.scrape_process_delay
        if delay and out.now_ns - figures.created_ns < delay * 1e9:
            return
        resource = self._resource(out, source, figures)
        if resource is None:
            return
        out.start_group(figures.created_ns)
        self._add_figures(out, figures, memory)
        self._add_extras(out, source, figures)
        out.end_group(resource)

    def _add_figures(self, out: Recorder, figures: Figures, memory: int) -> None:
        states = {"user": figures.user, "system": figures.system}
        if figures.wait is not None:
            states["wait"] = figures.wait
        for state, seconds in states.items():
            out.add(CPU_TIME, seconds, state)
        if out.wants(CPU_UTILIZATION):
            self._add_utilization(out, figures, states)
        out.add(MEMORY_USAGE, figures.resident)
        out.add(MEMORY_VIRTUAL, figures.virtual)
        out.add(THREADS, figures.threads)
        out.add(UPTIME, (out.now_ns - figures.created_ns) / 1e9)
        if memory:
            out.add(MEMORY_UTILIZATION, 100 * figures.resident / memory)
        if figures.major_faults is not None and figures.minor_faults is not None:
            out.add(PAGING_FAULTS, figures.major_faults, "major")
            out.add(PAGING_FAULTS, figures.minor_faults, "minor")

    def _add_utilization(self, out: Recorder, figures: Figures, states: dict[str, float]) -> None:
        seen = self._cpu_seen.get(figures.pid)
        self._cpu_seen[figures.pid] = _CpuSeen(figures.created_ns, out.now_ns, states)
        if seen is None or seen.created_ns != figures.created_ns:
            return
        available = (out.now_ns - seen.at_ns) / 1e9 * (os.cpu_count() or 1)
        for state, seconds in states.items():
            out.add(CPU_UTILIZATION, (seconds - seen.times[state]) / available if available > 0 else 0.0, state)

    def _add_extras(self, out: Recorder, source: ProcessSource, figures: Figures) -> None:
        failed: list[_Failed] = []
        if self.host.linux and out.wants(DISK_IO, DISK_OPERATIONS):
            disk = _try(failed, "io", "disk usage", figures, source.disk)
            if disk:
                out.add(DISK_IO, disk.read_bytes, "read")
                out.add(DISK_IO, disk.write_bytes, "write")
                out.add(DISK_OPERATIONS, disk.reads, "read")
                out.add(DISK_OPERATIONS, disk.writes, "write")
        if out.wants(CONTEXT_SWITCHES):
            switches = _try(failed, "switches", "context switch counts", figures, source.context_switches)
            for kind, count in zip(("voluntary", "involuntary"), switches or (), strict=False):
                out.add(CONTEXT_SWITCHES, count, kind)
        if out.wants(OPEN_FILES):
            files = _try(failed, "files", "open file descriptor count", figures, source.open_files)
            if files is not None:
                out.add(OPEN_FILES, files)
        if self.host.linux and out.wants(SIGNALS_PENDING):
            out.add(SIGNALS_PENDING, source.pending_signals(figures.pid))
        self._note(out, failed)

    def _resource(self, out: Recorder, source: ProcessSource, figures: Figures) -> bytes | None:
        known = self._described.get(figures.pid)
        if known is None or known.identity != figures.identity or out.now_ns - known.at_ns > _DESCRIPTION_MAX_AGE_NS:
            failed: list[_Failed] = []
            resource = self._describe(failed, source, figures)
            known = self._described[figures.pid] = _Described(figures.identity, resource, failed, out.now_ns)
        self._note(out, known.failed)
        return known.resource

    def _describe(self, failed: list[_Failed], source: ProcessSource, figures: Figures) -> bytes | None:
        wants = self.config.describes
        arguments = _try(failed, "command", "command", figures, source.arguments, lost=0) or []
        name = full_name(figures.name, arguments) if self.host.linux else figures.name
        if not self._wanted(name):
            return None
        values: dict[str, str | int] = {
            "process.pid": figures.pid,
            "process.parent_pid": figures.parent_pid,
            "process.executable.name": name,
            "process.command": arguments[0] if arguments else "",
            "process.command_line": " ".join(arguments),
        }
        if wants("process.executable.path"):
            path = _try(failed, "exe", "process executable", figures, source.executable)
            values["process.executable.path"] = path or ""
        if wants("process.owner"):
            values["process.owner"] = _try(failed, "user", "username", figures, source.owner, lost=0) or ""
        if wants("process.cgroup") or wants("process.linux.cgroup"):
            cgroup = _try(failed, "cgroup", "process cgroup", figures, source.cgroup, lost=0) or ""
            values |= {"process.cgroup": cgroup, "process.linux.cgroup": cgroup}
        return wire.resource((key, value) for key, value in values.items() if value != "" and wants(key))

    def _note(self, out: Recorder, failed: list[_Failed]) -> None:
        for failure in failed:
            if not self.config.muted(failure.kind):
                out.fail(*failure)

    def _forget(self, present: set[int]) -> None:
        for pid in self._described.keys() - present:
            del self._described[pid]
        for pid in self._cpu_seen.keys() - present:
            del self._cpu_seen[pid]


def _try(
    failed: list[_Failed], kind: str, what: str, figures: Figures, read: Callable[[int], T], lost: int = 1
) -> T | None:
    """The figure, or None with the error noted; that a process ended is for the caller to know."""
    try:
        return read(figures.pid)
    except (FileNotFoundError, ProcessLookupError):
        raise
    except (OSError, LookupError) as error:
        where = f'process "{figures.name}" (pid {figures.pid})'
        failed.append(_Failed(kind, f"error reading {what} for {where}: {_reason(error)}", lost))
        return None


def _reason(error: Exception) -> str:
    return error.strerror if isinstance(error, OSError) and error.strerror else str(error)
