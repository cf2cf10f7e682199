"""The `self` receiver: the agent's own log, metrics and traces, into pipelines."""

import asyncio
import contextlib
import logging
import platform
import uuid
from typing import Final

from ophion_agent.plugin import Context, Logs, Metrics, OphionError, PermanentError, Receiver, Traces
from ophion_extensions.self_config import SelfConfig
from ophion_extensions.self_encoding import encode_logs, encode_metrics
from ophion_extensions.self_logs import DELIVERING, LogTap
from ophion_extensions.self_traces import AttemptTap, encode_attempts

_RETRY_SECONDS: Final = 5.0
_LAST_FLUSH_SECONDS: Final = 1.0
_LEVELS: Final = {"debug": logging.DEBUG, "info": logging.INFO, "warn": logging.WARNING, "error": logging.ERROR}


class SelfReceiver(Receiver[SelfConfig, Logs | Metrics | Traces]):
    """Brings the agent's own log, metrics and traces into pipelines."""

    type_name = "self"

    def __init__(self, config: SelfConfig, context: Context) -> None:
        super().__init__(config, context)
        self._tap: LogTap | None = None
        self._attempts: AttemptTap | None = None
        self._resource: dict[str, str] = {}

    async def start(self) -> None:
        """Begin with what configured pipelines take."""
        self._resource = {
            "service.name": "ophion-agent",
            "service.version": self.context.agent.version,
            "service.instance.id": str(uuid.uuid4()),
            "host.name": platform.node(),
            **self.config.resource,
        }
        if Logs in self.signals and self.config.logs.enabled:
            self._tap = LogTap(self.context, _LEVELS[self.config.logs.level], self.config.logs.queue_size)
            self._tap.attach()
            self.context.spawn("logs", self._pass_logs_on)
        if Metrics in self.signals and self.config.metrics.enabled:
            self.context.spawn("metrics", self._pass_metrics_on)
        if Traces in self.signals and self.config.traces.enabled:
            self._attempts = AttemptTap(self.context, self._resource["service.instance.id"])
            self._attempts.attach()
            self.context.spawn("traces", self._pass_traces_on)

    async def stop(self) -> None:
        """Pass on the records that wait, and take no more."""
        tap, self._tap = self._tap, None
        if self._attempts is not None:
            self._attempts.detach()
        if tap is None:
            return
        tap.detach()
        await self.context.cancel_tasks()
        with contextlib.suppress(OphionError, TimeoutError):
            await self.context.clock.wait_for(self._flush(tap), _LAST_FLUSH_SECONDS)

    # ---- logs

    async def _pass_logs_on(self) -> None:
        tap = self._tap
        while tap is not None:
            await tap.wait()
            await self.context.clock.sleep(self.config.logs.flush_interval)
            pipelines = self.context.agent.pipelines()
            if not pipelines:  # the agent is still starting
                continue
            tap.watch_path(pipelines)
            try:
                await self._flush(tap)
            except OphionError:
                await self.context.clock.sleep(_RETRY_SECONDS)

    async def _flush(self, tap: LogTap) -> None:
        while records := tap.take():
            batch = encode_logs(records, self._resource, self.context.clock.now_ns())
            try:
                await self._emit_quietly(batch)
            except PermanentError:
                self.context.counter("ophion_self_dropped_log_records").add(len(records))
            except (OphionError, asyncio.CancelledError):
                tap.give_back(records)
                raise

    async def _emit_quietly(self, batch: Logs | Metrics | Traces) -> None:
        token = DELIVERING.set(True)
        try:
            await self.emit(batch)
        finally:
            DELIVERING.reset(token)

    # ---- metrics

    async def _pass_metrics_on(self) -> None:
        while True:
            await self.context.clock.sleep(self.config.metrics.interval)
            samples, agent = self.context.metrics.samples(), self.context.agent
            batch = encode_metrics(samples, self._resource, agent.started_ns, self.context.clock.now_ns())
            # Cumulative sums: the next reading holds all that this one did.
            with contextlib.suppress(OphionError):
                await self._emit_quietly(batch)

    # ---- traces

    async def _pass_traces_on(self) -> None:
        tap = self._attempts
        while tap is not None:
            attempts = await tap.take()
            try:
                await self._emit_quietly(encode_attempts(attempts, self._resource))
            except OphionError:
                self.context.counter("ophion_self_dropped_spans").add(len(attempts))
            await self.context.clock.sleep(self.config.traces.flush_interval)
