"""Space and inodes of mounted filesystems."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from typing import Any, ClassVar, NamedTuple

from pydantic import Field

from ophion_host.filters import DeviceMatch, FsTypeMatch, MountPointMatch, name_filter
from ophion_host.host import Host
from ophion_host.metric import gauge, updown
from ophion_host.recorder import Recorder
from ophion_host.scraper import Scraper, ScraperConfig

_ATTRIBUTES = ("device", "mode", "mountpoint", "type")
USAGE = updown("system.filesystem.usage", "By", "Filesystem bytes used.", *_ATTRIBUTES, "state")
INODES_USAGE = updown("system.filesystem.inodes.usage", "{inodes}", "FileSystem inodes used.", *_ATTRIBUTES, "state")
UTILIZATION = gauge(
    "system.filesystem.utilization", "1", "Fraction of filesystem bytes used.", *_ATTRIBUTES, enabled=False
)

# The kernel writes blanks and backslashes of a mount's fields as three octal digits.
_ESCAPE = re.compile(r"\\([0-7]{3})")


class FilesystemConfig(ScraperConfig):
    """The `filesystem` scraper."""

    table: ClassVar = (USAGE, INODES_USAGE, UTILIZATION)

    include_virtual_filesystems: bool = Field(
        False, description="Also filesystems without a device of their own, such as tmpfs, overlay and NFS."
    )
    include_devices: DeviceMatch | None = Field(None, description="Only these devices.")
    exclude_devices: DeviceMatch | None = Field(None, description="Not these devices.")
    include_fs_types: FsTypeMatch | None = Field(None, description="Only these filesystem types.")
    exclude_fs_types: FsTypeMatch | None = Field(None, description="Not these filesystem types.")
    include_mount_points: MountPointMatch | None = Field(None, description="Only these mount points.")
    exclude_mount_points: MountPointMatch | None = Field(None, description="Not these mount points.")


class Mount(NamedTuple):
    """A mounted filesystem; `mode` is `rw`, `ro` or `unknown`."""

    device: str
    mode: str
    mountpoint: str
    type: str


class FilesystemScraper(Scraper[FilesystemConfig]):
    """Reports how full every wanted filesystem is."""

    name = "filesystem"

    def __init__(self, config: FilesystemConfig, host: Host) -> None:
        super().__init__(config, host)
        self._device = name_filter(config.include_devices, config.exclude_devices)
        self._type = name_filter(config.include_fs_types, config.exclude_fs_types)
        self._mountpoint = name_filter(config.include_mount_points, config.exclude_mount_points)

    def scrape(self, out: Recorder) -> None:
        """See `Scraper.scrape`."""
        virtual = self.config.include_virtual_filesystems
        mounts = linux_mounts(self.host, virtual) if self.host.linux else _portable_mounts(virtual)
        # dict.fromkeys: the same device may be mounted twice over the same place.
        for mount in dict.fromkeys(mounts):
            if self._device(mount.device) and self._type(mount.type) and self._mountpoint(mount.mountpoint):
                self._add(out, mount)

    def _add(self, out: Recorder, mount: Mount) -> None:
        path = self._path(mount.mountpoint)
        try:
            stat = os.statvfs(path)
        except OSError as error:
            out.fail("usage", f"failed to read usage at {path}: {error.strerror}", lost=0)
            return
        used, free = (stat.f_blocks - stat.f_bfree) * stat.f_frsize, stat.f_bavail * stat.f_frsize
        reserved = stat.f_blocks * stat.f_frsize - used - free
        for state, amount in (("used", used), ("free", free), ("reserved", reserved)):
            out.add(USAGE, amount, *mount, state)
        out.add(UTILIZATION, used / (used + free) if used + free else 0.0, *mount)
        out.add(INODES_USAGE, stat.f_files - stat.f_ffree, *mount, "used")
        out.add(INODES_USAGE, stat.f_ffree, *mount, "free")

    def _path(self, mountpoint: str) -> str:
        # Without the host's own mount table, paths are the agent's and already lie below the root path.
        root = self.host.root
        return mountpoint if f"{mountpoint}/".startswith(f"{root}/") else root + mountpoint


def linux_mounts(host: Host, virtual: bool) -> Iterator[Mount]:
    """The mounts that the first process sees, else those that the agent sees. Raises OSError."""
    on_devices = set() if virtual else _device_types(host)
    for line in _mount_table(host).splitlines():
        fields = [_ESCAPE.sub(_unescape, field) for field in os.fsdecode(line).split(" ")[:4]]
        if len(fields) == 4 and (virtual or (fields[0] != "none" and fields[2] in on_devices)):
            device, mountpoint, kind, options = fields
            yield Mount(_real_device(host, device), _mode(options.split(",")), mountpoint, kind)


def _mount_table(host: Host) -> bytes:
    try:
        return host.read("1/mounts")
    except OSError:
        return host.read("self/mounts")


def _unescape(match: re.Match[str]) -> str:
    return chr(int(match[1], 8))


def _mode(options: list[str]) -> str:
    return next((mode for mode in ("rw", "ro") if mode in options), "unknown")


def _device_types(host: Host) -> set[str]:
    # zfs has pools in place of a device, so the kernel lists it as `nodev`.
    rows = (line.split() for line in host.read("filesystems").decode().splitlines())
    return {row[-1] for row in rows if row and (row[0] != "nodev" or row[-1] == "zfs")}


def _real_device(host: Host, device: str) -> str:
    """The device behind the `/dev/root` that some kernels show for the root filesystem."""
    if device != "/dev/root":
        return device
    try:
        number = os.stat(f"{host.root}/").st_dev
        uevent = host.sys(f"dev/block/{os.major(number)}:{os.minor(number)}/uevent").read_text()
    except OSError:
        return device
    names = [line.removeprefix("DEVNAME=") for line in uevent.splitlines() if line.startswith("DEVNAME=")]
    return f"/dev/{names[0]}" if names else device


def _portable_mounts(virtual: bool) -> Iterator[Mount]:
    import psutil

    partitions: list[Any] = psutil.disk_partitions(all=virtual)
    for found in partitions:
        yield Mount(found.device, _mode(found.opts.split(",")), found.mountpoint, found.fstype)
