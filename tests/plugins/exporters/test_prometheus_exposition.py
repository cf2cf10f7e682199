import math
from functools import cache
from typing import Any

import pytest
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory
from google.protobuf.internal.decoder import _DecodeVarint32  # type: ignore[attr-defined]
from google.protobuf.unknown_fields import UnknownFieldSet
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.metrics.v1 import metrics_pb2
from prometheus_client import Metric
from prometheus_client import parser as text_parser
from prometheus_client.openmetrics import parser as openmetrics_parser

from ophion_agent.prometheus_names import Namer, TranslationStrategy
from ophion_agent.testing import EPOCH_NS
from ophion_exporters.prometheus_exposition import Encoding, Format, accepts_gzip, negotiate
from ophion_exporters.prometheus_protobuf import render_protobuf
from ophion_exporters.prometheus_store import Store, StoreSettings
from ophion_exporters.prometheus_text import boundary, number, render_text
from prometheus_payloads import MetricsBuilder
from strategies import messages

TEXT, OPENMETRICS, PROTOBUF = (Format(encoding) for encoding in Encoding)


def store_of(*builders: MetricsBuilder, strategy: TranslationStrategy | None = None) -> Store:
    namer = Namer(strategy=strategy or TranslationStrategy.UNDERSCORES_WITH_SUFFIXES)
    store = Store(StoreSettings(namer=namer))
    for builder in builders:
        store.accumulate(builder.payload, 0.0)
    return store


def text_of(store: Store, layout: Format = TEXT) -> str:
    return "".join(render_text(store.families(0.0), layout))


def lines_of(builder: MetricsBuilder, layout: Format = TEXT) -> list[str]:
    return [line for line in text_of(store_of(builder), layout).splitlines() if not line.startswith("#")]


def parse_text(text: str) -> list[Metric]:
    return list(text_parser.text_string_to_metric_families(text))


def parse_openmetrics(text: str) -> list[Metric]:
    return list(openmetrics_parser.text_string_to_metric_families(text))  # type: ignore[no-untyped-call]


def openmetrics_families(store: Store) -> dict[str, Metric]:
    return {family.name: family for family in parse_openmetrics(text_of(store, OPENMETRICS))}


def test_text_carries_help_type_and_escaped_labels() -> None:
    builder = MetricsBuilder().counter("hits", 5, {"path": 'a\\b"c\nd'}, description='all\nthe "hits" \\')
    assert text_of(store_of(builder)) == (
        '# HELP hits_total all\\nthe "hits" \\\\\n# TYPE hits_total counter\nhits_total{path="a\\\\b\\"c\\nd"} 5\n'
    )


@pytest.mark.parametrize(
    ("value", "expected"),
    [(5, "5"), (0.25, "0.25"), (1e300, "1e+300"), (math.nan, "NaN"), (math.inf, "+Inf"), (-math.inf, "-Inf")],
)
def test_special_values_are_written_as_prometheus_reads_them(value: float, expected: str) -> None:
    assert lines_of(MetricsBuilder().gauge("g", value)) == [f"g {expected}"]
    assert number(value) == expected


@pytest.mark.parametrize(
    ("bound", "text", "openmetrics"),
    [
        (5, "5", "5.0"),
        (0.005, "0.005", "0.005"),
        (999999.0, "999999", "999999.0"),
        (1e6, "1e+06", "1e+06"),
        (1234567.0, "1.234567e+06", "1.234567e+06"),
        (0.00001, "1e-05", "1e-05"),
        (-2.5, "-2.5", "-2.5"),
        (math.inf, "+Inf", "+Inf"),
    ],
)
def test_bounds_are_written_as_go_does(bound: float, text: str, openmetrics: str) -> None:
    assert boundary(bound, openmetrics=False) == text
    assert boundary(bound, openmetrics=True) == openmetrics


@given(st.floats(allow_nan=False))
def test_bounds_read_back_exactly(bound: float) -> None:
    assert float(boundary(bound, openmetrics=True)) == bound


def test_histogram_buckets_are_cumulative_and_end_at_infinity() -> None:
    assert lines_of(MetricsBuilder().histogram("h", [1, 2, 3], [1, 2.5], {"a": "b"}, total=7.5)) == [
        'h_bucket{a="b",le="1"} 1',
        'h_bucket{a="b",le="2.5"} 3',
        'h_bucket{a="b",le="+Inf"} 6',
        'h_sum{a="b"} 7.5',
        'h_count{a="b"} 6',
    ]


def test_irregular_bounds_are_put_right() -> None:
    builder = MetricsBuilder().histogram("h", [1, 2, 3, 4, 5], [5, 1, 1, math.inf], total=None)
    assert lines_of(builder) == ['h_bucket{le="1"} 5', 'h_bucket{le="5"} 6', 'h_bucket{le="+Inf"} 15', "h_count 15"]


def test_histogram_without_buckets_has_the_infinite_one() -> None:
    assert lines_of(MetricsBuilder().histogram("h", [], [])) == ['h_bucket{le="+Inf"} 0', "h_sum 0.0", "h_count 0"]


def test_openmetrics_leaves_out_sum_and_count_of_histograms_with_negative_bounds() -> None:
    builder = MetricsBuilder().histogram("h", [1, 2], [-1], total=7.5)
    assert lines_of(builder, OPENMETRICS) == ['h_bucket{le="-1.0"} 1', 'h_bucket{le="+Inf"} 3']


def test_exponential_histogram_shows_powers_of_two_in_text() -> None:
    builder = MetricsBuilder().exponential("h", [1, 2, 4, 8], scale=1, offset=-2, negative=[3, 3], zeros=5)
    assert lines_of(builder) == [
        'h_bucket{le="-0.5"} 6',
        'h_bucket{le="0"} 11',
        'h_bucket{le="0.5"} 11',
        'h_bucket{le="1"} 14',
        'h_bucket{le="2"} 26',
        'h_bucket{le="+Inf"} 26',
        "h_sum 0.0",
        "h_count 26",
    ]


def test_summary_lines() -> None:
    assert lines_of(MetricsBuilder().summary("s", {0.5: 1.5, 1.0: 2.0}, {"a": "b"}, count=4, total=6.0)) == [
        's{a="b",quantile="0.5"} 1.5',
        's{a="b",quantile="1"} 2.0',
        's_sum{a="b"} 6.0',
        's_count{a="b"} 4',
    ]


def test_timestamps_are_milliseconds_in_text_and_seconds_in_openmetrics() -> None:
    builder = MetricsBuilder().gauge("g", 1, time=1_700_000_000_123_456_789)
    assert lines_of(builder, Format(Encoding.TEXT, timestamps=True)) == ["g 1 1700000000123"]
    assert lines_of(builder, Format(Encoding.OPENMETRICS, timestamps=True)) == ["g 1 1700000000.123"]


def test_openmetrics_names_counters_without_total_and_ends_with_eof() -> None:
    text = text_of(store_of(MetricsBuilder().counter("hits", 5)), OPENMETRICS)
    assert text == "# TYPE hits counter\nhits_total 5\n# EOF\n"


def test_openmetrics_counter_without_the_suffix_is_unknown() -> None:
    store = store_of(MetricsBuilder().counter("hits", 5), strategy=TranslationStrategy.UNDERSCORES)
    assert openmetrics_families(store)["hits"].type == "unknown"


def test_openmetrics_counter_gives_way_to_a_gauge_of_its_base_name() -> None:
    families = openmetrics_families(store_of(MetricsBuilder().counter("hits", 5).gauge("hits", 2)))
    assert {name: family.type for name, family in families.items()} == {"hits": "gauge", "hits_total": "unknown"}


def test_openmetrics_carries_exemplars_on_counters_and_buckets() -> None:
    def exemplar(value: float, mark: int, **fields: Any) -> metrics_pb2.Exemplar:
        trace = bytes([mark]) * 16
        made = metrics_pb2.Exemplar(as_double=value, trace_id=trace, span_id=trace[:8], time_unix_nano=EPOCH_NS + mark)
        for key, text in fields.items():
            made.filtered_attributes.add(key=key).value.string_value = text
        return made

    builder = MetricsBuilder().counter("hits", 5, exemplars=[exemplar(1, 1, user="u", long="x" * 200)])
    builder.histogram("h", [1, 2], [10], total=3.0, exemplars=[exemplar(5, 1), exemplar(7, 2), exemplar(11, 3)])
    families = openmetrics_families(store_of(builder))
    [hit] = [sample.exemplar for sample in families["hits"].samples if sample.exemplar]
    assert hit.labels == {"trace_id": "01" * 16, "span_id": "01" * 8, "user": "u"}
    marks = [sample.exemplar.labels["span_id"] for sample in families["h"].samples if sample.exemplar]
    assert marks == ["02" * 8, "03" * 8]


def test_text_carries_no_exemplars() -> None:
    builder = MetricsBuilder().counter("hits", 5, exemplars=[metrics_pb2.Exemplar(as_int=1)])
    assert lines_of(builder) == ["hits_total 5"]


def test_utf8_names_are_quoted_for_those_who_take_them_and_escaped_for_others() -> None:
    store = store_of(MetricsBuilder().gauge("größe.x", 1, {"a.b": "c"}), strategy=TranslationStrategy.UNCHANGED)
    assert text_of(store, Format(utf8=True)) == '# TYPE "größe.x" gauge\n{"größe.x","a.b"="c"} 1\n'
    assert text_of(store) == '# TYPE gr__e_x gauge\ngr__e_x{a_b="c"} 1\n'


def test_names_that_escape_to_the_same_are_exposed_once() -> None:
    store = store_of(MetricsBuilder().gauge("a.b", 1).gauge("a_b", 2), strategy=TranslationStrategy.UNCHANGED)
    assert text_of(store) == "# TYPE a_b gauge\na_b 1\n"


PROMETHEUS_2_42 = "application/openmetrics-text;version=1.0.0,text/plain;version=0.0.4;q=0.5,*/*;q=0.1"
NATIVE = "application/vnd.google.protobuf;proto=io.prometheus.client.MetricFamily;encoding=delimited,text/plain;q=0.2"


@pytest.mark.parametrize(
    ("accept", "openmetrics", "expected"),
    [
        ("", True, "text/plain; version=0.0.4; charset=utf-8"),
        ("*/*", True, "text/plain; version=0.0.4; charset=utf-8"),
        ("image/png", True, "text/plain; version=0.0.4; charset=utf-8"),
        (PROMETHEUS_2_42, True, "application/openmetrics-text; version=1.0.0; charset=utf-8"),
        (PROMETHEUS_2_42, False, "text/plain; version=0.0.4; charset=utf-8"),
        ("text/plain;q=0.9,application/openmetrics-text;q=0.1", True, "text/plain; version=0.0.4; charset=utf-8"),
        ("application/openmetrics-text;q=0", True, "text/plain; version=0.0.4; charset=utf-8"),
        ("application/openmetrics-text;q=high", True, "text/plain; version=0.0.4; charset=utf-8"),
        (
            NATIVE,
            False,
            "application/vnd.google.protobuf; proto=io.prometheus.client.MetricFamily; encoding=delimited",
        ),
        ("application/vnd.google.protobuf;proto=other", False, "text/plain; version=0.0.4; charset=utf-8"),
    ],
)
def test_format_is_negotiated(accept: str, openmetrics: bool, expected: str) -> None:
    assert negotiate(accept, openmetrics).content_type == expected


def test_utf8_is_served_only_where_it_is_accepted() -> None:
    accept = "text/plain;version=1.0.0;escaping=allow-utf-8"
    assert negotiate(accept, False, utf8=True).content_type.endswith("escaping=allow-utf-8")
    assert not negotiate("text/plain", False, utf8=True).utf8
    assert not negotiate(accept, False, utf8=False).utf8


@pytest.mark.parametrize(("header", "expected"), [("gzip, br", True), ("", False), ("gzip;q=0", False), ("*", True)])
def test_gzip_is_negotiated(header: str, expected: bool) -> None:
    assert accepts_gzip(header) is expected


# --- the protobuf format, read back through descriptors of prometheus/client_model

_MODEL = {
    "LabelPair": {"name": (1, "string"), "value": (2, "string")},
    "Gauge": {"value": (1, "double")},
    "Untyped": {"value": (1, "double")},
    "Time": {"seconds": (1, "int64"), "nanos": (2, "int32")},
    "Exemplar": {"label": (1, "*LabelPair"), "value": (2, "double"), "timestamp": (3, "Time")},
    "Counter": {"value": (1, "double"), "exemplar": (2, "Exemplar"), "created_timestamp": (3, "Time")},
    "Quantile": {"quantile": (1, "double"), "value": (2, "double")},
    "Summary": {"sample_count": (1, "uint64"), "sample_sum": (2, "double"), "quantile": (3, "*Quantile")},
    "Bucket": {"cumulative_count": (1, "uint64"), "upper_bound": (2, "double"), "exemplar": (3, "Exemplar")},
    "Span": {"offset": (1, "sint32"), "length": (2, "uint32")},
    "Histogram": {
        "sample_count": (1, "uint64"),
        "sample_sum": (2, "double"),
        "bucket": (3, "*Bucket"),
        "schema": (5, "sint32"),
        "zero_threshold": (6, "double"),
        "zero_count": (7, "uint64"),
        "negative_span": (9, "*Span"),
        "negative_delta": (10, "*sint64"),
        "positive_span": (12, "*Span"),
        "positive_delta": (13, "*sint64"),
        "created_timestamp": (15, "Time"),
        "exemplars": (16, "*Exemplar"),
    },
    "Metric": {
        "label": (1, "*LabelPair"),
        "gauge": (2, "Gauge"),
        "counter": (3, "Counter"),
        "summary": (4, "Summary"),
        "untyped": (5, "Untyped"),
        "timestamp_ms": (6, "int64"),
        "histogram": (7, "Histogram"),
    },
    "MetricFamily": {"name": (1, "string"), "help": (2, "string"), "type": (3, "int32"), "metric": (4, "*Metric")},
}


@cache
def _family_class() -> Any:
    field_type = descriptor_pb2.FieldDescriptorProto
    file = descriptor_pb2.FileDescriptorProto(name="model.proto", package="model", syntax="proto3")
    for message_name, fields in _MODEL.items():
        message = file.message_type.add(name=message_name)
        for name, (field_number, type_name) in fields.items():
            field = message.field.add(name=name, number=field_number)
            field.label = field_type.LABEL_REPEATED if type_name.startswith("*") else field_type.LABEL_OPTIONAL
            plain = type_name.removeprefix("*")
            if plain in _MODEL:
                field.type, field.type_name = field_type.TYPE_MESSAGE, f".model.{plain}"
            else:
                field.type = getattr(field_type, f"TYPE_{plain.upper()}")
    pool = descriptor_pool.DescriptorPool()
    pool.AddSerializedFile(file.SerializeToString())
    return message_factory.GetMessageClass(pool.FindMessageTypeByName("model.MetricFamily"))


def read_protobuf(store: Store, layout: Format = PROTOBUF) -> dict[str, Any]:
    data, position, families = b"".join(render_protobuf(store.families(0.0), layout)), 0, {}
    family_class = _family_class()
    while position < len(data):
        size, position = _DecodeVarint32(data, position)
        family = family_class.FromString(data[position : position + size])
        assert len(UnknownFieldSet(family)) == 0
        families[family.name] = family
        position += size
    return families


def test_protobuf_carries_numbers_and_labels() -> None:
    builder = MetricsBuilder().gauge("g", -1.5, {"a": "é"}).counter("c", 300, start=EPOCH_NS, description="d")
    families = read_protobuf(store_of(builder), Format(Encoding.PROTOBUF, timestamps=True))
    [gauge], [counter] = families["g"].metric, families["c_total"].metric
    assert [(label.name, label.value) for label in gauge.label] == [("a", "é")]
    assert (gauge.gauge.value, counter.counter.value, counter.counter.created_timestamp.seconds) == (
        -1.5,
        300.0,
        1_700_000_000,
    )
    assert (families["g"].type, families["c_total"].type, families["c_total"].help) == (1, 0, "d")
    assert gauge.timestamp_ms == EPOCH_NS // 1_000_000


def test_protobuf_carries_native_histograms_beside_classic_buckets() -> None:
    exemplar = metrics_pb2.Exemplar(as_double=1.0, trace_id=b"\x01" * 16, time_unix_nano=EPOCH_NS)
    builder = MetricsBuilder().exponential(
        "h", [4, 0, 0, 1, 3], scale=2, offset=-2, negative=[2], zeros=7, total=2.5, exemplars=[exemplar]
    )
    [metric] = read_protobuf(store_of(builder))["h"].metric
    histogram = metric.histogram
    assert (histogram.sample_count, histogram.sample_sum, histogram.schema, histogram.zero_count) == (17, 2.5, 2, 7)
    assert histogram.zero_threshold > 0
    assert [(span.offset, span.length) for span in histogram.positive_span] == [(-1, 1), (2, 2)]
    assert list(histogram.positive_delta) == [4, -3, 2]
    assert [(span.offset, span.length) for span in histogram.negative_span] == [(-1, 1)]
    assert list(histogram.negative_delta) == [2]
    assert [entry.label[0].value for entry in histogram.exemplars] == ["01" * 16]
    assert histogram.bucket[-1].cumulative_count == 17


def test_protobuf_lowers_scales_that_prometheus_does_not_take() -> None:
    fine = MetricsBuilder().exponential("fine", [1] * 8, scale=10, offset=0)
    coarse = MetricsBuilder().exponential("coarse", [1], scale=-6, offset=0)
    families = read_protobuf(store_of(fine, coarse))
    assert families["fine"].metric[0].histogram.schema == 8
    assert list(families["fine"].metric[0].histogram.positive_delta) == [4, 0]
    assert not families["coarse"].metric[0].histogram.positive_span
    assert families["coarse"].metric[0].histogram.bucket[-1].cumulative_count == 1


def test_protobuf_carries_summaries() -> None:
    [metric] = read_protobuf(store_of(MetricsBuilder().summary("s", {0.5: 1.5}, count=4, total=6.0)))["s"].metric
    assert (metric.summary.sample_count, metric.summary.sample_sum) == (4, 6.0)
    assert [(entry.quantile, entry.value) for entry in metric.summary.quantile] == [(0.5, 1.5)]


# --- whatever comes in, what goes out is valid

NAMES = st.text(max_size=6) | st.sampled_from(
    ["a", "a.b", "a_b", "a_total", "a_created", "a_count", "h", "h_sum", "le"]
)
LABELS = st.dictionaries(NAMES | st.sampled_from(["job", "quantile", "__name__"]), st.text(max_size=5), max_size=3)
KINDS = st.sampled_from(["gauge", "counter", "histogram", "exponential", "summary"])


@st.composite
def builders(draw: st.DrawFn) -> MetricsBuilder:
    builder = MetricsBuilder(draw(LABELS), draw(st.text(max_size=3)))
    for _ in range(draw(st.integers(1, 5))):
        name, attributes = draw(NAMES), draw(LABELS)
        common: dict[str, Any] = {
            "unit": draw(st.sampled_from(["", "1", "s", "By/s", "%", "µ"])),
            "description": draw(st.text(max_size=5)),
        }
        match draw(KINDS):
            case "gauge":
                builder.gauge(name, draw(st.floats()), attributes, **common)
            case "counter":
                builder.counter(name, draw(st.floats(0, allow_nan=False)), attributes, **common)
            case "histogram":
                builder.histogram(
                    name, draw(st.lists(st.integers(0, 9), max_size=4)), [1, 2.5, 1e9], attributes, **common
                )
            case "exponential":
                counts = st.lists(st.integers(0, 9), max_size=9)
                scale, offset = draw(st.integers(-10, 20)), draw(st.integers(-(2**31), 2**31 - 20))
                builder.exponential(
                    name, draw(counts), scale, offset, draw(counts), draw(st.integers(0, 3)), attributes, **common
                )
            case _:
                builder.summary(
                    name, draw(st.dictionaries(st.floats(0, 1), st.floats(0), max_size=3)), attributes, **common
                )
    return builder


@settings(max_examples=60, suppress_health_check=[HealthCheck.too_slow], deadline=None)
@given(st.lists(builders(), min_size=1, max_size=3), st.sampled_from(TranslationStrategy), st.booleans())
def test_any_metrics_make_a_valid_exposition(
    requests: list[MetricsBuilder], strategy: TranslationStrategy, timestamps: bool
) -> None:
    store = store_of(*requests, strategy=strategy)
    assert_valid(store, timestamps)


def assert_valid(store: Store, timestamps: bool) -> None:
    text = text_of(store, Format(Encoding.TEXT, timestamps=timestamps))
    samples = [sample for family in parse_text(text) for sample in family.samples]
    lines = [line for line in text.split("\n") if line and not line.startswith("#")]
    # Labels are sorted, so what precedes value and timestamp identifies a series.
    identities = {line.rsplit(" ", 2 if timestamps else 1)[0] for line in lines}
    assert len(identities) == len(samples) == len(lines)
    parse_openmetrics(text_of(store, Format(Encoding.OPENMETRICS, timestamps=timestamps)))
    parse_openmetrics(text_of(store, Format(Encoding.OPENMETRICS, utf8=True, timestamps=timestamps)))
    assert set(read_protobuf(store)) >= {family.name for family in parse_text(text) if family.type != "counter"}


@settings(max_examples=60, suppress_health_check=[HealthCheck.too_slow], deadline=None)
@given(messages(ExportMetricsServiceRequest))
def test_any_otlp_request_is_taken_and_exposed_in_every_format(request: ExportMetricsServiceRequest) -> None:
    store = Store(StoreSettings())
    store.accumulate(request.SerializeToString(), 0.0)
    for layout in (TEXT, OPENMETRICS):
        text_of(store, layout)
    read_protobuf(store)
