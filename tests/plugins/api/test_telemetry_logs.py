"""Log records over HTTP, on a real store."""

import csv
import io
import json
from collections.abc import AsyncIterator
from typing import Any
from urllib.parse import quote

import pytest
import pytest_asyncio
from hypothesis import given
from hypothesis import strategies as st

from ophion_api.search_sql import search_condition
from ophion_api.search_terms import parse_search
from ophion_api.sql_parts import Binder
from telemetry_sample import NOW, SECOND, TRACES, Shop, running_shop, trace_id

pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def shop(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Shop]:
    async with running_shop(tmp_path_factory.mktemp("logs")) as running:
        yield running


async def numbers(shop: Shop, query: str, **more: Any) -> list[int]:
    """Return the `code` of the records that match."""
    answer = await shop.get("/api/logs", query=query, limit=1000, **more)
    return sorted(log["attributes"].get("code", -1) for log in answer["logs"])


async def test_shows_a_record_with_everything_it_carries(shop: Shop) -> None:
    answer = await shop.get("/api/logs", limit=1)
    (log,) = answer["logs"]
    assert answer["resources"][log.pop("resource")] == {"service.name": "checkout", "host.name": "host-a"}
    assert len(log.pop("id")) == 16
    assert log.pop("time").endswith(":00.000000000Z")
    assert log == {
        "severity": "error",
        "severity_number": 17,
        "severity_text": "",
        "service": "checkout",
        "body": "Connection refused by BANK-0",
        "event_name": "",
        "trace_id": trace_id(0),
        "span_id": "0000000000000003",
        "attributes": {"code": 0, "path": "/pay/0", "slow": True},
    }


async def test_shows_a_body_that_is_no_text(shop: Shop) -> None:
    answer = await shop.get("/api/logs", query="event:audit")
    assert [log["body"] for log in answer["logs"]] == [{"action": "login", "tries": 3}]


@pytest.mark.parametrize("order", ["newest", "oldest"])
@pytest.mark.parametrize("limit", [1, 17, 100])
async def test_pages_hold_every_record_once_and_in_order(shop: Shop, order: str, limit: int) -> None:
    whole = await shop.get("/api/logs", order=order, limit=1000)
    # Five records are equal in everything: a page may end between them.
    query = "same OR event:audit OR refused" if limit == 1 else ""
    seen: list[dict[str, Any]] = []
    cursor: dict[str, str] = {}
    while True:
        page = await shop.get("/api/logs", order=order, limit=limit, query=query, **cursor)
        seen += page["logs"]
        if page["next_cursor"] is None:
            break
        cursor = {"cursor": page["next_cursor"]}
    expected = [log for log in whole["logs"] if limit > 1 or log["severity"] != "info"]
    assert seen == expected
    assert len(whole["logs"]) == 206
    times = [log["time"] for log in seen]
    assert times == sorted(times, reverse=order == "newest")


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("refused", lambda n: n % 10 == 0),
        ("REFUSED connection", lambda n: n % 10 == 0),
        ("refused payment", lambda n: False),
        ("finished OR refused", lambda n: True),
        ("payment -finished", lambda n: False),
        ("payment NOT user-3", lambda n: n % 10 and n % 7 != 3),
        ("(user-1 OR user-2) AND finished", lambda n: n % 10 and n % 7 in (1, 2)),
        ('"refused by"', lambda n: n % 10 == 0),
        ('"by refused"', lambda n: False),
        ('"refused by BANK-20"', lambda n: n == 20),
        ("bank-2", lambda n: False if n != 2 else n % 10 == 0),
        ("bank*", lambda n: n % 10 == 0),
        ("ank*", lambda n: False),
        ("bank-1*", lambda n: n % 10 == 0 and str(n).startswith("1")),
        ("conn* -bank-50", lambda n: n % 10 == 0 and n != 50),
        ("code:17", lambda n: n == 17),
        ("code>=195", lambda n: n >= 195),
        ("code:<3", lambda n: n < 3),
        ("code>7 code<=9", lambda n: n in (8, 9)),
        ("path:/pay/1", lambda n: n % 2 == 1),
        ('path:"/pay/1"', lambda n: n % 2 == 1),
        ("path:/pay*", lambda n: True),
        ("path:/pa.*1$/", lambda n: n % 2 == 1),
        ("slow:true code:*", lambda n: n % 2 == 0),
        ("-slow:true refused", lambda n: False),
        ("code:/^19.$/", lambda n: 190 <= n <= 199),
        ("service:checkout host.name:host-a code:5", lambda n: n == 5),
        ("resource.host.name:host-a code:5", lambda n: n == 5),
        ("attributes.host.name:host-a", lambda n: False),
        ("host.name:host-b", lambda n: False),
        ("severity:error", lambda n: n % 10 == 0),
        ("level>info", lambda n: n % 10 == 0),
        ("severity:<=info code:11", lambda n: n == 11),
        (f"trace_id:{trace_id(4)}", lambda n: n == 4),
        ("trace_id:* code>30", lambda n: 30 < n < TRACES),
        ("span_id:0000000000000003", lambda n: n == 0),
        ("body:refused", lambda n: n % 10 == 0),
        ("body:/BANK-.0$/", lambda n: n in range(10, 100, 10)),
        ("missing:*", lambda n: False),
        ("by -- refused", lambda n: False),
    ],
)
async def test_finds_what_a_query_asks_for(shop: Shop, query: str, expected: Any) -> None:
    assert [n for n in await numbers(shop, query) if n >= 0] == [n for n in range(200) if expected(n)]


async def test_filters_by_service_level_and_trace(shop: Shop) -> None:
    assert len(await numbers(shop, "", severity_min="warn")) == 21
    assert len(await numbers(shop, "", service="checkout")) == 206
    assert await numbers(shop, "", service="web") == []
    assert await numbers(shop, "", trace_id=trace_id(7).upper()) == [7]


async def test_takes_the_same_in_a_body(shop: Shop) -> None:
    answer = await shop.post("/api/logs/query", query="code<5", order="oldest", limit=2)
    assert [log["attributes"]["code"] for log in answer["logs"]] == [4, 3]
    again = await shop.post("/api/logs/query", query="code<5", order="oldest", limit=2, cursor=answer["next_cursor"])
    assert [log["attributes"]["code"] for log in again["logs"]] == [2, 1]


@pytest.mark.parametrize(
    ("query", "reason"),
    [
        ({"query": '"open'}, 'query: the quote at character 1 has no end; add a "'),
        ({"query": "(a"}, 'query: needs a ) at its end; put text with special characters in "quotes"'),
        ({"query": "a )"}, 'query: has a ) too many at character 3; put text with special characters in "quotes"'),
        ({"query": "OR a"}, 'query: needs a term at character 1; put text with special characters in "quotes"'),
        ({"query": "(" * 30 + "a" + ")" * 30}, "query: nests deeper than 20 groups at character 22"),
        ({"query": "a " * 101}, "query: may have 100 terms; search for less at once"),
        ({"query": "code>abc"}, 'code >: must be compared with a number, got "abc"'),
        ({"query": "path:/(/"}, '"(" is no RE2 expression: missing ): ('),
        ({"query": "path:/" + "a" * 1001 + "/"}, "a regular expression may have 1000 characters, got 1001"),
        ({"query": "severity:loud"}, "severity: must be a level or a number from 0 to 24"),
        ({"query": "level:/x/"}, "query: level: takes : > >= < <= and a level, such as level:error"),
        ({"query": "trace_id:xyz"}, 'query: trace_id: takes : and 32 hexadecimal digits, got "xyz"'),
        ({"query": "service>5"}, ">: cannot be used with a text; use one of = != =~ exists"),
        ({"cursor": "bm9uc2Vuc2U"}, "cursor: does not belong to this search; begin again without it"),
        ({"severity_min": "eror"}, 'severity_min: must be a level or a number from 0 to 24, got "eror"; did you mean'),
        ({"from": "yesterday"}, 'from: must be a time such as 2026-01-31T08:00:00Z, 1769846400 or now-1h, got "yest'),
        ({"from": "now", "to": "now-1h"}, "from: must be before `to`, got now and now-1h"),
        ({"from": "0", "to": "now"}, "from: the range must be at most 10 years; ask for less"),
    ],
)
async def test_refuses_what_cannot_be_asked(shop: Shop, query: dict[str, str], reason: str) -> None:
    problem = await shop.get("/api/logs", expect=422, **query)
    assert problem["detail"].startswith(reason)


async def test_cursor_of_another_order_is_refused(shop: Shop) -> None:
    cursor = (await shop.get("/api/logs", limit=1))["next_cursor"]
    assert (await shop.get("/api/logs", expect=422, order="oldest", cursor=cursor))["detail"].startswith("cursor:")


@given(
    st.lists(
        st.one_of(
            st.text(max_size=8),
            st.sampled_from(
                ["OR", "AND", "NOT", "-", "(", ")", '"', "a:", "b>", "c:/", "/", "*", "\\", "'", ":", "{p0:String}"]
            ),
        ),
        max_size=12,
    ).map(" ".join)
)
async def test_any_text_is_a_query_or_refused(shop: Shop, query: str) -> None:
    answer = await shop.server.post(
        "/api/logs/query", key="reader", json={"query": query, "from": NOW - 600 * SECOND, "to": NOW + 1, "limit": 1}
    )
    assert answer.status in (200, 422), answer.text


@given(st.text(alphabet=st.characters(codec="utf-8"), max_size=60).map(lambda text: f"xx{text}xx"))
async def test_text_never_becomes_part_of_a_statement(shop: Shop, text: str) -> None:
    quoted = text.replace("\\", "\\\\").replace('"', '\\"')
    for query in (f'"{quoted}"', f'key:"{quoted}"'):
        binder = Binder()
        sql = search_condition(binder, parse_search(query))
        assert "xx" not in sql.replace("hex", "")
        assert any("7878" in str(value) or "xx" in str(value) for value in binder.values.values())


async def test_search_by_words_reads_the_text_index(shop: Shop) -> None:
    for query in ("refused", '"refused by"', "refused -finished", "refused OR payment", "refu*"):
        binder = Binder()
        where = search_condition(binder, parse_search(query))
        plan = await shop.store.query_bytes(
            f"EXPLAIN indexes = 1 SELECT time FROM logs WHERE {where} ORDER BY time LIMIT 5",
            binder.values,
            tenant="default",
            output_format="TSVRaw",
        )
        assert b"Name: words" in plan, query


async def test_counts_levels_over_time(shop: Shop) -> None:
    answer = await shop.get("/api/logs/histogram", step="10m", query="finished OR refused")
    assert answer["step_ms"] == 600_000
    assert sum(bucket["total"] for bucket in answer["buckets"]) == 200
    counts = {level: sum(bucket["counts"].get(level, 0) for bucket in answer["buckets"]) for level in ("info", "error")}
    assert counts == {"info": 180, "error": 20}
    assert len(answer["buckets"]) in (6, 7, 8)
    assert (await shop.get("/api/logs/histogram"))["step_ms"] == 120_000


@pytest.mark.parametrize(
    ("step", "reason"),
    [
        ("1ns", 'step: must be at least 1ms, got "1ns"'),
        ("1s", 'step: "1s" makes more than 2000 steps; use a longer one'),
        ("5", "step: must be a duration with a unit, got 5; write 5s"),
        ("-5s", 'step: must not be negative, got "-5s"'),
    ],
)
async def test_refuses_steps(shop: Shop, step: str, reason: str) -> None:
    assert (await shop.get("/api/logs/histogram", expect=422, step=step))["detail"] == reason


async def test_exports_all_pages_as_ndjson(shop: Shop) -> None:
    answer = await shop.server.get(
        f"/api/logs?from={NOW - 3600 * SECOND}&to={NOW + 1}&limit=10",
        key="reader",
        headers={"Accept": "application/x-ndjson"},
    )
    lines = [json.loads(line) for line in answer.text.splitlines()]
    assert answer.headers["Content-Type"] == "application/x-ndjson"
    assert answer.headers["Content-Disposition"] == 'attachment; filename="logs.ndjson"'
    assert len(lines) == 206
    assert lines[0]["resource"] == {"service.name": "checkout", "host.name": "host-a"}


async def test_exports_csv(shop: Shop) -> None:
    answer = await shop.server.get(
        f"/api/logs?from={NOW - 3600 * SECOND}&to={NOW + 1}&query={quote('code<3')}&format=csv", key="reader"
    )
    assert answer.headers["Content-Type"] == "text/csv; charset=utf-8; header=present"
    rows = list(csv.DictReader(io.StringIO(answer.text)))
    assert [row["body"] for row in rows] == [
        "Connection refused by BANK-0", "Payment 1 finished for user-1", "Payment 2 finished for user-2",
    ]  # fmt: skip
    assert json.loads(rows[1]["attributes"]) == {"code": 1, "path": "/pay/1", "slow": False}


async def test_other_tenants_see_nothing(shop: Shop) -> None:
    assert (await shop.get("/api/logs", key="other"))["logs"] == []
    assert (await shop.get("/api/logs", key="", expect=401))["status"] == 401
