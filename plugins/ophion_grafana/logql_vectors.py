"""Series of a metric query and what operators and aggregations make of them: a step of work per series and step."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean
from types import MappingProxyType
from typing import Final

from ophion_grafana.logql_errors import ParseError
from ophion_grafana.logql_nodes import Binary, Grouping, LabelReplace

Points = list[float | None]
Key = tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class Steps:
    """The times of evaluation, in nanoseconds: `count` of them from `start`, `step` apart."""

    start: int
    step: int
    count: int

    @property
    def end(self) -> int:
        """The last time."""
        return self.start + self.step * (self.count - 1)


@dataclass(frozen=True, slots=True)
class Series:
    """Labels, and a value or None at every step."""

    labels: Mapping[str, str]
    points: Points


Vector = list[Series]


def _variance(values: Sequence[float]) -> float:
    mean = fmean(values)
    return fmean((value - mean) ** 2 for value in values)


_AGGREGATIONS: Final[Mapping[str, Callable[[Sequence[float]], float]]] = MappingProxyType(
    {
        "sum": math.fsum,
        "avg": fmean,
        "count": lambda values: float(len(values)),
        "max": max,
        "min": min,
        "stdvar": _variance,
        "stddev": lambda values: math.sqrt(_variance(values)),
    }
)


def group_labels(labels: Mapping[str, str], grouping: Grouping | None) -> dict[str, str]:
    """Return the labels that a grouping leaves."""
    if grouping is None:
        return {}
    return {name: value for name, value in labels.items() if (name in grouping.names) != grouping.without}


def aggregate(operator: str, vector: Vector, grouping: Grouping | None) -> Vector:
    """Return one series per group."""
    function = _AGGREGATIONS[operator]
    return [Series(labels, _columns(function, members)) for labels, members in _groups(vector, grouping)]


def _groups(vector: Vector, grouping: Grouping | None) -> Iterable[tuple[dict[str, str], Vector]]:
    groups: dict[Key, tuple[dict[str, str], Vector]] = {}
    for series in vector:
        labels = group_labels(series.labels, grouping)
        groups.setdefault(_key(labels), (labels, []))[1].append(series)
    return groups.values()


def _key(labels: Mapping[str, str]) -> Key:
    return tuple(sorted(labels.items()))


def _columns(function: Callable[[Sequence[float]], float], members: Vector) -> Points:
    points: Points = []
    for column in zip(*(series.points for series in members), strict=True):
        values = [value for value in column if value is not None]
        points.append(function(values) if values else None)
    return points


def best(operator: str, count: int, vector: Vector, grouping: Grouping | None) -> Vector:
    """Return what `topk` or `bottomk` leaves of the series: at each step the best values of each group."""
    kept: Vector = []
    for _, members in _groups(vector, grouping):
        left: list[Points] = [[None] * len(series.points) for series in members]
        for step in range(len(members[0].points)):
            present = [(value, at) for at, series in enumerate(members) if (value := series.points[step]) is not None]
            for value, at in sorted(present, key=lambda found: found[0], reverse=operator == "topk")[:count]:
                left[at][step] = value
        kept += [Series(series.labels, points) for series, points in zip(members, left, strict=True)]
    return present_only(kept)


def present_only(vector: Vector) -> Vector:
    """Return the series that have a value at some step."""
    return [series for series in vector if any(value is not None for value in series.points)]


def ordered(vector: Vector, descending: bool) -> Vector:
    """Return the series in the order of their last values."""
    return sorted(vector, key=lambda series: series.points[-1] or 0.0, reverse=descending)


def _divide(left: float, right: float) -> float:
    if right == 0:
        return math.nan if left == 0 or math.isnan(left) else math.copysign(math.inf, left)
    return left / right


def _power(left: float, right: float) -> float:
    try:
        result = left**right
    except (OverflowError, ZeroDivisionError):
        return math.inf
    return result if isinstance(result, float) else math.nan


_ARITHMETIC: Final[Mapping[str, Callable[[float, float], float]]] = MappingProxyType(
    {
        "+": lambda left, right: left + right,
        "-": lambda left, right: left - right,
        "*": lambda left, right: left * right,
        "/": _divide,
        "%": lambda left, right: math.fmod(left, right) if right else math.nan,
        "^": _power,
    }
)
_COMPARE: Final[Mapping[str, Callable[[float, float], bool]]] = MappingProxyType(
    {
        "==": lambda left, right: left == right,
        "!=": lambda left, right: left != right,
        ">": lambda left, right: left > right,
        ">=": lambda left, right: left >= right,
        "<": lambda left, right: left < right,
        "<=": lambda left, right: left <= right,
    }
)


def number(operator: str, left: float, right: float) -> float:
    """Return the result of an operator between two numbers."""
    if operator in _COMPARE:
        return float(_COMPARE[operator](left, right))
    return _ARITHMETIC[operator](left, right)


def with_number(node: Binary, vector: Vector, value: float, number_first: bool) -> Vector:
    """Return the result of an operator between series and a number."""

    def combine(point: float) -> float | None:
        left, right = (value, point) if number_first else (point, value)
        return _combined(node, left, right, point)

    results = [
        Series(series.labels, [None if point is None else combine(point) for point in series.points])
        for series in vector
    ]
    return present_only(results)


def _combined(node: Binary, left: float, right: float, kept: float) -> float | None:
    if node.operator not in _COMPARE:
        return _ARITHMETIC[node.operator](left, right)
    holds = _COMPARE[node.operator](left, right)
    if node.returns_bool:
        return float(holds)
    return kept if holds else None


def between(node: Binary, left: Vector, right: Vector) -> Vector:
    """Return the result of an operator between series, matched one to one; raises ParseError for many to one."""
    others = _by_signature(node, right)
    if node.operator in ("and", "or", "unless"):
        return _set_operation(node, left, right, others)
    _by_signature(node, left)
    results: Vector = []
    for series in left:
        other = others.get(_signature(node, series.labels))
        if other is None:
            continue
        pairs = zip(series.points, other.points, strict=True)
        points = [None if a is None or b is None else _combined(node, a, b, a) for a, b in pairs]
        results.append(Series(_result_labels(node, series.labels), points))
    return present_only(results)


def _result_labels(node: Binary, labels: Mapping[str, str]) -> Mapping[str, str]:
    if node.operator in _COMPARE and not node.returns_bool:
        return labels
    return dict(_signature(node, labels))


def _signature(node: Binary, labels: Mapping[str, str]) -> Key:
    if node.matching == "on":
        return _key({name: value for name, value in labels.items() if name in node.labels})
    return _key({name: value for name, value in labels.items() if name not in node.labels})


def _by_signature(node: Binary, vector: Vector) -> dict[Key, Series]:
    found: dict[Key, Series] = {}
    for series in vector:
        if found.setdefault(_signature(node, series.labels), series) is not series and node.operator not in (
            "and",
            "or",
            "unless",
        ):
            raise ParseError("multiple matches for labels: many-to-one matching is not supported; aggregate first")
    return found


def _set_operation(node: Binary, left: Vector, right: Vector, others: Mapping[Key, Series]) -> Vector:
    if node.operator == "or":
        mine = {_signature(node, series.labels) for series in left}
        return [*left, *(series for series in right if _signature(node, series.labels) not in mine)]
    results = []
    for series in left:
        other = others.get(_signature(node, series.labels))
        present = [point is not None for point in other.points] if other else [False] * len(series.points)
        keep = node.operator == "and"
        points = [point if here == keep else None for point, here in zip(series.points, present, strict=True)]
        results.append(Series(series.labels, points))
    return present_only(results)


def replace_label(node: LabelReplace, vector: Vector) -> Vector:
    """Return the series with a label made from another one; raises ParseError for a malformed expression."""
    try:
        pattern = re.compile(f"(?s:{node.regex})")
    except (re.error, RecursionError, OverflowError) as error:
        raise ParseError(f"invalid regex in label_replace: {error}") from None
    template = re.sub(
        r"\$(?:\{(\w+)\}|(\w+))", lambda hit: rf"\g<{hit[1] or hit[2]}>", node.replacement.replace("\\", r"\\")
    )
    return [Series(_replaced(node, pattern, template, series.labels), series.points) for series in vector]


def _replaced(node: LabelReplace, pattern: re.Pattern[str], template: str, labels: Mapping[str, str]) -> dict[str, str]:
    match = pattern.fullmatch(labels.get(node.source, ""))
    if match is None:
        return dict(labels)
    try:
        value = match.expand(template)
    except (re.error, IndexError):
        raise ParseError(f"label_replace: {node.replacement!r} names a group that the regex has not") from None
    changed = {**labels, node.target: value}
    return {name: text for name, text in changed.items() if text}
