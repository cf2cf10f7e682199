"""What a small shop sent, and a server with Jaeger's and Loki's APIs on a real telemetry store that holds it.

async with running_shop(tmp_path) as grafana:
    lines = await grafana.lines('{service_name="cart"}')
"""

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import AnyValue

from api_serving import Answer, FakeAgent, Server, serve
from ophion_agent.server import STORAGE, Permission, Principal
from ophion_agent.testing import EPOCH_NS, ManualClock, make_context, make_metrics
from ophion_grafana.extension import GrafanaApis, GrafanaApisConfig
from telemetry_store import ingest, running_store

SECOND = 10**9
START = EPOCH_NS
LINES = 120
NOW = START + LINES * SECOND
TRACE = bytes.fromhex("0af7651916cd43dd8448eb211c80319c")
SHORT_TRACE = (0xABCD).to_bytes(16, "big")
KEYS: Mapping[str, Principal] = {
    "reader": Principal("reader", "api_key", "default", frozenset({Permission.READ})),
    "stranger": Principal("stranger", "api_key", "other", frozenset({Permission.READ})),
}


def put(owner: Any, attributes: Mapping[str, Any]) -> None:
    """Add attributes of the types of their values."""
    for key, value in attributes.items():
        entry = owner.attributes.add(key=key)
        entry.value.CopyFrom(any_value(value))


def any_value(value: Any) -> AnyValue:
    """Return a Python value as an AnyValue."""
    made: Any = AnyValue()
    match value:
        case bool():
            made.bool_value = value
        case int():
            made.int_value = value
        case float():
            made.double_value = value
        case bytes():
            made.bytes_value = value
        case list():
            made.array_value.values.extend(any_value(entry) for entry in value)
        case dict():
            for key, entry in value.items():
                made.kvlist_value.values.add(key=key).value.CopyFrom(any_value(entry))
        case _:
            made.string_value = value
    return made


def shop_logs() -> ExportLogsServiceRequest:
    """Return a line a second of two services: logfmt of `checkout`, JSON of `cart`; every third is an error."""
    request = ExportLogsServiceRequest()
    for service in ("checkout", "cart"):
        group = request.resource_logs.add()
        put(group.resource, {"service.name": service, "k8s.pod.name": f"{service}-1", "process.pid": 7})
        scope = group.scope_logs.add()
        scope.scope.name = "shop"
        for number in range(LINES):
            record = scope.log_records.add(time_unix_nano=START + number * SECOND)
            record.observed_time_unix_nano = record.time_unix_nano + 5
            record.severity_number = 17 if number % 3 == 0 else 9
            record.trace_id, record.span_id = TRACE, bytes([1] * 8)
            record.body.string_value = _line(service, number)
            put(record, {"user.id": f"u{number % 4}", "attempt": number, "cost": 1.5, "cached": number % 2 == 0})
    odd = request.resource_logs.add()
    put(odd.resource, {"host.name": "web-1"})
    record = odd.scope_logs.add().log_records.add(time_unix_nano=START)
    record.body.CopyFrom(any_value({"event": "boot", "steps": [1, 2]}))
    return request


def _line(service: str, number: int) -> str:
    if service == "checkout":
        return f'level=info msg="Payment failed for order {number}" took={number}ms size={number}KB http.status=500'
    return f'{{"status":{200 + number},"req":{{"path":"/p{number}"}},"x-y":"q","ok":true,"list":[{{"n":{number}}}]}}'


def shop_traces() -> ExportTraceServiceRequest:
    """Return one trace through `frontend` and `checkout`, and a small one whose id has leading zeros."""
    request = ExportTraceServiceRequest()
    front = _spans(request, "frontend", {"host.name": "web-1"})
    root = _span(front, TRACE, 1, None, "GET /cart", 2, 0, 900, {"http.status_code": 500, "retry": False})
    root.status.code, root.status.message = 2, "upstream failed"
    root.trace_state = "vendor=1"
    event = root.events.add(name="exception", time_unix_nano=START + SECOND // 2)
    put(event, {"exception.message": "boom"})
    link = root.links.add(trace_id=SHORT_TRACE, span_id=bytes([9] * 8))
    put(link, {"why": "retry"})
    root.links.add(span_id=bytes([8] * 8))
    _span(front, TRACE, 2, 1, "call checkout", 3, 100, 700, {})
    back = _spans(request, "checkout", {"list": [1, "a"], "raw": b"\x00\x01", "big": 2**60, "ratio": 0.5})
    _span(back, TRACE, 3, 2, "charge", 2, 200, 500, {"db.system": "postgres"})
    _span(back, TRACE, 4, 77, "lost", 1, 250, 300, {})
    _span(back, SHORT_TRACE, 5, None, "sweep", 1, 5_000, 6_000, {})
    return request


def _spans(request: ExportTraceServiceRequest, service: str, attributes: Mapping[str, Any]) -> Any:
    group = request.resource_spans.add()
    put(group.resource, {"service.name": service, **attributes})
    scope = group.scope_spans.add()
    scope.scope.name, scope.scope.version = "otel-lib", "1.2"
    return scope


def _span(
    scope: Any, trace: bytes, number: int, parent: int | None, name: str, kind: int, start: int, end: int, tags: Any
) -> Any:
    span = scope.spans.add(trace_id=trace, span_id=bytes([number] * 8), name=name, kind=kind)
    if parent is not None:
        span.parent_span_id = bytes([parent] * 8)
    span.start_time_unix_nano, span.end_time_unix_nano = START + start * 10**6, START + end * 10**6
    put(span, tags)
    return span


@dataclass
class Grafana:
    """Asks the APIs as Grafana does, with an API key."""

    server: Server
    store: Any

    async def ask(self, path: str, key: str = "reader", **parameters: Any) -> Answer:
        """Send a GET request with parameters; `headers` goes beside them."""
        headers = parameters.pop("headers", None)
        return await self.server.get(path, key=key, params=parameters, headers=headers)

    async def loki(self, path: str, **parameters: Any) -> Any:
        """Return what Loki's API answers, over all the lines unless told otherwise."""
        parameters = {"start": str(START), "end": str(NOW), **parameters}
        answer = await self.ask(f"/loki/api/v1/{path}", **parameters)
        assert answer.status == 200, answer.text
        return answer.json()

    async def lines(self, query: str, **parameters: Any) -> list[str]:
        """Return the lines of a query, in the order of time."""
        data = (await self.loki("query_range", query=query, limit=1000, **parameters))["data"]
        return [line for _, line in sorted(value[:2] for stream in data["result"] for value in stream["values"])]

    async def jaeger(self, path: str, **parameters: Any) -> Any:
        """Return what Jaeger's API answers."""
        answer = await self.ask(f"/jaeger/api/{path}", **parameters)
        assert answer.status == 200, answer.text
        return answer.json()


def make_apis(store: Any, **options: Any) -> GrafanaApis:
    """Return the extension on a store, at the time when the last line has come."""
    context = make_context(
        "extension",
        "grafana_apis",
        clock=ManualClock(NOW),
        services={"store": store},
        provided={STORAGE.name: "store"},
        agent=FakeAgent(),
    )
    return GrafanaApis(GrafanaApisConfig.model_validate(options), context)


@asynccontextmanager
async def running_shop(directory: Path, **sources: Any) -> AsyncIterator[Grafana]:
    """Run the server with the shop's telemetry in it; `sources` make further sources of routes from the store."""
    async with running_store(directory) as store:
        await ingest(store, "logs", shop_logs().SerializeToString())
        await ingest(store, "traces", shop_traces().SerializeToString())
        await ingest(store, "metrics", make_metrics(5, name="shop.orders").payload)
        routes = {name: make(store) for name, make in {"grafana": make_apis, **sources}.items()}
        async with serve(routes) as server:
            server.authorizer.keys = KEYS
            yield Grafana(server, store)
