"""Physical memory."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import ClassVar

from ophion_host.host import Host
from ophion_host.metric import LINUX, gauge, updown
from ophion_host.recorder import Recorder
from ophion_host.scraper import Scraper, ScraperConfig

USAGE = updown("system.memory.usage", "By", "Bytes of memory in use.", "state")
UTILIZATION = gauge("system.memory.utilization", "1", "Percentage of memory bytes in use.", "state", enabled=False)
LIMIT = updown("system.memory.limit", "By", "Total bytes of memory available.", enabled=False)
PAGE_SIZE = gauge(
    "system.memory.page_size",
    "By",
    "A constant value for the system's configured page size.",
    value="int",
    enabled=False,
)
AVAILABLE = updown(
    "system.linux.memory.available",
    "By",
    "An estimate of how much memory is available for starting new applications, without swapping. "
    "This is a more accurate alternative than system.memory.usage with state=free. (Linux only)",
    enabled=False,
    platforms=LINUX,
)
DIRTY = updown(
    "system.linux.memory.dirty",
    "By",
    "The amount of dirty memory according to `/proc/meminfo`.",
    enabled=False,
    platforms=LINUX,
)
SHARED = updown(
    "system.memory.linux.shared",
    "By",
    "Shared memory usage, including tmpfs filesystems and System V/POSIX shared memory. Only supported on Linux.",
    enabled=False,
    platforms=LINUX,
)
HUGE_LIMIT = updown(
    "system.memory.linux.hugepages.limit",
    "{page}",
    "Total number of hugepages available.",
    enabled=False,
    platforms=LINUX,
)
HUGE_PAGE_SIZE = updown(
    "system.memory.linux.hugepages.page_size",
    "By",
    "System hugepage size in bytes.",
    enabled=False,
    platforms=LINUX,
)
HUGE_RESERVED = updown(
    "system.memory.linux.hugepages.reserved",
    "{page}",
    "Number of reserved hugepages (hugepages for which a commitment to allocate has been made, but no allocation has "
    "yet been made). This is reported as a separate metric rather than a usage state because reserved pages are "
    "already counted in free pages - they represent a subset of free pages that cannot be used for non-reserved "
    "allocations.",
    enabled=False,
    platforms=LINUX,
)
HUGE_SURPLUS = updown(
    "system.memory.linux.hugepages.surplus",
    "{page}",
    "Number of surplus hugepages (overcommitted hugepages beyond the persistent pool). This is reported as a separate "
    "metric rather than a usage state because surplus pages can be in either used or free state, and including them "
    "would break the semantic convention that usage states must sum to the limit.",
    enabled=False,
    platforms=LINUX,
)
HUGE_USAGE = updown(
    "system.memory.linux.hugepages.usage",
    "{page}",
    "Number of hugepages in use by state.",
    "system.memory.linux.hugepages.state",
    enabled=False,
    platforms=LINUX,
)
HUGE_UTILIZATION = gauge(
    "system.memory.linux.hugepages.utilization",
    "1",
    "Percentage of hugepages in use by state.",
    "system.memory.linux.hugepages.state",
    enabled=False,
    platforms=LINUX,
)


class MemoryConfig(ScraperConfig):
    """The `memory` scraper."""

    table: ClassVar = (
        USAGE, UTILIZATION, LIMIT, PAGE_SIZE, AVAILABLE, DIRTY, SHARED,
        HUGE_LIMIT, HUGE_PAGE_SIZE, HUGE_RESERVED, HUGE_SURPLUS, HUGE_USAGE, HUGE_UTILIZATION,
    )  # fmt: skip


class MemoryScraper(Scraper[MemoryConfig]):
    """Reports how memory is used."""

    name = "memory"

    def scrape(self, out: Recorder) -> None:
        """See `Scraper.scrape`."""
        if self.host.linux:
            total, states = self._scrape_linux(out)
        else:
            total, states = _portable_states()
        for state, amount in states.items():
            out.add(USAGE, amount, state)
            out.add(UTILIZATION, amount / total, state)
        out.add(LIMIT, total)
        out.add(PAGE_SIZE, os.sysconf("SC_PAGE_SIZE"))

    def _scrape_linux(self, out: Recorder) -> tuple[int, dict[str, int]]:
        info = self.host.counters("meminfo")
        for metric, name in ((AVAILABLE, b"MemAvailable"), (DIRTY, b"Dirty"), (SHARED, b"Shmem")):
            if name in info:
                out.add(metric, info[name] * 1024)
        if b"HugePages_Total" in info:
            _add_hugepages(out, info)
        return info[b"MemTotal"] * 1024, linux_states(info)


def total_memory(host: Host) -> int:
    """Bytes of physical memory."""
    return host.counters("meminfo")[b"MemTotal"] * 1024 if host.linux else _portable_states()[0]


def linux_states(info: Mapping[bytes, int]) -> dict[str, int]:
    """Bytes by state from /proc/meminfo, whose figures are in KiB.

    As in otelcol: `used` is what is not available, and `cached` includes the slab memory that can be reclaimed, so the
    states overlap. Kernels before 3.14 do not tell what is available.
    """
    free, buffered = info[b"MemFree"], info[b"Buffers"]
    reclaimable = info.get(b"SReclaimable", 0)
    cached = info[b"Cached"] + reclaimable
    available = info.get(b"MemAvailable", free + buffered + cached)
    kib = {
        "used": info[b"MemTotal"] - available,
        "free": free,
        "buffered": buffered,
        "cached": cached,
        "slab_reclaimable": reclaimable,
        "slab_unreclaimable": info.get(b"SUnreclaim", 0),
    }
    return {state: amount * 1024 for state, amount in kib.items()}


def _add_hugepages(out: Recorder, info: Mapping[bytes, int]) -> None:
    total, free = info[b"HugePages_Total"], info[b"HugePages_Free"]
    out.add(HUGE_LIMIT, total)
    out.add(HUGE_PAGE_SIZE, info[b"Hugepagesize"] * 1024)
    out.add(HUGE_RESERVED, info[b"HugePages_Rsvd"])
    out.add(HUGE_SURPLUS, info[b"HugePages_Surp"])
    for state, pages in (("free", free), ("used", total - free)):
        out.add(HUGE_USAGE, pages, state)
        if total:
            out.add(HUGE_UTILIZATION, pages / total, state)


def _portable_states() -> tuple[int, dict[str, int]]:
    import psutil

    memory = psutil.virtual_memory()
    return memory.total, {state: getattr(memory, state) for state in ("used", "free", "inactive")}
