"""Compile an expression to one statement: who compiles which node, and the parts that every node needs."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from ophion_promql.aggregates import aggregate
from ophion_promql.errors import BadQuery, FailedQuery
from ophion_promql.functions import SCALAR_FUNCTIONS, VECTOR_FUNCTIONS
from ophion_promql.grid import Grid
from ophion_promql.matching import scalar_operator, vector_operator
from ophion_promql.nodes import (
    Aggregate,
    At,
    Binary,
    Call,
    Matcher,
    Negate,
    Node,
    Number,
    Range,
    Selector,
    Subquery,
    Text,
    type_of,
)
from ophion_promql.ranges import RANGE_FUNCTIONS
from ophion_promql.selecting import Selected
from ophion_promql.sql import STALE, Binder, Scalar, Vector, constant_vector, mapped
from ophion_promql.windows import Source, Window, evaluated, stored

_MOST_INNER_TIMES: Final = 1_000_000


@dataclass(frozen=True, slots=True)
class Semantics:
    """What the configuration decides. Milliseconds; `prometheus2`: ranges include both their
    ends, `rate` extrapolates and a dot in a pattern means what they did before Prometheus 3.
    """

    lookback: int = 300_000
    prometheus2: bool = False
    subquery_step: int = 60_000


@dataclass(slots=True)
class Compiler:
    """Compiles the nodes of one query, whose own times are `outer`, over series that were selected already."""

    semantics: Semantics
    outer: Grid
    selected: Mapping[tuple[Matcher, ...], Selected]
    binder: Binder = field(default_factory=Binder)
    warnings: list[str] = field(default_factory=list)
    natives_taken: bool = False

    def vector(self, node: Node, grid: Grid) -> Vector:
        """Return the vector that a node is at the times of a grid."""
        match node:
            case Selector():
                return self.instant(node, grid)
            case Aggregate():
                return aggregate(self, node, grid)
            case Binary():
                return vector_operator(self, node, grid)
            case Negate():
                return mapped(self.vector(node.expression, grid), "arrayMap(v -> -v, t.values)", whole=True)
            case Call():
                return self._call(node, grid)
        raise BadQuery(f"expected an instant vector, got a {type_of(node)}")

    def scalar(self, node: Node, grid: Grid) -> Scalar:
        """Return the scalar that a node is."""
        match node:
            case Number():
                return Scalar(self.binder.number(node.value), True)
            case Negate():
                inner = self.scalar(node.expression, grid)
                sql = f"(-({inner.sql}))" if inner.constant else f"arrayMap(v -> -v, {inner.sql})"
                return Scalar(sql, inner.constant)
            case Binary():
                return scalar_operator(self, node, grid)
            case Call() if node.name in SCALAR_FUNCTIONS:
                return SCALAR_FUNCTIONS[node.name](self, node, grid)
        raise BadQuery(f"expected a scalar, got a {type_of(node)}")

    def text(self, node: Node) -> str:
        """Return the value of a string literal."""
        if isinstance(node, Text):
            return node.value
        raise BadQuery(f"expected a string, got a {type_of(node)}")

    def _call(self, node: Call, grid: Grid) -> Vector:
        if node.name in RANGE_FUNCTIONS:
            return RANGE_FUNCTIONS[node.name](self, node, grid)
        if node.name in VECTOR_FUNCTIONS:
            return VECTOR_FUNCTIONS[node.name](self, node, grid)
        raise FailedQuery(f"function {node.name}() is not supported; docs/promql.md lists what is")

    def instant(self, node: Selector, grid: Grid, *, timestamps: bool = False) -> Vector:
        """Return the newest sample of each series within the lookback, or its time in seconds."""
        window = self._stored_window(node, grid, self.semantics.lookback, keep_stale=True)
        arguments = ""
        if timestamps:
            stamp = "toUnixTimestamp64Milli(time) / 1000"
            arguments = f"time, if(reinterpretAsUInt64(value) = {STALE}, value, {stamp})"
        last = window.call("timeSeriesLastToGrid", arguments) if window.source else ""
        return window.vector(f"arrayMap(v -> if(reinterpretAsUInt64(v) = {STALE}, NULL, v), {last})")

    def window(self, node: Node, grid: Grid) -> Window:
        """Return the samples of a range vector before each time of a grid."""
        if isinstance(node, Range):
            return self._stored_window(node.selector, grid, node.range, keep_stale=False)
        if isinstance(node, Subquery):
            return self._inner_window(node, grid)
        raise BadQuery(f"expected a range vector, got a {type_of(node)}")

    def looked_at(self, node: Selector | Subquery, grid: Grid) -> Grid:
        """Return the times at which a node's data is looked for: one where `@` fixes it."""
        at = self._at(node.at)
        return grid.shifted(-node.offset) if at is None else Grid(at - node.offset, at - node.offset, grid.step)

    def _at(self, at: At) -> int | None:
        if at == "start":
            return self.outer.start
        return self.outer.end if at == "end" else at

    def _stored_window(self, node: Selector, grid: Grid, width: int, *, keep_stale: bool) -> Window:
        before, seen = self.looked_at(node, grid).storable()
        selected = self.selected[node.matchers]
        if selected.natives and not self.natives_taken:
            self.warn(
                f"native histograms of {', '.join(selected.natives.names)} are left out: only rate, increase, delta, "
                "sum, avg, * and / in histogram functions take them"
            )
        source = None
        if seen.count and selected.ids:
            closed = self.semantics.prometheus2
            source = stored(selected, node.one_name, seen, width, closed, self.binder, keep_stale)
        return self._placed_window(node, grid, seen, before, width, source)

    def warn(self, warning: str) -> None:
        """Add a warning to the answer, once."""
        if warning not in self.warnings:
            self.warnings.append(warning)

    def _placed_window(
        self, node: Selector | Subquery, grid: Grid, seen: Grid, before: int, width: int, source: Source | None
    ) -> Window:
        repeat = 0 if node.at is None else grid.count
        return Window(source, seen, width, self.semantics.prometheus2, before, repeat)

    def _inner_window(self, node: Subquery, grid: Grid) -> Window:
        before, seen = self.looked_at(node, grid).storable()
        source = None
        if seen.count:
            step = node.step or self.semantics.subquery_step
            first = -(-max(0, seen.start - node.range) // step) * step
            inner = Grid(first, seen.last, step)
            if inner.count > _MOST_INNER_TIMES:
                raise FailedQuery(
                    f"a sub-query evaluates its expression more than {_MOST_INNER_TIMES} times; widen its step"
                )
            if inner.count:
                source = evaluated(self.either(node.expression, inner), inner)
        return self._placed_window(node, grid, seen, before, node.range, source)

    def either(self, node: Node, grid: Grid) -> Vector:
        """Return a vector, or a scalar as a vector without labels."""
        if type_of(node) == "scalar":
            return constant_vector(self.scalar(node, grid), grid)
        return self.vector(node, grid)
