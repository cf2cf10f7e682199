"""What a request tells without being decoded."""

from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest

from ophion_agent import skeleton


def test_finds_the_kinds_of_data_in_a_request_by_one_parse() -> None:
    request = ExportMetricsServiceRequest()
    for name in ("sum", "histogram", "sum", "summary"):
        metric = request.resource_metrics.add().scope_metrics.add().metrics.add(name=name)
        getattr(metric, name).data_points.add(time_unix_nano=1)
    request.resource_metrics[0].scope_metrics[0].metrics.add(name="empty").gauge.SetInParent()
    request.resource_metrics[0].scope_metrics[0].metrics.add(name="nothing")

    assert skeleton.metric_kinds(request.SerializeToString()) == {"sum", "histogram", "summary"}


def test_finds_no_kind_in_a_request_without_points() -> None:
    assert skeleton.metric_kinds(b"") == frozenset()
