"""Batches that a destination refused for good, kept on disk until somebody replays them."""

import asyncio
from collections.abc import Awaitable, Callable

from ophion_agent.batch import Batch
from ophion_agent.durable import DurableQueue
from ophion_agent.durable.reader import Entry
from ophion_agent.errors import PermanentError
from ophion_agent.log import Log
from ophion_agent.records import decode_record, encode_record


class DeadLetters:
    """A bounded store; what does not fit any more is dropped and counted by the caller."""

    def __init__(self, queue: DurableQueue, log: Log) -> None:
        self._queue = queue
        self._log = log
        self._replaying = asyncio.Lock()

    @property
    def count(self) -> int:
        """Number of batches kept."""
        return self._queue.records

    async def keep(self, batch: Batch, reason: str, now_ns: int) -> None:
        """Keep a batch with why and when it was refused; raise RetryableError or PermanentError without room for it."""
        await self.keep_record(encode_record(batch, reason=reason, refused_unix_nano=now_ns))

    async def keep_record(self, record: bytes) -> None:
        """Keep a record of a sending queue as it is; raise as `keep` does."""
        await self._queue.append(record)

    async def replay(self, send: Callable[[Batch], Awaitable[None]]) -> int:
        """Hand every batch kept now to `send`, oldest first, and forget those it takes; return how many that were.

        What `send` refuses for good stays, and so does what this version cannot read. Stops at the first batch that
        `send` cannot take at the moment.
        """
        async with self._replaying:
            staying: list[Entry] = []
            replayed = 0
            try:
                for _ in range(self._queue.records):
                    entry = await self._queue.take()
                    staying.append(entry)
                    if await self._resend(entry, send):
                        staying.pop()
                        await self._queue.done(entry)
                        replayed += 1
            finally:
                for entry in staying:
                    self._queue.requeue(entry)
            return replayed

    async def _resend(self, entry: Entry, send: Callable[[Batch], Awaitable[None]]) -> bool:
        try:
            await send(decode_record(entry.record))
        except PermanentError as error:
            self._log.warning("dead_letter_stays", error=str(error))
            return False
        return True

    async def close(self) -> None:
        """Release the store."""
        await self._queue.close()
