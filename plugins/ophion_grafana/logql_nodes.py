"""The nodes of a LogQL query. `str()` of a node is LogQL that parses to the same node."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final, Literal

MatchOperator = Literal["=", "!=", "=~", "!~"]
ComparisonOperator = Literal["=", "==", "!=", ">", ">=", "<", "<="]

NANOSECONDS: Final = {
    "y": 365 * 86_400 * 10**9,
    "w": 7 * 86_400 * 10**9,
    "d": 86_400 * 10**9,
    "h": 3_600 * 10**9,
    "m": 60 * 10**9,
    "s": 10**9,
    "ms": 10**6,
    "us": 10**3,
    "µs": 10**3,
    "ns": 1,
}


def quoted(text: str) -> str:
    """Return a text as a LogQL string."""
    return json.dumps(text, ensure_ascii=False)


def duration_text(nanoseconds: int) -> str:
    """Return a duration such as 1h30m."""
    if nanoseconds <= 0:
        return f"-{duration_text(-nanoseconds)}" if nanoseconds else "0s"
    parts = []
    for unit in ("d", "h", "m", "s", "ms", "us", "ns"):
        count, nanoseconds = divmod(nanoseconds, NANOSECONDS[unit])
        parts += [f"{count}{unit}"] if count else []
    return "".join(parts)


def number_text(value: float) -> str:
    """Return a number without a needless fraction."""
    return str(int(value)) if value.is_integer() and abs(value) < 1e15 else repr(value)


@dataclass(frozen=True, slots=True)
class Matcher:
    """`name="value"` and its kin."""

    name: str
    operator: MatchOperator
    value: str

    def __str__(self) -> str:
        return f"{self.name}{self.operator}{quoted(self.value)}"


@dataclass(frozen=True, slots=True)
class LineFilter:
    """`|= "a" or "b"`: the line must match one of the texts, or none for an operator that begins with `!`."""

    operator: Literal["|=", "!=", "|~", "!~", "|>", "!>"]
    texts: tuple[str, ...]

    def __str__(self) -> str:
        return f"{self.operator} {' or '.join(map(quoted, self.texts))}"


@dataclass(frozen=True, slots=True)
class Parser:
    """`| json`, `| logfmt`, `| regexp "..."`, `| pattern "..."`, with `label="expression"` pairs to extract."""

    kind: Literal["json", "logfmt", "regexp", "pattern"]
    argument: str = ""
    extracted: tuple[tuple[str, str], ...] = ()
    flags: tuple[str, ...] = ()

    def __str__(self) -> str:
        pairs = ", ".join(name if name == source else f"{name}={quoted(source)}" for name, source in self.extracted)
        return " ".join(filter(None, ("|", self.kind, *self.flags, self.argument and quoted(self.argument), pairs)))


@dataclass(frozen=True, slots=True)
class Comparison:
    """A comparison with a number, in seconds for a duration and in bytes for a size."""

    name: str
    operator: ComparisonOperator
    value: float
    unit: Literal["", "duration", "bytes"]
    text: str

    def __str__(self) -> str:
        return f"{self.name}{self.operator}{self.text}"


@dataclass(frozen=True, slots=True)
class Both:
    """Conditions that must hold together."""

    parts: tuple[Condition, ...]

    def __str__(self) -> str:
        return " and ".join(f"({part})" if isinstance(part, Either) else str(part) for part in self.parts)


@dataclass(frozen=True, slots=True)
class Either:
    """Conditions of which one must hold."""

    parts: tuple[Condition, ...]

    def __str__(self) -> str:
        return " or ".join(map(str, self.parts))


Condition = Matcher | Comparison | Both | Either


@dataclass(frozen=True, slots=True)
class LabelFilter:
    """`| status >= 500 and method = "GET"`."""

    condition: Condition

    def __str__(self) -> str:
        return f"| {self.condition}"


@dataclass(frozen=True, slots=True)
class LineFormat:
    """`| line_format "{{.a}}"`."""

    template: str

    def __str__(self) -> str:
        return f"| line_format {quoted(self.template)}"


@dataclass(frozen=True, slots=True)
class LabelFormat:
    """`| label_format new=old, text="{{.a}}"`: each entry is (name, source, whether the source is a template)."""

    entries: tuple[tuple[str, str, bool], ...]

    def __str__(self) -> str:
        texts = (f"{name}={quoted(source) if template else source}" for name, source, template in self.entries)
        return f"| label_format {', '.join(texts)}"


@dataclass(frozen=True, slots=True)
class Decolorize:
    """`| decolorize`: ANSI colours are removed."""

    def __str__(self) -> str:
        return "| decolorize"


@dataclass(frozen=True, slots=True)
class Pick:
    """`| drop a, b` or `| keep a, b`."""

    kind: Literal["drop", "keep"]
    names: tuple[str, ...]

    def __str__(self) -> str:
        return f"| {self.kind} {', '.join(self.names)}"


@dataclass(frozen=True, slots=True)
class Unwrap:
    """`| unwrap label` with a conversion of "", "bytes", "duration" or "duration_seconds"."""

    name: str
    conversion: str

    def __str__(self) -> str:
        return f"| unwrap {f'{self.conversion}({self.name})' if self.conversion else self.name}"


Stage = LineFilter | Parser | LabelFilter | LineFormat | LabelFormat | Decolorize | Pick | Unwrap


@dataclass(frozen=True, slots=True)
class LogQuery:
    """A stream selector and what is done with its lines."""

    matchers: tuple[Matcher, ...]
    stages: tuple[Stage, ...] = ()

    def __str__(self) -> str:
        return " ".join(["{" + ", ".join(map(str, self.matchers)) + "}", *map(str, self.stages)])


@dataclass(frozen=True, slots=True)
class Grouping:
    """`by (a, b)` or `without (a, b)`."""

    names: tuple[str, ...]
    without: bool = False

    def __str__(self) -> str:
        return f"{'without' if self.without else 'by'} ({', '.join(self.names)})"


@dataclass(frozen=True, slots=True)
class RangeAggregate:
    """`rate({...}[5m])`: one value a step from the lines of the range that ends there, all in nanoseconds."""

    operator: str
    query: LogQuery
    range: int
    offset: int = 0
    parameter: float | None = None
    grouping: Grouping | None = None

    def __str__(self) -> str:
        offset = f" offset {duration_text(self.offset)}" if self.offset else ""
        parameter = f"{number_text(self.parameter)}, " if self.parameter is not None else ""
        grouping = f" {self.grouping}" if self.grouping else ""
        return f"{self.operator}({parameter}{self.query} [{duration_text(self.range)}]{offset}){grouping}"


@dataclass(frozen=True, slots=True)
class VectorAggregate:
    """`sum by (a) (...)`, `topk(5, ...)`."""

    operator: str
    inner: Metric
    grouping: Grouping | None = None
    parameter: float | None = None

    def __str__(self) -> str:
        parameter = f"{number_text(self.parameter)}, " if self.parameter is not None else ""
        grouping = f" {self.grouping} " if self.grouping else ""
        return f"{self.operator}{grouping}({parameter}{self.inner})"


@dataclass(frozen=True, slots=True)
class Binary:
    """An operator between two metric expressions; `labels` are those of `on` or `ignoring`."""

    operator: str
    left: Metric
    right: Metric
    returns_bool: bool = False
    matching: Literal["", "on", "ignoring"] = ""
    labels: tuple[str, ...] = ()

    def __str__(self) -> str:
        modifiers = [" bool"] if self.returns_bool else []
        modifiers += [f" {self.matching} ({', '.join(self.labels)})"] if self.matching else []
        return f"({self.left} {self.operator}{''.join(modifiers)} {self.right})"


@dataclass(frozen=True, slots=True)
class Number:
    """A number, or with `vector` one series without labels that has it."""

    value: float
    vector: bool = False

    def __str__(self) -> str:
        return f"vector({number_text(self.value)})" if self.vector else number_text(self.value)


@dataclass(frozen=True, slots=True)
class LabelReplace:
    """`label_replace(expression, target, replacement, source, regex)`."""

    inner: Metric
    target: str
    replacement: str
    source: str
    regex: str

    def __str__(self) -> str:
        texts: Iterable[str] = map(quoted, (self.target, self.replacement, self.source, self.regex))
        return f"label_replace({self.inner}, {', '.join(texts)})"


Metric = RangeAggregate | VectorAggregate | Binary | Number | LabelReplace
Query = LogQuery | Metric
