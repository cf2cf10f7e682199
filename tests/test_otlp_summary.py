import orjson

from ophion_agent.batch import Batch, Logs, Metrics
from ophion_agent.otlp_json import encode
from ophion_agent.otlp_summary import summary_lines
from ophion_agent.testing import make_logs, make_metrics, make_traces


def lines(batch: Batch) -> list[str]:
    return list(summary_lines(orjson.loads(encode(batch.view().message))))


def test_one_line_per_record_says_what_it_is() -> None:
    assert lines(make_traces(1)) == ["22:13:20.000 span   checkout 'operation-0' 1.000 ms trace=" + "0" * 32]
    assert lines(make_metrics(2, region="eu"))[1] == "22:13:20.000 metric checkout requests{region=eu} 1 1"
    assert lines(make_logs(1)) == ["22:13:20.000 log    checkout severity 9 message 0"]


def test_a_histogram_is_shown_by_count_and_sum() -> None:
    request = Metrics.request_type()
    metric = request.resource_metrics.add().scope_metrics.add().metrics.add(name="latency", unit="ms")
    metric.histogram.data_points.add(count=3, sum=4.5)
    assert lines(Metrics.from_message(request)) == ["00:00:00.000 metric - latency count=3 sum=4.5 ms"]


def test_absurd_times_and_empty_records_are_shown() -> None:
    request = Logs.request_type()
    record = request.resource_logs.add().scope_logs.add().log_records.add(time_unix_nano=2**64 - 1)
    record.body.SetInParent()
    request.resource_logs[0].scope_logs[0].log_records.add()
    assert [line.split()[1:3] for line in lines(Logs.from_message(request))] == [["log", "-"]] * 2
