"""The fields that lines have beside their labels, found by looking at some of them: Loki's detected fields."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from ophion_grafana.loki_display import flattened, json_object, label_name, logfmt_pairs
from ophion_grafana.loki_lines import Line

_DURATION: Final = re.compile(r"-?(?:[0-9]+(?:\.[0-9]+)?(?:ns|us|µs|ms|s|m|h))+")
_BYTES: Final = re.compile(r"[0-9]+(?:\.[0-9]+)? ?(?:[kMGTPKi]+B|B)")
_INT: Final = re.compile(r"-?[0-9]{1,19}")
_FLOAT: Final = re.compile(r"-?[0-9]+\.[0-9]+(?:[eE][-+]?[0-9]+)?")
_TYPES: Final = ((_INT, "int"), (_FLOAT, "float"), (_DURATION, "duration"), (_BYTES, "bytes"))


@dataclass(slots=True)
class Found:
    """A field: its values, the parsers that find it (none for structured metadata) and its place in a JSON object."""

    values: dict[str, None] = field(default_factory=dict)
    parsers: dict[str, None] = field(default_factory=dict)
    path: list[str] = field(default_factory=list)

    def shown(self, name: str) -> dict[str, Any]:
        """Return the field in Loki's form."""
        shown: dict[str, Any] = {
            "label": name,
            "type": value_type(self.values),
            "cardinality": len(self.values),
            "parsers": list(self.parsers) or None,
        }
        return {**shown, "jsonPath": self.path} if self.path else shown


def detect(lines: Sequence[Line]) -> dict[str, Found]:
    """Return the fields of the lines by name."""
    fields: dict[str, Found] = {}
    for line in lines:
        for name, value in line.metadata.items():
            fields.setdefault(name, Found()).values[value] = None
        taken = {*line.stream, *line.metadata}
        for name, value, parser, path in _parsed(line.text):
            found = fields.setdefault(f"{name}_extracted" if name in taken else name, Found(path=path))
            found.values[value] = None
            found.parsers[parser] = None
    return fields


def _parsed(text: str) -> Iterator[tuple[str, str, str, list[str]]]:
    document = json_object(text)
    if document is not None:
        for name, value, path in flattened(document):
            yield name, value, "json", path
        return
    for key, value in logfmt_pairs(text):
        yield label_name(key), value, "logfmt", []


def value_type(values: Sequence[str] | dict[str, None]) -> str:
    """Return the type that all the values read as."""
    for pattern, name in _TYPES:
        if all(pattern.fullmatch(value) for value in values):
            return name
    return "boolean" if all(value in ("true", "false") for value in values) else "string"
