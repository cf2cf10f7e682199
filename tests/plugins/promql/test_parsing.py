"""From text to nodes: what the grammar takes, and how it refuses the rest."""

import pytest

from ophion_promql.errors import BadQuery
from ophion_promql.nodes import (
    Aggregate,
    Binary,
    Call,
    Matcher,
    Matching,
    Negate,
    Number,
    Range,
    Selector,
    Subquery,
    type_of,
)
from ophion_promql.parsing import parse, parse_matchers, prettify

UP = Selector((Matcher("__name__", "=", "up"),))


def test_reads_selectors() -> None:
    node = parse('up{a="b",c!="d",e=~"f.*",g!~"h"} offset -1m30s')

    matchers = (("a", "=", "b"), ("c", "!=", "d"), ("e", "=~", "f.*"), ("g", "!~", "h"))
    assert node == Selector((*UP.matchers, *(Matcher(*each) for each in matchers)), -90_000)


def test_reads_fixed_times() -> None:
    assert parse("up @ 12.345") == Selector(UP.matchers, 0, 12_345)
    assert parse("up @ start() offset 1s") == Selector(UP.matchers, 1000, "start")
    assert parse("up[5m] @ end()") == Range(Selector(UP.matchers, 0, "end"), 300_000)
    assert isinstance(parse("up @ -100"), Selector)


def test_reads_subqueries_and_calls() -> None:
    assert parse("rate(up[5m:30s])") == Call("rate", (Subquery(UP, 300_000, 30_000),), "vector")
    assert parse("up[1h:] offset 5m @ 7") == Subquery(UP, 3_600_000, None, 300_000, 7000)
    assert parse("holt_winters(up[5m], 0.5, 0.5)") == parse("double_exponential_smoothing(up[5m], 0.5, 0.5)")
    assert parse('label_replace(up, "holt_winters(", "", "", "")').arguments[1].value == "holt_winters("  # type: ignore[union-attr]


def test_reads_operators_and_aggregations() -> None:
    assert parse("up + on(a) group_left(b) up") == Binary("+", UP, UP, Matching("left", True, ("a",), ("b",)), False)
    assert parse("up >= bool ignoring(a) up") == Binary(">=", UP, UP, Matching("one", False, ("a",)), True)
    assert parse("up unless up") == Binary("unless", UP, UP, Matching("many", False, ()), False)
    assert parse("topk without (a) (3, up)") == Aggregate("topk", UP, Number(3), ("a",), True)
    assert parse("-up") == Negate(UP)
    assert parse("-1.5") == Number(-1.5)


def test_knows_types() -> None:
    types = {
        "1": "scalar",
        "'x'": "string",
        "up": "vector",
        "up[1m]": "matrix",
        "-time()": "scalar",
        "1 + up": "vector",
    }

    assert {text: type_of(parse(text)) for text in types} == types


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("sum(", "parse error: unclosed left parenthesis"),
        ("up{", "parse error: unexpected end of input inside braces"),
        ("1e400", "error parsing number: value out of range"),
        ("nosuch(up)", "unknown function with name 'nosuch'"),
        ('up{a="b" or c="d"}', '"or" between label matchers is not PromQL; use =~'),
        ("1" + "+1" * 600, "must have at most 500 operators and brackets, got 600"),
        ("(" * 5000, "must have at most 500 operators and brackets"),
        ("a" * 140_000, "must be at most 131072 characters, got 140000"),
        ("up[5m:0s]", "parse error"),
    ],
)
def test_refuses(text: str, message: str) -> None:
    with pytest.raises(BadQuery) as refused:
        parse(text)

    assert message in refused.value.detail
    assert refused.value.code == 400


def test_strings_are_no_operators() -> None:
    assert isinstance(parse(f'up{{a="{"+" * 1000}"}}'), Selector)


def test_formats() -> None:
    assert prettify("sum(rate(up[5m]))by(a)") == "sum by (a) (rate(up[5m]))"


def test_match_takes_selectors_only() -> None:
    assert parse_matchers("up") == UP.matchers
    with pytest.raises(BadQuery, match="must be a series selector such as"):
        parse_matchers("up offset 5m")
