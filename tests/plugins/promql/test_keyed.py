"""The two forms in which an expression is asked for give the same: labels kept in the engine, and labels kept here."""

import json
import math
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from ophion_agent.server import Problem, Series
from ophion_promql.compiling import Semantics
from ophion_promql.evaluating import Bounds, Evaluator
from ophion_promql.grid import Grid, single
from ophion_promql.nodes import Matcher
from ophion_promql.selecting import Selected
from ophion_promql.series_cache import SeriesCache
from tests.plugins.promql.conftest import START
from tests.plugins.promql.store import ChdbStore
from tests.plugins.promql.test_random_expressions import EXPRESSIONS

RANGE = Grid(START, START + 600_000, 150_000)
BOUNDS = Bounds(series=100, points=1000, seconds=30)
DASHBOARD = (
    "memory",
    'rate(requests_total{code="500"}[5m])',
    "sum by (instance) (rate(requests_total[5m]))",
    "sum without (code) (increase(requests_total[5m])) * 60",
    "histogram_quantile(0.9, sum by (le) (rate(latency_bucket[5m])))",
    'sum by (instance) (rate(requests_total{code="500"}[5m])) / on (instance) sum by (instance) (memory)',
    "memory / on (instance) group_left (version) info",
    "topk(1, sum by (code) (rate(requests_total[5m])))",
    "quantile(0.5, memory)",
    "absent(nothing)",
    "memory and on (instance) requests_total > 100",
    "memory unless requests_total",
    "quantile_over_time(0.5, memory[5m])",
    "max_over_time(sum(rate(requests_total[2m]))[5m:1m])",
    "predict_linear(memory[5m], 60)",
    "vector(1)",
    'sum(rate(requests_total{code="404"}[5m])) or vector(0)',
    "sum(rate(requests_total[5m])) or vector(0)",
    "memory or requests_total or on (instance) info",
    "ending or ending offset 5m",
    "split",
)


class InTheEngine(SeriesCache):
    """Finds series without telling their labels, so that the engine has to work with them."""

    async def find(
        self, wanted: Mapping[tuple[Matcher, ...], int], tenant: str, limit: int
    ) -> dict[tuple[Matcher, ...], Selected]:
        found = await super().find(wanted, tenant, limit)
        return {matchers: replace(selected, labels=None) for matchers, selected in found.items()}


class Recording:
    """A store that remembers the statements it was asked."""

    def __init__(self, store: ChdbStore) -> None:
        self._store = store
        self.statements: list[str] = []

    async def query_bytes(self, sql: str, *arguments: Any, **options: Any) -> bytes:
        self.statements.append(sql)
        return await self._store.query_bytes(sql, *arguments, **options)


def evaluators(store: ChdbStore, *, older: bool = False) -> tuple[Evaluator, Evaluator]:
    """Return one that keeps labels here where it can, and one that leaves them to the engine."""
    here, there = (Evaluator(store, Semantics(prometheus2=older), BOUNDS) for _ in range(2))
    there.series_cache = InTheEngine(store, dot_is_all=not older)
    return here, there


def same(left: Any, right: Any) -> bool:
    """Tell whether two decoded answers are alike but for the last digits of numbers."""
    if isinstance(left, str) and isinstance(right, str) and left != right:
        try:
            a, b = float(left), float(right)
        except ValueError:
            return False
        return math.isclose(a, b, rel_tol=1e-9, abs_tol=1e-9)
    if isinstance(left, list) and isinstance(right, list):
        return len(left) == len(right) and all(map(same, left, right))
    if isinstance(left, dict) and isinstance(right, dict):
        return list(left) == list(right) and all(map(same, left.values(), right.values()))
    return bool(left == right)


async def answered(evaluator: Evaluator, expression: str, grid: Grid) -> Any:
    """Return the decoded answer, or the words of the refusal."""
    ask = evaluator.instant_text if grid.count == 1 else evaluator.range_text
    try:
        answer = await ask(expression, grid, "default")
    except Problem as problem:
        return problem.detail
    return json.loads(answer.result)


@pytest.mark.timeout(240)
@settings(
    max_examples=100,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(expression=EXPRESSIONS, older=st.booleans(), grid=st.sampled_from([RANGE, single(START + 300_000)]))
@example(expression="sum by (__name__) (memory)", older=False, grid=RANGE)
@example(expression='{instance=~"a|b"} * 2', older=False, grid=RANGE)
@example(expression="bottomk by (code) (1, requests_total)", older=False, grid=RANGE)
async def test_both_forms_give_the_same(store: ChdbStore, expression: str, older: bool, grid: Grid) -> None:
    here, there = evaluators(store, older=older)

    ours, theirs = await answered(here, expression, grid), await answered(there, expression, grid)

    assert same(ours, theirs), (expression, ours, theirs)


@pytest.mark.parametrize("expression", DASHBOARD)
async def test_dashboards_are_answered_without_labels_in_the_engine(store: ChdbStore, expression: str) -> None:
    here, there = evaluators(store)
    here.storage = recording = Recording(store)  # type: ignore[assignment]

    ours, theirs = await answered(here, expression, RANGE), await answered(there, expression, RANGE)

    assert ours
    assert same(ours, theirs), (ours, theirs)
    assert not any("labels" in statement for statement in recording.statements)


async def test_asks_nothing_where_there_is_no_series(store: ChdbStore) -> None:
    here, _ = evaluators(store)
    here.storage = recording = Recording(store)  # type: ignore[assignment]

    assert await answered(here, "sum(rate(nothing[5m]))", RANGE) == []
    assert await answered(here, "nothing", single(START)) == []
    assert await here.series("nothing", RANGE, "default") == []
    assert recording.statements == []


async def test_takes_as_many_series_as_asked_in_the_order_of_labels(store: ChdbStore) -> None:
    here, there = evaluators(store)
    ours, theirs = [
        [await evaluator.range_text("requests_total", RANGE, "default", limit=limit) for limit in (1, 3, 0)]
        for evaluator in (here, there)
    ]

    assert [len(json.loads(answer.result)) for answer in ours] == [1, 3, 4]
    assert ours == theirs


async def test_gives_other_plugins_the_same_series(store: ChdbStore) -> None:
    here, there = evaluators(store)

    ours = await here.series("sum by (code) (requests_total)", RANGE, "default")

    assert [series.labels for series in ours] == [{"code": "200"}, {"code": "500"}]
    assert all(isinstance(series, Series) for series in ours)
    assert ours == await there.series("sum by (code) (requests_total)", RANGE, "default")


async def test_writes_labels_with_every_character(store: ChdbStore) -> None:
    here, there = evaluators(store)
    ours, theirs = await answered(here, "labelled", RANGE), await answered(there, "labelled", RANGE)

    assert ours[0]["metric"] == {"__name__": "labelled", "text": 'quote " back \\ line \n é'}
    assert ours == theirs


async def test_writes_a_label_that_is_no_text_as_the_engine_does(store: ChdbStore) -> None:
    store.execute(
        "INSERT INTO series SELECT toDate('2023-11-14'), 991, 'raw', map('a', unhex('61FF62')), 'gauge', '', '', 991"
    )
    store.execute(
        f"INSERT INTO samples (series_id, time, value) SELECT 991, fromUnixTimestamp64Milli({START}, 'UTC'), 1"
    )
    here, there = evaluators(store)

    ours = await here.range_text("raw", RANGE, "default")

    assert b"a\xffb" in ours.result
    assert ours == await there.range_text("raw", RANGE, "default")


@pytest.mark.parametrize("time", [-1500, -1000, 0, 1_700_000_000_250])
async def test_writes_times_as_the_engine_does(store: ChdbStore, time: int) -> None:
    here, there = evaluators(store)
    grids = [Grid(time, time + 1000, 500), single(time)]

    ours = [await answered(here, "vector(1)", grid) for grid in grids]

    assert ours == [await answered(there, "vector(1)", grid) for grid in grids]
    assert ours[1][0]["value"][0] == time / 1000
