"""What a pipeline makes of the lines of a page: labels parsed from them, renamed, left out, and lines written anew.

The engine has filtered the lines already; here is done, for the lines that are shown, what only showing them needs.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import orjson

from ophion_grafana.logql_errors import Unsupported
from ophion_grafana.logql_fields import compiled, json_path, pattern_regex
from ophion_grafana.logql_nodes import Decolorize, LabelFormat, LineFormat, LogQuery, Parser, Pick
from ophion_grafana.logql_pipeline import CONTAINS
from ophion_grafana.loki_lines import Line

_LOGFMT: Final = re.compile(r'([^\s="]+)=("(?:[^"\\]|\\.)*"|[^\s"]*)')
_INVALID: Final = re.compile(r"[^a-zA-Z0-9_]")
_COLOURS: Final = re.compile(r"\x1B\[[0-9;]*[a-zA-Z]")
_ACTION: Final = re.compile(r"\{\{-?\s*(.*?)\s*-?\}\}")
_REFERENCE: Final = re.compile(r"\.([a-zA-Z_]\w*)|__line__|__timestamp__")
_DUPLICATE: Final = "_extracted"


@dataclass(slots=True)
class Shown:
    """A line on its way through the pipeline."""

    nanoseconds: int
    text: str
    stream: dict[str, str]
    metadata: dict[str, str]
    parsed: dict[str, str]

    def label(self, name: str) -> str:
        """Return a label of any kind."""
        return self.parsed.get(name) or self.metadata.get(name) or self.stream.get(name, "")

    def add(self, name: str, value: str) -> None:
        """Add a parsed label; it gets a suffix where another kind of label has the name."""
        if name in self.stream or name in self.metadata:
            name += _DUPLICATE
        self.parsed.setdefault(name, value)


Step = Callable[[Shown], None]
ShownLine = tuple[Line, str, Mapping[str, str], Mapping[str, str]]


def shown(query: LogQuery, lines: Sequence[Line]) -> list[ShownLine]:
    """Return each line with its text, structured metadata and parsed labels as they are shown."""
    steps = [step for stage in query.stages if (step := _step(stage)) is not None]
    results: list[ShownLine] = []
    for line in lines:
        one = Shown(line.nanoseconds, line.text, dict(line.stream), dict(line.metadata), {})
        for step in steps:
            step(one)
        kept = Line(line.nanoseconds, one.text, one.stream, one.metadata)
        results.append((kept, one.text, one.metadata, one.parsed))
    return results


def _step(stage: Any) -> Step | None:
    match stage:
        case Parser():
            return _parser(stage)
        case LineFormat():
            return _line_format(stage)
        case LabelFormat():
            return _label_format(stage)
        case Pick():
            return _pick(stage)
        case Decolorize():
            return _decolorize
    return None


def _decolorize(one: Shown) -> None:
    one.text = _COLOURS.sub("", one.text)


def _pick(stage: Pick) -> Step:
    names, drop = frozenset(stage.names), stage.kind == "drop"

    def pick(one: Shown) -> None:
        for labels in (one.stream, one.metadata, one.parsed):
            for name in [name for name in labels if (name in names) == drop]:
                del labels[name]

    return pick


def _label_format(stage: LabelFormat) -> Step:
    made = [(name, template(source) if is_template else None, source) for name, source, is_template in stage.entries]

    def rename(one: Shown) -> None:
        for name, render, source in made:
            value = render(one) if render is not None else one.label(source)
            if render is None:
                for labels in (one.metadata, one.parsed):
                    labels.pop(source, None)
            if value:
                one.parsed[name] = value

    return rename


def _line_format(stage: LineFormat) -> Step:
    render = template(stage.template)

    def write(one: Shown) -> None:
        one.text = render(one)

    return write


def template(text: str) -> Callable[[Shown], str]:
    """Return what fills in a template; raises Unsupported for actions beyond `{{.label}}` and `{{__line__}}`."""
    needle = CONTAINS.fullmatch(text)
    if needle is not None:
        return lambda one: "true" if needle[1] in one.text else "false"
    parts = _ACTION.split(text)
    for action in parts[1::2]:
        if not _REFERENCE.fullmatch(action):
            raise Unsupported(
                f"the template action {{{{{action[:40]}}}}}", "use {{.label}}, {{__line__}}, {{__timestamp__}}"
            )

    def render(one: Shown) -> str:
        return "".join(part if at % 2 == 0 else _referenced(one, part) for at, part in enumerate(parts))

    return render


def _referenced(one: Shown, action: str) -> str:
    if action == "__line__":
        return one.text
    return str(one.nanoseconds) if action == "__timestamp__" else one.label(action[1:])


def _parser(stage: Parser) -> Step:
    if stage.kind == "json":
        return _json_parser(stage)
    if stage.kind == "logfmt":
        return _logfmt_parser(stage)
    pattern = compiled(stage.argument if stage.kind == "regexp" else pattern_regex(stage.argument))

    def parse(one: Shown) -> None:
        found = pattern.search(one.text)
        for name, value in (found.groupdict() if found else {}).items():
            if value:
                one.add(name, value)

    return parse


def _logfmt_parser(stage: Parser) -> Step:
    sources = {source: name for name, source in stage.extracted}

    def parse(one: Shown) -> None:
        for key, value in logfmt_pairs(one.text):
            if value and (not sources or key in sources):
                one.add(sources.get(key, label_name(key)), value)

    return parse


def logfmt_pairs(text: str) -> Iterator[tuple[str, str]]:
    """Iterate over the keys and values of a logfmt line."""
    for key, raw in _LOGFMT.findall(text):
        yield key, _unquoted(raw) if raw.startswith('"') else raw


def _unquoted(raw: str) -> str:
    try:
        return str(orjson.loads(raw))
    except orjson.JSONDecodeError:
        return raw[1:-1]


def label_name(key: str) -> str:
    """Return the label of a parsed key."""
    name = _INVALID.sub("_", key)
    return f"_{name}" if name[:1].isdigit() else name


def _json_parser(stage: Parser) -> Step:
    paths = [(name, json_path(source)) for name, source in stage.extracted]

    def parse(one: Shown) -> None:
        document = json_object(one.text)
        if document is None:
            one.parsed["__error__"] = "JSONParserErr"
        elif paths:
            for name, path in paths:
                _add_text(one, name, _at(document, path))
        else:
            for name, text, _ in flattened(document):
                one.add(name, text)

    return parse


def _add_text(one: Shown, name: str, value: Any) -> None:
    if value is not None:
        one.add(name, plain_text(value) if not isinstance(value, dict | list) else orjson.dumps(value).decode())


def json_object(text: str) -> dict[str, Any] | None:
    """Return the object that a line is, or None."""
    try:
        document = orjson.loads(text)
    except orjson.JSONDecodeError:
        return None
    return document if isinstance(document, dict) else None


def _at(document: Any, path: tuple[str | int, ...]) -> Any:
    for key in path:
        try:
            document = document[key]
        except (KeyError, IndexError, TypeError):
            return None
    return document


def flattened(document: Mapping[str, Any], prefix: tuple[str, ...] = ()) -> Iterator[tuple[str, str, list[str]]]:
    """Iterate over (label, text, path) of the texts, numbers and truth values of an object at any depth."""
    for key, value in document.items():
        path = (*prefix, key)
        if isinstance(value, dict):
            yield from flattened(value, path)
        elif isinstance(value, str | int | float):
            yield label_name("_".join(path)), plain_text(value), list(path)


def plain_text(value: Any) -> str:
    """Return a JSON value as the text of a label."""
    return value if isinstance(value, str) else orjson.dumps(value).decode()


def check_display(query: LogQuery) -> None:
    """Raise Unsupported or ParseError for stages that cannot be shown."""
    for stage in query.stages:
        _step(stage)
