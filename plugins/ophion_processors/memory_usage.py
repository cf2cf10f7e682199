"""What the memory limiter measures: the process's resident memory, the memory it may use, and giving memory back."""

import ctypes
import gc
import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

_STATM = Path("/proc/self/statm")


def resident_bytes() -> int:
    """Return the resident set size of this process."""
    if sys.platform == "linux":
        return int(_STATM.read_bytes().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    import psutil

    return int(psutil.Process().memory_info().rss)


def total_bytes(root: Path = Path("/")) -> int:
    """Return the memory this process may use: the smallest of its cgroup limits (v1 or v2) and the machine's memory."""
    return min([_machine_bytes(root), *_cgroup_limits(root)])


def _machine_bytes(root: Path) -> int:
    meminfo = root / "proc/meminfo"
    if meminfo.exists():
        fields = dict(line.split(":", 1) for line in meminfo.read_text().splitlines() if ":" in line)
        return int(fields["MemTotal"].split()[0]) * 1024
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")


def _cgroup_limits(root: Path) -> Iterator[int]:
    membership = root / "proc/self/cgroup"
    for line in membership.read_text().splitlines() if membership.exists() else ():
        _, controllers, path = line.split(":", 2)
        if not controllers:
            yield from _limits_upwards(root / "sys/fs/cgroup", path, "memory.max")
        elif "memory" in controllers.split(","):
            yield from _limits_upwards(root / "sys/fs/cgroup/memory", path, "memory.limit_in_bytes")


def _limits_upwards(mount: Path, path: str, name: str) -> Iterator[int]:
    """Yield the limit of a cgroup and of every cgroup above it; in a container only the mount itself may be visible."""
    group = mount / path.lstrip("/")
    for directory in (group, *group.parents):
        limit = directory / name
        if limit.exists():
            text = limit.read_text().strip()
            if text.isdecimal():
                yield int(text)
        if directory == mount:
            return


def heap_trimmer() -> Callable[[], None]:
    """Return a function that hands free heap pages back to the system, where the C library can (glibc).

    Without it resident memory stays at its peak, and a limit on it would refuse data for ever. It takes milliseconds,
    unlike a collection of garbage, which stops everything.
    """
    try:
        malloc_trim = ctypes.CDLL(None).malloc_trim
    except (AttributeError, OSError):
        return lambda: None
    return lambda: malloc_trim(0)


def collect_garbage() -> None:
    """Free what only cycles keep alive."""
    gc.collect()
