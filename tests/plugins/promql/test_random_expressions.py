"""Whatever is asked is answered or refused: no expression is a fault of the server."""

from collections.abc import Awaitable

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ophion_agent.server import Problem
from ophion_promql.compiling import Semantics
from ophion_promql.evaluating import Answer, Bounds, Evaluator
from ophion_promql.functions import VECTOR_FUNCTIONS
from ophion_promql.grid import Grid
from ophion_promql.ranges import RANGE_FUNCTIONS
from tests.plugins.promql.conftest import START
from tests.plugins.promql.store import ChdbStore

SELECTORS = (
    "memory",
    "requests_total",
    "odd",
    "nothing",
    '{instance=~"a|b"}',
    "memory offset 5m",
    "memory @ 1700000100",
)
_MATH = [name for name, compiled in VECTOR_FUNCTIONS.items() if compiled.__qualname__.startswith(("_math", "_date"))]
_RANGE = [
    name
    for name in RANGE_FUNCTIONS
    if name not in ("quantile_over_time", "predict_linear", "double_exponential_smoothing")
]
_NUMBERS = st.sampled_from(["0", "1", "-1", "0.5", "NaN", "Inf", "1e300", "time()", "scalar(memory)"])
_MODIFIERS = st.sampled_from(["", "on(instance)", "ignoring(code)", "on()", "on(instance) group_left()", "bool"])
_OPERATORS = st.sampled_from(["+", "-", "*", "/", "%", "^", "atan2", "==", "!=", ">", "<", "and", "or", "unless"])


def _deeper(inner: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    aggregates = st.sampled_from(["sum", "avg", "min", "max", "count", "group", "stddev", "stdvar"])
    sized = st.sampled_from(["topk", "bottomk", "quantile", "limitk", "limit_ratio"])
    groups = st.sampled_from(["", "by (code)", "without (instance)", "by (__name__)"])
    return st.one_of(
        st.builds("({} {} {} {})".format, inner, _OPERATORS, _MODIFIERS, inner),
        st.builds("({} {} {})".format, inner, _OPERATORS, _NUMBERS),
        st.builds("{} {} ({})".format, aggregates, groups, inner),
        st.builds("{} {} ({}, {})".format, sized, groups, _NUMBERS, inner),
        st.builds("{}({})".format, st.sampled_from(_MATH), inner),
        st.builds("{}({}[5m:{}])".format, st.sampled_from(_RANGE), inner, st.sampled_from(["", "1m", "90s"])),
        st.builds("clamp({}, {}, {})".format, inner, _NUMBERS, _NUMBERS),
        st.builds("histogram_quantile({}, {})".format, _NUMBERS, inner),
        st.builds('count_values("x", {})'.format, inner),
        st.builds('label_replace({}, "code", "$1", "instance", "(.*)")'.format, inner),
        st.builds("-{}".format, inner),
        st.builds("vector(scalar({}))".format, inner),
        st.builds("{} offset -1m".format, st.sampled_from(["memory", "odd"])),
    )


async def outcome(work: Awaitable[Answer]) -> tuple[Problem | None, str]:
    """Return the refusal, or the kind of the answer."""
    try:
        return None, (await work).kind
    except Problem as problem:
        return problem, ""


def is_deliberate(refusal: Problem | None) -> bool:
    """Tell whether it is a refusal that was thought of, and not what the engine made of a wrong statement."""
    return refusal is not None and refusal.code in (400, 422) and "the store could not evaluate" not in refusal.detail


EXPRESSIONS = st.recursive(st.one_of(st.sampled_from(SELECTORS), _NUMBERS), _deeper, max_leaves=5)


@pytest.mark.timeout(240)
@settings(
    max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)
@given(expression=EXPRESSIONS, older=st.booleans())
async def test_no_expression_is_a_fault(store: ChdbStore, expression: str, older: bool) -> None:
    evaluator = Evaluator(store, Semantics(prometheus2=older), Bounds(series=100, points=1000, seconds=30))

    refusal, kind = await outcome(evaluator.range_text(expression, Grid(START, START + 300_000, 100_000), "default"))

    assert kind == "matrix" or is_deliberate(refusal), (expression, refusal)


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(text=st.one_of(st.text(max_size=40), st.text(alphabet="ab(){}[]=~\"'`\\,+-*/%^<>!@:. 0159emsx\n", max_size=60)))
async def test_no_text_is_a_fault(store: ChdbStore, text: str) -> None:
    evaluator = Evaluator(store, Semantics(), Bounds(series=100, points=1000, seconds=30))

    refusal, kind = await outcome(evaluator.instant_text(text, Grid(START, START, 1000), "default"))

    assert kind in ("vector", "scalar", "string", "matrix") or is_deliberate(refusal), (text, refusal)
