"""Which lines a log query returns, on a real engine: each filter against the same condition in Python."""

from collections.abc import Callable

import pytest

from grafana_shop import LINES, NOW, START, Grafana
from ophion_grafana.logql_parser import parse
from ophion_grafana.logql_pipeline import compile_query
from ophion_grafana.sql import Binder

pytestmark = pytest.mark.asyncio(loop_scope="module")

CHECKOUT = '{service_name="checkout"}'
CART = '{service_name="cart"}'

Wanted = Callable[[int], bool]


def numbers(lines: list[str]) -> list[int]:
    """Return the number in each line of the shop."""
    return sorted(int(line.split("order ")[1].split('"')[0]) for line in lines)


@pytest.mark.parametrize(
    ("query", "wanted"),
    [
        (f'{CHECKOUT} |= "Payment failed for order 7"', lambda n: str(n).startswith("7")),
        (f'{CHECKOUT} |= "ayment" |= "order 11"', lambda n: str(n).startswith("11")),
        (f'{CHECKOUT} |= "payment"', lambda n: False),
        (f"{CHECKOUT} |~ `(?i)PAYMENT`", lambda n: True),
        (f"{CHECKOUT} |~ `order [12]7\\b`", lambda n: n in (17, 27)),
        (f'{CHECKOUT} |= "order 1\\"" or "order 2\\""', lambda n: n in (1, 2)),
        (f'{CHECKOUT} != "order 1" or "order 2"', lambda n: str(n)[0] not in "12"),
        (f"{CHECKOUT} !~ `order \\d\\d`", lambda n: n < 10),
        (f'{CHECKOUT} |> "<_>order 5\\"<_>"', lambda n: n == 5),
        (f'{CHECKOUT} !> "<_>order 1<_>"', lambda n: str(n)[0] != "1"),
        (f"{CHECKOUT} |= ``", lambda n: True),
        (f"{CHECKOUT} | logfmt | took > 100ms", lambda n: n > 100),
        (f"{CHECKOUT} | logfmt | took <= 0.005s", lambda n: n <= 5),
        (f"{CHECKOUT} | logfmt | size >= 110KB", lambda n: n >= 110),
        (f"{CHECKOUT} | logfmt | http_status = 500", lambda n: True),
        (f"{CHECKOUT} | logfmt | msg =~ `.*order 1.`", lambda n: 10 <= n < 20),
        (f'{CHECKOUT} | logfmt | nothing = ""', lambda n: True),
        (f'{CHECKOUT} | logfmt order="msg" | order = "Payment failed for order 3"', lambda n: n == 3),
        (f'{CHECKOUT} | regexp `order (?P<order>\\d+)` | order = "42"', lambda n: n == 42),
        (f"{CHECKOUT} | regexp `order (?P<order>\\d+)` | order > 115", lambda n: n > 115),
        (f'{CHECKOUT} | pattern `level=<lv> msg="<_> order <order>"<_>` | order < 3 and lv = "info"', lambda n: n < 3),
        (f"{CHECKOUT} | attempt < 4", lambda n: n < 4),
        (f'{CHECKOUT} | attempt = "4"', lambda n: n == 4),
        (f'{CHECKOUT} | user_id = "u1" and cached = "true"', lambda n: False),
        (f'{CHECKOUT} | user_id = "u1" or user_id =~ "u[2]"', lambda n: n % 4 in (1, 2)),
        (f'{CHECKOUT} | user_id != "u1"', lambda n: n % 4 != 1),
        (f'{CHECKOUT} | cached = "true"', lambda n: n % 2 == 0),
        (f"{CHECKOUT} | cost = 1.5", lambda n: True),
        (f'{CHECKOUT} | cost = "1.5"', lambda n: True),
        (f'{CHECKOUT} | detected_level = "error"', lambda n: n % 3 == 0),
        (f"{CHECKOUT} | severity_number >= 17", lambda n: n % 3 == 0),
        (f'{CHECKOUT} | trace_id = "0af7651916cd43dd8448eb211c80319c"', lambda n: True),
        (f'{CHECKOUT} | trace_id = ""', lambda n: False),
        (f'{CHECKOUT} | scope_name = "shop"', lambda n: True),
        (f'{CHECKOUT} | scope_name != "shop"', lambda n: False),
        (f'{CHECKOUT} | process_pid = "7"', lambda n: True),
        (f'{CHECKOUT} | process_pid = "8"', lambda n: False),
        (f'{CHECKOUT} | k8s_pod_name =~ "checkout-."', lambda n: True),
        (f'{CHECKOUT} | label_format who=user_id | who = "u3"', lambda n: n % 4 == 3),
        (
            f'{CHECKOUT} | label_format has=`{{{{ contains "order 3" __line__ }}}}` | has="true"',
            lambda n: str(n)[0] == "3",
        ),
        (f'{CHECKOUT} | drop user_id | user_id = "u3"', lambda n: False),
        (f'{CHECKOUT} | keep attempt | attempt = 6 and user_id = ""', lambda n: n == 6),
        (f'{CHECKOUT} | decolorize |= "order 12"', lambda n: str(n).startswith("12")),
        (f'{CHECKOUT} | line_format "order {{{{.attempt}}}}\\"" | attempt = 2', lambda n: n == 2),
        ('{service_name="checkout", level="error"}', lambda n: n % 3 == 0),
        ('{process_pid="7", service_name=~"check.*"}', lambda n: True),
        ('{service_name=~"CHECKOUT"}', lambda n: False),
        ('{service_name!~"cart|unknown_service", k8s_pod_name!=""}', lambda n: True),
    ],
)
async def test_returns_the_lines_that_pass(grafana: Grafana, query: str, wanted: Wanted) -> None:
    found = numbers(await grafana.lines(query))

    assert found == [number for number in range(LINES) if wanted(number)]


@pytest.mark.parametrize(
    ("query", "wanted"),
    [
        ("status >= 300", lambda n: n >= 100),
        ('req_path = "/p4"', lambda n: n == 4),
        ('x_y = "q" and status = 210', lambda n: n == 10),
        ('ok = "true"', lambda n: True),
        ('list = ""', lambda n: True),
        ('req = ""', lambda n: True),
        ('__error__ = ""', lambda n: True),
        ('status_extracted = "201"', lambda n: n == 1),
    ],
)
async def test_filters_by_fields_of_json(grafana: Grafana, query: str, wanted: Wanted) -> None:
    lines = await grafana.lines(f"{CART} | json | {query}")

    assert sorted(int(line.split('"status":')[1][:3]) - 200 for line in lines) == [
        number for number in range(LINES) if wanted(number)
    ]


async def test_filters_by_fields_of_json_that_expressions_name(grafana: Grafana) -> None:
    lines = await grafana.lines(f'{CART} | json first="list[0].n", odd="[\\"x-y\\"]" | first = 9 and odd = "q"')

    assert [line for line in lines if '"n":9}' in line] == lines
    assert len(lines) == 1


async def test_marks_lines_that_are_no_json(grafana: Grafana) -> None:
    assert await grafana.lines(f'{CHECKOUT} | json | __error__ = ""') == []
    assert len(await grafana.lines(f'{CHECKOUT} | json | __error__ != ""')) == LINES


async def test_finds_lines_without_a_service_under_the_name_that_loki_gives_them(grafana: Grafana) -> None:
    assert await grafana.lines('{service_name="unknown_service"}') == ['{"event":"boot","steps":[1,2]}']


@pytest.mark.parametrize(
    ("query", "hint"),
    [
        ('|= "payment failed for"', "hasAllTokens(body"),
        ('|= "timeout"', "body ILIKE"),
        ("|~ `(?i)timeout`", "body ILIKE"),
        ('|= "abc"', ""),
        ('!= "timeout"', ""),
        ('| decolorize |= "timeout"', ""),
        ("|~ `time.*out`", ""),
    ],
)
async def test_asks_the_text_index_where_it_can_tell(query: str, hint: str) -> None:
    where = " ".join(compile_query(parse(f"{CHECKOUT} {query}"), Binder(), "true").conditions)

    assert [name for name in ("hasAllTokens(body", "body ILIKE") if name in where] == ([hint] if hint else [])


@pytest.mark.parametrize(
    ("query", "message"),
    [
        (
            '{service_name=~"("}',
            "error parsing regexp: '(' is no RE2 expression; correct it",
        ),
        (f"{CHECKOUT} |~ `(?=x)`", "error parsing regexp: '(?=x)' is no RE2 expression; correct it"),
        (f"{CHECKOUT} | regexp `(` | a = 1", "parse error : error parsing regexp: missing ), unterminated subpattern"),
        (f"{CHECKOUT} | regexp `x` | a = 1", "regexp without a named capture is not supported; write (?P<name>...)"),
        (f"{CHECKOUT} | pattern `x` | a = 1", "parse error : invalid pattern 'x': must have captures such as <name>"),
        (f'{CHECKOUT} | json a="b[" | a = 1', "parse error : cannot parse expression [b[]"),
        (
            f'{CHECKOUT} | line_format "x" |= "y"',
            "a filter or measure of lines after line_format is not supported; put it before line_format",
        ),
        (
            f'{CHECKOUT} | label_format a="{{{{.b}}}}" | a = "c"',
            "the label a, which a template made, is not supported; filter and group by the labels it is made of",
        ),
        (
            f'{CHECKOUT} | line_format "{{{{ToUpper .a}}}}"',
            "the template action {{ToUpper .a}} is not supported; use {{.label}}, {{__line__}}, {{__timestamp__}}",
        ),
        ("{}", "parse error : queries require at least one regexp or equality matcher"),
        (f"{CHECKOUT} |= `{'x' * 16_001}`", "a text of 16001 characters is too long; 16000 are the most"),
        (f"{CHECKOUT} |~ `{'x' * 4_001}`", "a regular expression may have 4000 characters, got 4006"),
    ],
)
async def test_refuses_what_it_cannot_run_in_plain_text(grafana: Grafana, query: str, message: str) -> None:
    path = "/loki/api/v1/query_range"
    answer = await grafana.server.post(path, key="reader", data={"query": query, "start": str(START), "end": str(NOW)})

    assert answer.status == 400
    assert answer.headers["Content-Type"] == "text/plain; charset=utf-8"
    assert answer.text.startswith(message)


async def test_answers_the_query_after_one_that_the_engine_refused(grafana: Grafana) -> None:
    for _ in range(3):
        await grafana.ask("/loki/api/v1/query_range", query='{service_name=~"("}')

        assert len(await grafana.lines(CHECKOUT)) == LINES
