"""LogQL text as tokens. The words are those of Loki's lexer (pkg/logql/syntax/lex.go)."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final, Literal

from ophion_grafana.logql_errors import ParseError
from ophion_grafana.logql_nodes import NANOSECONDS

Kind = Literal["string", "number", "duration", "bytes", "range", "name", "flag", "symbol", "end"]

LONGEST: Final = 1 << 17
_BYTES: Final = {
    name: size
    for power, letter in enumerate("kMGTP", start=1)
    for name, size in (
        (f"{letter}B", 1000**power),
        (f"{letter.upper()}B", 1000**power),
        (f"{letter.upper()}iB", 1024**power),
    )
} | {"B": 1}
# Operators and modifiers, which may be written in capitals, as Grafana writes OR.
_WORDS: Final = frozenset({"or", "and", "unless", "by", "without", "bool", "on", "ignoring", "offset"})
_DURATION: Final = r"(?:[0-9]+(?:\.[0-9]*)?(?:ns|us|µs|ms|s|m|h|d|w|y))+"
_TOKEN: Final = re.compile(
    r"(?P<space>\s+|\#[^\n]*)"
    r'|(?P<string>"(?:[^"\\\n]|\\.)*"|`[^`]*`)'
    r"|(?P<range>\[[^\]]*\])"
    rf"|(?P<duration>-?{_DURATION})(?![A-Za-z0-9_])"
    r"|(?P<bytes>[0-9]+(?:\.[0-9]*)?(?:[kKMGTP]i?B|B))(?![A-Za-z0-9_])"
    r"|(?P<number>[0-9]+(?:\.[0-9]*)?(?:[eE][-+]?[0-9]+)?|\.[0-9]+)(?![A-Za-z_])"
    r"|(?P<flag>--(?:strict|keep-empty))"
    r"|(?P<name>[^\W\d]\w*)"
    r"|(?P<symbol>\|=|\|~|\|>|!=|!~|!>|=~|==|>=|<=|[-+*/%^<>={}(),.|])"
)
_DURATION_PART: Final = re.compile(r"([0-9]+(?:\.[0-9]*)?)(ns|us|µs|ms|s|m|h|d|w|y)")
_ESCAPE: Final = re.compile(
    r"\\(?:([abfnrtv\\'\"])|x([0-9a-fA-F]{2})|u([0-9a-fA-F]{4})|U([0-9a-fA-F]{8})|([0-7]{3})|(.?))"
)
_SIMPLE: Final = {"a": "\a", "b": "\b", "f": "\f", "n": "\n", "r": "\r", "t": "\t", "v": "\v"}


@dataclass(frozen=True, slots=True)
class Token:
    """A word of the text; `value` is what a string, duration (ns), size (bytes) or number stands for."""

    kind: Kind
    text: str
    position: int
    value: str | float | int = ""


def tokens(text: str) -> list[Token]:
    """Return the tokens of a query, the last of kind "end"; raises ParseError."""
    if len(text) > LONGEST:
        raise ParseError(f"input size too long ({len(text)} > {LONGEST})")
    return [*_tokens(text), Token("end", "", len(text))]


def _tokens(text: str) -> Iterator[Token]:
    position = 0
    while position < len(text):
        match = _TOKEN.match(text, position)
        if match is None:
            what = "literal not terminated" if text[position] in "\"`'" else f"unexpected {text[position]!r}"
            raise ParseError(f"syntax error: {what}", text, position)
        if match.lastgroup != "space":
            yield _token(text, match)
        position = match.end()


def _token(text: str, match: re.Match[str]) -> Token:
    kind, word, position = match.lastgroup, match.group(), match.start()
    try:
        if kind == "string":
            return Token("string", word, position, word[1:-1] if word[0] == "`" else _unescaped(word[1:-1]))
        if kind == "range":
            return Token("range", word, position, nanoseconds(word[1:-1].strip()))
        if kind == "duration":
            return Token("duration", word, position, nanoseconds(word))
    except ValueError as error:
        raise ParseError(str(error), text, position) from None
    if kind == "bytes":
        number = word.rstrip("BiPTGMKk")
        return Token("bytes", word, position, int(float(number) * _BYTES[word[len(number) :]]))
    if kind == "number":
        return Token("number", word, position, float(word))
    if kind == "name":
        return Token("name", word.lower() if word.lower() in _WORDS else word, position)
    return Token("flag" if kind == "flag" else "symbol", word, position)


def nanoseconds(text: str) -> int:
    """Return the nanoseconds of `5m`, `1h30m`, `1.5s`; raises ValueError."""
    if not re.fullmatch(f"-?{_DURATION}", text):
        raise ValueError(f'not a valid duration string: "{text[:40]}"')
    total = int(sum(float(number) * NANOSECONDS[unit] for number, unit in _DURATION_PART.findall(text)))
    if total > 2**62:
        raise ValueError(f'duration out of range: "{text[:40]}"')
    return -total if text.startswith("-") else total


def _unescaped(text: str) -> str:
    return _ESCAPE.sub(_character, text) if "\\" in text else text


def _character(match: re.Match[str]) -> str:
    simple, byte, short, long, octal, other = match.groups()
    if simple:
        return _SIMPLE.get(simple, simple)
    if other is not None:
        raise ValueError("invalid syntax: unknown escape in a string; write a regular expression in backquotes")
    code = int(octal, 8) if octal else int(byte or short or long, 16)
    if code > 0x10FFFF or 0xD800 <= code < 0xE000:
        raise ValueError("invalid syntax: an escape in a string names no character")
    return chr(code)
