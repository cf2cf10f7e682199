"""What is special to the engine behind HTTP: who may ask, servers that go away, what goes over the wire."""

import asyncio
import json
import logging
import sys
import traceback
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from agent_process import eventually, free_port
from certificates import Certificates
from clickhouse_server import PASSWORD, ClickHouseServer, clickhouse_server
from ophion_agent.plugin import OphionError, PermanentError, RetryableError
from ophion_agent.server import Overloaded
from ophion_storage.config import ClickHouseConfig, QueryConfig
from ophion_storage.engine import EngineError
from ophion_storage.remote import RemoteEngine
from ophion_storage.wire import WIRES

SLOW = (
    "SELECT sum(sleepEachRow(0.1)) FROM numbers(3000) "
    "SETTINGS max_block_size = 1, function_sleep_max_microseconds_per_block = 0"
)


def configured(urls: Sequence[str], **more: Any) -> ClickHouseConfig:
    """The section of the configuration, with the credentials of the test server."""
    section = {"urls": list(urls), "user": "ophion", "password": PASSWORD, "connect_timeout": "2s", **more}
    return ClickHouseConfig.model_validate(section)


@asynccontextmanager
async def remote(
    *urls: str, options: dict[str, Any] | None = None, query: QueryConfig | None = None, **more: Any
) -> AsyncIterator[RemoteEngine]:
    """A running engine."""
    engine = RemoteEngine(configured(urls, **more), query or QueryConfig(), **(options or {}))
    try:
        await engine.start()
        yield engine
    finally:
        await engine.stop()


async def ask(engine: RemoteEngine, sql: str, **parameters: Any) -> Any:
    """Return the first value of a query."""
    encoded = await engine.query(sql, parameters, database="", output_format="JSONCompactEachRow", settings={})
    return json.loads(encoded.splitlines()[0])[0]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def server(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[ClickHouseServer]:
    """A server that the tests only read from and add to."""
    async with clickhouse_server(tmp_path_factory.mktemp("server")) as running:
        yield running


# ---- who may ask


async def test_a_wrong_password_is_an_error_at_start_that_does_not_show_it(server: ClickHouseServer) -> None:
    wrong = "-".join(("not", "the", "password"))
    with pytest.raises(OphionError, match=r"check `user` and `password`: engine: ophion: Auth.*\(code 516\)") as failed:
        async with remote(server.url, password=wrong):
            pass
    assert wrong not in "".join(traceback.format_exception(failed.value))


async def test_the_password_is_never_shown(
    server: ClickHouseServer, caplog: pytest.LogCaptureFixture, tmp_path: Path
) -> None:
    caplog.set_level(logging.DEBUG)
    shown = []
    async with remote(server.url, f"http://127.0.0.1:{free_port()}") as engine:
        shown.append(repr(engine))
        assert f"http://localhost:{server.port}" in repr(engine)
        for sql in ("SELECT * FROM nowhere", "SELECT 1"):
            try:
                await ask(engine, sql)
            except EngineError as error:
                shown += [str(error), repr(error), str(error.as_refusal())]
        await engine.stop()
        try:
            await ask(engine, "SELECT 1")
        except OphionError as error:
            shown.append(str(error))
    text = "\n".join([*shown, caplog.text, json.dumps(server.requests), server.output()])
    assert len(shown) == 5
    assert PASSWORD not in text
    assert PASSWORD.partition(":")[0] not in text


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("https://ophion:secret@ch:8443", "must not hold credentials; use `user` and `password`"),
        ("tcp://ch:9000", "must be like https://ch-1.example.com:8443, got 'tcp://ch:9000'"),
        ("http://ch:port", "must be like https://ch-1.example.com:8443, got 'http://ch:port'"),
        ("http://ch/?database=x", r"must be like https://ch-1.example.com:8443, got 'http://ch/\?database=x'"),
    ],
)
async def test_an_address_that_cannot_be_used_is_an_error(url: str, message: str) -> None:
    with pytest.raises(OphionError, match=rf"clickhouse\.urls: .*{message}") as failed:
        async with remote(url):
            pass
    assert "secret" not in str(failed.value)


async def test_without_the_library_the_error_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "clickhouse_connect", None)
    with pytest.raises(OphionError, match=r"not installed; run: pip install 'ophion-agent\[server\]'"):
        async with remote("http://localhost"):
            pass


async def test_an_engine_that_was_not_started_says_so() -> None:
    engine = RemoteEngine(configured(["http://localhost"]), QueryConfig())
    await engine.stop()
    with pytest.raises(OphionError, match=r"clickhouse: the engine is not running"):
        await ask(engine, "SELECT 1")


# ---- servers that go away


async def test_refuses_to_start_when_no_server_answers() -> None:
    url = f"http://127.0.0.1:{free_port()}"
    with pytest.raises(
        OphionError, match=rf"check `urls` and `tls`: engine: {url} cannot be reached, .*Connection refused"
    ):
        async with remote(url):
            pass


async def test_a_server_that_is_down_is_a_refusal_to_try_again_and_one_that_is_back_is_used(tmp_path: Path) -> None:
    async with clickhouse_server(tmp_path) as server, remote(server.url) as engine:
        await engine.execute("CREATE TABLE default.t (n UInt8) ENGINE = MergeTree ORDER BY n")
        await engine.insert("t", (), b"1\n", database="default", input_format="TSV", settings={})
        await server.kill()
        with pytest.raises(EngineError, match=r"cannot be reached") as failed:
            await engine.insert("t", (), b"2\n", database="default", input_format="TSV", settings={})
        assert failed.value.code == 210
        assert isinstance(failed.value.as_refusal(), RetryableError)
        with pytest.raises(EngineError, match=r"cannot be reached"):
            await engine.execute("CREATE TABLE default.u (n UInt8) ENGINE = Memory")
        await server.start()
        await engine.insert("t", (), b"2\n", database="default", input_format="TSV", settings={})
        assert await ask(engine, "SELECT groupArray(n) FROM (SELECT n FROM default.t ORDER BY n)") == [1, 2]


async def test_statements_go_past_a_server_that_is_away(server: ClickHouseServer) -> None:
    gone = f"http://127.0.0.1:{free_port()}"
    async with remote(gone, server.url) as engine:
        for number in range(4):
            assert await ask(engine, "SELECT {n:UInt8}", n=number) == number
        await engine.execute("CREATE TABLE IF NOT EXISTS default.past (n UInt8) ENGINE = MergeTree ORDER BY n")


async def test_statements_take_turns_and_one_that_breaks_off_goes_to_the_other_server(tmp_path: Path) -> None:
    async with AsyncExitStack() as stack:
        one, other = [await stack.enter_async_context(clickhouse_server(tmp_path / name)) for name in ("a", "b")]
        async with remote(one.url, other.url) as engine:
            for _ in range(4):
                await ask(engine, "SELECT 'turn'")
            turns = [sum("'turn'" in entry["sql"] for entry in server.requests) for server in (one, other)]
            assert turns == [2, 2]

            await engine.execute("SELECT 'first'")
            assert any("'first'" in entry["sql"] for entry in one.requests)

            queries = [asyncio.create_task(ask(engine, "SELECT sleep(2)")) for _ in range(2)]
            await eventually(
                lambda: all(any("sleep" in entry["sql"] for entry in server.requests) for server in (one, other)),
                "a query on either server",
            )
            await one.kill()
            assert await asyncio.gather(*queries) == [0, 0]
            assert await ask(engine, "SELECT 5") == 5


async def test_a_server_that_never_answers_cannot_be_used() -> None:
    done = asyncio.Event()

    async def silent(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await done.wait()
        writer.close()
        await writer.wait_closed()

    listener = await asyncio.start_server(silent, "127.0.0.1", 0)
    url = f"http://127.0.0.1:{listener.sockets[0].getsockname()[1]}"
    query = QueryConfig.model_validate({"timeout": "500ms"})
    try:
        engine = RemoteEngine(configured([url], insert_timeout="500ms"), query, grace_seconds=0.5)
        with pytest.raises(OphionError, match=r"cannot be reached, .*timed out"):
            await engine.start()
    finally:
        done.set()
        listener.close()
        await asyncio.sleep(0.05)


async def test_a_server_that_hangs_in_a_query_is_an_overload_and_others_are_asked_first(
    tmp_path: Path, server: ClickHouseServer
) -> None:
    async with clickhouse_server(tmp_path) as hanging:
        query = QueryConfig.model_validate({"timeout": "500ms"})
        engine = RemoteEngine(configured([server.url, hanging.url], insert_timeout="500ms"), query, grace_seconds=0.5)
        try:
            await engine.start()
            hanging.pause()
            with pytest.raises(EngineError, match=rf"{hanging.url} did not answer in time") as failed:
                await ask(engine, "SELECT 1")
            assert isinstance(failed.value.as_problem(), Overloaded)
            assert [await ask(engine, "SELECT 2") for _ in range(3)] == [2, 2, 2]
        finally:
            hanging.resume()
            await engine.stop()


# ---- cancelling


async def test_a_cancelled_query_is_killed_on_its_server(server: ClickHouseServer) -> None:
    async with remote(server.url) as engine:
        query = asyncio.create_task(ask(engine, SLOW))
        await eventually(lambda: any(SLOW in entry["sql"] for entry in server.requests), "the query arrives")
        query.cancel()
        with pytest.raises(asyncio.CancelledError):
            await query
        query_id = next(entry["query_id"] for entry in server.requests if SLOW in entry["sql"])

        def kill() -> bool:
            return any(f"KILL QUERY WHERE query_id = '{query_id}'" in entry["sql"] for entry in server.requests)

        await eventually(kill, "it is killed")
        running = "SELECT count() FROM system.processes WHERE query LIKE {text:String} AND query NOT LIKE '%LIKE%'"
        text = f"/* query_id: {query_id} */%"

        async def ended() -> bool:
            return int(await ask(engine, running, text=text)) == 0

        await eventually(ended, "it has ended")


async def test_a_query_can_be_killed_on_every_server_of_a_cluster(server: ClickHouseServer) -> None:
    async with remote(server.url, options={"cluster": "tele`metry"}) as engine:
        query = asyncio.create_task(ask(engine, SLOW))
        await asyncio.sleep(0.2)
        query.cancel()
        await asyncio.gather(query, return_exceptions=True)
        kill = r"KILL QUERY ON CLUSTER `tele\`metry` WHERE query_id = "
        await eventually(lambda: any(entry["sql"].startswith(kill) for entry in server.requests), "it is killed")


async def test_a_query_cancelled_before_it_is_sent_never_runs(server: ClickHouseServer) -> None:
    async with remote(server.url) as engine:
        query = asyncio.create_task(ask(engine, "SELECT 'never sent', sleep(3)"))
        await asyncio.sleep(0)
        query.cancel()
        with pytest.raises(asyncio.CancelledError):
            await query
        assert await ask(engine, "SELECT 1") == 1


# ---- what goes over the wire


@pytest.mark.parametrize(("compression", "encoding"), [("zstd", "zstd"), ("lz4", "lz4"), ("none", "")])
async def test_inserts_are_compressed(server: ClickHouseServer, compression: str, encoding: str) -> None:
    rows = b"".join(b'{"n": %d, "s": "%s"}\n' % (number, compression.encode()) for number in range(300))
    async with remote(server.url, options={"compression": compression}) as engine:
        await engine.execute(
            "CREATE TABLE IF NOT EXISTS packed (n UInt32, s String) ENGINE = MergeTree ORDER BY n", database="default"
        )
        await engine.insert("packed", ("n", "s"), rows, database="default", input_format="JSONEachRow", settings={})
        found = await ask(engine, "SELECT count() FROM default.packed WHERE s = {s:String}", s=compression)
    assert int(found) == 300
    assert [entry["encoding"] for entry in server.requests if entry["sql"].startswith("INSERT INTO `packed`")][
        -1
    ] == encoding


async def test_an_insert_is_not_answered_before_it_is_stored(server: ClickHouseServer) -> None:
    async with remote(server.url, options={"insert_quorum": 0}) as engine:
        await engine.execute(
            "CREATE TABLE IF NOT EXISTS sync (n UInt8) ENGINE = MergeTree ORDER BY n", database="default"
        )
        await engine.insert("sync", (), b"1\n", database="default", input_format="TSV", settings={})
    sent = next(entry for entry in server.requests if entry["sql"].startswith("INSERT INTO `sync`"))
    assert sent["settings"]["async_insert"] == "0"
    assert sent["wait_end_of_query"] == "1"
    assert "insert_quorum" not in sent["settings"]


async def test_a_quorum_is_asked_for(server: ClickHouseServer) -> None:
    async with remote(server.url, options={"insert_quorum": 2}) as engine:
        await engine.execute("CREATE TABLE IF NOT EXISTS quorum (n UInt8) ENGINE = Null", database="default")
        await engine.insert("quorum", (), b"1\n", database="default", input_format="TSV", settings={})
    sent = next(entry for entry in server.requests if entry["sql"].startswith("INSERT INTO `quorum`"))
    assert sent["settings"]["insert_quorum"] == "2"


async def test_queries_are_read_only_and_limited_by_the_configuration(server: ClickHouseServer) -> None:
    query = QueryConfig.model_validate({"timeout": "7s", "memory": 123_456_789, "threads": 3})
    async with remote(server.url, query=query) as engine:
        await ask(engine, "SELECT 'limits'")
    sent = next(entry for entry in server.requests if "'limits'" in entry["sql"])
    limits = {"readonly": "2", "max_threads": "3", "max_memory_usage": "123456789", "max_execution_time": "7.0"}
    assert limits.items() <= sent["settings"].items()
    assert "date_time_input_format" not in sent["settings"]


async def test_otlp_is_decoded_by_the_server(server: ClickHouseServer) -> None:
    from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest

    request = ExportLogsServiceRequest()
    records = request.resource_logs.add().scope_logs.add().log_records
    for number in range(100):
        records.add(time_unix_nano=number + 1).body.string_value = f"\n\nline {number}; '\\"
    wire = WIRES["logs"]
    async with remote(server.url) as engine:
        await engine.execute(f"CREATE TABLE IF NOT EXISTS otlp ({wire.columns}) ENGINE = Memory", database="default")
        payload = request.SerializeToString()
        arguments = {"database": "default", "input_format": "ProtobufSingle", "settings": wire.settings()}
        await engine.insert("otlp", (), payload, **arguments)
        sql = "SELECT length(resource_logs.scope_logs[1].log_records[1].body) FROM default.otlp"
        assert int(await ask(engine, sql)) == 100
        with pytest.raises(EngineError) as failed:
            await engine.insert("otlp", (), payload[:-3], **arguments)
        assert isinstance(failed.value.as_refusal(), PermanentError)


async def test_a_parameter_longer_than_a_server_takes_is_an_error_of_the_query(server: ClickHouseServer) -> None:
    async with remote(server.url) as engine:
        with pytest.raises(EngineError, match=r"Field value too long"):
            await ask(engine, "SELECT length({text:String})", text="x" * 200_000)
        assert int(await ask(engine, "SELECT length({text:String})", text="x" * 100_000)) == 100_000


# ---- TLS


async def test_the_server_is_checked_and_a_certificate_shown(tmp_path: Path) -> None:
    certificates = Certificates(tmp_path)
    pair = {"certificate": certificates.path("server.pem"), "key": certificates.path("server.key")}
    tls = {**pair, "client_ca": certificates.path("ca.pem")}
    async with clickhouse_server(tmp_path, tls=tls) as server:
        trusted = {"ca_file": certificates.path("ca.pem")}
        shown = certificates.pair("client")
        async with remote(server.url, tls={**trusted, **shown}) as engine:
            assert await ask(engine, "SELECT 1") == 1
        with pytest.raises(OphionError, match=r"cannot be reached, .*(?i:certificate)"):
            async with remote(server.url, tls=shown):
                pass
        with pytest.raises(OphionError, match=r"cannot be reached"):
            async with remote(server.url, tls=trusted):
                pass
