"""The containers of an engine, kept up to date from its events: one inspect per change instead of one per look."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import aclosing
from typing import Any, Final, Protocol

from ophion_agent.plugin import Clock, Health, Log
from ophion_docker.engine import Engine, Json
from ophion_docker.engine_errors import EngineAnswer, EngineError, NotFound
from ophion_docker.metadata import Container, container_of, seconds_text, time_ns

FOLLOWED: Final = (
    "create", "start", "restart", "die", "stop", "kill", "oom", "destroy", "pause", "unpause", "rename", "update",
    "health_status",
)  # fmt: skip
"""Events that change what is known of a container; those of commands in containers, which health checks are, do not."""

_GONE: Final = frozenset({"die", "destroy"})
_INSPECTED_AT_ONCE: Final = 8
_FIRST_WAIT: Final = 0.5
_LONGEST_WAIT: Final = 15.0


class Listener(Protocol):
    """Is told what happens to containers; called from the event loop, must not wait."""

    def container_started(self, container: Container) -> None:
        """A container runs, or ran already when the watch began; also after a restart and a change of its name."""

    def container_stopped(self, container: Container) -> None:
        """A container does not run any more."""

    def container_event(self, event: Json, container: Container | None) -> None:
        """Something happened; `container` is what is known of it, None for one that never ran."""


class ContainerWatch:
    """Keeps `running`, id -> Container, while `run` runs; without an engine it keeps what it knew and tries again."""

    def __init__(
        self,
        engine: Engine,
        clock: Clock,
        log: Log,
        listener: Listener | None = None,
        health: Health | None = None,
        silence_seconds: float = 30.0,
    ) -> None:
        self.running: dict[str, Container] = {}
        self.connected = False
        self.ready = asyncio.Event()
        """Set after the first complete look."""
        self.tried = asyncio.Event()
        """Set once it is known whether there is an engine."""
        self.lost = asyncio.Event()
        """Set whenever a connection was lost; whoever waits for it clears it."""
        self.began_ns = 0
        """The engine's time just before the first look; 0 until then."""
        self.since_ns = 0
        self._engine = engine
        self._clock = clock
        self._log = log
        self._health = health
        self._listener = listener
        self._silence_seconds = silence_seconds
        self.problem = ""
        """Why there is no engine; empty while there is one."""

    async def run(self) -> None:
        """Watch for ever; a lost engine is waited for, up to 15 s between two tries."""
        wait = _FIRST_WAIT
        while True:
            began = self._clock.monotonic()
            try:
                await self._watch()
                self._report("the engine ended the stream of events")
            except EngineError as error:
                self._report(str(error))
            if self._clock.monotonic() - began > _LONGEST_WAIT:
                wait = _FIRST_WAIT
            await self._clock.sleep(wait)
            wait = min(wait * 2, _LONGEST_WAIT)

    def _report(self, problem: str) -> None:
        if self.connected:
            self.lost.set()
        self.connected = False
        self._engine.renegotiate()
        if problem != self.problem:
            self._log.warning("engine_lost", error=problem)
        self.problem = problem
        self.tried.set()
        if self._health is not None:
            self._health.degraded(problem)

    async def _watch(self) -> None:
        # What happens between this moment and the stream's begin is sent again by the engine.
        moment_ns = self.since_ns or await self._now_ns()
        self.began_ns = self.began_ns or moment_ns
        await self._look()
        self.connected = True
        self.ready.set()
        self.tried.set()
        if self._health is not None:
            self._health.ok()
        if self.problem:
            self._log.info("engine_found", error=self.problem)
            self.problem = ""
        filters = {"type": ["container"], "event": list(FOLLOWED)}
        events: AsyncIterator[Json] = self._engine.events(since=seconds_text(moment_ns), filters=filters)
        async with aclosing(events) as stream:  # type: ignore[type-var]
            while (event := await self._next_event(stream)) is not None:
                await self._handle(event)

    async def _next_event(self, stream: AsyncIterator[Json]) -> Json | None:
        """Return the next event, None at the end; an engine that is silent for long is asked whether it lives.

        A connection to another host may be dead without a sign.
        """
        pending = asyncio.ensure_future(_one_of(stream))
        try:
            while True:
                try:
                    return await self._clock.wait_for(asyncio.shield(pending), self._silence_seconds)
                except TimeoutError:
                    await self._engine.ping()
        finally:
            if not pending.done():
                pending.cancel()
                await asyncio.wait({pending})

    async def _now_ns(self) -> int:
        """Return the engine's clock, which on another host is not ours."""
        return time_ns(str((await self._engine.info()).get("SystemTime", ""))) or self._clock.now_ns()

    async def _look(self) -> None:
        listed = await self._engine.containers()
        limit = asyncio.Semaphore(_INSPECTED_AT_ONCE)
        found = await asyncio.gather(*(self._inspect(str(entry["Id"]), limit) for entry in listed))
        running = {container.id: container for container in found if container is not None and container.running}
        for gone in [container for id_, container in self.running.items() if id_ not in running]:
            self._stopped(gone.id)
        for container in running.values():
            self._started(container)

    async def _inspect(self, container: str, limit: asyncio.Semaphore | None = None) -> Container | None:
        try:
            if limit is None:
                return container_of(await self._engine.inspect(container), self._engine.runtime)
            async with limit:
                return container_of(await self._engine.inspect(container), self._engine.runtime)
        except NotFound:
            return None
        except EngineAnswer as error:
            # One container that the engine cannot describe must not hide the others.
            self._log.warning("container_not_inspected", container=container, error=str(error))
            return None

    async def _handle(self, event: Json) -> None:
        actor: Mapping[str, Any] = event.get("Actor") or {}
        id_, action = str(actor.get("ID") or event.get("id") or ""), action_of(event)
        known = self.running.get(id_)
        if action in _GONE:
            self._stopped(id_)
        elif id_:
            now = await self._inspect(id_)
            known = now or known
            if now is not None and now.running:
                self._started(now)
            elif id_ in self.running:
                self._stopped(id_)
        moment = int(event.get("timeNano") or 0)
        self.since_ns = max(self.since_ns, moment + 1 if moment else 0)
        if self._listener is not None:
            self._listener.container_event(event, known)

    def _started(self, container: Container) -> None:
        if self.running.get(container.id) == container:
            return
        self.running[container.id] = container
        if self._listener is not None:
            self._listener.container_started(container)

    def _stopped(self, container: str) -> None:
        known = self.running.pop(container, None)
        if known is not None and self._listener is not None:
            self._listener.container_stopped(known)


async def _one_of(stream: AsyncIterator[Json]) -> Json | None:
    try:
        return await anext(stream)
    except StopAsyncIteration:
        return None


def action_of(event: Mapping[str, Any]) -> str:
    """Return what happened, in one word: `health_status` of `health_status: healthy`."""
    return str(event.get("Action") or event.get("status") or "").partition(":")[0]
