"""The requests of Grafana's data sources, replayed: each answer has what the reader in Grafana takes from it."""

from collections.abc import AsyncIterator, Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
import yaml

from api_serving import Answer, FakeAgent
from grafana_shop import NOW, START, Grafana, running_shop
from ophion_agent.server import STORAGE
from ophion_agent.testing import ManualClock, make_context
from ophion_promql.extension import Promql, PromqlConfig

pytestmark = pytest.mark.asyncio(loop_scope="module")

REQUESTS = yaml.safe_load((Path(__file__).parent / "grafana_requests.yaml").read_text())
UNITS = {"ns": 1, "us": 10**3, "ms": 10**6, "s": 10**9}


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def everything(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Grafana]:
    """Run a server with all three APIs."""

    def make_promql(store: Any) -> Promql:
        services, provided = {"store": store}, {STORAGE.name: "store"}
        context = make_context(
            "extension", "promql", clock=ManualClock(NOW), services=services, provided=provided, agent=FakeAgent()
        )
        return Promql(PromqlConfig(), context)

    async with running_shop(tmp_path_factory.mktemp("everything"), promql=make_promql) as running:
        yield running


def filled(text: str, unit: str) -> str:
    """Return a parameter with times filled in."""

    def iso(nanoseconds: int) -> str:
        return datetime.fromtimestamp(nanoseconds / 1e9, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")

    times = {
        "{start}": str(START // UNITS[unit]),
        "{end}": str(NOW // UNITS[unit]),
        "{iso_start}": iso(START),
        "{iso_end}": iso(NOW),
    }
    for name, value in times.items():
        text = text.replace(name, value)
    return text.replace("{{{{", "{{").replace("}}}}", "}}")


@pytest.mark.parametrize("request_", REQUESTS, ids=lambda request_: request_["name"])
async def test_answers_grafana(everything: Grafana, request_: dict[str, Any]) -> None:
    unit = request_.get("unit", "ns")
    parameters = {name: filled(value, unit) for name, value in request_.get("query", {}).items()}
    method = request_.get("method", "GET")
    sent = {"data": parameters} if method == "POST" else {"params": parameters}
    answer = await everything.server.request(
        method, request_["path"], key="reader", headers=request_.get("headers"), **sent
    )

    assert answer.status == 200, answer.text
    assert answer.headers["Content-Type"].startswith("application/json")
    CHECKS[request_["expect"]](answer)


def _data(answer: Answer, kind: str) -> list[Any]:
    document = answer.json()
    assert document["status"] == "success"
    data = document["data"]
    assert data["resultType"] == kind
    # The reader goes through the answer once and has to know the type before the result.
    assert list(data).index("resultType") < list(data).index("result")
    return list(data["result"])


def jaeger_names(answer: Answer) -> None:
    """ServicesResponse: names, which must not be null."""
    document = answer.json()
    assert set(document) == {"data", "errors", "limit", "offset", "total"}
    assert document["data"]
    assert all(isinstance(name, str) for name in document["data"])


def jaeger_traces(answer: Answer) -> None:
    """TracesResponse: Grafana takes `data[0]` unseen, and a missing process would leave a span without service."""
    document = answer.json()
    assert document["data"]
    for trace in document["data"]:
        assert set(trace) == {"processes", "traceID", "warnings", "spans"}
        for span in trace["spans"]:
            process = trace["processes"][span["processID"]]
            assert isinstance(process["serviceName"], str)
            assert isinstance(span["startTime"], int)
            assert isinstance(span["duration"], int)
            assert isinstance(span["logs"], list)
            assert {one["refType"] for one in span["references"]} <= {"CHILD_OF", "FOLLOWS_FROM"}
            for tag in [*span["tags"], *process["tags"], *(one for log in span["logs"] for one in log["fields"])]:
                assert set(tag) == {"key", "type", "value"}
            assert all(isinstance(log["timestamp"], int) for log in span["logs"])


def jaeger_dependencies(answer: Answer) -> None:
    """DependenciesResponse."""
    document = answer.json()
    assert not document["errors"]
    assert document["data"] == [{"parent": "frontend", "child": "checkout", "callCount": 1}]


def jaeger_v3_services(answer: Answer) -> None:
    """GrpcServicesResponse."""
    assert answer.json() == {"services": ["checkout", "frontend"]}


def jaeger_v3_operations(answer: Answer) -> None:
    """GrpcOperationsResponse."""
    assert {operation["name"] for operation in answer.json()["operations"]} == {"charge", "lost", "sweep"}


def jaeger_v3_traces(answer: Answer) -> None:
    """GrpcTracesResponse: OTLP in JSON."""
    groups = answer.json()["result"]["resourceSpans"]
    spans = [span for group in groups for scope in group["scopeSpans"] for span in scope["spans"]]
    assert {span["traceId"] for span in spans} == {"0af7651916cd43dd8448eb211c80319c"}
    assert all(span["startTimeUnixNano"].isdecimal() for span in spans)


def loki_health(answer: Answer) -> None:
    """The health check wants one value, which is 2."""
    (series,) = _data(answer, "vector")
    assert series == {"metric": {}, "value": [4_000_000_000, "2"]}


def loki_texts(answer: Answer) -> None:
    """A list of names."""
    document = answer.json()
    assert document["status"] == "success"
    assert document["data"]
    assert all(isinstance(name, str) for name in document["data"])


def loki_series(answer: Answer) -> None:
    """Labels of streams."""
    assert answer.json()["data"] == [{"k8s_pod_name": "checkout-1", "service_name": "checkout"}]


def loki_detected_labels(answer: Answer) -> None:
    """Labels with their cardinality."""
    found = answer.json()["detectedLabels"]
    assert "service_name" in {label["label"] for label in found}
    assert all(isinstance(label["cardinality"], int) for label in found)


def loki_detected_fields(answer: Answer) -> None:
    """Fields: no parsers, null, tells structured metadata."""
    fields = {field["label"]: field for field in answer.json()["fields"]}
    assert fields["status"]["parsers"] == ["json"]
    assert fields["user_id"]["parsers"] is None
    assert {field["type"] for field in fields.values()} <= {"string", "int", "float", "boolean", "duration", "bytes"}


def loki_field_values(answer: Answer) -> None:
    """Values of a field."""
    assert "201" not in answer.json()["values"] or answer.json()["limit"] == 1000
    assert answer.json()["values"]


def loki_stats(answer: Answer) -> None:
    """QueryStats."""
    assert set(answer.json()) == {"streams", "chunks", "bytes", "entries"}


def _check_stats(answer: Answer) -> None:
    stats = answer.json()["data"]["stats"]
    assert {"bytesProcessedPerSecond", "linesProcessedPerSecond", "totalBytesProcessed", "execTime"} <= set(
        stats["summary"]
    )


def loki_streams(answer: Answer) -> None:
    """Streams whose values are pairs of texts, the first nanoseconds."""
    streams = _data(answer, "streams")
    assert streams
    for stream in streams:
        assert all(isinstance(value, str) for value in stream["stream"].values())
        for time, line in stream["values"]:
            assert len(time) == 19
            assert time.isdecimal()
            assert line
    _check_stats(answer)


def loki_categorized_streams(answer: Answer) -> None:
    """Streams whose values have a third member; the flag comes before the result, as the reader needs it."""
    streams = _data(answer, "streams")
    data = answer.json()["data"]
    assert data["encodingFlags"] == ["categorize-labels"]
    assert list(data).index("encodingFlags") < list(data).index("result")
    for stream in streams:
        for time, line, kinds in stream["values"]:
            assert time.isdecimal()
            assert line
            assert set(kinds) <= {"structuredMetadata", "parsed"}
            assert kinds["structuredMetadata"]["trace_id"]
    assert streams


def _check_points(series: dict[str, Any]) -> None:
    for time, value in series["values"]:
        assert isinstance(time, int | float)
        assert isinstance(value, str)
        float(value)


def loki_levels(answer: Answer) -> None:
    """A series per level, under a label from which Grafana takes the colour."""
    series = _data(answer, "matrix")
    levels = {one["metric"].get("level") or one["metric"].get("detected_level") for one in series}
    assert levels == {"error", "info"}
    for one in series:
        _check_points(one)
    _check_stats(answer)


def loki_vector(answer: Answer) -> None:
    """Values at one time."""
    series = _data(answer, "vector")
    assert {"checkout", "cart"} <= {one["metric"]["service_name"] for one in series}
    assert all(float(one["value"][1]) > 0 for one in series)


def prometheus_scalar(answer: Answer) -> None:
    """1 + 1."""
    assert _data(answer, "scalar") == [4, "2"]


def prometheus_build_info(answer: Answer) -> None:
    """No features: a Prometheus."""
    assert answer.json()["data"]["version"]
    assert not answer.json()["data"].get("features")


def prometheus_texts(answer: Answer) -> None:
    """A list of names."""
    assert answer.json()["status"] == "success"
    assert answer.json()["data"]
    assert all(isinstance(name, str) for name in answer.json()["data"])


def prometheus_series(answer: Answer) -> None:
    """Labels of series."""
    assert any(labels["__name__"].startswith("shop") for labels in answer.json()["data"])


def prometheus_metadata(answer: Answer) -> None:
    """Metric name to a list of type, help and unit."""
    for entries in answer.json()["data"].values():
        assert {"type", "help"} <= set(entries[0])


def prometheus_matrix(answer: Answer) -> None:
    """Series over time."""
    series = _data(answer, "matrix")
    assert series
    for one in series:
        _check_points(one)


def prometheus_vector(answer: Answer) -> None:
    """A value at one time."""
    (series,) = _data(answer, "vector")
    assert float(series["value"][1]) >= 1


def prometheus_exemplars(answer: Answer) -> None:
    """There are none, which is a list."""
    assert answer.json()["status"] == "success"
    assert isinstance(answer.json()["data"], list)


CHECKS: dict[str, Callable[[Answer], None]] = {
    check.__name__: check
    for check in (
        jaeger_names,
        jaeger_traces,
        jaeger_dependencies,
        jaeger_v3_services,
        jaeger_v3_operations,
        jaeger_v3_traces,
        loki_health,
        loki_texts,
        loki_series,
        loki_detected_labels,
        loki_detected_fields,
        loki_field_values,
        loki_stats,
        loki_streams,
        loki_categorized_streams,
        loki_levels,
        loki_vector,
        prometheus_scalar,
        prometheus_build_info,
        prometheus_texts,
        prometheus_series,
        prometheus_metadata,
        prometheus_matrix,
        prometheus_vector,
        prometheus_exemplars,
    )
}
