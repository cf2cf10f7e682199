import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil
import pytest

from ophion_host.process_linux import LinuxSource, full_name

Make = Callable[..., Any]
BOOT_NS = 1_700_000_000 * 10**9
NOW_NS = BOOT_NS + 1000 * 10**9
TICKS = os.sysconf("SC_CLK_TCK")


def value(metric: Any) -> float:
    point = getattr(metric, metric.WhichOneof("data")).data_points[0]
    found: float = getattr(point, point.WhichOneof("value"))
    return found


def by_attribute(metric: Any) -> dict[str, float]:
    points = getattr(metric, metric.WhichOneof("data")).data_points
    return {point.attributes[0].value.string_value: getattr(point, point.WhichOneof("value")) for point in points}


def test_each_process_is_a_resource(runner: Make) -> None:
    config = {"resource_attributes": {"process.cgroup": {"enabled": True}, "process.owner": None}}
    resource, _ = runner("process", config).scrape(NOW_NS).processes()[42]
    assert resource == {
        "process.pid": 42,
        "process.parent_pid": 1,
        "process.executable.name": "odd) name (x",
        "process.command": "/usr/bin/odd",
        "process.command_line": "/usr/bin/odd -v a b",
        "process.owner": "monitored",
        "process.cgroup": "0::/system.slice/odd.service",
    }


def test_figures_of_a_process(runner: Make) -> None:
    _, metrics = runner("process", enable="all").scrape(NOW_NS).processes()[42]
    assert by_attribute(metrics["process.cpu.time"]) == {
        "user": 1000 / TICKS,
        "system": 500 / TICKS,
        "wait": 30 / TICKS,
    }
    assert value(metrics["process.memory.usage"]) == 250 * os.sysconf("SC_PAGE_SIZE")
    assert value(metrics["process.memory.virtual"]) == 4_096_000
    assert value(metrics["process.memory.utilization"]) == pytest.approx(
        100 * 250 * os.sysconf("SC_PAGE_SIZE") / (16_000_000 * 1024)
    )
    assert by_attribute(metrics["process.disk.io"]) == {"read": 4096, "write": 8192}
    assert by_attribute(metrics["process.disk.operations"]) == {"read": 30, "write": 40}
    assert by_attribute(metrics["process.paging.faults"]) == {"major": 20, "minor": 200}
    assert by_attribute(metrics["process.context_switches"]) == {"voluntary": 20, "involuntary": 6}
    assert value(metrics["process.threads"]) == 2
    assert value(metrics["process.open_file_descriptors"]) == 3
    assert value(metrics["process.signals_pending"]) == 2
    assert value(metrics["process.uptime"]) == pytest.approx(1000 - 1000 / TICKS)


def test_sums_start_when_the_process_did(runner: Make) -> None:
    _, metrics = runner("process").scrape(NOW_NS).processes()[42]
    point = metrics["process.cpu.time"].sum.data_points[0]
    assert point.start_time_unix_nano == BOOT_NS + 1000 * 10**9 // TICKS


def test_name_that_the_kernel_cut_is_completed(runner: Make) -> None:
    resource, _ = runner("process").scrape(NOW_NS).processes()[43]
    assert resource["process.executable.name"] == "averylongprocessname"


def test_name_stays_when_the_command_line_says_another() -> None:
    assert full_name("averylongproces", ["/usr/bin/python3"]) == "averylongproces"


def test_kernel_process_has_no_command(runner: Make) -> None:
    resource, _ = runner("process").scrape(NOW_NS).processes()[44]
    assert resource["process.executable.name"] == "kworker/0:1"
    assert "process.command" not in resource
    assert "process.executable.path" not in resource


@pytest.mark.parametrize(
    ("config", "pids"),
    [
        ({"include": {"names": ["init"], "match_type": "strict"}}, {1}),
        ({"exclude": {"names": ["^kworker", "init"], "match_type": "regexp"}}, {42, 43}),
        ({"include": {"names": ["processname$"], "match_type": "regexp"}}, {43}),
        ({"scrape_process_delay": "998.5s"}, {1}),
    ],
)
def test_processes_are_chosen(runner: Make, config: dict[str, Any], pids: set[int]) -> None:
    created = {1: 5, 42: 1000, 43: 2000, 44: 3000}
    now = BOOT_NS + int((998.5 + (created[1] + created[42]) / 2 / TICKS) * 1e9)
    assert set(runner("process", config).scrape(now).processes()) == pids


def test_cpu_utilization_needs_two_scrapes(runner: Make, root: Path) -> None:
    instance = runner("process", {"metrics": {"process.cpu.utilization": {"enabled": True}}})
    assert "process.cpu.utilization" not in instance.scrape(NOW_NS).processes()[42][1]
    stat = root / "proc/42/stat"
    stat.write_text(stat.read_text().replace(" 1000 500 ", f" {1000 + TICKS} 500 "))
    _, metrics = instance.scrape(NOW_NS + 10 * 10**9).processes()[42]
    utilization = by_attribute(metrics["process.cpu.utilization"])
    assert utilization["user"] == pytest.approx(0.1 / (os.cpu_count() or 1))
    assert utilization["system"] == 0.0


def test_process_that_ends_meanwhile_is_left_out(runner: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    def disk(self: LinuxSource, pid: int) -> Any:
        raise ProcessLookupError(3, "No such process")

    monkeypatch.setattr(LinuxSource, "disk", disk)
    result = runner("process").scrape(NOW_NS)
    assert result.processes() == {}
    assert "io" not in result.scrape.failures
    assert result.scrape.points == 0


def test_process_that_ended_before_it_was_read_is_left_out(runner: Make, root: Path) -> None:
    (root / "proc/99").mkdir()
    result = runner("process").scrape(NOW_NS)
    assert set(result.processes()) == {1, 42, 43, 44}
    assert "name" not in result.scrape.failures


def test_stat_of_another_form_is_an_error_of_that_process_alone(runner: Make, root: Path) -> None:
    (root / "proc/42/stat").write_text("42 (odd) S\n")
    result = runner("process").scrape(NOW_NS)
    assert set(result.processes()) == {1, 43, 44}
    assert result.scrape.failures["name"].message.startswith("error reading process name for pid 42: ")


def test_program_that_replaces_itself_is_described_anew(runner: Make, root: Path) -> None:
    instance = runner("process")
    instance.scrape(NOW_NS)
    (root / "proc/42/cmdline").write_bytes(b"/usr/bin/new\0")
    assert instance.scrape(NOW_NS).processes()[42][0]["process.command"] == "/usr/bin/odd"
    stat = root / "proc/42/stat"
    stat.write_text(stat.read_text().replace(" 94000 ", " 95000 "))
    assert instance.scrape(NOW_NS).processes()[42][0]["process.command"] == "/usr/bin/new"


def test_title_is_read_again_after_some_minutes(runner: Make, root: Path) -> None:
    instance = runner("process")
    instance.scrape(NOW_NS)
    (root / "proc/42/cmdline").write_bytes(b"worker: idle\0\0\0\0")
    resource, _ = instance.scrape(NOW_NS + 301 * 10**9).processes()[42]
    assert resource["process.command_line"] == "worker: idle"


def test_unknown_user_is_an_error_that_lasts_and_can_be_muted(runner: Make) -> None:
    instance = runner("process")
    for _ in range(2):
        failure = instance.scrape(NOW_NS).scrape.failures["user"]
        assert failure.times == 1
        assert failure.lost == 0
        assert failure.message.startswith('error reading username for process "averylongproces" (pid 43): ')
    assert "user" not in runner("process", {"mute_process_user_error": True}).scrape(NOW_NS).scrape.failures


@pytest.mark.parametrize("mute", ["mute_process_io_error", "mute_process_all_errors"])
def test_refused_disk_figures_are_counted_once_a_process_unless_muted(
    runner: Make, monkeypatch: pytest.MonkeyPatch, mute: str
) -> None:
    def disk(self: LinuxSource, pid: int) -> Any:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(LinuxSource, "disk", disk)
    result = runner("process").scrape(NOW_NS)
    assert result.scrape.failures["io"].lost == 4
    assert set(result.processes()) == {1, 42, 43, 44}
    assert "io" not in runner("process", {mute: True}).scrape(NOW_NS).scrape.failures


def test_nothing_more_is_read_than_the_metrics_need(runner: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    def unexpected(self: LinuxSource, pid: int) -> Any:
        raise AssertionError("read without need")

    for method in ("disk", "open_files", "context_switches", "pending_signals", "cgroup", "executable", "owner"):
        monkeypatch.setattr(LinuxSource, method, unexpected)
    off = {"enabled": False}
    config = {
        "metrics": {"process.disk.io": off},
        "resource_attributes": {"process.executable.path": off, "process.owner": off},
    }
    assert set(runner("process", config).scrape(NOW_NS).processes()) == {1, 42, 43, 44}


@pytest.mark.parametrize("platform", ["linux", "psutil"])
def test_real_process_agrees_with_psutil(real_runner: Make, platform: str) -> None:
    me = psutil.Process()
    off = {"enabled": False}
    config = {
        "mute_process_all_errors": True,
        "metrics": {"process.threads": {"enabled": True}, "process.disk.io": off},
    }
    resource, metrics = (
        real_runner("process", config, platform=platform).scrape(time.time_ns()).processes()[os.getpid()]
    )
    assert resource["process.parent_pid"] == me.ppid()
    assert resource["process.executable.path"] == me.exe()
    assert resource["process.owner"] == me.username()
    assert resource["process.command_line"] == " ".join(me.cmdline())
    assert value(metrics["process.threads"]) == me.num_threads()
    assert by_attribute(metrics["process.cpu.time"])["user"] <= me.cpu_times().user
    assert value(metrics["process.memory.usage"]) == pytest.approx(me.memory_info().rss, rel=0.2)
