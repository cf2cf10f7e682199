"""Functions over instant vectors and scalars, value by value."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Final

from ophion_promql.grid import Grid
from ophion_promql.histograms import histogram_quantile
from ophion_promql.label_functions import label_join, label_replace
from ophion_promql.native_functions import NATIVE_FUNCTIONS
from ophion_promql.nodes import Call, Selector
from ophion_promql.ranges import absent
from ophion_promql.sql import Scalar, Vector, constant_vector, each, mapped, times

if TYPE_CHECKING:
    from ophion_promql.compiling import Compiler

VectorFunction = Callable[["Compiler", Call, Grid], Vector]
ScalarFunction = Callable[["Compiler", Call, Grid], Scalar]


def _math(expression: str) -> VectorFunction:
    """Return the compiler of a function of one number, written in terms of `v`."""

    def compiled(compiler: "Compiler", node: Call, grid: Grid) -> Vector:
        return mapped(compiler.either(node.arguments[0], grid), f"arrayMap(v -> {expression}, t.values)")

    return compiled


def _with_scalars(build: Callable[..., str]) -> VectorFunction:
    """Return the compiler of a function of a vector and then scalars."""

    def compiled(compiler: "Compiler", node: Call, grid: Grid) -> Vector:
        scalars = [compiler.scalar(argument, grid) for argument in node.arguments[1:]]
        return mapped(compiler.either(node.arguments[0], grid), each(["t.values"], scalars, build))

    return compiled


# Prometheus' clamps are Go's math.Min and math.Max, where NaN wins.
def _least(a: str, b: str) -> str:
    return f"if(isNaN({a}) OR isNaN({b}), nan, least({a}, {b}))"


def _clamp(value: str, low: str, high: str) -> str:
    inner = f"if(isNaN({value}) OR isNaN({low}) OR isNaN({high}), nan, greatest({low}, least({high}, {value})))"
    return f"if(isNull({value}) OR {high} < {low}, NULL, {inner})"


def _clamp_max(value: str, high: str) -> str:
    return f"if(isNull({value}), NULL, {_least(value, high)})"


def _clamp_min(value: str, low: str) -> str:
    return f"if(isNull({value}), NULL, if(isNaN({value}) OR isNaN({low}), nan, greatest({value}, {low})))"


def _round(value: str, nearest: str = "toFloat64(1)") -> str:
    return f"(floor({value} * (1 / {nearest}) + 0.5) / (1 / {nearest}))"


_SECONDS: Final = "toInt64(if(isNaN(v) OR abs(v) > 9e9, 0, trunc(v)))"
_DATE: Final = f"toDate32(toDateTime64({_SECONDS}, 0, 'UTC'))"

# Not by the engine's last day of a month, which is wrong before 1970.
_MONTH_DAYS: Final = (
    f"multiIf(toMonth({_DATE}) IN (4, 6, 9, 11), 30, toMonth({_DATE}) != 2, 31, "
    f"(toYear({_DATE}) % 4 = 0 AND toYear({_DATE}) % 100 != 0) OR toYear({_DATE}) % 400 = 0, 29, 28)"
)


def _date(expression: str) -> VectorFunction:
    """Return the compiler of a part of a date, of the evaluation's own time without an argument."""
    values = (
        f"arrayMap(v -> multiIf(isNull(v), NULL, isNaN(v) OR abs(v) > 9e9, nan, toFloat64({expression})), {{values}})"
    )

    def compiled(compiler: "Compiler", node: Call, grid: Grid) -> Vector:
        if node.arguments:
            return mapped(compiler.either(node.arguments[0], grid), values.format(values="t.values"))
        now = Scalar(values.format(values=f"CAST({times(grid)}, 'Array(Nullable(Float64))')"), False)
        return constant_vector(now, grid)

    return compiled


def _timestamp(compiler: "Compiler", node: Call, grid: Grid) -> Vector:
    argument = node.arguments[0]
    if isinstance(argument, Selector):
        return mapped(compiler.instant(argument, grid, timestamps=True), "t.values")
    values = f"arrayMap((v, s) -> if(isNull(v), NULL, s), t.values, {times(grid)})"
    return mapped(compiler.either(argument, grid), values)


def _vector(compiler: "Compiler", node: Call, grid: Grid) -> Vector:
    return compiler.either(node.arguments[0], grid)


def _absent(compiler: "Compiler", node: Call, grid: Grid) -> Vector:
    argument = node.arguments[0]
    return absent(compiler, compiler.either(argument, grid), argument, grid)


def _unsorted(compiler: "Compiler", node: Call, grid: Grid) -> Vector:
    # The order matters only at the top of an instant query, where the output looks for it.
    return compiler.either(node.arguments[0], grid)


def _scalar(compiler: "Compiler", node: Call, grid: Grid) -> Scalar:
    vector = compiler.either(node.arguments[0], grid)
    only = "arrayMap((c, v) -> if(c = 1, assumeNotNull(v), nan), countForEach(t.values), anyForEach(t.values))"
    sql = f"arrayResize(assumeNotNull((SELECT {only} FROM ({vector.values_sql}) AS t)), {grid.count}, nan)"
    return Scalar(sql, False)


def _time(compiler: "Compiler", node: Call, grid: Grid) -> Scalar:
    return Scalar(times(grid), False)


def _pi(compiler: "Compiler", node: Call, grid: Grid) -> Scalar:
    return Scalar("pi()", True)


SCALAR_FUNCTIONS: Final[dict[str, ScalarFunction]] = {"scalar": _scalar, "time": _time, "pi": _pi}

VECTOR_FUNCTIONS: Final[dict[str, VectorFunction]] = {
    "abs": _math("abs(v)"),
    "ceil": _math("ceil(v)"),
    "floor": _math("floor(v)"),
    "exp": _math("exp(v)"),
    "sqrt": _math("sqrt(v)"),
    "ln": _math("log(v)"),
    "log2": _math("log2(v)"),
    "log10": _math("log10(v)"),
    "sin": _math("sin(v)"),
    "cos": _math("cos(v)"),
    "tan": _math("tan(v)"),
    "asin": _math("asin(v)"),
    "acos": _math("acos(v)"),
    "atan": _math("atan(v)"),
    "sinh": _math("sinh(v)"),
    "cosh": _math("cosh(v)"),
    "tanh": _math("tanh(v)"),
    "asinh": _math("asinh(v)"),
    "acosh": _math("acosh(v)"),
    "atanh": _math("atanh(v)"),
    "rad": _math("v * pi() / 180"),
    "deg": _math("v * 180 / pi()"),
    "sgn": _math("multiIf(v < 0, toFloat64(-1), v > 0, toFloat64(1), v)"),
    "clamp": _with_scalars(_clamp),
    "clamp_max": _with_scalars(_clamp_max),
    "clamp_min": _with_scalars(_clamp_min),
    "round": _with_scalars(_round),
    "minute": _date(f"positiveModulo(toInt64(floor({_SECONDS} / 60)), 60)"),
    "hour": _date(f"positiveModulo(toInt64(floor({_SECONDS} / 3600)), 24)"),
    "day_of_week": _date(f"toDayOfWeek({_DATE}) % 7"),
    "day_of_month": _date(f"toDayOfMonth({_DATE})"),
    "day_of_year": _date(f"toDayOfYear({_DATE})"),
    "days_in_month": _date(_MONTH_DAYS),
    "month": _date(f"toMonth({_DATE})"),
    "year": _date(f"toYear({_DATE})"),
    "timestamp": _timestamp,
    "vector": _vector,
    "absent": _absent,
    "sort": _unsorted,
    "sort_desc": _unsorted,
    "sort_by_label": _unsorted,
    "sort_by_label_desc": _unsorted,
    "label_replace": label_replace,
    "label_join": label_join,
    "histogram_quantile": histogram_quantile,
    **NATIVE_FUNCTIONS,
}
