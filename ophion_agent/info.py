"""What status pages, `tap` and the control socket may see of a running agent."""

from collections.abc import AsyncGenerator, Sequence
from dataclasses import dataclass
from typing import Protocol

from ophion_agent.batch import Batch
from ophion_agent.health import Readiness


@dataclass(frozen=True, slots=True)
class ComponentInfo:
    """One configured component. `kind` is receiver, processor, exporter, connector or extension."""

    kind: str
    id: str
    status: str
    reason: str
    since_ns: int


@dataclass(frozen=True, slots=True)
class EdgeInfo:
    """What has passed one place between two components since the start; `failed` counts refused items."""

    name: str
    batches: int
    items: int
    failed: int


@dataclass(frozen=True, slots=True)
class PipelineInfo:
    """One pipeline and its edges, in the order data takes: after the receivers, after each processor."""

    id: str
    signal: str
    receivers: tuple[str, ...]
    processors: tuple[str, ...]
    exporters: tuple[str, ...]
    edges: tuple[EdgeInfo, ...]


@dataclass(frozen=True, slots=True)
class QueueInfo:
    """The sending queue of one exporter; sizes in the queue's own unit (`sizer`)."""

    exporter: str
    sizer: str
    size: int
    capacity: int
    bytes: int
    in_flight: int
    durable: bool
    dead_letters: int
    last_error: str


class AgentInfo(Protocol):
    """A read-only view of the running agent."""

    version: str
    started_ns: int

    def readiness(self) -> Readiness:
        """Return whether the agent does its work now, and every reason why not."""

    def components(self) -> Sequence[ComponentInfo]:
        """Return the state of every component that runs."""

    def pipelines(self) -> Sequence[PipelineInfo]:
        """Return every pipeline with what passed it."""

    def queues(self) -> Sequence[QueueInfo]:
        """Return the sending queue of every exporter that has one."""

    def effective_config(self) -> str:
        """Return the configuration that runs, as YAML, secrets redacted."""

    def edges(self) -> Sequence[str]:
        """Return the names that `tap` takes, such as `traces/in`."""

    def tap(self, edge: str) -> AsyncGenerator[Batch, None]:
        """Iterate over the batches that pass an edge from now on; slow readers miss batches. KeyError: no such edge."""
