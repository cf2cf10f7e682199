"""What the store asks of an engine, of the embedded one and of a server over HTTP, and what is special to the first."""

import asyncio
import json
import math
import random
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
import pytest_asyncio
from hypothesis import example, given, settings
from hypothesis import strategies as st

from agent_process import eventually
from clickhouse_server import ClickHouseServer, clickhouse_server
from ophion_agent.plugin import OphionError, PermanentError, RetryableError
from ophion_agent.server import BadRequest, Overloaded
from ophion_storage.config import ClickHouseConfig, QueryConfig
from ophion_storage.embedded import EmbeddedEngine
from ophion_storage.engine import (
    Engine,
    EngineError,
    identifier,
    literal,
    parameter_text,
    quoted,
    settings_clause,
)
from ophion_storage.remote import RemoteEngine
from requirement import unavailable

MIB = 1 << 20
SLOW = (
    "SELECT sum(sleepEachRow(0.1)) FROM numbers(3000) "
    "SETTINGS max_block_size = 1, function_sleep_max_microseconds_per_block = 0"
)
RUNNING = "SELECT count() FROM system.processes WHERE query LIKE '%sleepEachRow(0.1)%' AND query NOT LIKE '%LIKE%'"


def embedded(directory: Path, **options: Any) -> EmbeddedEngine:
    """An engine on a directory, with small limits."""
    limits = {
        "memory_bytes": 1024 * MIB,
        "query_memory_bytes": 256 * MIB,
        "concurrent_queries": 2,
        "threads_per_query": 1,
        "wait_seconds": 5.0,
    }
    return EmbeddedEngine(directory, **{**limits, **options})


@asynccontextmanager
async def started(engine: Engine) -> AsyncIterator[Engine]:
    """Start an engine and always stop it."""
    try:
        await engine.start()
        yield engine
    finally:
        await engine.stop()


@pytest.fixture(scope="class")
def runner() -> Iterator[asyncio.Runner]:
    """An event loop that outlives an example of hypothesis."""
    with asyncio.Runner() as runner:
        yield runner


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def server(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[ClickHouseServer]:
    """A ClickHouse server for the tests of this module."""
    async with clickhouse_server(tmp_path_factory.mktemp("server")) as running:
        yield running


@pytest.fixture(params=["embedded", "remote"])
async def engine(request: pytest.FixtureRequest, server: ClickHouseServer, tmp_path: Path) -> AsyncIterator[Engine]:
    """Either engine, running; two queries at once, 256 MiB each."""
    if request.param == "embedded":
        made: Engine = embedded(tmp_path / "engine", wait_seconds=0.5)
    else:
        url, user, password = server
        config = ClickHouseConfig.model_validate({"urls": [url], "user": user, "password": password})
        query = QueryConfig(memory=256 * MIB, concurrency=2, threads=1, queue_timeout=0.5)
        made = RemoteEngine(config, query, writers=2)
    async with started(made):
        yield made


@pytest.fixture
async def database(engine: Engine) -> AsyncIterator[str]:
    """A database of the test with a table `t` of a number and a text."""
    name = f"test_{uuid4().hex}"
    await engine.execute(f"CREATE DATABASE {name}")
    await engine.execute("CREATE TABLE t (n UInt32, s String) ENGINE = MergeTree ORDER BY n", database=name)
    yield name
    await engine.execute(f"DROP DATABASE {name} SYNC")


async def ask(engine: Engine, sql: str, parameters: dict[str, Any] | None = None, **more: Any) -> Any:
    """Return the rows of a query, as lists."""
    options = {"database": "", "output_format": "JSONCompactEachRow", "settings": {}, **more}
    options["settings"] = {"output_format_json_quote_64bit_integers": 0, **options["settings"]}
    encoded = await engine.query(sql, parameters or {}, **options)
    return [json.loads(line) for line in encoded.splitlines()]


# ---- the same of both engines


class TestBothEngines:
    """What the store can rely on, whichever engine it has."""

    async def test_inserted_rows_are_there_on_return(self, engine: Engine, database: str) -> None:
        rows = b"".join(b'{"n": %d, "s": "caf\xc3\xa9"}\n' % number for number in range(500))
        await engine.insert("t", ("n", "s"), rows, database=database, input_format="JSONEachRow", settings={})
        assert await ask(engine, "SELECT count(), any(s) FROM t", database=database) == [[500, "café"]]

    async def test_data_that_begins_with_a_line_break_is_kept(self, engine: Engine, database: str) -> None:
        await engine.insert("t", ("s",), b"\n\nx\n", database=database, input_format="LineAsString", settings={})
        assert await ask(engine, "SELECT s FROM t ORDER BY s", database=database) == [[""], [""], ["x"]]

    async def test_settings_of_an_insert_are_used(self, engine: Engine, database: str) -> None:
        data, skip = b'{"n": 1, "other": "it\'s"}\n', {"input_format_skip_unknown_fields": False}
        with pytest.raises(EngineError, match=r"code 117"):
            await engine.insert("t", (), data, database=database, input_format="JSONEachRow", settings=skip)
        skip["input_format_skip_unknown_fields"] = True
        await engine.insert("t", (), data, database=database, input_format="JSONEachRow", settings=skip)
        assert await ask(engine, "SELECT n, s FROM t", database=database) == [[1, ""]]

    async def test_parameters_are_bound_and_never_pasted(self, engine: Engine) -> None:
        nasty = "'; DROP TABLE t; --\t\\N{x:String}\n%s"
        parameters = {"s": nasty, "many": [nasty, "\\"], "map": {nasty: "`"}, "n": -5, "unused": 1}
        sql = "SELECT {s:String}, {many:Array(String)}, {map:Map(String, String)}, {n:Int32}, '100 %s'"
        assert await ask(engine, sql, parameters) == [[nasty, [nasty, "\\"], {nasty: "`"}, -5, "100 %s"]]

    async def test_a_statement_without_placeholders_ignores_parameters(self, engine: Engine) -> None:
        assert await ask(engine, "SELECT 'a' LIKE '%a%', '%(n)s'", {"n": 1}) == [[1, "%(n)s"]]

    async def test_parameters_longer_than_an_address_arrive(self, engine: Engine) -> None:
        ids = list(range(10_000))
        assert await ask(engine, "SELECT sum(arrayJoin({ids:Array(UInt64)})) AS n", {"ids": ids}) == [[49995000]]

    async def test_execute_binds_parameters(self, engine: Engine, database: str) -> None:
        await engine.execute("INSERT INTO t SELECT {n:UInt32}, {s:String}", {"n": 7, "s": "\\'"}, database=database)
        assert await ask(engine, "SELECT n, s FROM t", database=database) == [[7, "\\'"]]

    async def test_statements_run_in_the_database_that_they_are_given(self, engine: Engine, database: str) -> None:
        assert await ask(engine, "SELECT currentDatabase()", database=database) == [[database]]
        with pytest.raises(EngineError) as failed:
            await ask(engine, "SELECT 1", database="there_is_none")
        assert failed.value.code == 81

    async def test_queries_run_beside_one_another(self, engine: Engine, database: str) -> None:
        answers = await asyncio.gather(*(ask(engine, f"SELECT {n}", database=database) for n in range(8)))
        assert answers == [[[n]] for n in range(8)]

    @pytest.mark.parametrize(
        ("sql", "code"),
        [
            ("SELECT * FROM nowhere", 60),
            ("SELEC 1", 62),
            ("SELECT throwIf(1, 'a (b) c')", 395),
            ("SELECT toUInt8('x')", 6),
        ],
    )
    async def test_errors_carry_the_code_of_the_engine(
        self, engine: Engine, database: str, sql: str, code: int
    ) -> None:
        with pytest.raises(EngineError, match=rf"(?s)\Aengine: .+ \(code {code}\)\Z") as failed:
            await ask(engine, sql, database=database)
        assert failed.value.code == code
        assert failed.value.as_problem() is None
        assert "version" not in str(failed.value)

    @pytest.mark.parametrize(
        ("sql", "limits", "problem", "status"),
        [
            ("SELECT sleepEachRow(0.2) FROM numbers(10)", {"max_execution_time": 0.5}, Overloaded, 503),
            ("SELECT groupArray(number) FROM numbers(10000000)", {"max_memory_usage": 5_000_000}, Overloaded, 503),
            ("SELECT number FROM numbers(1000)", {"max_result_rows": 10}, BadRequest, 422),
        ],
        ids=["time", "memory", "rows"],
    )
    async def test_limits_stop_a_query(
        self, engine: Engine, sql: str, limits: dict[str, Any], problem: type[Exception], status: int
    ) -> None:
        with pytest.raises(EngineError) as failed:
            await ask(engine, sql, settings=limits)
        found = failed.value.as_problem()
        assert isinstance(found, problem)
        assert found.code == status

    async def test_the_memory_limit_of_the_configuration_holds_without_one_of_the_query(self, engine: Engine) -> None:
        with pytest.raises(EngineError) as failed:
            await ask(engine, "SELECT length(groupArray(number)) FROM numbers(100000000)")
        assert failed.value.code == 241

    @pytest.mark.parametrize(
        "sql",
        [
            "INSERT INTO t VALUES (1, 'x')",
            "DROP TABLE t",
            "CREATE TABLE u (n UInt8) ENGINE = Memory",
            "TRUNCATE TABLE t",
        ],
    )
    async def test_queries_cannot_change_anything(self, engine: Engine, database: str, sql: str) -> None:
        with pytest.raises(EngineError):
            await engine.query(sql, {}, database=database, output_format="Null", settings={})
        assert await ask(
            engine, "SELECT count() FROM system.tables WHERE database = currentDatabase()", database=database
        ) == [[1]]
        assert await ask(engine, "SELECT count() FROM t", database=database) == [[0]]

    async def test_an_insert_that_a_view_cannot_take_is_an_error(self, engine: Engine, database: str) -> None:
        await engine.execute("CREATE TABLE gate (n UInt32, s String) ENGINE = Null", database=database)
        await engine.execute(
            "CREATE MATERIALIZED VIEW v TO t AS SELECT * FROM gate WHERE throwIf(n = 7) = 0", database=database
        )
        await engine.insert("gate", (), b"1\tx\n", database=database, input_format="TSV", settings={})
        with pytest.raises(EngineError) as failed:
            await engine.insert("gate", (), b"7\tx\n", database=database, input_format="TSV", settings={})
        assert failed.value.code == 395
        assert await ask(engine, "SELECT n FROM t", database=database) == [[1]]

    async def test_columns_that_are_not_given_have_their_defaults(self, engine: Engine, database: str) -> None:
        await engine.execute("CREATE TABLE u (a UInt8, b UInt8 DEFAULT a + 1) ENGINE = Memory", database=database)
        await engine.insert("u", ("a",), b"1\n", database=database, input_format="TSV", settings={})
        await engine.insert("u", (), b'{"a": 5}\n', database=database, input_format="JSONEachRow", settings={})
        assert await ask(engine, "SELECT * FROM u ORDER BY a", database=database) == [[1, 2], [5, 6]]

    async def test_bad_data_is_refused_for_good(self, engine: Engine, database: str) -> None:
        with pytest.raises(EngineError) as failed:
            await engine.insert("t", (), b"x\ty\n", database=database, input_format="TSV", settings={})
        assert isinstance(failed.value.as_refusal(), PermanentError)
        assert await ask(engine, "SELECT count() FROM t", database=database) == [[0]]

    async def test_a_cancelled_query_ends_in_the_engine(self, engine: Engine) -> None:
        query = asyncio.create_task(ask(engine, SLOW))

        async def is_running() -> bool:
            return bool(await ask(engine, RUNNING) == [[1]])

        await eventually(is_running, "the query runs")
        query.cancel()
        with pytest.raises(asyncio.CancelledError):
            await query

        async def has_ended() -> bool:
            return bool(await ask(engine, RUNNING) == [[0]])

        await eventually(has_ended, "the query was killed", 10)

    async def test_a_query_that_finds_no_turn_is_refused(self, engine: Engine) -> None:
        slow = [asyncio.create_task(ask(engine, SLOW)) for _ in range(2)]
        await asyncio.sleep(0)
        with pytest.raises(Overloaded, match=r"2 queries run and others wait"):
            await ask(engine, "SELECT 1")
        for query in slow:
            query.cancel()
        assert all(
            isinstance(end, asyncio.CancelledError) for end in await asyncio.gather(*slow, return_exceptions=True)
        )

        async def has_room() -> bool:
            try:
                return bool(await ask(engine, "SELECT 1") == [[1]])
            except Overloaded:
                return False

        await eventually(has_room, "a turn after the others were cancelled", 10)

    async def test_stopping_ends_what_runs(self, engine: Engine) -> None:
        query = asyncio.create_task(ask(engine, SLOW))
        await asyncio.sleep(0.3)
        async with asyncio.timeout(8):
            await engine.stop()
        with pytest.raises(EngineError) as failed:
            await query
        assert failed.value.cancelled
        await engine.stop()
        with pytest.raises(OphionError, match=r"the engine is not running"):
            await ask(engine, "SELECT 1")


# ---- values as parameters, literals and names

TEXTS = st.text(max_size=40) | st.text(alphabet="\\'`\"\t\n\r\0\b{}:,[]%?N", max_size=12)


@pytest.fixture(scope="class")
def evaluate(runner: asyncio.Runner, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """Run a query on the real embedded engine and return its one row."""
    engine = embedded(tmp_path_factory.mktemp("values") / "engine")
    runner.run(engine.start())

    def evaluated(sql: str, parameters: dict[str, Any], **options: Any) -> Any:
        return runner.run(ask(engine, sql, parameters, **options))[0]

    yield evaluated
    runner.run(engine.stop())


@pytest.fixture(scope="class")
def parameters_of(evaluate: Any) -> Any:
    """Return what the engine takes a parameter for."""
    return lambda value, kind: evaluate(f"SELECT {{value:{kind}}}", {"value": value})[0]


class TestValues:
    """Every value arrives in the engine as it was."""

    @given(value=TEXTS)
    @example(value="\\N")
    @example(value="")
    def test_texts(self, parameters_of: Any, value: str) -> None:
        assert parameters_of(value, "String") == value

    @given(value=st.lists(TEXTS, max_size=4))
    def test_lists_of_texts(self, parameters_of: Any, value: list[str]) -> None:
        assert parameters_of(value, "Array(String)") == value

    @settings(max_examples=20)
    @given(value=st.lists(st.lists(TEXTS, max_size=3), max_size=3))
    def test_nested_lists(self, parameters_of: Any, value: list[list[str]]) -> None:
        assert parameters_of(value, "Array(Array(String))") == value

    @settings(max_examples=20)
    @given(value=st.dictionaries(TEXTS, TEXTS, max_size=4))
    def test_mappings(self, parameters_of: Any, value: dict[str, str]) -> None:
        assert parameters_of(value, "Map(String, String)") == value

    @settings(max_examples=20)
    @given(value=st.integers(-(1 << 63), (1 << 63) - 1))
    def test_integers(self, parameters_of: Any, value: int) -> None:
        assert parameters_of(value, "Int64") == value

    @settings(max_examples=20)
    @given(value=st.floats(allow_nan=False, allow_infinity=False))
    def test_floats(self, parameters_of: Any, value: float) -> None:
        assert float(parameters_of(value, "Float64")) == value

    @pytest.mark.parametrize("value", [math.inf, -math.inf, math.nan])
    def test_floats_that_are_no_numbers(self, parameters_of: Any, value: float) -> None:
        assert parameters_of([value], "Array(Float64)") == [None]

    @pytest.mark.parametrize("value", [True, False])
    def test_truth(self, parameters_of: Any, value: bool) -> None:
        assert parameters_of(value, "Bool") is value

    @settings(max_examples=20)
    @given(value=st.datetimes(datetime(1970, 1, 2), datetime(2200, 1, 1)))
    def test_times_in_any_zone(self, parameters_of: Any, value: datetime) -> None:
        aware = value.replace(tzinfo=UTC)
        returned = parameters_of(aware, "DateTime64(6, 'UTC')")
        assert datetime.fromisoformat(returned).replace(tzinfo=UTC) == aware

    @settings(max_examples=20)
    @given(value=st.dates(date(1970, 1, 1), date(2100, 1, 1)))
    def test_days(self, parameters_of: Any, value: date) -> None:
        assert parameters_of(value, "Date") == value.isoformat()

    @given(text=TEXTS, name=TEXTS)
    def test_literals_and_names(self, evaluate: Any, text: str, name: str) -> None:
        sql = f"SELECT {quoted(text)} AS {identifier(f'a{name}')}"
        assert evaluate(sql, {}, output_format="JSONEachRow") == {f"a{name}": text}


def test_settings_become_a_clause() -> None:
    clause = settings_clause({"a": True, "b": 0.5, "c": "it's \\"})
    assert clause == " SETTINGS a = 1, b = 0.5, c = 'it\\'s \\\\'"
    assert settings_clause({}) == ""
    assert literal(False) == "0"


def test_a_time_of_a_zone_is_given_in_utc() -> None:
    from datetime import timezone

    noon = datetime(2024, 5, 6, 12, tzinfo=timezone(timedelta(hours=2)))
    assert parameter_text(noon) == "2024-05-06 10:00:00.000000"


# ---- errors


@pytest.mark.parametrize(
    ("message", "code", "shown"),
    [
        (
            "Code: 60. DB::Exception: Table x does not exist. (UNKNOWN_TABLE) (version 26.9.1.1 (official build))",
            60,
            "engine: Table x does not exist. (code 60)",
        ),
        ("Code: 241. DB::Exception: memory (total) (MEMORY_LIMIT_EXCEEDED)", 241, "engine: memory (total) (code 241)"),
        ("something else", 0, "engine: something else (code 0)"),
        ("Code: 1. DB::Exception: " + "x" * 1000, 1, f"engine: {'x' * 400} (code 1)"),
    ],
)
def test_an_error_shows_what_the_engine_says(message: str, code: int, shown: str) -> None:
    error = EngineError(message)
    assert (error.code, str(error)) == (code, shown)


@pytest.mark.parametrize("code", [159, 160, 209, 241])
def test_a_query_beyond_its_time_or_memory_is_an_overload(code: int) -> None:
    problem = EngineError(f"Code: {code}. DB::Exception: x").as_problem()
    assert isinstance(problem, Overloaded)
    assert "ask for a shorter time range or fewer series" in str(problem)


@pytest.mark.parametrize("code", [27, 33, 117, 131])
def test_data_that_cannot_be_read_is_refused_for_good(code: int) -> None:
    refusal = EngineError(f"Code: {code}. DB::Exception: x").as_refusal()
    assert isinstance(refusal, PermanentError)
    assert "cannot read the data" in str(refusal)


@pytest.mark.parametrize("code", [0, 210, 241, 243, 252, 516])
def test_everything_else_may_pass_with_time(code: int) -> None:
    refusal = EngineError(f"Code: {code}. DB::Exception: x").as_refusal()
    assert isinstance(refusal, RetryableError)
    assert "cannot take data now" in str(refusal)


# ---- the directory of the embedded engine


async def test_what_was_inserted_is_there_after_a_restart(tmp_path: Path) -> None:
    async with started(embedded(tmp_path / "engine")) as engine:
        await engine.execute("CREATE DATABASE d")
        await engine.execute("CREATE TABLE t (n UInt8) ENGINE = MergeTree ORDER BY n", database="d")
        await engine.insert("t", (), b"1\n2\n", database="d", input_format="TSV", settings={})
    async with started(embedded(tmp_path / "engine")) as engine:
        assert await ask(engine, "SELECT n FROM t ORDER BY n", database="d") == [[1], [2]]


async def test_a_directory_is_for_its_user_alone(tmp_path: Path) -> None:
    async with started(embedded(tmp_path / "engine")):
        assert (tmp_path / "engine").stat().st_mode & 0o777 == 0o700


async def test_refuses_a_directory_that_cannot_be_one(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(OphionError, match=r"file: File exists; check `directory`"):
        async with started(embedded(tmp_path / "file")):
            pass


async def test_refuses_a_directory_that_another_process_has_open(tmp_path: Path) -> None:
    holder = (
        "import sys; sys.modules['pyarrow'] = None; import chdb\n"
        f"connection = chdb.connect({str(tmp_path / 'engine' / 'data')!r})\n"
        "print('open', flush=True); sys.stdin.read()"
    )
    (tmp_path / "engine").mkdir()
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", holder, stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE
    )
    try:
        assert process.stdout is not None
        async with asyncio.timeout(60):
            assert await process.stdout.readline() == b"open\n"
        with pytest.raises(OphionError, match=r"/engine: cannot be opened"):
            async with started(embedded(tmp_path / "engine")):
                pass
    finally:
        process.kill()
        await process.communicate()
    async with started(embedded(tmp_path / "engine")) as engine:
        assert await ask(engine, "SELECT 1") == [[1]]


async def test_without_the_library_the_error_says_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "chdb", None)
    with pytest.raises(OphionError, match=r"not installed; run: pip install 'ophion-agent\[server\]'"):
        async with started(embedded(tmp_path / "engine")):
            pass


async def test_damaged_data_is_an_error_of_the_query_and_of_nothing_else(tmp_path: Path) -> None:
    directory = tmp_path / "engine"
    async with started(embedded(directory)) as engine:
        await engine.execute("CREATE DATABASE d")
        for table in ("good", "bad"):
            await engine.execute(f"CREATE TABLE {table} (n UInt64) ENGINE = MergeTree ORDER BY n", database="d")
            rows = b"".join(b"%d\n" % (number * 7919) for number in range(10_000))
            await engine.insert(table, (), rows, database="d", input_format="TSV", settings={})
        paths = await ask(engine, "SELECT path FROM system.parts WHERE table = 'bad' AND active", database="d")
    part = Path(paths[0][0])
    data = next(path for name in ("data.packed", "data.bin", "n.bin") if (path := part / name).exists())
    damaged = bytearray(data.read_bytes())
    for place in range(len(damaged) // 2, len(damaged) // 2 + 100):
        damaged[place] ^= 0xFF
    data.write_bytes(damaged)
    async with started(embedded(directory)) as engine:
        assert await ask(engine, "SELECT count() FROM good WHERE n >= 0", database="d") == [[10000]]
        with pytest.raises(EngineError) as failed:
            await ask(engine, "SELECT sum(n) FROM bad WHERE n > 1", database="d")
        assert failed.value.code in (33, 40)
        assert failed.value.as_problem() is None
        await engine.insert("good", (), b"1\n", database="d", input_format="TSV", settings={})


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of sixteen megabytes."""
    place = tmp_path / "disk"
    place.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=16m", "tmpfs", place], capture_output=True, text=True, check=False
    )
    if mounted.returncode:
        unavailable(f"needs to mount a tmpfs: run as root with CAP_SYS_ADMIN ({mounted.stderr.strip()})")
    yield place
    subprocess.run(["umount", "--lazy", place], check=True)


async def test_a_full_disk_refuses_until_there_is_space(small_disk: Path) -> None:
    ballast = small_disk / "ballast"
    ballast.write_bytes(bytes(6 * MIB))
    async with started(embedded(small_disk / "engine")) as engine:
        await engine.execute("CREATE DATABASE d")
        await engine.execute("CREATE TABLE t (s String CODEC(NONE)) ENGINE = MergeTree ORDER BY tuple()", database="d")
        taken = 0

        async def insert() -> None:
            rows = random.Random(taken).randbytes(256 << 10).hex().encode()
            await engine.insert("t", (), rows, database="d", input_format="LineAsString", settings={})

        with pytest.raises(EngineError) as failed:  # noqa: PT012 - it is the loop that has to fail
            for _ in range(64):
                await insert()
                taken += 1
        assert taken
        assert isinstance(failed.value.as_refusal(), RetryableError)
        assert await ask(engine, "SELECT count() FROM t", database="d") == [[taken]]

        ballast.unlink()
        await insert()
        assert await ask(engine, "SELECT count() FROM t", database="d") == [[taken + 1]]
