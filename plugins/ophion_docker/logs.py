"""The `docker_logs` receiver: what containers write to stdout and stderr, as log records."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Final

from ophion_agent.plugin import QUEUE_STORAGE, Context, Logs, OphionError, Receiver
from ophion_docker.engine import Engine, Json
from ophion_docker.engine_errors import EngineError
from ophion_docker.logs_config import DockerLogsConfig
from ophion_docker.logs_encoding import LogEncoder
from ophion_docker.logs_follow import Follower
from ophion_docker.logs_position import Position
from ophion_docker.logs_store import PositionStore
from ophion_docker.matching import Selector, chosen_labels, pattern_test
from ophion_docker.metadata import Container, container_of, resource_attributes
from ophion_docker.stats import agent_version
from ophion_docker.watching import ContainerWatch, action_of

_SCOPE: Final = "ophion_docker.logs"
_STOP_SECONDS: Final = 5.0
# The engine notes the start of a container a moment after its first output.
_START_SLACK_NS: Final = 1_000_000_000


class DockerLogsReceiver(Receiver[DockerLogsConfig, Logs]):
    """Reads the output of containers through the engine, across restarts of containers, engine and agent."""

    type_name = "docker_logs"

    def __init__(self, config: DockerLogsConfig, context: Context) -> None:
        super().__init__(config, context)
        self._include = Selector(config.include)
        self._exclude = Selector(config.exclude)
        self._labels = [pattern_test(item) for item in config.labels]
        self._followers: dict[str, Follower] = {}
        self._store = PositionStore(context.clock, self.log)
        self._engine: Engine | None = None
        self._watch: ContainerWatch | None = None
        self._own = ""
        self._limited = context.counter("ophion_docker_logs_dropped_lines", reason="rate_limit")
        self._refused = context.counter("ophion_docker_logs_dropped_lines", reason="refused")

    async def start(self) -> None:
        """Begin to follow. An engine that is not there is waited for; raises OphionError for unusable storage."""
        try:
            self._engine = self.config.engine()
        except ValueError as error:
            raise OphionError(f"DOCKER_HOST: {error}; correct it, or set `endpoint`") from error
        if self.config.storage is not None:
            try:
                await self._store.open(
                    self.context.service(QUEUE_STORAGE, self.config.storage), f"receiver/{self.context.id}/positions"
                )
            except OSError as error:
                raise OphionError(f"storage {self.config.storage}: {error}; check its folder") from error
        self._own = await asyncio.to_thread(own_container)
        self._watch = ContainerWatch(self._engine, self.context.clock, self.log, self, self.context.health)
        self.context.gauge("ophion_docker_logs_followed_containers", lambda: len(self._followers))
        self.context.spawn("watch", self._watch.run)
        self.context.spawn("catch_up", self._catch_up)
        self.context.spawn("save", self._save)
        self.context.spawn("reconnect", self._reconnect)

    async def stop(self) -> None:
        """Deliver what was read, note how far that is, and close the connections."""
        followers = list(self._followers.values())
        for follower in followers:
            follower.end()
        ended = asyncio.gather(*(follower.done.wait() for follower in followers))
        try:
            await self.context.clock.wait_for(ended, _STOP_SECONDS)
        except TimeoutError:
            self.log.warning("logs_left_behind", containers=sum(not follower.done.is_set() for follower in followers))
        await self.context.cancel_tasks()
        await self._store.save()
        engine, self._engine = self._engine, None
        if engine is not None:
            await engine.close()

    # What the watch tells

    def container_started(self, container: Container) -> None:
        """Follow a container that runs."""
        follower = self._followers.get(container.id)
        if follower is not None:
            follower.update(container)
        elif self._is_selected(container):
            self._follow(container)

    def container_stopped(self, container: Container) -> None:
        """Read the rest of what a container wrote."""
        follower = self._followers.get(container.id)
        if follower is not None:
            follower.container_stopped()

    def container_event(self, event: Json, container: Container | None) -> None:
        """Follow a container that ended before it could be seen running; forget one that was removed."""
        action = action_of(event)
        if action == "start" and container is not None and not container.running:
            self._read_rest(container)
        elif action == "destroy":
            self._store.forget(str((event.get("Actor") or {}).get("ID", "")))

    # Followers

    def _is_selected(self, container: Container) -> bool:
        described = (container.image, container.name, container.labels)
        excluded = not self._exclude.empty and self._exclude.matches(*described)
        return container.id != self._own and self._include.matches(*described) and not excluded

    def _read_rest(self, container: Container) -> None:
        if container.id not in self._followers and self._is_selected(container):
            self._follow(container).container_stopped()

    def _follow(self, container: Container) -> Follower:
        assert self._engine is not None
        position = self._store.positions.get(container.id)
        if position is None:
            position = self._store.positions[container.id] = Position(self._first_ns(container))
            self._store.changed()
        follower = Follower(container, position, self.config, self._engine, self.context.clock, self.log, self)
        self._followers[container.id] = follower
        self.context.spawn(f"follow/{container.id[:12]}", lambda: self._run(follower))
        return follower

    async def _run(self, follower: Follower) -> None:
        await follower.run()
        if self._followers.get(follower.container.id) is follower:
            del self._followers[follower.container.id]

    def _first_ns(self, container: Container) -> int:
        """Return from when on the output of a container is read that was never read before; 0 for all of it."""
        assert self._watch is not None
        seen_ns = self._store.saved_ns or self._watch.began_ns
        if container.created_ns >= seen_ns or self.config.start_at == "beginning":
            return 0
        if container.started_ns >= seen_ns:
            return container.started_ns - _START_SLACK_NS
        return self._watch.began_ns

    async def _catch_up(self) -> None:
        """Read what containers wrote that ended while the agent did not run; forget those that are gone."""
        assert self._watch is not None
        assert self._engine is not None
        await self._watch.ready.wait()
        try:
            listed = await self._engine.containers(every=True)
            for entry in listed:
                # The list has whole seconds.
                born_ns = (int(entry.get("Created") or 0) + 1) * 1_000_000_000
                known = entry["Id"] in self._store.positions or born_ns > self._store.saved_ns > 0
                if known and entry.get("State") not in ("running", "paused", "created"):
                    inspected = await self._engine.inspect(entry["Id"])
                    self._read_rest(container_of(inspected, self._engine.runtime))
        except EngineError as error:
            self.log.warning("ended_containers_not_read", error=str(error))
            return
        for gone in self._store.positions.keys() - {entry["Id"] for entry in listed}:
            if gone not in self._followers:
                self._store.forget(gone)

    async def _save(self) -> None:
        while True:
            await self.context.clock.sleep(self.config.checkpoint_interval)
            await self._store.save()

    async def _reconnect(self) -> None:
        """Let followers connect anew whenever the engine was lost."""
        assert self._watch is not None
        while True:
            await self._watch.lost.wait()
            self._watch.lost.clear()
            for follower in self._followers.values():
                follower.interrupt()

    # What followers ask for

    def encoder(self, container: Container) -> LogEncoder:
        """Return the encoder of a container's lines."""
        attributes = resource_attributes(container, chosen_labels(self._labels, container.labels))
        return LogEncoder(attributes, _SCOPE, agent_version(self.context))

    def delivered(self, container: Container, position: Position) -> None:
        """Note that a container's position moved on."""
        self._store.changed()

    def dropped(self, lines: int, limited: bool) -> None:
        """Count lines that were given up."""
        (self._limited if limited else self._refused).add(lines)


def own_container(mountinfo: str = "/proc/self/mountinfo") -> str:
    """Return the id of the container that the agent itself runs in, whose output is not to be read; else empty.

    Engines mount the host name of a container from a folder named by its id.
    """
    try:
        lines = Path(mountinfo).read_text(errors="replace").splitlines()
    except OSError:
        return ""
    for fields in (line.split() for line in lines):
        if len(fields) > 4 and fields[4] == "/etc/hostname":
            parts = [part for part in fields[3].split("/") if len(part) == 64]
            return parts[-1] if parts else ""
    return ""
