"""Parts of statements: bound parameters, time bounds, and what attributes are asked for.

Nothing that a caller sent becomes SQL: it is bound, and the engine sees `{p0:String}` in its place.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, Final, Literal

from ophion_agent.server import BadRequest
from ophion_api.any_values import as_text, encodings, number_of
from ophion_api.time_ranges import TimeRange

Operator = Literal["=", "!=", ">", ">=", "<", "<=", "=~", "exists", "prefix"]
Scope = Literal["any", "own", "resource"]

LONGEST_TEXT: Final = 4_000
LONGEST_REGEX: Final = 1_000
_RESOURCE: Final = "resource_id IN (SELECT resource_id FROM resources WHERE {})"


class Binder:
    """Collects the parameters of one statement."""

    def __init__(self) -> None:
        self.values: dict[str, Any] = {}
        self.regexes: list[str] = []

    def bind(self, value: Any, kind: str) -> str:
        """Return the placeholder of a value of a type of the engine."""
        name = f"p{len(self.values)}"
        self.values[name] = value
        return f"{{{name}:{kind}}}"

    def text(self, value: str) -> str:
        """Return the placeholder of a text; raises BadRequest as `checked_text` does."""
        return self.bind(checked_text(value), "String")

    def one_of(self, column: str, values: Sequence[Any], kind: str) -> str:
        """Return SQL for a column that has one of some values; those of kind String are texts of a caller."""
        places = [self.text(value) if kind == "String" else self.bind(value, kind) for value in values]
        return f"{column} = {places[0]}" if len(places) == 1 else f"{column} IN ({', '.join(places)})"

    def time(self, nanoseconds: int) -> str:
        """Return SQL for a time."""
        return f"fromUnixTimestamp64Nano({self.bind(nanoseconds, 'Int64')}, 'UTC')"

    def ids(self, hexadecimal: Sequence[str]) -> str:
        """Return SQL for a set of trace or span ids."""
        return f"(SELECT unhex(arrayJoin({self.bind(list(hexadecimal), 'Array(String)')})))"

    def regex(self, pattern: str) -> str:
        """Return the placeholder of an RE2 pattern, which is remembered to be checked before the statement runs."""
        if len(pattern) > LONGEST_REGEX:
            raise BadRequest(
                f"a regular expression may have {LONGEST_REGEX} characters, got {len(pattern)}", status=422
            )
        placeholder = self.text(pattern)
        self.regexes.append(pattern)
        return placeholder

    def within(self, column: str, bounds: TimeRange) -> str:
        """Return SQL for a time column that lies in a range."""
        return f"{column} >= {self.time(bounds.start)} AND {column} < {self.time(bounds.end)}"


def checked_text(value: str) -> str:
    """Return a text; raises BadRequest for one that is too long or that UTF-8 cannot hold."""
    if len(value) > LONGEST_TEXT:
        raise BadRequest(f"a text of {len(value)} characters is too long; {LONGEST_TEXT} are the most", status=422)
    try:
        value.encode()
    except UnicodeEncodeError:
        raise BadRequest("a text holds half a character (a lone surrogate); send UTF-8", status=422) from None
    return value


def conjunction(parts: Iterable[str]) -> str:
    """Return SQL that holds where all parts do."""
    joined = " AND ".join(f"({part})" for part in parts)
    return joined or "true"


def disjunction(parts: Iterable[str]) -> str:
    """Return SQL that holds where one of the parts does."""
    joined = " OR ".join(f"({part})" for part in parts)
    return f"({joined})" if joined else "false"


def text_of(value: str) -> str:
    """Return SQL for the text of an encoded value; "" for what is neither text, number nor truth value."""
    return (
        f"multiIf(startsWith({value}, '\\x0A'), {string_of(value)}, startsWith({value}, '\\x18'), "
        f"toString({_integer(value)}), startsWith({value}, '\\x21'), toString({_double(value)}), "
        f"startsWith({value}, '\\x10'), if(endsWith({value}, '\\x01'), 'true', 'false'), '')"
    )


def string_attribute(key: str) -> str:
    """Return SQL for the text of an attribute; "" where it is no text. The key does not come from a caller.

    Cheaper to plan and to run than `text_of`, for attributes that the semantic conventions define as strings.
    """
    value = f"attributes.values[indexOf(attributes.keys, '{key}')]"
    return f"if(startsWith({value}, '\\x0A'), {string_of(value)}, '')"


def string_of(value: str) -> str:
    """Return SQL for the text of an encoded string: 0x0A, its length as a varint, and its bytes."""
    return (
        f"substring({value}, multiIf(length({value}) < 130, 3, length({value}) < 16387, 4, "
        f"length({value}) < 2097156, 5, 6))"
    )


def _integer(value: str) -> str:
    """Return SQL for a varint after its tag: at most ten bytes with seven bits each, the lowest first.

    Eight of them are read as one number whose bits are pushed together in three steps, each over twice the width.
    """
    word = f"bitAnd(reinterpretAsUInt64(substring({value}, 2, 8)), toUInt64({0x7F7F7F7F7F7F7F7F}))"
    steps = ((1, 0x007F007F007F007F), (2, 0x00003FFF00003FFF), (4, 0x000000000FFFFFFF))
    for shift, low in steps:
        high = 0x7FFFFFFFFFFFFFFF & ~low
        pushed = f"bitShiftRight(bitAnd({word}, toUInt64({high})), {shift})"
        word = f"bitOr(bitAnd({word}, toUInt64({low})), {pushed})"
    last = f"reinterpretAsUInt64(substring({value}, 10, 2))"
    ninth = f"bitShiftLeft(bitAnd({last}, toUInt64(127)), 56)"
    tenth = f"bitShiftLeft(bitShiftRight({last}, 8), 63)"
    return f"reinterpretAsInt64(bitOr(bitOr({word}, {ninth}), {tenth}))"


def _double(value: str) -> str:
    return f"reinterpretAsFloat64(substring({value}, 2, 8))"


def number_sql(value: str) -> str:
    """Return SQL for the number that an encoded value is, or that its text reads as; NULL for any other."""
    return (
        f"multiIf(startsWith({value}, '\\x18'), toFloat64({_integer(value)}), startsWith({value}, '\\x21'), "
        f"{_double(value)}, startsWith({value}, '\\x0A'), toFloat64OrNull({string_of(value)}), NULL)"
    )


def attribute_condition(binder: Binder, key: str, operator: Operator, value: Any, scope: Scope = "any") -> str:
    """Return SQL for a condition on an attribute of the item itself, of its resource, or of either.

    Only an item that has the attribute can meet a condition, `!=` included.
    """
    own = _on_attributes(binder, key, operator, value)
    if scope == "own":
        return own
    resource = _RESOURCE.format(own)
    return resource if scope == "resource" else disjunction([own, resource])


def _on_attributes(binder: Binder, key: str, operator: Operator, value: Any) -> str:
    # Asking the two columns of a map is several times cheaper than asking the map.
    name = binder.text(key)
    stored = f"attributes.values[indexOf(attributes.keys, {name})]"
    has = f"has(attributes.keys, {name})"
    if operator == "exists":
        return has
    if operator in ("=", "!="):
        checked_text(as_text(value))
        candidates = [f"unhex({binder.bind(encoded.hex(), 'String')})" for encoded in encodings(value)]
        equal = f"{stored} IN ({', '.join(candidates)})"
        if operator == "!=":
            return f"{has} AND NOT ({equal})"
        # Few items have the value anywhere: only those need their keys looked at.
        return f"{disjunction(f'has(attributes.values, {one})' for one in candidates)} AND {equal}"
    if operator == "=~":
        return f"{has} AND match({text_of(stored)}, {binder.regex(as_text(value))})"
    if operator == "prefix":
        return f"{has} AND startsWith({text_of(stored)}, {binder.text(as_text(value))})"
    number = number_of(value)
    if number is None:
        raise BadRequest(f'{key} {operator}: must be compared with a number, got "{as_text(value)[:100]}"', status=422)
    return f"{has} AND ifNull({number_sql(stored)} {operator} {binder.bind(float(number), 'Float64')}, false)"


def column_condition(binder: Binder, column: str, operator: Operator, value: Any) -> str:
    """Return SQL for a condition on a text column of the schema; `column` never comes from a caller."""
    if operator == "exists":
        return f"{column} != ''"
    if operator == "=~":
        return f"match({column}, {binder.regex(as_text(value))})"
    if operator == "prefix":
        return f"startsWith({column}, {binder.text(as_text(value))})"
    if operator not in ("=", "!="):
        raise BadRequest(f"{operator}: cannot be used with a text; use one of = != =~ exists", status=422)
    return f"{column} {operator} {binder.text(as_text(value))}"
