"""Evaluate a LogQL metric expression over the telemetry store."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Final

from ophion_agent.server import Storage
from ophion_grafana.logql_errors import ParseError
from ophion_grafana.logql_metrics import Limits, range_series
from ophion_grafana.logql_nodes import (
    Binary,
    Grouping,
    LabelReplace,
    Metric,
    Number,
    RangeAggregate,
    VectorAggregate,
)
from ophion_grafana.logql_stages import check_matchers
from ophion_grafana.logql_vectors import (
    Series,
    Steps,
    Vector,
    aggregate,
    best,
    between,
    number,
    ordered,
    replace_label,
    with_number,
)
from ophion_grafana.loki_labels import INDEX_LABELS

# Their sum over streams is the same aggregation over the lines of all the streams.
_ADDITIVE: Final = frozenset({"count_over_time", "rate", "bytes_over_time", "bytes_rate", "sum_over_time"})
_ALL: Final = Grouping(())
_SETS: Final = frozenset({"and", "or", "unless"})


@dataclass(frozen=True, slots=True)
class Evaluation:
    """One query of one tenant at some times."""

    storage: Storage
    tenant: str
    steps: Steps
    limits: Limits

    async def value(self, node: Metric) -> Vector | float:
        """Return the series of an expression, or the number that it is."""
        match node:
            case Number():
                points: list[float | None] = [node.value] * self.steps.count
                return [Series({}, points)] if node.vector else node.value
            case RangeAggregate():
                return await self._range(node)
            case VectorAggregate():
                return await self._aggregate(node)
            case LabelReplace():
                return replace_label(node, await self._vector(node.inner))
            case Binary():
                return await self._binary(node)

    async def _vector(self, node: Metric) -> Vector:
        value = await self.value(node)
        if isinstance(value, float):
            raise ParseError("syntax error: a number stands where series are needed; write vector(...)")
        return value

    async def _range(self, node: RangeAggregate) -> Vector:
        check_matchers(node.query.matchers)
        if node.operator == "absent_over_time":
            return await self._absent(node)
        return await range_series(self.storage, self.tenant, node, node.grouping, self.steps, self.limits)

    async def _absent(self, node: RangeAggregate) -> Vector:
        found = await range_series(self.storage, self.tenant, node, _ALL, self.steps, self.limits)
        here = found[0].points if found else [None] * self.steps.count
        if all(point is not None for point in here):
            return []
        labels = {matcher.name: matcher.value for matcher in node.query.matchers if matcher.operator == "="}
        return [Series(labels, [1.0 if point is None else None for point in here])]

    async def _aggregate(self, node: VectorAggregate) -> Vector:
        inner = node.inner
        if node.operator == "sum" and isinstance(inner, RangeAggregate) and inner.operator in _ADDITIVE:
            check_matchers(inner.query.matchers)
            grouping = node.grouping or _ALL
            return await range_series(self.storage, self.tenant, inner, grouping, self.steps, self.limits)
        vector = await self._vector(_told_apart(inner, node.grouping))
        if node.operator in ("sort", "sort_desc"):
            return ordered(vector, descending=node.operator == "sort_desc")
        if node.operator in ("topk", "bottomk"):
            return best(node.operator, int(node.parameter or 1), vector, node.grouping)
        return aggregate(node.operator, vector, node.grouping)

    async def _binary(self, node: Binary) -> Vector | float:
        left, right = await self.value(node.left), await self.value(node.right)
        if isinstance(left, float) and isinstance(right, float):
            return number(node.operator, left, right)
        if node.operator in _SETS and (isinstance(left, float) or isinstance(right, float)):
            raise ParseError(f"unexpected literal for a side of logical/set binary operation ({node.operator})")
        if isinstance(left, float):
            return with_number(node, _series(right), left, number_first=True)
        if isinstance(right, float):
            return with_number(node, left, right, number_first=False)
        return between(node, left, right)


def _told_apart(inner: Metric, grouping: Grouping | None) -> Metric:
    """Return a range aggregation such that its series have the labels that an aggregation around it groups by."""
    if not isinstance(inner, RangeAggregate) or inner.grouping or grouping is None or grouping.without:
        return inner
    return replace(inner, grouping=Grouping((*INDEX_LABELS, *grouping.names)))


def _series(value: Vector | float) -> Vector:
    assert not isinstance(value, float)
    return value
