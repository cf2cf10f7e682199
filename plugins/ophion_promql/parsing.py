"""Parse PromQL into typed nodes.

The grammar is the library `promql-parser`, a port of Prometheus' own. What it takes beyond that is refused here.
"""

import re
from datetime import timedelta
from typing import Any, Final

from ophion_promql.classic import classic_form
from ophion_promql.errors import BadQuery
from ophion_promql.nodes import (
    Aggregate,
    At,
    Binary,
    Call,
    Matcher,
    Matching,
    Negate,
    Node,
    Number,
    Range,
    Selector,
    Subquery,
    Text,
    ValueType,
)

# The library's parser recurses on the machine's stack and ends the process beyond some thousand levels. Every level
# needs a bracket or an operator, so few of those mean few levels.
_MOST_OPERATORS: Final = 500
_LONGEST: Final = 1 << 17
_QUOTED: Final = r'"(?:[^"\\]|\\.)*"|\'(?:[^\'\\]|\\.)*\'|`[^`]*`|#[^\n]*'
_OPERATORS: Final = re.compile(_QUOTED + r"|(?P<operator>[-+*/%^(<>]|==|!=|\b(?:and|or|unless|atan2)\b)", re.S | re.I)
_OLD_NAME: Final = re.compile(_QUOTED + r"|(?P<old>\bholt_winters\b)(?=\s*\()", re.S)
_HUGE: Final = re.compile(_QUOTED + r"|(?<![\w.])(?P<number>[0-9][0-9_.]*[eE]\+?[0-9]+)", re.S)
_FIXED: Final = re.compile(r"@ (-?[0-9]+\.[0-9]+)")
_MATCH_OPS: Final = {"Equal": "=", "NotEqual": "!=", "Re": "=~", "NotRe": "!~"}
_CARDS: Final = {"OneToOne": "one", "ManyToOne": "left", "OneToMany": "right", "ManyToMany": "many"}
_TYPES: Final[dict[str, ValueType]] = {"Scalar": "scalar", "Vector": "vector", "Matrix": "matrix", "String": "string"}
_SET_OPERATORS: Final = frozenset({"and", "or", "unless"})


def parse(expression: str) -> Node:
    """Return the nodes of an expression; raises BadQuery with what the grammar says is wrong."""
    return _node(_parsed(expression))


def prettify(expression: str) -> str:
    """Return the expression formatted; raises BadQuery."""
    return str(_parsed(expression).prettify())


def parse_matchers(selector: str) -> tuple[Matcher, ...]:
    """Return the matchers of an instant selector, as `match[]` holds it; raises BadQuery."""
    node = parse(selector)
    if not isinstance(node, Selector) or node.offset or node.at is not None:
        raise BadQuery(f"match[]: must be a series selector such as up{{job='x'}}, got {selector!r}")
    return node.matchers


def _parsed(expression: str) -> Any:
    import promql_parser

    _check_size(expression)
    modern = _OLD_NAME.sub(lambda hit: "double_exponential_smoothing" if hit["old"] else hit[0], expression)
    try:
        return promql_parser.parse(modern)
    except ValueError as error:
        raise BadQuery(f'invalid parameter "query": parse error: {error}') from None
    except BaseException as error:
        # A panic of the library's native code derives from BaseException, and means only that the text is unusual.
        if type(error).__name__ != "PanicException":
            raise
        raise BadQuery('invalid parameter "query": parse error: not an expression') from None


def _check_size(expression: str) -> None:
    if len(expression) > _LONGEST:
        raise BadQuery(f'invalid parameter "query": must be at most {_LONGEST} characters, got {len(expression)}')
    if any(
        hit["number"] and float(hit["number"].replace("_", "")) == float("inf") for hit in _HUGE.finditer(expression)
    ):
        raise BadQuery('invalid parameter "query": parse error: error parsing number: value out of range')
    operators = sum(1 for hit in _OPERATORS.finditer(expression) if hit["operator"])
    if operators > _MOST_OPERATORS:
        raise BadQuery(
            f'invalid parameter "query": must have at most {_MOST_OPERATORS} operators and brackets, got {operators}; '
            "record parts of it as series of their own"
        )


def _node(parsed: Any) -> Node:
    built: Node = _BUILDERS[type(parsed).__name__](parsed)
    return built


def _selector(parsed: Any) -> Selector:
    matchers = parsed.matchers
    if matchers.or_matchers:
        raise BadQuery('invalid parameter "query": parse error: "or" between label matchers is not PromQL; use =~')
    name = [Matcher("__name__", "=", parsed.name)] if parsed.name else []
    rest = [
        Matcher(one.name, _MATCH_OPS[one.op.name if hasattr(one.op, "name") else str(one.op)[8:]], one.value)
        for one in matchers.matchers
    ]
    return Selector((*name, *rest), _milliseconds(parsed.offset), _at(parsed))


def _range(parsed: Any) -> Range:
    return Range(_selector(parsed.vector_selector), _milliseconds(parsed.range))


def _subquery(parsed: Any) -> Subquery:
    step = None if parsed.step is None else _milliseconds(parsed.step)
    if step == 0:
        raise BadQuery('invalid parameter "query": parse error: a sub-query\'s step must be at least 1ms')
    return Subquery(_node(parsed.expr), _milliseconds(parsed.range), step, _milliseconds(parsed.offset), _at(parsed))


def _call(parsed: Any) -> Call:
    returns = _TYPES[str(parsed.func.return_type).rpartition(".")[2]]
    name, arguments = parsed.func.name, tuple(_node(argument) for argument in parsed.args)
    classic = classic_form(arguments[1]) if name == "histogram_quantile" else None
    return Call(name, arguments if classic is None else (*arguments, classic), returns)


def _aggregate(parsed: Any) -> Aggregate:
    modifier = parsed.modifier
    labels = tuple(modifier.labels) if modifier else ()
    without = modifier is not None and str(modifier.type).endswith("Without")
    parameter = None if parsed.param is None else _node(parsed.param)
    return Aggregate(str(parsed.op), _node(parsed.expr), parameter, labels, without)


def _binary(parsed: Any) -> Binary:
    operator, modifier = str(parsed.op), parsed.modifier
    card: Any = "many" if operator in _SET_OPERATORS else "one"
    on, labels, include, returns_bool = False, (), (), False
    if modifier is not None:
        if modifier.fill_values.lhs is not None or modifier.fill_values.rhs is not None:
            raise BadQuery('invalid parameter "query": parse error: fill modifiers are not supported; use "or"')
        card = "many" if card == "many" else _CARDS[str(modifier.card).rpartition(".")[2]]
        include = tuple(modifier.group_labels or ())
        returns_bool = bool(modifier.return_bool)
        if modifier.matching is not None:
            on = str(modifier.matching.type).endswith("Include")
            labels = tuple(modifier.matching.labels)
    return Binary(operator, _node(parsed.lhs), _node(parsed.rhs), Matching(card, on, labels, include), returns_bool)


def _negate(parsed: Any) -> Node:
    inner = _node(parsed.expr)
    return Number(-inner.value) if isinstance(inner, Number) else Negate(inner)


_BUILDERS: Final[dict[str, Any]] = {
    "NumberLiteral": lambda parsed: Number(float(parsed.val)),
    "StringLiteral": lambda parsed: Text(parsed.val),
    "VectorSelector": _selector,
    "MatrixSelector": _range,
    "SubqueryExpr": _subquery,
    "Call": _call,
    "AggregateExpr": _aggregate,
    "BinaryExpr": _binary,
    "UnaryExpr": _negate,
    "ParenExpr": lambda parsed: _node(parsed.expr),
}


def _milliseconds(duration: timedelta | None) -> int:
    return 0 if duration is None else round(duration / timedelta(milliseconds=1))


def _at(parsed: Any) -> At:
    at = parsed.at
    if at is None:
        return None
    kind = str(at.type).rpartition(".")[2]
    if kind == "Start":
        return "start"
    if kind == "End":
        return "end"
    # The library's own conversion panics before 1970; its text has the same milliseconds.
    return round(float(_FIXED.findall(str(parsed))[-1]) * 1000)
