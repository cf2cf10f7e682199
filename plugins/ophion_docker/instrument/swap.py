"""The exchange of a running container for another one, step by step, and the way back from any of them."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from typing import Any, Final

from ophion_docker.engine import Engine
from ophion_docker.engine_errors import EngineAnswer, NotFound
from ophion_docker.instrument.body import Recreation
from ophion_docker.instrument.errors import InstrumentError
from ophion_docker.instrument.journal import Journal, Record, Swap
from ophion_docker.instrument.refuse import container_name

STEPS: Final = ("create", "connect", "hold", "stop", "park", "name", "start", "verify", "remove")
"""The journal's steps. Until `verify` is over an interrupted exchange goes back, after it forward."""

_FINISHING: Final = "remove"

Action = Callable[[], Awaitable[None]]


def plan_swap(inspect: Mapping[str, Any], made: Recreation, token: str) -> Swap:
    """Return the exchange of the container of an inspection for another; nothing is done yet."""
    name = container_name(inspect)
    policy = dict(inspect["HostConfig"].get("RestartPolicy") or {"Name": "no"})
    return Swap(
        step=STEPS[0],
        old_id=str(inspect["Id"]),
        restart_policy=policy,
        body=made.body,
        endpoints=made.endpoints,
        detach=made.detach,
        working_name=f"{name}.ophion-{token[:8]}-new",
        parked_name=f"{name}.ophion-{token[:8]}-original",
    )


class Swapper:
    """Carries out the exchange of one record. Every call may be repeated after a kill."""

    def __init__(self, engine: Engine, journal: Journal, record: Record) -> None:
        if record.swap is None:
            raise InstrumentError(f"{record.name}: no exchange is under way")
        self._engine = engine
        self._journal = journal
        self._record = record
        self._swap = record.swap

    async def prepare(self) -> None:
        """Make the new container while the old one runs."""
        await self._step("create", self._create)
        await self._step("connect", self._connect)

    async def exchange(self) -> None:
        """Stop the old container and start the new one in its place."""
        engine, swap, name = self._engine, self._swap, self._record.name
        await self._step("hold", lambda: engine.update(swap.old_id, {"RestartPolicy": {"Name": "no"}}))
        await self._step("stop", self._stop)
        await self._step("park", lambda: engine.rename(swap.old_id, swap.parked_name))
        await self._step("name", lambda: engine.rename(swap.new_id, name))
        await self._step("start", self._start)

    async def verify(self, action: Action) -> None:
        """Run the verification as a step of the journal."""
        await self._step("verify", action)

    async def finish(self) -> None:
        """Remove the old container, never with its volumes; from here there is no way back to it."""
        await self._step(_FINISHING, self._remove_old)

    async def _step(self, name: str, action: Action) -> None:
        self._swap.step = name
        self._journal.write(self._record)
        self._journal.reached(f"before {name}")
        await action()
        self._journal.reached(f"after {name}")

    async def _create(self) -> None:
        self._swap.new_id = await self._engine.create(self._swap.working_name, self._swap.body)

    async def _connect(self) -> None:
        if self._swap.detach:
            await self._engine.disconnect_network(self._swap.detach, self._swap.new_id, force=True)
        for network, endpoint in self._swap.endpoints.items():
            await self._engine.connect_network(network, self._swap.new_id, endpoint)

    async def _stop(self) -> None:
        await self._engine.stop(self._swap.old_id)

    async def _start(self) -> None:
        await self._engine.start(self._swap.new_id)

    async def _remove_old(self) -> None:
        with suppress(NotFound):
            await self._engine.remove(self._swap.old_id, force=True)

    # After a failure or a kill

    @property
    def is_verified(self) -> bool:
        """Whether an interrupted exchange goes forward."""
        return self._swap.step == _FINISHING

    async def revert(self) -> None:
        """Put the old container back, whatever was done: the new one is removed, the old one named and running."""
        engine, swap = self._engine, self._swap
        old = await engine.inspect(swap.old_id)
        for candidate in (swap.new_id, swap.working_name):
            if candidate:
                with suppress(NotFound):
                    await engine.remove(candidate, force=True)
        if container_name(old) != self._record.name:
            await engine.rename(swap.old_id, self._record.name)
        await self._engine.update(swap.old_id, {"RestartPolicy": swap.restart_policy})
        await engine.start(swap.old_id)

    async def complete(self) -> None:
        """Finish an exchange whose verification is over."""
        await self._remove_old()
        with suppress(EngineAnswer):
            await self._engine.start(self._swap.new_id)
