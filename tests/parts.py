"""Components and storage for tests of the framework: they do what a test scripts, and tell what happened to them."""

import asyncio
import logging
from collections import deque
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from pydantic import Field

from ophion_agent.clock import Clock
from ophion_agent.component import Component
from ophion_agent.config import Check, Plan, check
from ophion_agent.durable import DurableQueue
from ophion_agent.loading import load
from ophion_agent.log import agent_logger, fields_of
from ophion_agent.plugin import (
    Batch,
    Config,
    Connector,
    Context,
    Exporter,
    ExporterConfig,
    Logs,
    Metrics,
    Processor,
    Receiver,
    Traces,
)
from ophion_agent.registry import Registry
from ophion_agent.sending import Sender
from ophion_agent.testing import make_component, make_logs

WAIT_SECONDS = 10.0


class ScriptedConfig(ExporterConfig):
    """Only the options of the sending stack."""


class Scripted(Exporter[ScriptedConfig, Batch]):
    """Delivers into `delivered`, unless the script says otherwise."""

    type_name = "scripted"

    def __init__(self, config: ScriptedConfig, context: Context) -> None:
        super().__init__(config, context)
        self.outcomes: deque[BaseException | None] = deque()
        self.failure: BaseException | None = None
        self.gate: asyncio.Event | None = None
        self.attempts: list[Batch] = []
        self.delivered: list[Batch] = []
        self.running = self.most_running = 0
        self.stopped = False
        self._changed = asyncio.Condition()

    async def export(self, batch: Batch) -> None:
        """Follow the script: wait for the gate, then raise the next outcome or `failure`, or deliver."""
        self.attempts.append(batch)
        self.running += 1
        self.most_running = max(self.most_running, self.running)
        try:
            await self._tell()
            if self.gate is not None:
                await self.gate.wait()
            outcome = self.outcomes.popleft() if self.outcomes else self.failure
            if outcome is not None:
                raise outcome
            self.delivered.append(batch)
        finally:
            self.running -= 1
        await self._tell()

    async def _tell(self) -> None:
        async with self._changed:
            self._changed.notify_all()

    @property
    def items(self) -> int:
        """Items delivered."""
        return sum(len(batch) for batch in self.delivered)

    async def wait_for(self, *, attempts: int = 0, items: int = 0) -> None:
        """Wait until that much has been tried and delivered."""
        async with asyncio.timeout(WAIT_SECONDS), self._changed:
            await self._changed.wait_for(lambda: len(self.attempts) >= attempts and self.items >= items)

    async def stop(self) -> None:
        """Remember it."""
        self.stopped = True


class Folder:
    """A queue storage in a directory."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory

    async def open_queue(self, name: str, max_bytes: int) -> DurableQueue:
        """Open or recover a queue."""
        log = make_log()
        return await DurableQueue.open(self.directory / name.replace("/", "-"), max_bytes=max_bytes, log=log)


def make_log() -> Any:
    """Return the log of a component."""
    return make_component(Scripted).log


def make_sender(
    config: Mapping[str, Any] | None = None, *, clock: Clock | None = None, storage: Any = None
) -> tuple[Sender, Scripted]:
    """Return a sending stack before a scripted exporter, not started; `storage` is the extension `disk`."""
    services = {"disk": storage} if storage else None
    exporter = make_component(Scripted, config or {}, clock=clock or Clock(), services=services)
    return Sender(exporter), exporter


class RelayConfig(Config):
    """No options but one that lets a start fail."""

    fail: str = Field("", description="Where to fail: init, start, stop or drain.")
    error: str = Field("scripted", description="Message of the failure.")


class Relay(Receiver[RelayConfig, Traces | Metrics | Logs]):
    """A receiver that emits what the test gives it."""

    type_name = "relay"

    def __init__(self, config: RelayConfig, context: Context) -> None:
        super().__init__(config, context)
        self.calls: list[str] = []
        if config.fail == "init":
            raise RuntimeError(config.error)

    async def start(self) -> None:
        """Remember it, or fail."""
        self.calls.append("start")
        if self.config.fail == "start":
            raise RuntimeError(self.config.error)

    async def stop(self) -> None:
        """Remember it, fail or hang."""
        self.calls.append("stop")
        if self.config.fail == "stop":
            raise RuntimeError(self.config.error)
        if self.config.fail == "hang":
            await asyncio.Event().wait()


class Hold(Processor[RelayConfig, Traces | Metrics | Logs]):
    """A processor that keeps everything until it is drained, and has an admission gate."""

    type_name = "hold"

    def __init__(self, config: RelayConfig, context: Context) -> None:
        super().__init__(config, context)
        self.held: list[Any] = []
        self.asked: list[int] = []
        self.calls: list[str] = []

    def admit(self, nbytes: int) -> None:
        """Remember the question."""
        self.asked.append(nbytes)

    async def consume(self, batch: Any, /) -> None:
        """Keep the batch."""
        self.held.append(batch)

    async def drain(self) -> None:
        """Pass everything on, or fail, or hang."""
        self.calls.append("drain")
        if self.config.fail == "drain":
            raise RuntimeError(self.config.error)
        if self.config.fail == "hang":
            await asyncio.Event().wait()
        for batch in self.held:
            await self.next.consume(batch)

    async def stop(self) -> None:
        """Remember it."""
        self.calls.append("stop")


class Mark(Processor[RelayConfig, Traces | Metrics | Logs]):
    """A processor that marks every resource."""

    type_name = "mark"

    async def process(self, batch: Any) -> Any:
        """Add an attribute to every resource."""
        for resource in batch.edit_resources():
            resource.attributes.add(key="marked").value.bool_value = True
        return batch


class Count(Connector[RelayConfig, Traces]):
    """A connector that emits one log record for each span."""

    type_name = "count"
    emits = {Traces: frozenset({Logs})}

    async def consume(self, batch: Traces, /) -> None:
        """Emit one record per span."""
        await self.emit(make_logs(len(batch), service="count"))


def check_text(text: str, *components: type[Component[Any]], registry: Registry | None = None) -> Check:
    """Validate a configuration against the components of this module and others."""
    registry = registry or Registry()
    for component in (Relay, Hold, Mark, Count, Scripted, *components):
        registry.add(component, "tests")
    loaded = load([f"yaml:{text}"], environ={})
    assert loaded.problems == []
    return check(loaded.tree, loaded.origins, registry)


def plan_of(text: str, *components: type[Component[Any]]) -> Plan:
    """Return the plan of a configuration made of the components of this module and others."""
    checked = check_text(text, *components)
    assert checked.problems == []
    assert checked.plan is not None
    return checked.plan


def problems_of_text(text: str, *components: type[Component[Any]]) -> list[str]:
    """Return what is wrong with a configuration, without the file and line."""
    problems = check_text(text, *components).problems
    return [str(replace(problem, file="")) for problem in problems]


@contextmanager
def captured_events() -> Iterator[list[tuple[str, dict[str, Any]]]]:
    """Yield the (event, facts) pairs that the agent logs meanwhile."""
    found: list[tuple[str, dict[str, Any]]] = []

    class Keep(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            found.append((record.getMessage(), fields_of(record)))

    handler, logger = Keep(), agent_logger()
    level = logger.level
    logger.addHandler(handler)
    logger.setLevel(logging.DEBUG)
    try:
        yield found
    finally:
        logger.removeHandler(handler)
        logger.setLevel(level)
