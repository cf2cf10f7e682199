"""What streams and labels there are: Loki's labels, values, series, index statistics and volumes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from ophion_agent.server import Storage
from ophion_grafana.logql_metrics import Limits, range_series
from ophion_grafana.logql_nodes import Grouping, LogQuery, RangeAggregate
from ophion_grafana.logql_parser import parse_selector
from ophion_grafana.logql_pipeline import compile_query
from ophion_grafana.logql_vectors import Series, Steps, Vector
from ophion_grafana.loki_labels import INDEX_ATTRIBUTES, INDEX_LABELS, LEVEL_NAMES, LEVEL_SQL, stream_labels
from ophion_grafana.running import run
from ophion_grafana.sql import Binder, every
from ophion_grafana.values import stored

_MOST_STREAMS: Final = 10_000
_EVERYTHING: Final = LogQuery(())
_LEVELS: Final = ("trace", "debug", "info", "warn", "error", "critical", "fatal", "unknown")


@dataclass(frozen=True, slots=True)
class Span:
    """A time range of one tenant's logs, in nanoseconds, its end left out."""

    storage: Storage
    tenant: str
    start: int
    end: int

    def where(self, binder: Binder, query: LogQuery) -> str:
        """Return SQL for the lines that pass a query."""
        pipeline = compile_query(query, binder, binder.since(self.start))
        bounds = f"time >= {binder.time(self.start)} AND time < {binder.time(self.end)}"
        return every([bounds, *pipeline.conditions])


async def stream_sets(span: Span, query: LogQuery) -> list[dict[str, str]]:
    """Return the labels of each stream that has lines that pass a query."""
    binder = Binder()
    since = binder.since(span.start)
    keys = binder.texts(INDEX_ATTRIBUTES)
    indexed = f"mapFilter((k, v) -> has({keys}, k), attributes)"
    sql = f"""
SELECT DISTINCT mapKeys(kept) AS keys, arrayMap(v -> base64Encode(v), mapValues(kept)) AS encoded
FROM (
    SELECT {indexed} AS kept FROM resources
    WHERE {since} AND resource_id IN (SELECT resource_id FROM logs WHERE {span.where(binder, query)})
)
LIMIT {_MOST_STREAMS}
"""
    rows = (await run(span.storage, span.tenant, sql, binder)).dicts()
    found = {tuple(sorted(stream_labels(stored(row["keys"], row["encoded"])).items())) for row in rows}
    return [dict(labels) for labels in sorted(found)]


async def label_values(span: Span, name: str, query: LogQuery = _EVERYTHING) -> list[str]:
    """Return the values of a label; the level of a line counts as one."""
    if name in LEVEL_NAMES:
        return await _levels(span, query)
    return sorted({labels[name] for labels in await stream_sets(span, query) if name in labels})


async def _levels(span: Span, query: LogQuery) -> list[str]:
    binder = Binder()
    sql = f"SELECT DISTINCT {LEVEL_SQL} AS level FROM logs WHERE {span.where(binder, query)} LIMIT 20"
    found = set((await run(span.storage, span.tenant, sql, binder))["level"])
    return [level for level in _LEVELS if level in found]


async def index_stats(span: Span, query: LogQuery) -> dict[str, int]:
    """Return how much there is: streams, lines and bytes; the parts of an hour of a stream stand for Loki's chunks."""
    binder = Binder()
    sql = (
        "SELECT uniqExact(resource_id) AS streams, uniq(resource_id, toStartOfHour(time)) AS chunks, "
        f"sum(length(body)) AS bytes, count() AS entries FROM logs WHERE {span.where(binder, query)}"
    )
    return dict((await run(span.storage, span.tenant, sql, binder)).dicts()[0])


@dataclass(frozen=True, slots=True)
class VolumeQuery:
    """Which volumes are wanted: of each combination of labels, or of each label alone."""

    query: LogQuery
    targets: Sequence[str]
    by_label: bool
    limit: int


async def volumes(span: Span, wanted: VolumeQuery, steps: Steps, limits: Limits) -> Vector:
    """Return bytes by labels, the greatest first, each over the step that ends at the times of `steps`."""
    names = tuple(wanted.targets) or tuple(dict.fromkeys(matcher.name for matcher in wanted.query.matchers))
    node = RangeAggregate("bytes_over_time", wanted.query, steps.step)
    if wanted.by_label:
        groups = [Grouping((name,)) for name in names or INDEX_LABELS]
        found = [await _of_label(span, node, grouping, steps, limits) for grouping in groups]
        vector = [series for series in found if any(series.points)]
    else:
        vector = await range_series(span.storage, span.tenant, node, Grouping(names), steps, limits)
    return sorted(vector, key=_total, reverse=True)[: wanted.limit]


def _total(series: Series) -> float:
    return sum(value or 0.0 for value in series.points)


async def _of_label(span: Span, node: RangeAggregate, grouping: Grouping, steps: Steps, limits: Limits) -> Series:
    """Return the bytes of the lines that have a label, whatever its value."""
    vector = await range_series(span.storage, span.tenant, node, grouping, steps, limits)
    columns = zip(*(series.points for series in vector if series.labels), strict=True)
    return Series({grouping.names[0]: ""}, [sum(value or 0.0 for value in column) or None for column in columns])


async def detected_labels(span: Span, query: LogQuery) -> list[dict[str, Any]]:
    """Return the labels of streams and how many values each has."""
    values: dict[str, set[str]] = {}
    for labels in await stream_sets(span, query):
        for name, value in labels.items():
            values.setdefault(name, set()).add(value)
    return [{"label": name, "cardinality": len(found)} for name, found in sorted(values.items())]


def names_of(sets: Sequence[Mapping[str, str]]) -> list[str]:
    """Return the names of labels that some of the streams have."""
    return sorted({name for labels in sets for name in labels})


def selector(text: str) -> LogQuery:
    """Return the query of a `query` parameter that may be empty."""
    return parse_selector(text) if text.strip() not in ("", "{}") else _EVERYTHING
