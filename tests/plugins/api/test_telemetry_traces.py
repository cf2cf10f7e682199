"""Traces over HTTP, on a real store."""

import json
from collections.abc import AsyncIterator
from typing import Any

import pytest
import pytest_asyncio
from google.protobuf.json_format import Parse
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from ophion_api.sql_parts import Binder
from ophion_api.time_ranges import TimeRange
from ophion_api.traces_search import within_any
from telemetry_sample import NOW, SECOND, TRACES, Shop, running_shop, trace_id
from telemetry_store import ingest

pytestmark = pytest.mark.asyncio(loop_scope="module")
ALL = range(TRACES)
EXISTS = {"attribute": "a", "op": "exists"}


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def shop(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Shop]:
    async with running_shop(tmp_path_factory.mktemp("traces"), trace_max_spans=50) as running:
        yield running


def numbers(answer: Any) -> list[int]:
    """Return the numbers of the traces of a page."""
    return [int(trace["trace_id"], 16) - 1 for trace in answer["traces"]]


async def test_summarises_the_newest_traces(shop: Shop) -> None:
    answer = await shop.get("/api/traces", limit=2)
    newest, second = answer["traces"]
    assert newest.pop("start").endswith(":00.000000000Z")
    assert newest.pop("matched").endswith(":00.030000000Z")
    assert newest == {
        "trace_id": trace_id(0),
        "service": "web",
        "operation": "GET /cart",
        "has_root": True,
        "duration_ms": 100.0,
        "spans": 4,
        "errors": 1,
        "services": [
            {"name": "web", "spans": 2, "errors": 0},
            {"name": "checkout", "spans": 1, "errors": 1},
            {"name": "stock", "spans": 1, "errors": 0},
        ],
    }
    assert (second["trace_id"], second["errors"]) == (trace_id(1), 0)


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ({}, lambda n: True),
        ({"service": "stock"}, lambda n: True),
        ({"service": "nobody"}, lambda n: False),
        ({"service": "web", "operation": "reserve"}, lambda n: False),
        ({"service": ["web", "stock"], "operation": ["reserve", "no such"]}, lambda n: True),
        ({"service": ["nobody", "checkout"], "status": ["error", "unset"]}, lambda n: n % 4 == 0),
        ({"kind": ["producer", "internal"]}, lambda n: False),
        ({"operation": "reserve", "kind": "consumer"}, lambda n: True),
        ({"status": "error"}, lambda n: n % 4 == 0),
        ({"status": "ok"}, lambda n: n % 4),
        ({"min_duration": "120ms"}, lambda n: n >= 20),
        ({"min_duration": "110ms", "max_duration": "0.115s"}, lambda n: 10 <= n <= 15),
        ({"root": "true", "max_duration": "101ms"}, lambda n: n <= 1),
        ({"attr": "user=u1"}, lambda n: n % 3 == 1),
        ({"attr": "user!=u1"}, lambda n: n % 3 != 1),
        ({"attr": ["user=u1", "http.response.status_code=500"]}, lambda n: n % 3 == 1 and n % 4 == 0),
        ({"attr": "http.response.status_code=500"}, lambda n: n % 4 == 0),
        ({"attr": "http.response.status_code>=500", "service": "web"}, lambda n: n % 4 == 0),
        ({"attr": "http.response.status_code>=500", "service": "checkout"}, lambda n: n % 4 == 0),
        ({"attr": "http.response.status_code<300", "service": "checkout"}, lambda n: n % 4),
        ({"attr": "vip=true"}, lambda n: n == 5),
        ({"attr": "ratio=0.5"}, lambda n: n == 4),
        ({"attr": "ratio=1"}, lambda n: n == 8),
        ({"attr": "ratio>4.5"}, lambda n: n > 36),
        ({"attr": "user=~^u[12]$"}, lambda n: n % 3),
        ({"attr": "list"}, lambda n: n == 0),
        ({"attr": "host.name=host-b"}, lambda n: True),
        ({"attr": "host.name=host-b", "service": "web"}, lambda n: False),
        ({"attr": "resource.zone=7"}, lambda n: True),
        ({"attr": "span.zone=7"}, lambda n: False),
        ({"attr": "resource.zone>7"}, lambda n: False),
        ({"log_text": "bank-20"}, lambda n: n == 20),
        ({"log_text": "refused code<15", "status": "error"}, lambda n: n == 0),
    ],
)
async def test_finds_what_is_asked_for(shop: Shop, query: dict[str, Any], expected: Any) -> None:
    assert numbers(await shop.get("/api/traces", limit=500, **query)) == [n for n in ALL if expected(n)]


@pytest.mark.parametrize(
    ("where", "expected"),
    [
        ({"attribute": "user", "value": "u1"}, lambda n: n % 3 == 1),
        ({"attribute": "vip", "value": True}, lambda n: n == 5),
        ({"attribute": "zone", "scope": "resource", "op": "<", "value": 7.5}, lambda n: True),
        ({"attribute": "user", "scope": "resource", "op": "exists"}, lambda n: False),
        (
            {"any": [{"attribute": "user", "value": "u1"}, {"attribute": "vip", "value": True}]},
            lambda n: n % 3 == 1 or n == 5,
        ),
        (
            {"all": [{"field": "operation", "value": "GET /cart"}], "not": {"attribute": "user", "value": "u1"}},
            lambda n: n % 3 != 1,
        ),
        (
            {"all": [{"field": "status", "value": "error"}, {"field": "service", "op": "=~", "value": "^check"}]},
            lambda n: n % 4 == 0,
        ),
        ({"all": [{"field": "duration", "op": ">", "value": "138ms"}]}, lambda n: n == 39),
        ({"field": "kind", "op": "!=", "value": "server"}, lambda n: True),
        ({"field": "status_message", "op": "exists"}, lambda n: n % 4 == 0),
        ({"any": [{"all": [{"not": {"field": "status", "op": "!=", "value": "error"}}]}]}, lambda n: n % 4 == 0),
    ],
)
async def test_finds_what_groups_ask_for(shop: Shop, where: dict[str, Any], expected: Any) -> None:
    answer = await shop.post("/api/traces/search", where=where, limit=500)
    assert numbers(answer) == [n for n in ALL if expected(n)]


@pytest.mark.parametrize("sort", ["newest", "longest"])
@pytest.mark.parametrize("more", [{}, {"status": ["error"]}, {"service": ["web"]}])
async def test_pages_hold_every_trace_once_and_in_order(shop: Shop, sort: str, more: dict[str, str]) -> None:
    seen: list[int] = []
    cursor: dict[str, str] = {}
    while True:
        page = await shop.post("/api/traces/search", sort=sort, limit=7, **more, **cursor)
        seen += numbers(page)
        if page["next_cursor"] is None:
            break
        cursor = {"cursor": page["next_cursor"]}
    expected = [n for n in ALL if "status" not in more or n % 4 == 0]
    # Failed spans all take 60 ms: then the ids decide.
    assert seen == (expected[::-1] if sort == "longest" and "status" not in more else expected)


async def test_trace_that_matches_in_several_windows_is_shown_once(shop: Shop) -> None:
    request = ExportTraceServiceRequest()
    group = request.resource_spans.add()
    group.resource.attributes.add(key="service.name").value.string_value = "slow"
    scope = group.scope_spans.add()
    for trace in range(6):
        for minute in range(0, 200, 20):
            span = scope.spans.add(
                name="tick", trace_id=bytes([9] * 15 + [trace]), span_id=bytes([1] * 6 + [trace, minute])
            )
            span.start_time_unix_nano = NOW - minute * 60 * SECOND - trace * SECOND
            span.end_time_unix_nano = span.start_time_unix_nano + (trace + 1) * minute * 1_000_000
    await ingest(shop.store, "traces", request.SerializeToString())
    for sort, expected in (("newest", [0, 1, 2, 3, 4, 5]), ("longest", [5, 4, 3, 2, 1, 0])):
        seen: list[int] = []
        cursor: dict[str, str] = {}
        while True:
            body = {"from": NOW - 86400 * SECOND, "service": ["slow"], "sort": sort, "limit": 2, **cursor}
            page = await shop.post("/api/traces/search", **body)
            seen += [int(trace["trace_id"][-2:], 16) for trace in page["traces"]]
            assert {trace["spans"] for trace in page["traces"]} == {10}
            if page["next_cursor"] is None:
                break
            cursor = {"cursor": page["next_cursor"]}
        assert seen == expected


async def test_shows_a_whole_trace(shop: Shop) -> None:
    trace = await shop.get(f"/api/traces/{trace_id(0)}")
    assert (trace["duration_ms"], trace["errors"], trace["truncated"]) == (100.0, 1, False)
    root, call, pay, reserve = trace["spans"]
    assert [span["offset_ms"] for span in trace["spans"]] == [0.0, 10.0, 20.0, 30.0]
    assert (root["kind"], root["status"], root["parent_span_id"]) == ("server", "unset", "")
    assert root["attributes"] == {"http.response.status_code": 500, "user": "u0", "vip": False, "ratio": 0.0}
    assert (pay["status"], pay["status_message"], pay["service"]) == ("error", "card refused", "checkout")
    assert pay["attributes"] == {
        "http.response.status_code": "500",
        "list": [1, "two", "x"],
        "map": {"a": 1.5},
        "raw": {"base64": "AP8="},
    }
    assert pay["events"] == [{"name": "exception", "offset_ms": 25.0, "attributes": {"exception.type": "Refused"}}]
    assert pay["links"] == [
        {"trace_id": trace_id(1), "span_id": b"12345678".hex(), "trace_state": "a=b", "attributes": {}}
    ]
    assert [span["self_ms"] for span in (root, call, pay, reserve)] == [20.0, 20.0, 40.0, 20.0]
    assert [span["critical_ms"] for span in (root, call, pay, reserve)] == [20.0, 20.0, 40.0, 20.0]
    assert trace["critical_path"] == [span["span_id"] for span in trace["spans"]]
    assert len(trace["resources"]) == 3
    assert trace["resources"][pay["resource"]]["attributes"]["host.name"] == "host-a"
    assert [scope["name"] for scope in trace["scopes"]] == ["shop"]
    assert trace["links"]["logs"] == f"/api/traces/{trace_id(0)}/logs"


async def test_shows_a_trace_as_otlp(shop: Shop) -> None:
    answer = await shop.server.get(f"/api/traces/{trace_id(2).upper()}?format=otlp", key="reader")
    assert answer.headers["Content-Type"] == "application/json"
    document = json.loads(answer.body)
    spans = [span for group in document["resourceSpans"] for scope in group["scopeSpans"] for span in scope["spans"]]
    assert {span["traceId"] for span in spans} == {trace_id(2)}
    assert sorted(span["name"] for span in spans) == ["GET /cart", "POST /pay", "call checkout", "reserve"]
    assert Parse("{}", ExportTraceServiceRequest()) is not None


async def test_cuts_a_trace_with_too_many_spans(shop: Shop) -> None:
    request = ExportTraceServiceRequest()
    scope = request.resource_spans.add().scope_spans.add()
    for n in range(60):
        span = scope.spans.add(name=f"s{n}", trace_id=b"\x77" * 16, span_id=n.to_bytes(8, "big"))
        span.start_time_unix_nano = span.end_time_unix_nano = NOW - 7200 * SECOND + n
    await ingest(shop.store, "traces", request.SerializeToString())
    trace = await shop.get(f"/api/traces/{'77' * 16}")
    assert trace["truncated"] is True
    assert [span["name"] for span in trace["spans"]] == [f"s{n}" for n in range(50)]


async def test_links_a_trace_to_logs_and_hosts(shop: Shop) -> None:
    logs = await shop.get(f"/api/traces/{trace_id(20)}/logs")
    assert [log["body"] for log in logs["logs"]] == ["Connection refused by BANK-20"]
    assert (await shop.get(f"/api/traces/{trace_id(20)}/logs", query="-refused"))["logs"] == []
    hosts = (await shop.get(f"/api/traces/{trace_id(20)}/hosts"))["hosts"]
    assert [(host["name"], host["services"], host["spans"]) for host in hosts] == [
        ("host-a", ["checkout", "web"], 3),
        ("host-b", ["stock"], 1),
    ]


@pytest.mark.parametrize("path", ["", "/logs", "/hosts"])
async def test_says_when_there_is_no_such_trace(shop: Shop, path: str) -> None:
    missing = await shop.get(f"/api/traces/{'ab' * 16}{path}", expect=404)
    assert missing["detail"] == f"there is no trace {'ab' * 16}; it may be older than the retention"
    wrong = await shop.get(f"/api/traces/nonsense{path}", expect=422)
    assert wrong["detail"] == 'traceId: must be 32 hexadecimal digits, got "nonsense"'
    assert (await shop.get(f"/api/traces/{trace_id(0)}{path}", expect=404, key="other"))["status"] == 404


@pytest.mark.parametrize(
    ("query", "reason"),
    [
        ({"attr": "=x"}, 'attr: must be key=value, key!=value, key>5, key=~regex or key, got "=x"'),
        ({"attr": "a!b"}, 'attr: must be key=value, key!=value, key>5, key=~regex or key, got "a!b"'),
        ({"attr": "a=~["}, '"[" is no RE2 expression: missing ]: ['),
        ({"attr": "a>x"}, 'a >: must be compared with a number, got "x"'),
        ({"min_duration": "fast"}, 'min_duration: must be a duration such as 200ms, 5s or 1m30s, got "fast"'),
        ({"cursor": "x"}, "cursor: does not belong to this search; begin again without it"),
        ({"attr": "a=" + "x" * 4001}, "a text of 4001 characters is too long; 4000 are the most"),
    ],
)
async def test_refuses_what_cannot_be_asked(shop: Shop, query: dict[str, str], reason: str) -> None:
    assert (await shop.get("/api/traces", expect=422, **query))["detail"] == reason


@pytest.mark.parametrize(
    ("where", "reason"),
    [
        ({"attribute": "a", "field": "kind", "value": 1}, "needs either `attribute` or `field`"),
        ({"attribute": "a"}, "needs a `value` for ="),
        ({"field": "kind", "value": "sever"}, 'kind: takes = or != and a name, got = "sever"; did you mean "server"?'),
        ({"field": "status", "op": ">", "value": "ok"}, 'status: takes = or != and a name, got > "ok"; did you mean'),
        ({"field": "duration", "op": "=~", "value": "1"}, "duration =~: cannot be used; use one of = != > >= < <="),
        ({"all": [EXISTS] * 50, "any": [{"all": [EXISTS] * 50}]},
         "where: may have 100 conditions, 10 deep; ask for less at once"),
    ],
)  # fmt: skip
async def test_refuses_conditions(shop: Shop, where: dict[str, Any], reason: str) -> None:
    assert reason in json.dumps(await shop.post("/api/traces/search", expect=422, where=where)).replace('\\"', '"')


async def test_refuses_deep_groups(shop: Shop) -> None:
    where: dict[str, Any] = {"attribute": "a", "op": "exists"}
    for _ in range(12):
        where = {"not": where}
    problem = await shop.post("/api/traces/search", expect=422, where=where)
    assert problem["detail"].startswith("where: may have 100 conditions, 10 deep")


@pytest.mark.parametrize(
    "query", [{"step": "10m"}, {"step": "10m", "attr": "user=u1"}, {"step": "10m", "service": "web"}]
)
async def test_figures_over_time_agree_with_the_spans(shop: Shop, query: dict[str, str]) -> None:
    # A long range of whole services comes from the figures per minute, anything else from the spans.
    for hours in (1, 12):
        answer = await shop.get(
            "/api/traces/histogram", **{**query, "from": str(NOW - hours * 3600 * SECOND), "operation": "GET /cart"}
        )
        found = [n for n in ALL if "attr" not in query or n % 3 == 1]
        assert sum(bucket["spans"] for bucket in answer["buckets"]) == len(found)
        durations = [bucket["p50_ms"] for bucket in answer["buckets"] if bucket["spans"]]
        assert all(95 <= duration <= 146 for duration in durations)
        empty = [bucket for bucket in answer["buckets"] if not bucket["spans"]]
        assert all(bucket["p99_ms"] is None for bucket in empty)


async def test_counts_errors_over_time(shop: Shop) -> None:
    answer = await shop.get("/api/traces/histogram", service="checkout")
    assert sum(bucket["errors"] for bucket in answer["buckets"]) == 10


async def test_exports_traces(shop: Shop) -> None:
    answer = await shop.server.post(
        "/api/traces/search",
        key="reader",
        json={"from": NOW - 3600 * SECOND, "to": NOW + SECOND, "service": ["web"], "limit": 3},
        headers={"Accept": "text/csv;q=0.9, application/json;q=0.1"},
    )
    lines = answer.text.splitlines()
    assert lines[0] == "trace_id,service,operation,has_root,start,duration_ms,spans,errors,matched,services"
    assert [line.split(",")[0] for line in lines[1:]] == [trace_id(n) for n in ALL]


async def test_other_tenants_see_nothing(shop: Shop) -> None:
    assert (await shop.get("/api/traces", key="other"))["traces"] == []
    assert (await shop.post("/api/traces/search", key="other"))["traces"] == []


async def test_compares_integers_of_every_size_and_sign(shop: Shop) -> None:
    values = [0, 1, -1, 127, 128, 2**14, 2**31, -(2**31), 2**56, 2**62, 2**63 - 1, -(2**63)]
    request = ExportTraceServiceRequest()
    scope = request.resource_spans.add().scope_spans.add()
    for n, value in enumerate(values):
        span = scope.spans.add(name="sized", trace_id=bytes([8] * 15 + [n]), span_id=bytes([1] * 8))
        span.start_time_unix_nano = span.end_time_unix_nano = NOW - 8000 * SECOND - n
        span.attributes.add(key="size").value.int_value = value
    await ingest(shop.store, "traces", request.SerializeToString())
    around = {"from": str(NOW - 8001 * SECOND), "to": str(NOW - 7999 * SECOND), "limit": 500}
    for value in values:
        for operator, compare in ((">=", float.__ge__), ("<", float.__lt__), ("=", float.__eq__)):
            query = {"attr": f"size{operator}{value}", **around}
            found = {int(trace["trace_id"][-2:], 16) for trace in (await shop.get("/api/traces", **query))["traces"]}
            assert found == {n for n, one in enumerate(values) if compare(float(one), float(value))}, (operator, value)


async def test_lookups_of_a_trace_read_few_granules(shop: Shop) -> None:
    binder = Binder()
    sql = f"EXPLAIN indexes = 1 SELECT min(first_start) FROM trace_index WHERE trace_id IN {binder.ids([trace_id(1)])}"
    plan = await shop.store.query_bytes(sql, binder.values, tenant="default", output_format="TSVRaw")
    assert b"PrimaryKey" in plan
    assert b"in 1-element set" in plan


async def test_times_that_lie_close_together_become_one() -> None:
    binder = Binder()
    intervals = [TimeRange(n * SECOND * 3600, n * SECOND * 3600 + 1) for n in range(500)]
    sql = within_any(binder, intervals)
    assert sql is not None
    assert sql.count("start_time >=") <= 60
    assert within_any(Binder(), intervals, TimeRange(1, 2)) is None
