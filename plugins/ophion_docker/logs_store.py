"""Keeps the positions of all containers in a durable queue, of which the newest record is the valid one."""

from __future__ import annotations

import json
from typing import Any, Final

from ophion_agent.plugin import Clock, DurableQueue, Log, OphionError, QueueStorage
from ophion_docker.logs_position import Position

_MAX_BYTES: Final = 64 << 20
_OPEN_SECONDS: Final = 30.0


class PositionStore:
    """Positions by container id; in memory only when opened without storage.

    `saved_ns` is when the positions were stored before this start of the agent, 0 for never.
    """

    def __init__(self, clock: Clock, log: Log) -> None:
        self.positions: dict[str, Position] = {}
        self.saved_ns = 0
        self._clock = clock
        self._log = log
        self._queue: DurableQueue | None = None
        self._entry: Any = None
        self._dirty = False
        self._failing = False

    async def open(self, storage: QueueStorage, name: str) -> None:
        """Read what was stored under this name; raises OSError when the storage cannot be used."""
        self._queue = await storage.open_queue(name, _MAX_BYTES)
        for _ in range(self._queue.records):
            await self._take()
        if self._entry is not None:
            self._load(self._entry.record)

    async def _take(self) -> None:
        """Make the next record the valid one and remove the one before it."""
        assert self._queue is not None
        newer = await self._clock.wait_for(self._queue.take(), _OPEN_SECONDS)
        if self._entry is not None:
            await self._queue.done(self._entry)
        self._entry = newer

    def _load(self, record: bytes) -> None:
        try:
            stored = json.loads(record)
            self.positions = {
                str(container): Position.from_json(position) for container, position in stored["containers"].items()
            }
            self.saved_ns = int(stored["saved"])
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            self._log.error("positions_not_read", error=f"{type(error).__name__}: {error}")

    def changed(self) -> None:
        """Note that a position moved on."""
        self._dirty = True

    def forget(self, container: str) -> None:
        """Remove the position of a container that is gone."""
        self._dirty |= self.positions.pop(container, None) is not None

    async def save(self) -> None:
        """Store the positions, durable on return; a storage that fails is logged once and tried again next time."""
        if self._queue is None or not self._dirty:
            return
        self._dirty = False
        containers = {container: position.as_json() for container, position in self.positions.items()}
        record = json.dumps({"saved": self._clock.now_ns(), "containers": containers}).encode()
        try:
            await self._queue.append(record)
            await self._take()
        except (OphionError, OSError, TimeoutError) as error:
            self._dirty = True
            if not self._failing:
                self._log.error("positions_not_stored", error=str(error))
            self._failing = True
        else:
            self._failing = False
