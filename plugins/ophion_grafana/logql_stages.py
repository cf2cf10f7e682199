"""Parse LogQL's stream selectors and pipeline stages."""

from __future__ import annotations

from typing import Any, Final, cast

from ophion_grafana.logql_errors import ParseError, Unsupported
from ophion_grafana.logql_lexer import Kind, Token, tokens
from ophion_grafana.logql_nodes import (
    Both,
    Comparison,
    Condition,
    Decolorize,
    Either,
    LabelFilter,
    LabelFormat,
    LineFilter,
    LineFormat,
    LogQuery,
    Matcher,
    Parser,
    Pick,
    Stage,
    Unwrap,
)

_LINE_OPERATORS: Final = ("|=", "|~", "|>", "!=", "!~", "!>")
_MATCH_OPERATORS: Final = ("=", "!=", "=~", "!~")
_COMPARISONS: Final = ("=", "==", "!=", ">", ">=", "<", "<=")
_CONVERSIONS: Final = ("bytes", "duration", "duration_seconds")
_NO_EQUALITY: Final = (
    "queries require at least one regexp or equality matcher that does not have an empty-compatible value. For "
    'instance, app=~".*" does not meet this requirement, but app=~".+" will'
)


class TokenReader:
    """Walks over the tokens of a text."""

    def __init__(self, text: str) -> None:
        self.text = text
        self._tokens = tokens(text)
        self._at = 0

    def peek(self, ahead: int = 0) -> Token:
        """Return the token that comes."""
        return self._tokens[min(self._at + ahead, len(self._tokens) - 1)]

    def next(self) -> Token:
        """Return the token that comes and step over it."""
        token = self.peek()
        self._at += 1
        return token

    def take(self, text: str) -> bool:
        """Step over a symbol or word if it comes, and tell whether it did."""
        found = self.peek().text == text and self.peek().kind in ("symbol", "name")
        self._at += found
        return found

    def expect(self, text: str) -> None:
        """Step over a symbol; raises ParseError where something else comes."""
        if not self.take(text):
            raise self.unexpected(text)

    def expect_kind(self, kind: Kind) -> Token:
        """Return a token of a kind; raises ParseError where something else comes."""
        if self.peek().kind != kind:
            raise self.unexpected(kind.upper())
        return self.next()

    def expect_end(self) -> None:
        """Raise ParseError where something comes."""
        if self.peek().kind != "end":
            raise self.unexpected()

    def unexpected(self, wanted: str = "") -> ParseError:
        """Return the error for the token that comes."""
        token = self.peek()
        found = "$end" if token.kind == "end" else token.text[:60]
        expecting = f", expecting {wanted}" if wanted else ""
        return ParseError(f"syntax error: unexpected {found}{expecting}", self.text, token.position)

    def string(self) -> str:
        """Return the value of a string."""
        return cast(str, self.expect_kind("string").value)

    def number(self) -> float:
        """Return a number with its sign."""
        sign = -1 if self.take("-") else 1
        self.take("+")
        return sign * cast(float, self.expect_kind("number").value)

    def names(self) -> tuple[str, ...]:
        """Return the names of a list in parentheses."""
        self.expect("(")
        found = []
        while not self.take(")"):
            found.append(self.expect_kind("name").text)
            if self.peek().text != ")":
                self.expect(",")
        return tuple(found)


class StageParser(TokenReader):
    """Parses what a log query is made of."""

    def log_query(self) -> LogQuery:
        """Parse a selector and its stages."""
        matchers = self.selector()
        stages = []
        while self.at_stage():
            stages.append(self.stage())
        return LogQuery(matchers, tuple(stages))

    def selector(self) -> tuple[Matcher, ...]:
        """Parse `{a="b", c=~"d"}`."""
        self.expect("{")
        found = []
        while not self.take("}"):
            found.append(self._matcher())
            if self.peek().text != "}":
                self.expect(",")
        return tuple(found)

    def _matcher(self) -> Matcher:
        name = self.expect_kind("name").text
        if self.peek().text not in _MATCH_OPERATORS:
            raise self.unexpected("= or != or =~ or !~")
        operator = cast(Any, self.next().text)
        return Matcher(name, operator, self.string())

    def at_stage(self) -> bool:
        """Tell whether a pipeline stage comes; `!=` between metric expressions is never asked for here."""
        return self.peek().text == "|" or (self.peek().text in _LINE_OPERATORS and self.peek().kind == "symbol")

    def stage(self) -> Stage:
        """Parse one stage."""
        if self.peek().text in _LINE_OPERATORS:
            return self._line_filter()
        self.expect("|")
        token = self.expect_kind("name") if self.peek().text != "(" else self.peek()
        parse = {
            "json": self._json,
            "logfmt": self._logfmt,
            "regexp": lambda: Parser("regexp", self.string()),
            "pattern": lambda: Parser("pattern", self.string()),
            "line_format": lambda: LineFormat(self.string()),
            "label_format": self._label_format,
            "decolorize": Decolorize,
            "drop": lambda: Pick("drop", self._picked()),
            "keep": lambda: Pick("keep", self._picked()),
            "unwrap": self._unwrap,
        }.get(token.text)
        if token.text == "unpack":
            raise Unsupported("unpack", "use json")
        if parse is None or self.peek().text in _COMPARISONS + _MATCH_OPERATORS:
            self._at -= token.text != "("
            return LabelFilter(self._either())
        return cast(Stage, parse())

    def _line_filter(self) -> LineFilter:
        operator = cast(Any, self.next().text)
        if self.peek().text == "ip":
            raise Unsupported("the ip() filter", "use a regular expression")
        texts = [self.string()]
        while self.take("or"):
            texts.append(self.string())
        return LineFilter(operator, tuple(texts))

    def _json(self) -> Parser:
        return Parser("json", extracted=self._extracted())

    def _logfmt(self) -> Parser:
        flags = []
        while self.peek().kind == "flag":
            flags.append(self.next().text)
        return Parser("logfmt", extracted=self._extracted(), flags=tuple(flags))

    def _extracted(self) -> tuple[tuple[str, str], ...]:
        found = []
        while self.peek().kind == "name" and self.peek().text not in ("and", "or", "unless", "offset"):
            name = self.next().text
            found.append((name, self.string() if self.take("=") else name))
            if not self.take(","):
                break
        return tuple(found)

    def _label_format(self) -> LabelFormat:
        entries = []
        while True:
            name = self.expect_kind("name").text
            self.expect("=")
            template = self.peek().kind == "string"
            entries.append((name, self.string() if template else self.expect_kind("name").text, template))
            if not self.take(","):
                return LabelFormat(tuple(entries))

    def _picked(self) -> tuple[str, ...]:
        names = []
        while True:
            names.append(self.expect_kind("name").text)
            if self.peek().text in _MATCH_OPERATORS:
                raise Unsupported("drop and keep with a matcher", "name the labels alone")
            if not self.take(","):
                return tuple(names)

    def _unwrap(self) -> Unwrap:
        name = self.expect_kind("name").text
        if name not in _CONVERSIONS or not self.take("("):
            return Unwrap(name, "")
        label = self.expect_kind("name").text
        self.expect(")")
        return Unwrap(label, name)

    def _either(self) -> Condition:
        parts = [self._both()]
        while self.take("or"):
            parts.append(self._both())
        return parts[0] if len(parts) == 1 else Either(tuple(parts))

    def _both(self) -> Condition:
        parts = [self._condition()]
        while self.take("and") or self.take(",") or self.peek().text == "(" or self._at_condition():
            parts.append(self._condition())
        return parts[0] if len(parts) == 1 else Both(tuple(parts))

    def _at_condition(self) -> bool:
        return self.peek().kind == "name" and self.peek(1).text in _COMPARISONS + _MATCH_OPERATORS

    def _condition(self) -> Condition:
        if self.take("("):
            condition = self._either()
            self.expect(")")
            return condition
        name = self.expect_kind("name").text
        if self.peek().text in _MATCH_OPERATORS and self.peek(1).kind == "string":
            operator = cast(Any, self.next().text)
            return Matcher(name, operator, self.string())
        if self.peek().text not in _COMPARISONS:
            raise self.unexpected("a comparison")
        operator = self.next().text
        if self.peek().text == "ip":
            raise Unsupported("the ip() filter", "use a regular expression")
        return self._comparison(name, operator)

    def _comparison(self, name: str, operator: str) -> Comparison:
        token = self.peek()
        if token.kind == "duration":
            self.next()
            return Comparison(name, cast(Any, operator), cast(int, token.value) / 1e9, "duration", token.text)
        if token.kind == "bytes":
            self.next()
            return Comparison(name, cast(Any, operator), float(token.value), "bytes", token.text)
        start = token.position
        value = self.number()
        text = self.text[start : self.peek().position].strip()
        return Comparison(name, cast(Any, operator), value, "", text)


def check_matchers(matchers: tuple[Matcher, ...]) -> None:
    """Raise ParseError unless one matcher, at least, excludes streams without its label, as Loki asks."""
    for matcher in matchers:
        if matcher.operator == "=" and matcher.value:
            return
        if matcher.operator == "!=" and not matcher.value:
            return
        if matcher.operator == "=~" and matcher.value not in ("", ".*", ".*|"):
            return
    raise ParseError(_NO_EQUALITY)
