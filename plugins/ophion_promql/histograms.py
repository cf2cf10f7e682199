"""Quantiles of histograms: of classic ones, which are series with a label `le`, and of native ones."""

import re
from typing import TYPE_CHECKING, Final

from ophion_promql.grid import Grid
from ophion_promql.keyed import Keyed, Labels, number_of, without_name
from ophion_promql.native import has_natives, selected_below, takes_natives
from ophion_promql.native_functions import native_quantile
from ophion_promql.nodes import Call, Node
from ophion_promql.sql import EMPTY_KEYED, SAME_LABELS, Scalar, Vector, each, merged

if TYPE_CHECKING:
    from ophion_promql.compiling import Compiler

# Counts that fall as the bound rises, as scrapes in parts leave them, are raised to the highest before them.
_RISING: Final = (
    "if(arrayExists(d -> d < 0, arrayDifference(cs)), "
    "arrayMap(i -> arrayMax(arraySlice(cs, 1, i)), arrayEnumerate(cs)), cs)"
)
# Bounds that this process and the engine read alike.
_BOUND: Final = re.compile(r"(?:\+?Inf|-Inf|[+-]?\d{1,15}(?:\.\d{1,17})?(?:e[+-]?\d{1,2})?)\Z")


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
    keyed = _keyed_buckets(compiler, vector)
    if keyed is not None:
        keyed = Keyed(f"SELECT t.key AS key, {values} AS values FROM ({keyed.sql}) AS t", keyed.labels)
    return Vector(sql if vector.one_name else merged(sql, SAME_LABELS), True, keyed)


def _keyed_buckets(compiler: "Compiler", vector: Vector) -> Keyed | None:
    """Return the same as `_buckets` by keys; None where the engine has to sort out which series belong together."""
    if vector.keyed is None:
        return None
    if not vector.keyed.labels:
        return EMPTY_KEYED
    bounds: dict[int, float] = {}
    numbers: dict[Labels, int] = {}
    of_key: dict[int, int] = {}
    for key, labels in vector.keyed.labels.items():
        bound = dict(labels).get("le", "")
        if not _BOUND.match(bound):
            return None
        bounds[key] = float(bound)
        of_key[key] = numbers.setdefault(tuple(pair for pair in labels if pair[0] != "le"), len(numbers))
    nameless = {without_name(labels) for labels in numbers}
    if len(nameless) < len(numbers) or len({(of_key[key], bounds[key]) for key in of_key}) < len(of_key):
        return None
    keys = compiler.binder.bind(list(bounds), "Array(UInt64)")
    le = f"transform(t.key, {keys}, {compiler.binder.bind(list(bounds.values()), 'Array(Float64)')}, nan)"
    sql = (
        f"SELECT {number_of(of_key, compiler.binder)} AS key, "
        "arrayMap(b -> arraySort(x -> x.1, arrayFilter(x -> isNotNull(x.2), b)), "
        f"groupArrayForEach(arrayMap(v -> ({le}, v), t.values))) AS buckets FROM ({vector.keyed.sql}) AS t GROUP BY key"
    )
    return Keyed(sql, {number: without_name(labels) for labels, number in numbers.items()})


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
