"""Split an encoded OTLP request by items, data points or bytes without decoding its records."""

from bisect import bisect_right
from collections.abc import Callable, Iterator
from itertools import accumulate
from typing import Any

from ophion_agent import skeleton

Weigh = Callable[[list[bytes]], list[int]]
Cut = Callable[[bytes, int], tuple[bytes, bytes]]

# A tag and a length of at most five bytes stand before each record, scope and resource on the wire.
_FRAME_BYTES = 6


def split_by_items(payload: bytes, max_items: int) -> Iterator[bytes]:
    """Yield requests of at most `max_items` spans or log records."""
    return _Splitter(max_items, lambda items: [1] * len(items)).split(payload)


def split_by_points(payload: bytes, max_points: int) -> Iterator[bytes]:
    """Yield requests of at most `max_points` data points; a metric with more is cut into metrics of the same name."""

    def weigh(items: list[bytes]) -> list[int]:
        return [skeleton.count_metric_points(item) for item in items]

    return _Splitter(max_points, weigh, cut=skeleton.cut_metric).split(payload)


def split_by_bytes(payload: bytes, max_bytes: int) -> Iterator[bytes]:
    """Yield requests of at most `max_bytes`; a record that is larger by itself stays whole in a request of its own."""

    def weigh(items: list[bytes]) -> list[int]:
        return [len(item) + _FRAME_BYTES for item in items]

    return _Splitter(max_bytes, weigh, weigh_headers=True).split(payload)


class _Splitter:
    """Fills one request after the other up to `limit` units of weight."""

    def __init__(self, limit: int, weigh: Weigh, *, cut: Cut | None = None, weigh_headers: bool = False) -> None:
        self.limit = max(1, limit)
        self.weigh = weigh
        self.cut = cut
        self.weigh_headers = weigh_headers
        self._begin()

    def _begin(self) -> None:
        self.request = skeleton.empty()
        self.room = self.limit
        self.filled = False
        self.group: Any = None
        self.entry: Any = None

    def split(self, payload: bytes) -> Iterator[bytes]:
        for group in skeleton.parse(payload).resources:
            scopes = list(group.scopes)
            del group.scopes[:]
            if not scopes:
                yield from self._make_room(self._group_weight(group))
                self.room -= self._group_weight(group)
                self._open(group)
            for scope in scopes:
                items = list(scope.items)
                del scope.items[:]
                if items:
                    yield from self._place(group, scope, items)
                else:
                    yield from self._make_room(self._header_weight(group, scope))
                    self._append(group, scope, items)
        if self.filled:
            yield self._flush()

    def _place(self, group: Any, scope: Any, items: list[bytes]) -> Iterator[bytes]:
        """Put the items of one scope into as many requests as they need."""
        ends = list(accumulate(self.weigh(items)))
        position = taken_weight = 0
        while position < len(items):
            room = self.room - self._header_weight(group, scope)
            end = bisect_right(ends, taken_weight + room)
            if end > position:
                self._append(group, scope, items[position:end], ends[end - 1] - taken_weight)
                position, taken_weight = end, ends[end - 1]
            elif self.cut and room > 0:
                head, items[position] = self.cut(items[position], room)
                self._append(group, scope, [head], room)
                taken_weight += room
            elif not self.filled:
                self._append(group, scope, items[position : position + 1], self.limit)
                taken_weight = ends[position]
                position += 1
            if position < len(items):
                yield self._flush()

    def _make_room(self, weight: int) -> Iterator[bytes]:
        if self.filled and weight > self.room:
            yield self._flush()

    def _header_weight(self, group: Any, scope: Any) -> int:
        return self._group_weight(group) + (int(scope.ByteSize()) + _FRAME_BYTES if self.weigh_headers else 0)

    def _group_weight(self, group: Any) -> int:
        opens = self.weigh_headers and group is not self.group
        return int(group.ByteSize()) + _FRAME_BYTES if opens else 0

    def _open(self, group: Any) -> None:
        if group is not self.group:
            self.group, self.entry = group, self.request.resources.add()
            self.entry.CopyFrom(group)
            self.filled = True

    def _append(self, group: Any, scope: Any, items: list[bytes], weight: int = 0) -> None:
        self.room -= weight + self._header_weight(group, scope)
        self._open(group)
        target = self.entry.scopes.add()
        target.CopyFrom(scope)
        target.items.extend(items)

    def _flush(self) -> bytes:
        encoded = self.request.SerializeToString()
        self._begin()
        return encoded
