"""`ophion-agent query`, `logs` and `traces` against a real server."""

import asyncio
import csv
import io
import json
import re
import time
from collections.abc import AsyncIterator
from datetime import datetime
from pathlib import Path

import pytest
import pytest_asyncio
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest

from command_line import CommandShop, command_shop, run_command
from telemetry_sample import NOW, SECOND, TRACES, logs_request, trace_id
from telemetry_store import ingest

pytestmark = pytest.mark.asyncio(loop_scope="module")
FROM, AT = str(NOW // SECOND - 600), str(NOW // SECOND)
RANGE = ("--from", FROM, "--to", str(NOW // SECOND + 1))


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def shop(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[CommandShop]:
    async with command_shop(tmp_path_factory.mktemp("commands")) as running:
        yield running


# ---- query


async def test_query_shows_series_with_their_last_value_and_a_sparkline(shop: CommandShop) -> None:
    done = await shop.run("query", "sum by (state) (rate(system_cpu_time_seconds_total[1m]))", *RANGE, "--step", "30s")

    assert done.code == 0, done.err
    header, first, second = done.lines
    assert header.split()[:2] == ["SERIES", "LAST"]
    assert first.split()[:2] == ['{state="idle"}', "0.75"]
    assert second.split()[:2] == ['{state="user"}', "0.25"]
    assert re.search("[▁▂▃▄▅▆▇█]{10}", first)


async def test_query_at_one_time_shows_values(shop: CommandShop) -> None:
    done = await shop.run("query", "system_memory_usage_bytes", "--at", AT)

    assert done.code == 0, done.err
    assert done.lines[0].split() == ["SERIES", "VALUE"]
    assert [line.split()[-1] for line in done.lines[1:]] == ["3000", "1000"]


@pytest.mark.parametrize(("expression", "value"), [("1 + 1", "2"), ('"text"', "text")])
async def test_query_shows_scalars_and_texts(shop: CommandShop, expression: str, value: str) -> None:
    done = await shop.run("query", expression, "--at", AT)

    assert done.lines[1].split() == ["{}", value]


@pytest.mark.parametrize(
    ("name", "more"),
    [
        ("came_now", ()),
        ("came_since", ("--from", "now-2m")),
        ("came_in_a_step", ("--step", "10m")),
        ("came_in_a_long_step", ("--step", "1h")),
    ],
)
async def test_query_shows_a_point_that_has_just_come(shop: CommandShop, name: str, more: tuple[str, ...]) -> None:
    request = ExportMetricsServiceRequest()
    metric = request.resource_metrics.add().scope_metrics.add().metrics.add(name=name)
    metric.gauge.data_points.add(time_unix_nano=time.time_ns(), as_int=42)
    await ingest(shop.store, "metrics", request.SerializeToString())

    done = await shop.run("query", name, *more)

    assert done.code == 0, done.err
    assert done.lines[1].split()[:2] == [name, "42"]


async def test_query_as_json_and_csv(shop: CommandShop) -> None:
    as_json = await shop.run("query", "system_memory_usage_bytes", "--at", AT, "--output", "json")
    as_csv = await shop.run("query", "system_memory_usage_bytes", *RANGE, "--step", "5m", "-o", "csv")

    assert json.loads(as_json.out)["resultType"] == "vector"
    rows = list(csv.DictReader(io.StringIO(as_csv.out)))
    assert {row["state"] for row in rows} == {"used", "free"}
    assert {float(row["value"]) for row in rows} == {3000.0, 1000.0}
    assert all(datetime.fromisoformat(row["time"]).tzinfo for row in rows)


async def test_query_limits_the_table_and_says_so(shop: CommandShop) -> None:
    done = await shop.run("query", "system_memory_usage_bytes", "--at", AT, "--limit", "1")

    assert done.lines[-1] == "... and 1 more; --limit 2 shows them"


async def test_query_without_series_says_so(shop: CommandShop) -> None:
    done = await shop.run("query", "nothing_of_this_name")

    assert (done.code, done.out) == (0, "")
    assert "no series match" in done.err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("sum(",), "parse"),
        (("up", "--at", "1769846400", "--step", "5s"), "--at asks for one time; leave out --from, --to and --step"),
        (("up", "--at", "soon"), '--at: must be a time such as 2026-01-31T08:00:00Z, 1769846400 or now-1h, got "soon"'),
        (
            ("up", "--from", "1769846400", "--to", "1769845800"),
            "--from: must be before --to, got 1769846400; choose an earlier begin",
        ),
        (("up", "--step", "0s"), "--step: must be longer than 0, got 0s; leave it out for about 60 values"),
        (("up", "--step", "fast"), '--step: must be a duration such as 200ms, 5s or 1m30s, got "fast"'),
    ],
)
async def test_query_refuses_what_cannot_be(shop: CommandShop, arguments: tuple[str, ...], message: str) -> None:
    done = await shop.run("query", *arguments)

    assert (done.code, done.out) == (2, "")
    assert message in done.err


# ---- logs


async def test_logs_are_lines_with_the_newest_last(shop: CommandShop) -> None:
    done = await shop.run("logs", "payment", "finished -refused", "--service", "checkout", "--limit", "30")

    assert done.code == 0, done.err
    assert len(done.lines) == 30
    assert done.lines == sorted(done.lines)
    assert re.match(
        r"\d\d-\d\d \d\d:\d\d:\d\d\.000  INFO   checkout +[0-9a-f]{8}  Payment \d+ finished", done.lines[-1]
    )


async def test_logs_by_severity_and_words(shop: CommandShop) -> None:
    done = await shop.run("logs", 'connection -payment "refused by"', "--severity", "warn", "--since", "2h")

    assert len(done.lines) == 20
    assert all("ERROR" in line and "Connection refused by BANK-" in line for line in done.lines)


async def test_logs_of_a_trace(shop: CommandShop) -> None:
    done = await shop.run("logs", "--trace", trace_id(3), "--output", "json")

    (record,) = map(json.loads, done.lines)
    assert record["trace_id"] == trace_id(3)
    assert record["resource"]["host.name"] == "host-a"


async def test_logs_come_page_by_page_up_to_the_limit(shop: CommandShop, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ophion_api.cli_logs._PAGE", 50)
    done = await shop.run("logs", "--limit", "120", "--since", "7d", "-o", "csv")

    rows = list(csv.DictReader(io.StringIO(done.out)))
    assert len(rows) == 120
    assert [row["time"] for row in rows] == sorted(row["time"] for row in rows)
    assert json.loads(rows[0]["attributes"])["code"] >= 0


async def test_logs_are_coloured_and_cut_on_a_terminal(shop: CommandShop, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "72")
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.delenv("NO_COLOR", raising=False)
    coloured = await shop.run("logs", "refused", "--limit", "1", is_terminal=True)
    monkeypatch.setenv("NO_COLOR", "1")
    plain = await shop.run("logs", "refused", "--limit", "1", is_terminal=True)

    assert "\x1b[31mERROR\x1b[0m" in coloured.out
    assert "\x1b" not in plain.out
    assert len(plain.lines[0]) <= 72
    assert plain.lines[0].endswith("…")


async def test_logs_never_pass_on_what_a_terminal_obeys(shop: CommandShop, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "200")
    request = logs_request()
    records = request.resource_logs[0].scope_logs[0].log_records
    del records[1:]
    records[0].body.string_value = "evil\x1b]0;title\x07\x1b[2J\nnext \u202eline"
    await ingest(shop.store, "logs", request.SerializeToString())

    done = await shop.run("logs", "evil", is_terminal=True)

    (line,) = done.lines
    assert "evil·]0;title··[2J⏎next ·line" in line


async def test_logs_are_followed_until_interrupted(shop: CommandShop, monkeypatch: pytest.MonkeyPatch) -> None:
    shown: list[str] = []
    first = asyncio.Event()
    loop = asyncio.get_running_loop()

    def show(text: str) -> None:
        shown.append(text)
        loop.call_soon_threadsafe(first.set)
        if len(shown) == 3:
            raise KeyboardInterrupt

    monkeypatch.setattr("ophion_api.cli_logs.write", show)
    following = asyncio.create_task(
        shop.run("logs", "refused", "--severity", "error", "--limit", "1", "--follow", "--output", "json")
    )
    await asyncio.wait_for(first.wait(), 30)
    for number in range(60):
        await ingest(shop.store, "logs", refusal(number))
        if (await asyncio.wait([following], timeout=0.5))[0]:
            break
    done = await asyncio.wait_for(following, 30)

    assert done.code == 0
    bodies = [json.loads(text)["body"] for text in shown[1:]]
    assert all(body.startswith("Refused again ") for body in bodies)
    assert len(set(bodies)) == 2


def refusal(number: int) -> bytes:
    request = logs_request()
    records = request.resource_logs[0].scope_logs[0].log_records
    del records[1:]
    records[0].time_unix_nano = time.time_ns()
    records[0].severity_number = 17
    records[0].body.string_value = f"Refused again {number}"
    return request.SerializeToString()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--since", "1h", "--from", FROM), "--since and --from both name the begin; give one of them"),
        (("--since", "long"), '--since: must be a duration such as 200ms, 5s or 1m30s, got "long"'),
        (("--follow", "--to", AT), "--follow goes on from now; leave out --to and --trace"),
        (("--severity", "loud"), "severity_min"),
    ],
)
async def test_logs_refuse_what_cannot_be(shop: CommandShop, arguments: tuple[str, ...], message: str) -> None:
    done = await shop.run("logs", *arguments)

    assert (done.code, done.out) == (2, "")
    assert message in done.err


# ---- traces


async def test_traces_are_a_table(shop: CommandShop) -> None:
    done = await shop.run("traces", "--service", "checkout", "--status", "error", "--limit", "3")

    assert done.code == 0, done.err
    assert done.lines[0].split() == ["TRACE", "START", "SERVICE", "OPERATION", "DURATION", "SPANS", "ERRORS"]
    assert [line.split()[0] for line in done.lines[1:]] == [trace_id(0), trace_id(4), trace_id(8)]
    assert done.lines[1].split()[3:] == ["web", "GET", "/cart", "100ms", "4", "1"]


async def test_traces_by_duration_the_longest_first(shop: CommandShop) -> None:
    done = await shop.run("traces", "--min-duration", "135ms", "--longest", "--output", "csv")

    rows = list(csv.DictReader(io.StringIO(done.out)))
    assert [row["trace_id"] for row in rows] == [trace_id(n) for n in range(TRACES - 1, 34, -1)]
    as_json = await shop.run("traces", "--min-duration", "135ms", "--longest", "--output", "json", "--limit", "2")
    assert [trace["duration_ms"] for trace in json.loads(as_json.out)] == [139.0, 138.0]


async def test_a_trace_is_a_waterfall(shop: CommandShop) -> None:
    done = await shop.run("traces", trace_id(4))

    assert done.code == 0, done.err
    assert done.lines[0].startswith(f"{trace_id(4)}  ")
    assert "4 spans  1 errors" in done.lines[0]
    assert [line.partition("  █")[0].rstrip()[:28].rstrip() for line in done.lines[1:4]] == [
        "web: GET /cart",
        "  web: call checkout",
        "    checkout: POST /pay",
    ]
    assert done.lines[4].strip() == "! card refused"
    assert done.lines[5].lstrip().startswith("stock: reserve")
    offsets = [line.index("█") for line in (*done.lines[1:4], done.lines[5])]
    assert offsets == sorted(set(offsets))
    as_csv = await shop.run("traces", trace_id(4), "-o", "csv")
    assert len(as_csv.lines) == 5
    as_json = await shop.run("traces", trace_id(4), "-o", "json")
    assert json.loads(as_json.out)["trace_id"] == trace_id(4)


async def test_traces_that_are_not_there(shop: CommandShop) -> None:
    none = await shop.run("traces", "--service", "nobody")
    missing = await shop.run("traces", "ab" * 16)
    wrong = await shop.run("traces", "xyz")

    assert (none.code, none.out) == (0, "")
    assert "no traces match; look further back with --since" in none.err
    assert missing.code == 1
    assert "there is no trace abab" in missing.err
    assert wrong.code == 2
    assert "TRACE_ID: must be 32 hexadecimal digits, got 'xyz'; `ophion-agent traces` lists some" in wrong.err


# ---- the server and the key


async def test_says_what_to_do_about_keys(shop: CommandShop, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("STATE_DIRECTORY", raising=False)
    none = await asyncio.to_thread(run_command, "logs", "--url", shop.server.url)
    unknown = await shop.run("logs", key="unknown")
    forbidden = await shop.run("logs", key="nobody")

    assert (none.code, unknown.code, forbidden.code) == (1, 1, 1)
    remedy = "give one with --key-file or OPHION_KEY; `ophion-agent server key create` makes one (401)"
    assert f"{shop.server.url}: a key is needed; {remedy}" in none.err
    assert f"{shop.server.url}: the key is not accepted; {remedy}" in unknown.err
    assert 'the key may not do this: this needs the permission "telemetry:read"' in forbidden.err


async def test_takes_the_key_of_this_host_s_server(
    shop: CommandShop, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("STATE_DIRECTORY", str(tmp_path))
    monkeypatch.setenv("OPHION_URL", shop.server.url)
    (tmp_path / "control").mkdir()
    (tmp_path / "control" / "cli.key").write_text("reader\n")

    done = await asyncio.to_thread(run_command, "traces", "--limit", "1")
    monkeypatch.setenv("OPHION_KEY", "unknown")
    other = await asyncio.to_thread(run_command, "traces", "--limit", "1")

    assert done.code == 0
    assert "the key is not accepted" in other.err


async def test_says_that_it_was_too_often(shop: CommandShop, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shop.server.authorizer, "limit", 0)
    done = await shop.run("logs")

    assert done.code == 1
    assert "too many requests; try again in 7 s (429)" in done.err
