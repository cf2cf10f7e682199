"""The sending stack before every exporter: queue -> batch -> retry -> timeout -> one attempt, and dead letters behind.

What a sender may rely on is in docs/delivery.md.
"""

import asyncio
from typing import Any

from ophion_agent.batch import Batch
from ophion_agent.collecting import Collector, Parcel
from ophion_agent.component import Exporter, as_ophion_error
from ophion_agent.dead_letters import DeadLetters
from ophion_agent.delivery import ExporterConfig
from ophion_agent.errors import OphionError, PermanentError, RetryableError
from ophion_agent.info import QueueInfo
from ophion_agent.queues import DiskQueue, MemoryQueue, SendingQueue
from ophion_agent.retrying import Retrying
from ophion_agent.services import QUEUE_STORAGE

LOG_REPEAT_SECONDS = 60.0


class Sender:
    """Takes batches from pipelines on behalf of one exporter and delivers them."""

    def __init__(self, exporter: Exporter[Any, Any]) -> None:
        self.exporter = exporter
        self.context = exporter.context
        config = exporter.config
        self.config = config if isinstance(config, ExporterConfig) else None
        self._name = f"exporter {self.context.id}"
        self._queue: SendingQueue | None = None
        self._dead_letters: DeadLetters | None = None
        self._retrying: Retrying | None = None
        self._collector: Collector | None = None
        self._gathering = asyncio.Lock()
        self._stopping = False
        self._in_flight = 0
        self._progress = asyncio.Event()
        self._last_error = ""
        self._failing = self._queue_full = False
        self._logged_at = float("-inf")

    @property
    def is_durable(self) -> bool:
        """Whether what this sender has taken survives the agent."""
        return self.config is not None and self.config.sending_queue.enabled and bool(self.config.sending_queue.storage)

    async def start(self) -> None:
        """Open the queue and start its consumers; the exporter itself is started before."""
        if self.config is None:
            return
        config, clock = self.config, self.context.clock
        self._retrying = Retrying(config.retry_on_failure, config.timeout, self._max_elapsed(config), clock, self._name)
        self._dead_letters = await self._open_dead_letters(config)
        if not config.sending_queue.enabled:
            return
        self._queue = queue = await self._open_queue(config)
        self._collector = Collector(queue, config.sending_queue.batch, clock)
        self.context.gauge("otelcol_exporter_queue_size", lambda: queue.size)
        self.context.gauge("otelcol_exporter_queue_capacity", lambda: config.sending_queue.queue_size)
        self.context.gauge("ophion_exporter_queue_bytes", lambda: queue.nbytes)
        self.context.gauge("otelcol_exporter_in_flight_requests", lambda: self._in_flight)
        for number in range(config.sending_queue.num_consumers):
            self.context.spawn(f"consumer-{number}", self._consume_queue)

    def _max_elapsed(self, config: ExporterConfig) -> float:
        chosen = "max_elapsed_time" in config.retry_on_failure.model_fields_set
        return 0.0 if self.is_durable and not chosen else config.retry_on_failure.max_elapsed_time

    async def _open_queue(self, config: ExporterConfig) -> SendingQueue:
        settings = config.sending_queue
        if settings.storage is None:
            return MemoryQueue(settings, self._name)
        storage = self.context.service(QUEUE_STORAGE, settings.storage)
        queue = await storage.open_queue(f"queue/{self.context.id}", settings.max_bytes)
        return DiskQueue(queue, settings, self._name)

    async def _open_dead_letters(self, config: ExporterConfig) -> DeadLetters | None:
        extension = config.dead_letter.storage or config.sending_queue.storage
        if extension is None:
            return None
        storage = self.context.service(QUEUE_STORAGE, extension)
        queue = await storage.open_queue(f"dead_letters/{self.context.id}", config.dead_letter.max_bytes)
        return DeadLetters(queue, self.context.log)

    # ---- taking

    async def consume(self, batch: Batch, /) -> None:
        """Deliver the batch or take responsibility for it; raise RetryableError or PermanentError when neither."""
        if self._stopping:
            raise RetryableError(f"{self._name}: the agent is stopping; send again later")
        if self._queue is None:
            await self._deliver(batch)
            return
        result = self._result_wanted()
        try:
            await self._queue.put(batch, result)
        except OphionError as error:
            self._count("enqueue_failed", batch)
            self._note_queue(full=isinstance(error, RetryableError))
            raise
        if self._queue_full:
            self._note_queue(full=False)
        if result is not None:
            await result

    def _result_wanted(self) -> "asyncio.Future[None] | None":
        if self.config is not None and self.config.sending_queue.wait_for_result:
            return asyncio.get_running_loop().create_future()
        return None

    # ---- delivering

    async def _consume_queue(self) -> None:
        assert self._collector is not None
        while not self._stopping or not self.is_durable:
            async with self._gathering:
                parcels = await self._collector.next_parcels()
            for parcel in parcels:
                await self._send(parcel)

    async def _send(self, parcel: Parcel) -> None:
        assert self._queue is not None
        failure: OphionError | None = None
        waited_for = any(item.result is not None for item in parcel.items)
        for batch in parcel.batches:
            try:
                await self._deliver(batch)
            except OphionError as error:
                failure = error
                if not waited_for:
                    await self._bury(batch, error)
        for item in parcel.items:
            await self._queue.done(item)
            if item.result is not None and not item.result.done():
                item.result.set_result(None) if failure is None else item.result.set_exception(failure)
        self._progress.set()

    async def _deliver(self, batch: Batch) -> None:
        try:
            if self._retrying is None:
                await self._attempt(batch)
            else:
                await self._retrying.run(lambda: self._attempt(batch), self._note_failure)
        except OphionError as error:
            self._note_failure(error)
            self._count("send_failed", batch)
            raise
        self._count("sent", batch)
        if self._failing:
            self._note_recovery()

    async def _attempt(self, batch: Batch) -> None:
        self._in_flight += 1
        try:
            await self.exporter.export(batch)
        except Exception as error:
            raise as_ophion_error(error, self._name) from error
        finally:
            self._in_flight -= 1
            self._progress.set()

    async def _bury(self, batch: Batch, error: OphionError) -> None:
        now_ns = self.context.clock.now_ns()
        if self._dead_letters is not None and await self._dead_letters.keep(batch, str(error), now_ns):
            self._count("dead_lettered", batch, prefix="ophion")
            return
        self._count("dropped", batch, prefix="ophion")
        self.context.log.error("batch_dropped", signal=batch.signal, items=len(batch), error=str(error))

    def _count(self, outcome: str, batch: Batch, prefix: str = "otelcol") -> None:
        self.context.counter(f"{prefix}_exporter_{outcome}_{batch.item_name}").add(len(batch))

    # ---- telling how it goes

    def _note_failure(self, error: OphionError) -> None:
        self._failing = True
        self._last_error = str(error)
        self._report()
        now = self.context.clock.monotonic()
        if now - self._logged_at >= LOG_REPEAT_SECONDS:
            self._logged_at = now
            final = isinstance(error, PermanentError)
            self.context.log.warning("delivery_failed", error=str(error), will_retry=not final)

    def _note_recovery(self) -> None:
        self._failing = False
        self._logged_at = float("-inf")
        self.context.log.info("delivery_recovered")
        self._report()

    def _note_queue(self, *, full: bool) -> None:
        if full and not self._queue_full:
            self.context.log.warning("queue_full")
        self._queue_full = full
        self._report()

    def _report(self) -> None:
        reasons = [reason for reason, holds in (("sending queue is full", self._queue_full),) if holds]
        if self._failing:
            reasons.append(self._last_error)
        if reasons:
            self.context.health.degraded("; ".join(reasons))
        else:
            self.context.health.ok()

    def queue_info(self) -> QueueInfo | None:
        """Return the state of the queue, or None where the exporter has none."""
        if self._queue is None or self.config is None:
            return None
        settings = self.config.sending_queue
        return QueueInfo(
            exporter=self.context.id,
            sizer=settings.sizer,
            size=self._queue.size,
            capacity=settings.queue_size,
            bytes=self._queue.nbytes,
            in_flight=self._in_flight,
            durable=self.is_durable,
            dead_letters=self._dead_letters.count if self._dead_letters else 0,
            last_error=self._last_error if self._failing else "",
        )

    # ---- replay and stop

    async def replay(self) -> int:
        """Send every dead letter again and return how many; each leaves the store once it was taken."""
        return await self._dead_letters.replay(self.consume) if self._dead_letters else 0

    async def stop(self, seconds: float) -> None:
        """Take nothing more, deliver what waits for at most `seconds`, then count what is lost.

        A durable queue only ends the attempts under way: what waits in it stays on the disk.
        """
        self._stopping = True
        try:
            await self.context.clock.wait_for(self._until_idle(), seconds)
        except TimeoutError:
            self.context.log.warning("drain_deadline_passed", seconds=seconds)
        await self.context.cancel_tasks()
        if self._queue is not None:
            lost = await self._queue.close()
            if lost:
                self.context.counter("ophion_exporter_lost_items_at_stop").add(lost)
                self.context.log.error("items_lost_at_stop", items=lost)
            self._queue = None
        if self._dead_letters is not None:
            await self._dead_letters.close()
            self._dead_letters = None

    async def _until_idle(self) -> None:
        while self._in_flight or (self._queue is not None and not self.is_durable and self._queue.size):
            self._progress.clear()
            await self._progress.wait()
