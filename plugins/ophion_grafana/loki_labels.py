"""Which labels a log record has: as if it had come in by Loki's OTLP endpoint.

Some resource attributes are the labels of its stream; everything else is structured metadata. The list is Loki's
default (`distributor.otlp.default_resource_attributes_as_index_labels`) and the host.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from opentelemetry.proto.common.v1.common_pb2 import AnyValue

from ophion_agent.prometheus_names import legacy_label_name, value_text
from ophion_grafana.sql import text_of

SERVICE: Final = "service_name"
UNKNOWN_SERVICE: Final = "unknown_service"
INDEX_ATTRIBUTES: Final = (
    "service.name",
    "service.namespace",
    "service.instance.id",
    "deployment.environment",
    "deployment.environment.name",
    "host.name",
    "cloud.region",
    "cloud.availability_zone",
    "k8s.cluster.name",
    "k8s.namespace.name",
    "k8s.pod.name",
    "k8s.container.name",
    "container.name",
    "k8s.replicaset.name",
    "k8s.deployment.name",
    "k8s.statefulset.name",
    "k8s.daemonset.name",
    "k8s.cronjob.name",
    "k8s.job.name",
)
INDEX_LABELS: Final[Mapping[str, str]] = {legacy_label_name(key): key for key in INDEX_ATTRIBUTES}
LEVEL: Final = "detected_level"
LEVEL_NAMES: Final = (LEVEL, "level", "severity")

# Severity numbers come four to a level (opentelemetry.io/docs/specs/otel/logs/data-model, "Field: SeverityNumber").
_LEVELS: Final = ("trace", "debug", "info", "warn", "error", "fatal")
_WORDS: Final = {
    "trace": ("trace", "trc"),
    "debug": ("debug", "dbg"),
    "info": ("info", "inf", "information"),
    "warn": ("warn", "wrn", "warning"),
    "error": ("error", "err"),
    "critical": ("critical",),
    "fatal": ("fatal",),
}
_PATTERN: Final = r"\\b(trace|debug|fatal|critical|error|err|warning|warn|info)\\b"


def _list(words: tuple[str, ...] | list[str]) -> str:
    return "[" + ", ".join(f"'{word}'" for word in words) + "]"


def _normal(text: str) -> str:
    words = [word for level in _WORDS.values() for word in level]
    levels = [level for level, names in _WORDS.items() for _ in names]
    return f"transform(lower({text}), {_list(words)}, {_list(levels)}, '')"


# What is looked at in turn; the rest is not worked out once a level is found.
_SOURCES: Final = (
    "severity_text",
    text_of("attributes['level']"),
    f"extract(lower(substring(body, 1, 1000)), '{_PATTERN}')",
)
_FOUND: Final = ", ".join(f"nullIf({_normal(source)}, '')" for source in _SOURCES)
LEVEL_SQL: Final = (
    f"if(severity_number BETWEEN 1 AND 24, {_list(list(_LEVELS))}[intDiv(severity_number - 1, 4) + 1], "
    f"coalesce({_FOUND}, 'unknown'))"
)
SERVICE_SQL: Final = f"if(service_name = '', '{UNKNOWN_SERVICE}', service_name)"


def index_label_sql(name: str) -> str:
    """Return SQL for a stream label over a row of `resources`."""
    text = text_of(f"attributes['{INDEX_LABELS[name]}']")
    return f"coalesce(nullIf({text}, ''), '{UNKNOWN_SERVICE}')" if name == SERVICE else text


def stream_labels(attributes: Mapping[str, AnyValue]) -> dict[str, str]:
    """Return the labels of the stream of a resource."""
    found = {legacy_label_name(key): value_text(attributes[key]) for key in INDEX_ATTRIBUTES if key in attributes}
    labels = {name: value for name, value in found.items() if value}
    labels.setdefault(SERVICE, UNKNOWN_SERVICE)
    return labels
