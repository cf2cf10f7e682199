import pytest
from hypothesis import given
from hypothesis import strategies as st
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, ArrayValue, KeyValue, KeyValueList

from ophion_agent.prometheus_names import (
    Kind,
    Namer,
    TranslationStrategy,
    add_labels,
    is_legacy_label_name,
    is_legacy_metric_name,
    label_texts,
    value_text,
)


@pytest.mark.parametrize(
    ("name", "unit", "kind", "expected"),
    [
        ("http.server.duration", "s", Kind.HISTOGRAM, "http_server_duration_seconds"),
        ("http.server.duration", "ms", Kind.HISTOGRAM, "http_server_duration_milliseconds"),
        ("system.memory.usage", "By", Kind.GAUGE, "system_memory_usage_bytes"),
        ("system.cpu.utilization", "1", Kind.GAUGE, "system_cpu_utilization_ratio"),
        ("system.cpu.time", "s", Kind.COUNTER, "system_cpu_time_seconds_total"),
        ("requests", "{request}", Kind.COUNTER, "requests_total"),
        ("requests.total", "1", Kind.COUNTER, "requests_total"),
        ("total.requests", "1", Kind.COUNTER, "requests_total"),
        ("requests.1", "1", Kind.COUNTER, "requests_1_total"),
        ("network.io", "By/s", Kind.GAUGE, "network_io_bytes_per_second"),
        ("network.bytes", "By/s", Kind.GAUGE, "network_bytes_per_second"),
        ("speed", "{request}/min", Kind.GAUGE, "speed_per_min"),
        ("speed", "km/h", Kind.GAUGE, "speed_km_per_hour"),
        ("load", "%", Kind.GAUGE, "load_percent"),
        ("temperature", "°F", Kind.GAUGE, "temperature_F"),
        ("2xx.responses", "", Kind.COUNTER, "_2xx_responses_total"),
        ("a..b__c", "", Kind.GAUGE, "a_b_c"),
        ("job:request:rate", "", Kind.GAUGE, "job:request:rate"),
        ("größe", "", Kind.GAUGE, "gr_e"),
        ("", "", Kind.GAUGE, "_"),
        ("...", "", Kind.GAUGE, "_"),
    ],
)
def test_names_follow_the_otlp_to_prometheus_rules(name: str, unit: str, kind: Kind, expected: str) -> None:
    assert Namer().metric(name, unit, kind) == expected


def test_non_monotonic_sum_never_becomes_a_ratio() -> None:
    assert Namer().metric("queue.length", "1", Kind.GAUGE, up_down=True) == "queue_length"


@pytest.mark.parametrize(
    ("strategy", "expected"),
    [
        (TranslationStrategy.UNDERSCORES_WITH_SUFFIXES, "my_app_http_requests_seconds_total"),
        (TranslationStrategy.UNDERSCORES, "my_app_http_requests"),
        (TranslationStrategy.UTF8_WITH_SUFFIXES, "my-app_http.requests_seconds_total"),
        (TranslationStrategy.UNCHANGED, "my-app_http.requests"),
    ],
)
def test_strategy_decides_about_suffixes_and_characters(strategy: TranslationStrategy, expected: str) -> None:
    assert Namer("my-app", strategy).metric("http.requests", "s", Kind.COUNTER) == expected


@pytest.mark.parametrize("strategy", [TranslationStrategy.UNDERSCORES, TranslationStrategy.UNDERSCORES_WITH_SUFFIXES])
def test_namespace_is_sanitised_too(strategy: TranslationStrategy) -> None:
    assert Namer("test@namespace!!", strategy).metric("@metric", "", Kind.GAUGE) == "test_namespace_metric"


def test_utf8_suffixes_are_not_repeated() -> None:
    namer = Namer(strategy=TranslationStrategy.UTF8_WITH_SUFFIXES)
    assert namer.metric("http.time.seconds_total", "s", Kind.COUNTER) == "http.time_seconds_total"


@pytest.mark.parametrize(
    ("key", "expected"),
    [
        ("http.method", "http_method"),
        ("http..method", "http_method"),
        ("http__method", "http_method"),
        ("_private", "_private"),
        ("__name__", "_name_"),
        ("1st", "key_1st"),
        ("", "_"),
        ("日本", "_"),
    ],
)
def test_label_names_are_sanitised(key: str, expected: str) -> None:
    assert Namer().label(key) == expected


@given(st.text(), st.text(max_size=8), st.sampled_from(Kind), st.text(max_size=5))
def test_every_name_is_valid(name: str, unit: str, kind: Kind, namespace: str) -> None:
    for strategy in (TranslationStrategy.UNDERSCORES_WITH_SUFFIXES, TranslationStrategy.UNDERSCORES):
        namer = Namer(namespace, strategy)
        assert is_legacy_metric_name(namer.metric(name, unit, kind))
        assert is_legacy_label_name(namer.label(name))
        assert not namer.label(name).startswith("__")


def test_values_of_colliding_keys_are_joined_in_key_order() -> None:
    attributes = [KeyValue(key=key, value=AnyValue(string_value=text)) for key, text in (("a_b", "2"), ("a.b", "1"))]
    assert label_texts(Namer(), attributes) == {"a_b": "1;2"}


def test_data_label_with_a_reserved_name_is_exported() -> None:
    labels = {"job": "checkout"}
    add_labels(labels, ("job", "le"), {"job": "batch", "le": "5", "host": "a"})
    assert labels == {"job": "checkout", "exported_job": "batch", "exported_le": "5", "host": "a"}


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (AnyValue(string_value='a"b'), 'a"b'),
        (AnyValue(bool_value=True), "true"),
        (AnyValue(int_value=-5), "-5"),
        (AnyValue(double_value=2.5), "2.5"),
        (AnyValue(double_value=2.0), "2"),
        (AnyValue(bytes_value=b"\x00\xff"), "AP8="),
        (AnyValue(), ""),
        (AnyValue(array_value=ArrayValue(values=[AnyValue(int_value=1), AnyValue(string_value="é")])), '[1,"é"]'),
        (
            AnyValue(kvlist_value=KeyValueList(values=[KeyValue(key="k", value=AnyValue(bool_value=False))])),
            '{"k":false}',
        ),
    ],
)
def test_attribute_values_become_text(value: AnyValue, expected: str) -> None:
    assert value_text(value) == expected
