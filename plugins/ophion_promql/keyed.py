"""Vectors whose rows have numbers for keys, and whose labels are known here: what the engine is asked stays short.

Planning a statement that works with maps of labels costs the engine more than a small query's data. Where the series of
an expression are known before it is evaluated, their labels are worked out here, series by series.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from ophion_promql.sql import Binder

# Pairs of name and value in the order of names, without empty values, `__name__` included.
Labels = tuple[tuple[str, str], ...]
_NAME: Final = "__name__"


@dataclass(frozen=True, slots=True)
class Keyed:
    """A sub-query of rows `key UInt64` and `values`, as those of a vector, and the labels of every key it can have.

    No two keys have the same labels.
    """

    sql: str
    labels: Mapping[int, Labels]


def without_name(labels: Labels) -> Labels:
    """Return labels without the metric name."""
    return tuple(pair for pair in labels if pair[0] != _NAME)


def kept_labels(labels: Labels, names: frozenset[str]) -> Labels:
    """Return the labels whose names are among these."""
    return tuple(pair for pair in labels if pair[0] in names)


def removed_labels(labels: Labels, names: frozenset[str]) -> Labels:
    """Return the labels without the metric name and without those whose names are among these."""
    return tuple(pair for pair in labels if pair[0] != _NAME and pair[0] not in names)


def relabelled(keyed: Keyed | None, sql: str, change: Callable[[Labels], Labels]) -> Keyed | None:
    """Return rows of the same keys with other labels; None where two would have the same, which is for the engine."""
    if keyed is None:
        return None
    labels = {key: change(old) for key, old in keyed.labels.items()}
    return Keyed(sql, labels) if len(set(labels.values())) == len(labels) else None


def numbered(labels: Mapping[int, Labels], group: Callable[[Labels], Labels]) -> tuple[dict[int, int], list[Labels]]:
    """Return the number of each key's group, and the labels of the groups."""
    numbers: dict[Labels, int] = {}
    of_key = {key: numbers.setdefault(group(own), len(numbers)) for key, own in labels.items()}
    return of_key, list(numbers)


def number_of(of_key: Mapping[int, int], binder: "Binder", key: str = "t.key") -> str:
    """Return the expression of the number that belongs to a key."""
    if len(set(of_key.values())) == 1:
        return f"toUInt64({next(iter(of_key.values()))})"
    if all(old == new for old, new in of_key.items()):
        return key
    old, new = binder.bind(list(of_key), "Array(UInt64)"), binder.bind(list(of_key.values()), "Array(UInt64)")
    return f"transform({key}, {old}, {new}, toUInt64(0))"
