"""What selectors have found, kept while the table of series stays as it was.

Before every query the store is asked for the parts of a tenant's table `series`, which costs about as much as the
shortest statement there is. Whatever is written to that table makes another part, so an answer is never older than the
query that uses it.
"""

import asyncio
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from typing import Final

from ophion_agent.server import Storage
from ophion_promql.nodes import Matcher
from ophion_promql.selecting import Selected, first_day, select

# Each takes a kilobyte or so.
MOST_SERIES: Final = 20_000
_PARTS: Final = "SELECT _part AS part, count() AS c FROM series GROUP BY part ORDER BY part"
_Key = tuple[str, tuple[Matcher, ...], date, int]


@dataclass(frozen=True, slots=True)
class _Entry:
    parts: bytes
    selected: Selected
    size: int


class SeriesCache:
    """Finds series for the queries of all tenants; what one tenant's query found is used for that tenant alone.

    It remembers at most `most` series together, and forgets first what was asked for longest ago.
    """

    def __init__(self, storage: Storage, *, dot_is_all: bool, most: int = MOST_SERIES) -> None:
        self._storage = storage
        self._dot_is_all = dot_is_all
        self._most = most
        self._entries: OrderedDict[_Key, _Entry] = OrderedDict()
        self._size = 0

    @property
    def size(self) -> int:
        """How many series are remembered; a selector that finds none counts as one."""
        return self._size

    async def find(
        self, wanted: Mapping[tuple[Matcher, ...], int], tenant: str, limit: int
    ) -> dict[tuple[Matcher, ...], Selected]:
        """Return the series of selectors that may have samples since a time; raises FailedQuery beyond `limit`."""
        if not wanted:
            return {}
        parts = await self._storage.query_bytes(_PARTS, {}, tenant=tenant, output_format="TSV")
        keys = [(tenant, matchers, first_day(since), limit) for matchers, since in wanted.items()]
        found = await asyncio.gather(
            *(self._one(key, since, parts) for key, since in zip(keys, wanted.values(), strict=True))
        )
        return dict(zip(wanted, found, strict=True))

    async def _one(self, key: _Key, since: int, parts: bytes) -> Selected:
        known = self._entries.get(key)
        if known is not None and known.parts == parts:
            self._entries.move_to_end(key)
            return known.selected
        tenant, matchers, _, limit = key
        selected = await select(self._storage, tenant, matchers, since, limit, dot_is_all=self._dot_is_all)
        self._keep(key, _Entry(parts, selected, max(1, len(selected.ids))))
        return selected

    def _keep(self, key: _Key, entry: _Entry) -> None:
        self._drop(key)
        # What is found about native histograms is not in the table of series alone.
        if entry.size > self._most or entry.selected.natives is not None:
            return
        self._entries[key] = entry
        self._size += entry.size
        while self._size > self._most:
            self._drop(next(iter(self._entries)))

    def _drop(self, key: _Key) -> None:
        if (entry := self._entries.pop(key, None)) is not None:
            self._size -= entry.size
