"""LogQL text becomes nodes, and what is no LogQL, or none that is evaluated here, is refused with the place."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ophion_agent.server import BadRequest
from ophion_grafana.logql_errors import ParseError, Unsupported
from ophion_grafana.logql_lexer import nanoseconds
from ophion_grafana.logql_nodes import (
    Both,
    Comparison,
    Either,
    LabelFilter,
    LineFilter,
    LogQuery,
    Matcher,
    RangeAggregate,
)
from ophion_grafana.logql_parser import parse, parse_selector
from ophion_grafana.logql_stages import check_matchers


@pytest.mark.parametrize(
    ("text", "formatted"),
    [
        ("{}", "{}"),
        ('{a=   "b"}', '{a="b"}'),
        ("{a=`b\\d`}", '{a="b\\\\d"}'),
        ('{a="b", c!="d", e=~"f.*", g!~"h"}', '{a="b", c!="d", e=~"f.*", g!~"h"}'),
        ('{a="b"} |= `x` or "y" != "z" |~ "r" !~ "s"', '{a="b"} |= "x" or "y" != "z" |~ "r" !~ "s"'),
        ('{a="b"} |> "<_>x" !> "y<_>"', '{a="b"} |> "<_>x" !> "y<_>"'),
        ('{a="b"} # a comment\n | json', '{a="b"} | json'),
        (
            '{a="b"} | json | logfmt --strict | drop __error__, __error_details__ | keep c',
            '{a="b"} | json | logfmt --strict | drop __error__, __error_details__ | keep c',
        ),
        ('{a="b"} | json c="x.y[0]", d', '{a="b"} | json c="x.y[0]", d'),
        ('{a="b"} | c>1 d<=2.5, e==3 and f!="g" or h>10ms', '{a="b"} | c>1 and d<=2.5 and e==3 and f!="g" or h>10ms'),
        ('{a="b"} | c=1 and (d=2 or e<3KB)', '{a="b"} | c=1 and (d=2 or e<3KB)'),
        ('{a="b"} | regexp "(?P<x>.)" | pattern "<y> z"', '{a="b"} | regexp "(?P<x>.)" | pattern "<y> z"'),
        (
            '{a="b"} | line_format "{{.c}}" | label_format d=e,f="{{.g}}" | decolorize',
            '{a="b"} | line_format "{{.c}}" | label_format d=e, f="{{.g}}" | decolorize',
        ),
        ('rate({a="b"}[90s])', 'rate({a="b"} [1m30s])'),
        ('rate({a="b"}[5m] |= "x" offset 1h)', 'rate({a="b"} |= "x" [5m] offset 1h)'),
        ('sum(rate(({a="b"} | json)[1m])) by (c)', 'sum by (c) (rate({a="b"} | json [1m]))'),
        ('sum without (c) (rate({a="b"}[1m]))', 'sum without (c) (rate({a="b"} [1m]))'),
        ('topk(3, rate({a="b"}[1m]))', 'topk(3, rate({a="b"} [1m]))'),
        (
            'quantile_over_time(0.9, {a="b"} | logfmt | unwrap duration(c) | __error__="" [1m]) by (d)',
            'quantile_over_time(0.9, {a="b"} | logfmt | unwrap duration(c) | __error__="" [1m]) by (d)',
        ),
        ('{a="b"} | c="d" OR e="f"', '{a="b"} | c="d" or e="f"'),
        ("vector(1)+vector(1)", "(vector(1) + vector(1))"),
        ("1 + 2 * 3 ^ 2 ^ 2", "(1 + (2 * (3 ^ (2 ^ 2))))"),
        ("-1 - 2 - 3", "((-1 - 2) - 3)"),
        (
            'rate({a="b"}[1m]) > bool on (c) rate({a="d"}[1m])',
            '(rate({a="b"} [1m]) > bool on (c) rate({a="d"} [1m]))',
        ),
        (
            'label_replace(rate({a="b"}[1m]), "c", "$1", "a", "(.*)")',
            'label_replace(rate({a="b"} [1m]), "c", "$1", "a", "(.*)")',
        ),
    ],
)
def test_formats_a_query_as_one_that_parses_to_the_same(text: str, formatted: str) -> None:
    node = parse(text)

    assert str(node) == formatted
    assert parse(formatted) == node


def test_reads_filters_with_and_before_or() -> None:
    node = parse('{a="b"} | c=1 or d=2 and e="3"')

    assert node == LogQuery(
        (Matcher("a", "=", "b"),),
        (
            LabelFilter(
                Either(
                    (
                        Comparison("c", "=", 1.0, "", "1"),
                        Both((Comparison("d", "=", 2.0, "", "2"), Matcher("e", "=", "3"))),
                    )
                )
            ),
        ),
    )


def test_reads_units_as_seconds_and_bytes() -> None:
    node = parse('{a="b"} | c>1.5s and d<2KB and e<2KiB')

    assert isinstance(node, LogQuery)
    (stage,) = node.stages
    assert isinstance(stage, LabelFilter)
    assert isinstance(stage.condition, Both)
    assert [part.value for part in stage.condition.parts] == [1.5, 2000.0, 2048.0]


def test_unescapes_strings_and_leaves_those_in_backquotes() -> None:
    node = parse(r'{a="\t\x41\u00e9\"\\" } |= `\d`')

    assert node == LogQuery((Matcher("a", "=", '\tAé"\\'),), (LineFilter("|=", ("\\d",)),))


def test_reads_a_range_and_its_offset_in_nanoseconds() -> None:
    node = parse('count_over_time({a="b"}[1m500ms] offset -5m)')

    assert isinstance(node, RangeAggregate)
    assert (node.range, node.offset) == (60_500_000_000, -300_000_000_000)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('{a="b"', "parse error at line 1, col 7: syntax error: unexpected $end, expecting ,"),
        ('{a="b"} |= x', "parse error at line 1, col 12: syntax error: unexpected x, expecting STRING"),
        ('{a="b"}\n  |= "x', "parse error at line 2, col 6: syntax error: literal not terminated"),
        ("{a>1}", "parse error at line 1, col 3: syntax error: unexpected >, expecting = or != or =~ or !~"),
        ('{a="b"} | c ? 1', "parse error at line 1, col 13: syntax error: unexpected '?'"),
        ('{a="b"} | c and', "parse error at line 1, col 13: syntax error: unexpected and, expecting a comparison"),
        ('foo({a="b"}[1m])', "parse error at line 1, col 1: syntax error: unexpected IDENTIFIER foo"),
        ('rate({a="b"}[1x])', 'parse error at line 1, col 13: not a valid duration string: "1x"'),
        ('rate({a="b"}[999999999999y])', 'parse error at line 1, col 13: duration out of range: "999999999999y"'),
        ('rate({a="b"})', "parse error at line 1, col 13: syntax error: expecting a range such as [5m]"),
        (
            '{a="\\d"}',
            "parse error at line 1, col 4: invalid syntax: unknown escape in a string; write a regular expression in "
            "backquotes",
        ),
        ('{a="\\ud800"}', "parse error at line 1, col 4: invalid syntax: an escape in a string names no character"),
        ("1 +", "parse error at line 1, col 4: syntax error: unexpected $end"),
        ('{a="b"} + 1', "parse error : unexpected type for an operand: a log query has no value; put it into"),
        ('{a="b"} | unwrap c', "parse error : unwrap stands only in a metric query"),
        ('avg_over_time({a="b"}[1m])', "parse error : invalid aggregation avg_over_time without unwrap"),
        ('bytes_rate({a="b"} | unwrap c [1m])', "parse error : invalid aggregation bytes_rate with unwrap"),
        ('rate({a="b"}[1m]) by (c)', "parse error : grouping not allowed for rate aggregation"),
        ('sort(rate({a="b"}[1m])) by (c)', "parse error : sort and sort_desc doesn't allow grouping by "),
        ('topk(0, rate({a="b"}[1m]))', "parse error : invalid parameter (must be greater than 0) topk(0"),
        ("(" * 70 + "1" + ")" * 70, "parse error at line 1, col 61: more than 60 nested expressions"),
        ("1" * (1 << 17) + "1", "parse error : input size too long (131073 > 131072)"),
    ],
)
def test_says_where_and_why_a_query_is_wrong(text: str, message: str) -> None:
    with pytest.raises(ParseError) as caught:
        parse(text)

    assert caught.value.detail.startswith(message)
    assert caught.value.code == 400


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('{a="b"} | unpack', "unpack is not supported; use json"),
        ('{a="b"} |= ip("10.0.0.0/8")', "the ip() filter is not supported; use a regular expression"),
        ('{a="b"} | c = ip("10.0.0.0/8")', "the ip() filter is not supported; use a regular expression"),
        ('{a="b"} | drop c="d"', "drop and keep with a matcher is not supported; name the labels alone"),
        ('rate_counter({a="b"} | unwrap c [1m])', "rate_counter is not supported; use rate"),
        ('approx_topk(2, rate({a="b"}[1m]))', "approx_topk is not supported; use topk"),
        (
            'rate({a="b"}[1m]) / on (c) group_left (d) rate({a="b"}[1m])',
            "group_left is not supported; aggregate both sides to the same labels",
        ),
    ],
)
def test_refuses_logql_that_is_not_evaluated_with_what_helps(text: str, message: str) -> None:
    with pytest.raises(Unsupported) as caught:
        parse(text)

    assert caught.value.detail == message


def test_takes_only_a_log_query_for_a_selector() -> None:
    assert parse_selector('{a="b"} |= "c"').matchers == (Matcher("a", "=", "b"),)
    with pytest.raises(ParseError, match="only label matchers are supported; write a stream selector such as"):
        parse_selector("vector(1)")


@pytest.mark.parametrize("text", ["{}", '{a=""}', '{a=~".*"}', '{a!="b"}', '{a!~"b"}'])
def test_refuses_a_selector_that_excludes_no_stream(text: str) -> None:
    with pytest.raises(ParseError, match="queries require at least one regexp or equality matcher"):
        check_matchers(parse_selector(text).matchers)


@pytest.mark.parametrize("text", ['{a="b"}', '{a=~".+"}', '{a!=""}', '{a!="b", c="d"}'])
def test_takes_a_selector_that_excludes_streams(text: str) -> None:
    check_matchers(parse_selector(text).matchers)


@given(st.text(alphabet="{}()[]|=!~<>\"`'abc_0159.,smh+-*/^%\\ \n#", max_size=60))
def test_answers_any_text_with_a_node_or_a_refusal(text: str) -> None:
    try:
        node = parse(text)
    except BadRequest:
        return
    assert parse(str(node)) == node


def test_refuses_a_duration_without_a_unit() -> None:
    with pytest.raises(ValueError, match="not a valid duration string"):
        nanoseconds("5")
