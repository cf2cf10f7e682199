"""Reads a container's figures from the engine's stats answer, where its cgroup cannot be read."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from ophion_docker import stats_metrics as m
from ophion_docker.cgroup_figures import record_memory_use
from ophion_docker.stats_recorder import StatsRecorder

Json = Mapping[str, Any]


class CpuReading(NamedTuple):
    """CPU time that a container has used, beside a scale that grows by `full` nanoseconds when it keeps a core busy.

    For figures from the cgroup the scale is time; the engine gives the system's CPU time instead, of all cores.
    """

    used_ns: int
    scale_ns: int
    cores: int = 1

    def percent_since(self, before: CpuReading | None) -> float | None:
        """Return the use between two readings, 100 for one core; None when they cannot be compared."""
        if before is None or self.scale_ns <= before.scale_ns or self.used_ns < before.used_ns:
            return None
        return (self.used_ns - before.used_ns) / (self.scale_ns - before.scale_ns) * self.cores * 100.0


def record_api_stats(stats: Json, out: StatsRecorder) -> CpuReading | None:
    """Record everything that the answer holds; return its CPU reading, None when it has none."""
    _memory(stats.get("memory_stats") or {}, out)
    blkio: Json = stats.get("blkio_stats") or {}
    for key, metric in m.BLOCK_IO.items():
        for entry in blkio.get(key) or ():
            device = (str(entry.get("major", "")), str(entry.get("minor", "")))
            out.add_with(metric, _number(entry, "value"), *device, str(entry.get("op", "")).lower())
    for interface, figures in (stats.get("networks") or {}).items():
        for metric, key, _ in m.NETWORK:
            out.add_with(metric, _number(figures, key), interface)
    pids: Json = stats.get("pids_stats") or {}
    if _number(pids, "current"):
        out.add(m.PIDS_COUNT, _number(pids, "current"))
        # Without a limit the engine says 2^64 - 1.
        if 0 < _number(pids, "limit") < 1 << 63:
            out.add(m.PIDS_LIMIT, _number(pids, "limit"))
    return _cpu(stats.get("cpu_stats") or {}, out)


def _cpu(cpu: Json, out: StatsRecorder) -> CpuReading | None:
    usage: Json = cpu.get("cpu_usage") or {}
    throttling: Json = cpu.get("throttling_data") or {}
    if "total_usage" not in usage:
        return None
    per_core = usage.get("percpu_usage") or ()
    cores = _number(cpu, "online_cpus") or len(per_core) or 1
    out.add(m.CPU_TOTAL, _number(usage, "total_usage"))
    out.add(m.CPU_KERNEL, _number(usage, "usage_in_kernelmode"))
    out.add(m.CPU_USER, _number(usage, "usage_in_usermode"))
    out.add(m.CPU_SYSTEM, _number(cpu, "system_cpu_usage"))
    out.add(m.CPU_COUNT, cores)
    out.add(m.CPU_PERIODS, _number(throttling, "periods"))
    out.add(m.CPU_THROTTLED, _number(throttling, "throttled_periods"))
    out.add(m.CPU_THROTTLED_TIME, _number(throttling, "throttled_time"))
    for core, used in enumerate(per_core):
        out.add_with(m.CPU_PER_CORE, used, f"cpu{core}")
    return CpuReading(_number(usage, "total_usage"), _number(cpu, "system_cpu_usage"), cores)


def _memory(memory: Json, out: StatsRecorder) -> None:
    stats: Json = memory.get("stats") or {}
    usage = _number(memory, "usage")
    if not usage:
        return
    reclaimable = _number(stats, "total_inactive_file") or _number(stats, "inactive_file")
    record_memory_use(usage, reclaimable, _number(memory, "limit"), out)
    out.add(m.MEMORY_MAX, _number(memory, "max_usage"))
    out.add(m.MEMORY_FAILS, _number(memory, "failcnt"))
    for key, metric in m.MEMORY_STATS.items():
        if key in stats:
            out.add(metric, _number(stats, key))


def _number(figures: Json, key: str) -> int:
    value = figures.get(key)
    return int(value) if isinstance(value, int | float) else 0
