"""A ClickHouse server or cluster over HTTP(S), through clickhouse-connect: threads, one statement on each at a time."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final, Literal, TypeVar
from uuid import uuid4

from ophion_agent.plugin import OphionError
from ophion_agent.server import Overloaded
from ophion_storage.config import ClickHouseConfig, QueryConfig
from ophion_storage.engine import EngineError, identifier, parameter_text, quoted
from ophion_storage.servers import Server, Servers, Unreachable, translated

if TYPE_CHECKING:
    from clickhouse_connect.driver.httpclient import HttpClient

T = TypeVar("T")
Compression = Literal["zstd", "lz4", "none"]

_STOP_SECONDS: Final = 10.0
_KILL_TRIES: Final = 20
_KILL_PAUSE_SECONDS: Final = 0.1
# One thread kills queries and one looks for a server that was away, beside those that read and write.
_SPARE_THREADS: Final = 2
_COMPRESS_FROM_BYTES: Final = 1024

_BUSY: Final = 202
_SLOW: Final = 209
_CANCELLED: Final = 394
# What another replica may not suffer from: too many queries, no Keeper, read-only tables, overload.
_ELSEWHERE: Final = frozenset({202, 225, 242, 745, 999})


class _Text:
    """A parameter in the engine's own form, which the client must not escape again."""

    def __init__(self, text: str) -> None:
        self._text = text

    def __str__(self) -> str:
        return self._text


@dataclass(slots=True)
class _Statement:
    """One statement on its way; `server` is where it is now.

    `again` lets another server try what the one before may have got; `kill` ends it there when its caller gives up.
    """

    servers: Sequence[Server]
    again: bool
    kill: bool
    query_id: str = field(default_factory=lambda: uuid4().hex)
    server: Server | None = None
    given_up: bool = False


class RemoteEngine:
    """Servers that hold the same data; statements go to them in turn, past those that cannot be reached.

    An insert that a server may have got before the connection broke is sent again, to the next server or by the
    sender: rows arrive at least once. `cluster` names the cluster on which queries are killed, which matters where an
    address is that of a load balancer. `grace_seconds` is how long after a limit of time the server's word of it is
    waited for.
    """

    def __init__(
        self,
        config: ClickHouseConfig,
        query: QueryConfig,
        *,
        writers: int = 4,
        compression: Compression = "zstd",
        insert_quorum: int | Literal["auto"] = 0,
        cluster: str = "",
        grace_seconds: float = 10.0,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._query = query
        self._writers_count = writers
        self._compression = compression
        self._insert_settings: dict[str, Any] = {"async_insert": 0, "max_execution_time": config.insert_timeout}
        if insert_quorum:
            self._insert_settings["insert_quorum"] = insert_quorum
        self._on_cluster = f" ON CLUSTER {identifier(cluster)}" if cluster else ""
        self._threads = query.concurrency + writers + _SPARE_THREADS
        self._servers = Servers(
            config,
            connections=self._threads,
            read_timeout_seconds=max(config.insert_timeout, query.timeout) + grace_seconds,
            monotonic=monotonic,
        )
        self._executor: ThreadPoolExecutor | None = None
        self._readers = asyncio.Semaphore(query.concurrency)
        self._writers = asyncio.Semaphore(writers)
        self._running: dict[str, tuple[_Statement, asyncio.Future[Any]]] = {}
        self._kills: set[asyncio.Task[None]] = set()

    def __repr__(self) -> str:
        return f"RemoteEngine({self._servers!r})"

    async def start(self) -> None:
        """Connect; raises OphionError when no server can be used."""
        _require_client()
        executor = ThreadPoolExecutor(self._threads, thread_name_prefix="clickhouse")
        try:
            await self._servers.start(executor)
        except BaseException:
            executor.shutdown(wait=False)
            raise
        self._executor = executor

    async def stop(self) -> None:
        """Kill queries that run, wait for what writes, and close the connections; safe twice."""
        executor, self._executor = self._executor, None
        if executor is None:
            return
        for statement, _ in self._running.values():
            statement.given_up = True
            if statement.kill:
                self._start_to_kill(executor, statement)
        waited = [*self._kills, *(future for _, future in self._running.values())]
        if waited:
            await asyncio.wait(waited, timeout=_STOP_SECONDS)
        executor.shutdown(wait=not self._running and not self._kills, cancel_futures=True)
        for task in list(self._kills):
            task.cancel()
        self._servers.close()

    # ---- statements

    async def query(
        self, sql: str, parameters: Mapping[str, Any], *, database: str, output_format: str, settings: Mapping[str, Any]
    ) -> bytes:
        """See `Engine.query`."""
        limits = {
            "readonly": 2,
            "max_threads": self._query.threads,
            "max_memory_usage": self._query.memory,
            "max_execution_time": self._query.timeout,
        }
        bound = _bound(sql, parameters)

        def run(client: HttpClient, query_id: str) -> bytes:
            every = _settings(database, query_id, {**limits, **settings})
            return client.raw_query(sql, bound, every, output_format, use_database=False)

        return await self._run(self._readers, run, _Statement(self._servers.in_turn(), again=True, kill=True))

    async def execute(
        self, sql: str, parameters: Mapping[str, Any] | None = None, *, database: str = "", everywhere: bool = False
    ) -> None:
        """See `Engine.execute`. Goes to the first server that can be reached, so that DDL finds what DDL made."""
        bound = _bound(sql, parameters or {})

        def run(client: HttpClient, query_id: str) -> bytes:
            return client.raw_query(sql, bound, _settings(database, query_id, {}), use_database=False)

        servers = self._servers.in_order()
        for some in ([server] for server in servers) if everywhere else (servers,):
            await self._run(self._writers, run, _Statement(some, again=False, kill=False))

    async def insert(
        self,
        table: str,
        columns: Sequence[str],
        data: bytes,
        *,
        database: str,
        input_format: str,
        settings: Mapping[str, Any],
    ) -> None:
        """See `Engine.insert`."""
        encoding = self._compression if self._compression != "none" and len(data) >= _COMPRESS_FROM_BYTES else None

        def run(client: HttpClient, query_id: str) -> None:
            every = _settings(database, query_id, {"wait_end_of_query": 1, **self._insert_settings, **settings})
            body = _compressed(data, encoding)
            client.raw_insert(identifier(table), columns or None, body, every, input_format, encoding)

        await self._run(self._writers, run, _Statement(self._servers.in_turn(), again=True, kill=False))

    # ---- one statement, on one server after another

    async def _run(
        self, slots: asyncio.Semaphore, function: Callable[[HttpClient, str], T], statement: _Statement
    ) -> T:
        executor = self._executor
        if executor is None:
            raise OphionError("clickhouse: the engine is not running")
        self._servers.take_renewed_certificates()
        await self._take(slots)
        future = asyncio.get_running_loop().run_in_executor(executor, self._try_servers, statement, function)
        self._running[statement.query_id] = (statement, future)

        def done(finished: asyncio.Future[T]) -> None:
            del self._running[statement.query_id]
            slots.release()
            if not finished.cancelled():
                finished.exception()

        future.add_done_callback(done)
        try:
            return await asyncio.shield(future)
        except asyncio.CancelledError:
            statement.given_up = True
            if statement.kill and not future.done():
                self._start_to_kill(executor, statement)
            raise

    async def _take(self, slots: asyncio.Semaphore) -> None:
        try:
            async with asyncio.timeout(self._query.queue_timeout):
                await slots.acquire()
        except TimeoutError:
            if slots is self._readers:
                count = self._query.concurrency
                raise Overloaded(f"{count} queries run and others wait; try again") from None
            text = f"{self._writers_count} inserts are under way and others wait"
            raise EngineError(f"Code: {_BUSY}. DB::Exception: {text}") from None

    def _try_servers(self, statement: _Statement, function: Callable[[HttpClient, str], T]) -> T:
        failure = EngineError(f"Code: {_CANCELLED}. DB::Exception: the caller gave up")
        for server in statement.servers:
            if statement.given_up:
                break
            statement.server = server
            try:
                return self._try(server, statement, function)
            except Unreachable as error:
                self._servers.is_down(server)
                failure = error
                if error.sent and not statement.again:
                    break
            except EngineError as error:
                failure = error
                if error.code == _SLOW:
                    self._servers.is_down(server)
                if error.code not in _ELSEWHERE:
                    break
        raise failure

    def _try(self, server: Server, statement: _Statement, function: Callable[[HttpClient, str], T]) -> T:
        from clickhouse_connect.driver.exceptions import Error

        client = self._servers.client(server)
        try:
            result = function(client, statement.query_id)
        except Error as error:
            raise translated(server, error) from error
        server.down_until = 0.0
        return result

    def _start_to_kill(self, executor: ThreadPoolExecutor, statement: _Statement) -> None:
        task = asyncio.create_task(self._kill(executor, statement))
        self._kills.add(task)
        task.add_done_callback(self._kills.discard)

    async def _kill(self, executor: ThreadPoolExecutor, statement: _Statement) -> None:
        """Kill a query where it runs. It may not have got there yet, so it is looked for more than once."""
        sql = f"KILL QUERY{self._on_cluster} WHERE query_id = {quoted(statement.query_id)} ASYNC"

        def kill(client: HttpClient, query_id: str) -> bytes:
            return client.raw_query(sql, settings={"query_id": query_id}, use_database=False)

        loop = asyncio.get_running_loop()
        for _ in range(_KILL_TRIES):
            if statement.query_id not in self._running:
                return
            if statement.server is not None:
                request = _Statement((statement.server,), again=False, kill=False)
                try:
                    if await loop.run_in_executor(executor, self._try_servers, request, kill):
                        return
                except EngineError:
                    # The server's own limit of time ends the query.
                    return
            await asyncio.sleep(_KILL_PAUSE_SECONDS)


def _require_client() -> None:
    try:
        import clickhouse_connect  # noqa: F401
    except ImportError as error:
        remedy = "run: pip install 'ophion-agent[server]'"
        raise OphionError(f"clickhouse: the client library is not installed; {remedy}") from error


def _bound(sql: str, parameters: Mapping[str, Any]) -> dict[str, _Text]:
    """Return the parameters that the statement names; without a placeholder the client would format them into it."""
    return {name: _Text(parameter_text(value)) for name, value in parameters.items() if f"{{{name}:" in sql}


def _settings(database: str, query_id: str, settings: Mapping[str, Any]) -> dict[str, Any]:
    place = {"database": database} if database else {}
    return {**settings, **place, "query_id": query_id}


def _compressed(data: bytes, encoding: str | None) -> bytes:
    if encoding == "zstd":
        import zstandard

        return zstandard.ZstdCompressor(level=1).compress(data)
    if encoding == "lz4":
        import lz4.frame  # type: ignore[import-untyped]

        return bytes(lz4.frame.compress(data))
    return data
