"""The pure parts of the benchmarks: payloads, counting, configurations and figures."""

from __future__ import annotations

import importlib.util
import io
import itertools
from dataclasses import replace
from pathlib import Path

import pytest
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from benchmarks import fresh, harness, log_lines, payloads
from benchmarks.__main__ import SCRIPTS
from benchmarks.process import quantiles
from benchmarks.sink import Ids
from benchmarks.systems import OPHION, ROTEL, Job, Ports, collector_config

PORTS = Ports(grpc_in=1001, http_in=1002, grpc_out=2001, http_out=2002)
RUN = harness.Run("a", items=1000, requests=10, cpu_seconds=2.0, seconds=4.0, peak_rss=2**20, generator_cpu_seconds=1.0)


@pytest.mark.parametrize("signal", ["traces", "metrics", "logs"])
@pytest.mark.parametrize("items", [1, 10, 512])
def test_counter_counts_every_item_of_joined_requests(signal: payloads.Signal, items: int) -> None:
    make = payloads.MAKERS[signal]
    assert payloads.Counter(signal).count(make(items, 1) + make(items, 2)) == 2 * items


def test_spans_are_about_370_bytes() -> None:
    assert 350 <= len(payloads.traces(512)) / 512 <= 390


def test_same_seed_gives_the_same_request() -> None:
    assert payloads.traces(10, 3) == payloads.traces(10, 3) != payloads.traces(10, 4)


def test_numbered_requests_carry_consecutive_ids() -> None:
    numbered = payloads.Numbered(25)
    assert payloads.span_ids(numbered.request(0)) == list(range(25))
    assert payloads.span_ids(numbered.request(25)) == list(range(25, 50))


def test_ids_tell_what_is_missing_and_what_came_twice() -> None:
    ids, numbered = Ids(), payloads.Numbered(10)
    ids.add(numbered.request(0))
    ids.add(numbered.request(0))
    assert ids.missing(10, [0]) == 0
    assert ids.missing(10, [0, 10]) == 10
    assert ids.total - len(ids.seen) == 10


def test_figures_are_per_million_items_and_per_request() -> None:
    assert (RUN.per_million, RUN.per_request_us, RUN.rate) == (2000.0, 200_000.0, 250.0)


def test_median_of_an_even_number_is_the_cheaper_middle_run() -> None:
    runs = [replace(RUN, cpu_seconds=seconds) for seconds in (4.0, 1.0, 3.0, 2.0)]
    assert harness.median(runs).cpu_seconds == 2.0


def test_row_compares_with_the_peer_and_judges_the_goal() -> None:
    peer = replace(RUN, system="peer", cpu_seconds=4.0)
    assert "0.50 x peer | <= 0.60 met |" in harness.row("job", [RUN], peer, 0.6)
    assert "0.50 x peer | <= 0.40 MISSED |" in harness.row("job", [RUN], peer, 0.4)


def test_durable_job_stores_the_exporter_queue(tmp_path: Path) -> None:
    config = collector_config(Job(durable=True, batch="exporter"), PORTS, tmp_path)
    assert config["exporters"]["otlp"]["sending_queue"]["storage"] == "file_storage"
    assert config["service"]["extensions"] == ["file_storage"]
    assert config["service"]["pipelines"]["traces"]["processors"] == []


def test_rotel_refuses_the_jobs_it_cannot_do(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="no zstd"):
        ROTEL.launch(Job(compression="zstd"), PORTS, tmp_path)


def test_ours_runs_the_collector_configuration(tmp_path: Path) -> None:
    launch = OPHION.launch(Job(), PORTS, tmp_path)
    assert launch.command[1:3] == ["run", "--config"]
    assert "127.0.0.1:2001" in Path(launch.command[3]).read_text()


@pytest.mark.parametrize("signal", ["traces", "metrics", "logs"])
def test_fresh_requests_are_valid_and_never_the_same(signal: payloads.Signal) -> None:
    requests = [body for _, body in itertools.islice(fresh.fresh_requests(signal, 20), fresh.POOL + 1)]
    assert [payloads.Counter(signal).count(body) for body in requests] == [20] * len(requests)
    assert len(set(requests)) == len(requests)


def test_fresh_spans_keep_their_tree_under_new_ids() -> None:
    template = fresh.FreshTraces(16, 1)
    first, second = (ExportTraceServiceRequest.FromString(template.request(0, base)) for base in (10**18, 10**18 + 5))
    spans = first.resource_spans[0].scope_spans[0].spans
    assert [span.parent_span_id for span in spans[:8]] == [b"", *[spans[0].span_id] * 7]
    assert len({span.trace_id for span in spans}) == 2
    later = second.resource_spans[0].scope_spans[0].spans
    assert {span.span_id for span in spans}.isdisjoint(span.span_id for span in later)
    assert later[3].start_time_unix_nano - spans[3].start_time_unix_nano == 5


def test_numbered_requests_are_one_trace_each() -> None:
    first, body = next(itertools.islice(fresh.fresh_requests("traces", 20, numbered=True), 2, None))
    spans = ExportTraceServiceRequest.FromString(body).resource_spans[0].scope_spans[0].spans
    assert payloads.span_ids(body) == list(range(first, first + 20))
    assert {span.trace_id for span in spans} == {fresh.trace_of(40)}


def test_fresh_points_belong_to_series_of_their_own_and_grow() -> None:
    template = fresh.FreshMetrics(100, 1)
    first, second = (ExportMetricsServiceRequest.FromString(template.request(n, n)) for n in (1, 2))
    names = [
        (metric.name, tuple((pair.key, pair.value.string_value) for pair in point.attributes))
        for metric in first.resource_metrics[0].scope_metrics[0].metrics
        for point in [*metric.sum.data_points, *metric.histogram.data_points]
    ]
    assert len(set(names)) == 100
    early, late = (request.resource_metrics[0].scope_metrics[0].metrics[0].histogram for request in (first, second))
    assert late.data_points[0].count == 2 * early.data_points[0].count == 2 * sum(early.data_points[0].bucket_counts)


def test_log_lines_have_the_wanted_words_as_often_as_they_say() -> None:
    chunks = list(log_lines.chunks(12_000, 10**18))
    words = [set(body.split()) for chunk in chunks for body in chunk.bodies]
    assert len(words) == 12_000
    for wanted in log_lines.wanted(12_000):
        assert sum(wanted.word in line for line in words) == wanted.lines(12_000)


def test_log_lines_are_the_same_in_files_and_requests() -> None:
    chunk = next(log_lines.chunks(50, 10**18))
    file = io.StringIO()
    chunk.write(file)
    records = ExportLogsServiceRequest.FromString(chunk.request()).resource_logs[0].scope_logs[0].log_records
    lines = file.getvalue().splitlines()
    assert [line.split(" ", 3)[3] for line in lines] == [record.body.string_value for record in records]
    assert [line.split(" ")[1] for line in lines] == [record.severity_text for record in records]


def test_quantiles_are_of_what_was_measured() -> None:
    assert quantiles(range(101)) == {"p50": 50, "p95": 95, "p99": 99, "max": 100}
    assert quantiles([]) == {"p50": 0.0, "p95": 0.0, "p99": 0.0, "max": 0.0}


def test_every_script_of_the_table_is_there() -> None:
    assert [name for name in SCRIPTS if importlib.util.find_spec(f"benchmarks.{name}") is None] == []
