"""Binary operators: between scalars, between a vector and a scalar, and between vectors that match by labels."""

from typing import TYPE_CHECKING, Final

from ophion_promql.grid import Grid
from ophion_promql.keyed_matching import matched, set_operator, union
from ophion_promql.nodes import Binary, type_of
from ophion_promql.sql import (
    Scalar,
    Vector,
    each,
    kept,
    mapped,
    merged,
    removed,
    throw,
)

if TYPE_CHECKING:
    from ophion_promql.compiling import Compiler

_COMPARISONS: Final = {"==": "=", "!=": "!=", ">": ">", "<": "<", ">=": ">=", "<=": "<="}
_CALLS: Final = {"^": "pow", "%": "fmod", "atan2": "atan2"}
_MANY_TO_MANY: Final = (
    "found duplicate series for the match group on the {side} hand-side of the operation;"
    "many-to-many matching not allowed: matching labels must be unique on one side"
)
_NOT_UNIQUE: Final = "multiple matches for labels: grouping labels must ensure unique matches"
_NOT_EXPLICIT: Final = "multiple matches for labels: many-to-one matching must be explicit (group_left/group_right)"


def _computed(op: str, left: str, right: str) -> str:
    if op in _COMPARISONS:
        return f"toFloat64({left} {_COMPARISONS[op]} {right})"
    if op == "%":
        return f"(toFloat64({left}) % toFloat64({right}))"
    return f"{_CALLS[op]}({left}, {right})" if op in _CALLS else f"({left} {op} {right})"


def _filtered(op: str, left: str, right: str, value: str) -> str:
    return f"if({left} {_COMPARISONS[op]} {right}, {value}, NULL)"


def scalar_operator(compiler: "Compiler", node: Binary, grid: Grid) -> Scalar:
    """Return the result of an operator between scalars; comparisons are 0 or 1."""
    left, right = compiler.scalar(node.left, grid), compiler.scalar(node.right, grid)
    if left.constant and right.constant:
        return Scalar(_computed(node.op, left.sql, right.sql), True)
    arrays = [left.array(grid.count), right.array(grid.count)]
    return Scalar(each(arrays, [], lambda a, b: _computed(node.op, a, b)), False)


def vector_operator(compiler: "Compiler", node: Binary, grid: Grid) -> Vector:
    """Return the result of an operator with at least one vector."""
    if type_of(node.left) == "scalar":
        return _with_scalar(
            compiler, compiler.vector(node.right, grid), compiler.scalar(node.left, grid), node, swapped=True
        )
    if type_of(node.right) == "scalar":
        return _with_scalar(
            compiler, compiler.vector(node.left, grid), compiler.scalar(node.right, grid), node, swapped=False
        )
    left, right = compiler.vector(node.left, grid), compiler.vector(node.right, grid)
    if node.matching.card == "many":
        return _set_operator(compiler, node, left, right)
    return _matched(compiler, node, left, right)


def _with_scalar(compiler: "Compiler", vector: Vector, scalar: Scalar, node: Binary, *, swapped: bool) -> Vector:
    def build(value: str, other: str) -> str:
        left, right = (other, value) if swapped else (value, other)
        if node.op in _COMPARISONS and not node.returns_bool:
            return _filtered(node.op, left, right, value)
        return _computed(node.op, left, right)

    return mapped(vector, each(["t.values"], [scalar], build), keep_name=_keeps_name(compiler, node))


def _signature(compiler: "Compiler", node: Binary) -> str:
    names = compiler.binder.texts(node.matching.labels)
    # As text: the engine joins on strings faster than on maps, and it tells all maps apart.
    return f"toString({kept(names) if node.matching.on else removed(names)})"


def _matched(compiler: "Compiler", node: Binary, left: Vector, right: Vector) -> Vector:
    swapped = node.matching.card == "right"
    many, one = (right, left) if swapped else (left, right)
    signature = _signature(compiler, node)

    def build(many_value: str, one_value: str) -> str:
        a, b = (one_value, many_value) if swapped else (many_value, one_value)
        if node.op in _COMPARISONS and not node.returns_bool:
            return _filtered(node.op, a, b, a)
        return _computed(node.op, a, b)

    values = each(["m.values", "o.values"], [], build)
    sql = (
        f"SELECT {_result_labels(compiler, node)} AS labels, {values} AS values "
        f"FROM (SELECT t.labels AS labels, t.values AS values, {signature} AS sig FROM ({many.sql}) AS t) AS m "
        f"INNER JOIN ({_one_side(one, signature, 'left' if swapped else 'right')}) AS o ON m.sig = o.sig"
    )
    message = _NOT_EXPLICIT if node.matching.card == "one" else _NOT_UNIQUE
    keyed = matched(compiler, node, many.keyed, one.keyed, values, keeps_name=_keeps_name(compiler, node))
    return Vector(merged(sql, message), many.one_name or not _keeps_name(compiler, node), keyed)


def _one_side(one: Vector, signature: str, side: str) -> str:
    """Return the rows of the side that may have only one series for each signature and time."""
    twice = "count() > 1 AND arrayExists(c -> c > 1, countForEach(t.values))"
    grouped = (
        f"SELECT {signature} AS sig, groupArray((t.labels, t.values)) AS rows FROM ({one.sql}) AS t "
        f"GROUP BY sig HAVING {throw(twice, _MANY_TO_MANY.format(side=side))}"
    )
    return f"SELECT sig, row.1 AS labels, row.2 AS values FROM ({grouped}) ARRAY JOIN rows AS row"


def _keeps_name(compiler: "Compiler", node: Binary) -> bool:
    if node.op == "atan2":
        return compiler.semantics.prometheus2
    return node.op in _COMPARISONS and not node.returns_bool


def _result_labels(compiler: "Compiler", node: Binary) -> str:
    matching, names = node.matching, compiler.binder.texts(node.matching.labels)
    labels = "m.labels"
    if not _keeps_name(compiler, node):
        labels = f"mapFilter((k, v) -> k != '__name__', {labels})"
    if matching.card == "one":
        labels = kept(names, labels) if matching.on else f"mapFilter((k, v) -> NOT has({names}, k), {labels})"
    if matching.include:
        include = compiler.binder.texts(matching.include)
        labels = (
            f"mapSort(mapConcat(mapFilter((k, v) -> NOT has({include}, k), {labels}), {kept(include, 'o.labels')}))"
        )
    return labels


def _set_operator(compiler: "Compiler", node: Binary, left: Vector, right: Vector) -> Vector:
    signature = _signature(compiler, node)
    if node.op == "or":
        return Vector(merged(_union(left, right, signature)), False, union(compiler, node, left.keyed, right.keyed))
    counts = f"SELECT {signature} AS sig, countForEach(t.values) AS counts FROM ({right.sql}) AS t GROUP BY sig"
    rows = f"SELECT t.labels AS labels, t.values AS values, {signature} AS sig FROM ({left.sql}) AS t"
    if node.op == "and":
        join, values = "INNER", "arrayMap((v, c) -> if(c > 0, v, NULL), m.values, o.counts)"
    else:
        join, values = (
            "LEFT",
            (
                "if(empty(o.counts), m.values, "
                "arrayMap((v, c) -> if(c > 0, NULL, v), m.values, arrayResize(o.counts, length(m.values))))"
            ),
        )
    sql = (
        f"SELECT m.labels AS labels, {values} AS values FROM ({rows}) AS m {join} JOIN ({counts}) AS o ON m.sig = o.sig"
    )
    return Vector(sql, left.one_name, set_operator(compiler, node, left.keyed, right.keyed, join, values))


def _union(left: Vector, right: Vector, signature: str) -> str:
    """Return the rows of the left side, and those of the right where the left has nothing of their signature."""
    sides = " UNION ALL ".join(
        f"SELECT {side} AS side, t.labels AS labels, t.values AS values, {signature} AS sig FROM ({vector.sql}) AS t"
        for side, vector in enumerate((left, right))
    )
    grouped = (
        "SELECT countForEachIf(values, side = 0) AS counts, groupArray((side, labels, values)) AS rows "
        f"FROM ({sides}) GROUP BY sig"
    )
    masked = "arrayMap((v, c) -> if(c > 0, NULL, v), row.3, arrayResize(counts, length(row.3)))"
    return f"SELECT row.2 AS labels, if(row.1 = 0, row.3, {masked}) AS values FROM ({grouped}) ARRAY JOIN rows AS row"
