"""Parser of OTTL conditions: text to a syntax tree, independent of what paths and functions mean.

condition   = conjunction { "or" conjunction }
conjunction = negation { "and" negation }
negation    = "not" negation | "(" condition ")" | value [ operator value ]
operator    = "==" | "!=" | "<" | "<=" | ">" | ">="
value       = text | number | bytes | "true" | "false" | "nil" | call | path
call        = Name "(" [ value { "," value } ] ")"
path        = name { "." name } { "[" ( text | integer ) "]" }
"""

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

_KEYWORDS = {"true": True, "false": False, "nil": None}
_TOKEN = re.compile(
    r"""\s*(?:
      (?P<text>"(?:\\.|[^"\\])*")
    | (?P<bytes>0x[0-9a-fA-F]*)
    | (?P<float>[-+]?\d*\.\d+(?:[eE][-+]?\d+)?)
    | (?P<int>[-+]?\d+)
    | (?P<operator>==|!=|<=|>=|<|>)
    | (?P<mark>[()\[\].,])
    | (?P<name>[A-Za-z_][A-Za-z0-9_]*)
    | (?P<end>$)
    )""",
    re.VERBOSE,
)
_ESCAPE = re.compile(r"\\(.)", re.DOTALL)
_ESCAPED = {"n": "\n", "t": "\t", "r": "\r", '"': '"', "\\": "\\"}


class ConditionError(ValueError):
    """A condition that cannot be used; `column` counts from 1."""

    def __init__(self, column: int, problem: str) -> None:
        super().__init__(f"column {column}: {problem}")
        self.column = column


@dataclass(frozen=True, slots=True)
class Literal:
    """A text, number, truth value, bytes or nil."""

    column: int
    value: Any


@dataclass(frozen=True, slots=True)
class Path:
    """`resource.attributes["host.name"]` is the fields `resource`, `attributes` with the key `host.name`."""

    column: int
    fields: tuple[str, ...]
    keys: tuple[str | int, ...]


@dataclass(frozen=True, slots=True)
class Call:
    """A function with its arguments."""

    column: int
    name: str
    arguments: "tuple[Expression, ...]"


@dataclass(frozen=True, slots=True)
class Comparison:
    """Two values and an operator between them."""

    column: int
    operator: str
    left: "Expression"
    right: "Expression"


@dataclass(frozen=True, slots=True)
class Not:
    """The opposite of a condition."""

    column: int
    operand: "Expression"


@dataclass(frozen=True, slots=True)
class Junction:
    """Several conditions joined by `and` or by `or`."""

    column: int
    word: str
    operands: "tuple[Expression, ...]"


Expression = Literal | Path | Call | Comparison | Not | Junction


@dataclass(frozen=True, slots=True)
class _Token:
    kind: str
    text: str
    column: int


def parse(text: str) -> Expression:
    """Return the syntax tree of a condition; raise ConditionError, which names the column, when it is malformed."""
    return _Parser(text).parse()


def _tokens(text: str) -> Iterator[_Token]:
    position = 0
    while True:
        match = _TOKEN.match(text, position)
        if match is None or match.lastgroup is None:
            start = position + len(text[position:]) - len(text[position:].lstrip())
            raise ConditionError(start + 1, _unreadable(text[start]))
        yield _Token(match.lastgroup, match[match.lastgroup], match.start(match.lastgroup) + 1)
        if match.lastgroup == "end":
            return
        position = match.end()


def _unreadable(character: str) -> str:
    if character == '"':
        return "text without a closing quote"
    if character in "+-*/":
        return f"{character!r}: arithmetic is not supported in conditions"
    if character in "=&|!'":
        return f"unexpected {character!r}; write ==, !=, and, or, not, and texts in double quotes"
    return f"unexpected {character!r}"


class _Parser:
    """Recursive descent over the grammar in the module's docstring."""

    def __init__(self, text: str) -> None:
        self._tokens = list(_tokens(text))
        self._next = 0

    def parse(self) -> Expression:
        if self._peek().kind == "end":
            raise ConditionError(1, "the condition is empty")
        condition = self._junction("or")
        self._expect_end()
        return condition

    def _peek(self) -> _Token:
        return self._tokens[self._next]

    def _take(self) -> _Token:
        token = self._tokens[self._next]
        self._next += token.kind != "end"
        return token

    def _accept(self, text: str) -> bool:
        found = self._peek().kind != "text" and self._peek().text == text
        if found:
            self._take()
        return found

    def _expect(self, text: str, purpose: str) -> None:
        token = self._peek()
        if not self._accept(text):
            raise ConditionError(token.column, f"expected {text!r} {purpose}, got {token.text or 'the end'!r}")

    def _expect_end(self) -> None:
        token = self._peek()
        if token.kind == "end":
            return
        if token.kind in ("int", "float"):
            raise ConditionError(token.column, "arithmetic is not supported in conditions")
        raise ConditionError(token.column, f"expected an operator, `and`, `or` or the end, got {token.text!r}")

    def _junction(self, word: str) -> Expression:
        column = self._peek().column
        operands = [self._operand(word)]
        while self._accept(word):
            operands.append(self._operand(word))
        return operands[0] if len(operands) == 1 else Junction(column, word, tuple(operands))

    def _operand(self, word: str) -> Expression:
        return self._junction("and") if word == "or" else self._negation()

    def _negation(self) -> Expression:
        column = self._peek().column
        if self._accept("not"):
            return Not(column, self._negation())
        if self._accept("("):
            inner = self._junction("or")
            self._expect(")", "to close the parenthesis")
            return inner
        left = self._value()
        if self._peek().kind != "operator":
            return left
        operator = self._take()
        return Comparison(operator.column, operator.text, left, self._value())

    def _value(self) -> Expression:
        token = self._take()
        if token.kind == "name" and token.text not in ("and", "or", "not"):
            return self._named(token)
        if token.kind not in _LITERALS:
            raise ConditionError(token.column, f"expected a value, got {token.text or 'the end'!r}")
        try:
            return Literal(token.column, _LITERALS[token.kind](token.text))
        except ValueError as error:
            raise ConditionError(token.column, str(error)) from error

    def _named(self, token: _Token) -> Expression:
        if token.text in _KEYWORDS:
            return Literal(token.column, _KEYWORDS[token.text])
        if self._accept("("):
            return Call(token.column, token.text, self._arguments())
        fields = [token.text]
        while self._accept("."):
            fields.append(self._field())
        return Path(token.column, tuple(fields), self._keys())

    def _arguments(self) -> tuple[Expression, ...]:
        if self._accept(")"):
            return ()
        arguments = [self._value()]
        while self._accept(","):
            arguments.append(self._value())
        self._expect(")", "to close the arguments")
        return tuple(arguments)

    def _field(self) -> str:
        token = self._take()
        if token.kind != "name":
            raise ConditionError(token.column, f"expected a name after '.', got {token.text or 'the end'!r}")
        return token.text

    def _keys(self) -> tuple[str | int, ...]:
        keys: list[str | int] = []
        while self._accept("["):
            token = self._take()
            if token.kind not in ("text", "int"):
                raise ConditionError(token.column, f'expected a key such as ["name"], got {token.text or "the end"!r}')
            keys.append(_unquoted(token.text) if token.kind == "text" else int(token.text))
            self._expect("]", "after the key")
        return tuple(keys)


def _unquoted(text: str) -> str:
    """Return the text between the quotes; a backslash that starts no known escape stays, for regular expressions."""
    return _ESCAPE.sub(lambda match: _ESCAPED.get(match[1], match[0]), text[1:-1])


def _bytes(text: str) -> bytes:
    if len(text) % 2:
        raise ValueError(f"{text}: bytes need an even number of hexadecimal digits")
    return bytes.fromhex(text[2:])


_LITERALS: Mapping[str, Callable[[str], Any]] = {"text": _unquoted, "int": int, "float": float, "bytes": _bytes}
