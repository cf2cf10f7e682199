"""Pieces of statements: bound parameters, and the two shapes in which values travel through a compiled expression.

A vector is a sub-query of rows `labels Map(String, String)` (sorted by name, `__name__` included) and
`values Array(Nullable(Float64))` with one element per time of the grid; NULL is "no sample", NaN is a value. No two
rows of a vector have the same labels. Where its series are known, it has a second and cheaper form: see keyed.py.
"""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from ophion_promql.grid import Grid
from ophion_promql.keyed import Keyed, relabelled, without_name

VALUES: Final = "Array(Nullable(Float64))"
LABELS: Final = "Map(String, String)"
NO_LABELS: Final = f"CAST(map(), '{LABELS}')"
NO_VALUE: Final = "CAST(NULL, 'Nullable(Float64)')"
# Made from a table without rows: the engine would compute with constants, and find their arrays too short.
EMPTY: Final = f"SELECT materialize({NO_LABELS}) AS labels, materialize(CAST([], '{VALUES}')) AS values FROM numbers(0)"
EMPTY_KEYED: Final = Keyed(
    f"SELECT toUInt64(0) AS key, materialize(CAST([], '{VALUES}')) AS values FROM numbers(0)", {}
)
WITHOUT_NAME: Final = "mapFilter((k, v) -> k != '__name__', t.labels)"
SAME_LABELS: Final = "vector cannot contain metrics with the same labelset"
# Bits of the NaN with which Prometheus marks the end of a series.
STALE: Final = 0x7FF0000000000002
_PLACEHOLDER: Final = re.compile(r"\{(p\d+):")


@dataclass(slots=True)
class Binder:
    """Collects the values of a statement under names; equal values share one."""

    values: dict[str, Any] = field(default_factory=dict)
    _names: dict[tuple[str, str], str] = field(default_factory=dict)

    def bind(self, value: Any, kind: str) -> str:
        """Return the placeholder of a value of an engine type."""
        key = (kind, repr(value))
        if key not in self._names:
            self._names[key] = f"p{len(self.values)}"
            self.values[self._names[key]] = value
        return f"{{{self._names[key]}:{kind}}}"

    def used(self, sql: str) -> dict[str, Any]:
        """Return the values that a statement names; each costs the engine time whether it is used or not."""
        return {name: self.values[name] for name in dict.fromkeys(_PLACEHOLDER.findall(sql))}

    def text(self, value: str) -> str:
        """Return the placeholder of a string."""
        return self.bind(value, "String")

    def texts(self, values: Sequence[str]) -> str:
        """Return the placeholder of a list of strings."""
        return self.bind(list(values), "Array(String)")

    def number(self, value: float) -> str:
        """Return the placeholder of a float."""
        return self.bind(value, "Float64")


@dataclass(frozen=True, slots=True)
class Vector:
    """A sub-query. `one_name`: all rows have the same metric name or none, so dropping it keeps labels unique.

    `keyed` are the same rows with keys for labels, where the series are known.
    """

    sql: str
    one_name: bool
    keyed: Keyed | None = None

    @property
    def values_sql(self) -> str:
        """Return the sub-query to ask when only `values` matter."""
        return self.sql if self.keyed is None else self.keyed.sql


@dataclass(frozen=True, slots=True)
class Scalar:
    """An expression: one Float64 where `constant`, else an Array(Float64) with one element per time."""

    sql: str
    constant: bool

    def array(self, count: int) -> str:
        """Return the expression of one element per time."""
        return f"arrayWithConstant({count}, toFloat64({self.sql}))" if self.constant else self.sql


def time(milliseconds: int) -> str:
    """Return the engine's literal of a time."""
    return f"fromUnixTimestamp64Nano({milliseconds * 1_000_000}, 'UTC')"


def times(grid: Grid) -> str:
    """Return the expression of a grid's times in seconds."""
    return f"arrayMap(i -> ({grid.start} + i * {grid.step}) / 1000, range({grid.count}))"


def throw(condition: str, message: str) -> str:
    """Return a condition that raises `message` (a constant of this program) where `condition` holds, else is true."""
    return f"throwIf({condition}, '<<promql:{message}>>') = 0"


def constant_vector(scalar: Scalar, grid: Grid) -> Vector:
    """Return a scalar as a vector of one series without labels."""
    values = f"CAST({scalar.array(grid.count)}, '{VALUES}') AS values"
    return Vector(
        f"SELECT {NO_LABELS} AS labels, {values}", True, Keyed(f"SELECT toUInt64(0) AS key, {values}", {0: ()})
    )


def rebuilt(vector: Vector, values: str = "t.values", labels: str = "t.labels") -> str:
    """Return the vector's rows with other values or labels, written in terms of `t.labels` and `t.values`."""
    return f"SELECT {labels} AS labels, {values} AS values FROM ({vector.sql}) AS t"


def merged(sql: str, message: str = SAME_LABELS, *, whole: bool = False) -> str:
    """Return rows with equal labels joined into one, or an error where two have a value at the same time.

    With `whole` two rows with any values at all are an error, as for functions over ranges.
    """
    twice = (
        "countIf(arrayExists(v -> isNotNull(v), t.values)) > 1"
        if whole
        else "count() > 1 AND arrayExists(c -> c > 1, countForEach(t.values))"
    )
    return (
        f"SELECT t.labels AS labels, anyForEach(t.values) AS values FROM ({sql}) AS t "
        f"GROUP BY t.labels HAVING {throw(twice, message)}"
    )


def mapped(vector: Vector, values: str, *, keep_name: bool = False, whole: bool = False) -> Vector:
    """Return the vector with other values, without its metric name unless it is kept."""
    keyed = "" if vector.keyed is None else f"SELECT t.key AS key, {values} AS values FROM ({vector.keyed.sql}) AS t"
    if keep_name:
        return Vector(rebuilt(vector, values), vector.one_name, relabelled(vector.keyed, keyed, lambda labels: labels))
    sql = rebuilt(vector, values, WITHOUT_NAME)
    own = relabelled(vector.keyed, keyed, without_name)
    return Vector(sql if vector.one_name else merged(sql, whole=whole), True, own)


def each(values: Sequence[str], scalars: Sequence[Scalar], build: Callable[..., str]) -> str:
    """Return `build` applied time by time to arrays and scalars; `build` gets one expression for each of them."""
    names = [f"v{index}" for index in range(len(values))]
    arrays = list(values)
    operands = list(names)
    for index, scalar in enumerate(scalars):
        if scalar.constant:
            operands.append(scalar.sql)
        else:
            names.append(f"s{index}")
            arrays.append(scalar.sql)
            operands.append(f"s{index}")
    return f"arrayMap(({', '.join(names)}) -> {build(*operands)}, {', '.join(arrays)})"


def with_label(labels: str, name: str, value: str) -> str:
    """Return labels with one of them set; an empty value removes it."""
    return f"mapSort(mapFilter((k, v) -> v != '', mapUpdate({labels}, map({name}, {value}))))"


def kept(names: str, labels: str = "t.labels") -> str:
    """Return the labels whose names are in an array."""
    return f"mapFilter((k, v) -> has({names}, k), {labels})"


def removed(names: str, labels: str = "t.labels") -> str:
    """Return the labels without the metric name and without those whose names are in an array."""
    return f"mapFilter((k, v) -> k != '__name__' AND NOT has({names}, k), {labels})"
