"""SQL for the labels of a log record that a query names: of its stream, its metadata, or parsed from its line."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations, pairwise
from types import MappingProxyType
from typing import Final

from ophion_grafana.logql_errors import ParseError, Unsupported
from ophion_grafana.logql_nodes import Parser
from ophion_grafana.loki_labels import (
    INDEX_LABELS,
    LEVEL,
    LEVEL_NAMES,
    LEVEL_SQL,
    SERVICE,
    SERVICE_SQL,
    index_label_sql,
)
from ophion_grafana.sql import Binder, every, label_value, let, some, text_of
from ophion_grafana.values import encodings

_DUPLICATE: Final = "_extracted"
_COLUMNS: Final[Mapping[str, str]] = MappingProxyType(
    {
        SERVICE: SERVICE_SQL,
        LEVEL: LEVEL_SQL,
        "severity_number": "if(severity_number = 0, '', toString(severity_number))",
        "severity_text": "severity_text",
        "trace_id": "lower(hex(trace_id))",
        "span_id": "lower(hex(span_id))",
        "event_name": "event_name",
        "flags": "if(flags = 0, '', toString(flags))",
    }
)
# A JSON path is guessed from a label's name; this many ways to split the name are tried.
_MOST_PATHS: Final = 16
_MOST_SPLITS: Final = 4


@dataclass(frozen=True, slots=True)
class Origin:
    """SQL for a label over a row of `resources` or `scopes`, which the logs refer to by `id`.

    `encoded`, where there is one, is SQL for the encoded attribute that `text` is the text of.
    """

    table: str
    id: str
    text: str
    encoded: str = ""


@dataclass(frozen=True, slots=True)
class Value:
    """A label: what its origin says where that is not "", else `own`, SQL over a row of `logs`."""

    own: str
    origin: Origin | None = None
    encoded: str = ""


@dataclass(slots=True)
class Fields:
    """Resolves names at one place of a pipeline. `since` is SQL that bounds the rows of `resources`."""

    binder: Binder
    since: str
    line: str = "body"
    parsers: tuple[Parser, ...] = ()

    def value(self, name: str) -> Value:
        """Return the label `name`."""
        if name in _COLUMNS:
            return Value(_COLUMNS[name])
        if name in ("__error__", "__error_details__"):
            return Value(self._error() if name == "__error__" else "''")
        if name == "scope_name":
            return Value("''", Origin("scopes", "scope_id", "name"))
        if name in INDEX_LABELS:
            return Value(self._parsed(name), Origin("resources", "resource_id", index_label_sql(name)))
        encoded = label_value(self.binder, name)
        own = text_of(encoded)
        if self.parsers:
            own = f"coalesce(nullIf({own}, ''), {self._parsed(name)})"
        if name in LEVEL_NAMES:
            return Value(f"coalesce(nullIf({own}, ''), {LEVEL_SQL})")
        return Value(
            own, Origin("resources", "resource_id", text_of(encoded), encoded), "" if self.parsers else encoded
        )

    def test(self, value: Value, predicate: Callable[[str], str]) -> str:
        """Return SQL over a row of `logs` that tells whether the text of a label meets a predicate."""
        return self._either(value, predicate(value.own), predicate(value.origin.text) if value.origin else "")

    def equals(self, value: Value, text: str) -> str:
        """Return SQL over a row of `logs` that tells whether a label is `text`.

        Comparing with the few encodings of the text spares the engine decoding every value.
        """
        if not value.encoded or not text:
            placeholder = self.binder.text(text)
            return self.test(value, lambda own: f"{own} = {placeholder}")
        candidates = self.binder.unhexed(encodings(text))
        assert value.origin is not None
        return self._either(value, f"has({candidates}, {value.encoded})", f"has({candidates}, {value.origin.encoded})")

    def _either(self, value: Value, own: str, outer: str) -> str:
        origin = value.origin
        if origin is None:
            return own
        has = f"{origin.encoded} NOT IN ('', '\\x0A\\0')" if origin.encoded else f"{origin.text} != ''"

        def inside(condition: str) -> str:
            return f"{origin.id} IN (SELECT {origin.id} FROM {origin.table} WHERE {self.since} AND {condition})"

        return some([inside(every([has, outer])), every([f"NOT {inside(has)}", own])])

    def _error(self) -> str:
        if not any(parser.kind == "json" for parser in self.parsers):
            return "''"
        return f"if(isValidJSON({self.line}) AND JSONType({self.line}) = 'Object', '', 'JSONParserErr')"

    def _parsed(self, name: str) -> str:
        # A parsed field whose name is taken already gets this suffix.
        wanted = name.removesuffix(_DUPLICATE)
        found = [sql for parser in self.parsers if (sql := parsed_field(self.binder, parser, self.line, wanted))]
        return f"coalesce({', '.join(f'nullIf({sql}, {_EMPTY})' for sql in found)}, '')" if found else "''"


_EMPTY: Final = "''"


def parsed_field(binder: Binder, parser: Parser, line: str, name: str) -> str:
    """Return SQL for the field `name` that a parser finds in a line, "" where it never finds one."""
    source = dict(parser.extracted).get(name, None if parser.extracted else name)
    if source is None:
        return ""
    if parser.kind == "json":
        paths = [json_path(source)] if parser.extracted else list(_paths(name))
        return _json(binder, line, paths, name if not parser.extracted else "")
    if parser.kind == "logfmt":
        return _logfmt(binder, line, source)
    pattern = parser.argument if parser.kind == "regexp" else pattern_regex(parser.argument)
    groups = compiled(pattern).groupindex
    if name not in groups:
        return ""
    return f"extractGroups({line}, {binder.regex(pattern)})[{int(groups[name])}]"


def _paths(name: str) -> Iterator[tuple[str, ...]]:
    """Iterate over the JSON paths whose flattened name is `name`: `a_b` is at `a_b` or at `a`, `b`."""
    words = name.split("_")
    count = 0
    for splits in range(min(len(words) - 1, _MOST_SPLITS) + 1):
        for at in combinations(range(1, len(words)), splits):
            edges = (0, *at, len(words))
            yield tuple("_".join(words[start:end]) for start, end in pairwise(edges))
            count += 1
            if count == _MOST_PATHS:
                return


def _json(binder: Binder, line: str, paths: Sequence[tuple[str | int, ...]], flattened: str) -> str:
    found = [_json_text(binder, line, path) for path in paths]
    if "_" in flattened:
        # A key with a dot or a dash in it has become a name with underscores.
        named = f"replaceRegexpAll(p.1, '[^a-zA-Z0-9_]', '_') = {binder.text(flattened)}"
        found.append(_plain_text(f"arrayFirst(p -> {named}, JSONExtractKeysAndValuesRaw({line})).2"))
    return f"coalesce({', '.join(f'nullIf({sql}, {_EMPTY})' for sql in found)}, '')" if len(found) > 1 else found[0]


def _json_text(binder: Binder, line: str, path: tuple[str | int, ...]) -> str:
    keys = "".join(f", {binder.text(key) if isinstance(key, str) else key + 1}" for key in path)
    return _plain_text(f"JSONExtractRaw({line}{keys})")


def _plain_text(raw: str) -> str:
    """Return SQL for the text of a JSON value, "" for null, objects and arrays."""
    plain = "if(r = 'null' OR startsWith(r, '{') OR startsWith(r, '['), '', r)"
    return let("r", raw, f"if(startsWith(r, '\"'), JSONExtractString(r), {plain})")


_PATH: Final = re.compile(r"""\.?([^.\[\]"]+)|\["((?:[^"\\]|\\.)*)"\]|\[([0-9]{1,6})\]""")


def json_path(text: str) -> tuple[str | int, ...]:
    """Return the keys of a JSON expression such as `servers[0].name` or `["a b"]`; raises ParseError."""
    keys: list[str | int] = []
    position = 0
    while position < len(text):
        match = _PATH.match(text, position)
        if match is None:
            raise ParseError(f"cannot parse expression [{text[:60]}]")
        keys.append(int(match[3]) if match[3] else match[1] or match[2].replace('\\"', '"'))
        position = match.end()
    return tuple(keys)


def _logfmt(binder: Binder, line: str, name: str) -> str:
    key = re.escape(name).replace("_", r'[^a-zA-Z0-9\s="]')
    raw = f"extract({line}, {binder.regex(_logfmt_regex(key))})"
    return let("r", raw, "if(startsWith(r, '\"'), JSONExtractString(r), r)")


def _logfmt_regex(key: str) -> str:
    return rf'(?:^|\s){key}=("(?:[^"\\]|\\.)*"|[^\s"]*)'


def pattern_regex(pattern: str) -> str:
    """Return the regular expression of `| pattern "<ip> - <_> <user>"`; raises ParseError without a named capture."""
    parts = re.split(r"<([a-zA-Z_]\w*)>", pattern)
    names = [name for name in parts[1::2] if name != "_"]
    if not names or len(set(names)) < len(names):
        raise ParseError(f"invalid pattern {pattern[:60]!r}: must have captures such as <name>, each once")
    built = [re.escape(parts[0])]
    for name, literal in zip(parts[1::2], parts[2::2], strict=True):
        any_text = "(?s:.*?)" if literal else "(?s:.*)"
        built += [any_text if name == "_" else f"(?P<{name}>{any_text})", re.escape(literal)]
    return "".join(built)


def line_pattern_regex(pattern: str) -> str:
    """Return the regular expression of the line filter `|> "<_> failed <_>"`."""
    return f"^(?s:{'.*'.join(re.escape(part) for part in pattern.split('<_>'))})$"


def compiled(pattern: str) -> re.Pattern[str]:
    """Return a pattern of the engine's RE2 as one of Python's; raises ParseError, or Unsupported without captures."""
    try:
        found = re.compile(re.sub(r"\(\?<(?=[a-zA-Z_])", "(?P<", pattern))
    except (re.error, OverflowError, RecursionError) as error:
        raise ParseError(f"error parsing regexp: {error}") from None
    if not found.groupindex:
        raise Unsupported("regexp without a named capture", "write (?P<name>...)")
    return found
