"""Compiles OTTL conditions into functions that are asked of one place in a request."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from ophion_agent.plugin import points_of
from ophion_processors.actions import convert
from ophion_processors.condition_paths import ENUMS, Get, Level, Place, is_stored_text, names_its_context, resolve
from ophion_processors.conditions import (
    Call,
    Comparison,
    ConditionError,
    Expression,
    Junction,
    Literal,
    Not,
    Path,
    parse,
)
from ophion_processors.patterns import compile_pattern
from ophion_processors.values import find, to_any_value, to_python, to_text


class EvaluationError(Exception):
    """A condition that cannot be answered for this record, such as HasPrefix of a number."""


@dataclass(frozen=True, slots=True)
class Condition:
    """A compiled condition: the deepest level it looks at, and its test.

    `needles`, where known, are texts of which an encoded record holds at least one if the condition is true for it.
    """

    text: str
    level: Level
    test: Callable[[Place], bool]
    needles: frozenset[bytes] | None = None


Compiled = tuple[Level, Get]


def compile_condition(text: str, context: str, *, prefixed: bool = False) -> Condition:
    """Return the compiled condition; raise ConditionError, which names the column and what is valid there.

    `context` is resource, scope, span, spanevent, metric, datapoint or log. With `prefixed`, every path must say what
    it belongs to, as in `span.name`.
    """
    tree, compiler = parse(text), _Compiler(context, prefixed)
    level, test = compiler.condition(tree)
    return Condition(text, level, test, compiler.needles(tree))


class _Compiler:
    def __init__(self, context: str, prefixed: bool) -> None:
        self._context = context
        self._prefixed = prefixed

    def condition(self, node: Expression) -> tuple[Level, Callable[[Place], bool]]:
        if isinstance(node, Junction):
            return self._junction(node)
        if isinstance(node, Not):
            level, test = self.condition(node.operand)
            return level, lambda place: not test(place)
        if isinstance(node, Comparison):
            return self._comparison(node)
        level, get = self._value(node)
        return level, lambda place: _truth(get(place))

    def _junction(self, node: Junction) -> tuple[Level, Callable[[Place], bool]]:
        parts = [self.condition(operand) for operand in node.operands]
        # What looks least deep is asked first: it is the cheapest, and often answers for the rest.
        tests = [test for _, test in sorted(parts, key=lambda part: part[0])]
        level = max(part[0] for part in parts)
        if node.word == "and":
            return level, lambda place: all(test(place) for test in tests)
        return level, lambda place: any(test(place) for test in tests)

    def _comparison(self, node: Comparison) -> tuple[Level, Callable[[Place], bool]]:
        (left_level, left), (right_level, right) = self._value(node.left), self._value(node.right)
        level, compare = max(left_level, right_level), _COMPARE[node.operator]
        if isinstance(node.right, Literal):
            constant = node.right.value
            return level, lambda place: compare(left(place), constant)
        return level, lambda place: compare(left(place), right(place))

    def needles(self, node: Expression) -> frozenset[bytes] | None:
        """Return texts of which a record must hold one for a condition to be true, or None where there are no such."""
        if isinstance(node, Junction):
            return self._needles_of_all([self.needles(operand) for operand in node.operands], node.word)
        if not isinstance(node, Comparison) or node.operator != "==":
            return None
        if not isinstance(node.left, Path) or not isinstance(node.right, Literal):
            return None
        text = node.right.value
        if isinstance(text, str) and text and is_stored_text(node.left, self._context):
            return frozenset({text.encode(errors="surrogatepass")})
        return None

    def _needles_of_all(self, parts: list[frozenset[bytes] | None], word: str) -> frozenset[bytes] | None:
        known = [part for part in parts if part is not None]
        if word == "and":
            return min(known, key=len, default=None)
        return frozenset().union(*known) if len(known) == len(parts) else None

    def _value(self, node: Expression) -> Compiled:
        if isinstance(node, Literal):
            constant = node.value
            return Level.RESOURCE, lambda _place: constant
        if isinstance(node, Call):
            return self._call(node)
        if isinstance(node, Path):
            return self._path(node)
        raise ConditionError(node.column, "expected a value, got a condition")

    def _path(self, node: Path) -> Compiled:
        if len(node.fields) == 1 and node.fields[0].isupper():
            return self._enum(node)
        if self._prefixed and not names_its_context(node, self._context):
            shown = ".".join(node.fields)
            raise ConditionError(node.column, f"{shown!r}: say what it belongs to, such as {self._context}.{shown}")
        return resolve(node, self._context)

    def _enum(self, node: Path) -> Compiled:
        name = node.fields[0]
        if name not in ENUMS:
            family = [known for known in ENUMS if known.split("_")[0] == name.split("_")[0]]
            raise ConditionError(node.column, f"unknown constant {name!r}; valid: {', '.join(family or ENUMS)}")
        number = ENUMS[name]
        return Level.RESOURCE, lambda _place: number

    def _call(self, node: Call) -> Compiled:
        if node.name not in _FUNCTIONS and node.name not in _PLACE_FUNCTIONS.get(self._context, {}):
            valid = sorted([*_FUNCTIONS, *_PLACE_FUNCTIONS.get(self._context, {})])
            raise ConditionError(node.column, f"unknown function {node.name!r}; valid: {', '.join(valid)}")
        if node.name in _FUNCTIONS:
            count, function = _FUNCTIONS[node.name]
            level, in_place = Level.RESOURCE, None
        else:
            count, level, in_place = _PLACE_FUNCTIONS[self._context][node.name]
        if len(node.arguments) != count:
            raise ConditionError(node.column, f"{node.name} takes {count} arguments, got {len(node.arguments)}")
        arguments = [self._value(argument) for argument in node.arguments]
        level = max([level, *(argument_level for argument_level, _ in arguments)])
        getters = [get for _, get in arguments]
        if in_place is not None:
            return level, lambda place: in_place(place, *(get(place) for get in getters))
        if node.name == "IsMatch" and isinstance(node.arguments[1], Literal):
            return level, _match_getter(getters[0], node.arguments[1])
        if all(isinstance(argument, Literal) for argument in node.arguments):
            return level, _constant(node, function)
        return level, lambda place: function(*(get(place) for get in getters))


def _constant(node: Call, function: Callable[..., Any]) -> Get:
    try:
        value = function(*(argument.value for argument in node.arguments if isinstance(argument, Literal)))
    except EvaluationError as error:
        raise ConditionError(node.column, str(error)) from error
    return lambda _place: value


def _match_getter(target: Get, pattern: Literal) -> Get:
    if not isinstance(pattern.value, str):
        raise ConditionError(pattern.column, f"IsMatch needs a regular expression as text, got {pattern.value!r}")
    try:
        search = compile_pattern(pattern.value).search
    except ValueError as error:
        raise ConditionError(pattern.column, str(error)) from error

    def matches(place: Place) -> bool:
        value = target(place)
        return value is not None and search(value if type(value) is str else to_text(value)) is not None

    return matches


def _truth(value: Any) -> bool:
    if isinstance(value, bool):
        return value
    raise EvaluationError(f"expected true or false, got {_shown(value)}")


def _kind(value: Any) -> str:
    if isinstance(value, bool):
        return "truth"
    return "number" if isinstance(value, int | float) else type(value).__name__


def _equal(left: Any, right: Any) -> bool:
    return _kind(left) == _kind(right) and bool(left == right)


def _ordered(compare: Callable[[Any, Any], bool]) -> Callable[[Any, Any], bool]:
    orderable = ("number", "str", "truth", "bytes")
    return lambda left, right: _kind(left) == _kind(right) and _kind(left) in orderable and compare(left, right)


_COMPARE: Mapping[str, Callable[[Any, Any], bool]] = {
    "==": _equal,
    "!=": lambda left, right: not _equal(left, right),
    "<": _ordered(lambda left, right: left < right),
    "<=": _ordered(lambda left, right: left <= right),
    ">": _ordered(lambda left, right: left > right),
    ">=": _ordered(lambda left, right: left >= right),
}


def _shown(value: Any) -> str:
    return "nil" if value is None else repr(value)


def _text(function: str, value: Any) -> str:
    if isinstance(value, str):
        return value
    raise EvaluationError(f"{function}: expected text, got {_shown(value)}")


def _is_match(value: Any, pattern: Any) -> bool:
    try:
        return value is not None and compile_pattern(_text("IsMatch", pattern)).search(to_text(value)) is not None
    except ValueError as error:
        raise EvaluationError(str(error)) from error


def _length(value: Any) -> int:
    if isinstance(value, str | bytes | list | dict):
        return len(value)
    raise EvaluationError(f"Len: expected text, bytes, a list or a map, got {_shown(value)}")


def _converted(kind: str) -> Callable[[Any], Any]:
    def change(value: Any) -> Any:
        result = to_python(convert(to_any_value(value), kind)) if value is not None else None
        expected = {"int": int, "double": float, "string": str}[kind]
        return result if isinstance(result, expected) else None

    return change


def _id(function: str, size: int) -> Callable[[Any], bytes]:
    def check(value: Any) -> bytes:
        try:
            identifier = bytes.fromhex(value) if isinstance(value, str) else value
        except ValueError as error:
            raise EvaluationError(f"{function}: {value!r} is not hexadecimal") from error
        if isinstance(identifier, bytes) and len(identifier) == size:
            return identifier
        raise EvaluationError(f"{function}: expected {size} bytes, got {_shown(value)}")

    return check


_FUNCTIONS: Mapping[str, tuple[int, Callable[..., Any]]] = {
    "IsMatch": (2, _is_match),
    "HasPrefix": (2, lambda value, prefix: _text("HasPrefix", value).startswith(_text("HasPrefix", prefix))),
    "HasSuffix": (2, lambda value, suffix: _text("HasSuffix", value).endswith(_text("HasSuffix", suffix))),
    "IsString": (1, lambda value: isinstance(value, str)),
    "IsBool": (1, lambda value: isinstance(value, bool)),
    "IsInt": (1, lambda value: isinstance(value, int) and not isinstance(value, bool)),
    "IsDouble": (1, lambda value: isinstance(value, float)),
    "IsMap": (1, lambda value: isinstance(value, dict)),
    "IsList": (1, lambda value: isinstance(value, list)),
    "Len": (1, _length),
    "Int": (1, _converted("int")),
    "Double": (1, _converted("double")),
    "String": (1, _converted("string")),
    "ToLowerCase": (1, lambda value: _text("ToLowerCase", value).lower()),
    "ToUpperCase": (1, lambda value: _text("ToUpperCase", value).upper()),
    "TraceID": (1, _id("TraceID", 16)),
    "SpanID": (1, _id("SpanID", 8)),
}


def _is_root_span(place: Place) -> bool:
    return not place.record.parent_span_id.strip(b"\0")


def _point_has_key(place: Place, key: Any) -> bool:
    return any(find(point.attributes, key) is not None for point in points_of(place.metric))


def _point_has(place: Place, key: Any, value: Any) -> bool:
    return any(_equal(to_python(find(point.attributes, key)), value) for point in points_of(place.metric))


_ON_SPAN = {"IsRootSpan": (0, Level.RECORD, _is_root_span)}
_PLACE_FUNCTIONS: Mapping[str, Mapping[str, tuple[int, Level, Callable[..., bool]]]] = {
    "span": _ON_SPAN,
    "spanevent": _ON_SPAN,
    "metric": {
        "HasAttrKeyOnDatapoint": (1, Level.METRIC, _point_has_key),
        "HasAttrOnDatapoint": (2, Level.METRIC, _point_has),
    },
}
