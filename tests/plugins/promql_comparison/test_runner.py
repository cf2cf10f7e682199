"""The comparison's own parts: what counts as equal, how lists are read, that the corpus is whole."""

import importlib.util
import math
import struct
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from benchmarks import promql_speed
from benchmarks.remote_write import Series, slices, snappy, varint, write_request
from tests.plugins.promql_comparison import compare, corpus, dataset
from tests.plugins.promql_comparison.compare import Answer, Result, difference, read_answer, same_number

ANCHOR = 1_700_006_400_000


def vector(*series: tuple[dict[str, str], str]) -> Answer:
    result = [{"metric": labels, "value": [5.0, value]} for labels, value in series]
    return Answer(200, data={"resultType": "vector", "result": result})


def matrix(*values: tuple[float, str]) -> Answer:
    result = [{"metric": {"a": "1"}, "values": [list(value) for value in values]}]
    return Answer(200, data={"resultType": "matrix", "result": result})


REFUSED = Answer(400, error="bad_data: no")
ONE = vector(({"a": "1"}, "1"))


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        (1.0, 1.0000001, True),
        (1.0, 1.00001, False),
        (math.nan, math.nan, True),
        (math.nan, 0.0, False),
        (math.inf, math.inf, True),
        (math.inf, -math.inf, False),
        (math.inf, 1.7e308, False),
        (0.0, -0.0, True),
        (0.0, 1e-13, True),
        (0.0, 1e-9, False),
        (5e-324, 1e-323, False),
    ],
)
def test_numbers_are_equal_to_one_in_a_million(one: float, other: float, same: bool) -> None:
    assert same_number(one, other) is same
    assert same_number(other, one) is same


@pytest.mark.parametrize(
    ("expected", "got", "text"),
    [
        (ONE, ONE, None),
        (REFUSED, Answer(422, error="execution: no"), None),
        (REFUSED, ONE, "answered, must be refused"),
        (ONE, REFUSED, "refused: HTTP 400"),
        (REFUSED, Answer(500, error="broken"), "no answer: HTTP 500"),
        (ONE, Answer(0, error="TimeoutError"), "no answer: HTTP 0"),
        (ONE, vector(({"a": "1"}, "2")), "2 instead of 1"),
        (ONE, vector(({"a": "2"}, "1")), "missing {a='1'}; surplus {a='2'}"),
        (ONE, vector(({"a": "1"}, "1"), ({"b": "1"}, "1")), "surplus {b='1'}"),
        (ONE, vector(({"a": "1"}, "1"), ({"a": "1"}, "1")), "1 label sets come twice"),
        (ONE, matrix((5, "1")), "type matrix instead of vector"),
        (matrix((5, "1"), (6, "1")), matrix((5, "1")), "1 samples missing, 0 surplus, of 2; the first at 6"),
        (matrix((5, "1")), matrix((5, "1"), (6, "1")), "0 samples missing, 1 surplus"),
        (matrix((5, "1"), (6, "2")), matrix((5, "1"), (6, "3")), "3 instead of 2 at 6"),
    ],
)
def test_names_what_is_different(expected: Answer, got: Answer, text: str | None) -> None:
    found = difference(expected, got)

    assert (found is None) if text is None else text in str(found)


def test_order_counts_for_sorted_answers_only() -> None:
    up, down = vector(({"a": "1"}, "1"), ({"a": "2"}, "2")), vector(({"a": "2"}, "2"), ({"a": "1"}, "1"))

    assert difference(up, down) is None
    assert "order: 2 instead of 1 at position 0" in str(difference(up, down, ordered=True))


@pytest.mark.parametrize(
    ("text", "ordered"),
    [
        ("sort(up)", True),
        ("topk(1, up)", True),
        ("sum(topk(1, up))", False),
        ("topk by (job) (1, up)", False),
        ("topk(1, up) + topk(1, up)", False),
    ],
)
def test_order_counts_where_a_sorting_function_is_outermost(text: str, ordered: bool) -> None:
    assert corpus.Query("", text).ordered is ordered


def test_strings_are_compared_as_text() -> None:
    one, other = (Answer(200, data={"resultType": "string", "result": [5.0, text]}) for text in ("1.0", "1.00"))

    assert difference(one, other) == "1.00 instead of 1.0 at 5.0"


@pytest.mark.parametrize("body", ["<html>", "[]", '{"status": "success"}', '{"status": "error"}'])
def test_what_is_no_answer_of_the_api_is_none(body: str) -> None:
    assert "not an answer of the Prometheus API" in read_answer(200, body).error


def test_report_shows_both_answers_by_group() -> None:
    cases = [corpus.Case(corpus.Query(group, "up"), "instant") for group in ("first", "second")]
    results = [Result(cases[0], ONE, ONE, None), Result(cases[1], ONE, REFUSED, "refused")]

    text = compare.report(results)

    assert "| all | 2 | 1 |" in text
    assert "50.00 % answered alike" in text
    assert "## second\n\n- instant: `up`\n  - refused\n  - expected vector of 1" in text
    assert "## first" not in text


def test_corpus_covers_every_function_aggregation_and_modifier_of_prometheus() -> None:
    queries = corpus.read_queries()
    known = set((corpus.HERE / "functions.txt").read_text().partition("\n")[2].split())
    words = {word for query in queries if not query.refused for word in _words(query.text)}

    assert len(queries) >= 400
    assert known - words == set()


def _words(text: str) -> list[str]:
    return "".join(letter if letter.isalnum() or letter == "_" else " " for letter in text).split()


def test_groups_say_how_their_queries_are_asked(tmp_path: Path) -> None:
    (tmp_path / "queries.promql").write_text("# == a\nup\n# == b (beside)\ndown\n# == c (refused)\n}\n# a comment\n")

    plain, beside, refused = corpus.read_queries(tmp_path / "queries.promql")

    assert (plain.group, plain.modes, plain.refused) == ("a", ("instant", "range"), False)
    assert (beside.group, beside.modes, beside.refused) == ("b", ("instant", "beside", "range"), False)
    assert (refused.group, refused.modes, refused.refused) == ("c", ("instant",), True)
    assert [case.mode for case in corpus.cases([plain, beside], ["beside"])] == ["beside"]


def test_ways_take_turns_where_each_query_is_asked_once() -> None:
    queries = [corpus.Query("", text, "beside") for text in "abcd"]

    taken = corpus.one_way_each(corpus.cases(queries))

    assert [case.mode for case in taken] == ["instant", "beside", "range", "instant"]
    assert [case.query for case in taken] == queries


def test_off_grid_ways_leave_out_what_cannot_be_compared() -> None:
    queries = [corpus.Query("", "up"), corpus.Query("", "grid_gauge"), corpus.Query("", "}", "refused")]

    assert [(case.query.text, case.mode) for case in corpus.off_grid(queries)] == [("up", "beside"), ("up", "between")]


def test_query_of_a_corpus_may_not_come_twice(tmp_path: Path) -> None:
    (tmp_path / "queries.promql").write_text("# == a\nup\nup\n")

    with pytest.raises(ValueError, match=r"queries\.promql: up comes twice; leave one of them out"):
        corpus.read_queries(tmp_path / "queries.promql")


def test_times_of_queries_follow_the_data() -> None:
    case = corpus.Case(corpus.Query("", "up @ T0+60.5"), "beside")

    assert case.request(1_000_000) == ("query", {"query": "up @ 1060.500", "time": "4723.456"})
    assert corpus.Case(case.query, "range").request(1_000_000)[1]["start"] == "700.000"


@pytest.mark.parametrize("text", ["= reason\nup\n", "= reason\nsometimes: up\n", "instant: up\n"])
def test_refuses_a_known_difference_without_reason_or_way(tmp_path: Path, text: str) -> None:
    (tmp_path / "known.txt").write_text(text)

    with pytest.raises(ValueError, match="must be `ways: query` below `= reason`"):
        corpus.read_known(tmp_path / "known.txt")


def test_known_differences_are_of_the_corpus() -> None:
    assert set(corpus.read_known()) <= {(case.query.text, case.mode) for case in corpus.cases(corpus.read_queries())}


def test_known_differences_by_default_are_of_the_corpus() -> None:
    known = set(corpus.read_known(corpus.KNOWN_BY_DEFAULT))

    assert known <= {(case.query.text, case.mode) for case in corpus.off_grid(corpus.read_queries())}


def test_data_is_the_same_in_every_run_and_has_no_series_twice() -> None:
    data = dataset.dataset(ANCHOR)
    labels = [tuple(sorted((name, value) for name, value in series.labels.items() if value)) for series in data]

    assert repr(data) == repr(dataset.dataset(ANCHOR))
    assert len(set(labels)) == len(labels) >= 200
    assert all(list(series.samples) == sorted(dict(series.samples).items()) for series in data)
    assert min(series.samples[0][0] for series in data) == ANCHOR
    assert max(series.samples[-1][0] for series in data) == ANCHOR + dataset.LENGTH


def test_anchor_is_the_start_of_the_last_two_hours_that_are_over() -> None:
    assert dataset.latest_anchor(1_700_013_599.9) == 1_699_999_200_000
    assert dataset.latest_anchor(1_700_013_600.0) == 1_700_006_400_000


def test_stale_marker_keeps_its_bits() -> None:
    series = Series({"__name__": "up"}, [(1, dataset.STALE)])

    assert struct.pack("<Q", 0x7FF0000000000002) in write_request([series])


def test_labels_are_sent_in_order_of_their_names() -> None:
    request = write_request([Series({"b": "2", "a": "1"}, [(300, 1.5)])])

    assert request == b"\x0a\x1e\x0a\x06\x0a\x01a\x12\x011\x0a\x06\x0a\x01b\x12\x012\x12\x0c\x09" + (
        struct.pack("<d", 1.5) + b"\x10\xac\x02"
    )


@pytest.mark.parametrize("size", [0, 1, 60_000, 60_001, 200_000])
def test_snappy_blocks_hold_the_data(size: int) -> None:
    data = bytes(position % 251 for position in range(size))
    block = snappy(data)
    rest, found = block.removeprefix(varint(size)), b""
    while rest:
        assert rest[0] == 0xF4
        length = int.from_bytes(rest[1:3], "little") + 1
        found, rest = found + rest[3 : 3 + length], rest[3 + length :]

    assert found == data


def test_slices_keep_every_sample_and_the_order_of_time() -> None:
    data = dataset.dataset(ANCHOR)
    pieces = list(slices(data))
    spans = [(min(s.samples[0][0] for s in piece), max(s.samples[-1][0] for s in piece)) for piece in pieces]

    assert sum(len(series.samples) for piece in pieces for series in piece) == sum(len(s.samples) for s in data)
    assert all(before[1] < after[0] for before, after in pairwise(spans))


def _generator() -> Any:
    path = Path(__file__).parents[3] / "scripts" / "generate_promql_differences.py"
    spec = importlib.util.spec_from_file_location("generate_promql_differences", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_documentation_counts_differences_by_reason_and_group() -> None:
    queries = [corpus.Query("one", "up"), corpus.Query("two", "a or b"), corpus.Query("two", "bad", "refused")]

    known = {("a or b", mode): "Why" for mode in ("instant", "range")}
    text = _generator().section(queries, known, {("up", "beside"): "Other"})

    assert "3 queries are asked" in text
    assert "range; 1 of them are wrong and must be refused. Of 5 answers" in text
    assert "prometheus2`, 3 (60.00 %) are" in text
    assert "4\nanswers are compared, and 3 (75.00 %) are alike" in text
    assert "| Other | 1 | `up` |" in text
    assert "| Why | 2 | `a or b` |" in text
    assert "| one | 2 | 0 |\n| two | 3 | 2 |" in text


def test_documentation_without_differences_says_so() -> None:
    assert "No difference is known." in _generator().section([corpus.Query("one", "up")], {}, {})


def test_page_without_markers_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    generator, page = _generator(), tmp_path / "promql.md"
    monkeypatch.setattr(generator, "PAGE", page)
    page.write_text("# PromQL\n")

    assert generator.main([]) == 1
    assert "must hold <!-- comparison --> and <!-- /comparison --> once each" in capsys.readouterr().err


def test_page_is_written_once_and_checked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    generator, page = _generator(), tmp_path / "promql.md"
    monkeypatch.setattr(generator, "PAGE", page)
    page.write_text("# PromQL\n<!-- comparison --><!-- /comparison -->\nend\n")

    assert generator.main(["--check"]) == 1
    assert "is out of date; run python scripts/generate_promql_differences.py" in capsys.readouterr().err
    assert generator.main([]) == 0
    assert generator.main(["--check"]) == 0
    assert page.read_text().endswith("<!-- /comparison -->\nend\n")


def test_speed_is_measured_over_a_thousand_series_that_no_window_edge_hits() -> None:
    streams = promql_speed.streams()
    pieces = list(promql_speed.pieces(ANCHOR, 0.5))
    times = {at for piece in pieces for series in piece for at, _ in series.samples}

    assert len({tuple(stream.labels.items()) for stream in streams}) == len(streams) == 1000
    assert sum(len(series.samples) for piece in pieces for series in piece) == 1000 * 30 * 4
    assert all(at % 1000 != 0 and ANCHOR - 30 * 60_000 <= at < ANCHOR + 15_000 for at in times)
