"""Real OpenTelemetry SDKs -> an agent -> a second agent -> a file, and -> a real Prometheus, for all three signals."""

import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from agent_process import AgentProcess, eventually, execute
from e2e.conftest import RunAgent
from e2e.written import Written, attributes
from prometheus_server import running_prometheus

RECEIVER = {"otlp": {"protocols": {"grpc": {"endpoint": "127.0.0.1:0"}, "http": {"endpoint": "127.0.0.1:0"}}}}
SDK = Path(__file__).with_name("send_with_sdk.py")
METRICS = {"orders.placed", "carts.open", "room.temperature", "order.duration"}


def pipelines(exporters: list[str], processors: list[str] | None = None) -> dict[str, Any]:
    return {
        signal: {"receivers": ["otlp"], "processors": processors or [], "exporters": [*exporters]}
        for signal in ("traces", "metrics", "logs")
    }


def archive(file: str = "telemetry.jsonl") -> dict[str, Any]:
    """A second agent: whatever comes in goes to a rotating file."""
    return {
        "receivers": RECEIVER,
        "exporters": {"file": {"path": file, "rotation": {"max_megabytes": 1}}},
        "service": {"pipelines": pipelines(["file"])},
    }


def forwarding(exporter: str, settings: Mapping[str, Any]) -> dict[str, Any]:
    """A first agent: OTLP in, batches, OTLP out, and metrics for Prometheus."""
    config: dict[str, Any] = {
        "receivers": RECEIVER,
        "processors": {"batch": {"timeout": "50ms"}},
        "exporters": {
            exporter: settings,
            "prometheus": {
                "endpoint": "127.0.0.1:0",
                "enable_open_metrics": True,
                "resource_to_telemetry_conversion": {"enabled": True},
            },
        },
        "service": {"pipelines": pipelines([exporter], ["batch"])},
    }
    config["service"]["pipelines"]["metrics"]["exporters"].append("prometheus")
    return config


async def two_agents(run_agent: RunAgent, protocol: str) -> tuple[AgentProcess, AgentProcess]:
    """Return an agent and the second one that it sends to over the same protocol."""
    second = await run_agent(archive(), "second")
    endpoint = second.endpoint("otlp", protocol)
    if protocol == "grpc":
        config = forwarding("otlp", {"endpoint": endpoint, "tls": {"insecure": True}})
    else:
        config = forwarding("otlphttp", {"endpoint": endpoint, "compression": "zstd"})
    return await run_agent(config, "first"), second


async def arrived(second: AgentProcess, metrics: set[str]) -> Written:
    """Return what the second agent wrote once all of it is there."""

    def complete() -> Written | None:
        written = Written(second.directory / "telemetry.jsonl")
        return written if len(written.spans) >= 2 and metrics <= written.metrics.keys() and written.logs else None

    found: Written = await eventually(complete, "all three signals at the second agent")
    return found


@pytest.mark.parametrize("protocol", ["grpc", "http"])
async def test_python_sdk_reaches_a_second_agent_and_prometheus(
    protocol: str, run_agent: RunAgent, tmp_path: Path
) -> None:
    first, second = await two_agents(run_agent, protocol)
    sent = await execute(sys.executable, SDK, protocol, first.endpoint("otlp", protocol), "shop")
    assert (sent.returncode, sent.stderr) == (0, "")
    ids = json.loads(sent.stdout)

    written = await arrived(second, METRICS | {"payload.size"})

    check_trace(written, ids)
    check_log(written, ids)
    check_metrics(written)
    [exponential] = written.metrics["payload.size"][0]["exponentialHistogram"]["dataPoints"]
    assert (exponential["count"], exponential["sum"]) == ("3", 5550)
    exemplars = [
        exemplar
        for point in written.metrics["order.duration"][0]["histogram"]["dataPoints"]
        for exemplar in point["exemplars"]
    ]
    assert {exemplar["traceId"] for exemplar in exemplars} == {ids["traceId"]}
    await check_prometheus(first, tmp_path, exemplars_of=ids["traceId"])


async def test_javascript_sdk_reaches_a_second_agent_and_prometheus(
    javascript_sdk: list[str], run_agent: RunAgent, tmp_path: Path
) -> None:
    first, second = await two_agents(run_agent, "http")
    sent = await execute(*javascript_sdk, first.endpoint("otlp", "http"), "shop")
    assert (sent.returncode, sent.stderr) == (0, "")
    ids = json.loads(sent.stdout)

    written = await arrived(second, METRICS)

    check_trace(written, ids)
    check_log(written, ids)
    check_metrics(written)
    await check_prometheus(first, tmp_path)


def check_trace(written: Written, ids: Mapping[str, str]) -> None:
    parent, resource = written.spans["POST /orders"]
    assert (resource["service.name"], resource["service.version"], resource["scope"]) == ("shop", "1.2.3", "shop")
    assert (parent["traceId"], parent["spanId"], parent["kind"]) == (ids["traceId"], ids["spanId"], 2)
    assert attributes(parent) == {"http.response.status_code": 201}
    child, _ = written.spans["INSERT orders"]
    assert (child["parentSpanId"], child["kind"]) == (ids["spanId"], 3)
    assert {"db.rows": 3, "ratio": 0.5, "tags": ["a", "b"]}.items() <= attributes(child).items()
    assert child["status"] == {"code": 2, "message": "deadlock"}
    [event] = child["events"]
    assert (event["name"], attributes(event)) == ("retry", {"attempt": 1})
    assert int(parent["startTimeUnixNano"]) <= int(child["startTimeUnixNano"]) <= int(child["endTimeUnixNano"])


def check_log(written: Written, ids: Mapping[str, str]) -> None:
    record, resource = written.logs["order 7 is late"]
    assert (record["severityNumber"], record["severityText"], attributes(record)) == (13, "WARN", {"order.id": 7})
    assert (record["traceId"], record["spanId"]) == (ids["traceId"], ids["spanId"])
    assert (resource["service.name"], resource["scope"]) == ("shop", "shop")


def check_metrics(written: Written) -> None:
    placed, resource = written.metrics["orders.placed"]
    assert (resource["service.name"], placed["unit"]) == ("shop", "{order}")
    assert (placed["sum"]["isMonotonic"], placed["sum"]["aggregationTemporality"]) == (True, 2)
    [point] = placed["sum"]["dataPoints"]
    assert (float(point.get("asInt", point.get("asDouble"))), attributes(point)) == (2, {"region": "eu"})
    [histogram] = written.metrics["order.duration"][0]["histogram"]["dataPoints"]
    assert (histogram["explicitBounds"], histogram["bucketCounts"]) == ([0.1, 1], ["1", "1", "1"])
    assert (histogram["count"], histogram["sum"], histogram["min"], histogram["max"]) == ("3", 5.55, 0.05, 5)


async def check_prometheus(agent: AgentProcess, directory: Path, exemplars_of: str = "") -> None:
    target = f"127.0.0.1:{agent.port('prometheus')}"
    async with running_prometheus(directory, [target], features=["exemplar-storage"]) as prometheus:
        selector = '{job="shop",service_version="1.2.3",region="eu"}'
        assert await prometheus.value(f"orders_placed_total{selector}") == 2
        assert await prometheus.value("room_temperature_celsius") == 21.5
        assert await prometheus.value("carts_open") == -1
        assert await prometheus.value(f"order_duration_seconds_sum{selector}") == 5.55
        buckets = await prometheus.wait_for(f"order_duration_seconds_bucket{selector}")
        assert {float(bucket["metric"]["le"]): bucket["value"][1] for bucket in buckets} == {
            0.1: "1",
            1: "2",
            float("inf"): "3",
        }
        if exemplars_of:
            found = await prometheus.get(
                "query_exemplars", query=buckets[0]["metric"]["__name__"], start="0", end="9e9"
            )
            assert {item["labels"]["trace_id"] for series in found for item in series["exemplars"]} == {exemplars_of}
