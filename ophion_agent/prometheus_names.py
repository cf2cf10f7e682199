"""Prometheus names and label texts for OTLP metrics and attributes.

The rules are those of the OpenTelemetry specification, "Prometheus and OpenMetrics Compatibility", with the unit table
and the translation strategies that otelcol uses.
"""

import base64
import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from opentelemetry.proto.common.v1.common_pb2 import AnyValue, KeyValue

UNITS: Mapping[str, str] = {
    "d": "days",
    "h": "hours",
    "min": "minutes",
    "s": "seconds",
    "ms": "milliseconds",
    "us": "microseconds",
    "ns": "nanoseconds",
    "By": "bytes",
    "KiBy": "kibibytes",
    "MiBy": "mebibytes",
    "GiBy": "gibibytes",
    "TiBy": "tibibytes",
    "KBy": "kilobytes",
    "MBy": "megabytes",
    "GBy": "gigabytes",
    "TBy": "terabytes",
    "m": "meters",
    "V": "volts",
    "A": "amperes",
    "J": "joules",
    "W": "watts",
    "g": "grams",
    "Cel": "celsius",
    "Hz": "hertz",
    "1": "",
    "%": "percent",
}
PER_UNITS: Mapping[str, str] = {
    "s": "second",
    "m": "minute",
    "h": "hour",
    "d": "day",
    "w": "week",
    "mo": "month",
    "y": "year",
}

_NOT_METRIC_TOKEN = re.compile(r"[^a-zA-Z0-9:]+")
_NOT_METRIC_NAME = re.compile(r"[^a-zA-Z0-9:_]+")
_NOT_LABEL_NAME = re.compile(r"[^a-zA-Z0-9]+")
_LEGACY_METRIC_NAME = re.compile(r"[a-zA-Z_:][a-zA-Z0-9_:]*")
_LEGACY_LABEL_NAME = re.compile(r"[a-zA-Z_][a-zA-Z0-9_]*")


class TranslationStrategy(StrEnum):
    """How OTLP names become Prometheus names (the values of otelcol's `translation_strategy`)."""

    UNDERSCORES_WITH_SUFFIXES = "UnderscoreEscapingWithSuffixes"
    UNDERSCORES = "UnderscoreEscapingWithoutSuffixes"
    UTF8_WITH_SUFFIXES = "NoUTF8EscapingWithSuffixes"
    UNCHANGED = "NoTranslation"

    @property
    def suffixes(self) -> bool:
        """Whether unit and type are appended."""
        return self in (self.UNDERSCORES_WITH_SUFFIXES, self.UTF8_WITH_SUFFIXES)

    @property
    def utf8(self) -> bool:
        """Whether names keep every character."""
        return self in (self.UTF8_WITH_SUFFIXES, self.UNCHANGED)


class Kind(StrEnum):
    """What a metric family is; the values are the type names of the text formats."""

    COUNTER = "counter"
    GAUGE = "gauge"
    UNTYPED = "untyped"
    HISTOGRAM = "histogram"
    SUMMARY = "summary"


@dataclass(frozen=True)
class Namer:
    """Metric and label names under one namespace and strategy."""

    namespace: str = ""
    strategy: TranslationStrategy = TranslationStrategy.UNDERSCORES_WITH_SUFFIXES

    def metric(self, name: str, unit: str, kind: Kind, up_down: bool = False) -> str:
        """Return the family name, `http_server_duration_seconds` for example.

        `up_down` marks a gauge made of a non-monotonic sum: those never get `_ratio`.
        """
        ratio = unit == "1" and kind in (Kind.GAUGE, Kind.UNTYPED) and not up_down
        if self.strategy.utf8:
            joined = f"{self.namespace}_{name}" if self.namespace else name
            return self._with_suffixes(joined or "_", unit, kind, ratio) if self.strategy.suffixes else joined or "_"
        if not self.strategy.suffixes:
            return legacy_metric_name("_".join(filter(None, (_words(self.namespace), _words(name)))))
        tokens = [token for token in _NOT_METRIC_TOKEN.split(name) if token]
        for suffix in unit_suffixes(unit):
            cleaned = _NOT_METRIC_TOKEN.sub("_", suffix).strip("_")
            if cleaned not in ("", "per") and cleaned not in tokens:
                tokens.append(cleaned)
        if kind is Kind.COUNTER:
            tokens = [token for token in tokens if token != "total"] + ["total"]
        if ratio:
            tokens = [token for token in tokens if token != "ratio"] + ["ratio"]
        if self.namespace:
            tokens.insert(0, _words(self.namespace))
        return legacy_metric_name("_".join(tokens))

    def label(self, name: str) -> str:
        """Return the label name of an attribute key."""
        return utf8_label_name(name) if self.strategy.utf8 else legacy_label_name(name)

    @staticmethod
    def _with_suffixes(name: str, unit: str, kind: Kind, ratio: bool) -> str:
        suffixes = [suffix for suffix in unit_suffixes(unit) if suffix]
        suffixes += ["ratio"] if ratio else []
        suffixes += ["total"] if kind is Kind.COUNTER else []
        for suffix in reversed(suffixes):
            name = name[: -len(suffix) - 1] if name.endswith(suffix) and len(name) > len(suffix) + 1 else name
        return "_".join([name, *suffixes])


def unit_suffixes(unit: str) -> tuple[str, str]:
    """Return the suffixes of a UCUM unit: `("bytes", "per_second")` for `By/s`; annotations in braces give none."""
    main, _, per = unit.partition("/")
    main, per = main.strip(), per.strip()
    main_suffix = "" if "{" in main or "}" in main else UNITS.get(main, main)
    per_suffix = "" if "{" in per or "}" in per else PER_UNITS.get(per, per)
    return main_suffix, f"per_{per_suffix}" if per_suffix else ""


def _words(name: str) -> str:
    return "_".join(filter(None, _NOT_METRIC_NAME.split(name)))


def legacy_metric_name(name: str) -> str:
    """Return the name with each run of characters outside `[a-zA-Z0-9:_]` as one `_`, not empty or led by a digit."""
    name = _NOT_METRIC_NAME.sub("_", name)
    return f"_{name}" if not name or name[0].isdigit() else name


def legacy_label_name(name: str) -> str:
    """Return the name with every run of characters outside `[a-zA-Z0-9]` as one `_`; `key_` leads one with a digit.

    Names that start with `__` are Prometheus' own, so a leading run of underscores becomes one as well.
    """
    name = _NOT_LABEL_NAME.sub("_", name)
    return f"key_{name}" if name[:1].isdigit() else name or "_"


def utf8_label_name(name: str) -> str:
    """Return the name as it is, unless Prometheus reserves it (`__...`) or it is empty."""
    return f"_{name.lstrip('_')}" if name.startswith("__") else name or "_"


def is_legacy_metric_name(name: str) -> bool:
    """Tell whether the text formats can carry the metric name unquoted."""
    return _LEGACY_METRIC_NAME.fullmatch(name) is not None


def is_legacy_label_name(name: str) -> bool:
    """Tell whether the text formats can carry the label name unquoted."""
    return _LEGACY_LABEL_NAME.fullmatch(name) is not None


def value_text(value: AnyValue) -> str:
    """Return an attribute value as label text: strings as they are, bytes in base64, lists and maps as JSON."""
    kind = value.WhichOneof("value")
    if kind == "string_value":
        return value.string_value
    if kind is None:
        return ""
    plain = _plain(value)
    return plain if isinstance(plain, str) else json.dumps(plain, ensure_ascii=False, separators=(",", ":"))


def _plain(value: AnyValue) -> Any:
    kind = value.WhichOneof("value")
    if kind == "array_value":
        return [_plain(entry) for entry in value.array_value.values]
    if kind == "kvlist_value":
        return {entry.key: _plain(entry.value) for entry in value.kvlist_value.values}
    if kind == "bytes_value":
        return base64.b64encode(value.bytes_value).decode("ascii")
    if kind == "double_value" and value.double_value.is_integer() and abs(value.double_value) < 1e15:
        return int(value.double_value)
    return getattr(value, kind) if kind else None


def label_texts(namer: Namer, attributes: Iterable[KeyValue], prefix: str = "") -> dict[str, str]:
    """Return label name -> text; the values of keys that become one name are joined by `;` in the order of the keys."""
    labels: dict[str, str] = {}
    for attribute in sorted(attributes, key=lambda entry: entry.key):
        name, text = namer.label(prefix + attribute.key), value_text(attribute.value)
        labels[name] = f"{labels[name]};{text}" if name in labels else text
    return labels


def add_labels(labels: dict[str, str], reserved: Mapping[str, str] | Iterable[str], added: Mapping[str, str]) -> None:
    """Add data labels; one whose name is reserved gets the prefix `exported_`, as Prometheus does on a clash."""
    for name, text in added.items():
        while name in reserved:
            name = f"exported_{name}"
        labels[name] = f"{labels[name]};{text}" if labels.get(name) else text
