"""The `docker_observer` receiver: what happens to containers, as log records."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Sequence
from typing import Final

from ophion_agent.plugin import Context, Logs, OphionError, PermanentError, Receiver, RetryableError
from ophion_docker.engine import Engine, Json
from ophion_docker.logs import own_container
from ophion_docker.matching import Selector, chosen_labels, pattern_test
from ophion_docker.metadata import Container
from ophion_docker.observer_config import DockerObserverConfig
from ophion_docker.observer_events import Event, encode_events, event_of
from ophion_docker.stats import agent_version
from ophion_docker.watching import ContainerWatch, Listener

_SCOPE: Final = "ophion_docker.observer"
_AT_ONCE: Final = 500
_FIRST_WAIT: Final = 0.5
_LONGEST_WAIT: Final = 30.0


class DockerObserverReceiver(Receiver[DockerObserverConfig, Logs]):
    """Reports starts, ends, lack of memory and health of containers."""

    type_name = "docker_observer"

    def __init__(self, config: DockerObserverConfig, context: Context) -> None:
        super().__init__(config, context)
        self._include = Selector(config.include)
        self._exclude = Selector(config.exclude)
        self._labels = [pattern_test(item) for item in config.labels]
        self._waiting: deque[Event] = deque()
        self._arrived = asyncio.Event()
        self._companions: Sequence[Listener] = ()
        self._engine: Engine | None = None
        self._watch: ContainerWatch | None = None
        self._dropped = context.counter("ophion_docker_observer_dropped_events")

    @property
    def containers(self) -> dict[str, Container]:
        """The containers that run, by id; empty until the engine was found."""
        return self._watch.running if self._watch is not None else {}

    async def start(self) -> None:
        """Begin to watch. An engine that is not there is waited for; raises OphionError for a wrong DOCKER_HOST."""
        try:
            self._engine = self.config.engine()
        except ValueError as error:
            raise OphionError(f"DOCKER_HOST: {error}; correct it, or set `endpoint`") from error
        self._companions = self.companions(self._engine)
        self._watch = ContainerWatch(self._engine, self.context.clock, self.log, self, self.context.health)
        self.context.spawn("watch", self._watch.run)
        self.context.spawn("report", self._report)

    def companions(self, engine: Engine) -> Sequence[Listener]:
        """Return what else is told what happens to containers: what instruments them, where configured."""
        if self.config.instrument is None:
            return ()
        from ophion_docker.instrument.own_agent import OwnAgent
        from ophion_docker.observer_instrument import AutomaticInstrumentation

        agent, own = OwnAgent(self.context.agent), own_container()
        automatic = AutomaticInstrumentation(self.config.instrument, self.config, agent, self.context, own)
        self.context.spawn("instrument", automatic.run)
        return [automatic]

    async def stop(self) -> None:
        """Close the connections."""
        await self.context.cancel_tasks()
        engine, self._engine = self._engine, None
        if engine is not None:
            await engine.close()

    # What the watch tells

    def container_started(self, container: Container) -> None:
        """Tell the companions; the report follows from the event."""
        for companion in self._companions:
            companion.container_started(container)

    def container_stopped(self, container: Container) -> None:
        """Tell the companions; the report follows from the event."""
        for companion in self._companions:
            companion.container_stopped(container)

    def container_event(self, event: Json, container: Container | None) -> None:
        """Queue a record of the event."""
        found = event_of(event, container, self.context.clock.now_ns())
        if found.action in self.config.events and self._is_selected(found.container):
            if len(self._waiting) >= self.config.max_waiting:
                self._dropped.add()
            else:
                self._waiting.append(found)
                self._arrived.set()
        for companion in self._companions:
            companion.container_event(event, container)

    def _is_selected(self, container: Container) -> bool:
        described = (container.image, container.name, container.labels)
        excluded = not self._exclude.empty and self._exclude.matches(*described)
        return self._include.matches(*described) and not excluded

    # Delivering

    async def _report(self) -> None:
        wait = _FIRST_WAIT
        while True:
            await self._arrived.wait()
            count = min(_AT_ONCE, len(self._waiting))
            events = [self._waiting[position] for position in range(count)]
            described = [(event, chosen_labels(self._labels, event.container.labels)) for event in events]
            payload = encode_events(described, self.context.clock.now_ns(), _SCOPE, agent_version(self.context))
            try:
                await self.emit(Logs.trusted(payload, count))
            except RetryableError as error:
                await self.context.clock.sleep(error.retry_after_seconds or wait)
                wait = min(wait * 2, _LONGEST_WAIT)
                continue
            except PermanentError as error:
                self.log.error("events_not_taken", events=count, error=str(error))
                self._dropped.add(count)
            wait = _FIRST_WAIT
            for _ in range(count):
                self._waiting.popleft()
            if not self._waiting:
                self._arrived.clear()
