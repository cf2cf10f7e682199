"""Whatever OTLP can carry comes back as it was sent."""

import asyncio
from collections import Counter
from collections.abc import Iterator
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import pytest
from hypothesis import Phase, given, settings
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from ophion_storage.store import TelemetryStore
from strategies import messages
from telemetry_store import ingest, running_store


def _encoded(message: Any) -> bytes:
    encoded: bytes = message.SerializeToString(deterministic=True)
    return encoded


def _origin(group: Any, scope: Any) -> tuple[bytes, str, bytes, str]:
    return (_encoded(group.resource), group.schema_url, _encoded(scope.scope), scope.schema_url)


def spans_of(request: Any) -> Iterator[tuple[Any, ...]]:
    for group in request.resource_spans:
        for scope in group.scope_spans:
            yield from ((*_origin(group, scope), _encoded(span)) for span in scope.spans)


def records_of(request: Any) -> Iterator[tuple[Any, ...]]:
    for group in request.resource_logs:
        for scope in group.scope_logs:
            yield from ((*_origin(group, scope), _encoded(record)) for record in scope.log_records)


def points_of(request: Any) -> Iterator[tuple[Any, ...]]:
    for group in request.resource_metrics:
        for scope in group.scope_metrics:
            for metric in scope.metrics:
                kind = metric.WhichOneof("data")
                if kind is None:
                    continue
                described = type(metric)()
                described.CopyFrom(metric)
                del getattr(described, kind).data_points[:]
                for point in getattr(metric, kind).data_points:
                    yield (*_origin(group, scope), _encoded(described), _encoded(point))


def canonical(message: Any) -> Any:
    """Return a message without what means nothing on the wire: sub-messages that are there and hold nothing.

    An attribute without a value and one with an empty value are the same to every reader of OTLP. `key_strindex`
    belongs to profiles: "must not be used outside of" them, says common.proto.
    """
    if message.DESCRIPTOR.name == "KeyValue":
        message.ClearField("key_strindex")
    for field, value in list(message.ListFields()):
        if field.message_type is None:
            continue
        if field.is_repeated:
            for entry in value:
                canonical(entry)
        else:
            canonical(value)
            if not value.ListFields() and field.containing_oneof is None:
                message.ClearField(field.name)
    return message


CASES = [
    pytest.param("traces", ExportTraceServiceRequest, spans_of, ("spans",), id="traces"),
    pytest.param("logs", ExportLogsServiceRequest, records_of, ("logs",), id="logs"),
    pytest.param(
        "metrics",
        ExportMetricsServiceRequest,
        points_of,
        ("samples", "histograms", "exponential_histograms", "summaries", "exemplars"),
        id="metrics",
    ),
]


@pytest.mark.parametrize(("signal", "request_type", "items", "tables"), CASES)
def test_returns_what_was_sent(
    tmp_path: Path, signal: str, request_type: Any, items: Any, tables: tuple[str, ...]
) -> None:
    async def round_trip(store: TelemetryStore, request: Any) -> Any:
        for table in tables:
            await store.engine.execute(f"TRUNCATE TABLE {table}", database="ophion_default")
        await ingest(store, signal, request.SerializeToString())
        return await store.read(signal, "1", tenant="default")

    with asyncio.Runner() as runner:
        stack = AsyncExitStack()
        store = runner.run(stack.enter_async_context(running_store(tmp_path)))
        runner.run(store.query("SELECT 1", tenant="default"))

        @settings(max_examples=40, deadline=None, phases=[Phase.generate])
        @given(messages(request_type))
        def check(request: Any) -> None:
            returned = runner.run(round_trip(store, request))

            assert Counter(items(canonical(returned))) == Counter(items(canonical(request)))

        try:
            check()
        finally:
            runner.run(stack.aclose())
