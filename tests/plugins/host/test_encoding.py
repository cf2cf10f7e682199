from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import KeyValue

from ophion_agent import otlp_writing as wire
from ophion_host.config import ScrapersConfig
from ophion_host.metric import counter, gauge, updown
from ophion_host.receiver import request_of
from ophion_host.recorder import Recorder

METRICS = (
    counter("a.count", "1", "Ä count", "k", "l"),
    counter("a.seconds", "s", "", "k", "l", value="double"),
    updown("a.size", "By", "size", "k", "l"),
    gauge("a.level", "1", "level", "k", "l"),
    gauge("a.page", "By", "page", "k", "l", value="int"),
)
INTEGERS = st.integers(-(2**63), 2**63 - 1)
TEXT = st.text(st.characters(codec="utf-8"))
POINTS = st.lists(st.tuples(st.sampled_from(range(len(METRICS))), INTEGERS, TEXT, TEXT), max_size=20)


@given(POINTS, st.integers(0, 2**63), st.integers(0, 2**63))
def test_recorded_points_are_decoded_as_they_were(points: Any, start_ns: int, now_ns: int) -> None:
    recorder = Recorder("scope", "1.2", METRICS)
    recorder.begin(now_ns, start_ns)
    expected = []
    for index, number, k, v in points:
        metric = METRICS[index]
        value = number if metric.value == "int" else float(number)
        recorder.add(metric, value, k, v)
        start = start_ns if metric.kind == "sum" else 0
        expected.append((metric.name, metric.unit, metric.description, start, now_ns, value, [("k", k), ("l", v)]))
    scrape = recorder.finish()
    assert scrape.points == len(points)
    assert sorted(decoded(request_of([scrape])), key=repr) == sorted(expected, key=repr)


def decoded(payload: bytes) -> list[Any]:
    found = []
    for group in ExportMetricsServiceRequest.FromString(payload).resource_metrics:
        for metric in group.scope_metrics[0].metrics:
            for point in getattr(metric, str(metric.WhichOneof("data"))).data_points:
                attributes = [(pair.key, pair.value.string_value) for pair in point.attributes]
                times = (point.start_time_unix_nano, point.time_unix_nano)
                value = getattr(point, point.WhichOneof("value"))
                found.append((metric.name, metric.unit, metric.description, *times, value, attributes))
    return found


@given(st.integers(0, 2**63 - 1))
def test_integer_attributes_are_decoded_as_they_were(number: int) -> None:
    assert KeyValue.FromString(wire.key_value("pid", number)).value.int_value == number


def test_name_that_is_not_utf8_is_replaced_not_refused() -> None:
    name = b"disk\xff".decode("utf-8", "surrogateescape")
    assert KeyValue.FromString(wire.key_value("device", name)).value.string_value == "disk?"


def test_empty_value_is_present() -> None:
    assert KeyValue.FromString(wire.key_value("device", "")).value.WhichOneof("value") == "string_value"


def test_groups_have_their_own_start_and_dropped_ones_leave_nothing() -> None:
    metric = counter("a", "1", "")
    recorder = Recorder("scope", "", [metric])
    recorder.begin(now_ns=9, start_ns=1)
    recorder.start_group(5)
    recorder.add(metric, 7)
    recorder.end_group(wire.resource([("process.pid", 3)]))
    recorder.start_group(6)
    recorder.add(metric, 8)
    recorder.drop_group()
    scrape = recorder.finish()
    (group,) = ExportMetricsServiceRequest.FromString(request_of([scrape])).resource_metrics
    (point,) = group.scope_metrics[0].metrics[0].sum.data_points
    assert (point.start_time_unix_nano, point.as_int, scrape.points) == (5, 7, 1)


def test_cache_of_series_does_not_grow_with_names_that_come_and_go() -> None:
    metric = updown("a", "1", "", "device")
    recorder = Recorder("scope", "", [metric])
    for number in range(5000):
        recorder.begin(number, 0)
        recorder.add(metric, 1, f"veth{number}")
        recorder.finish()
    assert recorder.series_cached < 1100


FILES = sorted(
    str(path.relative_to(Path(__file__).parents[2] / "testdata/host/root"))
    for path in (Path(__file__).parents[2] / "testdata/host/root/proc").rglob("*")
    if path.is_file()
)


@pytest.mark.parametrize("name", ScrapersConfig.order)
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=25, deadline=None)
@given(file=st.sampled_from(FILES), cut=st.integers(0, 400), junk=st.binary(max_size=40))
def test_no_content_of_proc_makes_a_scrape_raise_or_emit_what_is_not_otlp(
    runner: Any, root: Path, name: str, file: str, cut: int, junk: bytes
) -> None:
    target = root / file
    content = target.read_bytes()
    try:
        target.write_bytes(content[:cut] + junk + content[cut:])
        runner(name, enable="all").scrape()
    finally:
        target.write_bytes(content)
