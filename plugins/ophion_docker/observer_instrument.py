"""Instrumentation of the containers that a policy names, as they start or are found: a companion of the observer."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Final

from ophion_agent.plugin import Context
from ophion_docker.engine import Engine, Json
from ophion_docker.engine_config import EngineConfig
from ophion_docker.engine_errors import EngineError
from ophion_docker.instrument.agent import Agent
from ophion_docker.instrument.errors import InstrumentError, MissingBundle, Refused, RolledBack
from ophion_docker.instrument.journal import Journal
from ophion_docker.instrument.refuse import ID_LABEL
from ophion_docker.instrument.service import Instrumentation
from ophion_docker.instrument.survey import Options, Survey
from ophion_docker.instrument.verify import Patience
from ophion_docker.matching import Selector
from ophion_docker.metadata import Container
from ophion_docker.observer_policy import InstrumentPolicy
from ophion_docker.observer_schedule import Candidate, Schedule
from ophion_docker.watching import action_of

COUNTER: Final = "ophion_docker_observer_instrumentations"
_BUILD_SECONDS: Final = 900
_BUSY_SECONDS: Final = 0.5
_MOST_REASONS: Final = 10
_FIRST_WAIT: Final = 1.0
_LONGEST_WAIT: Final = 60.0


class AutomaticInstrumentation:
    """Instruments one container after the other while `run` runs."""

    def __init__(
        self, policy: InstrumentPolicy, engine: EngineConfig, agent: Agent, context: Context, own: str = ""
    ) -> None:
        self._policy = policy
        self._engine_config = engine
        self._agent = agent
        self._context = context
        self._log = context.log
        self._own = own
        self._match, self._exclude = Selector(policy.match), Selector(policy.exclude)
        self._schedule = Schedule(
            context.clock,
            delay=policy.delay,
            first_pause=policy.retry_interval,
            longest_pause=policy.max_retry_interval,
            bound=policy.max_waiting,
        )
        self._journal = Journal(Path(policy.state))
        self._options = Options(
            bundles=policy.bundle_folder,
            port=policy.otlp_port,
            commit_changes=policy.commit_changes,
            patience=Patience(telemetry=policy.timeout),
            proc=Path(policy.proc),
        )
        self._rolled_back = 0
        self._last_problem = ""

    # What the watch tells

    def container_started(self, container: Container) -> None:
        """Take up a container that the policy names and that is not instrumented."""
        if ID_LABEL in container.labels or container.id == self._own or not self._is_selected(container):
            return
        if not self._schedule.started(container):
            self._count("not_queued")
            self._log.warning("container_not_queued", container=container.name, waiting=len(self._schedule))

    def container_stopped(self, container: Container) -> None:
        """Leave it alone while it does not run."""
        self._schedule.stopped(container.id)

    def container_event(self, event: Json, container: Container | None) -> None:
        """Forget a container that was removed."""
        if action_of(event) == "destroy":
            self._schedule.removed(str((event.get("Actor") or {}).get("ID") or event.get("id") or ""))

    def _is_selected(self, container: Container) -> bool:
        described = (container.image, container.name, container.labels)
        excluded = not self._exclude.empty and self._exclude.matches(*described)
        return self._match.matches(*described) and not excluded

    def _count(self, outcome: str) -> None:
        self._context.counter(COUNTER, outcome=outcome).add()

    # Working

    async def run(self) -> None:
        """Finish or take back what a killed agent left, then instrument for ever; an engine is waited for."""
        wait = _FIRST_WAIT
        while True:
            engine = Engine(self._engine_config.endpoint, api_version=self._engine_config.api_version)
            try:
                await engine.open()
                service = Instrumentation(engine, self._agent, self._journal, self._say, cautious=True)
                await self._recover(service)
                wait = _FIRST_WAIT
                await self._work(service)
            except (EngineError, InstrumentError) as error:
                self._problem(str(error))
            finally:
                await engine.close()
            await self._context.clock.sleep(wait)
            wait = min(wait * 2, _LONGEST_WAIT)

    def _say(self, text: str) -> None:
        self._log.debug("instrumenting", step=text)

    def _problem(self, text: str) -> None:
        """Log what keeps everything from going on, once while it stays the same."""
        if text != self._last_problem:
            self._log.error("instrumentation_waits", error=text)
            self._context.health.degraded(f"instrumentation: {text}")
        self._last_problem = text

    async def _wait_for_others(self) -> None:
        """Wait while somebody works on a container by hand: that holds the journal."""
        while True:
            try:
                with self._journal.exclusive():
                    return
            except Refused:
                await self._context.clock.sleep(_BUSY_SECONDS)

    async def _recover(self, service: Instrumentation) -> None:
        await self._wait_for_others()
        lines = await service.recover()
        if self._last_problem:
            self._context.health.ok()
        self._last_problem = ""
        for line in lines:
            self._count("recovered")
            self._log.warning("container_recovered", outcome=line)

    async def _work(self, service: Instrumentation) -> None:
        """Work until something fails that needs a recovery."""
        while True:
            candidate = await self._schedule.next()
            await self._wait_for_others()
            try:
                await self._attempt(service, candidate)
            except Refused as error:
                self._refuse(candidate, str(error))
            except RolledBack as error:
                self._note_roll_back(candidate, error)
            except (EngineError, InstrumentError):
                self._schedule.again(candidate, held=True)
                self._count("failed")
                raise

    async def _attempt(self, service: Instrumentation, candidate: Candidate) -> None:
        container = candidate.container
        if self._rolled_back >= self._policy.max_roll_backs:
            reason = f"{self._rolled_back} containers in a row were rolled back, so none is touched any more"
            raise Refused(f"{container.name}: {reason}; find out why, then restart the agent")
        if service.was_undone(container.name, container.image_id):
            raise Refused(
                f"{container.name}: its instrumentation was undone; use `ophion-agent instrument`, or change its image"
            )
        found = await self._plan(service, container)
        language = found.runtime.language
        if language not in self._policy.languages:
            raise Refused(f"{container.name}: {language} is not among the `languages` of the policy")
        if self._policy.dry_run:
            self._schedule.never(candidate)
            self._count("dry_run")
            self._log.info("would_instrument", **_facts(found))
            return
        outcome = await service.instrument(container.id, replace(self._options, language=language))
        self._schedule.never(candidate)
        self._rolled_back = 0
        self._count("instrumented")
        self._log.info("instrumented", container=outcome.name, language=outcome.language, endpoint=outcome.endpoint)

    async def _plan(self, service: Instrumentation, container: Container) -> Survey:
        options = self._options
        if len(self._policy.languages) == 1:
            options = replace(options, language=self._policy.languages[0])
        try:
            return await service.plan(container.id, options)
        except MissingBundle as error:
            if not self._policy.build_bundles or self._policy.dry_run:
                raise Refused(str(error)) from error
            self._log.info("building_bundle", language=error.language, folder=str(options.bundles))
            await build_bundle(error.language, options.bundles)
        return await service.plan(container.id, options)

    def _refuse(self, candidate: Candidate, reason: str) -> None:
        if reason not in candidate.said and len(candidate.said) < _MOST_REASONS:
            candidate.said.add(reason)
            self._count("refused")
            self._log.warning("container_refused", container=candidate.container.name, reason=reason)
        self._schedule.again(candidate)

    def _note_roll_back(self, candidate: Candidate, error: RolledBack) -> None:
        self._rolled_back += 1
        self._count("rolled_back")
        self._log.error("container_rolled_back", container=candidate.container.name, reason=str(error))
        if error.remembered:
            self._schedule.never(candidate)
        else:
            self._schedule.again(candidate, held=True)


def _facts(found: Survey) -> dict[str, str]:
    return {
        "container": found.name, "language": found.runtime.language, "version": found.runtime.version,
        "volume": found.bundle.volume, "endpoint": found.endpoint,
    }  # fmt: skip


async def build_bundle(language: str, folder: Path) -> None:
    """Build a bundle in a process of its own, which ends with this task. Raises Refused with what it said."""
    command = (sys.executable, "-m", "ophion_agent.cli", "instrument", "bundle", "--lang", language, "--out", folder)
    process = await asyncio.create_subprocess_exec(
        *map(str, command), start_new_session=True, stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.DEVNULL, stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip
    try:
        async with asyncio.timeout(_BUILD_SECONDS):
            _, errors = await process.communicate()
    except TimeoutError as error:
        raise Refused(f"bundle: {language} was not built within {_BUILD_SECONDS} s; build it by hand") from error
    finally:
        if process.returncode is None:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            await process.wait()
    if process.returncode != 0:
        lines = errors.decode(errors="replace").strip().splitlines()
        raise Refused(f"bundle: {language} could not be built: {lines[-1] if lines else 'no reason given'}")
