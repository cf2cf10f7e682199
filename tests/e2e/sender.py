"""OTLP requests with spans of given ids, and senders that remember what was acknowledged."""

import asyncio
import itertools
import secrets
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any, Self

import grpc
import grpc.aio
from google.rpc.error_details_pb2 import RetryInfo
from google.rpc.status_pb2 import Status
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

EXPORT = "/opentelemetry.proto.collector.trace.v1.TraceService/Export"
DETAILS = "grpc-status-details-bin"
# Connections to an agent that was killed are tried again at once, so that a test does not wait for gRPC's backoff.
CHANNEL_OPTIONS = [
    ("grpc.initial_reconnect_backoff_ms", 50),
    ("grpc.min_reconnect_backoff_ms", 50),
    ("grpc.max_reconnect_backoff_ms", 100),
    ("grpc.enable_retries", 0),
]


def traces(span_ids: list[bytes], attribute_bytes: int = 0, service: str = "e2e") -> ExportTraceServiceRequest:
    """Return a request with one span per id; each carries an attribute of the given length."""
    request = ExportTraceServiceRequest()
    group = request.resource_spans.add()
    group.resource.attributes.add(key="service.name").value.string_value = service
    spans = group.scope_spans.add().spans
    for span_id in span_ids:
        span = spans.add(trace_id=b"\1" * 16, span_id=span_id, name="numbered", start_time_unix_nano=1)
        if attribute_bytes:
            span.attributes.add(key="padding").value.string_value = "x" * attribute_bytes
    return request


@dataclass
class Sender:
    """Sends spans of unique ids over gRPC, several requests at a time, and sorts the answers."""

    endpoint: str
    spans: int = 10
    attribute_bytes: int = 0
    service: str = "e2e"
    acknowledged: list[bytes] = field(default_factory=list)
    refused: Counter[grpc.StatusCode] = field(default_factory=Counter)
    retry_delays: list[float | None] = field(default_factory=list)
    _prefix: bytes = field(default_factory=lambda: secrets.token_bytes(4))
    _numbers: Any = field(default_factory=lambda: itertools.count(1))
    _channel: Any = None

    async def __aenter__(self) -> Self:
        self._channel = grpc.aio.insecure_channel(self.endpoint, options=CHANNEL_OPTIONS)
        self._export = raw(self._channel, EXPORT)
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._channel.close()

    async def send(self) -> bool:
        """Send one request with spans of new ids; return whether it was acknowledged."""
        ids = [self._prefix + next(self._numbers).to_bytes(4, "big") for _ in range(self.spans)]
        payload = traces(ids, self.attribute_bytes, self.service).SerializeToString()
        try:
            await self._export(payload, timeout=20)
        except grpc.aio.AioRpcError as error:
            self.refused[error.code()] += 1
            self.retry_delays.append(retry_delay(error))
            return False
        self.acknowledged += ids
        return True

    async def keep_sending(self, until: asyncio.Event, pause_seconds: float = 0.01) -> None:
        """Send one request after the other until the event is set; what is refused is not sent again."""
        while not until.is_set():
            if not await self.send():
                await asyncio.sleep(pause_seconds)


def retry_delay(error: grpc.aio.AioRpcError) -> float | None:
    """Return the seconds that the RetryInfo of a refusal asks for, or None where it has none."""
    metadata: Iterable[Any] = error.trailing_metadata() or ()
    info = RetryInfo()
    for name, value in metadata:
        if name == DETAILS and isinstance(value, bytes):
            for detail in Status.FromString(value).details:
                if detail.Unpack(info):
                    return float(info.retry_delay.ToNanoseconds()) / 1e9
    return None


def raw(channel: grpc.aio.Channel, method: str) -> "grpc.aio.UnaryUnaryMultiCallable[bytes, bytes]":
    """Return a callable that sends encoded requests to a method and returns the encoded answer."""
    return channel.unary_unary(method, request_serializer=bytes, response_deserializer=bytes)
