"""The parts of the telemetry routes that need no store."""

import math
from base64 import b64encode
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from opentelemetry.proto.common.v1.common_pb2 import AnyValue

from ophion_agent.server import BadRequest, Call
from ophion_api.any_values import AttributeReader, attributes_of, decoded, encodings, shown
from ophion_api.cursors import decode_cursor, encode_cursor
from ophion_api.exports import export, export_format
from ophion_api.search_terms import Every, Field, Not, Phrase, Some, Word, parse_search
from ophion_api.sql_parts import Binder
from ophion_api.time_ranges import SECOND, TimeRange, parse_time, rfc3339
from ophion_api.traces_models import SpanView
from ophion_api.traces_spans import Span
from ophion_api.traces_view import _children, critical_path
from telemetry_sample import value_of

NOW = 1_700_000_000 * SECOND


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("now", NOW),
        ("now-90s", NOW - 90 * SECOND),
        ("now-2h", NOW - 7200 * SECOND),
        ("now-1d", NOW - 86_400 * SECOND),
        ("now-1w", NOW - 604_800 * SECOND),
        ("1700000000", NOW),
        (1700000000, NOW),
        ("1700000000.5", NOW + SECOND // 2),
        (1700000000.25, NOW + SECOND // 4),
        ("1700000000123", NOW + 123_000_000),
        ("1700000000123456", NOW + 123_456_000),
        ("1700000000123456789", NOW + 123_456_789),
        ("0", 0),
        ("2023-11-14T22:13:20Z", NOW),
        ("2023-11-14T23:13:20.5+01:00", NOW + SECOND // 2),
        ("2023-11-14t22:13:20.123456789z", NOW + 123_456_789),
    ],
)
def test_reads_times(text: Any, expected: int) -> None:
    assert parse_time("from", text, NOW) == expected


@pytest.mark.parametrize(
    "text",
    ["", "later", "now+1h", "now-1y", "-5", "2023-13-01T00:00:00Z", "2023-11-14", "99999999999999999999", "1e9", "٣"],
)
def test_refuses_times(text: str) -> None:
    with pytest.raises(BadRequest, match="from: must be a time such as"):
        parse_time("from", text, NOW)


@given(st.integers(0, 2**63 - 1))
def test_times_survive_being_written(nanoseconds: int) -> None:
    assert parse_time("from", rfc3339(nanoseconds), NOW) == nanoseconds


@given(st.integers(0, 10**15), st.integers(1, 10**17), st.booleans())
def test_windows_cover_a_range_without_gap_or_overlap(start: int, length: int, newest_first: bool) -> None:
    bounds = TimeRange(start, start + length)
    windows = list(bounds.windows(newest_first=newest_first))
    ordered = windows[::-1] if newest_first else windows
    assert (ordered[0].start, ordered[-1].end) == (bounds.start, bounds.end)
    assert all(earlier.end == later.start for earlier, later in pairwise(ordered))
    assert len(windows) < 20


@pytest.mark.parametrize("seconds", [1, 60, 3600, 86_400, 30 * 86_400, 3000 * 86_400])
def test_default_steps_make_some_dozens_of_buckets(seconds: int) -> None:
    bounds = TimeRange(NOW, NOW + seconds * SECOND)
    assert 1 <= bounds.nanoseconds / bounds.step(None) <= 61


@given(st.integers(-(2**63), 2**64 - 1), st.text(max_size=40))
def test_cursors_come_back(number: int, text: str) -> None:
    try:
        text.encode()
    except UnicodeEncodeError:
        return
    assert decode_cursor(encode_cursor("k", number, text), "k", int, str) == (number, text)


@given(st.one_of(st.text(max_size=60), st.binary(max_size=40).map(lambda data: encode_cursor("k", data.hex()))))
def test_foreign_cursors_are_refused(cursor: str) -> None:
    with pytest.raises(BadRequest, match="cursor: does not belong to this search"):
        decode_cursor(cursor, "k", int, int)


VALUES = st.recursive(
    st.one_of(
        st.text(max_size=20),
        st.booleans(),
        st.integers(-(2**63), 2**63 - 1),
        st.floats(allow_nan=False, allow_infinity=False),
    ),
    lambda inner: st.one_of(st.lists(inner, max_size=4), st.dictionaries(st.text(max_size=5), inner, max_size=4)),
    max_leaves=8,
)


@given(VALUES)
def test_attribute_values_are_shown_as_they_are(value: Any) -> None:
    assert decoded(value_of(value).SerializeToString()) == value


@pytest.mark.parametrize("encoded", [b"\x0a\x02\xff\xfe", b"\x0a\x02abc", b"\x0a", b"\xff"])
def test_what_is_no_value_is_shown_as_it_is(encoded: bytes) -> None:
    assert decoded(encoded) == {"base64": b64encode(encoded).decode()}


@given(st.lists(st.dictionaries(st.text(max_size=3), VALUES, max_size=4), max_size=6))
def test_reading_many_attributes_is_reading_each(items: list[dict[str, Any]]) -> None:
    reader = AttributeReader()
    for item in items:
        encoded = [b64encode(value_of(value).SerializeToString()).decode() for value in item.values()]
        assert reader.read(list(item), encoded) == attributes_of(list(item), encoded) == item


@given(
    st.one_of(
        st.text(max_size=20),
        st.booleans(),
        st.integers(-(2**63), 2**63 - 1),
        st.floats(allow_nan=False, allow_infinity=False),
    )
)
def test_a_value_has_its_own_encoding_among_those_it_is_compared_with(value: Any) -> None:
    stored = value_of(value).SerializeToString()
    assert stored in encodings(value)
    assert stored in encodings(str(value).lower() if isinstance(value, bool) else str(value))


def test_values_without_a_form_in_json_are_texts() -> None:
    shown_values = [shown(AnyValue(double_value=number)) for number in (math.nan, math.inf, -math.inf)]
    assert shown_values == ["NaN", "Infinity", "-Infinity"]
    assert shown(AnyValue()) is None
    assert shown(AnyValue(bytes_value=b"\xff")) == {"base64": "/w=="}
    assert decoded(b"\xff\xff") == {"base64": "//8="}


@pytest.mark.parametrize("value", ["9" * 400, "1_000", "nan", "1e999", "٣"])
def test_odd_numbers_are_only_texts(value: str) -> None:
    assert encodings(value) == [AnyValue(string_value=value).SerializeToString()]


@pytest.mark.parametrize(
    ("text", "tree"),
    [
        ("", Every(())),
        ("a", Word("a")),
        ("a b", Every((Word("a"), Word("b")))),
        ("a AND b OR c", Some((Every((Word("a"), Word("b"))), Word("c")))),
        ("-a", Not(Word("a"))),
        ("NOT -a", Not(Not(Word("a")))),
        ('"a \\"b\\""', Phrase('a "b"')),
        ("pre*", Word("pre", is_prefix=True)),
        ("a:b", Field("a", "=", "b")),
        ("a.b-c/d>=5", Field("a.b-c/d", ">=", "5")),
        ("a:>5", Field("a", ">", "5")),
        ('a:"b c"', Field("a", "=", "b c")),
        ("a:/b c\\/d/", Field("a", "=~", "b c/d")),
        ("a:*", Field("a", "exists", "")),
        ("a:b*", Field("a", "prefix", "b")),
        ("error: no", Every((Word("error:"), Word("no")))),
        ("http://host/x", Word("http://host/x")),
        ("12:30:45", Word("12:30:45")),
        ("a->b", Word("a->b")),
        ("a - b", Every((Word("a"), Word("-"), Word("b")))),
        ("(a)", Word("a")),
        ("-(a OR b)", Not(Some((Word("a"), Word("b"))))),
    ],
)
def test_parses_queries(text: str, tree: Any) -> None:
    assert parse_search(text) == tree


@given(st.text(max_size=100))
def test_parser_raises_nothing_but_bad_request(text: str) -> None:
    refused = None
    try:
        parse_search(text)
    except BadRequest as error:
        refused = error
    assert refused is None or (refused.code == 422 and refused.detail.startswith("query: "))


def test_refuses_long_queries() -> None:
    with pytest.raises(BadRequest, match="query: must be at most 2000 characters, got 2001"):
        parse_search("a" * 2001)


def test_refuses_text_that_utf8_cannot_hold() -> None:
    with pytest.raises(BadRequest, match="a text holds half a character"):
        Binder().text("\ud800")


@pytest.mark.parametrize(
    ("accept", "asked", "expected"),
    [
        ("", "json", "json"),
        ("text/csv", "json", "csv"),
        ("application/x-ndjson;q=0.8", "json", "ndjson"),
        ("application/json, text/csv", "json", "json"),
        ("*/*", "csv", "csv"),
        ("text/html", "ndjson", "ndjson"),
    ],
)
def test_chooses_the_form_of_an_answer(accept: str, asked: str, expected: str) -> None:
    assert export_format(Call(headers={"accept": accept}), asked) == expected


@pytest.mark.parametrize("text", ["=1+1", "+1", "-1", "@SUM(A1)", "\t=1", "\r=1", "\n=1"])
async def test_csv_cells_are_no_formulas(text: str) -> None:
    async def page(_: str | None) -> Any:
        return [{"a": text, "b": -5, "c": {"d": [1]}}], None

    stream = export("csv", "x", ["a", "b", "c", "d"], page, 10)
    content = b"".join([chunk async for chunk in stream.chunks]).decode()
    assert content.startswith("a,b,c,d\r\n")
    assert f"'{text}" in content
    assert ',-5,"{""d"":[1]}",' in content


async def test_exports_end_at_their_bound() -> None:
    async def page(cursor: str | None) -> Any:
        first = int(cursor or 0)
        return [{"n": n} for n in range(first, first + 4)], str(first + 4)

    stream = export("ndjson", "x", ["n"], page, 10)
    lines = b"".join([chunk async for chunk in stream.chunks]).splitlines()
    assert lines == [b'{"n":%d}' % n for n in range(10)]


def item(identity: int, parent: int, start: int, end: int) -> Span:
    view = SpanView(
        span_id=str(identity), parent_span_id=str(parent or ""), name="", service="s", kind="internal", status="unset",
        status_message="", offset_ms=0.0, duration_ms=0.0, self_ms=0.0, critical_ms=0.0, trace_state="", attributes={},
        events=[], links=[], resource=0, scope=0,
    )  # fmt: skip
    return Span(view, start, max(start, end))


def critical(*items: Span) -> list[int]:
    found = critical_path(items, _children(items))
    return [found.get(id(one), 0) for one in items]


def test_critical_path_follows_the_child_that_ended_last() -> None:
    assert critical(item(1, 0, 0, 100), item(2, 1, 10, 60), item(3, 1, 20, 90)) == [20, 10, 70]
    assert critical(item(1, 0, 0, 100), item(2, 1, 50, 300)) == [50, 50]
    assert critical(item(1, 9, 0, 10), item(2, 2, 0, 5)) == [10, 0]
    assert critical(item(1, 2, 0, 10), item(2, 1, 0, 5)) == [0, 0]


@given(st.lists(st.tuples(st.integers(0, 8), st.integers(0, 50), st.integers(0, 50)), max_size=9))
def test_critical_path_is_never_longer_than_the_longest_root(spans: list[tuple[int, int, int]]) -> None:
    items = [item(n + 1, parent, start, start + length) for n, (parent, start, length) in enumerate(spans)]
    known = {one.view.span_id for one in items}
    roots = [one.end - one.start for one in items if one.view.parent_span_id not in known]
    assert sum(critical(*items)) == max(roots, default=0)
