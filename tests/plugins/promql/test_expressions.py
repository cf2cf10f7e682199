"""What expressions mean, beside the comparison with a Prometheus: the shapes that a dashboard and an alert rely on."""

import math

import pytest

from ophion_agent.server import BadRequest, Problem
from ophion_promql.errors import BadQuery, FailedQuery, QueryTimeout
from ophion_promql.evaluating import classified
from tests.plugins.promql.conftest import Asked


async def test_selects_the_newest_sample_within_the_lookback(asked: Asked) -> None:
    assert await asked.instant("memory", 607) == {"__name__=memory,instance=a": 100, "__name__=memory,instance=b": 200}
    assert await asked.instant("memory", 899.999) != {}
    assert await asked.instant("memory", 900) == {}


async def test_lookback_of_prometheus_2_has_both_ends(asked_as_prometheus2: Asked) -> None:
    assert len(await asked_as_prometheus2.instant("memory", 900)) == 2
    assert await asked_as_prometheus2.instant("memory", 900.001) == {}


async def test_a_stale_marker_ends_a_series(asked: Asked) -> None:
    found = await asked.range("ending", 120, 180, 15)

    assert list(found["__name__=ending"]) == [120, 135]
    assert await asked.instant("count_over_time(ending[5m])", 200) == {"": 10}


async def test_ranges_leave_out_their_first_instant(asked: Asked, asked_as_prometheus2: Asked) -> None:
    query = 'count_over_time(memory{instance="a"}[1m])'

    assert await asked.instant(query) == {"instance=a": 4}
    assert await asked_as_prometheus2.instant(query) == {"instance=a": 5}


async def test_rate_extrapolates_to_the_ends_of_the_range(asked: Asked, asked_as_prometheus2: Asked) -> None:
    for each in (asked, asked_as_prometheus2):
        found = await each.instant('rate(requests_total{code="500"}[5m])')
        assert found == pytest.approx({"code=500,instance=a": 1 / 15, "code=500,instance=b": 2 / 15})


async def test_ids_with_the_same_labels_are_one_series(asked: Asked) -> None:
    assert await asked.instant("count_over_time(split[10m])") == {"x=y": 40}
    assert await asked.instant("split") == {"__name__=split,x=y": 7}
    assert await asked.instant("count(split)") == {"": 1}


async def test_aggregates_by_labels_and_without(asked: Asked) -> None:
    assert await asked.instant("sum by (code) (requests_total)") == {"code=200": 1200, "code=500": 120}
    assert await asked.instant("max without (code) (requests_total)") == {"instance=a": 400, "instance=b": 800}
    assert await asked.instant("count(odd > 1) or group(absent_thing)") == {"": 1}


async def test_matches_vectors_with_included_labels(asked: Asked) -> None:
    query = "sum by (instance) (requests_total) * on(instance) group_left(version) info"

    assert await asked.instant(query) == {"instance=a,version=v1": 440, "instance=b,version=v2": 880}


async def test_keeps_metric_names_where_values_are_only_filtered(asked: Asked) -> None:
    assert await asked.instant("memory > 150") == {"__name__=memory,instance=b": 200}
    assert await asked.instant("memory > bool 150") == {"instance=a": 0, "instance=b": 1}


async def test_subqueries_run_on_their_own_grid(asked: Asked) -> None:
    found = await asked.instant('max_over_time(rate(requests_total{code="200",instance="a"}[1m])[5m:30s])')

    assert found == pytest.approx({"code=200,instance=a": 10 / 15})


async def test_fixed_times_hold_over_a_range(asked: Asked) -> None:
    found = await asked.range('requests_total{code="500",instance="a"} @ end()', 0, 600, 300)

    assert list(found.values()) == [{0: 40, 300: 40, 600: 40}]


async def test_interpolates_within_buckets(asked: Asked) -> None:
    assert await asked.instant("histogram_quantile(0.5, latency_bucket)") == {"": pytest.approx(0.3)}
    assert await asked.instant("histogram_quantile(0.99, latency_bucket)") == {"": 0.5}


async def test_texts_and_special_values_come_through(asked: Asked) -> None:
    [labels] = await asked.instant("labelled")
    odd = await asked.instant("odd")

    assert labels == '__name__=labelled,text=quote " back \\ line \n é'
    assert math.isnan(odd["__name__=odd,kind=nan"])
    assert odd["__name__=odd,kind=inf"] == math.inf


async def test_scalars_strings_and_samples_of_ranges(asked: Asked) -> None:
    assert await asked.instant("1 + 2 * 3") == 7
    assert await asked.instant("'text'") == "text"
    assert await asked.instant('memory{instance="a"}[30s]') == {"__name__=memory,instance=a": {585: 100, 600: 100}}
    assert await asked.range("vector(time()) - 1700000000", 0, 60, 30) == {"": {0: 0, 30: 30, 60: 60}}


async def test_functions_of_native_histograms_answer_nothing_and_say_why(asked: Asked) -> None:
    from ophion_promql.grid import single
    from tests.plugins.promql.conftest import START

    answer = await asked.evaluator.instant_text("histogram_count(memory)", single(START), "default")

    assert answer.result == b"[]"
    assert answer.warnings == ("histogram_count() answers for native histograms only, and its argument has none",)


async def test_gives_series_to_other_plugins(asked: Asked) -> None:
    from ophion_promql.grid import Grid
    from tests.plugins.promql.conftest import START

    grid = Grid(START, START + 60_000, 30_000)
    [series] = await asked.evaluator.series('memory{instance="a"}', grid, "default")
    [scalar] = await asked.evaluator.series("2", grid, "default")

    assert series.labels == {"__name__": "memory", "instance": "a"}
    assert series.points == [(START / 1000 + at, 100.0) for at in (0, 30, 60)]
    assert scalar.labels == {}
    assert [value for _, value in scalar.points] == [2, 2, 2]


@pytest.mark.parametrize(
    ("expression", "message"),
    [
        ("memory + on() memory", "found duplicate series for the match group on the right hand-side"),
        ("requests_total * on(instance) memory", "many-to-one matching must be explicit"),
        ("info * on(instance) group_right() requests_total * on(instance) group_left() requests_total", "many-to-many"),
        ('label_replace(memory, "instance", "x", "", "")', "vector cannot contain metrics with the same labelset"),
        ("sum_over_time({__name__=~'memory|info', instance='a', version=''}[1m]) + topk(1e30, memory)", "overflows"),
        ('label_replace(memory, "1", "x", "instance", ".*")', "invalid destination label name in label_replace(): 1"),
        ('label_join(memory, "1", ",", "instance")', "invalid destination label name in label_join(): 1"),
        ('label_join(memory, "x", ",", "1")', "invalid source label name in label_join(): 1"),
        ('count_values("1", memory)', 'invalid label name "1"'),
        ("double_exponential_smoothing(memory[5m], 2, 0.5)", "invalid smoothing factor. Expected: 0 < sf < 1"),
        ("holt_winters(memory[5m], 0.5, time())", "trend factor: must be a number, not an expression"),
        ("avg_over_time(memory[60d:1s])", "evaluates its expression more than 1000000 times"),
        ("info(memory)", "function info() is not supported"),
    ],
)
async def test_refuses_what_the_data_does_not_allow(asked: Asked, expression: str, message: str) -> None:
    with pytest.raises(FailedQuery) as refused:
        await asked.instant(expression)

    assert message in refused.value.detail
    assert refused.value.code == 422


async def test_refuses_a_pattern_that_the_engine_cannot_compile(asked: Asked) -> None:
    with pytest.raises(BadQuery, match="not valid RE2"):
        await asked.instant('label_replace(memory, "x", "$1", "instance", "(")')


async def test_refuses_more_series_and_times_than_allowed(asked: Asked) -> None:
    small = type(asked.evaluator.bounds)(series=1, points=10, seconds=30)
    asked.evaluator.bounds = small

    with pytest.raises(FailedQuery, match="the selector matches more than 1 series; add label matchers"):
        await asked.instant("memory")
    with pytest.raises(BadQuery, match="exceeded maximum resolution of 10 points per timeseries"):
        await asked.range("1")


async def test_refuses_ranges_and_strings_over_a_range(asked: Asked) -> None:
    with pytest.raises(BadQuery, match='invalid expression type "range vector" for range query'):
        await asked.range("memory[5m]")
    with pytest.raises(BadQuery, match='invalid expression type "string" for range query'):
        await asked.range("'x'")


async def test_gives_up_at_the_deadline(asked: Asked) -> None:
    with pytest.raises(QueryTimeout, match="query timed out in expression evaluation") as late:
        await asked.evaluator.instant_text("memory", _now(), "default", seconds=1e-9)

    assert late.value.code == 503


def _now() -> object:
    from ophion_promql.grid import single
    from tests.plugins.promql.conftest import START

    return single(START)


def test_errors_are_problems_of_the_framework() -> None:
    assert issubclass(BadQuery, BadRequest)
    assert isinstance(classified(RuntimeError("boom")), Problem)
