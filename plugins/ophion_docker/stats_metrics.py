"""The metrics of `docker_stats`: names, units, descriptions and defaults of otelcol's receiver of that name."""

from __future__ import annotations

from typing import Final, Literal

from ophion_agent.measured_metric import MeasuredMetric


def _counter(name: str, unit: str, description: str, *attributes: str, on: bool = False) -> MeasuredMetric:
    return MeasuredMetric(f"container.{name}", unit, description, "int", True, attributes, on)


def _updown(name: str, unit: str, description: str, *, on: bool = False) -> MeasuredMetric:
    return MeasuredMetric(f"container.{name}", unit, description, "int", False, enabled=on)


def _gauge(
    name: str,
    unit: str,
    description: str,
    *attributes: str,
    value: Literal["int", "double"] = "double",
    on: bool = False,
) -> MeasuredMetric:
    return MeasuredMetric(f"container.{name}", unit, description, value, None, attributes, on)


_DEVICE: Final = ("device_major", "device_minor", "operation")


def _block(name: str, unit: str, description: str, *, on: bool = False) -> MeasuredMetric:
    return _counter(f"blockio.{name}", unit, description, *_DEVICE, on=on)


def _network(name: str, unit: str, description: str, *, on: bool = False) -> MeasuredMetric:
    return _counter(f"network.io.usage.{name}", unit, description, "interface", on=on)


IO_MERGED = _block("io_merged_recursive", "{operations}", "Requests merged into requests of this cgroup (v1 only).")
IO_QUEUED = _block("io_queued_recursive", "{operations}", "Requests queued up for this cgroup (v1 only).")
IO_SERVICE_BYTES = _block("io_service_bytes_recursive", "By", "Bytes transferred to and from the disk.", on=True)
IO_SERVICE_TIME = _block(
    "io_service_time_recursive", "ns", "Time between dispatch and completion of requests (v1 only)."
)
IO_SERVICED = _block("io_serviced_recursive", "{operations}", "Number of I/O operations issued to the disk.")
IO_TIME = _block("io_time_recursive", "ms", "Disk time allocated to the cgroup per device (v1 only).")
IO_WAIT_TIME = _block("io_wait_time_recursive", "ns", "Time that requests waited in the scheduler's queues (v1 only).")
SECTORS = _block("sectors_recursive", "{sectors}", "Sectors transferred to and from the disk (v1 only).")

CPU_LIMIT = _gauge("cpu.limit", "{cpus}", "CPU limit set for the container; absent without one.")
CPU_COUNT = _gauge("cpu.logical.count", "{cpus}", "Number of cores available to the container.", value="int")
CPU_SHARES = _gauge("cpu.shares", "1", "CPU shares set for the container.", value="int")
CPU_PERIODS = _counter("cpu.throttling_data.periods", "{periods}", "Number of periods with throttling active.")
CPU_THROTTLED = _counter(
    "cpu.throttling_data.throttled_periods", "{periods}", "Periods in which the container hit its limit."
)
CPU_THROTTLED_TIME = _counter("cpu.throttling_data.throttled_time", "ns", "Time for which the container was throttled.")
CPU_KERNEL = _counter("cpu.usage.kernelmode", "ns", "Time spent by tasks of the cgroup in kernel mode.", on=True)
CPU_PER_CORE = _counter("cpu.usage.percpu", "ns", "CPU usage by the container per core (v1 only).", "core")
CPU_SYSTEM = _counter("cpu.usage.system", "ns", "CPU usage of the whole system, not of the container.")
CPU_TOTAL = _counter("cpu.usage.total", "ns", "Total CPU time consumed.", on=True)
CPU_USER = _counter("cpu.usage.usermode", "ns", "Time spent by tasks of the cgroup in user mode.", on=True)
CPU_UTILIZATION = _gauge("cpu.utilization", "1", "Percent of CPU used by the container; 100 is one core.", on=True)

MEMORY_FAILS = _counter("memory.fails", "{fails}", "Number of times the memory limit was hit.")
MEMORY_PERCENT = _gauge("memory.percent", "1", "Percentage of memory used, of the limit.", on=True)
MEMORY_LIMIT = _updown("memory.usage.limit", "By", "Memory limit of the container.", on=True)
MEMORY_MAX = _updown("memory.usage.max", "By", "Maximum memory usage.")
MEMORY_TOTAL = _updown("memory.usage.total", "By", "Memory usage of the container, without the cache.", on=True)

PIDS_COUNT = _updown("pids.count", "{pids}", "Number of pids in the container's cgroup.")
PIDS_LIMIT = _updown("pids.limit", "{pids}", "Maximum number of pids in the container's cgroup; absent without one.")

RX_BYTES = _network("rx_bytes", "By", "Bytes received by the container.", on=True)
RX_DROPPED = _network("rx_dropped", "{packets}", "Incoming packets dropped.", on=True)
RX_ERRORS = _network("rx_errors", "{errors}", "Received errors.")
RX_PACKETS = _network("rx_packets", "{packets}", "Packets received.")
TX_BYTES = _network("tx_bytes", "By", "Bytes sent.", on=True)
TX_DROPPED = _network("tx_dropped", "{packets}", "Outgoing packets dropped.", on=True)
TX_ERRORS = _network("tx_errors", "{errors}", "Sent errors.")
TX_PACKETS = _network("tx_packets", "{packets}", "Packets sent.")

RESTARTS = _counter("restarts", "{restarts}", "Number of restarts for the container.")
STATUS = _gauge("status", "{status}", "1 for the status that the container has.", "status", value="int")
UPTIME = _gauge("uptime", "s", "Time elapsed since the container's start.")

# Keys of memory.stat whose metric has the same name. The `total_` ones, of version 1, include descendants.
_BYTES: Final = {
    "active_anon": "Anonymous memory that the kernel holds for active",
    "active_file": "Cache memory that the kernel holds for active",
    "cache": "Memory that belongs to blocks of a block device (v1 only)",
    "dirty": "Memory that waits to be written back to the disk (v1 only)",
    "inactive_anon": "Anonymous memory that the kernel holds for inactive",
    "inactive_file": "Cache memory that the kernel holds for inactive",
    "mapped_file": "Memory mapped by the processes (v1 only)",
    "rss": "Memory that nothing on disk corresponds to: stacks, heaps, anonymous maps (v1 only)",
    "rss_huge": "Anonymous transparent hugepages (v1 only)",
    "unevictable": "Memory that cannot be reclaimed",
    "writeback": "Cache queued for syncing to disk (v1 only)",
}
_EVENTS: Final = {
    "pgfault": ("{faults}", "Page faults"),
    "pgmajfault": ("{faults}", "Major page faults"),
    "pgpgin": ("{operations}", "Pages read from disk (v1 only)"),
    "pgpgout": ("{operations}", "Pages written to disk (v1 only)"),
}


def _memory_table() -> dict[str, MeasuredMetric]:
    table = {
        "anon": _updown("memory.anon", "By", "Memory in anonymous mappings (v2 only)."),
        "file": _updown("memory.file", "By", "Memory that caches filesystem data, with tmpfs (v2 only).", on=True),
        "hierarchical_memory_limit": _updown(
            "memory.hierarchical_memory_limit", "By", "Most physical memory that the cgroup may use (v1 only)."
        ),
        "hierarchical_memsw_limit": _updown(
            "memory.hierarchical_memsw_limit", "By", "Most memory and swap that the cgroup may use (v1 only)."
        ),
    }
    for key, description in _BYTES.items():
        below = f"{description.removesuffix(' (v1 only)')}, with descendant cgroups (v1 only)."
        table[key] = _updown(f"memory.{key}", "By", f"{description}.")
        table[f"total_{key}"] = _updown(f"memory.total_{key}", "By", below, on=key == "cache")
    for key, (unit, description) in _EVENTS.items():
        below = f"{description.removesuffix(' (v1 only)')}, with descendant cgroups (v1 only)."
        table[key] = _counter(f"memory.{key}", unit, f"{description}.")
        table[f"total_{key}"] = _counter(f"memory.total_{key}", unit, below)
    return table


MEMORY_STATS: Final = _memory_table()
"""Metrics by their key in memory.stat and in the engine's `memory_stats.stats`."""

BLOCK_IO: Final = {
    "io_merged_recursive": IO_MERGED,
    "io_queue_recursive": IO_QUEUED,
    "io_service_bytes_recursive": IO_SERVICE_BYTES,
    "io_service_time_recursive": IO_SERVICE_TIME,
    "io_serviced_recursive": IO_SERVICED,
    "io_time_recursive": IO_TIME,
    "io_wait_time_recursive": IO_WAIT_TIME,
    "sectors_recursive": SECTORS,
}
"""Metrics by their key in the engine's `blkio_stats`."""

# The order of a line of /proc/net/dev: eight numbers received, eight sent, of which four each are reported.
NETWORK: Final = (
    (RX_BYTES, "rx_bytes", 0),
    (RX_PACKETS, "rx_packets", 1),
    (RX_ERRORS, "rx_errors", 2),
    (RX_DROPPED, "rx_dropped", 3),
    (TX_BYTES, "tx_bytes", 8),
    (TX_PACKETS, "tx_packets", 9),
    (TX_ERRORS, "tx_errors", 10),
    (TX_DROPPED, "tx_dropped", 11),
)

TABLE: Final = tuple(
    sorted(
        (
            *BLOCK_IO.values(), *MEMORY_STATS.values(), *(metric for metric, _, _ in NETWORK),
            CPU_LIMIT, CPU_COUNT, CPU_SHARES, CPU_PERIODS, CPU_THROTTLED, CPU_THROTTLED_TIME, CPU_KERNEL, CPU_PER_CORE,
            CPU_SYSTEM, CPU_TOTAL, CPU_USER, CPU_UTILIZATION, MEMORY_FAILS, MEMORY_PERCENT, MEMORY_LIMIT, MEMORY_MAX,
            MEMORY_TOTAL, PIDS_COUNT, PIDS_LIMIT, RESTARTS, STATUS, UPTIME,
        ),
        key=lambda metric: metric.name,
    )
)  # fmt: skip
"""Every metric, by name."""
