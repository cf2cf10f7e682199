"""Swap space and page faults.

Faults and operations are the kernel's own counts. otelcol shows them multiplied by 4096, as gopsutil turns every
counter of /proc/vmstat into bytes, under units that say faults and operations.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import ClassVar

from ophion_host.host import Host
from ophion_host.metric import LINUX, counter, gauge, updown
from ophion_host.recorder import Recorder
from ophion_host.scraper import Scraper, ScraperConfig

FAULTS = counter("system.paging.faults", "{faults}", "The number of page faults.", "type", platforms=LINUX)
OPERATIONS = counter(
    "system.paging.operations", "{operations}", "The number of paging operations.", "direction", "type"
)
USAGE = updown("system.paging.usage", "By", "Swap (unix) or pagefile (windows) usage.", "device", "state")
UTILIZATION = gauge(
    "system.paging.utilization",
    "1",
    "Swap (unix) or pagefile (windows) utilization.",
    "device",
    "state",
    enabled=False,
)

# Swapping is major, other block input and output minor, as in otelcol.
_OPERATIONS = {
    ("page_in", "major"): b"pswpin",
    ("page_out", "major"): b"pswpout",
    ("page_in", "minor"): b"pgpgin",
    ("page_out", "minor"): b"pgpgout",
}


class PagingConfig(ScraperConfig):
    """The `paging` scraper."""

    table: ClassVar = (FAULTS, OPERATIONS, USAGE, UTILIZATION)


class PagingScraper(Scraper[PagingConfig]):
    """Reports swap usage by device, paging operations and page faults."""

    name = "paging"

    def scrape(self, out: Recorder) -> None:
        """See `Scraper.scrape`."""
        if out.wants(USAGE, UTILIZATION):
            self._add_usage(out)
        if out.wants(FAULTS, OPERATIONS):
            self._add_activity(out)

    def _add_usage(self, out: Recorder) -> None:
        try:
            devices = list(linux_swaps(self.host) if self.host.linux else _portable_swaps())
        except (OSError, ValueError, IndexError) as error:
            out.fail("usage", f"failed to read swap usage: {error}", lost=1)
            return
        for device, total, used in devices:
            for state, amount in (("used", used), ("free", total - used)):
                out.add(USAGE, amount, device, state)
                out.add(UTILIZATION, amount / total if total else 0.0, device, state)

    def _add_activity(self, out: Recorder) -> None:
        if not self.host.linux:
            _add_portable_activity(out)
            return
        counts = self.host.counters("vmstat")
        for (direction, kind), name in _OPERATIONS.items():
            out.add(OPERATIONS, counts[name], direction, kind)
        major = counts[b"pgmajfault"]
        out.add(FAULTS, major, "major")
        out.add(FAULTS, counts[b"pgfault"] - major, "minor")


def linux_swaps(host: Host) -> Iterator[tuple[str, int, int]]:
    """Name, total and used bytes of every swap device of /proc/swaps, whose figures are in KiB."""
    header, *lines = host.read("swaps").decode("utf-8", "replace").splitlines()
    if header.split()[:1] != ["Filename"]:
        raise ValueError(f"{host.proc}/swaps: unexpected header {header!r}")
    for line in lines:
        name, _, total, used, *_ = line.split()
        yield name, int(total) * 1024, int(used) * 1024


def _portable_swaps() -> Iterator[tuple[str, int, int]]:
    import psutil

    swap = psutil.swap_memory()
    yield "swap", swap.total, swap.used


def _add_portable_activity(out: Recorder) -> None:
    import psutil

    swap = psutil.swap_memory()
    out.add(OPERATIONS, swap.sin, "page_in", "major")
    out.add(OPERATIONS, swap.sout, "page_out", "major")
