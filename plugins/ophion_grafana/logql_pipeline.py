"""A log query as SQL: conditions over rows of `logs`, and the labels that stand at the end of its pipeline."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Final

from ophion_grafana.logql_errors import Unsupported
from ophion_grafana.logql_fields import Fields, Value, line_pattern_regex
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
from ophion_grafana.sql import Binder, every, let, some

_COLOURS: Final = r"replaceRegexpAll({}, '\\x1B\\[[0-9;]*[a-zA-Z]', '')"
_WORD: Final = re.compile(r"[A-Za-z0-9]+")
_LITERAL: Final = re.compile(r"(\(\?i\))?([A-Za-z0-9 ]+)")
# Shorter texts are in too many words of the index for it to help (`text_index_like_min_pattern_length`).
_SHORTEST: Final = 4
# What Grafana asks for the lines of a trace; other templates are only shown.
CONTAINS: Final = re.compile(r'\{\{-?\s*contains\s+"([^"\\]*)"\s+__line__\s*-?\}\}')
_MISSING: Final = Value("''")
_DURATION: Final = "([0-9.]+)(ns|us|µs|ms|s|m|h)"
_DURATION_UNITS: Final = "['ns', 'us', 'µs', 'ms', 's', 'm', 'h'], [1e-9, 1e-6, 1e-6, 1e-3, 1., 60., 3600.]"
_SIZE_UNITS: Final = (
    "['', 'b', 'kb', 'mb', 'gb', 'tb', 'kib', 'mib', 'gib', 'tib'], "
    "[1., 1., 1e3, 1e6, 1e9, 1e12, 1024., 1048576., 1073741824., 1099511627776.]"
)


@dataclass(slots=True)
class Pipeline:
    """A compiled query. `conditions` and `line` are SQL over a row of `logs`."""

    fields: Fields
    conditions: list[str] = field(default_factory=list)
    unwrapped: str = ""
    _renamed: dict[str, str | Value | None] = field(default_factory=dict)
    _dropped: set[str] = field(default_factory=set)
    _kept: set[str] | None = None
    _formatted: bool = False

    @property
    def binder(self) -> Binder:
        """The parameters of the statement."""
        return self.fields.binder

    @property
    def line(self) -> str:
        """SQL for the line; raises Unsupported where line_format made another one of it."""
        if self._formatted:
            raise Unsupported("a filter or measure of lines after line_format", "put it before line_format")
        return self.fields.line

    def value(self, name: str) -> Value:
        """Return the label `name` as it is at the end of the pipeline."""
        if name in self._dropped or (self._kept is not None and name not in self._kept):
            return _MISSING
        if name not in self._renamed:
            return self.fields.value(name)
        source = self._renamed[name]
        if source is None:
            raise Unsupported(
                f"the label {name}, which a template made,", "filter and group by the labels it is made of"
            )
        return source if isinstance(source, Value) else self.fields.value(source)

    def add(self, stage: Stage) -> None:
        """Apply one stage."""
        match stage:
            case LineFilter():
                self.conditions.append(self._line_filter(stage))
            case LabelFilter():
                self.conditions.append(self._condition(stage.condition))
            case Parser():
                self.fields.parsers += (stage,)
            case LineFormat():
                self._formatted = True
            case LabelFormat():
                for name, source, template in stage.entries:
                    self._renamed[name] = self._made(source) if template else self._renamed.get(source, source)
            case Decolorize():
                self.fields.line = _COLOURS.format(self.line)
            case Pick(kind="drop"):
                self._dropped |= set(stage.names)
            case Pick():
                self._kept = set(stage.names)
            case Unwrap():
                self._unwrap(stage)

    def _made(self, template: str) -> Value | None:
        """Return what a template makes of a line, None where only showing it can tell."""
        needle = CONTAINS.fullmatch(template)
        if needle is None:
            return None
        return Value(f"if(position({self.line}, {self.binder.text(needle[1])}) > 0, 'true', 'false')")

    def _unwrap(self, stage: Unwrap) -> None:
        own = self.value(stage.name).own
        convert = {"": number_sql, "bytes": size_sql}.get(stage.conversion, duration_sql)
        self.unwrapped = f"assumeNotNull({convert(own)})"
        self.conditions.append(f"isNotNull({convert(own)})")

    def _condition(self, condition: Condition) -> str:
        match condition:
            case Both():
                return every(map(self._condition, condition.parts))
            case Either():
                return some(map(self._condition, condition.parts))
            case Matcher():
                return matcher_sql(self.fields, self.value(condition.name), condition)
            case Comparison():
                return self._comparison(condition)

    def _comparison(self, test: Comparison) -> str:
        convert = {"": number_sql, "duration": duration_sql, "bytes": size_sql}[test.unit]
        operator = "=" if test.operator == "==" else test.operator
        placeholder = self.binder.number(test.value)
        return self.fields.test(
            self.value(test.name), lambda text: f"ifNull({convert(text)} {operator} {placeholder}, false)"
        )

    def _line_filter(self, stage: LineFilter) -> str:
        positive = not stage.operator.startswith("!")
        matches = some(self._line_matches(stage.operator[1:], text, positive) for text in stage.texts)
        return matches if positive else f"NOT {matches}"

    def _line_matches(self, operator: str, text: str, positive: bool) -> str:
        line, binder = self.line, self.binder
        indexed = positive and line == "body"
        if operator == "=":
            exact = f"position({line}, {binder.text(text)}) > 0"
            return every([*(_hints(binder, text) if indexed else ()), exact]) if text else "true"
        if operator == ">":
            return f"match({line}, {binder.regex(line_pattern_regex(text))})"
        literal = _LITERAL.fullmatch(text) if indexed else None
        # The engine lets a dot match a line break, and Go's regular expressions do not.
        exact = f"match({line}, {binder.regex(f'(?-s){text}')})"
        return every([*(_hints(binder, literal[2]) if literal else ()), exact])


def compile_query(query: LogQuery, binder: Binder, since: str) -> Pipeline:
    """Return the query as SQL; `since` bounds the rows of `resources`. Raises Unsupported or ParseError."""
    pipeline = Pipeline(Fields(binder, since))
    for matcher in query.matchers:
        pipeline.conditions.append(matcher_sql(pipeline.fields, pipeline.value(matcher.name), matcher))
    for stage in query.stages:
        pipeline.add(stage)
    return pipeline


def matcher_sql(fields: Fields, value: Value, matcher: Matcher) -> str:
    """Return SQL that tells whether a label matches; a label that is not there is the text ""."""
    if matcher.operator in ("=", "!="):
        equal = fields.equals(value, matcher.value)
        return equal if matcher.operator == "=" else f"NOT ({equal})"
    placeholder = fields.binder.regex(f"^(?s:{matcher.value})$")
    negation = "NOT " if matcher.operator == "!~" else ""
    return fields.test(value, lambda text: f"{negation}match({text}, {placeholder})")


def _hints(binder: Binder, text: str) -> list[str]:
    """Return what the text index can tell of lines that hold `text`, whose ends may be parts of words."""
    words = [match for match in _WORD.finditer(text) if len(match[0]) < 200]
    # A word between two other characters is whole, unless one of them is a letter outside ASCII.
    whole = [word[0].lower() for word in words if word.start() > 0 and word.end() < len(text)] if text.isascii() else []
    if whole:
        return [f"hasAllTokens(body, {binder.texts(whole)})"]
    parts = sorted((match[0] for match in words if len(match[0]) >= _SHORTEST), key=len, reverse=True)
    return [f"body ILIKE {binder.text(f'%{part}%')}" for part in parts[:2]]


def number_sql(text: str) -> str:
    """Return SQL for the number that a text is, NULL for any other."""
    return f"toFloat64OrNull({text})"


def duration_sql(text: str) -> str:
    """Return SQL for the seconds of a Go duration, NULL for any other text."""
    parts = f"extractAllGroups(t, '{_DURATION}')"
    total = f"arraySum(p -> toFloat64OrZero(p[1]) * transform(p[2], {_DURATION_UNITS}, 0.), {parts})"
    return let("t", text, f"if(match(t, '^-?(?:{_DURATION})+$'), if(startsWith(t, '-'), -1, 1) * {total}, NULL)")


def size_sql(text: str) -> str:
    """Return SQL for the bytes of a size such as 1.5KiB, NULL for any other text."""
    number, unit = "extract(t, '^([0-9.]+)')", "lower(extract(t, '([a-zA-Z]*)$'))"
    total = f"toFloat64OrZero({number}) * transform({unit}, {_SIZE_UNITS}, 0.)"
    return let("t", text, f"if(match(t, '^[0-9.]+ ?(?:[kKmMgGtT]?i?[bB])?$'), {total}, NULL)")
