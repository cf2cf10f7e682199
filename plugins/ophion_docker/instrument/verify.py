"""Whether a container that was just started does its work: it runs, is healthy, and what it sends has arrived."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from ophion_docker.engine import Engine
from ophion_docker.instrument.agent import Watch
from ophion_docker.instrument.errors import InstrumentError

POLL_SECONDS: Final = 0.2
SETTLE_SECONDS: Final = 2.0
"""How long a container must go on running once it has reported: an application may crash right after that."""

_NANOSECONDS: Final = 1_000_000_000


class NotVerified(InstrumentError):  # noqa: N818 - states the outcome
    """The container does not do its work; the message says why."""


@dataclass(frozen=True, slots=True)
class Patience:
    """Seconds: `telemetry` may take so long to arrive; after it, the container must go on running for `settle`."""

    telemetry: float = 60.0
    settle: float = SETTLE_SECONDS


PATIENCE: Final = Patience()


async def verify(engine: Engine, container: str, watch: Watch | None, *, any_signal: bool, patience: Patience) -> None:
    """Return once the container runs, is healthy where it has a check, and has reported to the agent.

    `watch` is None where nothing is to arrive. `any_signal` takes any telemetry for a report: upstream agents have no
    ready span. Raises NotVerified as soon as it is certain, or when patience ends, later where its health check may
    take longer; InstrumentError when the agent cannot be watched any more.
    """
    started = met = time.monotonic()
    while True:
        inspect = await engine.inspect(container)
        check_state(inspect)
        now = time.monotonic()
        missing = _missing(inspect, watch, any_signal)
        if missing:
            met = now
        elif now - met >= patience.settle:
            return
        if missing and now - started > max(patience.telemetry, health_seconds(inspect)):
            raise NotVerified(f"{missing} within {now - started:.0f} s")
        await asyncio.sleep(POLL_SECONDS)


def _missing(inspect: Mapping[str, Any], watch: Watch | None, any_signal: bool) -> str:
    health = (inspect["State"].get("Health") or {}).get("Status", "")
    if health not in ("", "none", "healthy"):
        return "the health check did not succeed"
    if watch is None:
        return ""
    if watch.arrivals.error:
        raise NotVerified(f"the loader could not instrument the application: {watch.arrivals.error}")
    if watch.failure:
        raise InstrumentError(f"the agent could not be watched: {watch.failure}")
    arrived = watch.arrivals.ready or (any_signal and watch.arrivals.anything)
    return "" if arrived else "no telemetry arrived"


def check_state(inspect: Mapping[str, Any]) -> None:
    """Raise NotVerified for a container that crashed, restarted or is unhealthy."""
    state = inspect["State"]
    if inspect.get("RestartCount") or state.get("Restarting"):
        raise NotVerified("it crashed and was restarted by the engine")
    if not state.get("Running"):
        killed = ", killed for its memory" if state.get("OOMKilled") else ""
        detail = state.get("Error") or f"exit code {state.get('ExitCode')}{killed}"
        raise NotVerified(f"it ended: {detail}")
    if (state.get("Health") or {}).get("Status") == "unhealthy":
        raise NotVerified("its health check fails")


def health_seconds(inspect: Mapping[str, Any]) -> float:
    """Return how long a container's health check may take to tell."""
    check = inspect["Config"].get("Healthcheck") or {}
    if not check.get("Test") or check["Test"][0] == "NONE":
        return 0.0
    interval = (check.get("Interval") or 30 * _NANOSECONDS) + (check.get("Timeout") or 30 * _NANOSECONDS)
    total = (check.get("StartPeriod") or 0) + interval * ((check.get("Retries") or 3) + 1)
    return float(total / _NANOSECONDS)
