"""Loki's HTTP API: what labels, streams and volumes there are, and the form of requests, answers and errors."""

from typing import Any

import pytest

from grafana_shop import LINES, NOW, SECOND, START, Grafana
from ophion_grafana.loki_answers import number_text, seconds_of
from ophion_grafana.loki_params import LokiQuery, bounds, timestamp

pytestmark = pytest.mark.asyncio(loop_scope="module")

CHECKOUT = '{service_name="checkout"}'
CART = '{service_name="cart"}'
CATEGORIZE = {"X-Loki-Response-Encoding-Flags": "categorize-labels"}


async def streams(grafana: Grafana, query: str, **parameters: Any) -> list[dict[str, Any]]:
    """Return the streams of a log query."""
    data = (await grafana.loki("query_range", query=query, **parameters))["data"]
    assert data["resultType"] == "streams"
    return list(data["result"])


async def test_lists_the_labels_that_lokis_otlp_endpoint_makes(grafana: Grafana) -> None:
    assert (await grafana.loki("labels"))["data"] == ["host_name", "k8s_pod_name", "service_name"]
    assert (await grafana.loki("label"))["data"] == ["host_name", "k8s_pod_name", "service_name"]
    assert (await grafana.loki("labels", query='{host_name="web-1"}'))["data"] == ["host_name", "service_name"]
    assert (await grafana.loki("labels", end=str(START)))["data"] == []


async def test_lists_the_values_of_labels(grafana: Grafana) -> None:
    async def values(name: str, **parameters: Any) -> Any:
        return (await grafana.loki(f"label/{name}/values", **parameters))["data"]

    assert await values("service_name") == ["cart", "checkout", "unknown_service"]
    assert await values("service_name", query='{k8s_pod_name=~".+"}') == ["cart", "checkout"]
    assert await values("detected_level") == ["info", "error", "unknown"]
    assert await values("level", query=CART) == ["info", "error"]
    assert await values("nothing") == []


async def test_lists_series_that_match_any_selector(grafana: Grafana) -> None:
    selectors = [CART, '{k8s_pod_name="cart-1"}', '{host_name="web-1"}']
    answer = await grafana.ask("/loki/api/v1/series", start=str(START), end=str(NOW), **{"match[]": selectors})

    assert answer.json() == {
        "status": "success",
        "data": [
            {"k8s_pod_name": "cart-1", "service_name": "cart"},
            {"host_name": "web-1", "service_name": "unknown_service"},
        ],
    }
    assert len((await grafana.loki("series"))["data"]) == 3


async def test_counts_streams_lines_and_bytes(grafana: Grafana) -> None:
    stats = await grafana.loki("index/stats", query=CHECKOUT)

    assert stats == {"streams": 1, "chunks": 1, "entries": LINES, "bytes": stats["bytes"]}
    assert stats["bytes"] == sum(map(len, await grafana.lines(CHECKOUT)))


async def test_measures_volumes_by_the_labels_of_the_query(grafana: Grafana) -> None:
    data = (await grafana.loki("index/volume", query='{service_name=~"c.*"}'))["data"]

    assert data["resultType"] == "vector"
    assert [series["metric"] for series in data["result"]] == [{"service_name": "checkout"}, {"service_name": "cart"}]
    volumes = [int(series["value"][1]) for series in data["result"]]
    assert volumes == sorted(volumes, reverse=True)


async def test_measures_volumes_by_other_labels_and_over_time(grafana: Grafana) -> None:
    query = '{service_name=~"c.*"}'
    by_pod = (await grafana.loki("index/volume", query=query, targetLabels="k8s_pod_name", limit="1"))["data"]
    assert [series["metric"] for series in by_pod["result"]] == [{"k8s_pod_name": "checkout-1"}]
    by_name = (await grafana.loki("index/volume", query=query, aggregateBy="labels", limit="0"))["data"]
    assert [series["metric"] for series in by_name["result"]] == [{"service_name": ""}]
    over = (await grafana.loki("index/volume_range", query=query, step="1m"))["data"]
    assert over["resultType"] == "matrix"
    assert [len(series["values"]) for series in over["result"]] == [3, 3]


async def test_tells_how_many_values_labels_have(grafana: Grafana) -> None:
    assert await grafana.loki("detected_labels") == {
        "detectedLabels": [
            {"label": "host_name", "cardinality": 1},
            {"label": "k8s_pod_name", "cardinality": 2},
            {"label": "service_name", "cardinality": 3},
        ]
    }


async def test_detects_fields_of_lines_and_of_metadata(grafana: Grafana) -> None:
    cart = {field["label"]: field for field in (await grafana.loki("detected_fields", query=CART))["fields"]}
    assert cart["status"] == {
        "label": "status",
        "type": "int",
        "cardinality": 100,
        "parsers": ["json"],
        "jsonPath": ["status"],
    }
    assert cart["req_path"]["jsonPath"] == ["req", "path"]
    assert cart["ok"]["type"] == "boolean"
    assert cart["user_id"] == {"label": "user_id", "type": "string", "cardinality": 4, "parsers": None}
    fields = (await grafana.loki("detected_fields", query=CHECKOUT, line_limit="10"))["fields"]
    checkout = {field["label"]: field for field in fields}
    assert {name: checkout[name]["type"] for name in ("took", "size", "http_status", "msg")} == {
        "took": "duration",
        "size": "bytes",
        "http_status": "int",
        "msg": "string",
    }
    assert checkout["took"]["parsers"] == ["logfmt"]
    assert checkout["took"]["cardinality"] == 10


async def test_lists_the_values_of_a_field(grafana: Grafana) -> None:
    found = await grafana.loki("detected_field/status/values", query=CART, limit="2")
    assert found == {"values": ["319", "318"], "limit": 2}
    assert (await grafana.loki("detected_field/nothing/values", query=CART))["values"] == []


async def test_keeps_kinds_of_labels_apart_where_it_is_asked_to(grafana: Grafana) -> None:
    data = (await grafana.loki("query_range", query=f"{CART} | json", limit="1", headers=CATEGORIZE))["data"]

    assert list(data) == ["resultType", "encodingFlags", "result", "stats"]
    assert data["encodingFlags"] == ["categorize-labels"]
    (stream,) = data["result"]
    assert stream["stream"] == {"service_name": "cart", "k8s_pod_name": "cart-1"}
    ((time, _, kinds),) = stream["values"]
    assert time == str(START + (LINES - 1) * SECOND)
    assert kinds["structuredMetadata"] == {
        "process_pid": "7",
        "scope_name": "shop",
        "user_id": "u3",
        "attempt": "119",
        "cost": "1.5",
        "cached": "false",
        "trace_id": "0af7651916cd43dd8448eb211c80319c",
        "span_id": "0101010101010101",
        "severity_number": "9",
        "observed_timestamp": str(START + (LINES - 1) * SECOND + 5),
        "detected_level": "info",
    }
    assert kinds["parsed"] == {"status": "319", "req_path": "/p119", "x_y": "q", "ok": "true"}


async def test_puts_all_labels_on_streams_otherwise(grafana: Grafana) -> None:
    (stream,) = await streams(grafana, f"{CHECKOUT} | logfmt", limit="1")

    assert stream["stream"]["service_name"] == "checkout"
    assert stream["stream"]["user_id"] == "u3"
    assert stream["stream"]["took"] == "119ms"
    assert [len(value) for value in stream["values"]] == [2]


async def test_shows_lines_as_the_pipeline_leaves_them(grafana: Grafana) -> None:
    query = (
        f"{CHECKOUT} | logfmt | label_format who=user_id, both=`{{{{.user_id}}}}/{{{{.took}}}}` "
        "| line_format `{{.who}} {{__timestamp__}} {{.msg}}` | keep service_name, both"
    )
    (stream,) = await streams(grafana, query, limit="1")

    # A label that was renamed is gone for the template that comes after.
    assert stream["stream"] == {"service_name": "checkout", "both": "/119ms"}
    assert stream["values"][0][1] == f"u3 {START + 119 * SECOND} Payment failed for order 119"


async def test_parses_by_pattern_and_expression_for_display(grafana: Grafana) -> None:
    query = f"{CHECKOUT} | pattern `level=<lv> <_>` | regexp `order (?P<order>\\d+)` | drop user_id | keep lv, order"
    (stream,) = await streams(grafana, query, limit="1")
    assert stream["stream"] == {"lv": "info", "order": "119"}
    query = f'{CART} | json n="list[0].n", gone="a.b" | keep n, gone'
    (stream,) = await streams(grafana, query, limit="1")
    assert stream["stream"] == {"n": "119"}
    (stream,) = await streams(grafana, f"{CHECKOUT} | json | keep __error__", limit="1")
    assert stream["stream"] == {"__error__": "JSONParserErr"}


async def test_returns_the_newest_lines_first_or_the_oldest(grafana: Grafana) -> None:
    async def first_two(direction: str) -> list[int]:
        found = await streams(grafana, CHECKOUT, limit="2", direction=direction, headers=CATEGORIZE)
        return [(int(value[0]) - START) // SECOND for value in found[0]["values"]]

    assert await first_two("BACKWARD") == [119, 118]
    assert await first_two("forward") == [0, 1]


async def test_includes_the_start_and_leaves_out_the_end(grafana: Grafana) -> None:
    end = str(START + 3 * SECOND)

    assert len(await grafana.lines(CHECKOUT, start=str(START + SECOND), end=end)) == 2


async def test_returns_one_line_of_a_stream_per_interval(grafana: Grafana) -> None:
    assert len(await grafana.lines(CHECKOUT, interval="30s")) == 5
    assert len(await grafana.lines(CHECKOUT, interval="60")) == 3


@pytest.mark.parametrize(
    "times",
    [
        {"start": "1700000000", "end": "1700000010"},
        {"start": "1700000000.0", "end": "1700000010.0"},
        {"start": "2023-11-14T22:13:20Z", "end": "2023-11-14T23:13:30+01:00"},
        {"start": "2023-11-14T22:13:20.000Z", "end": "1700000010000000000"},
        {"start": "", "end": "1700000010", "since": "10s"},
        {"start": "", "end": "1700000010"},
    ],
)
async def test_takes_times_in_every_form_that_loki_takes(grafana: Grafana, times: dict[str, str]) -> None:
    assert len(await grafana.lines(CHECKOUT, **times)) == 10


async def test_takes_a_form_as_well(grafana: Grafana) -> None:
    form = {"query": CHECKOUT, "start": str(START), "end": str(NOW), "limit": "3"}
    answer = await grafana.server.post("/loki/api/v1/query_range", key="reader", data=form)

    assert sum(len(stream["values"]) for stream in answer.json()["data"]["result"]) == 3


@pytest.mark.parametrize(
    ("path", "parameters", "message"),
    [
        ("query_range", {"limit": "0"}, "limit must be a positive value, got '0'"),
        ("query_range", {"limit": "x"}, "limit must be a positive value, got 'x'"),
        (
            "query_range",
            {"limit": "5001"},
            "max entries limit per query exceeded, limit > max_entries_limit_per_query (5001 > 5000)",
        ),
        ("query_range", {"direction": "up"}, "invalid direction 'up'"),
        ("query_range", {"start": "x"}, "could not parse 'start' parameter: 'x'; send Unix nanoseconds"),
        ("query_range", {"end": "-5"}, "could not parse 'end' parameter: '-5' is before 1970 or after 2262"),
        ("query_range", {"start": "2", "end": "1"}, "end timestamp must not be before or equal to start time"),
        ("query_range", {"interval": "x"}, "interval: cannot parse 'x' to a valid duration"),
        ("query_range", {"since": "1", "start": "", "end": "y"}, "could not parse 'end' parameter: 'y'"),
        (
            "query_range",
            {"query": "vector(1)", "step": "0"},
            "zero or negative query resolution step widths are not accepted. Try a positive integer",
        ),
        (
            "query_range",
            {"query": "vector(1)", "step": "1ms"},
            "exceeded maximum resolution of 11000 points per time series. Try increasing the value of the step",
        ),
        ("query", {"query": "vector(1)", "time": "x"}, "could not parse 'time' parameter: 'x'"),
        ("index/volume", {"aggregateBy": "x"}, "invalid aggregation option"),
        ("detected_fields", {"line_limit": "-1"}, "line_limit must be a positive value, got '-1'"),
        ("labels", {"query": "x"}, "parse error at line 1, col 1: syntax error: unexpected x"),
    ],
)
async def test_says_in_plain_text_what_is_wrong_with_a_parameter(
    grafana: Grafana, path: str, parameters: dict[str, str], message: str
) -> None:
    sent = {"query": CHECKOUT, "start": str(START), "end": str(NOW), **parameters}
    answer = await grafana.ask(f"/loki/api/v1/{path}", **sent)

    assert (answer.status, answer.text[: len(message)]) == (400, message)
    assert answer.headers["Content-Type"] == "text/plain; charset=utf-8"


async def test_refuses_callers_in_plain_text(grafana: Grafana) -> None:
    answer = await grafana.ask("/loki/api/v1/labels", key="")

    assert answer.status == 401
    assert answer.text.startswith("this needs credentials")
    assert answer.headers["WWW-Authenticate"]


async def test_formats_queries_and_says_what_is_wrong_with_them(grafana: Grafana) -> None:
    assert await grafana.loki("format_query", query='{a=   "b"}') == {"status": "success", "data": '{a="b"}'}
    answer = await grafana.ask("/loki/api/v1/format_query", query="{")
    assert answer.status == 400
    assert answer.json() == {
        "status": "invalid-query",
        "error": "parse error at line 1, col 2: syntax error: unexpected $end, expecting NAME",
    }


async def test_tells_version_and_readiness(grafana: Grafana) -> None:
    assert (await grafana.loki("status/buildinfo"))["version"] == "1.2.3"
    assert (await grafana.ask("/loki/ready")).text == "ready\n"


async def test_shows_nobody_the_lines_of_another_tenant(grafana: Grafana) -> None:
    for path, parameters in {
        "query_range": {"query": '{service_name=~".+"}'},
        "labels": {},
        "label/service_name/values": {},
        "series": {},
        "detected_fields": {"query": '{service_name=~".+"}'},
        "index/volume": {"query": '{service_name=~".+"}'},
    }.items():
        sent = {"start": str(START), "end": str(NOW), **parameters}
        answer = await grafana.ask(f"/loki/api/v1/{path}", key="stranger", **sent)
        assert answer.status == 200
        assert "cart" not in answer.text


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (1.0, "1"),
        (0.5, "0.5"),
        (1e-7, "0.0000001"),
        (1e21, "1000000000000000000000"),
        (float("nan"), "NaN"),
        (float("inf"), "+Inf"),
        (float("-inf"), "-Inf"),
    ],
)
async def test_writes_numbers_without_an_exponent(value: float, text: str) -> None:
    assert number_text(value) == text


async def test_writes_times_with_milliseconds_where_there_are_some() -> None:
    assert seconds_of(1_500_000_000) == 1.5
    assert isinstance(seconds_of(2 * SECOND), int)


async def test_ends_now_and_starts_an_hour_before() -> None:
    assert bounds(LokiQuery(), NOW) == (NOW - 3600 * SECOND, NOW)
    assert bounds(LokiQuery(end=str(NOW + SECOND)), NOW) == (NOW - 3600 * SECOND, NOW + SECOND)
    assert timestamp("2023-11-14T22:13:20.123456789Z", 0, "start") == START + 123_456_789
