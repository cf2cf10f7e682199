"""CPU time, utilization, frequency and counts."""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import ClassVar

from ophion_host.host import Host
from ophion_host.metric import counter, gauge, updown
from ophion_host.recorder import Recorder
from ophion_host.scraper import Scraper, ScraperConfig

TIME = counter(
    "system.cpu.time", "s", "Total seconds each logical CPU spent on each mode.", "cpu", "state", value="double"
)
UTILIZATION = gauge(
    "system.cpu.utilization",
    "1",
    "Difference in system.cpu.time since the last measurement per logical CPU, divided by the elapsed time "
    "(value in interval [0,1]).",
    "cpu",
    "state",
    enabled=False,
)
FREQUENCY = gauge("system.cpu.frequency", "Hz", "Current frequency of the CPU core in Hz.", "cpu", enabled=False)
LOGICAL = updown("system.cpu.logical.count", "{cpu}", "Number of available logical CPUs.")
PHYSICAL = updown("system.cpu.physical.count", "{cpu}", "Number of available physical CPUs.", enabled=False)

# Order of the columns of a cpu line in /proc/stat.
_STATES = ("user", "nice", "system", "idle", "wait", "interrupt", "softirq", "steal")

Times = dict[str, dict[str, float]]


class CpuConfig(ScraperConfig):
    """The `cpu` scraper."""

    table: ClassVar = (TIME, UTILIZATION, FREQUENCY, LOGICAL, PHYSICAL)


class CpuScraper(Scraper[CpuConfig]):
    """Reports what every logical CPU spent its time on."""

    name = "cpu"

    def __init__(self, config: CpuConfig, host: Host) -> None:
        super().__init__(config, host)
        self._previous: Times = {}

    def scrape(self, out: Recorder) -> None:
        """See `Scraper.scrape`."""
        times = dict(_linux_times(self.host) if self.host.linux else _portable_times())
        for cpu, states in times.items():
            for state, seconds in states.items():
                out.add(TIME, seconds, cpu, state)
        if out.wants(UTILIZATION):
            self._add_utilization(out, times)
        out.add(LOGICAL, len(times))
        if out.wants(PHYSICAL):
            out.add(PHYSICAL, physical_count(self.host) or len(times))
        if out.wants(FREQUENCY):
            for cpu, hertz in frequencies(self.host).items():
                out.add(FREQUENCY, hertz, cpu)

    def _add_utilization(self, out: Recorder, times: Times) -> None:
        for cpu, states in times.items():
            before = self._previous.get(cpu)
            if before is None:
                continue
            elapsed = sum(states.values()) - sum(before.values())
            for state, seconds in states.items():
                out.add(UTILIZATION, (seconds - before[state]) / elapsed if elapsed > 0 else 0.0, cpu, state)
        self._previous = times


def _linux_times(host: Host) -> Iterator[tuple[str, dict[str, float]]]:
    ticks = os.sysconf("SC_CLK_TCK")
    for line in host.read("stat").splitlines():
        if not line.startswith(b"cpu"):
            return
        name, *columns = line.split()
        if name != b"cpu":
            yield name.decode(), {state: int(value) / ticks for state, value in zip(_STATES, columns, strict=False)}


def _portable_times() -> Iterator[tuple[str, dict[str, float]]]:
    import psutil

    for number, times in enumerate(psutil.cpu_times(percpu=True)):
        yield f"cpu{number}", {state: getattr(times, state) for state in ("user", "nice", "system", "idle")}


def frequencies(host: Host) -> dict[str, float]:
    """Current frequency in Hz by CPU name; empty where the system does not tell."""
    if not host.linux:
        import psutil

        return {f"cpu{number}": found.current * 1e6 for number, found in enumerate(psutil.cpu_freq(percpu=True))}
    from_cpuinfo = {f"cpu{cpu['processor']}": float(cpu["cpu MHz"]) * 1e6 for cpu in _cpuinfo(host) if "cpu MHz" in cpu}
    return from_cpuinfo or {
        path.parent.parent.name: int(path.read_text()) * 1000.0
        for path in sorted(host.sys("devices/system/cpu").glob("cpu[0-9]*/cpufreq/scaling_cur_freq"))
    }


def logical_count(host: Host) -> int:
    """Number of CPUs that the host's system runs on."""
    return sum(1 for _ in _linux_times(host)) if host.linux else os.cpu_count() or 1


def physical_count(host: Host) -> int:
    """Number of CPU cores, hyper-threads of one core counted once; 0 where the system does not tell."""
    if not host.linux:
        import psutil

        return psutil.cpu_count(logical=False) or 0
    cores = {(cpu["physical id"], cpu["core id"]) for cpu in _cpuinfo(host) if {"physical id", "core id"} <= cpu.keys()}
    if cores:
        return len(cores)
    lists = host.sys("devices/system/cpu").glob("cpu[0-9]*/topology/core_cpus_list")
    return len({path.read_text() for path in lists})


def _cpuinfo(host: Host) -> list[dict[str, str]]:
    blocks = host.read("cpuinfo").decode("utf-8", "replace").strip().split("\n\n")
    return [
        {key.strip(): value.strip() for key, _, value in (line.partition(":") for line in block.splitlines())}
        for block in blocks
        if block.startswith("processor")
    ]
