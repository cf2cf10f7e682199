from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from opentelemetry.proto.metrics.v1 import metrics_pb2

from ophion_agent.prometheus_names import Kind
from ophion_agent.testing import EPOCH_NS
from ophion_exporters.prometheus_series import HistogramSeries, NativeSeries, NumberSeries, Series, SummarySeries
from ophion_exporters.prometheus_store import Store, StoreSettings
from prometheus_payloads import DELTA, SECOND, MetricsBuilder

SERVICE = {"service.name": "cart", "service.namespace": "shop", "service.instance.id": "i-1", "host.name": "h"}


def store_of(*builders: MetricsBuilder, **fields: Any) -> Store:
    store = Store(StoreSettings(**fields))
    for builder in builders:
        store.accumulate(builder.payload, 0.0)
    return store


def exposed(store: Store, now: float = 0.0) -> dict[str, dict[tuple[tuple[str, str], ...], Series]]:
    return {family.name: dict(family.series) for family in store.families(now)}


def only(store: Store, name: str, now: float = 0.0) -> Any:
    [series] = exposed(store, now)[name].values()
    return series


def test_job_and_instance_come_from_the_service_attributes() -> None:
    [labels] = exposed(store_of(MetricsBuilder(SERVICE).gauge("up", 1, {"a": "b"})))["up"]
    assert labels == (("a", "b"), ("instance", "i-1"), ("job", "shop/cart"))


def test_target_info_carries_the_other_resource_attributes() -> None:
    [labels] = exposed(store_of(MetricsBuilder(SERVICE).gauge("up")))["target_info"]
    assert labels == (("host_name", "h"), ("instance", "i-1"), ("job", "shop/cart"))


def test_resource_without_service_has_no_target_info() -> None:
    assert list(exposed(store_of(MetricsBuilder({"host.name": "h"}).gauge("up")))) == ["up"]


def test_scope_becomes_labels_unless_switched_off() -> None:
    builder = MetricsBuilder({}, "lib", version="1.2", schema_url="https://s", team="x").gauge("up")
    [labels] = exposed(store_of(builder))["up"]
    assert labels == (
        ("otel_scope_name", "lib"),
        ("otel_scope_schema_url", "https://s"),
        ("otel_scope_team", "x"),
        ("otel_scope_version", "1.2"),
    )
    assert list(exposed(store_of(builder, scope_labels=False))["up"]) == [()]


def test_resource_attributes_are_copied_by_pattern() -> None:
    store = store_of(MetricsBuilder(SERVICE).gauge("up"), included=("*",), excluded=("service.*",))
    [labels] = exposed(store)["up"]
    assert ("host_name", "h") in labels
    assert "service_name" not in dict(labels)


def test_constant_labels_win_over_data() -> None:
    store = store_of(MetricsBuilder().gauge("up", 1, {"zone": "data"}), const_labels={"zone": "eu", "the rack": "r"})
    assert list(exposed(store)["up"]) == [(("exported_zone", "data"), ("the_rack", "r"), ("zone", "eu"))]


def test_attribute_order_does_not_make_another_series() -> None:
    store = store_of(
        MetricsBuilder().gauge("up", 1, {"a": "1", "b": "2"}), MetricsBuilder().gauge("up", 5, {"b": "2", "a": "1"})
    )
    assert only(store, "up").value == 5


def test_empty_label_is_no_label() -> None:
    assert list(exposed(store_of(MetricsBuilder().gauge("up", 1, {"a": ""})))["up"]) == [()]


def test_older_point_is_dropped() -> None:
    store = store_of(MetricsBuilder().gauge("up", 1))
    dropped = store.accumulate(MetricsBuilder().gauge("up", 2, time=EPOCH_NS - 1).payload, 0.0)
    assert dropped == {"out_of_order": 1}
    assert only(store, "up").value == 1


def test_integers_stay_exact() -> None:
    assert only(store_of(MetricsBuilder().counter("c", 2**53 + 1)), "c_total").value == 2**53 + 1


def test_delta_sum_becomes_cumulative() -> None:
    store = store_of(
        *(
            MetricsBuilder().counter("c", 5, temporality=DELTA, start=EPOCH_NS + i, time=EPOCH_NS + i + 1)
            for i in range(4)
        )
    )
    series = only(store, "c_total")
    assert (series.value, series.start, series.time) == (20, EPOCH_NS, EPOCH_NS + 4)


def test_delta_sum_of_unknown_start_becomes_cumulative() -> None:
    store = store_of(*(MetricsBuilder().counter("c", 5, temporality=DELTA, time=EPOCH_NS + i) for i in range(3)))
    assert only(store, "c_total").value == 15


def test_delta_sum_begins_anew_after_a_gap() -> None:
    store = store_of(
        MetricsBuilder().counter("c", 5, temporality=DELTA, start=EPOCH_NS, time=EPOCH_NS + 1),
        MetricsBuilder().counter("c", 7, temporality=DELTA, start=EPOCH_NS + 9, time=EPOCH_NS + 10),
    )
    series = only(store, "c_total")
    assert (series.value, series.start) == (7, EPOCH_NS + 9)


def test_delta_histogram_becomes_cumulative() -> None:
    store = store_of(
        *(
            MetricsBuilder().histogram(
                "h", [1, 2, 3], [1, 5], temporality=DELTA, total=4.0, start=EPOCH_NS + i, time=EPOCH_NS + i + 1
            )
            for i in range(3)
        )
    )
    series = only(store, "h")
    assert isinstance(series, HistogramSeries)
    assert (series.counts, series.count, series.sum, series.start) == ([3, 6, 9], 18, 12.0, EPOCH_NS)


def test_overlapping_delta_histogram_is_dropped() -> None:
    store = store_of(MetricsBuilder().histogram("h", [1, 1], [1], temporality=DELTA, start=EPOCH_NS - SECOND))
    builder = MetricsBuilder().histogram(
        "h", [1, 1], [1], temporality=DELTA, start=EPOCH_NS - 5, time=EPOCH_NS + SECOND
    )
    assert store.accumulate(builder.payload, 0.0) == {"out_of_order": 1}
    assert only(store, "h").count == 2


def test_delta_histogram_with_new_bounds_begins_anew() -> None:
    store = store_of(
        MetricsBuilder().histogram("h", [1, 1], [1], temporality=DELTA),
        MetricsBuilder().histogram("h", [4, 4], [2], temporality=DELTA),
    )
    assert only(store, "h").counts == [4, 4]


def test_delta_exponential_histograms_of_different_scales_add_up() -> None:
    store = store_of(
        MetricsBuilder().exponential("h", [1, 2, 3, 4], scale=1, offset=-2, temporality=DELTA, zeros=1, total=2.0),
        MetricsBuilder().exponential("h", [10, 20], scale=0, offset=-1, temporality=DELTA, negative=[5], total=3.0),
    )
    series = only(store, "h")
    assert isinstance(series, NativeSeries)
    assert series.buckets.scale == 0
    assert series.buckets.positive == {-1: 13, 0: 27}
    assert series.buckets.negative == {-1: 5}
    assert (series.count, series.sum, series.buckets.zero_count) == (46, 5.0, 1)


def test_huge_bucket_offsets_stay_small_in_memory() -> None:
    store = store_of(
        MetricsBuilder().exponential("h", [1] * 1000, scale=8, offset=-(2**31), temporality=DELTA),
        MetricsBuilder().exponential("h", [1] * 1000, scale=20, offset=2**31 - 1000, temporality=DELTA),
    )
    buckets = only(store, "h").buckets
    assert len(buckets.positive) <= 320
    assert sum(buckets.positive.values()) == 2000


def test_summary_keeps_its_quantiles() -> None:
    series = only(store_of(MetricsBuilder().summary("s", {0.5: 1.0, 0.99: 3.0, 7.0: 9.0}, count=4, total=6.0)), "s")
    assert isinstance(series, SummarySeries)
    assert series.quantiles == [(0.5, 1.0), (0.99, 3.0)]


@pytest.mark.parametrize(
    "builder",
    [
        MetricsBuilder().counter("c", temporality=DELTA, monotonic=False),
        MetricsBuilder().counter("c", temporality=0),
        MetricsBuilder().histogram("c", [1], [], temporality=0),
    ],
)
def test_what_prometheus_cannot_show_is_counted(builder: MetricsBuilder) -> None:
    store = Store(StoreSettings())
    assert store.accumulate(builder.payload, 0.0) == {"unsupported": 1}
    assert exposed(store) == {}


def test_series_without_updates_expires() -> None:
    store = store_of(MetricsBuilder(SERVICE).gauge("old"), expiration_seconds=60)
    store.accumulate(MetricsBuilder(SERVICE).gauge("new").payload, 50.0)
    assert sorted(exposed(store, 60.0)) == ["new", "old", "target_info"]
    assert sorted(exposed(store, 61.0)) == ["new", "target_info"]
    assert len(store) == 1
    assert exposed(store, 111.0) == {}


def test_expired_series_are_removed_without_any_scrape() -> None:
    store = store_of(MetricsBuilder().gauge("old", 1, {"a": "b"}), expiration_seconds=60)
    store.accumulate(MetricsBuilder().gauge("new").payload, 61.0)
    assert len(store) == 1


def test_no_recorded_value_drops_the_series() -> None:
    store = store_of(
        MetricsBuilder().counter("c", 5, temporality=DELTA), MetricsBuilder().counter("c", temporality=DELTA, flags=1)
    )
    assert exposed(store) == {}
    store.accumulate(MetricsBuilder().counter("c", 2, temporality=DELTA).payload, 0.0)
    assert only(store, "c_total").value == 2


def test_first_type_of_a_name_wins_until_it_expires() -> None:
    store = store_of(MetricsBuilder().gauge("a.b"), expiration_seconds=60)
    other = MetricsBuilder().histogram("a_b", [1, 2], [1]).payload
    assert store.accumulate(other, 1.0) == {"type_conflict": 1}
    assert store.accumulate(other, 2.0) == {"type_conflict": 1}
    assert store.conflicts == {"a_b": "a histogram came where a gauge is exposed"}
    store.sweep(100.0)
    assert store.accumulate(other, 101.0) == {}
    assert isinstance(only(store, "a_b", 101.0), HistogramSeries)


@pytest.mark.parametrize("name", ["h_count", "h_bucket", "target_info"])
def test_family_that_would_use_taken_sample_names_is_refused(name: str) -> None:
    store = store_of(MetricsBuilder().histogram("h", [1], []))
    assert store.accumulate(MetricsBuilder().gauge(name).payload, 0.0) == {"type_conflict": 1}
    assert name in store.conflicts


def test_classic_and_exponential_histograms_share_a_name() -> None:
    store = store_of(
        MetricsBuilder().histogram("h", [1], [], {"v": "old"}),
        MetricsBuilder().exponential("h", [1], attributes={"v": "new"}),
    )
    assert {type(series) for series in exposed(store)["h"].values()} == {HistogramSeries, NativeSeries}


def test_series_beyond_the_limit_are_dropped_and_counted() -> None:
    store = Store(StoreSettings(max_series=2))
    builder = MetricsBuilder()
    for number in range(5):
        builder.gauge("up", number, {"n": str(number)})
    assert store.accumulate(builder.payload, 0.0) == {"series_limit": 3}
    assert len(exposed(store)["up"]) == 2
    assert len(store) == 2


def test_metrics_and_resources_beyond_the_limit_are_not_remembered() -> None:
    store = Store(StoreSettings(max_series=3))
    for number in range(10):
        store.accumulate(MetricsBuilder({"host": str(number)}).gauge("up").payload, 0.0)
        store.accumulate(MetricsBuilder().gauge(f"metric_{number}").payload, 0.0)
    assert len(store) == 3


def test_unknown_prometheus_type_survives() -> None:
    store = store_of(MetricsBuilder().gauge("x", 1, metadata={"prometheus.type": "unknown"}))
    assert [family.kind for family in store.families(0.0)] == [Kind.UNTYPED]


def test_exemplars_of_the_last_point_are_kept() -> None:
    exemplar = metrics_pb2.Exemplar(trace_id=b"\x01" * 16, as_int=3)
    store = store_of(MetricsBuilder().counter("c", 1, exemplars=[exemplar]))
    assert only(store, "c_total").exemplars == [exemplar.SerializeToString()]
    store.accumulate(MetricsBuilder().counter("c", 2).payload, 0.0)
    assert only(store, "c_total").exemplars == []


@settings(suppress_health_check=[HealthCheck.too_slow], deadline=None)
@given(st.lists(st.lists(st.integers(0, 1000), min_size=2, max_size=2), min_size=1, max_size=8))
def test_any_split_of_deltas_gives_the_same_cumulative_value(steps: list[list[int]]) -> None:
    store, time = Store(StoreSettings()), EPOCH_NS
    for length, value in steps:
        end = time + length + 1
        store.accumulate(MetricsBuilder().counter("c", value, temporality=DELTA, start=time, time=end).payload, 0.0)
        time = end
    series = only(store, "c_total")
    assert isinstance(series, NumberSeries)
    assert series.value == sum(value for _, value in steps)
    assert (series.start, series.time) == (EPOCH_NS, time)
