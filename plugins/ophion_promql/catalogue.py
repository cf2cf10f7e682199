"""What there is: names and values of labels, series, metadata and exemplars. The engine writes the JSON."""

import asyncio
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from ophion_agent.server import Storage
from ophion_promql.errors import BadQuery
from ophion_promql.nodes import Matcher, Node, Selector, children
from ophion_promql.parsing import parse, parse_matchers
from ophion_promql.selecting import condition, first_day
from ophion_promql.sql import Binder

_LABEL_NAME: Final = re.compile(r"[a-zA-Z_][a-zA-Z0-9_]*\Z")
_WHOLE: Final = (
    "mapSort(mapConcat(map('__name__', toString(metric_name)), "
    "mapFilter((k, v) -> v != '', CAST(labels, 'Map(String, String)'))))"
)
# The kinds that a store may have beyond those of Prometheus are unknown to its clients.
_KIND: Final = "if(kind IN ('counter', 'gauge', 'histogram', 'summary'), kind, 'unknown')"


@dataclass(frozen=True, slots=True)
class Catalogue:
    """Answers about the series of tenants; `most` bounds what one answer holds."""

    storage: Storage
    most: int
    dot_is_all: bool

    async def label_names(self, selectors: Sequence[str], since: int, limit: int, tenant: str) -> bytes:
        """Return the names of labels as a JSON array."""
        binder = Binder()
        sql = (
            "SELECT DISTINCT arrayJoin(arrayConcat(['__name__'], arrayMap(l -> l.1, arrayFilter(l -> l.2 != '', "
            "arrayZip(mapKeys(labels), mapValues(labels)))))) AS name "
            f"FROM series WHERE {self._where(selectors, since, binder)} ORDER BY name LIMIT {self._limit(limit)}"
        )
        return await self._array(f"SELECT toJSONString(toString(name)) FROM ({sql})", binder, tenant)

    async def label_values(self, name: str, selectors: Sequence[str], since: int, limit: int, tenant: str) -> bytes:
        """Return the values of a label as a JSON array; raises BadQuery for what is no name."""
        if not _LABEL_NAME.match(name):
            raise BadQuery(f'invalid label name: "{name}"')
        binder = Binder()
        value = "metric_name" if name == "__name__" else f"labels[{binder.text(name)}]"
        sql = (
            f"SELECT DISTINCT toString({value}) AS value FROM series "
            f"WHERE {self._where(selectors, since, binder)} AND value != '' ORDER BY value LIMIT {self._limit(limit)}"
        )
        return await self._array(f"SELECT toJSONString(value) FROM ({sql})", binder, tenant)

    async def series(self, selectors: Sequence[str], since: int, limit: int, tenant: str) -> bytes:
        """Return the labels of series as a JSON array; raises BadQuery without a selector."""
        if not selectors:
            raise BadQuery("no match[] parameter provided")
        binder = Binder()
        sql = (
            f"SELECT DISTINCT {_WHOLE} AS whole FROM series WHERE {self._where(selectors, since, binder)} "
            f"ORDER BY arrayZip(mapKeys(whole), mapValues(whole)) LIMIT {self._limit(limit)}"
        )
        return await self._array(f"SELECT toJSONString(whole) FROM ({sql})", binder, tenant)

    async def metadata(self, metric: str, limit: int, per_metric: int, tenant: str) -> bytes:
        """Return metric -> its entries of metadata as a JSON object."""
        binder = Binder()
        only = f"WHERE metric_name = {binder.text(metric)}" if metric else ""
        entries = (
            f"SELECT DISTINCT toString(metric_name) AS name, toString({_KIND}) AS type, help, toString(unit) AS unit "
            f"FROM series {only} ORDER BY name, type, help, unit LIMIT {self._limit(per_metric)} BY name"
        )
        entry = (
            "concat('{\"type\":', toJSONString(type), ',\"help\":', toJSONString(help), ',\"unit\":', "
            "toJSONString(unit), '}')"
        )
        sql = (
            f"SELECT concat(toJSONString(name), ':[', arrayStringConcat(groupArray({entry}), ','), ']') "
            f"FROM ({entries}) GROUP BY name ORDER BY name LIMIT {self._limit(limit)}"
        )
        return b"{" + (await self._array(sql, binder, tenant))[1:-1] + b"}"

    async def exemplars(self, expression: str, start: int, end: int, tenant: str) -> bytes:
        """Return the exemplars of all series that the selectors of an expression match, as a JSON array."""
        wanted = list(dict.fromkeys(_selectors(parse(expression))))
        found = await asyncio.gather(*(self._exemplars(matchers, start, end, tenant) for matchers in wanted))
        return b"[" + b",".join(part[1:-1] for part in found if len(part) > 2) + b"]"

    async def _exemplars(self, matchers: Sequence[Matcher], start: int, end: int, tenant: str) -> bytes:
        binder = Binder()
        matching = condition(matchers, binder, dot_is_all=self.dot_is_all)
        # The points of a histogram share their exemplars: each belongs to the lowest bucket that holds it.
        found = (
            f"SELECT {_WHOLE} AS whole, {_TRACE} AS tags, e.time AS at, {_EXEMPLAR_VALUE} AS worth "
            "FROM exemplars AS e INNER JOIN (SELECT DISTINCT stream_id, metric_name, labels FROM series "
            f"WHERE day >= {binder.bind(first_day(start).isoformat(), 'Date')} AND {matching}) AS s "
            "ON e.stream_id = s.stream_id "
            f"WHERE e.time >= fromUnixTimestamp64Milli({start}, 'UTC') "
            f"AND e.time <= fromUnixTimestamp64Milli({end}, 'UTC') "
            "AND (labels['le'] = '' OR ifNull(toFloat64OrNull(labels['le']), inf) >= worth) "
            "ORDER BY toFloat64OrNull(labels['le']) NULLS LAST LIMIT 1 BY e.stream_id, e.point, e.number, e.time"
        )
        one = (
            'concat(\'{"labels":\', toJSONString(tags), \',"value":"\', timeSeriesPrometheusValueToString(worth), '
            "'\",\"timestamp\":', toString(toUnixTimestamp64Milli(at) / 1000), '}')"
        )
        sql = (
            "SELECT concat('{\"seriesLabels\":', toJSONString(whole), ',\"exemplars\":[', "
            f"arrayStringConcat(arrayMap(x -> x.2, arraySort(groupArray((at, {one})))), ','), ']}}') "
            f"FROM ({found}) GROUP BY whole ORDER BY arrayZip(mapKeys(whole), mapValues(whole)) LIMIT {self.most}"
        )
        return await self._array(sql, binder, tenant)

    def _limit(self, asked: int) -> int:
        return min(asked, self.most) if asked else self.most

    def _where(self, selectors: Sequence[str], since: int, binder: Binder) -> str:
        any_of = [
            f"({condition(parse_matchers(selector), binder, dot_is_all=self.dot_is_all)})" for selector in selectors
        ]
        days = f"day >= {binder.bind(first_day(since).isoformat(), 'Date')}"
        return f"{days} AND ({' OR '.join(any_of)})" if any_of else days

    async def _array(self, sql: str, binder: Binder, tenant: str) -> bytes:
        lines = await self.storage.query_bytes(sql, binder.values, tenant=tenant, output_format="TSVRaw")
        return b"[" + lines.rstrip(b"\n").replace(b"\n", b",") + b"]"


_EXEMPLAR_VALUE: Final = "if(e.kind = 'int', toFloat64(e.int_value), e.value)"
_TRACE: Final = (
    "mapFilter((k, v) -> v != '', map('trace_id', if(length(e.trace_id) = 16, lower(hex(e.trace_id)), e.trace_id), "
    "'span_id', if(length(e.span_id) = 8, lower(hex(e.span_id)), e.span_id)))"
)


def _selectors(node: Node) -> list[tuple[Matcher, ...]]:
    if isinstance(node, Selector):
        return [node.matchers]
    return [matchers for child in children(node) for matchers in _selectors(child)]
