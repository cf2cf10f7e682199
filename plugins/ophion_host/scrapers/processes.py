"""How many processes there are, by status, and how many were ever created.

`unknown` counts processes whose state has no name here. otelcol adds to it the threads that are no processes of their
own, as it takes the total of /proc/loadavg, which counts threads, for one of processes.
"""

from __future__ import annotations

from collections import Counter
from typing import ClassVar

from ophion_host.host import Host
from ophion_host.metric import LINUX, counter, updown
from ophion_host.recorder import Recorder
from ophion_host.scraper import Scraper, ScraperConfig

COUNT = updown("system.processes.count", "{processes}", "Total number of processes in each state.", "status")
CREATED = counter(
    "system.processes.created",
    "{processes}",
    "Total number of created processes. Supported on Linux and OpenBSD.",
    platforms=LINUX,
)

# The state column of /proc/<pid>/stat.
_LINUX_STATES = {
    b"D": "blocked",
    b"I": "idle",
    b"L": "locked",
    b"R": "running",
    b"S": "sleeping",
    b"T": "stopped",
    b"t": "stopped",
    b"W": "paging",
    b"Z": "zombies",
}
_PSUTIL_STATES = {
    "disk-sleep": "blocked",
    "idle": "idle",
    "locked": "locked",
    "running": "running",
    "sleeping": "sleeping",
    "stopped": "stopped",
    "tracing-stop": "stopped",
    "zombie": "zombies",
}


class ProcessesConfig(ScraperConfig):
    """The `processes` scraper."""

    table: ClassVar = (COUNT, CREATED)


class ProcessesScraper(Scraper[ProcessesConfig]):
    """Reports the number of processes by status."""

    name = "processes"

    def scrape(self, out: Recorder) -> None:
        """See `Scraper.scrape`."""
        if not self.host.linux:
            _add_counts(out, _portable_statuses())
            return
        totals = _totals(self.host)
        out.add(CREATED, totals[b"processes"])
        if out.wants(COUNT):
            statuses = linux_statuses(self.host)
            # One read of the kernel's totals is truer than a walk during which processes change.
            statuses["blocked"] = totals[b"procs_blocked"]
            statuses["running"] = totals[b"procs_running"]
            _add_counts(out, statuses)


def _add_counts(out: Recorder, statuses: Counter[str]) -> None:
    for status, count in statuses.items():
        out.add(COUNT, count, status)


def _totals(host: Host) -> dict[bytes, int]:
    # The per-interrupt line before these is by far the longest of the file.
    lines = host.read("stat").rpartition(b"\nctxt ")[2].splitlines()
    return {row[0]: int(row[1]) for row in (line.split() for line in lines) if row[0].startswith(b"proc")}


def linux_statuses(host: Host) -> Counter[str]:
    """Number of processes by status; a process that ends meanwhile is left out."""
    statuses: Counter[str] = Counter()
    for pid in host.pids():
        try:
            stat = host.read_short(f"{pid}/stat")
        except OSError:
            continue
        # The name in parentheses may itself hold parentheses and blanks.
        after_name = stat.rfind(b") ") + 2
        statuses[_LINUX_STATES.get(stat[after_name : after_name + 1], "unknown")] += 1
    return statuses


def _portable_statuses() -> Counter[str]:
    import psutil

    found = (process.info["status"] for process in psutil.process_iter(["status"]))
    return Counter(_PSUTIL_STATES.get(status, "unknown") for status in found)
