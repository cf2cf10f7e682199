"""Cut-down OTLP descriptors: parse a request only as deep as its resources, and count it without walking it.

All three signals number their fields alike (request.resource_x = 1, resource_x.scope_x = 2, scope_x.items = 2), so one
skeleton serves traces, metrics and logs; what it does not name is kept as unknown fields and written back unchanged.
"""

from typing import Any, Protocol, cast

from google.protobuf import descriptor_pb2, descriptor_pool, message_factory
from opentelemetry.proto.resource.v1.resource_pb2 import Resource

_FIELD = descriptor_pb2.FieldDescriptorProto
_PACKAGE = "ophion.skeleton"
_RESOURCE_FILE = "opentelemetry/proto/resource/v1/resource.proto"


class ScopeEntry(Protocol):
    """One ScopeSpans, ScopeMetrics or ScopeLogs whose items stay encoded."""

    scope: bytes
    items: Any
    schema_url: bytes

    def ByteSize(self) -> int: ...  # noqa: N802


class ResourceEntry(Protocol):
    """One ResourceSpans, ResourceMetrics or ResourceLogs."""

    resource: Resource
    scopes: Any
    schema_url: bytes

    def HasField(self, field_name: str) -> bool: ...  # noqa: N802
    def SerializeToString(self, *, deterministic: bool = ...) -> bytes: ...  # noqa: N802


class SkeletonMessage(Protocol):
    """A whole request, decoded down to its resources."""

    resources: Any

    def SerializeToString(self) -> bytes: ...  # noqa: N802


def _message(file: descriptor_pb2.FileDescriptorProto, name: str, **fields: tuple[int, str, str]) -> None:
    message = file.message_type.add(name=name)
    for field_name, (number, label, type_name) in fields.items():
        field = message.field.add(name=field_name, number=number)
        field.label = _FIELD.LABEL_REPEATED if label == "repeated" else _FIELD.LABEL_OPTIONAL
        field.type = _FIELD.TYPE_BYTES if type_name == "bytes" else _FIELD.TYPE_MESSAGE
        if type_name != "bytes":
            field.type_name = type_name if type_name.startswith(".") else f".{_PACKAGE}.{type_name}"
        if label == "oneof":
            if not message.oneof_decl:
                message.oneof_decl.add(name="data")
            field.oneof_index = 0


def _points(label: str) -> dict[str, tuple[int, str, str]]:
    numbers = {"gauge": 5, "sum": 7, "histogram": 9, "exponential_histogram": 10, "summary": 11}
    return {name: (number, label, "Points") for name, number in numbers.items()}


def _build_file() -> descriptor_pb2.FileDescriptorProto:
    # proto2 keeps an empty scope apart from an absent one.
    file = descriptor_pb2.FileDescriptorProto(name="ophion/skeleton.proto", package=_PACKAGE, syntax="proto2")
    file.dependency.append(_RESOURCE_FILE)
    _message(file, "Scope", scope=(1, "", "bytes"), items=(2, "repeated", "bytes"), schema_url=(3, "", "bytes"))
    _message(
        file,
        "Resource",
        resource=(1, "", ".opentelemetry.proto.resource.v1.Resource"),
        scopes=(2, "repeated", "Scope"),
        schema_url=(3, "", "bytes"),
    )
    _message(file, "Request", resources=(1, "repeated", "Resource"))
    # Protobuf merges the occurrences of a singular message field and so concatenates the repeated fields inside it:
    # declared singular, the levels above the items fold into one list whose length is the count of the whole request.
    _message(file, "ItemsOfScope", items=(2, "repeated", "bytes"))
    _message(file, "ItemsOfResource", scopes=(2, "", "ItemsOfScope"))
    _message(file, "Items", resources=(1, "", "ItemsOfResource"))
    _message(file, "Points", data_points=(1, "repeated", "bytes"))
    _message(file, "FoldedMetric", **_points(""))
    _message(file, "PointsOfScope", items=(2, "", "FoldedMetric"))
    _message(file, "PointsOfResource", scopes=(2, "", "PointsOfScope"))
    _message(file, "AllPoints", resources=(1, "", "PointsOfResource"))
    _message(file, "Metric", **_points("oneof"))
    return file


def _classes(*names: str) -> tuple[Any, ...]:
    pool = descriptor_pool.Default()
    pool.AddSerializedFile(_build_file().SerializeToString())
    find = pool.FindMessageTypeByName
    return tuple(message_factory.GetMessageClass(find(f"{_PACKAGE}.{name}")) for name in names)


_Request, _Items, _AllPoints, _FoldedMetric, _Metric = _classes(
    "Request", "Items", "AllPoints", "FoldedMetric", "Metric"
)


def parse(payload: bytes) -> SkeletonMessage:
    """Return the request decoded down to its resources; raise google.protobuf.message.DecodeError when malformed."""
    return cast(SkeletonMessage, _Request.FromString(payload))


def empty() -> SkeletonMessage:
    """Return a request without resources."""
    return cast(SkeletonMessage, _Request())


def count_items(payload: bytes) -> int:
    """Count the spans or log records of an encoded request in one parse."""
    return len(_Items.FromString(payload).resources.scopes.items)


def count_points(payload: bytes) -> int:
    """Count the data points of an encoded metrics request in one parse."""
    return _sum_points(_AllPoints.FromString(payload).resources.scopes.items)


def metric_kinds(payload: bytes) -> frozenset[str]:
    """Return which kinds of data an encoded metrics request has points of, by their names in Metric."""
    folded = _AllPoints.FromString(payload).resources.scopes.items
    return frozenset(field.name for field, kind in folded.ListFields() if kind.data_points)


def count_metric_points(metric: bytes) -> int:
    """Count the data points of one encoded Metric."""
    return _sum_points(_FoldedMetric.FromString(metric))


def _sum_points(folded: Any) -> int:
    return (
        len(folded.gauge.data_points)
        + len(folded.sum.data_points)
        + len(folded.histogram.data_points)
        + len(folded.exponential_histogram.data_points)
        + len(folded.summary.data_points)
    )


def cut_metric(metric: bytes, points: int) -> tuple[bytes, bytes]:
    """Split one encoded Metric after `points` data points; both parts keep its name, unit and every other field."""
    head, tail = _Metric.FromString(metric), _Metric.FromString(metric)
    kind = head.WhichOneof("data")
    del getattr(head, kind).data_points[points:]
    del getattr(tail, kind).data_points[:points]
    return head.SerializeToString(), tail.SerializeToString()
