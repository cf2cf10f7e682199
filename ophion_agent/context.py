"""What the framework hands to each component: identity, log, clock, tasks, health, counters and services."""

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, TypeVar, cast

from ophion_agent.clock import Clock
from ophion_agent.health import Health
from ophion_agent.log import Log, agent_logger
from ophion_agent.self_metrics import Counter, SelfMetrics
from ophion_agent.services import ServiceKey
from ophion_agent.tasks import TaskFunction, TaskGroup

if TYPE_CHECKING:
    from ophion_agent.info import AgentInfo

T = TypeVar("T")


class Context:
    """One component's way to everything outside itself. Made by the framework, and by `ophion_agent.testing`."""

    def __init__(
        self,
        kind: str,
        component_id: str,
        *,
        clock: Clock,
        metrics: SelfMetrics,
        services: Mapping[str, Any] | None = None,
        provided: Mapping[str, str] | None = None,
        gathered: Mapping[str, Sequence[str]] | None = None,
        agent: "AgentInfo | None" = None,
    ) -> None:
        self.kind = kind
        self.id = component_id
        self.clock = clock
        self.metrics = metrics
        self.log = Log(agent_logger(), {"component": component_id, "kind": kind})
        self.health = Health(f"{kind} {component_id}", clock)
        # The graph fills its mapping while it builds, so an empty one is kept as it is.
        self._services: Mapping[str, Any] = {} if services is None else services
        self._provided = provided or {}
        self._gathered = gathered or {}
        self._agent = agent
        self._gauge_removers: list[Callable[[], None]] = []
        crashes = metrics.counter("ophion_component_task_crashes", kind=kind, component=component_id)
        self._tasks = TaskGroup(clock, self.log, self.health, crashes)

    @property
    def agent(self) -> "AgentInfo":
        """The read-only view of the running agent."""
        if self._agent is None:
            raise RuntimeError(f"{self.kind} {self.id}: runs outside an agent, so context.agent is not available")
        return self._agent

    def spawn(self, name: str, function: TaskFunction) -> None:
        """Run `function` as a supervised background task until the component is stopped."""
        self._tasks.spawn(f"{self.kind}/{self.id}/{name}", function)

    def counter(self, name: str, **attributes: str) -> Counter:
        """Return a counter of the agent's own metrics, marked with this component's kind and id."""
        return self.metrics.counter(name, **{self.kind: self.id, **attributes})

    def gauge(self, name: str, read: Callable[[], float], **attributes: str) -> None:
        """Register a gauge of the agent's own metrics until the component is stopped."""
        self._gauge_removers.append(self.metrics.gauge(name, read, **{self.kind: self.id, **attributes}))

    def service(self, key: ServiceKey[T], extension_id: str | None = None) -> T:
        """Return the extension behind a config field marked `Provides(key)`, or the only provider of a required key."""
        wanted = extension_id if extension_id is not None else self._provided.get(key.name)
        if wanted is None or wanted not in self._services:
            raise LookupError(f"{self.kind} {self.id}: no {key.name} {extension_id or ''}; declare it in `requires`")
        return cast(T, self._services[wanted])

    def services(self, key: ServiceKey[T]) -> list[T]:
        """Return every configured provider of a key that the component declares in `gathers`."""
        if key.name not in self._gathered:
            raise LookupError(f"{self.kind} {self.id}: declare {key.name} in `gathers`")
        return [cast(T, self._services[name]) for name in self._gathered[key.name]]

    async def cancel_tasks(self) -> None:
        """End the background tasks; `close()` does it too, for components that need them until then."""
        await self._tasks.cancel()

    async def close(self) -> None:
        """End the background tasks and remove the gauges; called by the framework after `stop()`."""
        await self.cancel_tasks()
        for remove in self._gauge_removers:
            remove()
        self._gauge_removers.clear()
        self.health.stopped()
