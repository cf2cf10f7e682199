"""The `batch` processor: joins small requests into large ones, still encoded, and answers when those were taken."""

import asyncio
from dataclasses import dataclass, field
from typing import Any

from pydantic import Field, model_validator

from ophion_agent.plugin import (
    NO_METADATA,
    SENDER_PREFIX,
    Batch,
    Config,
    Context,
    Duration,
    Logs,
    Metadata,
    Metrics,
    Processor,
    RetryableError,
    Traces,
)
from ophion_processors.quiet import QuietPeriod

# Bounds of what waits behind a slow consumer, in multiples of a full batch and in bytes of encoded requests.
_WAITING_BATCHES = 8
_WAITING_BYTES = 128 * 1024 * 1024
_QUIET_SHARE = 0.1
# Pause before a batch is offered again to a consumer that refused it for now.
_RETRY_SECONDS = 0.1

Records = Traces | Metrics | Logs
ShardKey = tuple[type[Batch] | tuple[str, tuple[str, ...]], ...] | type[Batch]


class BatchConfig(Config):
    """Options of the batch processor."""

    send_batch_size: int = Field(8192, ge=0, description="Send once this many items wait; 0 sends at once.")
    timeout: Duration = Field(0.2, ge=0, description="Longest wait for more items; 0 sends at once.")
    send_batch_max_size: int = Field(
        0, ge=0, description="Largest batch in items; a larger request is split. 0 is no limit."
    )
    metadata_keys: list[str] = Field(
        [], description="Headers that senders must agree in to be joined; only these are passed on."
    )
    metadata_cardinality_limit: int = Field(
        1000, ge=0, description="Most combinations of header values that may wait at the same time; 0 is no limit."
    )
    quiet_period: Duration | None = Field(
        None,
        ge=0,
        description="Send early when nothing came in for this long, since all senders may be waiting for their answer; "
        "as long as timeout, it has no effect. By default it follows the pace of requests, up to a tenth of timeout.",
    )

    @model_validator(mode="after")
    def _agrees(self) -> "BatchConfig":
        if 0 < self.send_batch_max_size < self.send_batch_size:
            raise ValueError(
                f"send_batch_max_size: must be at least send_batch_size ({self.send_batch_size}), "
                f"got {self.send_batch_max_size}"
            )
        names = [name.lower() for name in self.metadata_keys]
        twice = sorted({name for name in names if names.count(name) > 1})
        if twice:
            raise ValueError(f"metadata_keys: {twice[0]!r} is listed twice; case does not matter, remove one")
        return self


@dataclass(slots=True)
class _Waiting:
    batch: Any
    items: int
    answer: "asyncio.Future[Exception | None] | None"


@dataclass(slots=True)
class _Shard:
    """Requests that may be joined with one another."""

    metadata: Metadata
    waiting: list[_Waiting] = field(default_factory=list)
    items: int = 0
    nbytes: int = 0
    arrivals: int = 0
    since: float = 0.0
    hurry: asyncio.Event = field(default_factory=asyncio.Event)
    idle: asyncio.Event = field(default_factory=asyncio.Event)

    def take(self, size: int, limit: int) -> list[_Waiting]:
        """Remove and return requests, from the oldest on, up to `size` items and, unless it is one, at most `limit`."""
        items = taken = 0
        for request in self.waiting:
            if taken and (items >= size or (limit and items + request.items > limit)):
                break
            items += request.items
            taken += 1
        group, self.waiting = self.waiting[:taken], self.waiting[taken:]
        self.items -= items
        self.nbytes -= sum(request.batch.nbytes for request in group)
        return group

    def give_back(self, group: list[_Waiting]) -> None:
        """Put requests that were taken back in front of the others."""
        self.waiting[:0] = group
        self.items += sum(request.items for request in group)
        self.nbytes += sum(request.batch.nbytes for request in group)


class BatchProcessor(Processor[BatchConfig, Traces | Metrics | Logs]):
    """Joins requests until a size, a timeout or a quiet period is reached.

    Each sender waits until the batch that holds its request was taken by the next consumer, and gets that consumer's
    error, so nothing is acknowledged that exists only here. A request whose sender has gone is still delivered.
    Where every exporter behind it queues in memory, senders are answered at once: what waits here is as safe as what
    waits there. A batch that is refused for now is then kept and tried again, and senders are refused once too much
    waits.
    Requests are joined whole and never cut to fill a batch; only one that alone exceeds send_batch_max_size is split.
    """

    type_name = "batch"

    def __init__(self, config: BatchConfig, context: Context) -> None:
        super().__init__(config, context)
        self._shards: dict[ShardKey | type[Batch], _Shard] = {}
        self._keys = [name.lower() for name in config.metadata_keys]
        self._immediate = config.timeout == 0 or config.send_batch_size == 0
        longest = config.timeout * _QUIET_SHARE if config.quiet_period is None else config.quiet_period
        self._quiet = QuietPeriod(longest, fixed=config.quiet_period is not None)
        self._max_waiting = _WAITING_BATCHES * max(config.send_batch_size, config.send_batch_max_size)
        self._full_sends = context.counter("otelcol_processor_batch_batch_size_trigger_send")
        self._timed_sends = context.counter("otelcol_processor_batch_timeout_trigger_send")
        self._dropped = context.counter("ophion_processor_dropped_items")
        self._draining = False

    async def start(self) -> None:
        """Begin to report the number of header combinations."""
        self.context.gauge("otelcol_processor_batch_metadata_cardinality", lambda: float(len(self._shards)))

    async def consume(self, batch: Records, /) -> None:
        """Return when the batch was taken by the next consumer, joined with others; raise what that raised."""
        items = len(batch)
        if items == 0:
            return
        metadata = self._metadata_of(batch) if batch.metadata else NO_METADATA
        if self._immediate or self._draining:
            batch.metadata = metadata
            await self._send(batch)
            return
        shard = self._shard(batch, metadata, items)
        if shard.items + items > self._max_waiting or shard.nbytes + batch.nbytes > _WAITING_BYTES:
            self._refuse_if_waiting(shard)
        answer = self._enqueue(shard, batch, items)
        if answer is not None:
            error = await answer
            if error is not None:
                raise error.with_traceback(None)

    def _metadata_of(self, batch: Records) -> Metadata:
        # What is known about senders, such as their tenant, must never be joined with somebody else's data.
        keys = self._keys
        kept = {key: batch.metadata[key] for key in batch.metadata if key in keys or key.startswith(SENDER_PREFIX)}
        return kept or NO_METADATA

    def _shard(self, batch: Records, metadata: Metadata, items: int) -> _Shard:
        signal = type(batch)
        key = (signal, *sorted(metadata.items())) if metadata else signal
        shard = self._shards.get(key)
        if shard is None:
            limit = self.config.metadata_cardinality_limit
            if metadata and 0 < limit <= len(self._shards):
                raise RetryableError(
                    f"batch: {limit} combinations of {', '.join(self._keys or metadata)} are waiting already; "
                    "raise metadata_cardinality_limit or choose fewer metadata_keys",
                    admission=True,
                )
            shard = self._shards[key] = _Shard(metadata)
            self.context.spawn("flush", lambda: self._flush(key, shard))
        return shard

    def _refuse_if_waiting(self, shard: _Shard) -> None:
        if shard.waiting:
            raise RetryableError(
                f"batch: {shard.items} items wait for a consumer that is slower than the senders", admission=True
            )

    def _enqueue(self, shard: _Shard, batch: Records, items: int) -> "asyncio.Future[Exception | None] | None":
        now, joins_others = self.context.clock.monotonic(), bool(shard.waiting)
        self._quiet.arrived(now, joins_others=joins_others)
        if not joins_others:
            shard.since = now
        answer: asyncio.Future[Exception | None] | None = None
        if self.must_wait:
            answer = asyncio.get_running_loop().create_future()
        shard.waiting.append(_Waiting(batch.compact(), items, answer))
        shard.items += items
        shard.nbytes += batch.nbytes
        shard.arrivals += 1
        if shard.items >= self.config.send_batch_size:
            shard.hurry.set()
        return answer

    async def _flush(self, key: ShardKey | type[Batch], shard: _Shard) -> None:
        """Send what comes into a shard until nothing is left in it."""
        try:
            while shard.waiting:
                await self._wait_for_more(shard)
                full = shard.items >= self.config.send_batch_size
                (self._full_sends if full else self._timed_sends).add()
                await self._send_group(shard)
        finally:
            self._shards.pop(key, None)
            self._conclude(shard.waiting, _stopping())
            shard.idle.set()

    async def _wait_for_more(self, shard: _Shard) -> None:
        """Wait until the shard is full, its oldest request is due, or nothing came in for the quiet period."""
        due, arrivals = shard.since + self.config.timeout, -1
        clock = self.context.clock
        while not self._draining and shard.items < self.config.send_batch_size and shard.arrivals != arrivals:
            left = due - clock.monotonic()
            if left <= 0:
                return
            arrivals = shard.arrivals
            shard.hurry.clear()
            try:
                quiet = self._quiet.seconds() if self.must_wait else left
                await clock.wait_for(shard.hurry.wait(), min(left, quiet))
            except TimeoutError:
                continue

    async def _send_group(self, shard: _Shard) -> None:
        group = shard.take(self.config.send_batch_size, self.config.send_batch_max_size)
        shard.since = self.context.clock.monotonic()
        self._quiet.sent(len(group))
        error: Exception | None = _stopping()
        try:
            batch = type(group[0].batch).join([request.batch for request in group])
            batch.metadata = shard.metadata
            await self._send(batch)
            error = None
        except Exception as failure:  # noqa: BLE001 - whatever it is belongs to the senders, not to the flush task
            error = failure
        finally:
            if isinstance(error, RetryableError) and not self.must_wait:
                shard.give_back(group)
            else:
                self._conclude(group, error)
        if isinstance(error, RetryableError) and not self.must_wait:
            await self.context.clock.sleep(max(_RETRY_SECONDS, error.retry_after_seconds or 0.0))

    def _conclude(self, group: list[_Waiting], error: Exception | None) -> None:
        """Tell the senders of a group how it went; what nobody waits for any more is counted when it is lost."""
        _answer(group, error)
        lost = sum(request.items for request in group if request.answer is None)
        if error is not None and lost:
            self._dropped.add(lost)
            self.log.error("batch_dropped", items=lost, error=str(error))

    async def _send(self, batch: Records) -> None:
        limit = self.config.send_batch_max_size
        for part in batch.split(limit) if limit else (batch,):
            await self.next.consume(part)

    def hurry(self) -> None:
        """Send what waits and what comes in at once."""
        self._draining = True
        for shard in self._shards.values():
            shard.hurry.set()

    async def drain(self) -> None:
        """Send everything that waits, at once."""
        self.hurry()
        for shard in list(self._shards.values()):
            await shard.idle.wait()

    async def stop(self) -> None:
        """Answer the senders that still wait with a retryable error, and count what was answered and is still here."""
        for shard in self._shards.values():
            waiting, shard.waiting = shard.waiting, []
            self._conclude(waiting, _stopping())


def _stopping() -> RetryableError:
    return RetryableError("batch: the agent is stopping")


def _answer(group: list[_Waiting], error: Exception | None) -> None:
    for request in group:
        if request.answer is not None and not request.answer.done():
            request.answer.set_result(error)
