"""What the Prometheus store is made of: families as they are exposed; groups and streams as points arrive."""

from collections.abc import Callable, Mapping
from sys import intern
from typing import Any

from opentelemetry.proto.common.v1.common_pb2 import KeyValue

from ophion_agent.prometheus_names import Kind
from ophion_exporters.prometheus_series import NEVER, Labels, NumberSeries, Series


def exposed_labels(labels: Mapping[str, str]) -> Labels:
    """Return the labels sorted by name, without empty ones: to Prometheus an empty label is no label.

    Texts are interned, as the same few occur in thousands of series.
    """
    return tuple(sorted((intern(name), intern(text)) for name, text in labels.items() if text))


class Family:
    """All series of one metric name."""

    __slots__ = ("help", "kind", "name", "series")

    def __init__(self, name: str, kind: Kind, help_text: str) -> None:
        self.name = name
        self.kind = kind
        self.help = help_text
        self.series: dict[Labels, Series] = {}

    def sample_names(self) -> list[str]:
        """Return every name its samples carry; no two families may share one."""
        return sample_names(self.name, self.kind)


def sample_names(name: str, kind: Kind) -> list[str]:
    """Return the names of the samples of a family of this kind."""
    if kind is Kind.HISTOGRAM:
        return [name, f"{name}_bucket", f"{name}_count", f"{name}_sum"]
    return [name, f"{name}_count", f"{name}_sum"] if kind is Kind.SUMMARY else [name]


class Stream:
    """One metric of one scope of one resource: its encoded attributes -> series."""

    __slots__ = ("apply", "family_name", "kind", "series", "series_type", "updated")

    def __init__(
        self,
        family_name: str,
        kind: Kind,
        series_type: type[Series],
        apply: Callable[[Any, Any], bool] | None,
    ) -> None:
        self.family_name = family_name
        self.kind = kind
        self.series_type = series_type
        self.apply = apply
        self.series: dict[tuple[bytes, ...], Series] = {}
        self.updated = NEVER


class Group:
    """One scope of one resource: the labels that its series share, and its streams."""

    __slots__ = ("attributes", "labels", "streams", "target", "updated")

    def __init__(self, labels: dict[str, str], attributes: list[KeyValue], target: tuple[str, str]) -> None:
        self.labels = labels
        self.attributes = attributes
        self.target = target
        self.streams: dict[tuple[object, ...], Stream] = {}
        self.updated = NEVER


class Target:
    """The `target_info` series of one job and instance, made from the resource that was first to name them."""

    __slots__ = ("resource", "series")

    def __init__(self, resource: bytes, labels: Labels) -> None:
        self.resource = resource
        self.series = NumberSeries(labels)
        self.series.value = 1
