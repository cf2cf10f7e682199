"""Follows the output of one container: reads, joins, delivers, and only then moves its position on."""

from __future__ import annotations

import asyncio
from enum import Enum
from typing import TYPE_CHECKING, Final, Protocol

from ophion_agent.plugin import Clock, Log, Logs, PermanentError, RetryableError
from ophion_docker.engine import Engine
from ophion_docker.engine_errors import Conflict, EngineAnswer, EngineError, EngineUnavailable, NotFound
from ophion_docker.engine_frames import FrameReader
from ophion_docker.logs_config import DockerLogsConfig
from ophion_docker.logs_encoding import LogEncoder
from ophion_docker.logs_limit import LineLimit
from ophion_docker.logs_lines import Line, LineReader
from ophion_docker.logs_multiline import MultilineJoiner
from ophion_docker.logs_position import Position
from ophion_docker.metadata import Container, seconds_text

if TYPE_CHECKING:
    import aiohttp

_BATCH_BYTES: Final = 256 << 10
_FIRST_WAIT: Final = 0.5
_LONGEST_WAIT: Final = 30.0
# The others are read from the engine's local copy.
_MARKING_DRIVERS: Final = ("", "json-file", "journald")
_UNREADABLE: Final = "does not support reading"


class Pipeline(Protocol):
    """What a follower hands its lines to: the receiver."""

    def admit(self, nbytes: int) -> None:
        """Raise RetryableError when `nbytes` may not come in now."""

    async def emit(self, batch: Logs) -> None:
        """Deliver a batch; raises RetryableError or PermanentError."""

    def encoder(self, container: Container) -> LogEncoder:
        """Return the encoder of a container's lines."""

    def delivered(self, container: Container, position: Position) -> None:
        """A container's position moved on."""

    def dropped(self, lines: int, limited: bool) -> None:
        """Lines were given up: by the rate limit, or refused for good by the pipeline."""


class Stopping(Exception):  # noqa: N818 - no error
    """The agent stops while lines could not be delivered; they will be read again."""


class _Outcome(Enum):
    """How one pass over a container's output ended."""

    ENDED = "the engine ended it"
    BROKEN = "the connection or the engine failed"
    GONE = "the container was removed"
    UNREADABLE = "its log driver cannot be read"


class Follower:
    """Reads one container's output until it ends, across lost connections; `stopped` once the container has ended."""

    def __init__(
        self,
        container: Container,
        position: Position,
        config: DockerLogsConfig,
        engine: Engine,
        clock: Clock,
        log: Log,
        pipeline: Pipeline,
    ) -> None:
        self.container = container
        self.position = position
        self.stopped = False
        self.done = asyncio.Event()
        self._config = config
        self._engine = engine
        self._clock = clock
        self._log = log
        self._pipeline = pipeline
        self._encoder = pipeline.encoder(container)
        unmarked = container.runtime == "docker" and container.log_driver not in _MARKING_DRIVERS
        self._lines = LineReader(config.max_log_size, clock.now_ns, tty=container.tty, unmarked=unmarked)
        pattern, limit = config.multiline.line_start_pattern, config.rate_limit
        self._multiline = MultilineJoiner(pattern, config.multiline.max_lines, config.max_log_size) if pattern else None
        self._limit = LineLimit(limit.lines_per_second, limit.burst, clock.monotonic) if limit else None
        self._ready: list[Line] = []
        self._used: list[Line] = []
        self._bytes = 0
        self._flush_at: float | None = None
        self._message_ends_at: float | None = None
        self._response: aiohttp.ClientResponse | None = None
        self._interrupted = False
        self._ending = False
        # Lines that this pass brought, and those that the one before had to leave for it.
        self._brought = self._left = 0
        self._changed = asyncio.Event()

    # What the receiver tells

    def update(self, container: Container) -> None:
        """The container runs, perhaps again, perhaps under another name."""
        self.container, self.stopped = container, False
        self._encoder = self._pipeline.encoder(container)

    def container_stopped(self) -> None:
        """The container ended: what is left to read is the last."""
        self.stopped = True
        self._changed.set()

    def end(self) -> None:
        """Deliver what was read and stop reading; `done` is set after that."""
        self._ending = True
        self._changed.set()
        self.interrupt()

    def interrupt(self) -> None:
        """Connect anew: the connection may be dead without a sign."""
        self._interrupted = True
        if self._response is not None:
            self._response.close()

    # Reading

    async def run(self) -> None:
        """Follow until the container has ended and everything was read, or until `end`."""
        # After a crash: what was not delivered is read again.
        self._forget_batch()
        try:
            await self._run()
        except Stopping:
            pass
        finally:
            self.done.set()

    async def _run(self) -> None:
        wait = _FIRST_WAIT
        while not self._ending:
            last, began = self.stopped, self._clock.monotonic()
            outcome = await self._try()
            # A connection that breaks looks like the end: only a pass that brings nothing new is the last one.
            complete = outcome is _Outcome.GONE or (outcome is _Outcome.ENDED and last and self._brought <= self._left)
            await self._finish(complete=complete)
            # It may have been started again meanwhile.
            if outcome in (_Outcome.GONE, _Outcome.UNREADABLE) or (complete and self.stopped):
                return
            wait = _FIRST_WAIT if self._clock.monotonic() - began > _LONGEST_WAIT else min(wait * 2, _LONGEST_WAIT)
            await self._pause(0.0 if self.stopped and outcome is _Outcome.ENDED else wait)

    async def _try(self) -> _Outcome:
        """Read to the end of the output, or until the connection is lost."""
        name = self.container.name
        try:
            await self._follow()
        except NotFound:
            return _Outcome.GONE
        except EngineAnswer as error:
            if _UNREADABLE in error.reason:
                self._log.warning(
                    "logs_not_readable", container=name, driver=self.container.log_driver, error=str(error)
                )
                return _Outcome.UNREADABLE
            # While it is being removed the engine answers that it is dead.
            if isinstance(error, Conflict) and self.stopped:
                return _Outcome.GONE
            self._log.warning("logs_refused", container=name, error=str(error))
        except EngineError as error:
            if not self._ending:
                self._log.info("logs_interrupted", container=name, error=str(error))
        else:
            return _Outcome.ENDED
        return _Outcome.BROKEN

    async def _pause(self, seconds: float) -> None:
        self._changed.clear()
        try:
            await self._clock.wait_for(self._changed.wait(), seconds)
        except TimeoutError:
            return

    async def _follow(self) -> None:
        config, position = self._config, self.position
        self._lines.reset()
        position.resume()
        self._brought = 0
        self._interrupted = False
        stream = self._engine.logs(
            self.container.id,
            follow=True,
            timestamps=True,
            since=seconds_text(position.since_ns) if position.since_ns else None,
            stdout="stdout" in config.streams,
            stderr="stderr" in config.streams,
        )
        frames = FrameReader()
        async with stream as response:
            if self._interrupted:
                raise EngineUnavailable("the engine was lost while it was asked")
            self._response = response
            try:
                while chunk := await self._next_chunk(response):
                    await self._admit(len(chunk))
                    self._take(chunk, frames)
                    if self._bytes >= _BATCH_BYTES:
                        await self._flush()
            finally:
                self._response = None

    async def _next_chunk(self, response: aiohttp.ClientResponse) -> bytes:
        """Return what came, empty at the end; what waited long enough is delivered meanwhile."""
        while not self._ending:
            due = self._due()
            try:
                seconds = None if due is None else max(0.0, due - self._clock.monotonic())
                return await self._clock.wait_for(response.content.readany(), seconds)
            except TimeoutError:
                self._end_messages()
                await self._flush()
        return b""

    def _due(self) -> float | None:
        times = [moment for moment in (self._flush_at, self._message_ends_at) if moment is not None]
        return min(times, default=None)

    def _take(self, chunk: bytes, frames: FrameReader) -> None:
        tty, reader = self.container.tty, self._lines
        lines = reader.read_tty(chunk) if tty else reader.read_frames(frames.feed(chunk))
        if self.position.skipping:
            lines = self.position.without_delivered(lines)
        self._brought += len(lines)
        self._add(lines)

    def _add(self, lines: list[Line]) -> None:
        if self._multiline is not None:
            messages, used = self._multiline.add(lines)
            waits = self._clock.monotonic() + self._config.multiline.force_flush_period
            self._message_ends_at = waits if self._multiline.waiting else None
            self._queue(messages, used)
        else:
            self._queue(lines, lines)

    def _queue(self, records: list[Line], used: list[Line]) -> None:
        self._used += used
        if self._limit is not None:
            admitted = self._limit.admit(records)
            if len(admitted) < len(records):
                self._pipeline.dropped(len(records) - len(admitted), True)
            records = admitted
        self._ready += records
        self._bytes += sum([len(text) for _, _, text in records])
        if self._flush_at is None and self._used:
            self._flush_at = self._clock.monotonic() + self._config.flush_interval

    def _end_messages(self) -> None:
        """Let go of messages that no line was added to for long enough."""
        if self._message_ends_at is not None and self._clock.monotonic() >= self._message_ends_at:
            assert self._multiline is not None
            self._message_ends_at = None
            self._queue(*self._multiline.flush())

    async def _finish(self, *, complete: bool) -> None:
        """Deliver what was read; with `complete` also lines that never ended, else those will be read again."""
        if complete:
            last = self._lines.finish()
            self._add(self.position.without_delivered(last))
        if self._multiline is not None:
            if complete:
                self._queue(*self._multiline.flush())
            else:
                self._left = self._multiline.waiting
                self._multiline.reset()
            self._message_ends_at = None
        if not complete:
            self._lines.reset()
        await self._flush()

    # Delivering

    async def _admit(self, nbytes: int) -> None:
        wait = _FIRST_WAIT
        while True:
            try:
                self._pipeline.admit(nbytes)
            except RetryableError as error:
                wait = await self._back_off(error, wait)
            else:
                return

    async def _flush(self) -> None:
        if self._ready:
            payload = self._encoder.encode(self._ready, self._clock.now_ns())
            await self._deliver(Logs.trusted(payload, len(self._ready)))
        if self._used:
            opened = (self._lines.oldest_open_ns, self._multiline.oldest_ns if self._multiline else None)
            oldest = min((moment for moment in opened if moment is not None), default=None)
            self.position.advance(self._used, oldest)
            self._pipeline.delivered(self.container, self.position)
        self._forget_batch()

    def _forget_batch(self) -> None:
        self._ready, self._used, self._bytes, self._flush_at = [], [], 0, None

    async def _deliver(self, batch: Logs) -> None:
        wait = _FIRST_WAIT
        while True:
            try:
                await self._pipeline.emit(batch.share())
            except RetryableError as error:
                wait = await self._back_off(error, wait)
            except PermanentError as error:
                self._pipeline.dropped(len(batch), False)
                self._log.error("logs_not_taken", container=self.container.name, lines=len(batch), error=str(error))
                return
            else:
                return

    async def _back_off(self, error: RetryableError, wait: float) -> float:
        """Wait for a pipeline that takes nothing now; nothing is read meanwhile, and the engine keeps the output."""
        if self._ending:
            raise Stopping from error
        await self._pause(error.retry_after_seconds or wait)
        if self._ending:
            raise Stopping from error
        return min(wait * 2, _LONGEST_WAIT)
