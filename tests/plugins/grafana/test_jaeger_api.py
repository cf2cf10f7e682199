"""Jaeger's HTTP APIs on a real engine: services, operations, searches, traces, dependencies, and errors in its form."""

from typing import Any

import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from grafana_shop import NOW, START, TRACE, Grafana, make_apis
from ophion_agent import otlp_json
from ophion_agent.server import NotFound
from ophion_grafana.jaeger_model import traces_of
from ophion_grafana.jaeger_params import JaegerQuery, dependency_range, search_of, trace_id_of
from ophion_grafana.jaeger_store import Search, TraceReader

pytestmark = pytest.mark.asyncio(loop_scope="module")

TRACE_ID = TRACE.hex()
MICROSECONDS = START // 1000


async def test_lists_services_and_their_operations(grafana: Grafana) -> None:
    assert await grafana.jaeger("services") == {
        "data": ["checkout", "frontend"],
        "total": 2,
        "limit": 0,
        "offset": 0,
        "errors": None,
    }
    assert (await grafana.jaeger("services/checkout/operations"))["data"] == ["charge", "lost", "sweep"]
    assert (await grafana.jaeger("operations", service="frontend"))["data"] == [
        {"name": "GET /cart", "spanKind": "server"},
        {"name": "call checkout", "spanKind": "client"},
    ]
    found = await grafana.jaeger("operations", service="frontend", spanKind="client")
    assert found["data"] == [{"name": "call checkout", "spanKind": "client"}]
    assert (await grafana.jaeger("operations", service="frontend", spanKind="odd"))["data"] == []


async def test_shows_a_trace_in_jaegers_model(grafana: Grafana) -> None:
    answer = await grafana.jaeger(f"traces/{TRACE_ID}")

    assert {name: answer[name] for name in ("total", "limit", "offset", "errors")} == {
        "total": 0,
        "limit": 0,
        "offset": 0,
        "errors": None,
    }
    (trace,) = answer["data"]
    assert trace["traceID"] == TRACE_ID
    assert trace["warnings"] is None
    spans = {span["operationName"]: span for span in trace["spans"]}
    root = spans["GET /cart"]
    assert root["startTime"] == MICROSECONDS
    assert root["duration"] == 900_000
    assert root["references"] == [
        {"refType": "FOLLOWS_FROM", "traceID": "000000000000abcd", "spanID": "0909090909090909"}
    ]
    assert root["warnings"] == ["Invalid span link removed"]
    assert root["tags"] == [
        {"key": "otel.scope.name", "type": "string", "value": "otel-lib"},
        {"key": "otel.scope.version", "type": "string", "value": "1.2"},
        {"key": "http.status_code", "type": "int64", "value": 500},
        {"key": "retry", "type": "bool", "value": False},
        {"key": "span.kind", "type": "string", "value": "server"},
        {"key": "otel.status_code", "type": "string", "value": "ERROR"},
        {"key": "error", "type": "bool", "value": True},
        {"key": "otel.status_description", "type": "string", "value": "upstream failed"},
        {"key": "w3c.tracestate", "type": "string", "value": "vendor=1"},
    ]
    assert root["logs"] == [
        {
            "timestamp": MICROSECONDS + 500_000,
            "fields": [
                {"key": "event", "type": "string", "value": "exception"},
                {"key": "exception.message", "type": "string", "value": "boom"},
            ],
        }
    ]
    assert spans["charge"]["references"] == [{"refType": "CHILD_OF", "traceID": TRACE_ID, "spanID": "0202020202020202"}]
    assert spans["lost"]["warnings"] == [
        "parent span ID=4d4d4d4d4d4d4d4d is not in the trace; skipping clock skew adjustment"
    ]
    assert trace["processes"][spans["charge"]["processID"]] == {
        "serviceName": "checkout",
        "tags": [
            {"key": "big", "type": "int64", "value": str(2**60)},
            {"key": "list", "type": "string", "value": '[1,"a"]'},
            {"key": "ratio", "type": "float64", "value": 0.5},
            {"key": "raw", "type": "binary", "value": "AAE="},
        ],
    }


@pytest.mark.parametrize("text", ["abcd", "ABCD", "000000000000abcd", "0000000000000000000000000000abcd"])
async def test_finds_a_trace_without_the_leading_zeros_of_its_id(grafana: Grafana, text: str) -> None:
    (trace,) = (await grafana.jaeger(f"traces/{text}"))["data"]

    assert trace["traceID"] == "000000000000abcd"


async def test_finds_a_trace_whatever_times_come_along(grafana: Grafana) -> None:
    assert (await grafana.jaeger(f"traces/{TRACE_ID}", start="1", end="2"))["data"]


@pytest.mark.parametrize(
    ("parameters", "found"),
    [
        ({"service": "checkout"}, ["000000000000abcd", TRACE_ID]),
        ({"service": "frontend"}, [TRACE_ID]),
        ({"service": "checkout", "operation": "charge"}, [TRACE_ID]),
        ({"service": "checkout", "limit": "1"}, ["000000000000abcd"]),
        ({"service": "checkout", "minDuration": "900ms"}, ["000000000000abcd"]),
        ({"service": "checkout", "maxDuration": "0.3s"}, [TRACE_ID]),
        ({"service": "checkout", "tags": '{"db.system":"postgres"}'}, [TRACE_ID]),
        ({"service": "checkout", "tag": "db.system:postgres"}, [TRACE_ID]),
        ({"service": "checkout", "tags": '{"db.system":"mysql"}'}, []),
        ({"service": "frontend", "tags": '{"http.status_code":"500","error":"true"}'}, [TRACE_ID]),
        ({"service": "frontend", "tags": '{"retry":"false"}'}, [TRACE_ID]),
        ({"service": "frontend", "tags": '{"host.name":"web-1"}'}, [TRACE_ID]),
        ({"service": "frontend", "tags": '{"exception.message":"boom"}'}, [TRACE_ID]),
        ({"service": "frontend", "tags": '{"span.kind":"client"}'}, [TRACE_ID]),
        ({"service": "frontend", "tags": '{"span.kind":"producer"}'}, []),
        ({"service": "frontend", "tags": '{"otel.status_code":"ERROR"}'}, [TRACE_ID]),
        ({"service": "frontend", "tags": '{"otel.status_description":"upstream failed"}'}, [TRACE_ID]),
        ({"service": "frontend", "tags": '{"w3c.tracestate":"vendor=1"}'}, [TRACE_ID]),
        ({"service": "frontend", "tags": '{"otel.scope.name":"otel-lib"}'}, [TRACE_ID]),
        ({"service": "checkout", "tags": '{"error":"true"}'}, []),
        ({"service": "checkout", "start": str(MICROSECONDS + 1_000_000)}, ["000000000000abcd"]),
        ({"service": "checkout", "end": str(MICROSECONDS + 1_000_000)}, [TRACE_ID]),
        ({"service": "checkout", "lookback": "1m"}, []),
        ({"service": "checkout", "lookback": "2d"}, ["000000000000abcd", TRACE_ID]),
        ({"service": "nobody"}, []),
        ({"traceID": [TRACE_ID, "abcd"]}, [TRACE_ID, "000000000000abcd"]),
    ],
)
async def test_searches_traces(grafana: Grafana, parameters: dict[str, Any], found: list[str]) -> None:
    traces = (await grafana.jaeger("traces", **parameters))["data"]

    assert [trace["traceID"] for trace in traces] == found


async def test_tells_which_of_the_traces_asked_for_there_are_not(grafana: Grafana) -> None:
    answer = await grafana.jaeger("traces", traceID=["abcd", "ff"])

    assert [trace["traceID"] for trace in answer["data"]] == ["000000000000abcd"]
    assert answer["errors"] == [{"msg": "trace not found", "traceID": "00000000000000ff"}]


async def test_tells_who_calls_whom(grafana: Grafana) -> None:
    link = {"parent": "frontend", "child": "checkout", "callCount": 1}
    now = str(NOW // 10**6)

    assert (await grafana.jaeger("dependencies", endTs=now, lookback="3600000"))["data"] == [link]
    assert (await grafana.jaeger("dependencies"))["data"] == [link]
    assert (await grafana.jaeger("dependencies", service="checkout"))["data"] == [link]
    assert (await grafana.jaeger("dependencies", service="other"))["data"] == []
    assert (await grafana.jaeger("dependencies", endTs=now, lookback="1000"))["data"] == []


@pytest.mark.parametrize(
    ("path", "parameters", "code", "message"),
    [
        ("traces", {}, 400, "parameter 'service' is required"),
        ("operations", {}, 400, "parameter 'service' is required"),
        ("traces/xyz", {}, 400, "cannot parse traceID param: 'xyz' must be 1 to 32 hexadecimal digits"),
        ("traces/ff", {}, 404, "trace not found"),
        ("traces", {"service": "a", "start": "x"}, 400, "unable to parse param 'start': 'x' is no number"),
        ("traces", {"service": "a", "limit": "-1"}, 400, "unable to parse param 'limit': '-1' is no number"),
        (
            "traces",
            {"service": "a", "minDuration": "5"},
            400,
            "unable to parse param 'minDuration': must be a duration with a unit, got 5; write 5s",
        ),
        (
            "traces",
            {"service": "a", "minDuration": "-5s"},
            400,
            "unable to parse param 'minDuration': must not be negative, got '-5s'",
        ),
        (
            "traces",
            {"service": "a", "minDuration": "5s", "maxDuration": "1s"},
            400,
            "'maxDuration' should be greater than 'minDuration'",
        ),
        (
            "traces",
            {"service": "a", "tags": "x"},
            400,
            "malformed 'tags' parameter, expecting a JSON object whose values are strings",
        ),
        (
            "traces",
            {"service": "a", "tag": "x"},
            400,
            "malformed 'tag' parameter, expecting key:value, received: x",
        ),
        ("dependencies", {"endTs": "x"}, 400, "unable to parse param 'endTs': 'x' is no number"),
    ],
)
async def test_says_what_is_wrong_in_jaegers_form(
    grafana: Grafana, path: str, parameters: dict[str, str], code: int, message: str
) -> None:
    answer = await grafana.ask(f"/jaeger/api/{path}", **parameters)

    assert answer.status == code
    assert answer.json() == {
        "data": None,
        "total": 0,
        "limit": 0,
        "offset": 0,
        "errors": [{"code": code, "msg": message}],
    }


async def test_refuses_callers_in_jaegers_form(grafana: Grafana) -> None:
    answer = await grafana.ask("/jaeger/api/services", key="")

    assert answer.status == 401
    assert answer.json()["errors"][0]["code"] == 401


async def test_shows_nobody_the_traces_of_another_tenant(grafana: Grafana) -> None:
    assert (await grafana.ask("/jaeger/api/services", key="stranger")).json()["data"] == []
    assert (await grafana.ask(f"/jaeger/api/traces/{TRACE_ID}", key="stranger")).status == 404
    assert (await grafana.ask("/jaeger/api/traces?service=checkout", key="stranger")).json()["data"] == []
    assert (await grafana.ask("/jaeger/api/dependencies", key="stranger")).json()["data"] == []
    assert (await grafana.ask(f"/jaeger/api/v3/traces/{TRACE_ID}", key="stranger")).status == 404


async def test_serves_api_v3(grafana: Grafana) -> None:
    assert await grafana.jaeger("v3/services") == {"services": ["checkout", "frontend"]}
    assert (await grafana.jaeger("v3/operations", service="checkout", span_kind="server"))["operations"] == [
        {"name": "charge", "spanKind": "server"}
    ]
    result = (await grafana.jaeger("v3/traces/abcd"))["result"]
    (span,) = result["resourceSpans"][0]["scopeSpans"][0]["spans"]
    assert (span["traceId"], span["name"]) == ("0000000000000000000000000000abcd", "sweep")


@pytest.mark.parametrize("style", ["query.{}Name", "query.{}_name"])
async def test_searches_by_api_v3(grafana: Grafana, style: str) -> None:
    parameters = {
        style.format("service"): "frontend",
        style.format("operation"): "GET /cart",
        "query.attributes": '{"http.status_code":"500"}',
        "query.duration_min": "100ms",
        "query.start_time_min": "2023-11-14T22:13:20.000000000Z",
        "query.start_time_max": "2023-11-14T23:15:20+01:00",
    }
    result = (await grafana.jaeger("v3/traces", **parameters))["result"]

    names = [span["name"] for group in result["resourceSpans"] for span in group["scopeSpans"][0]["spans"]]
    assert sorted(names) == ["GET /cart", "call checkout", "charge", "lost"]


@pytest.mark.parametrize(
    ("parameters", "code", "message"),
    [
        ({}, 400, "query.startTimeMin and query.startTimeMax are required"),
        (
            {"query.startTimeMin": "x", "query.startTimeMax": "y"},
            400,
            "malformed parameter query.startTimeMin: 'x' is no RFC 3339 time",
        ),
        (
            {"query.startTimeMin": "2024-01-01T00:00:00Z", "query.startTimeMax": "2023-01-01T00:00:00Z"},
            400,
            "query.startTimeMin must be before query.startTimeMax",
        ),
        (
            {"query.startTimeMin": "2022-01-01T00:00:00Z", "query.startTimeMax": "2023-01-01T00:00:00Z"},
            404,
            "No traces found",
        ),
    ],
)
async def test_says_what_is_wrong_in_the_form_of_api_v3(
    grafana: Grafana, parameters: dict[str, str], code: int, message: str
) -> None:
    answer = await grafana.ask("/jaeger/api/v3/traces", **parameters)

    assert answer.status == code
    assert answer.json() == {"error": {"httpCode": code, "message": message}}


async def test_cuts_a_trace_that_is_too_long_and_says_so(grafana: Grafana) -> None:
    request = await TraceReader(grafana.store, "default", 0, 2).traces([TRACE_ID])
    (trace,) = traces_of(request, 2)

    assert len(trace["spans"]) == 2
    assert trace["warnings"] == ["only the first 2 spans are shown; raise `max_spans` of grafana_apis to see more"]


async def test_reads_nothing_for_ids_that_are_not_known(grafana: Grafana) -> None:
    request = await TraceReader(grafana.store, "default", 0, 10).traces(["00" * 16])

    assert list(request.resource_spans) == []


async def test_joins_a_sample_of_the_traces_where_there_are_too_many(grafana: Grafana) -> None:
    class Busy:
        asked: list[str] = []

        async def query(self, sql: str, parameters: Any, *, tenant: str) -> Any:
            self.asked.append(sql)
            result = await grafana.store.query(sql, parameters, tenant=tenant)
            return {"spans": [5_000_000]} if "sum(spans)" in sql else result

    reader = TraceReader(Busy(), "default", 0, 10)  # type: ignore[arg-type]
    found = await reader.dependencies(START, NOW)

    assert "cityHash64(trace_id) % 3 = 0" in Busy.asked[-1]
    assert found in ([], [{"parent": "frontend", "child": "checkout", "callCount": 3}])


async def test_names_a_service_without_a_name_as_jaeger_does() -> None:
    request = ExportTraceServiceRequest()
    request.resource_spans.add().scope_spans.add().spans.add(trace_id=b"\x01" * 16, span_id=b"\x02" * 8)
    (trace,) = traces_of(request)

    assert trace["processes"] == {"p1": {"serviceName": "missing-service-name", "tags": []}}


async def test_shares_a_process_among_equal_resources_and_warns_of_ids_used_twice() -> None:
    request = ExportTraceServiceRequest()
    for _ in range(2):
        request.resource_spans.add().scope_spans.add().spans.add(trace_id=b"\x01" * 16, span_id=b"\x02" * 8)
    (trace,) = traces_of(request)

    assert list(trace["processes"]) == ["p1"]
    assert [span["warnings"] for span in trace["spans"]] == [
        None,
        ["duplicate span IDs; skipping clock skew adjustment"],
    ]


async def test_takes_the_kind_of_a_reference_to_the_parent_from_its_link() -> None:
    document = b"""{"resourceSpans":[{"scopeSpans":[{"spans":[{
        "traceId":"01010101010101010101010101010101","spanId":"0202020202020202","parentSpanId":"0303030303030303",
        "links":[{"traceId":"01010101010101010101010101010101","spanId":"0303030303030303"},
                 {"traceId":"05050505050505050505050505050505","spanId":"0404040404040404",
                  "attributes":[{"key":"opentracing.ref_type","value":{"stringValue":"child_of"}}]}]}]}]}]}"""
    (trace,) = traces_of(otlp_json.decode(document, ExportTraceServiceRequest))

    assert [(one["refType"], one["spanID"]) for one in trace["spans"][0]["references"]] == [
        ("FOLLOWS_FROM", "0303030303030303"),
        ("CHILD_OF", "0404040404040404"),
    ]


async def test_reads_the_defaults_of_a_search() -> None:
    search = search_of(JaegerQuery(service="a"), NOW, 10)

    assert search == Search(NOW - 48 * 3600 * 10**9, NOW, "a", limit=10)
    assert dependency_range(JaegerQuery(), NOW) == (NOW - 24 * 3600 * 10**9, NOW)


async def test_takes_a_trace_id_in_base64() -> None:
    assert trace_id_of("CvdlGRbNQ92ESOshHIAxnA==") == TRACE_ID
    assert trace_id_of("CvdlGRbNQ92ESOshHIAxnA") == TRACE_ID


async def test_forgets_services_without_new_spans(grafana: Grafana) -> None:
    assert await TraceReader(grafana.store, "default", 2**32 - 1, 10).services() == []


async def test_leaves_out_traces_beyond_what_it_may_return(grafana: Grafana) -> None:
    routes = {route.path: route for route in make_apis(grafana.store, max_traces=1).routes() if route.method == "GET"}
    call: Any = type("Call", (), {"query": JaegerQuery(service="checkout", limit="50"), "tenant": "default"})()
    reply = await routes["/jaeger/api/traces"].handler(call)

    assert reply.body.count(b'"processes"') == 1
    with pytest.raises(NotFound):
        await routes["/jaeger/api/traces/{trace_id}"].handler(
            type("Call", (), {"path": {"trace_id": "1"}, "tenant": "default"})()
        )
