"""Quantiles of histograms.

Classic histograms are series with a label `le`. Native (exponential) histograms are kept in a table of their own; the
place where their rows will join those of `histogram_quantile` is `_buckets`.
"""

from typing import TYPE_CHECKING, Final

from ophion_promql.grid import Grid
from ophion_promql.nodes import Call
from ophion_promql.sql import SAME_LABELS, Vector, each, merged

if TYPE_CHECKING:
    from ophion_promql.compiling import Compiler

# Counts that fall as the bound rises, as scrapes in parts leave them, are raised to the highest before them.
_RISING: Final = (
    "if(arrayExists(d -> d < 0, arrayDifference(cs)), "
    "arrayMap(i -> arrayMax(arraySlice(cs, 1, i)), arrayEnumerate(cs)), cs)"
)


def histogram_quantile(compiler: "Compiler", node: Call, grid: Grid) -> Vector:
    """Return the quantile of each classic histogram by Prometheus' rules of interpolation."""
    share = compiler.scalar(node.arguments[0], grid)
    vector = compiler.either(node.arguments[1], grid)
    bounds = "arrayMap(b -> arrayMap(x -> x.1, b), t.buckets)"
    counts = f"arrayMap(b -> arrayMap(cs -> {_RISING}, [arrayMap(x -> assumeNotNull(x.2), b)])[1], t.buckets)"
    values = each([bounds, counts], [share], _interpolated)
    labels = "mapFilter((k, v) -> k != '__name__', t.labels)"
    sql = f"SELECT {labels} AS labels, {values} AS values FROM ({_buckets(vector)}) AS t"
    return Vector(sql if vector.one_name else merged(sql, SAME_LABELS), True)


def _buckets(vector: Vector) -> str:
    """Return rows `labels` (without `le`), `buckets`: for each time an array of (bound, count) in order of bounds."""
    bound = "toFloat64OrNull(t.labels['le'])"
    single = (
        f"SELECT mapFilter((k, v) -> k != 'le', t.labels) AS labels, assumeNotNull({bound}) AS le, "
        f"sumForEach(t.values) AS values FROM ({vector.sql}) AS t WHERE isNotNull({bound}) GROUP BY labels, le"
    )
    return (
        "SELECT t.labels AS labels, arrayMap(b -> arraySort(x -> x.1, arrayFilter(x -> isNotNull(x.2), b)), "
        f"groupArrayForEach(arrayMap(v -> (t.le, v), t.values))) AS buckets FROM ({single}) AS t GROUP BY labels"
    )


def _interpolated(bounds: str, counts: str, share: str) -> str:
    total = f"{counts}[-1]"
    rank = f"({share} * {total})"
    at = f"arrayFirstIndex(c -> c >= {rank}, arrayPopBack({counts}))"
    below = f"if({at} = 1, 0., {bounds}[toInt64({at}) - 1])"
    counted = f"if({at} = 1, 0., {counts}[toInt64({at}) - 1])"
    inside = f"{below} + ({bounds}[{at}] - {below}) * (({rank} - {counted}) / ({counts}[{at}] - {counted}))"
    return (
        f"multiIf(empty({bounds}), NULL, isNaN({share}), nan, {share} < 0, -inf, {share} > 1, inf, "
        f"{bounds}[-1] != inf OR length({bounds}) < 2 OR {total} = 0, nan, "
        f"{at} = 0, {bounds}[-2], {at} = 1 AND {bounds}[1] <= 0, {bounds}[1], {inside})"
    )
