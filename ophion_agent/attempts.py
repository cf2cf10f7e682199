"""Tells of finished delivery attempts, for the agent's own traces; costs one truth test while nobody listens."""

from collections.abc import Callable
from dataclasses import dataclass

from ophion_agent.batch import Batch


@dataclass(frozen=True, slots=True)
class Attempt:
    """One try of an exporter to deliver a batch; `error` is empty when it succeeded."""

    exporter: str
    batch: Batch
    started_ns: int
    ended_ns: int
    error: str


AttemptListener = Callable[[Attempt], None]
