"""A real Prometheus scrapes the exporter."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from opentelemetry.proto.metrics.v1 import metrics_pb2

from ophion_agent.plugin import Clock
from ophion_agent.testing import make_component
from ophion_exporters.prometheus import PrometheusExporter
from prometheus_payloads import DELTA, SECOND, MetricsBuilder
from prometheus_server import Prometheus, running_prometheus

SERVICE = {"service.name": "cart", "service.namespace": "shop", "service.instance.id": "i-1", "host.name": "h"}


@asynccontextmanager
async def scraped(
    directory: Path, builder: MetricsBuilder, features: tuple[str, ...] = (), **config: Any
) -> AsyncIterator[tuple[PrometheusExporter, Prometheus]]:
    exporter = make_component(PrometheusExporter, {"endpoint": "127.0.0.1:0", **config}, clock=Clock())
    await exporter.start()
    assert exporter.server is not None
    try:
        await exporter.export(builder.batch)
        async with running_prometheus(
            directory, [f"127.0.0.1:{exporter.server.port}"], features=features
        ) as prometheus:
            yield exporter, prometheus
    finally:
        await exporter.stop()
        await exporter.context.close()


async def test_reads_every_kind_from_the_text_format(tmp_path: Path) -> None:
    builder = (
        MetricsBuilder(SERVICE, "lib", version="1")
        .gauge("room.temperature", -1.5, {"room": 'a"\\\n é'}, unit="Cel", description='the "room"\n\\')
        .counter("http.requests", 7)
        .histogram("latency", [1, 2, 3], [0.5, 1], unit="s", total=4.5)
        .exponential("size", [1, 2, 4], scale=0, offset=0, unit="By", total=9.0)
        .summary("age", {0.5: 1.5}, count=3, total=6.0)
    )
    async with scraped(tmp_path, builder) as (_, prometheus):
        [room] = await prometheus.wait_for("room_temperature_celsius")
        assert room["value"][1] == "-1.5"
        assert room["metric"] == {
            "__name__": "room_temperature_celsius",
            "instance": "i-1",
            "job": "shop/cart",
            "otel_scope_name": "lib",
            "otel_scope_version": "1",
            "room": 'a"\\\n é',
        }
        assert await prometheus.value('http_requests_total{job="shop/cart"}') == 7
        assert await prometheus.value('latency_seconds_bucket{le="1"}') == 3
        assert await prometheus.value("latency_seconds_sum") == 4.5
        assert await prometheus.value('size_bytes_bucket{le="4"}') == 3
        assert await prometheus.value('size_bytes_bucket{le="+Inf"}') == 7
        assert await prometheus.value('age{quantile="0.5"}') == 1.5
        assert await prometheus.value('target_info{host_name="h", job="shop/cart", instance="i-1"}') == 1
        metadata = await prometheus.get("metadata", metric="http_requests_total")
        assert metadata["http_requests_total"][0]["type"] == "counter"


async def test_reads_openmetrics_with_exemplars(tmp_path: Path) -> None:
    now = Clock().now_ns()
    exemplar = metrics_pb2.Exemplar(as_double=1, trace_id=b"\x0a" * 16, span_id=b"\x0b" * 8, time_unix_nano=now)
    builder = (
        MetricsBuilder().counter("hits", 7, exemplars=[exemplar]).histogram("h", [1, 2], [1], exemplars=[exemplar])
    )
    features = ("exemplar-storage",)
    async with scraped(tmp_path, builder, features, enable_open_metrics=True, send_timestamps=False) as (_, prometheus):
        assert await prometheus.value("hits_total") == 7
        found = await prometheus.get(
            "query_exemplars",
            query="{__name__=~'hits_total|h_bucket'}",
            start=str(now / 1e9 - 60),
            end=str(now / 1e9 + 60),
        )
        assert {series["seriesLabels"]["__name__"] for series in found} == {"hits_total", "h_bucket"}
        assert {series["exemplars"][0]["labels"]["trace_id"] for series in found} == {"0a" * 16}


async def test_reads_native_histograms_from_protobuf(tmp_path: Path) -> None:
    builder = (
        MetricsBuilder(SERVICE)
        .exponential("latency", [1, 2, 0, 0, 4], scale=1, offset=-1, negative=[3], zeros=5, total=6.5)
        .counter("hits", 300, {"a": "é"})
        .summary("age", {0.5: 1.5}, count=3, total=6.0)
        .histogram("classic", [1, 2], [5], total=4.0)
    )
    async with scraped(tmp_path, builder, ("native-histograms",)) as (_, prometheus):
        assert await prometheus.value("histogram_count(latency)") == 15
        assert await prometheus.value("histogram_sum(latency)") == 6.5
        [series] = await prometheus.wait_for('latency{job="shop/cart"}')
        buckets = [(float(low), float(high), int(count)) for _, low, high, count in series["histogram"][1]["buckets"]]
        assert [count for _, _, count in buckets] == [3, 5, 1, 2, 4]
        assert buckets[2][1] == 1.0
        assert await prometheus.value('hits_total{a="é"}') == 300
        assert await prometheus.value('age{quantile="0.5"}') == 1.5
        assert await prometheus.value('classic_bucket{le="5.0"}') == 1


async def test_sees_deltas_grow_and_a_dropped_series_end(tmp_path: Path) -> None:
    start = Clock().now_ns()
    first = MetricsBuilder().counter("hits", 5, temporality=DELTA, start=start, time=start + SECOND)
    second = MetricsBuilder().counter("hits", 6, temporality=DELTA, start=start + SECOND, time=start + 2 * SECOND)
    async with scraped(tmp_path, first) as (exporter, prometheus):
        assert await prometheus.value("hits_total == 5") == 5
        await exporter.export(second.batch)
        assert await prometheus.value("hits_total == 11") == 11
        await exporter.export(MetricsBuilder().counter("hits", temporality=DELTA, flags=1).batch)
        await prometheus.wait_for("absent(hits_total)")
