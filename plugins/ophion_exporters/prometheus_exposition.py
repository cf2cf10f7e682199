"""What a scrape gets: the negotiated format, and under which name and type each family appears in it."""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

from ophion_agent.prometheus_names import Kind
from ophion_exporters.prometheus_families import Family, sample_names
from ophion_exporters.prometheus_series import Labels

_NOT_IN_METRIC = re.compile(r"[^a-zA-Z0-9:_]")
_NOT_IN_LABEL = re.compile(r"[^a-zA-Z0-9_]")


class Encoding(StrEnum):
    """The exposition formats, by media type."""

    TEXT = "text/plain"
    OPENMETRICS = "application/openmetrics-text"
    PROTOBUF = "application/vnd.google.protobuf"


@dataclass(frozen=True)
class Format:
    """One way to expose: `utf8` keeps names that need quotes, otherwise they are escaped by underscores."""

    encoding: Encoding = Encoding.TEXT
    utf8: bool = False
    timestamps: bool = False

    @property
    def content_type(self) -> str:
        """The Content-Type of the answer."""
        escaping = "; escaping=allow-utf-8" if self.utf8 else ""
        if self.encoding is Encoding.PROTOBUF:
            return f"{self.encoding}; proto=io.prometheus.client.MetricFamily; encoding=delimited{escaping}"
        version = "1.0.0" if self.encoding is Encoding.OPENMETRICS or self.utf8 else "0.0.4"
        return f"{self.encoding}; version={version}; charset=utf-8{escaping}"


@dataclass(frozen=True)
class Entry:
    """A family as one scrape shows it: `title` is the name in its metadata, `type_name` the type given there."""

    family: Family
    name: str
    title: str
    type_name: str


def negotiate(accept: str, openmetrics: bool, utf8: bool = False, timestamps: bool = False) -> Format:
    """Return the format for an Accept header: the acceptable one with the highest `q`, the first of equals.

    `openmetrics` tells whether OpenMetrics is served at all, `utf8` whether there are names that could need it. What
    accepts nothing we serve gets the text format, as Prometheus clients do it.
    """
    for media_type, parameters in _accepted(accept):
        allows_utf8 = utf8 and parameters.get("escaping") == "allow-utf-8"
        if media_type == Encoding.PROTOBUF and _wants_families(parameters):
            return Format(Encoding.PROTOBUF, allows_utf8, timestamps)
        if media_type == Encoding.OPENMETRICS and openmetrics:
            return Format(Encoding.OPENMETRICS, allows_utf8, timestamps)
        if media_type in (Encoding.TEXT, "text/*", "*/*"):
            return Format(Encoding.TEXT, allows_utf8, timestamps)
    return Format(Encoding.TEXT, False, timestamps)


def accepts_gzip(accept_encoding: str) -> bool:
    """Tell whether an Accept-Encoding header allows gzip."""
    return any(coding in ("gzip", "*") for coding, _ in _accepted(accept_encoding))


def _wants_families(parameters: Mapping[str, str]) -> bool:
    return (
        parameters.get("proto", "io.prometheus.client.MetricFamily") == "io.prometheus.client.MetricFamily"
        and parameters.get("encoding", "delimited") == "delimited"
    )


def _accepted(header: str) -> list[tuple[str, dict[str, str]]]:
    choices = []
    for choice in header.split(","):
        name, *pairs = (part.strip() for part in choice.split(";"))
        parameters = {
            key.strip().lower(): value.strip().strip('"') for key, _, value in (p.partition("=") for p in pairs)
        }
        quality = _quality(parameters.pop("q", "1"))
        if name and quality > 0:
            choices.append((quality, name.lower(), parameters))
    choices.sort(key=lambda choice: -choice[0])
    return [(name, parameters) for _, name, parameters in choices]


def _quality(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return 0.0


def plan(families: Iterable[Family], layout: Format) -> Iterator[Entry]:
    """Iterate over what is exposed, by name.

    Names that differ only until they are escaped are exposed once. In OpenMetrics, where a counter owns its name with
    and without `_total` and the suffix `_created`, a counter without the suffix or with a taken name is `unknown`, and
    another family is left out when its name belongs to a histogram or summary.
    """
    named = [(escape_metric_name(family.name) if not layout.utf8 else family.name, family) for family in families]
    if layout.encoding is Encoding.OPENMETRICS:
        entries = _openmetrics(named)
    else:
        entries = [(_names(name, family), Entry(family, name, name, family.kind)) for name, family in named]
    taken: set[str] = set()
    for names, entry in entries:
        if taken.isdisjoint(names):
            taken.update(names)
            yield entry


def _names(name: str, family: Family) -> list[str]:
    return sample_names(name, family.kind)


def _openmetrics(named: Sequence[tuple[str, Family]]) -> list[tuple[list[str], Entry]]:
    entries: list[tuple[list[str], Entry]] = []
    taken: set[str] = set()
    for name, family in sorted(named, key=lambda pair: pair[1].kind is Kind.COUNTER):
        names, entry = _names(name, family), Entry(family, name, name, family.kind)
        if family.kind in (Kind.HISTOGRAM, Kind.SUMMARY):
            names.append(f"{name}_created")
        elif family.kind is Kind.UNTYPED:
            entry = Entry(family, name, name, "unknown")
        elif family.kind is Kind.COUNTER:
            base = name.removesuffix("_total")
            owned = [base, f"{base}_total", f"{base}_created"]
            if base in ("", name) or not taken.isdisjoint(owned):
                entry = Entry(family, name, name, "unknown")
            else:
                names, entry = owned, Entry(family, name, base, "counter")
        taken.update(names)
        entries.append((names, entry))
    return sorted(entries, key=lambda pair: pair[1].family.name)


def escape_metric_name(name: str) -> str:
    """Return the name with each character that needs quotes as `_` (Prometheus' escaping scheme "underscores")."""
    escaped = _NOT_IN_METRIC.sub("_", name)
    return f"_{escaped[1:]}" if escaped[:1].isdigit() else escaped


def escape_labels(labels: Labels) -> Labels:
    """Return the labels with escaped names; texts under one name are joined by `;`."""
    escaped: dict[str, str] = {}
    for name, text in labels:
        plain = _NOT_IN_LABEL.sub("_", name)
        plain = f"_{plain[1:]}" if plain[0].isdigit() else plain
        # Prometheus keeps names with two leading underscores to itself.
        plain = f"_{plain.lstrip('_')}" if plain.startswith("__") else plain
        escaped[plain] = f"{escaped[plain]};{text}" if plain in escaped else text
    return tuple(sorted(escaped.items()))
