"""Batches that a destination refused for good, kept on disk until somebody replays them."""

from collections.abc import Awaitable, Callable

from ophion_agent.batch import Batch
from ophion_agent.durable import DurableQueue
from ophion_agent.errors import OphionError
from ophion_agent.log import Log
from ophion_agent.records import decode_record, encode_record


class DeadLetters:
    """A bounded store; what does not fit any more is dropped and counted by the caller."""

    def __init__(self, queue: DurableQueue, log: Log) -> None:
        self._queue = queue
        self._log = log

    @property
    def count(self) -> int:
        """Number of batches kept."""
        return self._queue.records

    async def keep(self, batch: Batch, reason: str, now_ns: int) -> bool:
        """Keep a batch with why and when it was refused; return False when there is no room for it."""
        try:
            await self._queue.append(encode_record(batch, reason=reason, refused_unix_nano=now_ns))
        except OphionError as error:
            self._log.error("dead_letter_lost", items=len(batch), error=str(error))
            return False
        return True

    async def replay(self, send: Callable[[Batch], Awaitable[None]]) -> int:
        """Hand every batch kept now to `send`, oldest first, and forget those it takes; return how many that were.

        Stops at the first batch that `send` refuses, which stays.
        """
        replayed = 0
        for _ in range(self._queue.records):
            entry = await self._queue.take()
            try:
                await send(decode_record(entry.record))
            except BaseException:
                self._queue.requeue(entry)
                raise
            await self._queue.done(entry)
            replayed += 1
        return replayed

    async def close(self) -> None:
        """Release the store."""
        await self._queue.close()
