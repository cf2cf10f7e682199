"""Quantiles of histograms: of classic ones, which are series with a label `le`, and of native ones."""

from typing import TYPE_CHECKING, Final

from ophion_promql.grid import Grid
from ophion_promql.native import has_natives, selected_below, takes_natives
from ophion_promql.native_functions import native_quantile
from ophion_promql.nodes import Call, Node
from ophion_promql.sql import SAME_LABELS, Scalar, Vector, each, merged

if TYPE_CHECKING:
    from ophion_promql.compiling import Compiler

# Counts that fall as the bound rises, as scrapes in parts leave them, are raised to the highest before them.
_RISING: Final = (
    "if(arrayExists(d -> d < 0, arrayDifference(cs)), "
    "arrayMap(i -> arrayMax(arraySlice(cs, 1, i)), arrayEnumerate(cs)), cs)"
)


def histogram_quantile(compiler: "Compiler", node: Call, grid: Grid) -> Vector:
    """Return the quantile of each histogram by Prometheus' rules of interpolation.

    The third argument is the classic form of the second, if it has one; it holds where the second has no samples.
    """
    share = compiler.scalar(node.arguments[0], grid)
    argument = classic = node.arguments[1]
    if len(node.arguments) > 2 and not _has_samples(compiler, argument):
        classic = node.arguments[2]
    if not (takes_natives(argument) and has_natives(compiler, argument)):
        return _classic_quantile(compiler, classic, share, grid)
    native = native_quantile(compiler, argument, share, grid)
    if not _has_samples(compiler, classic):
        return native
    compiler.warn("the selectors have classic and native histograms; where a result would mix them, it is left out")
    compiler.natives_taken = True
    try:
        other = _classic_quantile(compiler, classic, share, grid)
    finally:
        compiler.natives_taken = False
    return _either(native, other)


def _has_samples(compiler: "Compiler", node: Node) -> bool:
    return any(selected.ids for selected in selected_below(compiler, node))


def _either(left: Vector, right: Vector) -> Vector:
    union = " UNION ALL ".join(
        f"SELECT t.labels AS labels, t.values AS values FROM ({v.sql}) AS t" for v in (left, right)
    )
    only = "arrayMap((c, v) -> if(c = 1, v, NULL), countForEach(t.values), anyForEach(t.values))"
    return Vector(f"SELECT t.labels AS labels, {only} AS values FROM ({union}) AS t GROUP BY t.labels", True)


def _classic_quantile(compiler: "Compiler", node: Node, share: Scalar, grid: Grid) -> Vector:
    vector = compiler.either(node, grid)
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
