"""What metric queries are worth, on a real engine: against the same sums over the shop's lines in Python."""

from collections.abc import Callable, Sequence
from typing import Any

import pytest

from grafana_shop import LINES, NOW, SECOND, START, Grafana
from ophion_agent.server import BadRequest
from ophion_grafana.logql_metrics import Limits, range_series
from ophion_grafana.logql_nodes import Binary, Grouping, LabelReplace, Number, RangeAggregate
from ophion_grafana.logql_parser import parse
from ophion_grafana.logql_vectors import Series, Steps, aggregate, best, between, replace_label, with_number

pytestmark = pytest.mark.asyncio(loop_scope="module")

CHECKOUT = '{service_name="checkout"}'


def lengths(numbers: Sequence[int]) -> float:
    """Return the bytes of the lines of `checkout` with these numbers."""
    line = 'level=info msg="Payment failed for order {n}" took={n}ms size={n}KB http.status=500'
    return float(sum(len(line.replace("{n}", str(number))) for number in numbers))


async def over_time(grafana: Grafana, query: str, step: str, **parameters: Any) -> dict[str, dict[int, float]]:
    """Return the values of each series by the seconds since the start."""
    result = (await grafana.loki("query_range", query=query, step=step, **parameters))["data"]
    assert result["resultType"] == "matrix"
    return {
        ",".join(f"{name}={value}" for name, value in series["metric"].items()): {
            round((time - START / SECOND) * 1000): float(value) for time, value in series["values"]
        }
        for series in result["result"]
    }


@pytest.mark.parametrize(
    ("operator", "model"),
    [
        ("count_over_time", lambda found, seconds: float(len(found))),
        ("rate", lambda found, seconds: len(found) / seconds),
        ("bytes_over_time", lambda found, seconds: lengths(found)),
        ("bytes_rate", lambda found, seconds: lengths(found) / seconds),
    ],
)
@pytest.mark.parametrize(
    ("window", "step"), [(30.0, 30.0), (60.0, 15.0), (10.0, 25.0), (7.0, 3.0), (1.5, 0.7), (90.0, 0.5)]
)
async def test_aggregates_the_lines_of_each_range(
    grafana: Grafana, operator: str, model: Callable[[Sequence[int], float], float], window: float, step: float
) -> None:
    query = f"sum by (service_name) ({operator}({CHECKOUT}[{round(window * 1000)}ms]))"
    found = await over_time(grafana, query, f"{round(step * 1000)}ms")

    expected = {}
    for at in range(0, LINES * 1000 + 1, round(step * 1000)):
        inside = [number for number in range(LINES) if at - window * 1000 < number * 1000 <= at]
        if inside:
            expected[at] = model(inside, window)
    (values,) = found.values()
    assert values == pytest.approx(expected)


async def test_counts_by_level_for_the_log_volume(grafana: Grafana) -> None:
    query = f"sum by (level, detected_level) (count_over_time({CHECKOUT} | drop __error__[1m]))"

    assert await over_time(grafana, query, "60s") == {
        "level=error,detected_level=error": {0: 1, 60_000: 20, 120_000: 19},
        "level=info,detected_level=info": {60_000: 40, 120_000: 40},
    }


async def test_makes_one_series_of_each_stream_without_a_grouping(grafana: Grafana) -> None:
    found = await over_time(grafana, 'count_over_time({service_name=~"c.*"}[2m])', "120s")

    assert set(found) == {
        "service_name=cart,k8s_pod_name=cart-1",
        "service_name=checkout,k8s_pod_name=checkout-1",
    }


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("vector(1)+vector(1)", {"": 2.0}),
        (f"sum(count_over_time({CHECKOUT}[2m]))", {"": 119.0}),
        (f"sum by (user_id) (count_over_time({CHECKOUT} | attempt < 10 [3m]))", {"u0": 3, "u1": 3, "u2": 2, "u3": 2}),
        (f"sum without (k8s_pod_name) (count_over_time({CHECKOUT}[2m]))", {"checkout": 119.0}),
        ('sum by (service_name) (count_over_time({service_name=~".+"} | json | status > 310 [3m]))', {"cart": 9.0}),
        (f"sum(count_over_time({CHECKOUT}[1m] offset 1m))", {"": 60.0}),
        (f"sum(sum_over_time({CHECKOUT} | unwrap attempt [3m]))", {"": 7140.0}),
        (f"sum(rate({CHECKOUT} | unwrap attempt [3m]))", {"": 7140 / 180}),
        (f"avg_over_time({CHECKOUT} | logfmt | unwrap duration(took) [3m]) by ()", {"": 0.0595}),
        (f"max_over_time({CHECKOUT} | logfmt | unwrap bytes(size) [3m]) by (service_name)", {"checkout": 119_000}),
        (f"min_over_time({CHECKOUT} | unwrap attempt | attempt > 5 [3m]) by ()", {"": 6}),
        (f"stdvar_over_time({CHECKOUT} | unwrap attempt [3m]) by ()", {"": (LINES**2 - 1) / 12}),
        (f"stddev_over_time({CHECKOUT} | unwrap attempt [3m]) by ()", {"": ((LINES**2 - 1) / 12) ** 0.5}),
        (f"first_over_time({CHECKOUT} | unwrap attempt [3m]) by ()", {"": 0}),
        (f"last_over_time({CHECKOUT} | unwrap attempt [3m]) by ()", {"": 119}),
        (f"quantile_over_time(0.5, {CHECKOUT} | unwrap attempt [3m]) by ()", {"": 59.5}),
        (f"quantile_over_time(0.99, {CHECKOUT} | unwrap attempt [3m]) by ()", {"": 117.81}),
        ('absent_over_time({service_name="gone"}[1m])', {"gone": 1.0}),
        (f"absent_over_time({CHECKOUT}[1m])", {}),
        ('count by (k8s_pod_name) (rate({service_name=~"c.*"}[1m]))', {"cart-1": 1, "checkout-1": 1}),
        ('max(count_over_time({service_name=~"c.*"}[1m]))', {"": 59.0}),
        (f"avg by (user_id) (count_over_time({CHECKOUT} | attempt < 10 [3m]))", {"u0": 3, "u1": 3, "u2": 2, "u3": 2}),
        (f"topk(1, sum by (user_id) (count_over_time({CHECKOUT} | attempt < 9 [3m])))", {"u0": 3.0}),
        (f"bottomk(1, sum by (user_id) (count_over_time({CHECKOUT} | attempt < 7 [3m])))", {"u3": 1.0}),
        (f"sum(count_over_time({CHECKOUT} | attempt < 4 [3m])) * 2 + 1", {"": 9.0}),
        (f"1 - sum(count_over_time({CHECKOUT} | attempt < 4 [3m]))", {"": -3.0}),
        (f"sum by (user_id) (count_over_time({CHECKOUT} | attempt < 5 [3m])) > 1", {"u0": 2.0}),
        (f"sum(count_over_time({CHECKOUT}[3m])) > bool 1", {"": 1.0}),
        (
            f'sum(count_over_time({CHECKOUT} | detected_level="error" [3m])) / sum(count_over_time({CHECKOUT}[3m]))',
            {"": 1 / 3},
        ),
        (
            'sum by (service_name) (count_over_time({service_name=~".+"}[3m])) '
            'and on (service_name) sum by (service_name) (count_over_time({k8s_pod_name="cart-1"}[3m]))',
            {"cart": 120.0},
        ),
        (
            'sum by (service_name) (count_over_time({service_name=~".+"}[3m])) '
            'unless sum by (service_name) (count_over_time({service_name=~"c.*"}[3m]))',
            {"unknown_service": 1.0},
        ),
        ('sum(count_over_time({service_name="gone"}[3m])) or vector(0)', {"": 0.0}),
        (
            'label_replace(sum by (service_name) (count_over_time({service_name="cart"}[3m])), '
            '"service_name", "$1-x", "service_name", "(.*)")',
            {"cart-x": 120.0},
        ),
    ],
)
async def test_evaluates_at_one_time(grafana: Grafana, query: str, expected: dict[str, float]) -> None:
    data = (await grafana.loki("query", query=query, time=str(NOW)))["data"]

    assert data["resultType"] == "vector"
    found = {",".join(series["metric"].values()): float(series["value"][1]) for series in data["result"]}
    assert found == pytest.approx(expected)
    assert all(series["value"][0] == NOW / SECOND for series in data["result"])


async def test_sorts_by_value(grafana: Grafana) -> None:
    query = f"sort_desc(sum by (user_id) (count_over_time({CHECKOUT} | attempt < 7 [3m])))"
    data = (await grafana.loki("query", query=query, time=str(NOW)))["data"]

    assert [series["value"][1] for series in data["result"]] == ["2", "2", "2", "1"]


async def test_answers_a_number_as_a_scalar(grafana: Grafana) -> None:
    data = (await grafana.loki("query", query="1 / 0", time="1700000000"))["data"]

    assert (data["resultType"], data["result"]) == ("scalar", [1_700_000_000, "+Inf"])
    over = (await grafana.loki("query_range", query="2 ^ 3", step="60"))["data"]["result"]
    assert over == [{"metric": {}, "values": [[START // SECOND + 60 * at, "8"] for at in range(3)]}]


@pytest.mark.parametrize(
    ("query", "message"),
    [
        ('{a="b"}', "log queries are not supported as an instant query type, please change your query to a range"),
        ("rate({}[1m])", "parse error : queries require at least one regexp or equality matcher"),
        ("sum(1)", "parse error : syntax error: a number stands where series are needed; write vector(...)"),
        ('1 and rate({a="b"}[1m])', "parse error : unexpected literal for a side of logical/set binary operation"),
        (
            'bytes_rate({service_name="cart"} | line_format "x" [1m])',
            "a filter or measure of lines after line_format is not supported",
        ),
        (
            'sum by (service_name) (rate({k8s_pod_name=~".+"}[1m])) / on () sum by (service_name) '
            '(rate({k8s_pod_name=~".+"}[1m]))',
            "parse error : multiple matches for labels: many-to-one matching is not supported; aggregate first",
        ),
        (
            'label_replace(rate({service_name="cart"}[1m]), "a", "b", "c", "(")',
            "parse error : invalid regex in label_replace",
        ),
        (
            'label_replace(rate({service_name="cart"}[1m]), "a", "$3", "service_name", "(.*)")',
            "parse error : label_replace: '$3' names a group that the regex has not",
        ),
    ],
)
async def test_refuses_an_expression_that_has_no_value(grafana: Grafana, query: str, message: str) -> None:
    answer = await grafana.ask("/loki/api/v1/query", query=query, time=str(NOW))

    assert (answer.status, answer.text[: len(message)]) == (400, message)


async def test_refuses_more_series_than_it_may_return(grafana: Grafana) -> None:
    node = parse(f"count_over_time({CHECKOUT}[3m])")
    assert isinstance(node, RangeAggregate)
    at = Steps(NOW, SECOND, 1)

    with pytest.raises(BadRequest, match=r"maximum number of series \(5\) reached for a single query"):
        await range_series(grafana.store, "default", node, Grouping(("attempt",)), at, Limits(5))
    assert len(await range_series(grafana.store, "default", node, Grouping(("user_id",)), at, Limits(5))) == 4


def _series(value: float | None, **labels: str) -> Series:
    return Series(labels, [value])


async def test_leaves_steps_without_a_value_empty() -> None:
    vector = [Series({"a": "1"}, [1.0, None]), Series({"a": "2"}, [2.0, None])]

    assert aggregate("sum", vector, None) == [Series({}, [3.0, None])]
    assert best("topk", 1, vector, None) == [Series({"a": "2"}, [2.0, None])]


async def test_groups_by_the_labels_that_stay() -> None:
    vector = [_series(1.0, a="1", b="1"), _series(2.0, a="1", b="2")]

    assert aggregate("stddev", vector, Grouping(("a",))) == [_series(0.5, a="1")]
    assert aggregate("avg", vector, Grouping(("b",), without=True)) == [_series(1.5, a="1")]


@pytest.mark.parametrize(
    ("operator", "expected"), [("/", None), ("%", None), ("^", 0.0), ("-", 4.0), ("*", 0.0), ("==", "gone")]
)
async def test_counts_with_zero(operator: str, expected: Any) -> None:
    result = with_number(Binary(operator, Number(0), Number(0)), [_series(4.0, a="1")], 0.0, number_first=False)
    if operator == "^":
        expected = 1.0

    if expected == "gone":
        assert result == []
    elif expected is None:
        assert result[0].points[0] == float("inf") or result[0].points[0] != result[0].points[0]
    else:
        assert result == [_series(expected, a="1")]


async def test_matches_series_by_the_labels_that_are_named() -> None:
    left, right = [_series(6.0, a="1", b="x")], [_series(3.0, a="1", b="y")]

    assert between(Binary("/", Number(0), Number(0)), left, right) == []
    found = between(Binary("/", Number(0), Number(0), matching="on", labels=("a",)), left, right)
    assert found == [_series(2.0, a="1")]
    found = between(Binary("/", Number(0), Number(0), matching="ignoring", labels=("b",)), left, right)
    assert found == [_series(2.0, a="1")]


async def test_keeps_series_whose_label_the_pattern_does_not_match() -> None:
    vector = [_series(1.0, a="xy")]

    assert replace_label(LabelReplace(Number(0), "b", "${1}", "a", "z(.*)"), vector) == vector
    assert replace_label(LabelReplace(Number(0), "a", "", "a", "x.*"), vector) == [_series(1.0)]
