"""Decoded requests, walked alike for every signal: resources, scopes, records."""

from collections.abc import Iterator, Sequence
from typing import Any, ClassVar, Generic, TypeVar

from opentelemetry.proto.logs.v1.logs_pb2 import LogRecord, ResourceLogs, ScopeLogs
from opentelemetry.proto.metrics.v1.metrics_pb2 import Metric, ResourceMetrics, ScopeMetrics
from opentelemetry.proto.trace.v1.trace_pb2 import ResourceSpans, ScopeSpans, Span

Group = TypeVar("Group")
Scope = TypeVar("Scope")
Record = TypeVar("Record")


class View(Generic[Group, Scope, Record]):
    """A decoded request, walked alike for every signal. `message` is the Export*ServiceRequest itself."""

    __slots__ = ("message",)
    group_field: ClassVar[str]
    scope_field: ClassVar[str]
    record_field: ClassVar[str]

    def __init__(self, message: Any) -> None:
        self.message = message

    def groups(self) -> Sequence[Group]:
        """Return the ResourceSpans, ResourceMetrics or ResourceLogs."""
        groups: Sequence[Group] = getattr(self.message, self.group_field)
        return groups

    def scopes(self) -> Iterator[Scope]:
        """Iterate over the ScopeSpans, ScopeMetrics or ScopeLogs of every resource."""
        for group in self.groups():
            yield from getattr(group, self.scope_field)

    def records(self) -> Iterator[Record]:
        """Iterate over every span, metric or log record."""
        for scope in self.scopes():
            yield from getattr(scope, self.record_field)

    def prune(self) -> None:
        """Remove the scopes and resources that hold no record any more."""
        for group in self.groups():
            _keep(getattr(group, self.scope_field), lambda scope: bool(getattr(scope, self.record_field)))
        _keep(self.groups(), lambda group: bool(getattr(group, self.scope_field)))


def _keep(repeated: Any, wanted: Any) -> None:
    kept = [entry for entry in repeated if wanted(entry)]
    if len(kept) != len(repeated):
        del repeated[:]
        repeated.extend(kept)


class TracesView(View[ResourceSpans, ScopeSpans, Span]):
    """Decoded traces: resource_spans, scope_spans, spans."""

    __slots__ = ()
    group_field, scope_field, record_field = "resource_spans", "scope_spans", "spans"


class MetricsView(View[ResourceMetrics, ScopeMetrics, Metric]):
    """Decoded metrics: resource_metrics, scope_metrics, metrics and their data points."""

    __slots__ = ()
    group_field, scope_field, record_field = "resource_metrics", "scope_metrics", "metrics"

    def points(self) -> Iterator[Any]:
        """Iterate over every data point of every metric, whatever its type."""
        for metric in self.records():
            yield from points_of(metric)

    def prune(self) -> None:
        """Remove the metrics without points, then the scopes and resources left empty."""
        for scope in self.scopes():
            _keep(scope.metrics, lambda metric: len(points_of(metric)) > 0)
        super().prune()


class LogsView(View[ResourceLogs, ScopeLogs, LogRecord]):
    """Decoded logs: resource_logs, scope_logs, log_records."""

    __slots__ = ()
    group_field, scope_field, record_field = "resource_logs", "scope_logs", "log_records"


def points_of(metric: Metric) -> Any:
    """Return the data points of a metric (a mutable repeated field), or an empty list for one that carries no data."""
    kind = metric.WhichOneof("data")
    return getattr(metric, kind).data_points if kind else []
