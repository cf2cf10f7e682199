"""Batches: encoded OTLP requests that are decoded only as deep as a component asks for.

A batch holds one of three forms and makes the others on demand: the encoded payload, the skeleton (decoded down to the
resources) and the decoded message. An edit of one form drops the others. `share()` gives another branch its own batch;
what the two hold in common is copied when one of them edits.
"""

from collections.abc import Iterable, Mapping, Sequence
from types import MappingProxyType
from typing import Any, ClassVar, Self

from google.protobuf.message import DecodeError
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest, ExportLogsServiceResponse
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import (
    ExportMetricsServiceRequest,
    ExportMetricsServiceResponse,
)
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)
from opentelemetry.proto.resource.v1.resource_pb2 import Resource

from ophion_agent import skeleton
from ophion_agent.errors import PermanentError
from ophion_agent.splitting import split_by_bytes, split_by_items, split_by_points
from ophion_agent.views import LogsView, MetricsView, TracesView, View, points_of

Metadata = Mapping[str, tuple[str, ...]]
NO_METADATA: Metadata = MappingProxyType({})
# What an authenticator found out about the sender is metadata under this prefix, which no header can have.
SENDER_PREFIX = "auth."


def sender_metadata(headers: Metadata, facts: Mapping[str, str]) -> Metadata:
    """Return the metadata of a request: its headers, and what its authentication proved under SENDER_PREFIX."""
    if any(name.startswith(SENDER_PREFIX) for name in headers):
        headers = {name: values for name, values in headers.items() if not name.startswith(SENDER_PREFIX)}
    if not facts:
        return headers or NO_METADATA
    return {**headers, **{SENDER_PREFIX + name: (value,) for name, value in facts.items()}}


class Batch:
    """One OTLP request on its way through a pipeline; use Traces, Metrics or Logs.

    `metadata` holds the sender's headers (lower-case name -> values) where the receiver includes them. `len()` counts
    spans, data points or log records.
    """

    __slots__ = ("_count", "_message", "_payload", "_shared", "_skeleton", "metadata")

    signal: ClassVar[str]
    item_name: ClassVar[str]
    view_type: ClassVar[type[View[Any, Any, Any]]]
    request_type: ClassVar[type[Any]]
    response_type: ClassVar[type[Any]]

    def __init__(
        self,
        payload: bytes | None = None,
        message: Any = None,
        count: int | None = None,
        metadata: Metadata = NO_METADATA,
    ) -> None:
        self._payload = payload
        self._message = message
        self._skeleton: skeleton.SkeletonMessage | None = None
        self._count = count
        self._shared = False
        self.metadata = metadata

    @classmethod
    def from_wire(cls, payload: bytes, metadata: Metadata = NO_METADATA) -> Self:
        """Return the batch of a request as it came over the wire, fully validated.

        A malformed payload raises PermanentError here, so that it can never be joined with somebody else's data.
        """
        try:
            message = cls.request_type.FromString(payload)
        except DecodeError as error:
            raise PermanentError(f"{cls.signal}: malformed protobuf, {len(payload)} bytes: {error}") from error
        return cls(payload, message, metadata=metadata)

    @classmethod
    def trusted(cls, payload: bytes, count: int | None = None, metadata: Metadata = NO_METADATA) -> Self:
        """Return the batch of a payload that was validated before, such as one read back from a queue."""
        return cls(payload, count=count, metadata=metadata)

    @classmethod
    def from_message(cls, message: Any, metadata: Metadata = NO_METADATA) -> Self:
        """Return the batch of an Export*ServiceRequest, which then belongs to the batch."""
        return cls(message=message, metadata=metadata)

    @classmethod
    def join(cls, batches: Sequence[Self]) -> Self:
        """Return one batch with everything in `batches`, in order, with the metadata of the first.

        Encoded requests concatenate (protobuf appends repeated fields), so nothing is decoded.
        """
        if len(batches) == 1:
            return batches[0]
        count = sum(len(batch) for batch in batches)
        metadata = batches[0].metadata if batches else NO_METADATA
        return cls(b"".join([batch.payload for batch in batches]), count=count, metadata=metadata)

    @property
    def payload(self) -> bytes:
        """The encoded Export*ServiceRequest."""
        if self._payload is None:
            source = self._message if self._skeleton is None else self._skeleton
            self._payload = source.SerializeToString()
        return self._payload

    @property
    def nbytes(self) -> int:
        """Size of the encoded request in bytes."""
        return len(self.payload)

    def __len__(self) -> int:
        if self._payload is None and self._skeleton is None:
            return self._count_decoded(self._message)
        if self._count is None:
            self._count = self._count_unedited()
        return self._count

    def _count_unedited(self) -> int:
        # A loop over the scopes of a message that is there anyway is cheaper than a second parse.
        return self.count_encoded(self.payload) if self._message is None else self._count_decoded(self._message)

    def __bool__(self) -> bool:
        return True

    @staticmethod
    def count_encoded(payload: bytes) -> int:
        """Count the items of an encoded request without decoding them."""
        return skeleton.count_items(payload)

    def _count_decoded(self, message: Any) -> int:
        records = self.view_type.record_field
        return sum([len(getattr(scope, records)) for scope in self.view_type(message).scopes()])

    def view(self) -> View[Any, Any, Any]:
        """Return the decoded request, to be read only."""
        return self.view_type(self._decoded())

    def edit(self) -> View[Any, Any, Any]:
        """Return the decoded request, yours to mutate; ask again for edits that follow a use of `payload`."""
        return self.view_type(self._decoded_for_edit())

    def share(self) -> Self:
        """Return a batch of the same content for another branch; neither sees what the other edits."""
        twin = type(self)(self.payload, self._message, self._count, self.metadata)
        self._shared = twin._shared = self._message is not None
        return twin

    def compact(self) -> Self:
        """Keep only the encoded form, for a batch that is going to wait; return the batch."""
        payload = self.payload
        self._message = self._skeleton = None
        self._payload = payload
        return self

    def _decoded(self) -> Any:
        if self._message is None:
            self._message = self.request_type.FromString(self.payload)
            self._shared = False
        return self._message

    def _decoded_for_edit(self) -> Any:
        if self._shared:
            self._message = None
        message = self._decoded()
        self._payload = self._skeleton = self._count = None
        return message

    def resources(self) -> list[Resource]:
        """Return the resource of each group, to be read only; decodes no records."""
        groups = self._message_groups() if self._message is not None else self._parsed_skeleton().resources
        return [group.resource for group in groups]

    def edit_resources(self) -> list[Resource]:
        """Return the resource of each group, yours to mutate; decodes no records."""
        if self._payload is None and self._skeleton is None:
            groups = self._message_groups()
        else:
            groups = self._parsed_skeleton().resources
            self._message = self._payload = None
        resources = [group.resource for group in groups]
        for resource in resources:
            resource.SetInParent()
        return resources

    def _message_groups(self) -> Any:
        return getattr(self._message, self.view_type.group_field)

    def _parsed_skeleton(self) -> skeleton.SkeletonMessage:
        if self._skeleton is None:
            self._skeleton = skeleton.parse(self.payload)
        return self._skeleton

    def split(self, max_items: int) -> list[Self]:
        """Split into batches of at most `max_items` items each, in order; the batch itself when it is small enough."""
        if len(self) <= max_items:
            return [self]
        return self._parts(split_by_items(self.payload, max_items))

    def split_bytes(self, max_bytes: int) -> list[Self]:
        """Split into batches of at most `max_bytes` encoded bytes; one record larger than that stays alone, whole."""
        if self.nbytes <= max_bytes:
            return [self]
        return self._parts(split_by_bytes(self.payload, max_bytes))

    def _parts(self, payloads: Iterable[bytes]) -> list[Self]:
        return [type(self)(payload, metadata=self.metadata) for payload in payloads]

    def regroup_by_resource(self) -> Self:
        """Return a batch in which groups of equal resource and schema URL are one group."""
        merged: dict[bytes, skeleton.ResourceEntry] = {}
        result = skeleton.empty()
        for entry in self._parsed_skeleton().resources:
            scopes = list(entry.scopes)
            del entry.scopes[:]
            # What is left of the entry is its whole identity: resource, schema URL and fields unknown to the skeleton.
            key = entry.SerializeToString(deterministic=True)
            if key not in merged:
                merged[key] = result.resources.add()
                merged[key].MergeFromString(key)  # type: ignore[attr-defined]
            merged[key].scopes.extend(scopes)
        self._skeleton = None
        return type(self)(result.SerializeToString(), count=self._count, metadata=self.metadata)


class Traces(Batch):
    """A batch of spans."""

    __slots__ = ()
    signal, item_name = "traces", "spans"
    view_type = TracesView
    request_type, response_type = ExportTraceServiceRequest, ExportTraceServiceResponse

    def view(self) -> TracesView:
        """Return the decoded spans, to be read only."""
        return TracesView(self._decoded())

    def edit(self) -> TracesView:
        """Return the decoded spans, yours to mutate."""
        return TracesView(self._decoded_for_edit())


class Metrics(Batch):
    """A batch of metric data points."""

    __slots__ = ()
    signal, item_name = "metrics", "metric_points"
    view_type = MetricsView
    request_type, response_type = ExportMetricsServiceRequest, ExportMetricsServiceResponse

    @staticmethod
    def count_encoded(payload: bytes) -> int:
        """Count the data points of an encoded request without decoding them."""
        return skeleton.count_points(payload)

    def _count_unedited(self) -> int:
        # Here a second parse is cheaper: the loop would be over every metric.
        return self.count_encoded(self.payload)

    def _count_decoded(self, message: Any) -> int:
        return sum([len(points_of(metric)) for metric in self.view_type(message).records()])

    def split(self, max_items: int) -> list[Self]:
        """Split into batches of at most `max_items` data points each, cutting a metric where it must be."""
        if len(self) <= max_items:
            return [self]
        return self._parts(split_by_points(self.payload, max_items))

    def view(self) -> MetricsView:
        """Return the decoded metrics, to be read only."""
        return MetricsView(self._decoded())

    def edit(self) -> MetricsView:
        """Return the decoded metrics, yours to mutate."""
        return MetricsView(self._decoded_for_edit())


class Logs(Batch):
    """A batch of log records."""

    __slots__ = ()
    signal, item_name = "logs", "log_records"
    view_type = LogsView
    request_type, response_type = ExportLogsServiceRequest, ExportLogsServiceResponse

    def view(self) -> LogsView:
        """Return the decoded log records, to be read only."""
        return LogsView(self._decoded())

    def edit(self) -> LogsView:
        """Return the decoded log records, yours to mutate."""
        return LogsView(self._decoded_for_edit())


SIGNALS: Mapping[str, type[Traces] | type[Metrics] | type[Logs]] = MappingProxyType(
    {signal.signal: signal for signal in (Traces, Metrics, Logs)}
)
