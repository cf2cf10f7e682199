"""Hypothesis strategies for OTLP: arbitrary messages, made from descriptors so that no field is forgotten."""

import math
from collections.abc import Callable
from typing import Any, TypeVar

from google.protobuf.descriptor import Descriptor, FieldDescriptor
from google.protobuf.message import Message
from google.protobuf.message_factory import GetMessageClass
from hypothesis import strategies as st
from hypothesis.strategies import SearchStrategy
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

M = TypeVar("M", bound=Message)

REQUEST_TYPES = (ExportTraceServiceRequest, ExportMetricsServiceRequest, ExportLogsServiceRequest)


def doubles() -> SearchStrategy[float]:
    """Return every double, with the one NaN that text formats know."""
    return st.floats(allow_nan=False) | st.just(math.nan)


def _integers(low: int, high: int) -> Callable[[FieldDescriptor], SearchStrategy[Any]]:
    return lambda _: st.integers(low, high)


_SCALARS: dict[int, Callable[[FieldDescriptor], SearchStrategy[Any]]] = {
    FieldDescriptor.CPPTYPE_BOOL: lambda _: st.booleans(),
    FieldDescriptor.CPPTYPE_DOUBLE: lambda _: doubles(),
    FieldDescriptor.CPPTYPE_ENUM: lambda field: st.sampled_from([v.number for v in field.enum_type.values] + [99]),
    FieldDescriptor.CPPTYPE_INT32: _integers(-(2**31), 2**31 - 1),
    FieldDescriptor.CPPTYPE_INT64: _integers(-(2**63), 2**63 - 1),
    FieldDescriptor.CPPTYPE_UINT32: _integers(0, 2**32 - 1),
    FieldDescriptor.CPPTYPE_UINT64: _integers(0, 2**64 - 1),
}
_WAY_TO_RECORDS = frozenset(
    {"resource_spans", "scope_spans", "spans", "resource_logs", "scope_logs", "log_records"}
    | {"resource_metrics", "scope_metrics", "metrics", "data_points"}
)
"""Present more often than not, or most examples would stop short of a span, record or point."""
_ID_LENGTHS = {"trace_id": 16, "span_id": 8, "parent_span_id": 8}


def _bytes(field: FieldDescriptor) -> SearchStrategy[bytes]:
    length = _ID_LENGTHS.get(field.name)
    odd = st.binary(max_size=6)
    return st.binary(min_size=length, max_size=length) | odd if length else odd


def _single(field: FieldDescriptor, nesting: int) -> SearchStrategy[Any]:
    if field.message_type:
        return _messages(field.message_type, nesting - _is_recursive(field))
    if field.cpp_type == FieldDescriptor.CPPTYPE_STRING:
        return _bytes(field) if field.type == FieldDescriptor.TYPE_BYTES else st.text(max_size=6)
    return _SCALARS[field.cpp_type](field)


def _is_recursive(field: FieldDescriptor) -> bool:
    return field.name in ("array_value", "kvlist_value")


def _field(field: FieldDescriptor, nesting: int) -> SearchStrategy[Any]:
    single = st.deferred(lambda: _single(field, nesting))
    return st.lists(single, max_size=2) if field.is_repeated else single


def _messages(descriptor: Descriptor, nesting: int) -> SearchStrategy[Any]:
    optional: dict[str, SearchStrategy[Any]] = {}
    required: dict[str, SearchStrategy[Any]] = {}
    choices: list[SearchStrategy[dict[str, Any]]] = []
    for field in descriptor.fields:
        if nesting > 0 or not _is_recursive(field):
            values = _field(field, nesting)
            if field.containing_oneof is not None and len(field.containing_oneof.fields) > 1:
                choices.append(st.fixed_dictionaries({field.name: values}))
            elif field.name in _WAY_TO_RECORDS:
                required[field.name] = values
            else:
                optional[field.name] = values
    message_class = GetMessageClass(descriptor)
    fields = st.fixed_dictionaries(required, optional=optional)
    if not choices:
        return fields.map(lambda chosen: message_class(**chosen))
    one = st.one_of(st.just({}), *choices)
    return st.tuples(fields, one).map(lambda pair: message_class(**pair[0], **pair[1]))


def messages(message_type: type[M], nesting: int = 2) -> SearchStrategy[M]:
    """Return arbitrary messages of a type; attribute values hold lists and maps down to `nesting` levels."""
    return _messages(message_type.DESCRIPTOR, nesting)


def any_request() -> SearchStrategy[Message]:
    """Return arbitrary export requests of any of the three signals."""
    return st.one_of(*[messages(request_type) for request_type in REQUEST_TYPES])
