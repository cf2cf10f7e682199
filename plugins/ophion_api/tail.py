"""Live tail: new log records as server-sent events.

The store is asked once a second for records that it received since the last time, and a little before, because an
insert can become visible after another that came later; what was sent already is known by its id. Records whose own
time is further back than `_LOOKBACK_SECONDS` are not followed: finding them would mean reading the whole store each
second.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Any, Final

import orjson

from ophion_agent.server import BadRequest, Overloaded, Stream
from ophion_api.cursors import decode_cursor, encode_cursor
from ophion_api.logs_models import LogTailQuery
from ophion_api.logs_search import RECORD_COLUMNS, RECORD_ID, log_condition, record_of, resources_of
from ophion_api.sql_parts import Binder, conjunction
from ophion_api.telemetry_access import Telemetry, TenantStore
from ophion_api.time_ranges import SECOND

_LOOKBACK_SECONDS: Final = 3600
_OVERLAP_SECONDS: Final = 5
_LONGEST_GAP_SECONDS: Final = 600
_BEAT_SECONDS: Final = 15.0
_POLL_SECONDS: Final = 1.0
_KIND: Final = "tail"


class Tails:
    """Opens live tails, a bounded number at a time."""

    def __init__(self, telemetry: Telemetry) -> None:
        self._telemetry = telemetry
        self._running = 0

    async def open(self, store: TenantStore, query: LogTailQuery, last_event_id: str) -> Stream:
        """Return the events; `last_event_id` is that of the last event a client got. Raises BadRequest, Overloaded."""
        most = self._telemetry.config.tail_max_clients
        if self._running >= most:
            raise Overloaded(f"{most} live tails run already; close one, or raise `tail_max_clients`", 5)
        start = self._start(last_event_id)
        tail = _Tail(store, query, start, start)
        # A wrong query is answered with a status of its own, before the stream begins.
        await tail.check()
        return Stream(self._events(tail), "text/event-stream", {"X-Accel-Buffering": "no"})

    def _start(self, last_event_id: str) -> int:
        """Return the second from which records are wanted: now, or when the last event was sent."""
        now = self._telemetry.now_ns() // SECOND
        if not last_event_id:
            return now
        try:
            (second,) = decode_cursor(last_event_id, _KIND, int)
        except BadRequest:
            return now
        return max(now - _LONGEST_GAP_SECONDS, min(now, int(second)))

    async def _events(self, tail: _Tail) -> AsyncIterator[bytes]:
        self._running += 1
        clock = self._telemetry.clock
        try:
            yield b": following\nretry: 2000\n\n"
            beat = clock.monotonic()
            while True:
                try:
                    events = await tail.poll()
                except Overloaded:
                    events = [b": the store is busy\n\n"]
                if events:
                    beat = clock.monotonic()
                    yield b"".join(events)
                elif clock.monotonic() - beat >= _BEAT_SECONDS:
                    beat = clock.monotonic()
                    yield b": still here\n\n"
                await clock.sleep(_POLL_SECONDS)
        finally:
            self._running -= 1


@dataclass(slots=True)
class _Tail:
    """One client's place in the stream: from the Unix second `begun`, and looked at up to `since`."""

    store: TenantStore
    query: LogTailQuery
    begun: int
    since: int
    sent: Counter[tuple[int, int]] = field(default_factory=Counter)

    async def check(self) -> None:
        """Raise BadRequest for a query that cannot be."""
        binder = Binder()
        log_condition(binder, self.query)
        await self.store.check_regexes(binder)

    async def poll(self) -> list[bytes]:
        """Return the events of what came since the last call."""
        now = self.store.telemetry.now_ns() // SECOND
        first = max(self.begun, self.since - _OVERLAP_SECONDS)
        counts = await self._counts(first)
        new = [key for key, records in counts.items() for _ in range(records - self.sent[key])]
        kept = new[-self.store.telemetry.config.tail_lines_per_second :]
        rows = await self._rows(first, sorted(set(kept))) if kept else {}
        self.sent = counts
        self.since = now
        events = [_event("log", rows[key], now) for key in kept if key in rows]
        if len(new) > len(kept):
            events.insert(0, _event("dropped", {"records": len(new) - len(kept)}, now))
        return events

    def _where(self, binder: Binder, first: int) -> str:
        lookback = self.store.telemetry.now_ns() - _LOOKBACK_SECONDS * SECOND
        received = f"received >= toDateTime({binder.bind(max(0, first), 'UInt32')})"
        return conjunction([received, f"time >= {binder.time(max(0, lookback))}", log_condition(binder, self.query)])

    async def _counts(self, first: int) -> Counter[tuple[int, int]]:
        """Return how many records of each (time, id) were received since `first`, in the order of their times."""
        binder = Binder()
        sql = (
            f"SELECT toUnixTimestamp64Nano(time) AS at, {RECORD_ID} AS id FROM logs WHERE {self._where(binder, first)} "
            f"ORDER BY time DESC LIMIT {binder.bind(100_000, 'UInt64')}"
        )
        found = (await self.store.query(sql, binder)).rows()
        return Counter(reversed(found))

    async def _rows(self, first: int, keys: list[tuple[int, int]]) -> dict[tuple[int, int], dict[str, Any]]:
        binder = Binder()
        where = self._where(binder, first)
        ids = binder.bind([record for _, record in keys], "Array(UInt64)")
        limit = binder.bind(len(keys), "UInt64")
        sql = (
            f"SELECT {RECORD_COLUMNS}, {RECORD_ID} AS id FROM logs WHERE ({where}) AND id IN {ids} "
            f"ORDER BY time, id LIMIT 1 BY time, id LIMIT {limit}"
        )
        rows = (await self.store.query(sql, binder)).dicts()
        resources = await resources_of(self.store, rows)
        shown = {}
        for row in rows:
            log = record_of(row)
            shown[row["at"], row["id"]] = {**log.model_dump(), "resource": resources.get(log.resource, {})}
        return shown


def _event(name: str, data: Any, second: int) -> bytes:
    """Return a server-sent event; its id is the second before which everything was sent.

    A client that comes back goes on from there: it misses nothing and may get some records again, with the same id.
    """
    identity = encode_cursor(_KIND, second - _OVERLAP_SECONDS)
    return b"".join([b"event: ", name.encode(), b"\nid: ", identity.encode(), b"\ndata: ", orjson.dumps(data), b"\n\n"])
