"""OTLP metrics decoded down to their points, with every attribute list left encoded.

The classes are derived from the official descriptors: attributes, resources, scopes and exemplars become bytes. An
unchanged attribute list therefore arrives as the same bytes in every request, which makes it the key under which a
series is found without decoding it.
"""

from collections.abc import Sequence
from functools import cache
from typing import Any, Protocol, cast

from google.protobuf import descriptor_pb2, descriptor_pool, message_factory
from opentelemetry.proto.common.v1.common_pb2 import KeyValue
from opentelemetry.proto.metrics.v1 import metrics_pb2

_ENCODED = {
    "opentelemetry.proto.resource.v1.Resource",
    "opentelemetry.proto.common.v1.InstrumentationScope",
    "opentelemetry.proto.common.v1.KeyValue",
    "opentelemetry.proto.metrics.v1.Exemplar",
}


class EncodedMetric(Protocol):
    """A Metric; `metadata` holds encoded KeyValues, each point's `attributes` and `exemplars` encoded entries."""

    name: str
    description: str
    unit: str
    gauge: Any
    sum: Any
    histogram: Any
    exponential_histogram: Any
    summary: Any
    metadata: Sequence[bytes]

    def WhichOneof(self, oneof_group: str) -> str | None: ...  # noqa: N802


class EncodedScope(Protocol):
    """A ScopeMetrics with an encoded scope."""

    scope: bytes
    metrics: Sequence[EncodedMetric]
    schema_url: str


class EncodedResource(Protocol):
    """A ResourceMetrics with an encoded resource."""

    resource: bytes
    scope_metrics: Sequence[EncodedScope]


class EncodedRequest(Protocol):
    """An ExportMetricsServiceRequest."""

    resource_metrics: Sequence[EncodedResource]


def parse_request(payload: bytes) -> EncodedRequest:
    """Return the request decoded down to its points; raise google.protobuf.message.DecodeError when malformed."""
    return cast(EncodedRequest, _request_class().FromString(payload))


def decode_attributes(encoded: Sequence[bytes]) -> list[KeyValue]:
    """Return the attributes of an encoded list, in order."""
    return [KeyValue.FromString(entry) for entry in encoded]


@cache
def _request_class() -> Any:
    file = descriptor_pb2.FileDescriptorProto()
    metrics_pb2.DESCRIPTOR.CopyToProto(file)
    file.name = "ophion/prometheus_metrics.proto"
    del file.dependency[:]
    for message in file.message_type:
        _leave_encoded(message)
    pool = descriptor_pool.DescriptorPool()
    pool.AddSerializedFile(file.SerializeToString())
    # MetricsData and ExportMetricsServiceRequest are the same message on the wire.
    descriptor = pool.FindMessageTypeByName("opentelemetry.proto.metrics.v1.MetricsData")
    return message_factory.GetMessageClass(descriptor)


def _leave_encoded(message: descriptor_pb2.DescriptorProto) -> None:
    for field in message.field:
        if field.type_name.removeprefix(".") in _ENCODED:
            field.type = descriptor_pb2.FieldDescriptorProto.TYPE_BYTES
            field.ClearField("type_name")
