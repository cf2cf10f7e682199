import contextlib
import os
import shutil
import socket
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil
import pytest

from ophion_agent.testing import EPOCH_NS
from ophion_host import tcp_states
from ophion_host.host import Host
from ophion_host.tcp_states import netlink_connections, proc_connections

Make = Callable[..., Any]


def test_cpu_time_by_cpu_and_state(runner: Make) -> None:
    ticks = os.sysconf("SC_CLK_TCK")
    times = runner("cpu").scrape().values("system.cpu.time")
    assert times["cpu0", "user"] == 1000 / ticks
    assert {state for cpu, state in times if cpu == "cpu1"} == {
        "user", "nice", "system", "idle", "wait", "interrupt", "softirq", "steal",
    }  # fmt: skip
    assert len(times) == 16


def test_cpu_counts_and_frequency(runner: Make) -> None:
    result = runner("cpu", enable="all").scrape()
    assert result.values("system.cpu.logical.count") == {(): 2}
    assert result.values("system.cpu.physical.count") == {(): 1}
    assert result.values("system.cpu.frequency") == {"cpu0": 2_400_500_000, "cpu1": 1_200_000_000}


def test_cpu_frequency_from_sys_where_cpuinfo_has_none(runner: Make, root: Path) -> None:
    (root / "proc/cpuinfo").write_text("processor\t: 0\nBogoMIPS\t: 50.00\n\nHardware\t: board\n")
    frequency = root / "sys/devices/system/cpu/cpu0/cpufreq/scaling_cur_freq"
    frequency.parent.mkdir(parents=True)
    frequency.write_text("1800000\n")
    assert runner("cpu", enable="all").scrape().values("system.cpu.frequency") == {"cpu0": 1_800_000_000}


def test_cpu_utilization_needs_two_scrapes(runner: Make, root: Path) -> None:
    instance = runner("cpu", {"metrics": {"system.cpu.utilization": {"enabled": True}}})
    assert instance.scrape().values("system.cpu.utilization") == {}
    stat = root / "proc/stat"
    stat.write_text(stat.read_text().replace("cpu0 1000 20 400 50000", "cpu0 1030 20 410 50060"))
    utilization = instance.scrape().values("system.cpu.utilization")
    assert utilization["cpu0", "user"] == pytest.approx(0.3)
    assert utilization["cpu0", "idle"] == pytest.approx(0.6)
    assert utilization["cpu1", "user"] == 0.0


def test_load_averages(runner: Make) -> None:
    result = runner("load").scrape()
    assert [result.values(f"system.cpu.load_average.{window}")[()] for window in ("1m", "5m", "15m")] == [
        0.5,
        1.25,
        2.0,
    ]


def test_load_per_cpu_uses_the_scraped_hosts_cpus(runner: Make) -> None:
    result = runner("load", {"cpu_average": True}).scrape()
    assert result.values("system.cpu.load_average.15m") == {(): 1.0}


def test_memory_states(runner: Make) -> None:
    result = runner("memory", enable="all").scrape()
    kib = {state: size / 1024 for state, size in result.values("system.memory.usage").items()}
    assert kib == {
        "used": 6_000_000,
        "free": 4_000_000,
        "buffered": 500_000,
        "cached": 5_400_000,
        "slab_reclaimable": 400_000,
        "slab_unreclaimable": 100_000,
    }
    assert result.values("system.memory.utilization")["used"] == 0.375
    assert result.values("system.memory.linux.hugepages.usage") == {"free": 6, "used": 2}
    assert result.values("system.memory.linux.hugepages.page_size") == {(): 2 * 1024 * 1024}


def test_memory_used_without_what_is_available(runner: Make, root: Path) -> None:
    meminfo = root / "proc/meminfo"
    meminfo.write_text("\n".join(line for line in meminfo.read_text().splitlines() if "MemAvailable" not in line))
    usage = runner("memory").scrape().values("system.memory.usage")
    assert usage["used"] == (16_000_000 - 4_000_000 - 500_000 - 5_400_000) * 1024


def test_disk_figures(runner: Make) -> None:
    result = runner("disk").scrape()
    assert result.values("system.disk.io")["sda", "read"] == 2000 * 512
    assert result.values("system.disk.operations")["sda", "write"] == 50
    assert result.values("system.disk.operation_time")["sda", "read"] == 0.3
    assert result.values("system.disk.merged")["sda", "write"] == 5
    assert result.values("system.disk.io_time") == {"sda": 0.4, "sda1": 0.38}
    assert result.values("system.disk.weighted_io_time")["sda"] == 0.45
    assert result.values("system.disk.pending_operations")["sda"] == 3


@pytest.mark.parametrize(
    ("config", "devices"),
    [
        ({"include": {"devices": ["sda"], "match_type": "strict"}}, {"sda"}),
        ({"exclude": {"devices": ["^loop", "\\d$"], "match_type": "regexp"}}, {"sda"}),
        ({"include": {"devices": ["sd"], "match_type": "regexp"}}, {"sda", "sda1"}),
        ({"include": {"devices": [], "match_type": "strict"}}, {"sda", "sda1"}),
        (
            {
                "include": {"devices": ["sd"], "match_type": "regexp"},
                "exclude": {"devices": ["sda1"], "match_type": "strict"},
            },
            {"sda"},
        ),
    ],
)
def test_disks_are_chosen_by_name(runner: Make, config: dict[str, Any], devices: set[str]) -> None:
    assert set(runner("disk", config).scrape().values("system.disk.io_time")) == devices


def test_filesystems_of_the_hosts_own_mount_table(runner: Make, root: Path) -> None:
    result = runner("filesystem", enable="all").scrape()
    stat = os.statvfs(root)
    usage = result.values("system.filesystem.usage")
    assert {key[:4] for key in usage} == {
        ("/dev/sda1", "rw", "/", "ext4"),
        ("/dev/sdb1", "ro", "/data", "ext4"),
        ("/dev/sdc1", "rw", "/mnt/with blank", "xfs"),
    }
    of_root = {key[4]: size for key, size in usage.items() if key[2] == "/"}
    assert sum(of_root.values()) == stat.f_blocks * stat.f_frsize
    inodes = result.values("system.filesystem.inodes.usage")
    assert (
        inodes["/dev/sda1", "rw", "/", "ext4", "free"] + inodes["/dev/sda1", "rw", "/", "ext4", "used"] == stat.f_files
    )


def test_filesystem_that_cannot_be_read_is_named_and_the_others_are_reported(runner: Make, root: Path) -> None:
    failures = runner("filesystem").scrape().scrape.failures
    assert failures["usage"].message == f"failed to read usage at {root}/gone: No such file or directory"


def test_virtual_filesystems_on_request(runner: Make) -> None:
    usage = runner("filesystem", {"include_virtual_filesystems": True}).scrape().values("system.filesystem.usage")
    assert ("tmpfs", "rw", "/run", "tmpfs", "used") in usage


@pytest.mark.parametrize(
    ("config", "mountpoints"),
    [
        ({"exclude_mount_points": {"mount_points": ["^/mnt/"], "match_type": "regexp"}}, {"/", "/data"}),
        ({"include_fs_types": {"fs_types": ["xfs"], "match_type": "strict"}}, {"/mnt/with blank"}),
        ({"exclude_devices": {"devices": ["/dev/sda1"], "match_type": "strict"}}, {"/data", "/mnt/with blank"}),
        ({"include_mount_points": {"mount_points": ["/data"], "match_type": "strict"}}, {"/data"}),
    ],
)
def test_filesystems_are_chosen(runner: Make, config: dict[str, Any], mountpoints: set[str]) -> None:
    usage = runner("filesystem", config).scrape().values("system.filesystem.usage")
    assert {key[2] for key in usage} == mountpoints


def test_agents_own_mounts_are_not_placed_below_the_root_twice(runner: Make, root: Path) -> None:
    (root / "proc/1/mounts").unlink()
    (root / "proc/self/mounts").write_text(f"/dev/sda1 {root} ext4 ro,relatime 0 0\n")
    usage = runner("filesystem").scrape().values("system.filesystem.usage")
    assert ("/dev/sda1", "ro", str(root), "ext4", "used") in usage


def test_network_of_the_hosts_first_process(runner: Make, root: Path) -> None:
    (root / "proc/net/dev").write_text("the agent's own namespace\n\n")
    result = runner("network", enable="all").scrape()
    assert result.values("system.network.io") == {
        ("lo", "transmit"): 1000,
        ("lo", "receive"): 1000,
        ("eth0", "transmit"): 900_000,
        ("eth0", "receive"): 2_000_000,
    }
    assert result.values("system.network.packets")["eth0", "receive"] == 3000
    assert result.values("system.network.errors")["eth0", "transmit"] == 3
    assert result.values("system.network.dropped")["eth0", "transmit"] == 4
    assert result.values("system.network.conntrack.count") == {(): 77}


def test_every_tcp_state_is_reported(runner: Make) -> None:
    connections = runner("network").scrape().values("system.network.connections")
    assert len(connections) == 11
    assert {state: count for (_, state), count in connections.items() if count} == {
        "LISTEN": 2,
        "ESTABLISHED": 1,
        "TIME_WAIT": 1,
    }


def test_interfaces_are_chosen(runner: Make) -> None:
    config = {"exclude": {"interfaces": ["lo"], "match_type": "strict"}}
    packets = runner("network", config).scrape().values("system.network.packets")
    assert {device for device, _ in packets} == {"eth0"}


def test_part_of_network_that_fails_does_not_hide_the_rest(runner: Make, root: Path) -> None:
    (root / "proc/1/net/tcp").unlink()
    result = runner("network").scrape()
    assert list(result.scrape.failures) == ["connections"]
    assert result.values("system.network.io")


def test_swap_devices_and_page_faults(runner: Make) -> None:
    result = runner("paging", enable="all").scrape()
    assert result.values("system.paging.usage")["/dev/dm-2", "used"] == 250 * 1024
    assert result.values("system.paging.utilization")["/dev/dm-2", "free"] == 0.75
    assert result.values("system.paging.utilization")["/swapfile", "used"] == 0.0
    assert result.values("system.paging.faults") == {"major": 100, "minor": 800}
    assert result.values("system.paging.operations") == {
        ("page_in", "major"): 7,
        ("page_out", "major"): 8,
        ("page_in", "minor"): 5000,
        ("page_out", "minor"): 6000,
    }


def test_swap_table_of_another_form_is_an_error(runner: Make, root: Path) -> None:
    (root / "proc/swaps").write_text("INVALID\tType\n")
    failures = runner("paging").scrape().scrape.failures
    assert failures["usage"].message.endswith("swaps: unexpected header 'INVALID\\tType'")


def test_processes_by_status(runner: Make) -> None:
    result = runner("processes").scrape()
    assert result.values("system.processes.count") == {"sleeping": 1, "blocked": 1, "running": 2, "idle": 1}
    assert result.values("system.processes.created") == {(): 4321}


def test_uptime(runner: Make) -> None:
    assert runner("system").scrape().values("system.uptime") == {(): 86400.25}


def test_pressure_as_shares_and_seconds(runner: Make) -> None:
    result = runner("pressure").scrape()
    assert result.values("system.memory.linux.pressure.10s") == {"some": 0.015, "full": 0.005}
    assert result.values("system.io.linux.pressure.total") == {"some": 2.5, "full": 1.0}


def test_sums_start_at_boot(runner: Make) -> None:
    metric = runner("processes").scrape(boot_ns=EPOCH_NS).metrics()["system.processes.created"]
    assert metric.sum.data_points[0].start_time_unix_nano == EPOCH_NS


def test_boot_time_is_the_hosts(root: Path) -> None:
    assert Host(str(root), "linux").boot_time_ns() == 1_700_000_000 * 10**9


def test_unreadable_file_fails_the_scraper_and_says_where(runner: Make, root: Path) -> None:
    (root / "proc/meminfo").unlink()
    scrape = runner("memory").scrape().scrape
    assert scrape.points == 0
    assert scrape.lost == 1
    assert scrape.failures["scraper"].message == f"memory: {root}/proc/meminfo: No such file or directory"


def test_file_without_the_expected_content_fails_the_scraper(runner: Make, root: Path) -> None:
    (root / "proc/meminfo").write_text("MemTotal: many kB\n")
    assert "scraper" in runner("memory").scrape().scrape.failures


def test_disabled_metric_is_not_reported(runner: Make) -> None:
    config = {"metrics": {"system.disk.io": {"enabled": False}, "system.disk.merged": None}}
    metrics = runner("disk", config).scrape().metrics()
    assert "system.disk.io" not in metrics
    assert "system.disk.merged" in metrics


def test_netlink_counts_as_proc_does_over_both_families() -> None:
    families = [(socket.AF_INET, "127.0.0.1")]
    if socket.has_dualstack_ipv6():
        families.append((socket.AF_INET6, "::1"))
    with contextlib.ExitStack() as sockets:
        for family, host in families * 5:
            sockets.enter_context(socket.create_server((host, 0), family=family))
        assert netlink_connections()["LISTEN"] >= len(families) * 5
        # Other programs open and close sockets between the two readings.
        counts = ((netlink_connections()["LISTEN"], proc_connections(Host("", "linux"))["LISTEN"]) for _ in range(50))
        assert any(netlink == proc for netlink, proc in counts)


def test_refused_netlink_falls_back_to_proc(real_runner: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    def refused() -> Any:
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(tcp_states, "netlink_connections", refused)
    with socket.create_server(("127.0.0.1", 0)):
        connections = real_runner("network").scrape().values("system.network.connections")
    assert connections["tcp", "LISTEN"] >= 1


def test_real_host_agrees_with_psutil(real_runner: Make) -> None:
    memory = real_runner("memory", enable="all").scrape()
    assert memory.values("system.memory.limit") == {(): psutil.virtual_memory().total}
    cpu = real_runner("cpu").scrape()
    assert cpu.values("system.cpu.logical.count") == {(): psutil.cpu_count()}
    before = psutil.cpu_times(percpu=True)[0].user
    assert before <= real_runner("cpu").scrape().values("system.cpu.time")["cpu0", "user"]
    disks = real_runner("disk").scrape().values("system.disk.operations")
    used = {name for name, disk in psutil.disk_io_counters(perdisk=True).items() if any(disk)}
    assert {name for name, _ in disks} == used
    interfaces = real_runner("network").scrape().values("system.network.io")
    assert {name for name, _ in interfaces} == set(psutil.net_io_counters(pernic=True))
    assert Host("", "linux").boot_time_ns() == psutil.boot_time() * 1e9


@pytest.mark.parametrize(
    "scraper", ["cpu", "load", "memory", "disk", "filesystem", "network", "paging", "processes", "system"]
)
def test_without_proc_psutil_is_asked(real_runner: Make, scraper: str) -> None:
    scrape = real_runner(scraper, platform="psutil").scrape(now_ns=time.time_ns()).scrape
    assert scrape.failures == {}
    assert scrape.points > 0


def test_pressure_is_linuxs_alone(real_runner: Make) -> None:
    assert real_runner("pressure", platform="darwin").scrape().scrape.points == 0


def test_kernel_without_pressure_information_is_named(runner: Make, root: Path) -> None:
    shutil.rmtree(root / "proc/pressure")
    scrape = runner("pressure").scrape().scrape
    assert scrape.lost == 12
    assert scrape.failures["io"].message == f"{root}/proc/pressure/io: No such file or directory"
