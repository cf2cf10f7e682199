"""Functions of native histograms: numbers from counts, sums and buckets, by the rules of Prometheus 3."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Final

from ophion_promql.grid import Grid
from ophion_promql.native import Histograms, at_index, has_natives, histograms, takes_natives
from ophion_promql.nodes import Call, Node
from ophion_promql.sql import EMPTY, LABELS, SAME_LABELS, Scalar, Vector, throw

if TYPE_CHECKING:
    from ophion_promql.compiling import Compiler

_LARGEST: Final = "1.7976931348623157e308"
_INTERPOLATED: Final = (
    "multiIf(low <= 0 AND high >= 0, low + (high - low) * share, "
    "low > 0, exp2(log2(low) + (log2(high) - log2(low)) * share), "
    "-exp2(log2(-high) + (log2(-low) - log2(-high)) * (1 - share)))"
)


def native_quantile(compiler: "Compiler", node: Node, share: Scalar, grid: Grid) -> Vector:
    """Return the quantile of each histogram: exponential within buckets, linear within the zero bucket."""
    # From the middle on the rank counts from above, unless there are values that are no numbers: they are above all.
    sql = f"SELECT *, toFloat64({at_index(share)}) AS q FROM ({_bucketed(histograms(compiler, node, grid))})"
    for columns in (
        "isNaN(total) OR q < 0.5 AS upwards",
        "if(upwards, q, 1 - q) * n AS rank, "
        "if(upwards, arrayCumSum(counts), arrayReverse(arrayCumSum(arrayReverse(counts)))) AS sums",
        "if(upwards, arrayFirstIndex(c -> c >= rank, sums), arrayLastIndex(c -> c >= rank, sums)) AS found",
        "if(found > 0, found, if(upwards, length(sums), 1)) AS at",
        "lows[at] AS low, highs[at] AS high, least(sums[at], n) AS reached, counts[at] AS own",
        "if(upwards, rank - (reached - own), reached - rank) / own AS share",
    ):
        sql = f"SELECT *, {columns} FROM ({sql})"
    value = (
        "multiIf(q < 0, -inf, q > 1, inf, n = 0 OR isNaN(q), nan, empty(sums), toFloat64(0), "
        f"found = 0, high, {_INTERPOLATED})"
    )
    return _vector(sql, value, grid)


def _bucketed(rows: Histograms) -> str:
    """Return histograms with `lows`, `highs` and `counts` of their populated buckets, from the lowest on."""
    width = "exp2(-scale)"

    def bound(index: str) -> str:
        return f"least(exp2({index} * {width}), {_LARGEST})"

    # The zero bucket of a histogram that has values on one side only ends at zero.
    low, high = "if(empty(nk) AND notEmpty(pk), 0, -threshold)", "if(empty(pk) AND notEmpty(nk), 0, threshold)"

    def joined(negative: str, zero: str, positive: str) -> str:
        return f"arrayConcat({negative}, if(zero = 0, [], [toFloat64({zero})]), {positive})"

    lows = joined(f"arrayMap(k -> -{bound('(k + 1)')}, arrayReverse(nk))", low, f"arrayMap(k -> {bound('k')}, pk)")
    highs = joined(f"arrayMap(k -> -{bound('k')}, arrayReverse(nk))", high, f"arrayMap(k -> {bound('(k + 1)')}, pk)")
    return (
        f"SELECT labels, i, n, total, {lows} AS lows, {highs} AS highs, "
        f"{joined('arrayReverse(nc)', 'zero', 'pc')} AS counts FROM ({rows.sql})"
    )


def _vector(rows: str, value: str, grid: Grid) -> Vector:
    """Return the vector of an expression of histograms, without metric names."""
    single = f"SELECT mapFilter((k, v) -> k != '__name__', CAST(labels, '{LABELS}')) AS labels, i, {value} AS r"
    count = grid.count
    values = (
        f"arrayMap((r, there) -> if(there, r, NULL), groupArrayInsertAt(nan, {count})(toFloat64(r), toUInt32(i)), "
        f"groupArrayInsertAt(toUInt8(0), {count})(toUInt8(1), toUInt32(i)))"
    )
    unique = throw("count() > uniqExact(i)", SAME_LABELS)
    return Vector(
        f"SELECT labels, {values} AS values FROM ({single} FROM ({rows})) GROUP BY labels HAVING {unique}", True
    )


def _fraction_below(bound: str) -> str:
    """Return how many observations are below a bound."""
    inside = (
        f"multiIf(l >= {bound}, 0, h <= {bound}, 1, l <= 0 AND h >= 0, ({bound} - l) / (h - l), "
        f"{bound} > 0, (log2({bound}) - log2(l)) / (log2(h) - log2(l)), "
        f"1 - (log2(-{bound}) - log2(-h)) / (log2(-l) - log2(-h)))"
    )
    counted = f"arraySum(arrayMap((l, h, c) -> c * {inside}, lows, highs, counts))"
    return f"if(arrayAll(h -> h <= {bound}, highs), n, least(n, {counted}))"


_FRACTION: Final = (
    "multiIf(n = 0 OR isNaN(a0) OR isNaN(a1), nan, a0 >= a1, toFloat64(0), "
    f"({_fraction_below('a1')} - {_fraction_below('a0')}) / n)"
)
# The middle of a bucket is taken on the scale of its bounds.
_VARIANCE: Final = (
    "arraySum(arrayMap((l, h, c) -> c * pow("
    "multiIf(l <= 0 AND h >= 0, 0, l > 0, sqrt(l * h), -sqrt(l * h)) - total / n, 2), lows, highs, counts)) / n"
)


def _function(value: str, *, buckets: bool = False) -> Callable[["Compiler", Call, Grid], Vector]:
    """Return the compiler of a function of a histogram, its last argument; the scalars before it are a0 and a1."""

    def compiled(compiler: "Compiler", node: Call, grid: Grid) -> Vector:
        *scalars, argument = node.arguments
        if not has_natives(compiler, argument):
            compiler.warn(f"{node.name}() answers for native histograms only, and its argument has none")
            return Vector(EMPTY, True)
        if not takes_natives(argument):
            # Compiled for the warnings: its selectors say which histograms they leave out.
            compiler.either(argument, grid)
            return Vector(EMPTY, True)
        found = histograms(compiler, argument, grid)
        named = [f"toFloat64({at_index(compiler.scalar(s, grid))}) AS a{at}" for at, s in enumerate(scalars)]
        rows = _bucketed(found) if buckets else found.sql
        return _vector(f"SELECT {', '.join(['*', *named])} FROM ({rows})", value, grid)

    return compiled


NATIVE_FUNCTIONS: Final[dict[str, Callable[["Compiler", Call, Grid], Vector]]] = {
    "histogram_count": _function("n"),
    "histogram_sum": _function("total"),
    "histogram_avg": _function("total / n"),
    "histogram_fraction": _function(_FRACTION, buckets=True),
    "histogram_stdvar": _function(_VARIANCE, buckets=True),
    "histogram_stddev": _function(f"sqrt({_VARIANCE})", buckets=True),
}
