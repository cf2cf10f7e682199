import asyncio
import re
from pathlib import Path
from typing import Any

import aiohttp
import pytest
import yaml

from agent_process import free_port
from ophion_agent.agent import Agent, Sources
from ophion_agent.errors import OphionError
from ophion_agent.self_metrics import SelfMetrics
from ophion_agent.settings import MetricSettings, TelemetrySettings
from ophion_agent.telemetry import SelfTelemetry
from ophion_agent.testing import make_logs, make_metrics, make_traces

# The names that dashboards and alerts for otelcol rely on, with the attributes of each.
FROZEN = {
    **{
        f"otelcol_receiver_{outcome}_{items}": {"receiver", "transport"}
        for outcome in ("accepted", "refused", "failed")
        for items in ("spans", "metric_points", "log_records")
    },
    **{
        f"otelcol_exporter_{outcome}_{items}": {"exporter"}
        for outcome in ("sent", "send_failed", "enqueue_failed")
        for items in ("spans", "metric_points", "log_records")
    },
    "otelcol_exporter_queue_size": {"exporter"},
    "otelcol_exporter_queue_capacity": {"exporter"},
    "otelcol_exporter_in_flight_requests": {"exporter"},
    "otelcol_processor_incoming_items": {"processor", "signal"},
    "otelcol_processor_outgoing_items": {"processor", "signal"},
    "otelcol_scraper_scraped_metric_points": {"receiver", "scraper"},
    "otelcol_scraper_errored_metric_points": {"receiver", "scraper"},
    "otelcol_process_uptime": set(),
    "otelcol_process_cpu_seconds": set(),
    "otelcol_process_memory_rss": set(),
}

_SAMPLE = re.compile(r"^(\w+)\{(.*)\} (\S+)$", re.MULTILINE)


async def scrape(url: str) -> dict[str, list[tuple[dict[str, str], float]]]:
    async with aiohttp.ClientSession() as session, session.get(url) as response:
        assert response.status == 200
        text = await response.text()
    found: dict[str, list[tuple[dict[str, str], float]]] = {}
    for name, labels, value in _SAMPLE.findall(text):
        found.setdefault(name, []).append((dict(re.findall(r'(\w+)="([^"]*)"', labels)), float(value)))
    return found


def config(tmp_path: Path, port: int) -> dict[str, Any]:
    pipeline = {"receivers": ["otlp"], "processors": ["batch"], "exporters": ["file", "file/small"]}
    return {
        "receivers": {
            "otlp": {"protocols": {"http": {"endpoint": f"127.0.0.1:{port}"}}},
            "hostmetrics": {"collection_interval": "50ms", "initial_delay": "0s", "scrapers": {"memory": None}},
        },
        "processors": {"batch": {"timeout": "10ms"}},
        "exporters": {
            "file": {"path": str(tmp_path / "out.json")},
            "file/small": {"path": str(tmp_path / "small.json"), "sending_queue": {"queue_size": 1, "sizer": "bytes"}},
        },
        "service": {
            "control": {"enabled": False},
            "telemetry": {"metrics": {"address": "127.0.0.1:0"}},
            "pipelines": {
                "traces": pipeline,
                "metrics": {**pipeline, "receivers": ["otlp", "hostmetrics"]},
                "logs": pipeline,
            },
        },
    }


async def test_every_name_that_otelcol_exports_is_there_after_traffic(tmp_path: Path) -> None:
    port = free_port()
    path = tmp_path / "agent.yaml"
    path.write_text(yaml.safe_dump(config(tmp_path, port)))
    agent = Agent(Sources([str(path)]))
    await agent.start(agent.sources.plan()[0])
    try:
        url = next(where for what, where in agent.addresses() if what == "metrics")
        headers = {"Content-Type": "application/x-protobuf"}
        async with aiohttp.ClientSession() as session:
            for batch in (make_traces(2), make_metrics(3), make_logs(4)):
                target = f"http://127.0.0.1:{port}/v1/{batch.signal}"
                async with session.post(target, data=batch.payload, headers=headers) as response:
                    await response.read()
                async with session.post(target, data=b"\x0a\xff", headers=headers) as response:
                    assert response.status == 400
        found: dict[str, Any] = {}
        async with asyncio.timeout(10):
            while not found.keys() >= {"otelcol_scraper_scraped_metric_points", "otelcol_exporter_sent_log_records"}:
                found = await scrape(url)
        assert FROZEN.keys() - found.keys() == set()
        attributes = {name: set().union(*(labels for labels, _ in found[name])) for name in FROZEN}
        assert {name: attributes[name] for name in FROZEN if not FROZEN[name] <= attributes[name]} == {}
        assert found["otelcol_process_memory_rss"][0][1] > 1e6
        assert found["otelcol_exporter_queue_capacity"] != []
        refused = found["otelcol_exporter_enqueue_failed_spans"]
        assert any(labels["exporter"] == "file/small" and value >= 2 for labels, value in refused)
    finally:
        await agent.stop()


async def served(metrics: SelfMetrics, **settings: Any) -> SelfTelemetry:
    telemetry = SelfTelemetry(metrics, "1")
    await telemetry.start(TelemetrySettings(metrics=MetricSettings(**settings)))
    return telemetry


async def fetch(telemetry: SelfTelemetry) -> str:
    async with aiohttp.ClientSession() as session, session.get(telemetry.addresses[0]) as response:
        assert response.content_type == "text/plain"
        return await response.text()


async def test_counters_keep_their_names_unless_the_suffix_is_asked_for() -> None:
    metrics = SelfMetrics()
    metrics.counter("otelcol_exporter_sent_spans", exporter="otlp").add(3)
    plain = await served(metrics, address="127.0.0.1:0")
    assert (await fetch(plain)).splitlines() == [
        "# TYPE otelcol_exporter_sent_spans counter",
        'otelcol_exporter_sent_spans{exporter="otlp"} 3',
    ]
    await plain.stop()
    reader = {"pull": {"exporter": {"prometheus": {"host": "127.0.0.1", "port": 0, "without_type_suffix": False}}}}
    suffixed = await served(metrics, readers=[reader])
    assert "otelcol_exporter_sent_spans_total{" in await fetch(suffixed)
    await suffixed.stop()
    await suffixed.stop()


async def test_a_gauge_that_cannot_be_read_does_not_cost_the_others() -> None:
    metrics = SelfMetrics()
    metrics.gauge("broken", lambda: 1 / 0)
    metrics.gauge("sound", lambda: 7)
    telemetry = await served(metrics, address="127.0.0.1:0")
    assert (await fetch(telemetry)).splitlines() == ["# TYPE sound gauge", "sound{} 7"]
    assert metrics.total("ophion_gauge_read_failures", gauge="broken") == 1
    await telemetry.stop()


async def test_label_values_are_escaped_and_series_that_end_disappear() -> None:
    metrics = SelfMetrics()
    remove = metrics.gauge("size", lambda: 1, exporter='a"b\\c\nd')
    telemetry = await served(metrics, address="127.0.0.1:0")
    assert r'size{exporter="a\"b\\c\nd"} 1' in await fetch(telemetry)
    remove()
    assert "exporter" not in await fetch(telemetry)
    await telemetry.stop()


async def test_an_ipv6_address_and_every_interface_can_be_listened_on() -> None:
    for address in ("[::1]:0", ":0", "0.0.0.0:0"):
        telemetry = await served(SelfMetrics(), address=address)
        assert telemetry.addresses[0].endswith("/metrics")
        await telemetry.stop()


async def test_level_none_serves_nothing() -> None:
    telemetry = await served(SelfMetrics(), level="none")
    assert telemetry.addresses == []


async def test_an_address_that_is_taken_is_told_with_the_remedy() -> None:
    first = await served(SelfMetrics(), address="127.0.0.1:0")
    port = first.addresses[0].rpartition(":")[2].partition("/")[0]
    with pytest.raises(OphionError, match=f"cannot listen on 127.0.0.1:{port}: .*; set another port or level: none"):
        await served(SelfMetrics(), address=f"127.0.0.1:{port}")
    await first.stop()


def test_a_later_gauge_is_not_removed_with_the_one_it_replaced() -> None:
    metrics = SelfMetrics()
    remove_first = metrics.gauge("size", lambda: 1, exporter="a")
    metrics.gauge("size", lambda: 2, exporter="a")
    remove_first()
    assert [sample.value for sample in metrics.samples()] == [2]


def test_totals_sum_the_series_that_have_the_attributes() -> None:
    metrics = SelfMetrics()
    metrics.counter("sent", exporter="a", signal="logs").add(1)
    metrics.counter("sent", exporter="a", signal="traces").add(2)
    metrics.counter("sent", exporter="b").add(4)
    assert (metrics.total("sent"), metrics.total("sent", exporter="a"), metrics.total("none")) == (7, 3, 0)
