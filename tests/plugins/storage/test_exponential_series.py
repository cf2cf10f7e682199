"""The series of an exponential histogram: its count, its sum, and the histogram itself."""

from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest

from ophion_storage.store import TelemetryStore
from telemetry_store import ingest


async def test_an_exponential_histogram_is_a_series_of_its_own(store: TelemetryStore) -> None:
    request = ExportMetricsServiceRequest()
    metric = request.resource_metrics.add().scope_metrics.add().metrics.add(name="http.duration", unit="s")
    point = metric.exponential_histogram.data_points.add(count=3, sum=1.5, scale=2, zero_count=1, time_unix_nano=1)
    point.positive.offset = -3
    point.positive.bucket_counts.extend([1, 1])
    point.attributes.add(key="http.route").value.string_value = "/"
    await ingest(store, "metrics", request.SerializeToString())

    rows = await store.query(
        "SELECT metric_name, labels, kind, unit, series_id = stream_id AS itself, "
        "series_id IN (SELECT stream_id FROM exponential_histograms) AS kept, "
        "series_id IN (SELECT series_id FROM samples) AS sampled FROM series ORDER BY metric_name",
        tenant="default",
    )

    common = ({"http_route": "/"}, "histogram", "s")
    assert rows.rows() == [
        ("http_duration_seconds", *common, 1, 1, 0),
        ("http_duration_seconds_count", *common, 0, 0, 1),
        ("http_duration_seconds_sum", *common, 0, 0, 1),
    ]
