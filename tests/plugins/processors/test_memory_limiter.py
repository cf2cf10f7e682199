"""The memory limiter refuses data above its soft limit and frees memory before it gives up on a sender."""

from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from ophion_agent.health import Status
from ophion_agent.plugin import RetryableError
from ophion_agent.self_metrics import SelfMetrics
from ophion_agent.testing import ManualClock, Sink, make_component, make_logs, make_metrics, make_traces
from ophion_processors.memory_limiter import MIB, MemoryLimiter, MemoryLimiterConfig, limits_of
from ophion_processors.memory_usage import heap_trimmer, resident_bytes, total_bytes


class Machine:
    """A memory limiter with limits of 100 and 80 MiB on a process whose memory the test sets."""

    def __init__(self, **config: Any) -> None:
        self.clock, self.sink, self.metrics = ManualClock(), Sink(), SelfMetrics()
        options = {"check_interval": "1s", "limit_mib": 100, "spike_limit_mib": 20, **config}
        self.limiter = make_component(MemoryLimiter, options, sink=self.sink, clock=self.clock, metrics=self.metrics)
        self.mib, self.freed_mib, self.reclaims, self.measurements = 50.0, 0.0, 0, 0
        self.limiter.read_usage = self._read
        self.limiter.reclaim = self._reclaim
        self.trims = 0
        self.limiter.trim = self._trim

    def _trim(self) -> None:
        self.trims += 1

    def _read(self) -> int:
        self.measurements += 1
        return int(self.mib * MIB)

    def _reclaim(self) -> None:
        self.reclaims += 1
        self.mib -= self.freed_mib

    async def __aenter__(self) -> "Machine":
        await self.limiter.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.limiter.stop()
        await self.limiter.context.close()

    async def becomes(self, mib: float) -> None:
        self.mib = mib
        await self.clock.advance(1)

    def admits(self, nbytes: float) -> bool:
        try:
            self.limiter.admit(int(nbytes))
        except RetryableError as error:
            return not error.admission
        return True


async def test_data_passes_below_the_soft_limit() -> None:
    async with Machine() as machine:
        assert machine.admits(10)
        await machine.limiter.consume(make_traces(3))
        assert machine.sink.items == 3
        assert machine.metrics.total("otelcol_processor_accepted_spans") == 3


async def test_data_is_refused_above_the_soft_limit_until_memory_falls() -> None:
    async with Machine() as machine:
        await machine.becomes(81)
        assert not machine.admits(1)
        for batch in (make_traces(3), make_metrics(2), make_logs(1)):
            with pytest.raises(RetryableError, match="81 MiB in use, data is refused above 80 MiB") as refused:
                await machine.limiter.consume(batch)
            assert refused.value.admission
            assert refused.value.retry_after_seconds == 1
        counts = [machine.metrics.total(f"otelcol_processor_refused_{name}") for name in ("spans", "metric_points")]
        assert [*counts, machine.metrics.total("otelcol_processor_refused_log_records")] == [3, 2, 1]
        assert machine.metrics.total("ophion_processor_refused_bytes") == 1
        await machine.becomes(79)
        assert machine.admits(1)
        await machine.limiter.consume(make_traces(1))


async def test_health_is_degraded_while_data_is_refused() -> None:
    async with Machine() as machine:
        health = machine.limiter.context.health
        await machine.becomes(90)
        assert (health.status, health.reason) == (Status.DEGRADED, "90 MiB in use, above 80: data is refused")
        await machine.becomes(10)
        assert health.status is Status.OK


async def test_burst_between_two_checks_does_not_pass_the_soft_limit() -> None:
    async with Machine() as machine:
        admitted = 0
        while machine.admits(MIB):
            admitted += 1
            machine.mib += 5
        assert 4 <= admitted <= 6
        assert machine.mib <= 80


async def test_memory_that_was_freed_in_between_does_not_count() -> None:
    async with Machine() as machine:
        assert all(machine.admits(MIB) for _ in range(100))
        assert machine.measurements <= 30


async def test_memory_is_reclaimed_before_data_is_refused() -> None:
    async with Machine() as machine:
        machine.freed_mib = 30
        await machine.becomes(90)
        assert machine.reclaims == 1
        assert machine.admits(1)


async def test_reclaims_above_the_soft_limit_keep_their_distance() -> None:
    async with Machine(max_gc_interval_when_soft_limited=0, max_gc_interval_when_hard_limited=0) as machine:
        for _ in range(21):
            await machine.becomes(90)
        assert machine.reclaims == 3


async def test_pages_are_handed_back_at_every_check_between_two_reclaims() -> None:
    async with Machine(max_gc_interval_when_soft_limited=0) as machine:
        await machine.becomes(90)
        machine.limiter.trim = lambda: setattr(machine, "mib", 60.0)
        assert not machine.admits(1)
        await machine.clock.advance(1)
        assert machine.reclaims == 1
        assert machine.admits(1)


async def test_every_check_above_the_hard_limit_reclaims_while_that_helps() -> None:
    async with Machine() as machine:
        machine.freed_mib = 10
        for _ in range(5):
            await machine.becomes(105)
        assert machine.reclaims == 5


async def test_reclaims_that_free_nothing_become_rarer() -> None:
    async with Machine() as machine:
        for _ in range(60):
            await machine.becomes(105)
        assert 4 <= machine.reclaims <= 8


async def test_refusal_ends_when_memory_that_is_free_is_handed_back() -> None:
    async with Machine() as machine:
        await machine.becomes(95)
        assert not machine.admits(1)
        machine.freed_mib = 60
        await machine.clock.advance(40)
        assert machine.admits(1)


@pytest.mark.parametrize(
    ("options", "hard", "soft"),
    [
        ({"limit_mib": 100}, 100 * MIB, 80 * MIB),
        ({"limit_mib": 100, "spike_limit_mib": 30}, 100 * MIB, 70 * MIB),
        ({"limit_percentage": 50}, 500, 400),
        ({"limit_percentage": 50, "spike_limit_percentage": 20}, 500, 300),
        ({"limit_mib": 1, "limit_percentage": 50}, MIB, MIB - MIB // 5),
    ],
)
def test_limits_follow_from_the_options(options: dict[str, int], hard: int, soft: int) -> None:
    config = MemoryLimiterConfig.model_validate({"check_interval": "1s", **options})
    assert limits_of(config, lambda: 1000) == (hard, soft)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"limit_mib": 100}, "check_interval: must be greater than zero, got 0; set it to 1s"),
        ({"check_interval": "1s"}, "limit_mib or limit_percentage: one must be greater than zero"),
        ({"check_interval": "1s", "limit_mib": 10, "spike_limit_mib": 10}, "must be smaller than limit_mib (10)"),
        (
            {"check_interval": "1s", "limit_percentage": 10, "spike_limit_percentage": 20},
            "must be smaller than limit_percentage (10)",
        ),
        ({"check_interval": "1s", "limit_percentage": 101}, "less than or equal to 100"),
        (
            {"check_interval": "1s", "limit_mib": 10, "min_gc_interval_when_hard_limited": "20s"},
            "must not be smaller than min_gc_interval_when_hard_limited",
        ),
    ],
)
def test_refuses_options_that_cannot_work(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValidationError) as refused:
        MemoryLimiterConfig.model_validate(options)
    assert message in str(refused.value)


def put(root: Path, **files: str) -> None:
    for name, content in files.items():
        path = root / name.replace("__", "/")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content)


def test_total_memory_is_that_of_the_machine_without_a_cgroup_limit(tmp_path: Path) -> None:
    put(tmp_path, proc__meminfo="MemTotal:  2048 kB\nMemFree: 1 kB\n", proc__self__cgroup="0::/a\n")
    put(tmp_path, **{"sys__fs__cgroup__a__memory.max": "max\n"})
    assert total_bytes(tmp_path) == 2 * MIB


def test_total_memory_is_the_smallest_limit_of_the_cgroups_above(tmp_path: Path) -> None:
    put(tmp_path, proc__meminfo="MemTotal: 2048 kB\n", proc__self__cgroup="0::/a.slice/b.service\n")
    put(tmp_path, **{"sys__fs__cgroup__a.slice__memory.max": "1000\n"})
    put(tmp_path, **{"sys__fs__cgroup__a.slice__b.service__memory.max": "5000\n"})
    assert total_bytes(tmp_path) == 1000


def test_total_memory_is_read_at_the_mount_where_a_container_sees_only_that(tmp_path: Path) -> None:
    put(tmp_path, proc__meminfo="MemTotal: 2048 kB\n", proc__self__cgroup="0::/../../host/path\n")
    put(tmp_path, **{"sys__fs__cgroup__memory.max": "3000\n"})
    assert total_bytes(tmp_path) == 3000


def test_total_memory_follows_cgroups_of_version_one(tmp_path: Path) -> None:
    put(tmp_path, proc__meminfo="MemTotal: 2048 kB\n", proc__self__cgroup="5:cpu:/x\n4:memory,misc:/docker/1\n")
    put(tmp_path, **{"sys__fs__cgroup__memory__docker__1__memory.limit_in_bytes": "4000\n"})
    assert total_bytes(tmp_path) == 4000


def test_resident_memory_of_this_process_is_measured_and_can_be_trimmed() -> None:
    before = resident_bytes()
    heap_trimmer()()
    assert before > MIB
    assert resident_bytes() > MIB
