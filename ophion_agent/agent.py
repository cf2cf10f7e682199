"""The agent: load, build, start, run until told to stop, reload on request. Read this first.

load (loading.py)  ->  check (config.py)  ->  build (graph.py)  ->  start, drain, stop (lifecycle.py)
"""

import asyncio
import gc
import os
import signal
from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from importlib.metadata import PackageNotFoundError, version
from typing import Any

from ophion_agent import log as logs
from ophion_agent.batch import Batch
from ophion_agent.clock import Clock
from ophion_agent.component import Component
from ophion_agent.config import Check, Plan, check, plugin_dirs
from ophion_agent.control import ControlServer
from ophion_agent.errors import ConfigError, OphionError
from ophion_agent.graph import Graph, build
from ophion_agent.health import Health, Readiness, readiness
from ophion_agent.info import ComponentInfo, PipelineInfo, QueueInfo
from ophion_agent.lifecycle import Running
from ophion_agent.loading import load
from ophion_agent.origins import Problem
from ophion_agent.printing import effective_yaml
from ophion_agent.registry import Registry, load_registry
from ophion_agent.self_metrics import SelfMetrics
from ophion_agent.systemd import notify
from ophion_agent.telemetry import SelfTelemetry, observe_process

SAME_REQUEST_SECONDS = 1.0


def _spare_the_collector() -> None:
    """Keep the garbage collector from walking what lives as long as the process, and let it run less often.

    Requests leave little that only cycles keep alive; the defaults cost 5 to 8 % of the CPU under load.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(20_000, 20, 50)


def agent_version() -> str:
    """Return the version of the installed package."""
    try:
        return version("ophion-agent")
    except PackageNotFoundError:
        return "0+unknown"


@dataclass(frozen=True)
class Sources:
    """Where the configuration comes from, kept to be read again at a reload."""

    configs: Sequence[str]
    sets: Sequence[str] = ()
    environ: Mapping[str, str] = field(default_factory=lambda: os.environ)

    def read(self) -> tuple[Check, Registry]:
        """Load the files, the plugins they name, and validate everything."""
        loaded = load(self.configs, self.sets, self.environ)
        if any(not problem.path for problem in loaded.problems):
            # A file that could not be read is missing everywhere: what else seems wrong may be its consequence.
            return Check(None, self._in_file_order(loaded.problems), loaded.warnings), Registry()
        registry = load_registry(plugin_dirs(loaded.tree, loaded.origins))
        checked = check(loaded.tree, loaded.origins, registry)
        # What could not be read has no value, so what the models say about the same place is no news.
        unread = {problem.path for problem in loaded.problems}
        problems = [*loaded.problems, *(problem for problem in checked.problems if problem.path not in unread)]
        plan = checked.plan if not problems else None
        return Check(plan, self._in_file_order(problems), [*loaded.warnings, *checked.warnings]), registry

    def _in_file_order(self, problems: Sequence[Problem]) -> list[Problem]:
        files = [*map(str, self.configs), *sorted({problem.file for problem in problems})]
        return sorted(problems, key=lambda problem: (files.index(problem.file), problem.line or 0))

    def plan(self) -> tuple[Plan, Check]:
        """Return a plan that can be built; raise ConfigError with every problem otherwise."""
        checked, _ = self.read()
        if checked.plan is None:
            raise ConfigError(checked.problems)
        return checked.plan, checked


class Agent:
    """One agent: at most one graph runs at a time, and a failed reload leaves the old one running."""

    def __init__(self, sources: Sources, clock: Clock | None = None) -> None:
        self.sources = sources
        self.clock = clock or Clock()
        self.metrics = SelfMetrics()
        self.version = agent_version()
        self.started_ns = self.clock.now_ns()
        self.log = logs.Log(logs.agent_logger(), {"component": "agent"})
        self._running: Running | None = None
        self._telemetry = SelfTelemetry(self.metrics, self.version)
        self._control: ControlServer | None = None
        self._log_handlers: list[Any] = []
        self._wake = asyncio.Event()
        self._stop_wanted = self._reload_wanted = False
        self._stop_asked = 0.0

    # ---- run

    async def run(self, on_started: Callable[["Agent"], None] = lambda agent: None) -> None:
        """Run until SIGINT or SIGTERM; SIGHUP reloads. Raises OphionError (ConfigError) when it cannot start."""
        plan, checked = self.sources.plan()
        self._configure_logs(plan)
        for warning in checked.warnings:
            self.log.warning("config_warning", problem=str(warning))
        self._listen_to_signals()
        try:
            await self.start(plan)
            _spare_the_collector()
            notify("READY=1")
            on_started(self)
            await self._until_stopped()
        finally:
            notify("STOPPING=1")
            await self.stop()
            self._remove_logs()

    async def _until_stopped(self) -> None:
        while not self._stop_wanted:
            await self._wake.wait()
            self._wake.clear()
            if self._reload_wanted and not self._stop_wanted:
                self._reload_wanted = False
                notify("RELOADING=1")
                await self.reload()
                notify("READY=1")

    def request_stop(self) -> None:
        """Ask a running agent to drain and stop; asked a second time, the process ends at once.

        A repeat within a second counts as the same request: `timeout` and terminals signal a whole process group.
        """
        now = self.clock.monotonic()
        if self._stop_wanted and now - self._stop_asked > SAME_REQUEST_SECONDS:
            self.log.warning("stopped_without_drain")
            os._exit(1)
        if not self._stop_wanted:
            self._stop_wanted, self._stop_asked = True, now
            self._wake.set()

    def request_reload(self) -> None:
        """Ask a running agent to read its configuration again."""
        self._reload_wanted = True
        self._wake.set()

    def _listen_to_signals(self) -> None:
        loop = asyncio.get_running_loop()
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(number, self.request_stop)
        loop.add_signal_handler(signal.SIGHUP, self.request_reload)

    # ---- start, reload, stop

    async def start(self, plan: Plan) -> None:
        """Start everything a plan describes; raise OphionError and leave nothing behind when that fails."""
        observe_process(self.metrics, self.clock, self.started_ns)
        await self._start(self._build(plan))
        self.log.info("started", pipelines=len(plan.pipelines), version=self.version)

    def _build(self, plan: Plan) -> Running:
        return Running(build(plan, self.clock, self.metrics, self), self.clock)

    async def _start(self, running: Running) -> None:
        try:
            await running.start()
            self._running = running
            await self._start_own_servers(running.graph.plan)
        except BaseException:
            await self._stop_everything()
            raise

    async def _stop_everything(self) -> None:
        if self._running is not None:
            await self._running.stop()
            self._running = None
        await self._stop_own_servers()

    async def _start_own_servers(self, plan: Plan) -> None:
        await self._telemetry.start(plan.service.telemetry)
        if plan.service.control.enabled:
            self._control = ControlServer(self, plan.service.control.socket)
            await self._control.start()

    async def _stop_own_servers(self) -> None:
        await self._telemetry.stop()
        if self._control is not None:
            await self._control.stop()
            self._control = None

    async def reload(self) -> bool:
        """Read the configuration again and run it; keep the old one, and say why, when the new one cannot run.

        Raises OphionError when neither starts.
        """
        old = self._graph().plan
        try:
            plan, checked = await asyncio.to_thread(self.sources.plan)
            new = self._build(plan)
            self._configure_logs(plan)
        except ConfigError as error:
            for problem in error.problems:
                self.log.error("reload_refused", problem=str(problem))
            return False
        except OphionError as error:
            self.log.error("reload_refused", problem=str(error))
            return False
        for warning in checked.warnings:
            self.log.warning("config_warning", problem=str(warning))
        await self._stop_everything()
        try:
            await self._start(new)
        except OphionError as error:
            self._configure_logs(old)
            self.log.error("reload_failed", error=str(error))
            await self._start(self._build(old))
            self.log.info("previous_configuration_runs", pipelines=len(old.pipelines))
            return False
        self.log.info("reloaded", pipelines=len(plan.pipelines))
        return True

    async def stop(self) -> None:
        """Drain and stop; safe twice."""
        if self._running is not None:
            self.log.info("stopping")
        await self._stop_everything()

    def _configure_logs(self, plan: Plan) -> None:
        handlers = logs.configure(plan.service.telemetry.logs)
        self._remove_logs()
        self._log_handlers = handlers

    def _remove_logs(self) -> None:
        for handler in self._log_handlers:
            logs.agent_logger().removeHandler(handler)
            handler.close()
        self._log_handlers = []

    # ---- what status pages see (info.AgentInfo)

    def _graph(self) -> Graph:
        if self._running is None:
            raise OphionError("the agent is not running")
        return self._running.graph

    def _components(self) -> list[Component[Any]]:
        return [node.component for node in self._graph().nodes.values()] if self._running else []

    def readiness(self) -> Readiness:
        """Return whether the agent does its work now, and every reason why not."""
        if self._running is None:
            return Readiness(False, ("the agent is starting or stopping",))
        return readiness(component.context.health for component in self._components())

    def components(self) -> list[ComponentInfo]:
        """Return the state of every component that runs."""
        return [_component_info(component, component.context.health) for component in self._components()]

    def pipelines(self) -> list[PipelineInfo]:
        """Return every pipeline with what passed it."""
        return [pipeline.info() for pipeline in self._graph().pipelines] if self._running else []

    def queues(self) -> list[QueueInfo]:
        """Return the sending queue of every exporter that has one."""
        senders = self._graph().senders() if self._running else ()
        return [info for sender in senders if (info := sender.queue_info())]

    def effective_config(self) -> str:
        """Return the configuration that runs, as YAML, secrets redacted."""
        return effective_yaml(self._graph().plan)

    def edges(self) -> list[str]:
        """Return the names that `tap` takes."""
        return [edge.name for pipeline in self._graph().pipelines for edge in pipeline.edges]

    def tap(self, edge: str) -> AsyncGenerator[Batch, None]:
        """Iterate over the batches that pass an edge from now on. KeyError: no such edge."""
        return self._graph().edge(edge).tap()

    def addresses(self) -> list[tuple[str, str]]:
        """Return (what, where) of every place at which this agent can be looked at or sent to."""
        found = [("metrics", address) for address in self._telemetry.addresses]
        for component in self._components():
            found += [(component.context.id, address) for address in component.addresses()]
        return found

    async def replay(self, exporter_id: str) -> int:
        """Send the dead letters of an exporter again and return how many batches; KeyError: no such exporter."""
        senders = {sender.context.id: sender for sender in self._graph().senders()}
        return await senders[exporter_id].replay()


def _component_info(component: Component[Any], health: Health) -> ComponentInfo:
    context = component.context
    return ComponentInfo(context.kind, context.id, str(health.status), health.reason, health.since_ns)
