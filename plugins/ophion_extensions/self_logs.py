"""Takes the agent's log records, without ever feeding on the records that their own delivery causes."""

import asyncio
import logging
from collections import deque
from collections.abc import Iterable
from contextvars import ContextVar
from typing import Final

from ophion_agent.plugin import Context, PipelineInfo, agent_logger, fields_of

_REPEAT_SECONDS: Final = 60.0
_BATCH_RECORDS: Final = 512

DELIVERING: ContextVar[bool] = ContextVar("ophion_self_delivering", default=False)
"""True where own telemetry is being passed on: what is logged there is not taken."""

Source = tuple[str, str]


class LogTap(logging.Handler):
    """Keeps the agent's log records, from any thread, until they are taken in batches.

    Three things keep it from feeding on itself: what is logged while own records pass through the pipelines is left
    out; of components that own records pass on their way, only warnings and errors are taken, and each of these at
    most once a minute (a destination that refuses own logs would otherwise cause one for each that it refuses).
    """

    def __init__(self, context: Context, level: int, queue_size: int) -> None:
        super().__init__(level)
        self._context = context
        self._records: deque[logging.LogRecord] = deque()
        self._queue_size = queue_size
        self._dropped = context.counter("ophion_self_dropped_log_records")
        self._loop = asyncio.get_running_loop()
        self._arrived = asyncio.Event()
        self._passed: frozenset[Source] = frozenset()
        self._last_taken: dict[tuple[str, str, str], float] = {}

    def attach(self) -> None:
        """Begin to take records."""
        agent_logger().addHandler(self)

    def detach(self) -> None:
        """Take no more records; safe twice."""
        agent_logger().removeHandler(self)

    def emit(self, record: logging.LogRecord) -> None:
        """Keep the record, or drop and count it when too many wait."""
        if DELIVERING.get() or self._is_echo(record):
            return
        if len(self._records) >= self._queue_size:
            self._dropped.add()
            return
        self._records.append(record)
        self._loop.call_soon_threadsafe(self._arrived.set)

    def watch_path(self, pipelines: Iterable[PipelineInfo]) -> None:
        """Learn which components own records pass, from the pipelines that run, and drop what they logged before."""
        passed = components_passed(self._context.id, list(pipelines))
        if passed == self._passed:
            return
        self._passed = passed
        for _ in range(len(self._records)):
            record = self._records.popleft()
            if not self._is_echo(record):
                self._records.append(record)

    def _is_echo(self, record: logging.LogRecord) -> bool:
        fields = fields_of(record)
        kind, component = str(fields.get("kind", "")), str(fields.get("component", ""))
        if (kind, component) not in self._passed:
            return False
        if record.levelno < logging.WARNING:
            return True
        key, now = (kind, component, record.getMessage()), self._context.clock.monotonic()
        if now - self._last_taken.get(key, float("-inf")) < _REPEAT_SECONDS:
            return True
        self._last_taken[key] = now
        return False

    async def wait(self) -> None:
        """Return once a record waits."""
        while not self._records:
            self._arrived.clear()
            await self._arrived.wait()

    def take(self) -> list[logging.LogRecord]:
        """Return up to a batch of records, oldest first."""
        return [self._records.popleft() for _ in range(min(len(self._records), _BATCH_RECORDS))]

    def give_back(self, records: list[logging.LogRecord]) -> None:
        """Put records back before all others."""
        self._records.extendleft(reversed(records))


def components_passed(receiver: str, pipelines: list[PipelineInfo]) -> frozenset[Source]:
    """Return (kind, id) of everything that log records of `receiver` may reach, through connectors too."""
    passed: set[Source] = {("receiver", receiver)}
    begun = [pipeline for pipeline in pipelines if receiver in pipeline.receivers and pipeline.signal == "logs"]
    reached = list(begun)
    while begun:
        pipeline = begun.pop()
        passed |= {("processor", name) for name in pipeline.processors}
        passed |= {(kind, name) for name in pipeline.exporters for kind in ("exporter", "connector")}
        following = [one for one in pipelines if set(one.receivers) & set(pipeline.exporters) and one not in reached]
        reached += following
        begun += following
    return frozenset(passed)
