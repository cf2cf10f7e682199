"""An OTLP/gRPC destination in the test's own process: it remembers what arrives and answers as the test tells it."""

import asyncio
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any, Self

import grpc
import grpc.aio
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from agent_process import free_port

SERVICES: dict[str, Any] = {
    "opentelemetry.proto.collector.trace.v1.TraceService": ExportTraceServiceRequest,
    "opentelemetry.proto.collector.metrics.v1.MetricsService": ExportMetricsServiceRequest,
    "opentelemetry.proto.collector.logs.v1.LogsService": ExportLogsServiceRequest,
}
UNLIMITED = [("grpc.so_reuseport", 0), ("grpc.max_receive_message_length", -1)]


@dataclass
class Backend:
    """`refusal` is the status that requests are refused with; while `gate` is cleared, requests wait.

    `span_ids` says how often each span arrived.
    """

    requests: list[Any] = field(default_factory=list)
    span_ids: Counter[bytes] = field(default_factory=Counter)
    metadata: list[dict[str, Any]] = field(default_factory=list)
    refusal: grpc.StatusCode | None = None
    refused: int = 0
    port: int = 0
    gate: asyncio.Event = field(default_factory=asyncio.Event)
    _server: Any = None

    async def __aenter__(self) -> Self:
        self.gate.set()
        await self.open()
        return self

    async def __aexit__(self, *_: object) -> None:
        self.gate.set()
        await self.close()

    async def open(self) -> None:
        """Listen; on the same port as before when it was closed."""
        server = grpc.aio.server(options=UNLIMITED)
        for service, request_type in SERVICES.items():
            handler = grpc.unary_unary_rpc_method_handler(
                self._export, request_deserializer=request_type.FromString, response_serializer=lambda reply: reply
            )
            server.add_generic_rpc_handlers([grpc.method_handlers_generic_handler(service, {"Export": handler})])
        self.port = self.port or free_port()
        assert server.add_insecure_port(self.endpoint) == self.port
        await server.start()
        self._server = server

    async def close(self) -> None:
        """Stop listening and break every connection."""
        server, self._server = self._server, None
        if server is not None:
            await server.stop(0)

    @property
    def endpoint(self) -> str:
        """Where it listens, as host:port."""
        return f"127.0.0.1:{self.port}"

    async def _export(self, request: Any, context: "grpc.aio.ServicerContext[Any, Any]") -> bytes:
        await self.gate.wait()
        if self.refusal is not None:
            self.refused += 1
            await context.abort(self.refusal, "refused by the test")
        self.requests.append(request)
        self.metadata.append(dict(context.invocation_metadata() or ()))
        self.span_ids.update(span.span_id for span in spans_of(request))
        return b""

    def spans(self) -> list[Any]:
        """Return every span that arrived."""
        return [span for request in self.requests for span in spans_of(request)]

    def missing(self, span_ids: Iterable[bytes]) -> set[bytes]:
        """Return those of the given ids that did not arrive."""
        return set(span_ids) - self.span_ids.keys()


def spans_of(request: Any) -> Iterator[Any]:
    """Iterate over the spans of a trace request; other requests have none."""
    for group in getattr(request, "resource_spans", ()):
        for scope in group.scope_spans:
            yield from scope.spans
