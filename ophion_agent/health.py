"""What each component says of itself, and what that makes of the agent's readiness."""

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum

from ophion_agent.clock import Clock


class Status(StrEnum):
    """State of one component; `degraded` can recover by itself, `failed` needs somebody."""

    STARTING = "starting"
    OK = "ok"
    DEGRADED = "degraded"
    FAILED = "failed"
    STOPPED = "stopped"


class Health:
    """The state of one component, with the reason and since when (Unix nanoseconds)."""

    def __init__(self, component: str, clock: Clock) -> None:
        self.component = component
        self.status = Status.STARTING
        self.reason = ""
        self._clock = clock
        self.since_ns = clock.now_ns()

    def ok(self) -> None:
        """The component does its work."""
        self._set(Status.OK, "")

    def degraded(self, reason: str) -> None:
        """The component fails at the moment and keeps trying."""
        self._set(Status.DEGRADED, reason)

    def failed(self, reason: str) -> None:
        """The component does not work and will not by itself."""
        self._set(Status.FAILED, reason)

    def stopped(self) -> None:
        """The component was stopped on purpose."""
        self._set(Status.STOPPED, "")

    def _set(self, status: Status, reason: str) -> None:
        if status != self.status:
            self.since_ns = self._clock.now_ns()
        self.status, self.reason = status, reason


@dataclass(frozen=True, slots=True)
class Readiness:
    """Whether the agent can do its work now, and every reason why not."""

    ready: bool
    reasons: tuple[str, ...]


def readiness(components: Iterable[Health]) -> Readiness:
    """Ready means that every component is ok: a failing exporter or a full queue makes the agent unready."""
    reasons = tuple(
        f"{health.component}: {health.status}{': ' + health.reason if health.reason else ''}"
        for health in components
        if health.status is not Status.OK
    )
    return Readiness(not reasons, reasons)
