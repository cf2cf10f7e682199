"""The query language of logs: words, phrases and fields as a tree.

timeout                      the word; all words must be there, in any order and case
"connection refused"         the words in this order
conn*                        words that begin so
-retry   NOT retry           without it
timeout OR refused           one of them; AND is what stands between words anyway
(a OR b) c                   groups
service:checkout             fields of the record: service, severity, trace_id, span_id, event, body
http.status_code:500         attributes of the record or of its resource; also :pre*, :/regex/, :* (is there)
http.status_code>=500        > >= < <= compare numbers
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final, Literal

from ophion_agent.server import BadRequest

LONGEST_QUERY: Final = 2_000
_MOST_TERMS: Final = 100
_DEEPEST: Final = 20
_FIELD: Final = re.compile(r"(?P<name>[A-Za-z_@](?:[\w.@/-]*\w)?)(?P<op>:(?:>=|<=|>|<)?|>=|<=|>|<)", re.ASCII)
_BARE: Final = re.compile(r'[^\s()"]+')
_QUOTED: Final = re.compile(r'"((?:[^"\\]|\\.)*)"', re.DOTALL)
_REGEX: Final = re.compile(r"/((?:[^/\\]|\\.)*)/(?=[\s)]|\Z)", re.DOTALL)
_SPACE: Final = re.compile(r"\s*")

FieldOperator = Literal["=", ">", ">=", "<", "<=", "=~", "exists", "prefix"]


@dataclass(frozen=True, slots=True)
class Word:
    """A word, or with `is_prefix` its beginning."""

    text: str
    is_prefix: bool = False


@dataclass(frozen=True, slots=True)
class Phrase:
    """Words in this order."""

    text: str


@dataclass(frozen=True, slots=True)
class Field:
    """A condition on a field or an attribute."""

    name: str
    operator: FieldOperator
    value: str


@dataclass(frozen=True, slots=True)
class Not:
    """What must not be."""

    term: Term


@dataclass(frozen=True, slots=True)
class Every:
    """Terms that must all be."""

    terms: tuple[Term, ...]


@dataclass(frozen=True, slots=True)
class Some:
    """Terms of which one must be."""

    terms: tuple[Term, ...]


Term = Word | Phrase | Field | Not | Every | Some


def parse_search(text: str) -> Term:
    """Return the tree of a query; an empty one is `Every(())`. Raises BadRequest that says where it went wrong."""
    if len(text) > LONGEST_QUERY:
        raise BadRequest(f"query: must be at most {LONGEST_QUERY} characters, got {len(text)}", status=422)
    return _Parser(text).parse()


@dataclass(frozen=True, slots=True)
class _Token:
    position: int
    kind: Literal["(", ")", "-", "OR", "AND", "term"]
    term: Term | None = None


class _Parser:
    def __init__(self, text: str) -> None:
        self._tokens = list(_tokens(text))
        self._next = 0
        if sum(token.kind == "term" for token in self._tokens) > _MOST_TERMS:
            raise BadRequest(f"query: may have {_MOST_TERMS} terms; search for less at once", status=422)

    def parse(self) -> Term:
        if not self._tokens:
            return Every(())
        term = self._some(0)
        if self._peek() is not None:
            raise self._wrong("has a ) too many")
        return term

    def _peek(self) -> str | None:
        return self._tokens[self._next].kind if self._next < len(self._tokens) else None

    def _wrong(self, what: str) -> BadRequest:
        tokens = self._tokens
        place = f"at character {tokens[self._next].position + 1}" if self._next < len(tokens) else "at its end"
        return BadRequest(f'query: {what} {place}; put text with special characters in "quotes"', status=422)

    def _some(self, depth: int) -> Term:
        terms = [self._every(depth)]
        while self._peek() == "OR":
            self._next += 1
            terms.append(self._every(depth))
        return terms[0] if len(terms) == 1 else Some(tuple(terms))

    def _every(self, depth: int) -> Term:
        terms = [self._one(depth)]
        while (kind := self._peek()) not in (None, "OR", ")"):
            if kind == "AND":
                self._next += 1
            terms.append(self._one(depth))
        return terms[0] if len(terms) == 1 else Every(tuple(terms))

    def _one(self, depth: int) -> Term:
        if depth > _DEEPEST:
            raise self._wrong(f"nests deeper than {_DEEPEST} groups")
        kind = self._peek()
        if kind == "-":
            self._next += 1
            return Not(self._one(depth + 1))
        if kind == "(":
            return self._group(depth + 1)
        if kind != "term":
            raise self._wrong("needs a term")
        term = self._tokens[self._next].term
        self._next += 1
        assert term is not None
        return term

    def _group(self, depth: int) -> Term:
        self._next += 1
        term = self._some(depth)
        if self._peek() != ")":
            raise self._wrong("needs a )")
        self._next += 1
        return term


def _tokens(text: str) -> Iterator[_Token]:
    position = _SPACE.match(text).end()  # type: ignore[union-attr]
    while position < len(text):
        start, character = position, text[position]
        if character in "()":
            yield _Token(start, ")" if character == ")" else "(")
            position += 1
        elif character == "-" and _begins_term(text, position + 1):
            yield _Token(start, "-")
            position += 1
        elif character == '"':
            phrase, position = _quoted(text, position)
            yield _Token(start, "term", Phrase(phrase))
        else:
            token, position = _bare(text, position)
            yield token
        position = _SPACE.match(text, position).end()  # type: ignore[union-attr]


def _begins_term(text: str, position: int) -> bool:
    return position < len(text) and not text[position].isspace() and text[position] not in "-)"


def _quoted(text: str, position: int) -> tuple[str, int]:
    match = _QUOTED.match(text, position)
    if match is None:
        raise BadRequest(f'query: the quote at character {position + 1} has no end; add a "', status=422)
    return re.sub(r"\\(.)", r"\1", match[1], flags=re.DOTALL), match.end()


def _bare(text: str, position: int) -> tuple[_Token, int]:
    field = _FIELD.match(text, position)
    if field is not None:
        found = _field(text, field)
        if found is not None:
            return _Token(position, "term", found[0]), found[1]
    match = _BARE.match(text, position)
    assert match is not None
    word = match[0]
    if word in ("OR", "AND"):
        return _Token(position, "OR" if word == "OR" else "AND"), match.end()
    if word == "NOT":
        return _Token(position, "-"), match.end()
    if len(word) > 1 and word.endswith("*"):
        return _Token(position, "term", Word(word.rstrip("*"), is_prefix=True)), match.end()
    return _Token(position, "term", Word(word)), match.end()


def _field(text: str, field: re.Match[str]) -> tuple[Field, int] | None:
    """Return the condition and where it ends, or None where it is text: `error: no`, `http://host`, `a->b`."""
    name, operator, position = field["name"], field["op"].removeprefix(":"), field.end()
    rest = text[position : position + 2]
    if not rest or rest[0].isspace() or rest[0] in "()" or rest == "//":
        return None
    if rest[0] == '"':
        value, end = _quoted(text, position)
        return Field(name, _operator(operator), value), end
    if not operator and (pattern := _REGEX.match(text, position)):
        return Field(name, "=~", pattern[1].replace("\\/", "/")), pattern.end()
    match = _BARE.match(text, position)
    assert match is not None
    value = match[0]
    if not operator and value == "*":
        return Field(name, "exists", ""), match.end()
    if not operator and value.endswith("*"):
        return Field(name, "prefix", value[:-1]), match.end()
    return Field(name, _operator(operator), value), match.end()


def _operator(text: str) -> FieldOperator:
    return text or "="  # type: ignore[return-value]
