"""What all telemetry routes work with: the store inside one tenant, the clock and the limits."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from pydantic import Field

from ophion_agent.plugin import Clock, Config, Counter, Duration, OphionError
from ophion_agent.server import BadRequest, Call, Columns, Problem, PromQL, QueryLimits, Storage
from ophion_api.sql_parts import Binder

# CANNOT_COMPILE_REGEXP of the engine.
_BAD_REGEX = "(code 427)"


class TelemetryConfig(Config):
    """Limits of the telemetry routes."""

    query_timeout: Duration = Field(30.0, gt=0, description="Longest time of one query of the store.")
    export_max_rows: int = Field(
        100_000, ge=1, le=10_000_000, description="Most rows of one export as CSV or NDJSON; the answer then ends."
    )
    trace_max_spans: int = Field(
        10_000, ge=1, le=200_000, description="Most spans of one trace that are shown; the earliest ones are."
    )
    map_max_spans: int = Field(
        500_000, ge=1000, description="Spans that a service map is made of; of more, whole traces are left out."
    )
    tail_max_clients: int = Field(50, ge=1, le=10_000, description="Live tails at the same time.")
    tail_lines_per_second: int = Field(
        2000, ge=1, le=10_000, description="Most log records a second in one live tail; it says how many it left out."
    )


@dataclass(frozen=True, slots=True)
class Telemetry:
    """The services behind the routes; `promql` is None where nothing offers it."""

    storage: Storage
    promql: PromQL | None
    clock: Clock
    config: TelemetryConfig
    counter: Callable[[str], Counter]

    def of(self, call: Call) -> TenantStore:
        """Return the store as the caller may see it."""
        return TenantStore(self, call.tenant)

    def now_ns(self) -> int:
        """Return the time."""
        return self.clock.now_ns()


@dataclass(frozen=True, slots=True)
class TenantStore:
    """The telemetry of one tenant."""

    telemetry: Telemetry
    tenant: str

    def _limits(self) -> QueryLimits:
        return QueryLimits(seconds=self.telemetry.config.query_timeout)

    async def query(self, sql: str, binder: Binder) -> Columns:
        """Return the result of a statement; raises BadRequest for a regular expression that RE2 does not take."""
        await self.check_regexes(binder)
        return await self.telemetry.storage.query(sql, binder.values, tenant=self.tenant, limits=self._limits())

    async def read(self, signal: str, where: str, binder: Binder, *, order: str, limit: int) -> Any:
        """Return stored items as an OTLP request."""
        return await self.telemetry.storage.read(
            signal, where, binder.values, tenant=self.tenant, order=order, limit=limit, limits=self._limits()
        )

    async def check_regexes(self, binder: Binder) -> None:
        """Compile each pattern once; raises BadRequest with RE2's reason."""
        patterns, binder.regexes = binder.regexes, []
        for pattern in patterns:
            try:
                await self.telemetry.storage.query(
                    "SELECT match('', {pattern:String})", {"pattern": pattern}, tenant=self.tenant
                )
            except Problem:
                raise
            except OphionError as error:
                if _BAD_REGEX not in str(error):
                    raise
                raise BadRequest(f'"{pattern[:100]}" is no RE2 expression: {_reason(str(error))}', status=422) from None


def _reason(message: str) -> str:
    """Return the part of the engine's message that RE2 wrote."""
    _, found, rest = message.partition("error: ")
    return rest.split(". Look at", 1)[0].removesuffix(_BAD_REGEX).strip(" ,") if found else "it cannot be compiled"
