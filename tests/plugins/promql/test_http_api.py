"""Prometheus' HTTP API: parameters, the frames of answers and errors, and the catalogue of series."""

import json
from typing import Any

import pytest

from ophion_agent.server import Call, NotFound, Permission, Principal, Problem, Route
from ophion_agent.testing import ManualClock
from ophion_promql.catalogue import Catalogue
from ophion_promql.compiling import Semantics
from ophion_promql.evaluating import Bounds, Evaluator
from ophion_promql.http_api import HttpApi
from ophion_promql.remote_write import RemoteWrite
from tests.plugins.promql.conftest import START
from tests.plugins.promql.store import ChdbStore

READER = Principal("reader", "user", "default", frozenset({Permission.READ}))
SECONDS = START // 1000


class Api:
    """Calls the handlers of routes as the HTTP server does."""

    def __init__(self, store: ChdbStore) -> None:
        clock = ManualClock((START + 600_000) * 1_000_000)
        evaluator = Evaluator(store, Semantics(), Bounds(series=100, points=1000, seconds=30))
        api = HttpApi(evaluator, Catalogue(store, 100, True), RemoteWrite(store, clock), clock, "1.2.3")
        self.routes = {(route.method, route.path): route for route in api.routes()}

    def route(self, path: str, method: str = "GET") -> Route:
        return self.routes[method, f"/api/v1/{path}"]

    async def get(self, path: str, names: dict[str, str] | None = None, **parameters: Any) -> Any:
        """Return `data` of the answer, or {"errorType", "error", "status"} of a refusal."""
        route = self.route(path)
        query = route.query.model_validate(parameters) if route.query else None
        try:
            reply = await route.handler(Call(path=names or {}, query=query, principal=READER))
        except Problem as problem:
            assert route.problem_reply is not None
            refusal = route.problem_reply(problem)
            return {**json.loads(refusal.body), "status": refusal.status}
        document = json.loads(reply.body)
        assert document.pop("status") == "success"
        return document if "warnings" in document else document["data"]


@pytest.fixture
def api(store: ChdbStore) -> Api:
    return Api(store)


async def test_answers_an_instant_query_at_the_clock_s_time(api: Api) -> None:
    data = await api.get("query", query='memory{instance="a"}')

    expected = {"metric": {"__name__": "memory", "instance": "a"}, "value": [SECONDS + 600, "100"]}
    assert data == {"resultType": "vector", "result": [expected]}


async def test_answers_a_range_query(api: Api) -> None:
    times = {"start": f"{SECONDS}.5", "end": str(SECONDS + 61), "step": "30s"}
    data = await api.get("query_range", query='info{instance="a"} * 2.5', **times)

    values = [[SECONDS + 0.5, "2.5"], [SECONDS + 30.5, "2.5"], [SECONDS + 60.5, "2.5"]]
    assert data == {
        "resultType": "matrix",
        "result": [{"metric": {"instance": "a", "version": "v1"}, "values": values}],
    }


async def test_limits_the_series_of_an_answer(api: Api) -> None:
    data = await api.get("query", query="requests_total", limit="3", timeout="10s")

    assert len(data["result"]) == 3


async def test_takes_times_as_rfc_3339(api: Api) -> None:
    data = await api.get("query", query="time()", time="2023-11-14T22:13:20.250Z")

    assert data == {"resultType": "scalar", "result": [1700000000.25, "1700000000.25"]}


async def test_answers_the_catalogue(api: Api) -> None:
    assert await api.get("labels") == ["__name__", "code", "instance", "kind", "le", "text", "version", "x"]
    assert await api.get("labels", **{"match[]": ["memory", "split"]}) == ["__name__", "instance", "x"]
    assert await api.get("label/{name}/values", {"name": "instance"}, **{"match[]": ["memory"]}) == ["a", "b"]
    assert await api.get("label/{name}/values", {"name": "__name__"}, limit="2") == ["ending", "info"]
    assert await api.get("series", **{"match[]": ["split", "ending"]}) == [
        {"__name__": "ending"},
        {"__name__": "split", "x": "y"},
    ]
    assert await api.get("label/{name}/values", {"name": "instance"}, start=str(SECONDS + 10 * 86_400)) == []


async def test_answers_metadata(api: Api) -> None:
    entry = {"type": "gauge", "help": "help", "unit": ""}

    assert await api.get("metadata", metric="memory") == {"memory": [entry]}
    assert len(await api.get("metadata", limit="2", limit_per_metric="1")) == 2
    assert await api.get("metadata", metric="nothing") == {}


async def test_answers_what_grafana_looks_for(api: Api) -> None:
    assert (await api.get("status/buildinfo"))["revision"] == "ophion-1.2.3"
    assert await api.get("rules") == {"groups": []}
    assert await api.get("alerts") == {"alerts": []}
    assert await api.get("status/flags") == {}
    assert await api.get("format_query", query="sum(x)by(y)") == "sum by (y) (x)"


async def test_answers_exemplars_of_the_lowest_bucket_that_holds_them(store: ChdbStore, api: Api) -> None:
    store.execute(
        "INSERT INTO series SELECT * REPLACE (77 AS stream_id) FROM series WHERE metric_name = 'latency_bucket'"
    )
    at = f"fromUnixTimestamp64Milli({START + 1500}, 'UTC')"
    store.execute(
        f"INSERT INTO exemplars VALUES (77, {at}, 1, 0, {at}, 'double', 0.3, 0, "
        f"unhex('{'0f' * 16}'), unhex('{'aa' * 8}'))"
    )

    [found] = await api.get("query_exemplars", query="rate(latency_bucket[5m]) > 0")

    labels = {"span_id": "aa" * 8, "trace_id": "0f" * 16}
    assert found == {
        "seriesLabels": {"__name__": "latency_bucket", "le": "0.5"},
        "exemplars": [{"labels": labels, "value": "0.3", "timestamp": SECONDS + 1.5}],
    }


async def test_warns_beside_the_data(api: Api) -> None:
    document = await api.get("query", query="histogram_sum(memory)")

    assert document["data"] == {"resultType": "vector", "result": []}
    assert "native histograms" in document["warnings"][0]


TIMES = {"start": "1", "end": "2", "step": "1"}


@pytest.mark.parametrize(
    ("path", "parameters", "status", "kind", "message"),
    [
        ("query", {"query": "sum("}, 400, "bad_data", "unclosed left parenthesis"),
        ("query", {"query": "1", "time": "now"}, 400, "bad_data", 'invalid parameter "time": cannot parse "now"'),
        ("query", {"query": "1", "time": "1e300"}, 400, "bad_data", "to a valid timestamp"),
        ("query", {"query": "1", "time": "NaN"}, 400, "bad_data", "to a valid timestamp"),
        ("query", {"query": "1", "timeout": "0"}, 400, "bad_data", 'invalid parameter "timeout"'),
        ("query", {"query": "1", "timeout": "soon"}, 400, "bad_data", "to a valid duration"),
        ("query", {"query": "1", "limit": "-1"}, 400, "bad_data", "limit must be a number of at least 0"),
        ("query", {"query": "memory + on() memory"}, 422, "execution", "found duplicate series"),
        ("query_range", {"query": "1"}, 400, "bad_data", 'invalid parameter "start"'),
        ("query_range", {"query": "1", **TIMES, "end": "0"}, 400, "bad_data", "must not be before start time"),
        ("query_range", {"query": "1", **TIMES, "step": "0"}, 400, "bad_data", "zero or negative query resolution"),
        ("query_range", {"query": "1", **TIMES, "step": "1e30"}, 400, "bad_data", "overflows int64"),
        ("query_range", {"query": "1", **TIMES, "end": "1e9"}, 400, "bad_data", "exceeded maximum resolution"),
        ("series", {}, 400, "bad_data", "no match[] parameter provided"),
        ("series", {"match[]": ["sum(x)"]}, 400, "bad_data", "match[]: must be a series selector"),
        ("metadata", {"limit_per_metric": "x"}, 400, "bad_data", 'invalid parameter "limit_per_metric"'),
        ("format_query", {"query": "("}, 400, "bad_data", "parse error"),
    ],
)
async def test_refuses_as_prometheus_does(
    api: Api, path: str, parameters: dict[str, Any], status: int, kind: str, message: str
) -> None:
    refusal = await api.get(path, **parameters)

    assert (refusal["status"], refusal["errorType"]) == (status, kind)
    assert message in refusal["error"]


async def test_refuses_what_is_no_label_name(api: Api) -> None:
    refusal = await api.get("label/{name}/values", {"name": "a-b"})

    assert refusal == {"status": 400, "errorType": "bad_data", "error": 'invalid label name: "a-b"'}


def test_every_route_but_remote_write_needs_only_to_read(api: Api) -> None:
    assert {route.access for key, route in api.routes.items() if key[1] != "/api/v1/write"} == {Permission.READ}
    assert api.route("write", "POST").access == Permission.INGEST
    assert api.route("query", "POST").form


def test_problems_of_the_framework_come_in_prometheus_form(api: Api) -> None:
    reply = api.route("query").problem_reply
    assert reply is not None

    assert json.loads(reply(NotFound("gone")).body) == {"status": "error", "errorType": "not_found", "error": "gone"}
    assert json.loads(reply(Problem("broken")).body)["errorType"] == "internal"
    assert json.loads(reply(Problem("no", status=415)).body)["errorType"] == "unsupported_media_type"
