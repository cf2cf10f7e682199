"""The store behind the scrape endpoint: the last state of every series, found by the encoded bytes of its identity.

A request is walked resource -> scope -> metric -> point. Each level is looked up by the bytes it arrived with; names
and labels are made only for what was not seen before. Two encodings of one series (attributes in another order, another
resource with the same job and instance) share the state, so that no series is exposed twice.
"""

from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from typing import Any

from opentelemetry.proto.common.v1.common_pb2 import InstrumentationScope, KeyValue
from opentelemetry.proto.resource.v1.resource_pb2 import Resource

from ophion_agent.prometheus_names import Kind, Namer, add_labels, label_texts, value_text
from ophion_exporters import prometheus_series as series_of
from ophion_exporters.prometheus_families import Family, Group, Stream, Target, exposed_labels, sample_names
from ophion_exporters.prometheus_series import Labels, Series
from ophion_exporters.prometheus_wire import EncodedMetric, decode_attributes, parse_request

IDENTITY_ATTRIBUTES = ("service.name", "service.namespace", "service.instance.id")
NO_RECORDED_VALUE = 1
DELTA, CUMULATIVE = 1, 2
MAX_CONFLICTS = 1000

SERIES_TYPES: Mapping[str, type[Series]] = {
    "gauge": series_of.NumberSeries,
    "sum": series_of.NumberSeries,
    "histogram": series_of.HistogramSeries,
    "exponential_histogram": series_of.NativeSeries,
    "summary": series_of.SummarySeries,
}
APPLY: Mapping[tuple[str, int], Callable[[Any, Any], bool]] = {
    ("gauge", CUMULATIVE): series_of.set_number,
    ("sum", CUMULATIVE): series_of.set_number,
    ("sum", DELTA): series_of.add_number,
    ("histogram", CUMULATIVE): series_of.set_histogram,
    ("histogram", DELTA): series_of.add_histogram,
    ("exponential_histogram", CUMULATIVE): series_of.set_native,
    ("exponential_histogram", DELTA): series_of.add_native,
    ("summary", CUMULATIVE): series_of.set_summary,
}
GENERATED_LABELS: Mapping[Kind, tuple[str, ...]] = {
    Kind.HISTOGRAM: ("le",),
    Kind.SUMMARY: ("quantile",),
}


@dataclass(frozen=True)
class StoreSettings:
    """What shapes the store; `included` and `excluded` are patterns of resource attributes to add to every series."""

    namer: Namer = field(default_factory=Namer)
    const_labels: Mapping[str, str] = field(default_factory=dict)
    expiration_seconds: float = 300.0
    max_series: int = 100_000
    scope_labels: bool = True
    included: tuple[str, ...] = ()
    excluded: tuple[str, ...] = ()


class Store:
    """Accumulates encoded metrics requests; iterate over `families()` to expose them. For one event loop.

    `accumulate` returns how many points were dropped, by reason: `type_conflict`, `series_limit`, `out_of_order`,
    `unsupported`. `conflicts` maps the name of each refused family to what stood in its way, in order of appearance.
    """

    def __init__(self, settings: StoreSettings) -> None:
        self.settings = settings
        self.conflicts: dict[str, str] = {}
        self._groups: dict[tuple[bytes, bytes, str], Group] = {}
        self._families: dict[str, Family] = {}
        self._owners: dict[str, str] = {}
        self._targets: dict[tuple[str, str], Target] = {}
        self._entries = 0
        self._streams = 0
        self._swept = series_of.NEVER
        self._target_family = Family(self._target_name(), Kind.GAUGE, "Target metadata")
        self._owners[self._target_family.name] = self._target_family.name

    def __len__(self) -> int:
        """Count the series held, expired ones included until the next sweep; equals what `max_series` limits."""
        return self._entries

    def accumulate(self, payload: bytes, now: float) -> Counter[str]:
        """Apply an encoded ExportMetricsServiceRequest at `now` (monotonic seconds)."""
        if now - self._swept > self.settings.expiration_seconds:
            self.sweep(now)
        dropped: Counter[str] = Counter()
        for resource in parse_request(payload).resource_metrics:
            for scope in resource.scope_metrics:
                group = self._group(resource.resource, scope.scope, scope.schema_url)
                if group is None:
                    dropped["series_limit"] += sum(len(_points(metric)) for metric in scope.metrics)
                    continue
                group.updated = now
                self._touch_target(group, resource.resource, now)
                for metric in scope.metrics:
                    self._apply_metric(group, metric, now, dropped)
        return dropped

    def _apply_metric(self, group: Group, metric: EncodedMetric, now: float, dropped: Counter[str]) -> None:
        data_kind = metric.WhichOneof("data")
        if data_kind is None:
            return
        data = getattr(metric, data_kind)
        points = data.data_points
        stream = self._stream(group, metric, data_kind, data)
        if stream is None:
            dropped["series_limit"] += len(points)
            return
        stream.updated = now
        if stream.apply is None:
            dropped["unsupported"] += len(points)
            return
        family = self._families.get(stream.family_name) or self._claim(stream, metric.description)
        if family is None or family.kind is not stream.kind:
            self._refuse(stream, family)
            dropped["type_conflict"] += len(points)
            return
        known, apply = stream.series, stream.apply
        for point in points:
            series = known.get(tuple(point.attributes))
            if series is None:
                series = self._add_series(group, stream, family, point)
                if series is None:
                    dropped["series_limit"] += 1
                    continue
            if point.flags & NO_RECORDED_VALUE:
                series.forget()
            elif apply(series, point):
                series.updated = now
            else:
                dropped["out_of_order"] += 1

    def _stream(self, group: Group, metric: EncodedMetric, data_kind: str, data: Any) -> Stream | None:
        temporality = CUMULATIVE if data_kind in ("gauge", "summary") else data.aggregation_temporality
        monotonic = data.is_monotonic if data_kind == "sum" else None
        key = (metric.name, data_kind, metric.unit, temporality, monotonic)
        stream = group.streams.get(key)
        if stream is None and self._streams < self.settings.max_series:
            kind = _kind(metric, data_kind, monotonic)
            name = self.settings.namer.metric(metric.name, metric.unit, kind, up_down=monotonic is False)
            exposable = monotonic is not False or temporality == CUMULATIVE
            apply = APPLY.get((data_kind, temporality)) if exposable else None
            stream = group.streams[key] = Stream(name, kind, SERIES_TYPES[data_kind], apply)
            self._streams += 1
        return stream

    def _claim(self, stream: Stream, description: str) -> Family | None:
        family = Family(stream.family_name, stream.kind, description)
        names = family.sample_names()
        if any(name in self._owners for name in names):
            return None
        self._owners.update(dict.fromkeys(names, family.name))
        self._families[family.name] = family
        return family

    def _refuse(self, stream: Stream, family: Family | None) -> None:
        if stream.family_name in self.conflicts or len(self.conflicts) >= MAX_CONFLICTS:
            return
        if family is None:
            names = sample_names(stream.family_name, stream.kind)
            owners = sorted({self._owners[name] for name in names if name in self._owners})
            self.conflicts[stream.family_name] = f"a {stream.kind} would use sample names of {', '.join(owners)}"
        else:
            self.conflicts[stream.family_name] = f"a {stream.kind} came where a {family.kind} is exposed"

    def _add_series(self, group: Group, stream: Stream, family: Family, point: Any) -> Series | None:
        if self._entries >= self.settings.max_series:
            return None
        labels = self._labels(group, stream.kind, decode_attributes(point.attributes))
        series = family.series.get(labels)
        if type(series) is not stream.series_type:
            series = family.series[labels] = stream.series_type(labels)
        stream.series[tuple(point.attributes)] = series
        self._entries += 1
        return series

    def _labels(self, group: Group, kind: Kind, attributes: list[KeyValue]) -> Labels:
        merged = {attribute.key: attribute for attribute in [*attributes, *group.attributes]}
        labels = dict(group.labels)
        reserved = {*labels, *GENERATED_LABELS.get(kind, ())}
        add_labels(labels, reserved, label_texts(self.settings.namer, merged.values()))
        return exposed_labels(labels)

    def _group(self, resource: bytes, scope: bytes, schema_url: str) -> Group | None:
        key = (resource, scope, schema_url)
        group = self._groups.get(key)
        if group is None and len(self._groups) < self.settings.max_series:
            attributes = list(Resource.FromString(resource).attributes)
            job, instance = _identity(attributes)
            labels = self._scope_labels(InstrumentationScope.FromString(scope), schema_url)
            labels.update(job=job, instance=instance)
            for name, text in self.settings.const_labels.items():
                labels[self.settings.namer.label(name)] = text
            labels = {name: text for name, text in labels.items() if text}
            wanted = [attribute for attribute in attributes if self._wanted(attribute.key)]
            group = self._groups[key] = Group(labels, wanted, (job, instance))
        return group

    def _scope_labels(self, scope: InstrumentationScope, schema_url: str) -> dict[str, str]:
        if not self.settings.scope_labels:
            return {}
        labels = label_texts(self.settings.namer, scope.attributes, prefix="otel_scope_")
        labels.update(otel_scope_name=scope.name, otel_scope_version=scope.version, otel_scope_schema_url=schema_url)
        return labels

    def _wanted(self, key: str) -> bool:
        included = any(fnmatchcase(key, pattern) for pattern in self.settings.included)
        return included and not any(fnmatchcase(key, pattern) for pattern in self.settings.excluded)

    def _target_name(self) -> str:
        return self.settings.namer.metric("target_info", "", Kind.GAUGE)

    def _touch_target(self, group: Group, resource: bytes, now: float) -> None:
        if not any(group.target):
            return
        target = self._targets.get(group.target)
        if target is None:
            target = self._targets[group.target] = Target(resource, self._target_labels(group.target, resource))
        if target.resource == resource:
            target.series.updated = now

    def _target_labels(self, identity: tuple[str, str], resource: bytes) -> Labels:
        attributes = Resource.FromString(resource).attributes
        others = [attribute for attribute in attributes if attribute.key not in IDENTITY_ATTRIBUTES]
        labels = {"job": identity[0], "instance": identity[1]}
        add_labels(labels, ("job", "instance"), label_texts(self.settings.namer, others))
        return exposed_labels(labels)

    def families(self, now: float) -> Iterator[Family]:
        """Iterate over the families that have live series, by name; `target_info` comes first."""
        self.sweep(now)
        if self._targets:
            self._target_family.series = {target.series.labels: target.series for target in self._targets.values()}
            yield self._target_family
        for name in sorted(self._families):
            family = self._families.get(name)
            if family is not None:
                yield family

    def sweep(self, now: float) -> None:
        """Remove what was not updated for the expiration time, or was forgotten."""
        self._swept = now
        oldest = now - self.settings.expiration_seconds
        self._targets = {key: target for key, target in self._targets.items() if target.series.updated >= oldest}
        self._groups = {key: group for key, group in self._groups.items() if group.updated >= oldest}
        self._entries = self._streams = 0
        for group in self._groups.values():
            group.streams = {key: stream for key, stream in group.streams.items() if stream.updated >= oldest}
            for stream in group.streams.values():
                _keep_live(stream.series, oldest)
                self._entries += len(stream.series)
            self._streams += len(group.streams)
        for family in list(self._families.values()):
            _keep_live(family.series, oldest)
            if not family.series:
                self._release(family)

    def _release(self, family: Family) -> None:
        del self._families[family.name]
        for name in family.sample_names():
            del self._owners[name]


def _keep_live(series: dict[Any, Series], oldest: float) -> None:
    for key in [key for key, entry in series.items() if entry.updated < oldest]:
        del series[key]


def _points(metric: EncodedMetric) -> Any:
    data_kind = metric.WhichOneof("data")
    return getattr(metric, data_kind).data_points if data_kind else ()


def _kind(metric: EncodedMetric, data_kind: str, monotonic: bool | None) -> Kind:
    if data_kind == "sum":
        return Kind.COUNTER if monotonic else Kind.GAUGE
    if data_kind == "gauge":
        metadata = {entry.key: value_text(entry.value) for entry in decode_attributes(metric.metadata)}
        return Kind.UNTYPED if metadata.get("prometheus.type") == "unknown" else Kind.GAUGE
    return Kind.SUMMARY if data_kind == "summary" else Kind.HISTOGRAM


def _identity(attributes: list[KeyValue]) -> tuple[str, str]:
    values = {attribute.key: value_text(attribute.value) for attribute in attributes}
    job = values.get("service.name", "")
    if job and values.get("service.namespace"):
        job = f"{values['service.namespace']}/{job}"
    return job, values.get("service.instance.id", "")
