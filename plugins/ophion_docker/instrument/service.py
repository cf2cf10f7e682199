"""Instrument a container, undo it, recover after a kill: what the command line and the observer both use."""

from __future__ import annotations

import asyncio
import time
import uuid
from collections.abc import AsyncIterator, Callable, Coroutine, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ophion_docker.engine import Engine
from ophion_docker.engine_errors import EngineAnswer, EngineError, EngineTimeout, NotFound
from ophion_docker.instrument.agent import Agent, Arrivals, Watch
from ophion_docker.instrument.body import Recreation, recreate
from ophion_docker.instrument.errors import InstrumentError, Refused, RolledBack
from ophion_docker.instrument.inject import Injection, inject
from ophion_docker.instrument.journal import (
    INSTRUMENTED,
    INSTRUMENTING,
    ROLLED_BACK,
    UNDOING,
    Journal,
    Record,
    Swap,
)
from ophion_docker.instrument.payload import PAYLOAD_LABEL, ensure_payload
from ophion_docker.instrument.procfs import PROC
from ophion_docker.instrument.refuse import ID_LABEL, container_name
from ophion_docker.instrument.survey import Options, Survey, moved_image, survey, written_paths, written_text
from ophion_docker.instrument.swap import STEPS, Swapper, plan_swap
from ophion_docker.instrument.undone import Undone
from ophion_docker.instrument.verify import PATIENCE, NotVerified, Patience, verify

Say = Callable[[str], None]

_ANY_SIGNAL = ("java", "dotnet")
_REVERT_SECONDS = 300
_FILLER_SECONDS = 3600


@dataclass(frozen=True, slots=True)
class Outcome:
    """A container that is instrumented; `first_span` is the application's own first span, if one came in time."""

    name: str
    language: str
    endpoint: str
    first_span: str


class Instrumentation:
    """Works on the containers of one engine, one at a time; `say` hears what is being done.

    A container that did not come up instrumented is not tried again with the same image. With `cautious` that holds for
    every container that was stopped for nothing, whatever the reason: nobody is there to decide.
    """

    def __init__(
        self, engine: Engine, agent: Agent, journal: Journal, say: Say = lambda _: None, *, cautious: bool = False
    ) -> None:
        self._engine = engine
        self._agent = agent
        self._journal = journal
        self._say = say
        self._cautious = cautious
        self._undone = Undone(journal.directory)

    async def plan(self, name: str, options: Options) -> Survey:
        """Return what `instrument` would do; raises Refused. Changes nothing."""
        inspect = await self._inspect(name)
        self._check_record(inspect, options)
        return await survey(self._engine, self._agent, inspect, options)

    async def instrument(self, name: str, options: Options, *, span_seconds: float = 0.0) -> Outcome:
        """Instrument a container and verify it, then wait up to `span_seconds` for the application's first span.

        Raises Refused where nothing was touched, and RolledBack with the reason where the original runs again.
        """
        with self._journal.exclusive():
            found = await self.plan(name, options)
            version = f" {found.runtime.version}" if found.runtime.version else ""
            self._say(f"found {found.runtime.language}{version}, the agent answers at {found.endpoint}")
            token = uuid.uuid4().hex
            async with Watch(self._agent, token) as watch:
                await self._carry_out(found, options, token, watch)
                self._say("ready")
                first = await _first_span(watch.arrivals, span_seconds)
        return Outcome(found.name, found.runtime.language, found.endpoint, first)

    async def _carry_out(self, found: Survey, options: Options, token: str, watch: Watch) -> None:
        image = found.moved_image
        kept = await self._commit(found, token) if found.lost else ""
        await ensure_payload(self._engine, found.bundle, str(found.inspect["Image"]))
        made = recreate(found.inspect, image=kept or image)
        injection = Injection(
            found.runtime.language, found.runtime.libc, found.bundle.volume, token, found.endpoint, found.name
        )
        body = inject(made.body, injection)
        record = Record(
            found.name, token, INSTRUMENTING, found.runtime.language, found.bundle.volume, found.endpoint,
            str(found.inspect["Image"]), dict(found.inspect), kept,
            swap=plan_swap(found.inspect, Recreation(body, made.endpoints, made.detach), token),
        )  # fmt: skip
        any_signal = found.runtime.language in _ANY_SIGNAL
        await self._exchange(record, watch, any_signal=any_signal, patience=options.patience)
        record.phase = INSTRUMENTED
        self._journal.write(record)
        self._undone.forget(record.name)

    async def _commit(self, found: Survey, token: str) -> str:
        self._say(f"keeping what it wrote: {len(found.lost)} path(s)")
        return await self._engine.commit(str(found.inspect["Id"]), f"ophion-instrument/{token[:12]}", "kept")

    async def _exchange(self, record: Record, watch: Watch | None, *, any_signal: bool, patience: Patience) -> None:
        """Exchange and verify; on any failure, cancellation included, the old container is put back."""
        swap = record.swap
        assert swap is not None
        swapper = Swapper(self._engine, self._journal, record)
        try:
            await swapper.prepare()
            self._say("restarting it")
            await swapper.exchange()
            self._say("verifying")
            await swapper.verify(
                lambda: verify(self._engine, swap.new_id, watch, any_signal=any_signal, patience=patience)
            )
        except BaseException as error:
            remembered = self._is_remembered(swap, error)
            await _certainly(record.name, self._roll_back(record, swapper, error, remembered=remembered))
            if isinstance(error, (asyncio.CancelledError, KeyboardInterrupt)):
                raise
            text = f"{record.name}: {error}; rolled back, the original runs"
            raise RolledBack(text, remembered=remembered) from error
        await _certainly(record.name, swapper.finish())
        record.container_id, record.swap = swap.new_id, None

    def _is_remembered(self, swap: Swap, error: BaseException) -> bool:
        if isinstance(error, NotVerified):  # The application's own fault, which another try would only show again.
            return True
        stopped = STEPS.index(swap.step) >= STEPS.index("stop")
        return self._cautious and stopped and isinstance(error, Exception)

    async def _roll_back(self, record: Record, swapper: Swapper, error: BaseException, *, remembered: bool) -> None:
        await swapper.revert()
        record.swap, record.reason = None, str(error)
        if record.phase == UNDOING:
            record.phase = INSTRUMENTED
            self._journal.write(record)
            return
        await self._drop_image(record)
        if remembered:
            record.phase = ROLLED_BACK
            self._journal.write(record)
        else:
            self._journal.remove(record.name)

    async def _drop_image(self, record: Record) -> None:
        if record.kept_image:
            with suppress(EngineAnswer):
                await self._engine.remove_image(record.kept_image, force=True)
            record.kept_image = ""

    async def undo(self, name: str, *, proc: Path = PROC, force: bool = False, patience: Patience = PATIENCE) -> None:
        """Put a container back as it was before; raises Refused, or RolledBack when the original does not come up.

        `force` gives up what the instrumented container wrote into its own layer.
        """
        with self._journal.exclusive():
            inspect = await self._inspect(name)
            record = self._instrumented(inspect)
            lost = await written_paths(self._engine, inspect, proc)
            if lost and not force:
                raise Refused(
                    f"{record.name}: {written_text(lost)}; move them to a volume, or give them up with --force"
                )
            image = record.kept_image or await moved_image(self._engine, record.original)
            record.phase = UNDOING
            record.swap = plan_swap(inspect, recreate(record.original, image=image), uuid.uuid4().hex)
            await self._exchange(record, None, any_signal=False, patience=patience)
            await self._forget_undone(record)

    async def _forget_undone(self, record: Record) -> None:
        """Leave a note that somebody did not want it, for whoever instruments without being asked."""
        inspect = await self._engine.inspect(record.name)
        self._undone.note(record.name, str(inspect["Image"]))
        self._journal.remove(record.name)

    def was_undone(self, name: str, image: str) -> bool:
        """Tell whether somebody undid the instrumentation of a container, whose image has not changed since."""
        return self._undone.image(name) == image

    def _instrumented(self, inspect: Mapping[str, Any]) -> Record:
        name = container_name(inspect)
        record = self._journal.read(name)
        self._check_interrupted(record)
        labels = inspect["Config"].get("Labels") or {}
        if record is None or record.phase != INSTRUMENTED:
            raise Refused(f"{name}: it is not instrumented, or not from this host's journal {self._journal.directory}")
        if labels.get(ID_LABEL) != record.token:
            raise Refused(f"{name}: it is another container than the one instrumented; somebody re-created it")
        return record

    async def recover(self) -> list[str]:
        """Finish or take back what a killed tool left, and return a line for each container that needed it."""
        with self._journal.exclusive():
            await self._remove_fillers()
            return [await self._recover(record) for record in self.records() if record.swap is not None]

    async def _remove_fillers(self) -> None:
        """Remove the containers, never started, by which a tool was filling a volume when it was killed."""
        filters = {"label": [PAYLOAD_LABEL], "status": ["created"]}
        for filler in await self._engine.containers(every=True, filters=filters):
            # A younger one may be at work for somebody else.
            if int(filler["Created"]) < time.time() - _FILLER_SECONDS:
                with suppress(EngineAnswer):
                    await self._engine.remove(str(filler["Id"]), force=True, volumes=True)

    async def _recover(self, record: Record) -> str:
        swapper = Swapper(self._engine, self._journal, record)
        undoing = record.phase == UNDOING
        what = "undo" if undoing else "instrumentation"
        assert record.swap is not None
        forward = swapper.is_verified
        try:
            await (swapper.complete() if forward else swapper.revert())
        except NotFound as error:
            return f"{record.name}: its containers are gone: {error}; remove its file from {self._journal.directory}"
        record.container_id, record.swap = record.swap.new_id, None
        if forward == undoing:  # An undo that is done, or an instrumentation taken back, leaves nothing to know.
            if undoing:
                await self._forget_undone(record)
            else:
                await self._drop_image(record)
                self._journal.remove(record.name)
        else:
            record.phase = INSTRUMENTED
            self._journal.write(record)
        return f"{record.name}: {what} {'finished' if forward else 'taken back, the original runs'}"

    def records(self) -> list[Record]:
        """Return what is known of every container, by name."""
        return [record for name in self._journal.names() if (record := self._journal.read(name)) is not None]

    async def running_state(self, record: Record) -> str:
        """Return how a recorded container is now: the engine's word, or that it is gone or another one."""
        try:
            inspect = await self._engine.inspect(record.name)
        except NotFound:
            return "gone"
        labels = inspect["Config"].get("Labels") or {}
        if record.phase == INSTRUMENTED and labels.get(ID_LABEL) != record.token:
            return "re-created by somebody"
        health = (inspect["State"].get("Health") or {}).get("Status")
        return f"{inspect['State']['Status']}{f' ({health})' if health else ''}"

    async def _inspect(self, name: str) -> Mapping[str, Any]:
        try:
            return await self._engine.inspect(name)
        except NotFound as error:
            raise Refused(f"{name}: there is no such container; see `docker ps`") from error

    def _check_record(self, inspect: Mapping[str, Any], options: Options) -> None:
        record = self._journal.read(container_name(inspect))
        self._check_interrupted(record)
        if record is None or record.phase != ROLLED_BACK or options.force:
            return
        if record.image == inspect["Image"]:
            reason = f"it was rolled back before with this image: {record.reason}"
            raise Refused(f"{record.name}: {reason}; change the image, or try again with --force")

    def _check_interrupted(self, record: Record | None) -> None:
        if record is not None and record.swap is not None:
            raise Refused(
                f"{record.name}: an earlier run was interrupted; run `ophion-agent instrument --recover` first"
            )


async def _first_span(arrivals: Arrivals, seconds: float) -> str:
    with suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            while not arrivals.first_span:
                arrivals.changed.clear()
                await arrivals.changed.wait()
    return arrivals.first_span


async def _certainly(name: str, work: Coroutine[Any, Any, None]) -> None:
    try:
        await _finish_anyway(work)
    except EngineError as error:
        remedy = "run `ophion-agent instrument --recover` once the engine answers"
        raise InstrumentError(f"{name}: the exchange could not be ended: {error}; {remedy}") from error


async def _finish_anyway(work: Coroutine[Any, Any, None]) -> None:
    """Await work to its end even when this task is cancelled meanwhile: half an exchange must not stay."""
    task = asyncio.ensure_future(work)
    cancelled = False
    while not task.done():
        try:
            async with asyncio.timeout(_REVERT_SECONDS):
                await asyncio.shield(task)
        except asyncio.CancelledError:
            if task.cancelled():
                raise
            cancelled = True
        except TimeoutError as error:
            if not task.done():
                task.cancel()
                raise EngineTimeout(f"the engine did not answer within {_REVERT_SECONDS} s") from error
    task.result()
    if cancelled:
        raise asyncio.CancelledError


@asynccontextmanager
async def open_instrumentation(
    endpoint: str, agent: Agent, journal: Journal, say: Say = lambda _: None
) -> AsyncIterator[Instrumentation]:
    """Give the instrumentation of the engine at an endpoint (empty: DOCKER_HOST or the usual sockets)."""
    engine = Engine(endpoint)
    try:
        await engine.open()
        yield Instrumentation(engine, agent, journal, say)
    finally:
        await engine.close()
