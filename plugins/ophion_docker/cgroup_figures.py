"""Reads a container's figures from its cgroup and from /proc, into a recorder. Blocking; runs in a thread."""

from __future__ import annotations

import os
from typing import Final

from ophion_agent.measured_metric import MeasuredMetric
from ophion_docker import stats_metrics as m
from ophion_docker.cgroup import Cgroup, read_or_empty
from ophion_docker.stats_recorder import StatsRecorder

_STAT_KEYS: Final = tuple((key.encode(), metric) for key, metric in m.MEMORY_STATS.items())
_TICK_NS: Final = 1_000_000_000 // os.sysconf("SC_CLK_TCK")

# Files of version 1 in the order they are tried; old kernels have no recursive ones.
_BLKIO_FILES: Final = (
    (m.IO_SERVICE_BYTES, ("throttle.io_service_bytes_recursive", "throttle.io_service_bytes")),
    (m.IO_SERVICED, ("throttle.io_serviced_recursive", "throttle.io_serviced")),
    (m.IO_MERGED, ("io_merged_recursive",)),
    (m.IO_QUEUED, ("io_queued_recursive",)),
    (m.IO_SERVICE_TIME, ("io_service_time_recursive",)),
    (m.IO_TIME, ("time_recursive",)),
    (m.IO_WAIT_TIME, ("io_wait_time_recursive",)),
    (m.SECTORS, ("sectors_recursive",)),
)
_IO_STAT: Final = {
    b"rbytes": (m.IO_SERVICE_BYTES, "read"),
    b"wbytes": (m.IO_SERVICE_BYTES, "write"),
    b"rios": (m.IO_SERVICED, "read"),
    b"wios": (m.IO_SERVICED, "write"),
}


def record_cgroup(cgroup: Cgroup, host_memory: int, out: StatsRecorder) -> int:
    """Record CPU, memory, block I/O and PIDs; return the CPU time used so far in nanoseconds, -1 when unreadable."""
    if cgroup.version == 2:
        return _record_v2(cgroup.folder(""), host_memory, out)
    cpu = _cpu_v1(cgroup, out)
    _memory_v1(cgroup.folder("memory"), host_memory, out)
    _blkio_v1(cgroup.folder("blkio"), out)
    _pids(cgroup.folder("pids"), out)
    return cpu


def record_network(table: bytes, out: StatsRecorder) -> None:
    """Record a `/proc/<pid>/net/dev`, without the loopback interface."""
    for line in table.splitlines()[2:]:
        name, _, numbers = line.partition(b":")
        interface, values = name.strip().decode(errors="replace"), numbers.split()[:12]
        if interface == "lo" or len(values) < 12 or not all(map(bytes.isdigit, values)):
            continue
        for metric, _, position in m.NETWORK:
            out.add_with(metric, int(values[position]), interface)


def pairs(content: bytes) -> dict[bytes, int]:
    """Return the lines `name value` of a file of the kernel."""
    words = content.split()
    try:
        return dict(zip(words[::2], map(int, words[1::2]), strict=False))
    except ValueError:
        return {}


def number(content: bytes, missing: int = -1) -> int:
    """Return the number a file holds; `missing` for `max` and for nothing."""
    word = content.strip()
    return int(word) if word.isdigit() else missing


# Version 2


def _record_v2(folder: str, host_memory: int, out: StatsRecorder) -> int:
    cpu = pairs(read_or_empty(f"{folder}/cpu.stat"))
    for metric, key in (
        (m.CPU_TOTAL, b"usage_usec"),
        (m.CPU_USER, b"user_usec"),
        (m.CPU_KERNEL, b"system_usec"),
        (m.CPU_THROTTLED_TIME, b"throttled_usec"),
    ):
        if key in cpu:
            out.add(metric, cpu[key] * 1000)
    _add(out, m.CPU_PERIODS, cpu.get(b"nr_periods", -1))
    _add(out, m.CPU_THROTTLED, cpu.get(b"nr_throttled", -1))
    stat = pairs(read_or_empty(f"{folder}/memory.stat"))
    usage = number(read_or_empty(f"{folder}/memory.current"))
    limit = number(read_or_empty(f"{folder}/memory.max"), host_memory)
    _memory(stat, usage, stat.get(b"inactive_file", 0), min(limit, host_memory), out)
    if out.wants(m.MEMORY_MAX):
        _add(out, m.MEMORY_MAX, number(read_or_empty(f"{folder}/memory.peak")))
    if out.wants(m.MEMORY_FAILS):
        _add(out, m.MEMORY_FAILS, pairs(read_or_empty(f"{folder}/memory.events")).get(b"oom", -1))
    if out.wants(m.IO_SERVICE_BYTES, m.IO_SERVICED):
        _io_v2(read_or_empty(f"{folder}/io.stat"), out)
    _pids(folder, out)
    return cpu[b"usage_usec"] * 1000 if b"usage_usec" in cpu else -1


def _io_v2(content: bytes, out: StatsRecorder) -> None:
    for line in content.splitlines():
        device, _, rest = line.partition(b" ")
        major, _, minor = device.decode(errors="replace").partition(":")
        fields = rest.split()
        for name, _, value in (field.partition(b"=") for field in fields):
            if name in _IO_STAT and value.isdigit():
                metric, operation = _IO_STAT[name]
                out.add_with(metric, int(value), major, minor, operation)


# Version 1


def _cpu_v1(cgroup: Cgroup, out: StatsRecorder) -> int:
    folder = cgroup.folder("cpuacct")
    total = number(read_or_empty(f"{folder}/cpuacct.usage"))
    _add(out, m.CPU_TOTAL, total)
    ticks = pairs(read_or_empty(f"{folder}/cpuacct.stat"))
    if b"user" in ticks and b"system" in ticks:
        out.add(m.CPU_USER, ticks[b"user"] * _TICK_NS)
        out.add(m.CPU_KERNEL, ticks[b"system"] * _TICK_NS)
    if out.wants(m.CPU_PER_CORE):
        for core, used in enumerate(read_or_empty(f"{folder}/cpuacct.usage_percpu").split()):
            out.add_with(m.CPU_PER_CORE, number(used, 0), f"cpu{core}")
    if out.wants(m.CPU_PERIODS, m.CPU_THROTTLED, m.CPU_THROTTLED_TIME):
        throttled = pairs(read_or_empty(f"{cgroup.folder('cpu')}/cpu.stat"))
        _add(out, m.CPU_PERIODS, throttled.get(b"nr_periods", -1))
        _add(out, m.CPU_THROTTLED, throttled.get(b"nr_throttled", -1))
        _add(out, m.CPU_THROTTLED_TIME, throttled.get(b"throttled_time", -1))
    return total


def _memory_v1(folder: str, host_memory: int, out: StatsRecorder) -> None:
    stat = pairs(read_or_empty(f"{folder}/memory.stat"))
    usage = number(read_or_empty(f"{folder}/memory.usage_in_bytes"))
    limit = number(read_or_empty(f"{folder}/memory.limit_in_bytes"), host_memory)
    _memory(stat, usage, stat.get(b"total_inactive_file", 0), min(limit, host_memory), out)
    if out.wants(m.MEMORY_MAX):
        _add(out, m.MEMORY_MAX, number(read_or_empty(f"{folder}/memory.max_usage_in_bytes")))
    if out.wants(m.MEMORY_FAILS):
        _add(out, m.MEMORY_FAILS, number(read_or_empty(f"{folder}/memory.failcnt")))


def _blkio_v1(folder: str, out: StatsRecorder) -> None:
    for metric, names in _BLKIO_FILES:
        if not out.wants(metric):
            continue
        contents = (read_or_empty(f"{folder}/blkio.{name}") for name in names)
        for line in next(filter(None, contents), b"").splitlines():
            words = line.decode(errors="replace").split()
            # Behind the lines of the devices there is one with their total.
            if len(words) > 1 and ":" in words[0] and words[-1].isdecimal():
                major, _, minor = words[0].partition(":")
                out.add_with(metric, int(words[-1]), major, minor, words[1].lower() if len(words) > 2 else "")


# Both


def _memory(stat: dict[bytes, int], usage: int, reclaimable: int, limit: int, out: StatsRecorder) -> None:
    if usage < 0:
        return
    record_memory_use(usage, reclaimable, limit, out)
    for key, metric in _STAT_KEYS:
        value = stat.get(key)
        if value is not None:
            out.add(metric, value)


def record_memory_use(usage: int, reclaimable: int, limit: int, out: StatsRecorder) -> None:
    """Record the use of memory without the cache that the kernel can give up, as `docker stats` shows it."""
    used = usage - reclaimable if reclaimable < usage else usage
    out.add(m.MEMORY_TOTAL, used)
    if limit > 0:
        out.add(m.MEMORY_LIMIT, limit)
    out.add(m.MEMORY_PERCENT, used / limit * 100 if limit > 0 else 0.0)


def _pids(folder: str, out: StatsRecorder) -> None:
    if out.wants(m.PIDS_COUNT, m.PIDS_LIMIT):
        _add(out, m.PIDS_COUNT, number(read_or_empty(f"{folder}/pids.current")))
        _add(out, m.PIDS_LIMIT, number(read_or_empty(f"{folder}/pids.max")))


def _add(out: StatsRecorder, metric: MeasuredMetric, value: int) -> None:
    if value >= 0:
        out.add(metric, value)
