"""Parts of statements: bound parameters, times, and the text of encoded attribute values.

Nothing that a caller sent becomes SQL: it is bound, and the engine sees `{p0:String}` in its place.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, Final

from ophion_agent.server import BadRequest

_LONGEST_TEXT: Final = 16_000
_DAY_SECONDS: Final = 86_400


class Binder:
    """Collects the parameters of one statement, and the regular expressions among them."""

    def __init__(self) -> None:
        self.values: dict[str, Any] = {}
        self.regexes: list[str] = []

    def bind(self, value: Any, kind: str) -> str:
        """Return the placeholder of a value of one of the engine's types."""
        name = f"p{len(self.values)}"
        self.values[name] = value
        return f"{{{name}:{kind}}}"

    def text(self, value: str) -> str:
        """Return the placeholder of a text; raises BadRequest for one that is too long or no text."""
        if len(value) > _LONGEST_TEXT:
            raise BadRequest(f"a text of {len(value)} characters is too long; {_LONGEST_TEXT} are the most")
        try:
            value.encode()
        except UnicodeEncodeError:
            raise BadRequest("a text holds half a character (a lone surrogate); send UTF-8") from None
        return self.bind(value, "String")

    def regex(self, pattern: str) -> str:
        """Return the placeholder of an RE2 pattern."""
        self.regexes.append(pattern)
        return self.text(pattern)

    def texts(self, values: Sequence[str]) -> str:
        """Return the placeholder of a list of texts."""
        return self.bind(list(values), "Array(String)")

    def integer(self, value: int) -> str:
        """Return the placeholder of a 64-bit integer."""
        return self.bind(value, "Int64")

    def number(self, value: float) -> str:
        """Return the placeholder of a floating point number."""
        return self.bind(float(value), "Float64")

    def time(self, nanoseconds: int) -> str:
        """Return SQL for a time; what lies beyond the engine's range becomes the end of it."""
        return f"fromUnixTimestamp64Nano({self.integer(min(max(nanoseconds, 0), 2**63 - 1))}, 'UTC')"

    def unhexed(self, hexadecimal: Sequence[str]) -> str:
        """Return SQL for an array of byte strings."""
        return f"arrayMap(h -> unhex(h), {self.texts(hexadecimal)})"

    def since(self, nanoseconds: int) -> str:
        """Return SQL for rows of `resources` that items from then on can refer to: clocks may be a day apart."""
        seconds = min(max(nanoseconds // 10**9 - _DAY_SECONDS, 0), 2**32 - 1)
        return f"received >= toDateTime({self.bind(seconds, 'UInt32')})"


def every(parts: Iterable[str]) -> str:
    """Return SQL that holds where all parts do."""
    return " AND ".join(f"({part})" for part in parts) or "true"


def some(parts: Iterable[str]) -> str:
    """Return SQL that holds where one of the parts does."""
    joined = " OR ".join(f"({part})" for part in parts)
    return f"({joined})" if joined else "false"


def let(name: str, value: str, body: str) -> str:
    """Return SQL for `body`, in which `name` stands for `value`: a long value is worked out once."""
    return f"arrayMap({name} -> {body}, [{value}])[1]"


_STRING: Final = "substring(v, multiIf(length(v) < 130, 3, length(v) < 16387, 4, length(v) < 2097156, 5, 6))"
_INTEGER: Final = (
    "reinterpretAsInt64(arraySum(i -> bitShiftLeft(toUInt64(bitAnd(reinterpretAsUInt8(substring(v, i, 1)), 127)), "
    "7 * (i - 2)), range(2, least(length(v), 11) + 1)))"
)
_TEXT: Final = (
    f"multiIf(startsWith(v, '\\x0A'), {_STRING}, startsWith(v, '\\x18'), toString({_INTEGER}), "
    "startsWith(v, '\\x21'), toString(reinterpretAsFloat64(substring(v, 2, 8))), "
    "startsWith(v, '\\x10'), if(endsWith(v, '\\x01'), 'true', 'false'), '')"
)


def text_of(value: str) -> str:
    """Return SQL for the text of an encoded value; "" for lists, maps and bytes."""
    return let("v", value, _TEXT)


def label_value(binder: Binder, name: str) -> str:
    """Return SQL for the encoded value of the attribute whose label is `name`: dots and the like became underscores."""
    placeholder = binder.text(name)
    if "_" not in name:
        return f"attributes[{placeholder}]"
    named = f"replaceRegexpAll(k, '[^a-zA-Z0-9]+', '_') = {placeholder}"
    return f"arrayFirst((v, k) -> {named}, mapValues(attributes), mapKeys(attributes))"


def map_columns(name: str = "attributes") -> str:
    """Return SQL for the columns `<name>_keys` and `<name>_values`, the values in base64."""
    return f"mapKeys({name}) AS {name}_keys, arrayMap(v -> base64Encode(v), mapValues({name})) AS {name}_values"
