"""Range aggregations of log lines, worked out by the engine.

Lines are first aggregated into buckets as wide as the greatest common divisor of range and step, with the engine's
aggregation states, and the buckets are then merged into the steps whose range covers them: a line is read once however
much the ranges of neighbouring steps overlap.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import gcd
from typing import Final

from ophion_agent.server import BadRequest, Storage
from ophion_grafana.logql_nodes import Grouping, RangeAggregate
from ophion_grafana.logql_pipeline import Pipeline, compile_query
from ophion_grafana.logql_vectors import Series, Steps
from ophion_grafana.loki_labels import INDEX_LABELS
from ophion_grafana.running import run
from ophion_grafana.sql import Binder, every

# Aggregate function, its arguments, and whether the result is divided by the seconds of the range.
_LINES: Final = {
    "count_over_time": ("count", "", False),
    "rate": ("count", "", True),
    "absent_over_time": ("count", "", False),
    "bytes_over_time": ("sum", "toFloat64(length({line}))", False),
    "bytes_rate": ("sum", "toFloat64(length({line}))", True),
}
_UNWRAPPED: Final = {
    "rate": ("sum", "{value}", True),
    "sum_over_time": ("sum", "{value}", False),
    "avg_over_time": ("avg", "{value}", False),
    "min_over_time": ("min", "{value}", False),
    "max_over_time": ("max", "{value}", False),
    "stdvar_over_time": ("varPop", "{value}", False),
    "stddev_over_time": ("stddevPop", "{value}", False),
    "first_over_time": ("argMin", "{value}, time", False),
    "last_over_time": ("argMax", "{value}, time", False),
    "absent_over_time": ("count", "", False),
}


@dataclass(frozen=True, slots=True)
class Limits:
    """What one query may return."""

    series: int


@dataclass(frozen=True, slots=True)
class _Labels:
    """The labels of a result: their names, SQL for their values, and the join that the SQL needs."""

    names: tuple[str, ...]
    values: tuple[str, ...]
    origins: tuple[str, ...]


async def range_series(
    storage: Storage, tenant: str, node: RangeAggregate, grouping: Grouping | None, steps: Steps, limits: Limits
) -> list[Series]:
    """Return the value at each step of every series; with `grouping` the lines of one group make one series.

    Without, a series is a stream. Raises BadRequest for more series than `limits` allows.
    """
    binder = Binder()
    sql, names = _statement(binder, node, grouping, steps, limits.series + 1)
    rows = (await run(storage, tenant, sql, binder)).rows()
    if len(rows) > limits.series:
        raise BadRequest(
            f"maximum number of series ({limits.series}) reached for a single query; consider reducing query "
            "cardinality by adding more specific stream selectors, reducing the time range, or aggregating results "
            "with functions like sum(), count() or topk()"
        )
    return [_series(names, labels, at, values, steps) for labels, at, values in rows if at]


def _series(
    names: Sequence[str], labels: Sequence[str], at: Sequence[int], values: Sequence[float], steps: Steps
) -> Series:
    points: list[float | None] = [None] * steps.count
    for index, value in zip(at, values, strict=True):
        points[index] = float(value)
    return Series({name: label for name, label in zip(names, labels, strict=True) if label}, points)


def _statement(
    binder: Binder, node: RangeAggregate, grouping: Grouping | None, steps: Steps, limit: int
) -> tuple[str, tuple[str, ...]]:
    start, end = steps.start - node.offset - node.range, steps.end - node.offset
    pipeline = compile_query(node.query, binder, binder.since(start))
    labels = _labels(pipeline, grouping)
    function, arguments, per_second = _function(node, pipeline)
    parameters = f"({min(max(node.parameter, 0.0), 1.0)!r})" if node.parameter is not None else ""
    bounds = f"time > {binder.time(start)} AND time <= {binder.time(end)}"
    where = every([bounds, *pipeline.conditions])
    width = gcd(node.range, steps.step) if steps.count > 1 else node.range
    every_steps, covered = max(1, steps.step // width), node.range // width
    # A line exactly at the end of a bucket belongs to it, as ranges are open at their start and closed at their end.
    bucket = f"intDiv(toUnixTimestamp64Nano(time) - {binder.integer(start)} + {width - 1}, {width})"
    first = f"greatest(0, intDiv(bucket - {covered} + {every_steps - 1}, {every_steps}))"
    last = f"least({steps.count - 1}, intDiv(bucket - 1, {every_steps}))"
    scale = f" / {node.range / 1e9!r}" if per_second else ""
    sql = f"""
SELECT labels, groupArray(toInt64(at)) AS steps, groupArray(value) AS points
FROM
(
    SELECT labels, at, toFloat64({function}Merge{parameters}(part)){scale} AS value
    FROM
    (
        SELECT labels, part, arrayJoin(range(toUInt64({first}), toUInt64(greatest(0, {last} + 1)))) AS at
        FROM
        (
            SELECT
                {_array(labels.values)} AS labels, {bucket} AS bucket, {function}State{parameters}({arguments}) AS part
            FROM logs {" ".join(labels.origins)}
            WHERE {where}
            GROUP BY labels, bucket
        )
    )
    GROUP BY labels, at
)
GROUP BY labels
ORDER BY labels
LIMIT {int(limit)}
"""
    return sql, labels.names


def _array(values: Sequence[str]) -> str:
    return f"[{', '.join(values)}]" if values else "CAST([], 'Array(String)')"


def _function(node: RangeAggregate, pipeline: Pipeline) -> tuple[str, str, bool]:
    if node.operator == "quantile_over_time":
        return "quantileExactInclusive", pipeline.unwrapped, False
    function, arguments, per_second = (_UNWRAPPED if pipeline.unwrapped else _LINES)[node.operator]
    line = pipeline.line if "{line}" in arguments else ""
    return function, arguments.replace("{line}", line).replace("{value}", pipeline.unwrapped), per_second


def _labels(pipeline: Pipeline, grouping: Grouping | None) -> _Labels:
    if grouping is not None and not grouping.without:
        names = tuple(dict.fromkeys(grouping.names))
    else:
        left_out = grouping.names if grouping is not None else ()
        names = tuple(name for name in INDEX_LABELS if name not in left_out)
    values: list[str] = []
    columns: dict[tuple[str, str], list[str]] = {}
    for number, name in enumerate(names):
        value = pipeline.value(name)
        if value.origin is None:
            values.append(value.own)
            continue
        column = f"origin_{number}"
        columns.setdefault((value.origin.table, value.origin.id), []).append(f"any({value.origin.text}) AS {column}")
        values.append(f"coalesce(nullIf({column}, ''), {value.own})")
    origins = [
        f"LEFT ANY JOIN (SELECT {key}, {', '.join(texts)} FROM {table} WHERE {pipeline.fields.since} GROUP BY {key}) "
        f"AS {table}_labels USING ({key})"
        for (table, key), texts in columns.items()
    ]
    return _Labels(names, tuple(values), tuple(origins))
