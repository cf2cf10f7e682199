"""Aggregations over the series of a vector."""

import re
from collections.abc import Callable
from typing import TYPE_CHECKING, Final

from ophion_promql.errors import FailedQuery
from ophion_promql.grid import Grid
from ophion_promql.keyed import Keyed, Labels, kept_labels, number_of, numbered, removed_labels
from ophion_promql.nodes import Aggregate, Number
from ophion_promql.ranges import quantile_of
from ophion_promql.sql import EMPTY_KEYED, NO_LABELS, Scalar, Vector, each, kept, removed, with_label

if TYPE_CHECKING:
    from ophion_promql.compiling import Compiler

_LABEL_NAME: Final = re.compile(r"[a-zA-Z_][a-zA-Z0-9_]*\Z")
_COUNTS: Final = "countForEach(t.values)"
# What the engine leaves out: the result of max and min is NaN where all values are.
_SIMPLE: Final[dict[str, str]] = {
    "sum": "sumForEach(t.values)",
    "avg": "avgForEach(t.values)",
    "min": "minForEach(t.values)",
    "max": "maxForEach(t.values)",
    "stdvar": "varPopStableForEach(t.values)",
    "stddev": "stddevPopStableForEach(t.values)",
    "count": f"arrayMap(c -> if(c = 0, NULL, toFloat64(c)), {_COUNTS})",
    "group": f"arrayMap(c -> if(c = 0, NULL, toFloat64(1)), {_COUNTS})",
}


def aggregate(compiler: "Compiler", node: Aggregate, grid: Grid) -> Vector:
    """Return the vector of an aggregation."""
    vector = compiler.either(node.expression, grid)
    group = group_of(compiler, node)
    one_name = node.without or "__name__" not in node.labels
    if node.op in _SIMPLE:
        sql = f"SELECT {group} AS labels, {_SIMPLE[node.op]} AS values FROM ({vector.sql}) AS t GROUP BY labels"
        return Vector(sql, one_name, _grouped(compiler, node, vector, _SIMPLE[node.op]))
    return _PARAMETRIC[node.op](compiler, node, grid, vector)


def _grouped(compiler: "Compiler", node: Aggregate, vector: Vector, values: str) -> Keyed | None:
    if vector.keyed is None:
        return None
    of_key, groups = numbered(vector.keyed.labels, lambda labels: group_labels(node, labels))
    if not groups:
        return EMPTY_KEYED
    sql = f"SELECT {number_of(of_key, compiler.binder)} AS key, {values} AS values"
    return Keyed(f"{sql} FROM ({vector.keyed.sql}) AS t GROUP BY key", dict(enumerate(groups)))


def group_labels(node: Aggregate, labels: Labels) -> Labels:
    """Return the labels of the group to which a series with these labels belongs."""
    names = frozenset(node.labels)
    return removed_labels(labels, names) if node.without else kept_labels(labels, names)


def group_of(compiler: "Compiler", node: Aggregate, labels: str = "t.labels") -> str:
    """Return the labels of the group to which a series belongs."""
    if node.without:
        return removed(compiler.binder.texts(node.labels), labels)
    return kept(compiler.binder.texts(node.labels), labels) if node.labels else NO_LABELS


def _quantile(compiler: "Compiler", node: Aggregate, grid: Grid, vector: Vector) -> Vector:
    share = _parameter(compiler, node, grid)
    sorted_values = "arrayMap(a -> arraySort(x -> (NOT isNaN(x), x), a), groupArrayForEach(t.values))"
    values = each([sorted_values], [share], lambda a, phi: f"if(empty({a}), NULL, {quantile_of(a, phi)})")
    sql = f"SELECT {group_of(compiler, node)} AS labels, {values} AS values FROM ({vector.sql}) AS t GROUP BY labels"
    one_name = node.without or "__name__" not in node.labels
    return Vector(sql, one_name, _grouped(compiler, node, vector, values))


def _parameter(compiler: "Compiler", node: Aggregate, grid: Grid) -> Scalar:
    assert node.parameter is not None
    return compiler.scalar(node.parameter, grid)


def _sizes(compiler: "Compiler", node: Aggregate, grid: Grid) -> str:
    """Return the expression of how many series to take at each time."""
    size = _parameter(compiler, node, grid).array(grid.count)
    bad = "arrayExists(k -> isNaN(k) OR abs(k) >= 9223372036854775807, size)"
    checked = f"if(throwIf({bad}, '<<promql:Scalar value overflows int64>>') = 0, size, size)"
    taken = f"arrayMap(k -> toUInt64(least(greatest(k, 0), 4294967295)), {checked})"
    return f"arrayMap(size -> {taken}, [{size}])[1]"


def _masked(function: str, *, sampled: bool = False) -> Callable[["Compiler", Aggregate, Grid, Vector], Vector]:
    """Return a compiler of operators that keep some series of each group as they are."""

    def compiled(compiler: "Compiler", node: Aggregate, grid: Grid, vector: Vector) -> Vector:
        # The engine breaks ties by the key; numbers in the order of labels make that repeatable.
        keyed = (
            f"SELECT t.labels AS labels, t.values AS values, {group_of(compiler, node)} AS own, "
            "rowNumberInAllBlocks() AS key "
            f"FROM (SELECT * FROM ({vector.sql}) ORDER BY mapKeys(labels), mapValues(labels)) AS t"
        )
        arguments = "key, xxHash64(toString(labels)), values" if sampled else "key, values"
        masks = (
            f"SELECT groupArray((key, labels, values)) AS rows, mapFromArrays("
            f"arrayMap(m -> m.1, {function}(({_sizes(compiler, node, grid)}), {arguments}) AS masks), "
            f"arrayMap(m -> m.2, masks)) AS taken FROM ({keyed}) GROUP BY own"
        )
        values = "arrayMap((v, m) -> if(m = 1, v, NULL), row.3, taken[row.1])"
        sql = (
            f"SELECT row.2 AS labels, {values} AS values FROM ({masks}) ARRAY JOIN rows AS row "
            "WHERE mapContains(taken, row.1)"
        )
        by_number = None if sampled else _masked_keyed(function, compiler, node, grid, vector)
        return Vector(sql, vector.one_name, by_number)

    return compiled


def _masked_keyed(function: str, compiler: "Compiler", node: Aggregate, grid: Grid, vector: Vector) -> Keyed | None:
    # A size that may be an error is one whether or not there is a series, which the other form tells.
    is_size = isinstance(node.parameter, Number) and abs(node.parameter.value) < 1e18
    if vector.keyed is None or not vector.keyed.labels or not is_size:
        return None
    labels = vector.keyed.labels
    # The engine breaks ties by the key; numbers in the order of labels make that repeatable.
    ordered = sorted(labels, key=lambda key: tuple(zip(*labels[key], strict=True)))
    ranks = number_of({key: rank for rank, key in enumerate(ordered)}, compiler.binder)
    of_key, _ = numbered(labels, lambda own: group_labels(node, own))
    ranked = (
        f"SELECT {ranks} AS key, t.values AS values, {number_of(of_key, compiler.binder)} AS own "
        f"FROM ({vector.keyed.sql}) AS t"
    )
    masks = (
        "SELECT groupArray((key, values)) AS rows, mapFromArrays("
        f"arrayMap(m -> m.1, {function}(({_sizes(compiler, node, grid)}), key, values) AS masks), "
        f"arrayMap(m -> m.2, masks)) AS taken FROM ({ranked}) GROUP BY own"
    )
    sql = (
        "SELECT row.1 AS key, arrayMap((v, m) -> if(m = 1, v, NULL), row.2, taken[row.1]) AS values "
        f"FROM ({masks}) ARRAY JOIN rows AS row WHERE mapContains(taken, row.1)"
    )
    return Keyed(sql, {rank: labels[key] for rank, key in enumerate(ordered)})


def _limit_ratio(compiler: "Compiler", node: Aggregate, grid: Grid, vector: Vector) -> Vector:
    ratio = _parameter(compiler, node, grid)
    # Prometheus' own sampling: the hash of the labels as it computes it, as a share of all hashes.
    text = (
        "arrayStringConcat(arrayMap((k, v) -> concat(k, '\\xff', v, '\\xff'), mapKeys(t.labels), mapValues(t.labels)))"
    )
    place = f"(xxHash64({text}) / 18446744073709551615.)"
    values = each(
        ["t.values"],
        [ratio],
        lambda v, r: f"if(if({r} >= 0, {place} < {r}, {place} >= 1 + {r}), {v}, NULL)",
    )
    return Vector(f"SELECT t.labels AS labels, {values} AS values FROM ({vector.sql}) AS t", vector.one_name)


def _count_values(compiler: "Compiler", node: Aggregate, grid: Grid, vector: Vector) -> Vector:
    assert node.parameter is not None
    name = compiler.text(node.parameter)
    if not _LABEL_NAME.match(name):
        raise FailedQuery(f'invalid label name "{name}"')
    bound = compiler.binder.text(name)
    labels = with_label("t.labels", bound, "timeSeriesPrometheusValueToString(cell.2)")
    if node.without:
        own = removed(compiler.binder.texts(node.labels), labels)
    else:
        own = kept(compiler.binder.texts((*node.labels, name)), labels)
    cells = "arrayMap((i, v) -> (i, assumeNotNull(v), isNotNull(v)), range(length(t.values)), t.values)"
    counted = (
        f"SELECT {own} AS own, cell.1 AS i, count() AS c FROM ({vector.sql}) AS t ARRAY JOIN {cells} AS cell "
        "WHERE cell.3 GROUP BY own, i"
    )
    values = f"arrayMap(c -> if(c = 0, NULL, toFloat64(c)), groupArrayInsertAt(toUInt64(0), {grid.count})(c, i))"
    return Vector(f"SELECT own AS labels, {values} AS values FROM ({counted}) GROUP BY own", True)


_PARAMETRIC: Final[dict[str, Callable[["Compiler", Aggregate, Grid, Vector], Vector]]] = {
    "quantile": _quantile,
    "topk": _masked("timeSeriesTopKMasks"),
    "bottomk": _masked("timeSeriesBottomKMasks"),
    "limitk": _masked("timeSeriesLimitKMasks", sampled=True),
    "limit_ratio": _limit_ratio,
    "count_values": _count_values,
}
