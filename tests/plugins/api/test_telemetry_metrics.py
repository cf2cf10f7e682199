"""Metrics, services, hosts, attributes, the overview and the store's figures over HTTP, on a real store."""

import csv
import io
import json
from collections.abc import AsyncIterator
from typing import Any

import pytest
import pytest_asyncio

from ophion_agent.server import BadRequest, Series
from telemetry_sample import NOW, SECOND, TRACES, Shop, running_shop, telemetry_api, trace_id

pytestmark = pytest.mark.asyncio(loop_scope="module")
CPU = "system_cpu_time_seconds_total"
MINUTE = 60 * SECOND


class ScriptedPromQL:
    """Answers every expression with two series; the real engine is another family's."""

    def __init__(self) -> None:
        self.asked: list[tuple[Any, ...]] = []

    async def query(self, expression: str, time: float, *, tenant: str) -> list[Series]:
        """Answer one point."""
        self.asked.append((expression, time, tenant))
        return [Series({}, [(time, 1.0)])]

    async def query_range(self, expression: str, start: float, end: float, step: float, *, tenant: str) -> list[Series]:
        """Answer two points of two series."""
        if expression == "(":
            raise BadRequest("PromQL: unexpected end of input")
        self.asked.append((expression, start, end, step, tenant))
        one = Series({"__name__": "up", "job": "=cmd()"}, [(start, 1.0), (end, float("nan"))])
        return [one, Series({"job": "b", "time": "label"}, [(start, float("inf"))])]


@pytest.fixture(scope="module")
def promql() -> ScriptedPromQL:
    return ScriptedPromQL()


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def shop(tmp_path_factory: pytest.TempPathFactory, promql: ScriptedPromQL) -> AsyncIterator[Shop]:
    async with running_shop(tmp_path_factory.mktemp("metrics"), promql=promql, map_max_spans=1000) as running:
        yield running


async def test_lists_metrics_by_page(shop: Shop) -> None:
    seen: list[dict[str, Any]] = []
    cursor: dict[str, str] = {}
    while True:
        page = await shop.get("/api/metrics", limit=2, **cursor)
        seen += page["metrics"]
        if page["next_cursor"] is None:
            break
        cursor = {"cursor": page["next_cursor"]}
    assert [(one["name"], one["type"], one["unit"], one["series"]) for one in seen] == [
        ("pay_duration_seconds_bucket", "histogram", "s", 2),
        ("pay_duration_seconds_count", "histogram", "s", 1),
        ("pay_duration_seconds_sum", "histogram", "s", 1),
        ("system_cpu_load_average_1m", "gauge", "{thread}", 1),
        (CPU, "counter", "s", 2),
        ("system_memory_usage_bytes", "gauge", "By", 2),
    ]


async def test_searches_names_and_helps(shop: Shop) -> None:
    assert [one["name"] for one in (await shop.get("/api/metrics", search="PROCESSOR"))["metrics"]] == [CPU]
    assert [one["name"] for one in (await shop.get("/api/metrics", search="_cpu_"))["metrics"]] == [
        "system_cpu_load_average_1m",
        CPU,
    ]
    assert [one["name"] for one in (await shop.get("/api/metrics", search=" average  CPU"))["metrics"]] == [
        "system_cpu_load_average_1m"
    ]
    assert (await shop.get("/api/metrics", search="average memory"))["metrics"] == []
    assert (await shop.get("/api/metrics", key="other"))["metrics"] == []


async def test_shows_a_counter_as_rates(shop: Shop) -> None:
    metric = await shop.get(f"/api/metrics/{CPU}", step="1m", **{"from": str(NOW - 5 * MINUTE)})
    assert (metric["type"], metric["help"], metric["series"], metric["truncated"]) == (
        "counter",
        "Processor seconds",
        2,
        False,
    )
    labels = {label["name"]: label["values"] for label in metric["labels"]}
    assert (labels["state"], labels["cpu"], labels["host_name"]) == (["idle", "user"], ["cpu0"], ["host-a"])
    idle, user = sorted(metric["values"], key=lambda one: one["labels"]["state"])
    assert (idle["latest"], user["latest"]) == (1000.0, 1000.0)
    # The last step holds the sample at NOW alone, a quarter of a minute after that before it.
    assert [round(rate, 6) for _, rate in idle["points"][:-1]] == [0.75] * 4
    assert idle["points"][-1][0] == NOW / SECOND


async def test_shows_a_gauge_as_means(shop: Shop) -> None:
    metric = await shop.get("/api/metrics/system_memory_usage_bytes", step="1m", label="state=used")
    (used,) = metric["values"]
    assert used["labels"]["state"] == "used"
    assert {value for _, value in used["points"]} == {3000.0}


async def test_cuts_series(shop: Shop) -> None:
    metric = await shop.get(f"/api/metrics/{CPU}", limit=1)
    assert (len(metric["values"]), metric["truncated"]) == (1, True)


@pytest.mark.parametrize(
    ("path", "query", "status", "reason"),
    [
        (
            "/api/metrics/nothing",
            {},
            404,
            'there is no metric "nothing" in this time range; /api/metrics lists those there are',
        ),
        (f"/api/metrics/{CPU}", {"label": "state"}, 422, 'label: must be name=value, got "state"'),
        ("/api/exemplars", {}, 422, "metric: is missing; name a metric or a trace_id"),
        (
            "/api/hosts/nobody",
            {},
            404,
            'there is no host "nobody" in this time range; /api/hosts lists those there are',
        ),
        ("/api/hosts", {"cursor": "abc"}, 422, "cursor: does not belong to this search; begin again without it"),
    ],
)
async def test_refuses_what_cannot_be_answered(
    shop: Shop, path: str, query: dict[str, str], status: int, reason: str
) -> None:
    assert (await shop.get(path, expect=status, **query))["detail"] == reason


async def test_finds_exemplars_by_metric_and_by_trace(shop: Shop) -> None:
    for query in (
        {"metric": "pay_duration_seconds"},
        {"metric": "pay_duration_seconds_bucket"},
        {"trace_id": trace_id(3)},
    ):
        (one,) = (await shop.get("/api/exemplars", **query))["exemplars"]
        assert one.pop("time").endswith("000000000Z")
        assert one == {
            "metric": "pay.duration",
            "service": "agent",
            "attributes": {},
            "value": 0.25,
            "trace_id": trace_id(3),
            "span_id": b"12345678".hex(),
            "filtered_attributes": {"user": "u1"},
        }
    assert (await shop.get("/api/exemplars", metric="other"))["exemplars"] == []
    assert (await shop.get("/api/exemplars", key="other", trace_id=trace_id(3)))["exemplars"] == []


async def test_evaluates_promql_over_a_range(shop: Shop, promql: ScriptedPromQL) -> None:
    answer = await shop.post("/api/metrics/query", query="up", step="30s", **{"from": NOW - MINUTE, "to": NOW})
    assert promql.asked[-1] == ("up", (NOW - MINUTE) / SECOND, NOW / SECOND, 30.0, "default")
    assert answer["step_ms"] == 30_000
    assert answer["series"][0]["points"] == [[(NOW - MINUTE) / SECOND, 1.0], [NOW / SECOND, "NaN"]]
    assert answer["series"][1]["points"][0][1] == "+Inf"


async def test_evaluates_promql_at_one_time(shop: Shop, promql: ScriptedPromQL) -> None:
    answer = await shop.server.post("/api/metrics/query", key="reader", json={"query": "1", "time": NOW // SECOND})
    assert answer.json() == {"step_ms": None, "series": [{"labels": {}, "points": [[NOW / SECOND, 1.0]]}]}
    problem = await shop.post("/api/metrics/query", expect=422, query="1", time="now")
    assert problem["detail"] == "time: cannot be given beside from, to and step; send one or the other"


async def test_passes_on_why_an_expression_is_wrong(shop: Shop) -> None:
    problem = await shop.post("/api/metrics/query", expect=400, query="(")
    assert problem["detail"] == "PromQL: unexpected end of input"


async def test_exports_points(shop: Shop) -> None:
    body = {"query": "up", "from": NOW - MINUTE, "to": NOW, "format": "csv"}
    answer = await shop.server.post("/api/metrics/query", key="reader", json=body)
    rows = list(csv.reader(io.StringIO(answer.text)))
    assert rows[0] == ["time", "value", "__name__", "job", "label_time"]
    assert rows[1][1:] == ["1.0", "up", "'=cmd()", ""]
    assert rows[3][1:] == ["inf", "", "b", "label"]
    answer = await shop.server.post("/api/metrics/query", key="reader", json={**body, "format": "ndjson"})
    lines = [json.loads(line) for line in answer.text.splitlines()]
    assert lines[2] == {"labels": {"job": "b", "time": "label"}, "time": (NOW - MINUTE) / SECOND, "value": "+Inf"}


async def test_says_when_there_is_no_promql(shop: Shop) -> None:
    async with telemetry_api(shop.store) as extension:
        (route,) = [route for route in extension.routes() if route.path == "/api/metrics/query"]
        from ophion_agent.server import Call, Problem

        with pytest.raises(Problem, match="has no PromQL engine; add the extension `promql`") as error:
            await route.handler(Call(body=route.body(query="up")))
        assert error.value.code == 503


async def test_lists_services_by_the_requests_they_answer(shop: Shop) -> None:
    services = (await shop.get("/api/services"))["services"]
    assert [(one["name"], one["spans"], one["all_spans"], one["errors"]) for one in services] == [
        ("web", TRACES, 2 * TRACES, 0),
        ("checkout", TRACES, TRACES, 10),
        ("stock", TRACES, TRACES, 0),
    ]
    checkout = services[1]
    assert checkout["error_rate"] == 0.25
    assert checkout["average_ms"] == checkout["max_ms"] == 60.0
    assert checkout["p95_ms"] == pytest.approx(60, rel=0.05)
    assert [one["name"] for one in (await shop.get("/api/services", search="OCK"))["services"]] == ["stock"]
    assert (await shop.get("/api/services", limit=2))["truncated"] is True
    assert (await shop.get("/api/services", key="other"))["services"] == []


async def test_lists_operations_of_a_service(shop: Shop) -> None:
    answer = await shop.get("/api/services/web/operations")
    assert [(one["name"], one["kind"], one["spans"]) for one in answer["operations"]] == [
        ("GET /cart", "server", TRACES),
        ("call checkout", "client", TRACES),
    ]
    assert answer["operations"][0]["p50_ms"] == pytest.approx(119.5, rel=0.05)


async def test_draws_the_service_map(shop: Shop) -> None:
    found = await shop.get("/api/services/map")
    assert found["sampled_one_in"] == 1
    assert [(edge["caller"], edge["callee"], edge["calls"], edge["errors"]) for edge in found["edges"]] == [
        ("checkout", "stock", TRACES, 0),
        ("web", "checkout", TRACES, 10),
    ]
    assert [node["name"] for node in found["nodes"]] == ["web", "checkout", "stock"]
    near = await shop.get("/api/services/map", service="stock")
    assert [edge["caller"] for edge in near["edges"]] == ["checkout"]
    assert [node["name"] for node in near["nodes"]] == ["checkout", "stock"]


async def test_samples_traces_of_a_large_map_and_says_so(shop: Shop) -> None:
    from telemetry_sample import ExportTraceServiceRequest, add_span, pairs
    from telemetry_store import ingest

    request = ExportTraceServiceRequest()
    scopes = {}
    for service in ("big-a", "big-b"):
        group = request.resource_spans.add()
        group.resource.attributes.extend(pairs({"service.name": service}))
        scopes[service] = group.scope_spans.add()
    for n in range(1000, 3000):
        add_span(scopes["big-a"], n, 1, 0, "a", NOW - 86_400 * SECOND, 2)
        add_span(scopes["big-b"], n, 2, 1, "b", NOW - 86_400 * SECOND, 1)
    await ingest(shop.store, "traces", request.SerializeToString())
    found = await shop.get(
        "/api/services/map", **{"from": str(NOW - 90_000 * SECOND), "to": str(NOW - 80_000 * SECOND)}
    )
    assert found["sampled_one_in"] == 4
    (edge,) = found["edges"]
    assert edge["calls"] == pytest.approx(2000, rel=0.2)


async def test_lists_attributes_and_their_values(shop: Shop) -> None:
    found = {one["key"]: one for one in (await shop.get("/api/attributes"))["attributes"]}
    assert found["host.name"]["signals"] == ["resource"]
    assert [
        one["key"] for one in (await shop.get("/api/attributes", search="HOST", signal="resource"))["attributes"]
    ] == ["host.name"]
    first = await shop.get("/api/attributes", limit=1)
    second = await shop.get("/api/attributes", limit=1, cursor=first["next_cursor"])
    assert first["attributes"][0]["key"] < second["attributes"][0]["key"]
    values = await shop.get("/api/attributes/host.name/values")
    assert [one["value"] for one in values["values"]] == ["host-a", "host-b"]
    assert [
        one["value"] for one in (await shop.get("/api/attributes/host.name/values", prefix="HOST-B"))["values"]
    ] == ["host-b"]
    assert [one["value"] for one in (await shop.get("/api/attributes/zone/values", service="web"))["values"]] == [7]
    assert (await shop.get("/api/attributes/host.name/values", key="other"))["values"] == []


async def test_lists_hosts_with_their_latest_figures(shop: Shop) -> None:
    first, second = (await shop.get("/api/hosts"))["hosts"]
    assert (first["name"], first["services"]) == ("host-a", ["agent", "checkout", "web"])
    assert first["figures"]["cpu_utilization"] == pytest.approx(0.25)
    assert first["figures"]["load_1m"] == 1.5
    assert first["figures"]["memory_utilization"] == 0.75
    assert (first["figures"]["memory_used_bytes"], first["figures"]["memory_total_bytes"]) == (3000, 4000)
    assert (second["name"], second["figures"]["cpu_utilization"]) == ("host-b", None)
    page = await shop.get("/api/hosts", limit=1)
    assert [one["name"] for one in (await shop.get("/api/hosts", cursor=page["next_cursor"]))["hosts"]] == ["host-b"]
    assert (await shop.get("/api/hosts", key="other"))["hosts"] == []


async def test_shows_a_host_with_links_that_work(shop: Shop) -> None:
    host = await shop.get("/api/hosts/host-a")
    assert host["attributes"]["host.name"] == "host-a"
    assert host["links"]["metrics"] == '{host_name="host-a"}'
    bounds = f"&from={NOW - 3600 * SECOND}&to={NOW + SECOND}"
    logs = await shop.server.get(host["links"]["logs"] + bounds, key="reader")
    traces = await shop.server.get(host["links"]["traces"] + bounds, key="reader")
    assert len(logs.json()["logs"]) == 100
    assert len(traces.json()["traces"]) == 20


async def test_trace_leads_to_the_metrics_of_its_hosts(shop: Shop) -> None:
    first, second = (await shop.get(f"/api/traces/{trace_id(0)}/hosts"))["hosts"]
    assert (first["name"], first["figures"]["memory_utilization"]) == ("host-a", 0.75)
    assert (second["name"], second["figures"]["memory_utilization"]) == ("host-b", None)
    linked = await shop.server.get(first["link"], key="reader")
    assert linked.status == 200


async def test_overview_has_everything_a_first_page_shows(shop: Shop) -> None:
    found = await shop.get("/api/dashboard/overview")
    assert [one["name"] for one in found["services"]] == ["web", "checkout", "stock"]
    assert [one["name"] for one in found["hosts"]] == ["host-a", "host-b"]
    (error,) = found["top_errors"]
    assert (error["service"], error["operation"], error["message"], error["count"], error["trace_id"]) == (
        "checkout", "POST /pay", "card refused", 10, trace_id(0),
    )  # fmt: skip
    assert found["slowest_operations"][0]["name"] == "GET /cart"
    assert found["logs_by_severity"] == {"debug": 5, "info": 180, "warn": 1, "error": 20}
    assert found["ingest"]["log_records_per_second"] > 0
    empty = await shop.get("/api/dashboard/overview", key="other")
    assert (empty["services"], empty["hosts"], empty["top_errors"], empty["logs_by_severity"]) == ([], [], [], {})


async def test_tells_what_is_stored(shop: Shop) -> None:
    answer = (await shop.server.get("/api/store", key="reader")).json()
    tables = {table["table"]: table for table in answer["tables"]}
    assert tables["logs"]["rows"] == 206
    assert (
        answer["bytes"] == sum(answer["bytes_by_signal"].values()) == sum(table["bytes"] for table in tables.values())
    )
    assert answer["ingest"]["spans_per_second"] > 0
    assert (await shop.server.get("/api/store", key="other")).json()["tables"] == []
