"""Parse LogQL, the grammar of Loki's pkg/logql/syntax/syntax.y, by recursive descent. Metric expressions."""

from __future__ import annotations

from typing import Final, Literal, cast

from ophion_grafana.logql_errors import ParseError, Unsupported
from ophion_grafana.logql_nodes import (
    Binary,
    Grouping,
    LabelReplace,
    LogQuery,
    Metric,
    Number,
    Query,
    RangeAggregate,
    Stage,
    Unwrap,
    VectorAggregate,
)
from ophion_grafana.logql_stages import StageParser

LINE_OPERATIONS: Final = frozenset({"count_over_time", "rate", "bytes_over_time", "bytes_rate", "absent_over_time"})
UNWRAPPED_OPERATIONS: Final = frozenset(
    {
        "rate",
        "avg_over_time",
        "sum_over_time",
        "min_over_time",
        "max_over_time",
        "stdvar_over_time",
        "stddev_over_time",
        "quantile_over_time",
        "first_over_time",
        "last_over_time",
        "absent_over_time",
    }
)
GROUPED_RANGES: Final = UNWRAPPED_OPERATIONS - {"rate", "sum_over_time", "absent_over_time"}
AGGREGATIONS: Final = frozenset(
    {"sum", "avg", "count", "max", "min", "stddev", "stdvar", "topk", "bottomk", "sort", "sort_desc"}
)
_REFUSED: Final = {
    "rate_counter": "use rate",
    "approx_topk": "use topk",
}
_PRECEDENCE: Final = {
    "or": 1,
    "and": 2,
    "unless": 2,
    **dict.fromkeys(("==", "!=", ">", ">=", "<", "<="), 3),
    "+": 4,
    "-": 4,
    "*": 5,
    "/": 5,
    "%": 5,
    "^": 6,
}
SET_OPERATORS: Final = frozenset({"or", "and", "unless"})
COMPARISONS: Final = frozenset({"==", "!=", ">", ">=", "<", "<="})
_DEEPEST: Final = 60


def parse(text: str) -> Query:
    """Return the node of a query; raises ParseError, or Unsupported for LogQL that is not evaluated here."""
    parser = _Parser(text)
    node = parser.expression()
    parser.expect_end()
    if not isinstance(node, LogQuery):
        return node
    if any(isinstance(stage, Unwrap) for stage in node.stages):
        raise ParseError("unwrap stands only in a metric query")
    return node


def parse_selector(text: str) -> LogQuery:
    """Return a log query, as `match[]` and `query` parameters hold it; raises ParseError for anything else."""
    node = parse(text)
    if not isinstance(node, LogQuery):
        raise ParseError('only label matchers are supported; write a stream selector such as {service_name="api"}')
    return node


class _Parser(StageParser):
    def __init__(self, text: str) -> None:
        super().__init__(text)
        self._depth = 0

    def expression(self, lowest: int = 0) -> Query:
        """Parse operators of at least a precedence."""
        self._enter()
        left = self._operand()
        while (precedence := _PRECEDENCE.get(self.peek().text, 0)) > lowest and self.peek().kind in ("symbol", "name"):
            operator = self.next().text
            left = self._binary(operator, left, precedence)
        self._depth -= 1
        return left

    def _enter(self) -> None:
        self._depth += 1
        if self._depth > _DEEPEST:
            raise ParseError(f"more than {_DEEPEST} nested expressions", self.text, self.peek().position)

    def _binary(self, operator: str, left: Query, precedence: int) -> Binary:
        returns_bool = self.take("bool")
        matching = self.peek().text if self.peek().text in ("on", "ignoring") else ""
        labels: tuple[str, ...] = ()
        if matching:
            self.next()
            labels = self.names()
        if self.peek().text in ("group_left", "group_right"):
            raise Unsupported(self.peek().text, "aggregate both sides to the same labels")
        # `^` binds to the right.
        right = self.expression(precedence - 1 if operator == "^" else precedence)
        kind: Literal["", "on", "ignoring"] = "on" if matching == "on" else "ignoring" if matching else ""
        return Binary(operator, self._metric(left), self._metric(right), returns_bool, kind, labels)

    def _metric(self, node: Query) -> Metric:
        if isinstance(node, LogQuery):
            raise ParseError("unexpected type for an operand: a log query has no value; put it into count_over_time")
        return node

    def _operand(self) -> Query:
        token = self.peek()
        if token.text == "(":
            self.next()
            node = self.expression()
            self.expect(")")
            return node
        if token.text == "{":
            return self.log_query()
        if token.kind == "number" or (token.text in ("+", "-") and self.peek(1).kind == "number"):
            return Number(self.number())
        if token.kind == "name" and self.peek(1).text in ("(", "by", "without"):
            return self._function(self.next().text.lower(), token.position)
        raise self.unexpected()

    def _function(self, name: str, position: int) -> Metric:
        if name in _REFUSED:
            raise Unsupported(name, _REFUSED[name])
        if name in LINE_OPERATIONS | UNWRAPPED_OPERATIONS:
            return self._range_aggregate(name)
        if name in AGGREGATIONS:
            return self._vector_aggregate(name)
        if name == "vector":
            self.expect("(")
            value = self.number()
            self.expect(")")
            return Number(value, vector=True)
        if name == "label_replace":
            return self._label_replace()
        raise ParseError(f"syntax error: unexpected IDENTIFIER {name}", self.text, position)

    def _label_replace(self) -> LabelReplace:
        self.expect("(")
        inner = self._metric(self.expression())
        texts = []
        for _ in range(4):
            self.expect(",")
            texts.append(self.string())
        self.expect(")")
        return LabelReplace(inner, *texts)

    def _vector_aggregate(self, name: str) -> VectorAggregate:
        grouping = self._grouping()
        self.expect("(")
        parameter = None
        if name in ("topk", "bottomk"):
            parameter = self.number()
            self.expect(",")
            if parameter < 1 or not parameter.is_integer():
                raise ParseError(f"invalid parameter (must be greater than 0) {name}({parameter:g}")
        inner = self._metric(self.expression())
        self.expect(")")
        grouping = grouping or self._grouping()
        if grouping and name.startswith("sort"):
            raise ParseError("sort and sort_desc doesn't allow grouping by ")
        return VectorAggregate(name, inner, grouping, parameter)

    def _grouping(self) -> Grouping | None:
        if self.peek().text.lower() not in ("by", "without"):
            return None
        return Grouping(without=self.next().text.lower() == "without", names=self.names())

    def _range_aggregate(self, name: str) -> RangeAggregate:
        self.expect("(")
        parameter = None
        if name == "quantile_over_time":
            parameter = self.number()
            self.expect(",")
        query, length, offset = self._log_range()
        self.expect(")")
        grouping = self._grouping()
        _check_range(name, query, grouping)
        return RangeAggregate(name, query, length, offset, parameter, grouping)

    def _log_range(self) -> tuple[LogQuery, int, int]:
        """Parse a selector with its range, which may stand before, within or after its stages."""
        parenthesis = self.take("(")
        selector = self.selector()
        stages: list[Stage] = []
        length, offset = 0, 0
        while True:
            token = self.peek()
            if token.kind == "range":
                length = cast(int, self.next().value)
            elif token.text == "offset":
                self.next()
                offset = cast(int, self.expect_kind("duration").value)
            elif token.text == ")" and parenthesis:
                self.next()
                parenthesis = False
            elif self.at_stage():
                stages.append(self.stage())
            else:
                break
        if length <= 0:
            raise ParseError("syntax error: expecting a range such as [5m]", self.text, self.peek().position)
        return LogQuery(selector, tuple(stages)), length, offset


def _check_range(name: str, query: LogQuery, grouping: Grouping | None) -> None:
    unwrapped = any(isinstance(stage, Unwrap) for stage in query.stages)
    if unwrapped and name not in UNWRAPPED_OPERATIONS:
        raise ParseError(f"invalid aggregation {name} with unwrap")
    if not unwrapped and name not in LINE_OPERATIONS:
        raise ParseError(f"invalid aggregation {name} without unwrap")
    if grouping and name not in GROUPED_RANGES:
        raise ParseError(f"grouping not allowed for {name} aggregation")
