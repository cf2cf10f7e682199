"""A small shop's telemetry, and the API of a real store that holds it.

Two hosts; `web` calls `checkout`, which calls `stock`; 40 traces, one every 30 s before NOW, every fourth failed.
"""

import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, KeyValue

from api_serving import KEYS, FakeAuthorizer, Server, serve
from ophion_agent.clock import Clock
from ophion_agent.context import Context
from ophion_agent.self_metrics import SelfMetrics
from ophion_agent.server import PROMQL, STORAGE, Permission, Principal
from ophion_api.telemetry import TelemetryApi
from ophion_storage.store import TelemetryStore
from telemetry_store import ingest, running_store

SECOND = 1_000_000_000
# Whole seconds, some minutes back: nothing in the sample lies in the future.
NOW = (time.time_ns() // (60 * SECOND) - 2) * 60 * SECOND
TRACES = 40
OTHER = Principal("other", "api_key", "other", frozenset({Permission.READ}))


def value_of(value: Any) -> AnyValue:
    """Return a Python value as an AnyValue."""
    match value:
        case bool():
            return AnyValue(bool_value=value)
        case int():
            return AnyValue(int_value=value)
        case float():
            return AnyValue(double_value=value)
        case bytes():
            return AnyValue(bytes_value=value)
        case list():
            found = AnyValue()
            found.array_value.values.extend(map(value_of, value))
            return found
        case dict():
            found = AnyValue()
            found.kvlist_value.values.extend(pairs(value))
            return found
    return AnyValue(string_value=value)


def pairs(attributes: Mapping[str, Any]) -> list[KeyValue]:
    """Return attributes as OTLP has them."""
    return [KeyValue(key=key, value=value_of(value)) for key, value in attributes.items()]


def trace_id(number: int) -> str:
    """Return the id of the sample's n-th trace; 0 is the newest."""
    return f"{number + 1:032x}"


def add_span(
    scope: Any, trace: int, span: int, parent: int, name: str, start: int, milliseconds: float, **more: Any
) -> Any:
    """Add a span; `more` are attributes, and `kind`, `status`, `message`."""
    added = scope.spans.add(name=name, kind=more.pop("kind", 2), trace_id=bytes.fromhex(trace_id(trace)))
    added.span_id = (trace * 100 + span).to_bytes(8, "big")
    if parent:
        added.parent_span_id = (trace * 100 + parent).to_bytes(8, "big")
    added.start_time_unix_nano, added.end_time_unix_nano = start, start + int(milliseconds * 1_000_000)
    added.status.code, added.status.message = more.pop("status", 0), more.pop("message", "")
    added.attributes.extend(pairs(more.pop("attributes", {})))
    return added


def traces_request() -> ExportTraceServiceRequest:
    """Return the sample's spans."""
    request = ExportTraceServiceRequest()
    scopes = {}
    for service, host in (("web", "host-a"), ("checkout", "host-a"), ("stock", "host-b")):
        group = request.resource_spans.add()
        group.resource.attributes.extend(pairs({"service.name": service, "host.name": host, "zone": 7}))
        scopes[service] = group.scope_spans.add()
        scopes[service].scope.name = "shop"
    for n in range(TRACES):
        start = NOW - n * 30 * SECOND
        failed = n % 4 == 0
        status = 500 if failed else 200
        add_span(
            scopes["web"], n, 1, 0, "GET /cart", start, 100 + n,
            attributes={"http.response.status_code": status, "user": f"u{n % 3}", "vip": n == 5, "ratio": n / 8},
        )  # fmt: skip
        add_span(scopes["web"], n, 2, 1, "call checkout", start + 10_000_000, 80, kind=3)
        add_span(
            scopes["checkout"], n, 3, 2, "POST /pay", start + 20_000_000, 60, status=2 if failed else 1,
            message="card refused" if failed else "", attributes={"http.response.status_code": str(status)},
        )  # fmt: skip
        add_span(scopes["stock"], n, 4, 3, "reserve", start + 30_000_000, 20, kind=5)
    rich = scopes["checkout"].spans[0]
    rich.attributes.extend(pairs({"list": [1, "two", "x"], "map": {"a": 1.5}, "raw": b"\x00\xff"}))
    rich.events.add(name="exception", time_unix_nano=NOW + 25_000_000).attributes.extend(
        pairs({"exception.type": "Refused"})
    )
    rich.links.add(trace_id=bytes.fromhex(trace_id(1)), span_id=b"12345678", trace_state="a=b")
    return request


def logs_request() -> ExportLogsServiceRequest:
    """Return 200 log records, one every 5 s before NOW."""
    request = ExportLogsServiceRequest()
    group = request.resource_logs.add()
    group.resource.attributes.extend(pairs({"service.name": "checkout", "host.name": "host-a"}))
    scope = group.scope_logs.add()
    for n in range(200):
        record = scope.log_records.add(time_unix_nano=NOW - n * 5 * SECOND, severity_number=17 if n % 10 == 0 else 9)
        record.body.string_value = (
            f"Payment {n} finished for user-{n % 7}" if n % 10 else f"Connection refused by BANK-{n}"
        )
        record.attributes.extend(pairs({"code": n, "path": f"/pay/{n % 2}", "slow": n % 2 == 0}))
        if n < TRACES:
            record.trace_id = bytes.fromhex(trace_id(n))
            record.span_id = (n * 100 + 3).to_bytes(8, "big")
    odd = scope.log_records.add(time_unix_nano=NOW - 3000 * SECOND, severity_number=13, event_name="audit")
    odd.body.CopyFrom(value_of({"action": "login", "tries": 3}))
    for _ in range(5):
        scope.log_records.add(time_unix_nano=NOW - 3100 * SECOND, severity_number=5).body.string_value = "the same"
    return request


def metrics_request() -> ExportMetricsServiceRequest:
    """Return ten minutes of host metrics of `host-a`, and a histogram with an exemplar."""
    request = ExportMetricsServiceRequest()
    group = request.resource_metrics.add()
    group.resource.attributes.extend(pairs({"host.name": "host-a", "service.name": "agent"}))
    scope = group.scope_metrics.add()
    cpu = scope.metrics.add(name="system.cpu.time", unit="s", description="Processor seconds")
    cpu.sum.is_monotonic, cpu.sum.aggregation_temporality = True, 2
    memory = scope.metrics.add(name="system.memory.usage", unit="By")
    memory.sum.aggregation_temporality = 2
    load = scope.metrics.add(name="system.cpu.load_average.1m", unit="{thread}")
    for n in range(40):
        at = NOW - n * 15 * SECOND
        for state, rate in (("idle", 0.75), ("user", 0.25)):
            point = cpu.sum.data_points.add(time_unix_nano=at, as_double=1000 - n * 15 * rate)
            point.attributes.extend(pairs({"cpu": "cpu0", "state": state}))
        for state, size in (("used", 3000), ("free", 1000)):
            point = memory.sum.data_points.add(time_unix_nano=at, as_int=size)
            point.attributes.extend(pairs({"state": state}))
        load.gauge.data_points.add(time_unix_nano=at, as_double=1.5)
    latency = scope.metrics.add(name="pay.duration", unit="s")
    latency.histogram.aggregation_temporality = 2
    point = latency.histogram.data_points.add(
        time_unix_nano=NOW, count=2, sum=0.3, explicit_bounds=[0.1], bucket_counts=[1, 1]
    )
    point.exemplars.add(
        time_unix_nano=NOW - 5 * SECOND, as_double=0.25, trace_id=bytes.fromhex(trace_id(3)), span_id=b"12345678"
    ).filtered_attributes.extend(pairs({"user": "u1"}))
    return request


@dataclass
class Shop:
    """The API of a store with the sample in it."""

    server: Server
    store: TelemetryStore
    extension: TelemetryApi

    async def get(self, path: str, *, expect: int = 200, key: str = "reader", **query: Any) -> Any:
        """Return the JSON answer to a GET over the whole sample."""
        if path.count("/traces/") == 0 or "histogram" in path:
            query = {"from": str(NOW - 3600 * SECOND), "to": str(NOW + SECOND), **query}
        answer = await self.server.get(
            path,
            key=key,
            params={name: str(text) if not isinstance(text, list) else text for name, text in query.items()},
        )
        assert answer.status == expect, answer.text
        return answer.json()

    async def post(self, path: str, *, expect: int = 200, key: str = "reader", **body: Any) -> Any:
        """Return the JSON answer to a POST over the whole sample."""
        body = {"from": NOW - 3600 * SECOND, "to": NOW + SECOND, **body}
        answer = await self.server.post(path, key=key, json=body)
        assert answer.status == expect, answer.text
        return answer.json()


@asynccontextmanager
async def telemetry_api(
    store: Any, *, clock: Clock | None = None, promql: Any = None, **options: Any
) -> AsyncIterator[TelemetryApi]:
    """Run the extension on a store."""
    context = Context(
        "extension",
        "telemetry_api",
        clock=clock or Clock(),
        metrics=SelfMetrics(),
        services={"store": store, "promql": promql},
        provided={STORAGE.name: "store"},
        gathered={PROMQL.name: ["promql"] if promql is not None else []},
    )
    extension = TelemetryApi(TelemetryApi.config_type.model_validate(options), context)
    await extension.start()
    try:
        yield extension
    finally:
        await extension.stop()
        await context.close()


@asynccontextmanager
async def running_shop(directory: Path, *, promql: Any = None, **options: Any) -> AsyncIterator[Shop]:
    """Run the API on a store that holds the sample."""
    async with running_store(directory) as store:
        await ingest(store, "traces", traces_request().SerializeToString())
        await ingest(store, "logs", logs_request().SerializeToString())
        await ingest(store, "metrics", metrics_request().SerializeToString())
        authorizer = FakeAuthorizer({**KEYS, "other": OTHER})
        async with (
            telemetry_api(store, promql=promql, **options) as extension,
            serve(extension.routes(), authorizer) as server,
        ):
            yield Shop(server, store, extension)
