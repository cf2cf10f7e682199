"""Native histograms as they travel through an expression, and what selects, subtracts and adds them.

They are the exponential histograms of OTLP: with a scale of s, the bucket of index k has what is above base^k and at
most base^(k+1), where base is 2^(2^-s). Prometheus' schema is the scale, and its indexes are greater by one. It knows
no schema above 8, so that finer histograms are made coarser here, too.

First the counts and times of points alone decide which points each window needs, and how often; only these points'
buckets are then read and added up.
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from ophion_promql.aggregates import group_of
from ophion_promql.grid import Grid
from ophion_promql.nodes import Aggregate, Binary, Call, Node, Range, Selector, children, type_of
from ophion_promql.selecting import Selected
from ophion_promql.sql import LABELS, Binder, Scalar
from ophion_promql.windows import indexes, key_of, labels_of, within

if TYPE_CHECKING:
    from ophion_promql.compiling import Compiler

_FINEST: Final = 8
_ONE: Final = "toFloat64(1)"
_NAMELESS: Final = f"mapFilter((k, v) -> k != '__name__', CAST(t.labels, '{LABELS}'))"


@dataclass(frozen=True, slots=True)
class Histograms:
    """A sub-query of one row for each series and time that has a histogram.

    `labels`, `i` (index of the time), `n` (count), `total` (sum, NaN where the sender has none), `scale`, `zero` and
    `threshold` of the zero bucket, and the populated buckets in order as `pk`, `pc`, `nk`, `nc`: indexes and counts of
    the positive and the negative ones.
    """

    sql: str


def has_natives(compiler: "Compiler", node: Node) -> bool:
    """Tell whether a selector below a node has native histograms."""
    return any(selected.natives is not None for selected in selected_below(compiler, node))


def selected_below(compiler: "Compiler", node: Node) -> list[Selected]:
    """Return what the selectors below a node have found."""
    if isinstance(node, Selector):
        return [compiler.selected[node.matchers]]
    return [found for child in children(node) for found in selected_below(compiler, child)]


def takes_natives(node: Node) -> bool:
    """Tell whether an expression is one that `histograms` can evaluate."""
    match node:
        case Selector():
            return True
        case Call(name="rate" | "increase" | "delta"):
            return isinstance(node.arguments[0], Range)
        case Aggregate(op="sum" | "avg"):
            return takes_natives(node.expression)
        case Binary(op="*") if type_of(node.left) == "scalar":
            return takes_natives(node.right)
        case Binary(op="*" | "/") if type_of(node.right) == "scalar":
            return takes_natives(node.left)
    return False


def histograms(compiler: "Compiler", node: Node, grid: Grid) -> Histograms:
    """Return the native histograms of an expression that takes them."""
    match node:
        case Selector():
            return _newest(compiler, node, grid)
        case Call():
            return _grown(compiler, node, grid)
        case Aggregate():
            return _aggregated(compiler, node, grid)
        case Binary():
            return _scaled(compiler, node, grid)
    raise AssertionError(f"{node} takes no native histograms")


@dataclass(frozen=True, slots=True)
class _Points:
    """The points of selected histograms in the windows of `width` before the times of `seen`."""

    selected: Selected
    seen: Grid
    width: int
    closed: bool
    before: int
    repeat: int
    binder: Binder

    def light(self) -> str:
        """Return rows `key`, `at`, `n`, `began`, `stale`, `is_delta`; of points at one time that with the most."""
        deltas = self.binder.bind(list(self.selected.deltas), "Array(UInt64)")
        return (
            f"SELECT {self._key} AS key, time AS at, max(count) AS n, "
            "argMax(toUnixTimestamp64Nano(start_time), count) AS began, argMax(bitAnd(flags, 1), count) AS stale, "
            f"max(has({deltas}, stream_id)) AS is_delta "
            f"FROM exponential_histograms WHERE {self._where} GROUP BY key, at"
        )

    def indexes(self, at: str) -> str:
        """Return the windows that have a point taken `at`."""
        return indexes(at, self.seen, self.width, self.closed)

    @property
    def _key(self) -> str:
        return key_of(self.selected, "stream_id", self.binder)

    @property
    def _where(self) -> str:
        ids = self.binder.bind(list(self.selected.ids), "Array(UInt64)")
        return f"stream_id IN {ids} AND {within(self.seen, self.width, self.closed)}"

    def _heavy(self) -> str:
        def buckets(name: str, keys: str, counts: str) -> str:
            found = f"arrayFilter(x -> x.2 > 0, arrayZip(range(length({name}.bucket_counts)), {name}.bucket_counts))"
            index = f"toInt64(floor(({name}.offset + toInt64(x.1)) / exp2(greatest(e.scale - {_FINEST}, 0))))"
            return f"arrayMap(x -> {index}, {found}) AS {keys}, arrayMap(x -> toFloat64(x.2), {found}) AS {counts}"

        return (
            f"SELECT {self._key} AS key, e.time AS at, e.count AS n, ifNull(e.sum, nan) AS total, "
            f"least(e.scale, {_FINEST}) AS scale, toFloat64(e.zero_count) AS zero, e.zero_threshold AS threshold, "
            f"{buckets('e.positive', 'pk', 'pc')}, {buckets('e.negative', 'nk', 'nc')} "
            f"FROM exponential_histograms AS e WHERE {self._where} AND bitAnd(flags, 1) = 0 LIMIT 1 BY key, at, n"
        )

    def added(self, plan: str) -> Histograms:
        """Return the sums of the points that a plan has: rows `key`, `i`, `at`, `n`, `weight`, `factor`."""
        joined = (
            "SELECT p.key AS key, p.i AS i, p.weight AS weight, p.factor AS factor, "
            "toFloat64(h.n) AS n, h.total AS total, h.scale AS scale, h.zero AS zero, h.threshold AS threshold, "
            "h.pk AS pk, h.pc AS pc, h.nk AS nk, h.nc AS nc "
            f"FROM ({self._heavy()}) AS h INNER JOIN ({plan}) AS p ON h.key = p.key AND h.at = p.at AND h.n = p.n"
        )
        index = f"arrayJoin(range({self.repeat}))" if self.repeat else f"t.i + {self.before}"
        return Histograms(
            f"SELECT s.labels AS labels, {index} AS i, t.* EXCEPT (key, i) "
            f"FROM ({_summed(joined, 'key', 't.key', 'any(t.factor)')}) AS t "
            f"INNER JOIN ({labels_of(self.selected, self.binder)}) AS s ON t.key = s.key"
        )


def _points(compiler: "Compiler", node: Selector, grid: Grid, width: int) -> _Points | None:
    before, seen = compiler.looked_at(node, grid).storable()
    natives = compiler.selected[node.matchers].natives
    if natives is None or not seen.count:
        return None
    repeat = 0 if node.at is None else grid.count
    return _Points(natives, seen, width, compiler.semantics.prometheus2, before, repeat, compiler.binder)


NOTHING: Final = Histograms(
    f"SELECT CAST(map(), '{LABELS}') AS labels, toUInt64(0) AS i, nan AS n, nan AS total, toInt32(0) AS scale, "
    "nan AS zero, nan AS threshold, CAST([], 'Array(Int64)') AS pk, CAST([], 'Array(Float64)') AS pc, "
    "CAST([], 'Array(Int64)') AS nk, CAST([], 'Array(Float64)') AS nc FROM numbers(0)"
)


def _newest(compiler: "Compiler", node: Selector, grid: Grid) -> Histograms:
    points = _points(compiler, node, grid, compiler.semantics.lookback)
    if points is None:
        return NOTHING
    newest = (
        "SELECT key, i, argMax((at, n, stale), at) AS newest "
        f"FROM ({points.light()}) ARRAY JOIN {points.indexes('at')} AS i GROUP BY key, i"
    )
    return points.added(
        f"SELECT key, i, newest.1 AS at, newest.2 AS n, {_ONE} AS weight, {_ONE} AS factor "
        f"FROM ({newest}) WHERE newest.3 = 0"
    )


def _grown(compiler: "Compiler", node: Call, grid: Grid) -> Histograms:
    """Return `rate`, `increase` or `delta`: the last point less the first, and what resets have taken away.

    A counter is reset where its count falls or the start of its counting changes. The points of a delta stream are
    added up instead: they are the increases.
    """
    looked = node.arguments[0]
    assert isinstance(looked, Range)
    points = _points(compiler, looked.selector, grid, looked.range)
    if points is None:
        return NOTHING
    seconds = points.width / 1000 if node.name == "rate" else 1.0
    picked = (
        f"SELECT key, i, arrayJoin(if(is_delta, arrayMap(x -> (x.1, x.2, {_ONE}), arrayFilter(x -> x.3, xs)), "
        f"arrayConcat([(t2, n2, {_ONE}), (t1, n1, toFloat64(-1))], arrayMap(x -> (x.4, x.5, {_ONE}), resets)))) AS x, "
        f"if(is_delta, 1, (between + start_reach + end_reach) / between) / {seconds} AS factor "
        f"FROM ({_windows(points, node.name != 'delta')})"
    )
    plan = f"SELECT key, i, x.1 AS at, x.2 AS n, x.3 AS weight, factor FROM ({picked})"
    grown = points.added(plan)
    return Histograms(f"SELECT {_NAMELESS} AS labels, t.* EXCEPT (labels) FROM ({grown.sql}) AS t")


def _windows(points: _Points, is_counter: bool) -> str:
    """Return rows of windows with at least two points, or one of a delta stream, and how far each extrapolates."""
    ordered = (
        "SELECT key, arraySort(groupArray((at, n, began, is_delta))) AS s "
        f"FROM ({points.light()}) WHERE stale = 0 GROUP BY key"
    )
    # A point: time, count, whether it is a delta; time and count of the one before; whether it comes after a reset.
    reset = "x.4 = 0 AND (x.2 < p.2 OR (x.3 != p.3 AND x.3 != 0 AND p.3 != 0))" if is_counter else "0"
    paired = (
        f"SELECT key, arrayJoin(arrayMap((x, p) -> (x.1, x.2, x.4, p.1, p.2, {reset}), "
        f"s, arrayPushFront(arrayPopBack(s), s[1]))) AS x FROM ({ordered})"
    )
    # The clause, unlike the function, gives its rows out in blocks of bounded size.
    spread = f"SELECT key, x, i FROM ({paired}) ARRAY JOIN {points.indexes('x.1')} AS i"
    sql = (
        "SELECT key, i, count() AS c, min(x.1) AS t1, max(x.1) AS t2, argMin(x.2, x.1) AS n1, argMax(x.2, x.1) AS n2, "
        "max(x.3) AS is_delta, groupArrayIf(x, x.3 OR x.6) AS xs "
        f"FROM ({spread}) GROUP BY key, i HAVING c > 1 OR is_delta"
    )
    at = f"({points.seen.start} + i * {points.seen.step})"
    zero = "if(grown > 0, between * (toFloat64(n1) / grown), start_gap)"
    for columns in (
        "arrayFilter(x -> x.6 AND x.1 > t1, xs) AS resets",
        "toFloat64(n2) - toFloat64(n1) + arraySum(arrayMap(x -> toFloat64(x.5), resets)) AS grown, "
        "(toUnixTimestamp64Nano(t2) - toUnixTimestamp64Nano(t1)) / 1e9 AS between, between / (c - 1) AS average, "
        f"(toUnixTimestamp64Milli(t1) - ({at} - {points.width})) / 1000 AS before, "
        f"({at} - toUnixTimestamp64Milli(t2)) / 1000 AS after",
        "if(before < average * 1.1, before, average / 2) AS start_gap, "
        "if(after < average * 1.1, after, average / 2) AS end_reach",
        f"{f'least(start_gap, {zero})' if is_counter and not points.closed else 'start_gap'} AS start_reach",
    ):
        sql = f"SELECT *, {columns} FROM ({sql})"
    return sql


def _aggregated(compiler: "Compiler", node: Aggregate, grid: Grid) -> Histograms:
    inner = histograms(compiler, node.expression, grid)
    rows = f"SELECT *, {_ONE} AS weight FROM ({inner.sql})"
    factor = "1 / sum(t.members)" if node.op == "avg" else _ONE
    return Histograms(_summed(rows, "labels", group_of(compiler, node), factor))


def _scaled(compiler: "Compiler", node: Binary, grid: Grid) -> Histograms:
    swapped = type_of(node.left) == "scalar"
    inner = histograms(compiler, node.right if swapped else node.left, grid)
    factor = at_index(compiler.scalar(node.left if swapped else node.right, grid))
    by = f"1 / ({factor})" if node.op == "/" else f"({factor})"
    rows = f"SELECT {_NAMELESS} AS own, t.* EXCEPT (labels), toFloat64({by}) AS factor FROM ({inner.sql}) AS t"
    return Histograms(f"SELECT own AS labels, i, {_times_factor()} FROM ({rows}) AS t")


def at_index(scalar: Scalar) -> str:
    """Return a scalar's value at the time of a row."""
    return scalar.sql if scalar.constant else f"arrayElement({scalar.sql}, i + 1)"


def _times_factor() -> str:
    numbers = ", ".join(f"t.{name} * t.factor AS {name}" for name in ("n", "total", "zero"))
    arrays = ", ".join(f"t.{k}, arrayMap(c -> c * t.factor, t.{c}) AS {c}" for k, c in (("pk", "pc"), ("nk", "nc")))
    return f"{numbers}, t.scale, t.threshold, {arrays}"


def _summed(rows: str, by: str, group: str, factor: str) -> str:
    """Return the weighted sums of histograms of each group and time, times a factor.

    Those of one scale are added first, so that few remain to be made as coarse as the coarsest. Weights are whole
    numbers: what is subtracted from its like leaves nothing.
    """
    passed = ", any(t.factor) AS factor" if "t.factor" in factor else ""
    maps = ", ".join(
        f"sumMap(mapFromArrays(t.{side}k, arrayMap(c -> c * t.weight, t.{side}c))) AS {side}m" for side in "pn"
    )
    alike = (
        f"SELECT {group} AS own, t.i AS i, t.scale AS scale, count() AS members, sum(t.weight * t.n) AS n, "
        "sum(t.weight * t.total) AS total, sum(t.weight * t.zero) AS zero, max(t.threshold) AS threshold, "
        f"{maps}{passed} FROM ({rows}) AS t GROUP BY own, i, scale"
    )
    gathered = (
        "SELECT t.own AS own, t.i AS i, sum(t.n) AS n, sum(t.total) AS total, sum(t.zero) AS zero, "
        f"max(t.threshold) AS threshold, {factor} AS factor, min(t.scale) AS scale, "
        f"groupArray((t.scale, t.pm, t.nm)) AS parts FROM ({alike}) AS t GROUP BY own, i"
    )
    merged = f"SELECT *, {_coarsened(2)} AS positive, {_coarsened(3)} AS negative FROM ({gathered})"
    return f"SELECT own AS {by}, i, {_times_factor()} FROM ({_without_inside_zero(merged)}) AS t"


def _coarsened(part: int) -> str:
    """Return the buckets of histograms of different scales together, without those that are empty."""
    keys = f"arrayMap(k -> toInt64(floor(k / exp2(p.1 - scale))), mapKeys(p.{part}))"
    several = f"arrayMap(p -> mapFromArrays({keys}, mapValues(p.{part})), if(length(parts) = 1, [], parts))"
    buckets = f"if(length(parts) = 1, parts[1].{part}, arrayReduce('sumMap', {several}))"
    return f"mapFilter((k, c) -> c != 0, {buckets})"


def _without_inside_zero(merged: str) -> str:
    """Return histograms whose zero bucket has taken in every bucket that begins below its threshold."""
    inside = "(t.threshold > 0 AND exp2(k * exp2(-scale)) < t.threshold)"
    found = f"arrayFilter(k -> {inside}, arrayConcat(mapKeys(t.positive), mapKeys(t.negative)))"
    taken = " + ".join(
        f"arraySum(mapValues(mapFilter((k, c) -> {inside}, t.{side})))" for side in ("positive", "negative")
    )
    kept = ", ".join(
        f"mapFilter((k, c) -> NOT {inside}, t.{side}) AS {name}"
        for side, name in (("positive", "above"), ("negative", "below"))
    )
    widened = (
        f"SELECT t.own AS own, t.i AS i, t.n AS n, t.total AS total, t.scale AS scale, t.zero + {taken} AS zero, "
        f"if(empty({found}), t.threshold, greatest(t.threshold, exp2((arrayMax({found}) + 1) * exp2(-t.scale)))) "
        f"AS threshold, t.factor AS factor, {kept} FROM ({merged}) AS t"
    )
    return (
        "SELECT * EXCEPT (above, below), mapKeys(above) AS pk, mapValues(above) AS pc, "
        "mapKeys(below) AS nk, mapValues(below) AS nc "
        f"FROM ({widened})"
    )
