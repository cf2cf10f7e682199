"""The sending stack before every exporter: queue -> batch -> retry -> timeout -> one attempt, and dead letters behind.

What a sender may rely on is in docs/delivery.md.
"""

import asyncio
from typing import Any

from ophion_agent.attempts import Attempt
from ophion_agent.batch import Batch
from ophion_agent.collecting import Collector, Parcel
from ophion_agent.component import Exporter, as_ophion_error
from ophion_agent.dead_letters import DeadLetters
from ophion_agent.delivery import ExporterConfig
from ophion_agent.errors import OphionError, PermanentError, RetryableError
from ophion_agent.health import Status
from ophion_agent.info import QueueInfo
from ophion_agent.log import Repeats
from ophion_agent.queues import DiskQueue, MemoryQueue, SendingQueue
from ophion_agent.retrying import Retrying
from ophion_agent.self_metrics import Counter
from ophion_agent.services import QUEUE_STORAGE
from ophion_agent.slots import Slots
from ophion_agent.tasks import is_being_cancelled

OTELCOL_OUTCOMES = ("sent", "send_failed", "enqueue_failed")
OWN_OUTCOMES = ("dead_lettered", "dropped")


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
        self._counters: dict[type[Batch], dict[str, Counter]] = {}
        self._progress = asyncio.Event()
        self._last_error = ""
        self._failing = self._failure_logged = self._queue_full = False
        self._failures, self._faults, self._drops, self._overflows = (Repeats(self.context.clock) for _ in range(4))

    @property
    def is_durable(self) -> bool:
        """Whether what this sender has taken survives the agent."""
        return self.config is not None and self.config.sending_queue.enabled and bool(self.config.sending_queue.storage)

    @property
    def queues_in_memory(self) -> bool:
        """Whether this sender answers as soon as a batch is in a queue in memory."""
        queue = self.config.sending_queue if self.config is not None else None
        return queue is not None and queue.enabled and not queue.storage and not queue.wait_for_result

    async def start(self) -> None:
        """Open the queue and start its consumers; the exporter itself is started before."""
        if self.config is None:
            return
        config, clock = self.config, self.context.clock
        slots = Slots(config.sending_queue.num_consumers) if config.sending_queue.enabled else None
        elapsed = self._max_elapsed(config)
        self._retrying = Retrying(config.retry_on_failure, config.timeout, elapsed, clock, self._name, slots)
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
        return DiskQueue(queue, settings, self._name, self._set_aside)

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
            if isinstance(error, RetryableError):
                self._note_refusal(error)
            raise
        if self._queue_full:
            self._queue_full = False
            self._report()
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
            for parcel in self._collector.at_hand() or await self._gather():
                await self._send(parcel)

    async def _gather(self) -> list[Parcel]:
        # One consumer at a time, or each would wait for a batch of its own to fill.
        assert self._collector is not None
        async with self._gathering:
            return await self._collector.next_parcels()

    async def _send(self, parcel: Parcel) -> None:
        assert self._queue is not None
        failure: OphionError | None = None
        for batch in parcel.batches:
            try:
                await self._deliver(batch)
            except OphionError as error:
                failure = error
                if not any(item.is_waited_for for item in parcel.items):
                    await self._bury(batch, error)
        for item in parcel.items:
            if item.result is not None and item.is_waited_for:
                item.result.set_result(None) if failure is None else item.result.set_exception(failure)
            await self._queue.done(item)
        if self._queue_full:
            self._queue_full = False
            self._report()
        self._progress.set()

    async def _deliver(self, batch: Batch) -> None:
        try:
            if self._retrying is None:
                await self._attempt(batch)
            else:
                await self._retrying.run(lambda: self._attempt(batch), self._note_failure)
        except OphionError as error:
            self._note_failure(error, will_retry=False)
            self._count("send_failed", batch)
            raise
        self._count("sent", batch)
        if self._failing:
            self._note_recovery()

    async def _attempt(self, batch: Batch) -> None:
        listeners = self.context.metrics.attempt_listeners
        if not listeners:
            await self._export(batch)
            return
        started_ns, failure = self.context.clock.now_ns(), ""
        try:
            await self._export(batch)
        except OphionError as error:
            failure = str(error)
            raise
        finally:
            attempt = Attempt(self.context.id, batch, started_ns, self.context.clock.now_ns(), failure)
            for listener in listeners:
                listener(attempt)

    async def _export(self, batch: Batch) -> None:
        self._in_flight += 1
        try:
            await self.exporter.export(batch)
        except asyncio.CancelledError as error:
            if is_being_cancelled():
                raise
            raise RetryableError(f"{self._name}: the attempt was cancelled by what it waited for") from error
        except Exception as error:
            if not isinstance(error, OphionError) and self._faults.due():
                self.context.log.exception("exporter_fault", error=str(error))
            raise as_ophion_error(error, self._name) from error
        finally:
            self._in_flight -= 1
            self._progress.set()

    async def _bury(self, batch: Batch, error: OphionError) -> None:
        lost = ""
        if self._dead_letters is not None:
            try:
                await self._dead_letters.keep(batch, str(error), self.context.clock.now_ns())
            except OphionError as refusal:
                lost = str(refusal)
            else:
                self._count("dead_lettered", batch)
                return
        self._count("dropped", batch)
        if self._drops.due():
            facts = {"dead_letter_error": lost} if lost else {}
            self.context.log.error("batch_dropped", signal=batch.signal, items=len(batch), error=str(error), **facts)

    async def _set_aside(self, record: bytes, error: PermanentError) -> None:
        """Keep a record of the durable queue that cannot be read with the dead letters: a later version may."""
        kept = self._dead_letters is not None
        try:
            if self._dead_letters is not None:
                await self._dead_letters.keep_record(record)
        except OphionError:
            kept = False
        self.context.counter("ophion_exporter_unreadable_records").add()
        self.context.log.error("queue_record_unreadable", error=str(error), kept_as_dead_letter=kept)
        self._progress.set()

    def _count(self, outcome: str, batch: Batch) -> None:
        counters = self._counters.get(type(batch)) or self._counters_of(type(batch))
        counters[outcome].add(len(batch))

    def _counters_of(self, signal: type[Batch]) -> dict[str, Counter]:
        """Make all counters of a signal with its first batch: what never happened is shown as 0."""
        names = {outcome: f"otelcol_exporter_{outcome}_{signal.item_name}" for outcome in OTELCOL_OUTCOMES}
        names |= {outcome: f"ophion_exporter_{outcome}_{signal.item_name}" for outcome in OWN_OUTCOMES}
        self._counters[signal] = counters = {outcome: self.context.counter(name) for outcome, name in names.items()}
        return counters

    # ---- telling how it goes

    def _note_failure(self, error: OphionError, *, will_retry: bool = True) -> None:
        self._failing = True
        self._last_error = str(error)
        self._report()
        if self._failures.due():
            self._failure_logged = True
            self.context.log.warning("delivery_failed", error=str(error), will_retry=will_retry)

    def _note_recovery(self) -> None:
        self._failing = False
        if self._failure_logged:
            self._failure_logged = False
            self.context.log.info("delivery_recovered")
        self._report()

    def _note_refusal(self, error: RetryableError) -> None:
        self._queue_full = True
        self._report()
        if self._overflows.due():
            self.context.log.warning("queue_refuses", error=str(error))

    def _report(self) -> None:
        reasons = ["the sending queue is full"] if self._queue_full else []
        if self._failing:
            reasons.append(self._last_error)
        if reasons:
            self.context.health.degraded("; ".join(reasons))
        elif self.context.health.status is Status.DEGRADED:
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

    async def flush(self) -> None:
        """Return once the queue is empty."""
        while self._queue is not None and not self._queue.empty:
            self._progress.clear()
            await self._progress.wait()

    async def stop(self, seconds: float) -> None:
        """Take nothing more, deliver what waits for at most `seconds`, then count what is lost.

        A durable queue only ends the attempts under way: what waits in it stays on the disk.
        """
        self._stopping = True
        if self._queue is not None:
            await self._queue.refuse()
        if self._collector is not None and not self.is_durable:
            self._collector.hurry()
        try:
            await self.context.clock.wait_for(self._until_idle(), seconds)
        except TimeoutError:
            self.context.log.warning("drain_deadline_passed", seconds=seconds)
        await self.context.cancel_tasks()
        if self._retrying is not None:
            self._retrying.end()
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
        while self._in_flight or (self._queue is not None and not self.is_durable and not self._queue.empty):
            self._progress.clear()
            await self._progress.wait()
