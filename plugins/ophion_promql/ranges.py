"""Functions over ranges: `rate(x[5m])` and its like."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Final

from ophion_promql.errors import FailedQuery
from ophion_promql.grid import Grid
from ophion_promql.keyed import Keyed, Labels
from ophion_promql.nodes import Call, Number, Range, Selector, Subquery
from ophion_promql.sql import NO_LABELS, Scalar, Vector, each, mapped, with_label
from ophion_promql.windows import Window, nameless

if TYPE_CHECKING:
    from ophion_promql.compiling import Compiler

RangeFunction = Callable[["Compiler", Call, Grid], Vector]

_VALUES: Final = "arraySort(x -> (NOT isNaN(x), x), arrayMap(x -> x.2, groupArray(p)))"
_IN_ORDER: Final = "arrayMap(x -> x.2, arraySort(groupArray(p)))"


def _on_grid(function: str, *, keep_name: bool = False) -> RangeFunction:
    def compiled(compiler: "Compiler", node: Call, grid: Grid) -> Vector:
        window = compiler.window(node.arguments[0], grid)
        vector = window.vector(window.call(function) if window.source else "")
        return vector if keep_name else nameless(vector)

    return compiled


def _exploded(aggregate: str, *, keep_name: bool = False) -> RangeFunction:
    def compiled(compiler: "Compiler", node: Call, grid: Grid) -> Vector:
        vector = compiler.window(node.arguments[0], grid).exploded(aggregate)
        return vector if keep_name else nameless(vector)

    return compiled


def _counted(values: str) -> RangeFunction:
    def compiled(compiler: "Compiler", node: Call, grid: Grid) -> Vector:
        window = compiler.window(node.arguments[0], grid)
        count = window.call("timeSeriesCountToGrid") if window.source else ""
        return nameless(window.vector(f"arrayMap(c -> {values}, {count})"))

    return compiled


def _newest_time(compiler: "Compiler", node: Call, grid: Grid) -> Vector:
    return nameless(compiler.window(node.arguments[0], grid).exploded("max(toUnixTimestamp64Milli(p.1)) / 1000"))


def _oldest_time(compiler: "Compiler", node: Call, grid: Grid) -> Vector:
    return nameless(compiler.window(node.arguments[0], grid).exploded("min(toUnixTimestamp64Milli(p.1)) / 1000"))


def _counter(function: str, *, per_second: bool) -> RangeFunction:
    """Return the compiler of `rate` or `increase`.

    The engine extrapolates as Prometheus 3 does. Prometheus 2 first took the counter's zero for the start of the
    series and then asked whether that lies near the first sample; 3 asks first.
    """
    newer, older = _on_grid(function), _older_counter(per_second=per_second)
    return lambda compiler, node, grid: (older if compiler.semantics.prometheus2 else newer)(compiler, node, grid)


def _older_counter(*, per_second: bool) -> RangeFunction:
    def compiled(compiler: "Compiler", node: Call, grid: Grid) -> Vector:
        window = compiler.window(node.arguments[0], grid)
        start, step, width = window.grid.start, window.grid.step, window.range
        at = f"({start} + i * {step})"
        factor = "(between + start_reach + end_reach) / between" + (f" / {width / 1000}" if per_second else "")
        vector = window.exploded(
            f"if(length(vs) < 2, NULL, grown * ({factor}))",
            "arraySort(groupArray(p)) AS ps",
            "arrayMap(x -> x.2, ps) AS vs, arrayMap(x -> toUnixTimestamp64Milli(x.1), ps) AS ts",
            "(ts[-1] - ts[1]) / 1000 AS between, "
            "vs[-1] - vs[1] + "
            "arraySum(arrayMap((c, p) -> if(c < p, p, 0.), arrayPopFront(vs), arrayPopBack(vs))) AS grown, "
            f"(ts[1] - ({at} - {width})) / 1000 AS before, ({at} - ts[-1]) / 1000 AS after",
            "between / (length(ts) - 1) AS average, "
            "if(grown > 0 AND vs[1] >= 0, between * (vs[1] / grown), before) AS zero",
            "if(zero < before, zero, before) AS start_gap",
            "if(start_gap < average * 1.1, start_gap, average / 2) AS start_reach, "
            "if(after < average * 1.1, after, average / 2) AS end_reach",
        )
        return nameless(vector)

    return compiled


def _predict_linear(compiler: "Compiler", node: Call, grid: Grid) -> Vector:
    window = compiler.window(node.arguments[0], grid)
    ahead = compiler.scalar(node.arguments[1], grid)
    if window.source is None:
        return window.vector("")
    # The line goes through the time of evaluation, which `offset` and `@` move away from where the samples are.
    seen = Window(window.source, window.grid, window.range, window.closed)
    lines = seen.vector(
        f"arrayZip({seen.call('timeSeriesPredictLinearToGrid', '', '0')}, {seen.call('timeSeriesDerivToGrid')})"
    )
    later = _later(node, compiler, grid, window)
    placed = _placed_lines(window)
    return mapped(lines, _line(placed, ahead, later), whole=True)


def _line(lines: str, ahead: Scalar, later: Scalar) -> str:
    return each([lines], [ahead, later], lambda line, seconds, shift: f"{line}.1 + {line}.2 * ({seconds} + {shift})")


def _placed_lines(window: Window) -> str:
    if window.repeat:
        return f"arrayWithConstant({window.repeat}, t.values[1])"
    if window.before:
        missing = "(CAST(NULL, 'Nullable(Float64)'), CAST(NULL, 'Nullable(Float64)'))"
        return f"arrayConcat(arrayWithConstant({window.before}, {missing}), t.values)"
    return "t.values"


def _later(node: Call, compiler: "Compiler", grid: Grid, window: Window) -> Scalar:
    looked = node.arguments[0]
    place: Selector | Subquery = looked.selector if isinstance(looked, Range) else looked  # type: ignore[assignment]
    if place.at is None:
        return Scalar(str(place.offset / 1000), True)
    at = compiler.looked_at(place, grid).start
    return Scalar(f"arrayMap(i -> ({grid.start - at} + i * {grid.step}) / 1000, range({grid.count}))", False)


def _quantile_over_time(compiler: "Compiler", node: Call, grid: Grid) -> Vector:
    share = compiler.scalar(node.arguments[0], grid)
    window = compiler.window(node.arguments[1], grid)
    wanted = share.sql if share.constant else f"arrayElement({share.sql}, i + 1)"
    return nameless(window.exploded(f"arrayMap(a -> {quantile_of('a', wanted)}, [{_VALUES}])[1]"))


def quantile_of(values: str, share: str) -> str:
    """Return Prometheus' quantile of an array sorted with NaN first: linear between the two nearest ranks."""
    last = f"(length({values}) - 1)"
    # An index beyond what exists is computed for shares out of range, whose results are not taken.
    rank = f"(least(greatest({share}, 0), 1) * {last})"
    low = f"toUInt32(floor({rank}))"
    weight = f"({rank} - floor({rank}))"
    return (
        f"multiIf(isNaN({share}), nan, {share} < 0, -inf, {share} > 1, inf, "
        f"arrayElement({values}, {low} + 1) * (1 - {weight}) "
        f"+ arrayElement({values}, least({low} + 1, {last}) + 1) * {weight})"
    )


def _smoothing(compiler: "Compiler", node: Call, grid: Grid) -> Vector:
    window = compiler.window(node.arguments[0], grid)
    factors = [
        _factor(argument, name) for argument, name in zip(node.arguments[1:], ("smoothing", "trend"), strict=True)
    ]
    smooth, trend = (compiler.binder.number(factor) for factor in factors)
    # The state is (smoothed value, trend), as in Prometheus' double exponential smoothing.
    level = f"({smooth} * x + (1 - {smooth}) * (s.1 + s.2))"
    step = f"({level}, {trend} * ({level} - s.1) + (1 - {trend}) * s.2)"
    folded = f"arrayFold((s, x) -> {step}, arraySlice(a, 2), (a[1], a[2] - a[1])).1"
    return nameless(window.exploded(f"if(count() < 2, NULL, arrayMap(a -> {folded}, [{_IN_ORDER}])[1])"))


def _factor(node: object, name: str) -> float:
    if not isinstance(node, Number):
        raise FailedQuery(f"{name} factor: must be a number, not an expression")
    if not 0 < node.value < 1:
        raise FailedQuery(f"invalid {name} factor. Expected: 0 < {name[0]}f < 1, got: {node.value:f}")
    return node.value


def _absent_over_time(compiler: "Compiler", node: Call, grid: Grid) -> Vector:
    window = compiler.window(node.arguments[0], grid)
    count = window.call("timeSeriesCountToGrid") if window.source else ""
    return absent(compiler, window.vector(f"arrayMap(c -> toFloat64(c), {count})"), node.arguments[0], grid)


def absent(compiler: "Compiler", vector: Vector, argument: object, grid: Grid) -> Vector:
    """Return 1 at each time at which a vector has no sample, labelled by the selector's equality matchers."""
    present = f"(SELECT countForEach(t.values) FROM ({vector.values_sql}) AS t)"
    count = grid.count
    values = (
        f"arrayMap(c -> if(c = 0, CAST(1, 'Nullable(Float64)'), NULL), "
        f"arrayResize(assumeNotNull({present}), {count}, toUInt64(0)))"
    )
    labels = _absent_labels(argument)
    sql = NO_LABELS
    for name, value in labels:
        sql = with_label(sql, compiler.binder.text(name), compiler.binder.text(value))
    keyed = Keyed(f"SELECT toUInt64(0) AS key, {values} AS values", {0: labels})
    return Vector(f"SELECT {sql} AS labels, {values} AS values", True, keyed)


def _absent_labels(argument: object) -> Labels:
    selector = argument.selector if isinstance(argument, Range) else argument
    labels: dict[str, str] = {}
    seen: set[str] = set()
    for matcher in selector.matchers if isinstance(selector, Selector) else ():
        if matcher.name == "__name__":
            continue
        if matcher.op == "=" and matcher.name not in seen:
            labels[matcher.name] = matcher.value
            seen.add(matcher.name)
        else:
            labels.pop(matcher.name, None)
    return tuple(sorted((name, value) for name, value in labels.items() if value))


RANGE_FUNCTIONS: Final[dict[str, RangeFunction]] = {
    "rate": _counter("timeSeriesRateToGrid", per_second=True),
    "increase": _counter("timeSeriesIncreaseToGrid", per_second=False),
    "delta": _on_grid("timeSeriesDeltaToGrid"),
    "irate": _on_grid("timeSeriesInstantRateToGrid"),
    "idelta": _on_grid("timeSeriesInstantDeltaToGrid"),
    "deriv": _on_grid("timeSeriesDerivToGrid"),
    "changes": _on_grid("timeSeriesChangesToGrid"),
    "resets": _on_grid("timeSeriesResetsToGrid"),
    "avg_over_time": _on_grid("timeSeriesAvgToGrid"),
    "min_over_time": _on_grid("timeSeriesMinToGrid"),
    "max_over_time": _on_grid("timeSeriesMaxToGrid"),
    "sum_over_time": _on_grid("timeSeriesSumToGrid"),
    "last_over_time": _on_grid("timeSeriesLastToGrid", keep_name=True),
    "ts_of_min_over_time": _on_grid("timeSeriesTimestampOfMinToGrid"),
    "ts_of_max_over_time": _on_grid("timeSeriesTimestampOfMaxToGrid"),
    "count_over_time": _counted("toFloat64(c)"),
    "present_over_time": _counted("if(c > 0, toFloat64(1), NULL)"),
    "stddev_over_time": _exploded("stddevPopStable(p.2)"),
    "stdvar_over_time": _exploded("varPopStable(p.2)"),
    "first_over_time": _exploded("argMin(p.2, p.1)", keep_name=True),
    "mad_over_time": _exploded(
        "arrayMap(m -> " + quantile_of("m", "0.5") + ", [arraySort(x -> (NOT isNaN(x), x), "
        f"arrayMap(x -> abs(x - arrayMap(a -> {quantile_of('a', '0.5')}, [{_VALUES}])[1]), {_VALUES}))])[1]"
    ),
    "ts_of_last_over_time": _newest_time,
    "ts_of_first_over_time": _oldest_time,
    "quantile_over_time": _quantile_over_time,
    "predict_linear": _predict_linear,
    "double_exponential_smoothing": _smoothing,
    "absent_over_time": _absent_over_time,
}
