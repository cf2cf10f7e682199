"""Binary operators between vectors whose labels are known: which series meet is decided here, not by the engine."""

from typing import TYPE_CHECKING

from ophion_promql.keyed import Keyed, Labels, kept_labels, number_of, numbered, removed_labels, without_name
from ophion_promql.nodes import Binary
from ophion_promql.sql import EMPTY_KEYED

if TYPE_CHECKING:
    from ophion_promql.compiling import Compiler


def _signature(node: Binary, labels: Labels) -> Labels:
    names = frozenset(node.matching.labels)
    return kept_labels(labels, names) if node.matching.on else removed_labels(labels, names)


def _numbers(node: Binary, left: Keyed, right: Keyed) -> tuple[dict[int, int], dict[int, int]]:
    """Return the number of each key's signature; what is equal on both sides has one number."""
    every = list(left.labels.values()) + list(right.labels.values())
    of_place, _ = numbered(dict(enumerate(every)), lambda labels: _signature(node, labels))
    first = len(left.labels)
    return (
        {key: of_place[place] for place, key in enumerate(left.labels)},
        {key: of_place[first + place] for place, key in enumerate(right.labels)},
    )


def _signed(compiler: "Compiler", keyed: Keyed, numbers: dict[int, int]) -> str:
    sig = number_of(numbers, compiler.binder)
    return f"SELECT t.key AS key, t.values AS values, {sig} AS sig FROM ({keyed.sql}) AS t"


def matched(
    compiler: "Compiler", node: Binary, many: Keyed | None, one: Keyed | None, values: str, *, keeps_name: bool
) -> Keyed | None:
    """Return the result of an operator, with `values` in terms of `m.values` and `o.values`.

    None where two series of `one` have the same signature or two results the same labels: then it depends on their
    samples whether that is an error.
    """
    if many is None or one is None:
        return None
    of_many, of_one = _numbers(node, many, one)
    by_number = {number: one.labels[key] for key, number in of_one.items()}
    if len(by_number) < len(of_one):
        return None
    labels = {
        key: _result_labels(node, many.labels[key], by_number[number], keeps_name)
        for key, number in of_many.items()
        if number in by_number
    }
    if not labels:
        return EMPTY_KEYED
    if len(set(labels.values())) < len(labels):
        return None
    sql = (
        f"SELECT m.key AS key, {values} AS values FROM ({_signed(compiler, many, of_many)}) AS m "
        f"INNER JOIN ({_signed(compiler, one, of_one)}) AS o ON m.sig = o.sig"
    )
    return Keyed(sql, labels)


def _result_labels(node: Binary, many: Labels, one: Labels, keeps_name: bool) -> Labels:
    matching, names = node.matching, frozenset(node.matching.labels)
    labels = many if keeps_name else without_name(many)
    if matching.card == "one":
        labels = tuple(pair for pair in labels if (pair[0] in names) == matching.on)
    if matching.include:
        include = frozenset(matching.include)
        labels = tuple(sorted((*(pair for pair in labels if pair[0] not in include), *kept_labels(one, include))))
    return labels


def set_operator(
    compiler: "Compiler", node: Binary, left: Keyed | None, right: Keyed | None, join: str, values: str
) -> Keyed | None:
    """Return `and` or `unless`, with `values` in terms of `m.values` and `o.counts` of the other side's signature."""
    if left is None or right is None:
        return None
    if not left.labels:
        return EMPTY_KEYED
    of_left, of_right = _numbers(node, left, right)
    if not of_right:
        return EMPTY_KEYED if node.op == "and" else left
    counts = (
        f"SELECT {number_of(of_right, compiler.binder)} AS sig, countForEach(t.values) AS counts "
        f"FROM ({right.sql}) AS t GROUP BY sig"
    )
    sql = (
        f"SELECT m.key AS key, {values} AS values FROM ({_signed(compiler, left, of_left)}) AS m "
        f"{join} JOIN ({counts}) AS o ON m.sig = o.sig"
    )
    return Keyed(sql, left.labels)


def union(compiler: "Compiler", node: Binary, left: Keyed | None, right: Keyed | None) -> Keyed | None:
    """Return `or`: the left side, and of the right what the left has nothing of with the same signature."""
    if left is None or right is None:
        return None
    sides = (left, right)
    signatures = _numbers(node, left, right)
    every = [labels for side in sides for labels in side.labels.values()]
    numbers, groups = numbered(dict(enumerate(every)), lambda labels: labels)
    if not groups:
        return EMPTY_KEYED
    place, selects = 0, []
    for index, (side, of_key) in enumerate(zip(sides, signatures, strict=True)):
        own = {key: numbers[place + offset] for offset, key in enumerate(side.labels)}
        place += len(own)
        selects.append(
            f"SELECT {index} AS side, {number_of(own, compiler.binder)} AS key, t.values AS values, "
            f"{number_of(of_key, compiler.binder)} AS sig FROM ({side.sql}) AS t"
        )
    grouped = (
        "SELECT countForEachIf(values, side = 0) AS counts, groupArray((side, key, values)) AS rows "
        f"FROM ({' UNION ALL '.join(selects)}) GROUP BY sig"
    )
    masked = "arrayMap((v, c) -> if(c > 0, NULL, v), row.3, arrayResize(counts, length(row.3)))"
    sql = f"SELECT row.2 AS key, if(row.1 = 0, row.3, {masked}) AS values FROM ({grouped}) ARRAY JOIN rows AS row"
    if len(groups) < len(every):
        # Equal labels have equal signatures, so that only one of the two has a value at any time.
        sql = f"SELECT t.key AS key, anyForEach(t.values) AS values FROM ({sql}) AS t GROUP BY key"
    return Keyed(sql, dict(enumerate(groups)))
