"""Input and output of block devices."""

from __future__ import annotations

from collections.abc import Iterator
from typing import ClassVar, NamedTuple

from pydantic import Field

from ophion_host.filters import DeviceMatch, name_filter
from ophion_host.host import Host
from ophion_host.metric import LINUX, counter, updown
from ophion_host.recorder import Recorder
from ophion_host.scraper import Scraper, ScraperConfig

IO = counter("system.disk.io", "By", "Disk bytes transferred.", "device", "direction")
IO_TIME = counter(
    "system.disk.io_time",
    "s",
    "Time disk spent activated. On Windows, this is calculated as the inverse of disk idle time.",
    "device",
    value="double",
    platforms=LINUX,
)
MERGED = counter(
    "system.disk.merged",
    "{operations}",
    "The number of disk reads/writes merged into single physical disk access operations.",
    "device",
    "direction",
    platforms=LINUX,
)
OPERATION_TIME = counter(
    "system.disk.operation_time", "s", "Time spent in disk operations.", "device", "direction", value="double"
)
OPERATIONS = counter("system.disk.operations", "{operations}", "Disk operations count.", "device", "direction")
PENDING = updown(
    "system.disk.pending_operations",
    "{operations}",
    "The queue size of pending I/O operations.",
    "device",
    platforms=LINUX,
)
WEIGHTED_IO_TIME = counter(
    "system.disk.weighted_io_time",
    "s",
    "Time disk spent activated multiplied by the queue length.",
    "device",
    value="double",
    platforms=LINUX,
)

# /proc/diskstats counts sectors of this size, whatever the device's own is.
_SECTOR = 512


class DiskConfig(ScraperConfig):
    """The `disk` scraper."""

    table: ClassVar = (IO, IO_TIME, MERGED, OPERATION_TIME, OPERATIONS, PENDING, WEIGHTED_IO_TIME)

    include: DeviceMatch | None = Field(None, description="Only these devices.")
    exclude: DeviceMatch | None = Field(None, description="Not these devices.")


class Disk(NamedTuple):
    """One line of /proc/diskstats from its third column on; times in milliseconds."""

    name: str
    reads: int
    reads_merged: int
    sectors_read: int
    read_ms: int
    writes: int
    writes_merged: int
    sectors_written: int
    write_ms: int
    in_progress: int
    io_ms: int
    weighted_io_ms: int


class DiskScraper(Scraper[DiskConfig]):
    """Reports what every block device transferred and how long it took."""

    name = "disk"

    def __init__(self, config: DiskConfig, host: Host) -> None:
        super().__init__(config, host)
        self._wanted = name_filter(config.include, config.exclude)

    def scrape(self, out: Recorder) -> None:
        """See `Scraper.scrape`."""
        if self.host.linux:
            for disk in linux_disks(self.host):
                if self._wanted(disk.name):
                    _add_linux(out, disk)
        else:
            self._scrape_portable(out)

    def _scrape_portable(self, out: Recorder) -> None:
        import psutil

        for name, disk in psutil.disk_io_counters(perdisk=True).items():
            if self._wanted(name):
                read = (disk.read_bytes, disk.read_count, disk.read_time)
                write = (disk.write_bytes, disk.write_count, disk.write_time)
                for direction, (size, count, milliseconds) in (("read", read), ("write", write)):
                    out.add(IO, size, name, direction)
                    out.add(OPERATIONS, count, name, direction)
                    out.add(OPERATION_TIME, milliseconds / 1000, name, direction)


def linux_disks(host: Host) -> Iterator[Disk]:
    """Every device and partition in /proc/diskstats that was ever used, as gopsutil and so otelcol report them.

    Lines with fewer columns than Linux 2.6.25 wrote are left out.
    """
    for line in host.read("diskstats").decode("utf-8", "replace").splitlines():
        columns = line.split()
        if len(columns) >= 14 and any(figures := [int(column) for column in columns[3:14]]):
            yield Disk(columns[2], *figures)


def _add_linux(out: Recorder, disk: Disk) -> None:
    name = disk.name
    out.add(IO, disk.sectors_read * _SECTOR, name, "read")
    out.add(IO, disk.sectors_written * _SECTOR, name, "write")
    out.add(OPERATIONS, disk.reads, name, "read")
    out.add(OPERATIONS, disk.writes, name, "write")
    out.add(OPERATION_TIME, disk.read_ms / 1000, name, "read")
    out.add(OPERATION_TIME, disk.write_ms / 1000, name, "write")
    out.add(MERGED, disk.reads_merged, name, "read")
    out.add(MERGED, disk.writes_merged, name, "write")
    out.add(IO_TIME, disk.io_ms / 1000, name)
    out.add(WEIGHTED_IO_TIME, disk.weighted_io_ms / 1000, name)
    out.add(PENDING, disk.in_progress, name)
