"""The `memory_limiter` processor: refuses data, before it is decoded, while the process uses too much memory."""

from collections.abc import Callable
from dataclasses import dataclass

from pydantic import Field, model_validator

from ophion_agent.plugin import (
    Batch,
    Config,
    Context,
    Counter,
    Duration,
    Logs,
    Metrics,
    Processor,
    RetryableError,
    Traces,
)
from ophion_processors.memory_usage import collect_garbage, heap_trimmer, resident_bytes, total_bytes

MIB = 1024 * 1024
# Resident bytes per encoded byte of a request being decoded: measured 4 for spans, and the encoded form beside it.
_DECODED_SIZE = 5
# A reclaim that frees less than this share of the limit did not help, and the next one waits twice as long.
_EFFECTIVE_SHARE = 0.05
# Pages are handed back at most this often, between the collections that otelcol's intervals space out.
_TRIM_SECONDS = 1.0

Records = Traces | Metrics | Logs


class MemoryLimiterConfig(Config):
    """Options of the memory limiter. Soft limit = limit - spike limit."""

    check_interval: Duration = Field(0.0, description="Time between two measurements; must be set, 1s is usual.")
    limit_mib: int = Field(0, ge=0, description="Hard limit of resident memory in MiB; wins over limit_percentage.")
    spike_limit_mib: int = Field(0, ge=0, description="Growth allowed between two measurements; 0 is a fifth of limit.")
    limit_percentage: int = Field(
        0, ge=0, le=100, description="Hard limit in percent of the memory of cgroup or machine."
    )
    spike_limit_percentage: int = Field(0, ge=0, le=100, description="Spike limit in percent of the same memory.")
    min_gc_interval_when_soft_limited: Duration = Field(
        10.0, ge=0, description="Least time between reclaims of memory above the soft limit."
    )
    min_gc_interval_when_hard_limited: Duration = Field(
        0.0, ge=0, description="Least time between reclaims of memory above the hard limit."
    )
    max_gc_interval_when_soft_limited: Duration = Field(
        30.0, ge=0, description="Most that interval grows to while reclaims free little; 0: it does not grow."
    )
    max_gc_interval_when_hard_limited: Duration = Field(
        30.0, ge=0, description="Most that interval grows to while reclaims free little; 0: it does not grow."
    )

    @model_validator(mode="after")
    def _is_consistent(self) -> "MemoryLimiterConfig":
        if self.check_interval <= 0:
            raise ValueError(f"check_interval: must be greater than zero, got {self.check_interval:g}; set it to 1s")
        if not self.limit_mib and not self.limit_percentage:
            raise ValueError("limit_mib or limit_percentage: one must be greater than zero")
        if 0 < self.limit_mib <= self.spike_limit_mib:
            raise ValueError(f"spike_limit_mib: must be smaller than limit_mib ({self.limit_mib})")
        if 0 < self.limit_percentage <= self.spike_limit_percentage:
            raise ValueError(f"spike_limit_percentage: must be smaller than limit_percentage ({self.limit_percentage})")
        if self.min_gc_interval_when_soft_limited < self.min_gc_interval_when_hard_limited:
            raise ValueError(
                "min_gc_interval_when_soft_limited: must not be smaller than min_gc_interval_when_hard_limited"
            )
        return self


@dataclass(slots=True)
class _Pace:
    """When the next reclaim is due: after `least` seconds, then twice as long each time one frees little."""

    least: float
    most: float
    last: float = float("-inf")
    wait: float = 0.0

    def due(self, now: float) -> bool:
        return now - self.last >= max(self.least, self.wait)

    def done(self, now: float, effective: bool, check_interval: float) -> None:
        self.last = now
        self.wait = 0.0 if effective else min(self.most, max(2 * self.wait, self.least, check_interval))


class MemoryLimiter(Processor[MemoryLimiterConfig, Traces | Metrics | Logs]):
    """Refuses data with a retryable error while resident memory is above the soft limit.

    Receivers ask `admit` before they decode a request. What the requests admitted since the last measurement may take
    counts on top of it; reaching the soft limit that way causes a new measurement, so a burst between two checks
    passes the limit by one request at most, and memory that was freed meanwhile refuses nobody.
    """

    type_name = "memory_limiter"

    def __init__(self, config: MemoryLimiterConfig, context: Context) -> None:
        super().__init__(config, context)
        self.read_usage: Callable[[], int] = resident_bytes
        self.reclaim: Callable[[], None] = collect_garbage
        self.trim: Callable[[], None] = heap_trimmer()
        self._trimmed = float("-inf")
        self._hard = self._soft = self._usage = self._admitted = 0
        self._refusing = False
        self._soft_pace = _Pace(config.min_gc_interval_when_soft_limited, config.max_gc_interval_when_soft_limited)
        self._hard_pace = _Pace(config.min_gc_interval_when_hard_limited, config.max_gc_interval_when_hard_limited)
        self._counters: dict[tuple[str, type[Batch]], Counter] = {
            (outcome, signal): context.counter(f"otelcol_processor_{outcome}_{signal.item_name}")
            for outcome in ("accepted", "refused")
            for signal in (Traces, Metrics, Logs)
        }
        self._refused_bytes = context.counter("ophion_processor_refused_bytes")

    async def start(self) -> None:
        """Measure once, and then at every check interval."""
        self._hard, self._soft = limits_of(self.config)
        self.log.info("memory_limits", hard_mib=self._hard // MIB, soft_mib=self._soft // MIB)
        self.context.gauge("ophion_memory_limiter_usage_bytes", lambda: float(self._usage))
        self.context.gauge("ophion_memory_limiter_soft_limit_bytes", lambda: float(self._soft))
        self.check()
        if self._refusing:
            self.log.warning("memory_limit_below_what_the_agent_needs_at_rest", usage_mib=self._usage // MIB)
        self.context.spawn("check", self._watch)

    async def _watch(self) -> None:
        while True:
            await self.context.clock.sleep(self.config.check_interval)
            self.check()

    def admit(self, nbytes: int) -> None:
        """Raise RetryableError when a request of `nbytes` may not come in now; otherwise count it as admitted."""
        if not self._refusing:
            expected = nbytes * _DECODED_SIZE
            self._admitted += expected
            if self._usage + self._admitted < self._soft:
                return
            self._measure()
            self._admitted = expected
            if self._usage < self._soft:
                return
        self._refused_bytes.add(nbytes)
        raise self._refusal()

    async def process(self, batch: Records) -> Records:
        """Return the batch, or raise RetryableError while memory is above the soft limit."""
        outcome = "refused" if self._refusing else "accepted"
        self._counters[outcome, type(batch)].add(len(batch))
        if self._refusing:
            raise self._refusal()
        return batch

    def _refusal(self) -> RetryableError:
        return RetryableError(
            f"memory_limiter: {self._usage // MIB} MiB in use, data is refused above {self._soft // MIB} MiB",
            self.config.check_interval,
            admission=True,
        )

    def check(self) -> None:
        """Measure, reclaim memory where that is due, and begin or end to refuse data."""
        self._measure()
        if self._usage >= self._hard:
            self._reclaim(self._hard_pace)
        elif self._usage >= self._soft:
            self._reclaim(self._soft_pace)
        if (self._usage >= self._soft) != self._refusing:
            self._switch()

    def _measure(self) -> None:
        self._usage, self._admitted = self.read_usage(), 0

    def _reclaim(self, pace: _Pace) -> None:
        now, before = self.context.clock.monotonic(), self._usage
        collects = pace.due(now)
        if collects:
            self.reclaim()
        if collects or now - self._trimmed >= _TRIM_SECONDS:
            self._trimmed = now
            self.trim()
            self._measure()
        if collects:
            pace.done(now, before - self._usage >= self._hard * _EFFECTIVE_SHARE, self.config.check_interval)

    def _switch(self) -> None:
        self._refusing = not self._refusing
        facts = {"usage_mib": self._usage // MIB, "soft_mib": self._soft // MIB, "hard_mib": self._hard // MIB}
        if self._refusing:
            self.log.warning("memory_above_soft_limit_refusing_data", **facts)
            self.context.health.degraded(f"{facts['usage_mib']} MiB in use, above {facts['soft_mib']}: data is refused")
        else:
            self.log.info("memory_back_below_soft_limit", **facts)
            self.context.health.ok()


def limits_of(config: MemoryLimiterConfig, total: Callable[[], int] = total_bytes) -> tuple[int, int]:
    """Return the hard and the soft limit in bytes; `total` returns what percentages refer to."""
    if config.limit_mib:
        hard, spike = config.limit_mib * MIB, config.spike_limit_mib * MIB
    else:
        memory = total()
        hard, spike = memory * config.limit_percentage // 100, memory * config.spike_limit_percentage // 100
    return hard, hard - (spike or hard // 5)
