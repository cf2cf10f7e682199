"""The ClickHouse engine inside this process (chdb): connections from threads, one statement on each at a time."""

from __future__ import annotations

import asyncio
import os
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from hashlib import sha256
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, Final, TypeVar
from uuid import uuid4
from xml.sax.saxutils import escape

from ophion_agent.plugin import OphionError
from ophion_agent.server import Overloaded
from ophion_storage.chdb_library import give_back_code, import_chdb, lock_directory
from ophion_storage.engine import EngineError, identifier, parameter_text, quoted, settings_clause

if TYPE_CHECKING:
    from chdb.state.sqlitelike import Connection

T = TypeVar("T")

_CONFIG: Final = "engine.xml"
_DATA: Final = "data"
_SCHEMAS: Final = "schemas"
_BUSY: Final = 202
_NICE: Final = 10


class _Session:
    """A connection that remembers in which database it is.

    A statement that fails or is killed leaves what it had written so far to the result of the next statement on its
    connection, so that connection is given up for a new one.
    """

    def __init__(self, connect: Callable[[], Connection], setup: Sequence[str] = ()) -> None:
        self._connect = connect
        self._setup = setup
        self._open()

    def _open(self) -> None:
        self._connection = self._connect()
        self._database = ""
        for statement in self._setup:
            self._connection.query(statement)

    def close(self) -> None:
        self._connection.close()

    def use(self, database: str) -> None:
        if database and database != self._database:
            self.run(f"USE {identifier(database)}")
            self._database = database

    def run(self, sql: str, output_format: str = "Null", parameters: Mapping[str, str] | None = None) -> bytes:
        try:
            result = self._connection.query(sql, output_format, params=dict(parameters or {}))
            return bytes(result.bytes())
        except RuntimeError as error:
            self.close()
            self._open()
            raise EngineError(str(error)) from error

    def insert(self, table: str, settings: Mapping[str, Any], input_format: str, data: bytes) -> None:
        """Insert from a file in memory: the streaming insert of chdb drops the errors of materialized views."""
        with _in_memory(data) as path:
            self.run(f"INSERT INTO {table} FROM INFILE {quoted(path)}{settings_clause(settings)} FORMAT {input_format}")


@contextmanager
def _in_memory(data: bytes) -> Iterator[str]:
    """Yield the path of a file that holds `data` and that is gone afterwards; in memory where the system can."""
    if not hasattr(os, "memfd_create"):
        with tempfile.NamedTemporaryFile() as file:
            file.write(data)
            file.flush()
            yield file.name
        return
    with os.fdopen(os.memfd_create("payload"), "wb") as file:
        file.write(data)
        file.flush()
        yield f"/proc/self/fd/{file.fileno()}"


class _Pool:
    """Sessions of one kind, each lent to one statement at a time."""

    def __init__(self, sessions: Sequence[_Session], wait_seconds: float) -> None:
        self._free: asyncio.LifoQueue[_Session] = asyncio.LifoQueue()
        self._wait_seconds = wait_seconds
        self.sessions = tuple(sessions)
        for session in sessions:
            self._free.put_nowait(session)

    async def take(self) -> _Session:
        try:
            async with asyncio.timeout(self._wait_seconds):
                return await self._free.get()
        except TimeoutError:
            raise EngineError(f"Code: {_BUSY}. DB::Exception: {len(self.sessions)} others are under way") from None

    def give_back(self, session: _Session) -> None:
        self._free.put_nowait(session)

    @property
    def free(self) -> int:
        return self._free.qsize()


class EmbeddedEngine:
    """One data directory, opened by this process alone."""

    def __init__(
        self,
        directory: Path,
        *,
        memory_bytes: int,
        query_memory_bytes: int,
        concurrent_queries: int,
        threads_per_query: int,
        wait_seconds: float,
        writers: int = 2,
    ) -> None:
        self._directory = directory
        self._memory_bytes = memory_bytes
        self._reader_settings = {
            "max_threads": threads_per_query,
            "max_memory_usage": query_memory_bytes,
            # By default the engine keeps a gigabyte free for each thread, and gives a query one where it is not there.
            "max_threads_min_free_memory_per_thread": 0,
        }
        self._counts = (concurrent_queries, writers)
        self._wait_seconds = wait_seconds
        self._executor: ThreadPoolExecutor | None = None
        self._readers = self._writers = _Pool((), wait_seconds)
        self._control: _Session | None = None
        self._lock: IO[bytes] | None = None
        self._running: dict[str, asyncio.Future[Any]] = {}

    async def start(self) -> None:
        """Open the directory; raises OphionError when it cannot be used, such as one that another process has open."""
        self._executor = ThreadPoolExecutor(
            sum(self._counts) + 1, thread_name_prefix="engine", initializer=_yield_to_others
        )
        loop = asyncio.get_running_loop()
        readers, writers, self._control = await loop.run_in_executor(self._executor, self._open)
        self._readers, self._writers = _Pool(readers, self._wait_seconds), _Pool(writers, self._wait_seconds)

    def _open(self) -> tuple[list[_Session], list[_Session], _Session]:
        chdb = import_chdb()
        try:
            self._directory.mkdir(parents=True, exist_ok=True, mode=0o700)
            config = self._directory / _CONFIG
            self._lock = lock_directory(self._directory)
            config.write_text(_engine_config(self._directory, self._memory_bytes))
        except OSError as error:
            raise OphionError(f"{self._directory}: {error.strerror}; check `directory`") from error
        address = f"{self._directory / _DATA}?config-file={config}"

        def connect() -> Connection:
            try:
                opened: Connection = chdb.connect(address)
            except RuntimeError as error:
                raise OphionError(f"{self._directory}: cannot be opened, {EngineError(str(error))}") from error
            return opened

        limits = [f"SET {name} = {value}" for name, value in self._reader_settings.items()]
        readers = [_Session(connect, [*limits, "SET readonly = 2"]) for _ in range(self._counts[0])]
        writing = ["SET max_threads = 1", "SET max_insert_threads = 1"]
        writers = [_Session(connect, writing) for _ in range(self._counts[1])]
        give_back_code()
        return readers, writers, _Session(connect)

    async def stop(self) -> None:
        """Cancel what runs and close."""
        if self._executor is None:
            return
        for marker in list(self._running):
            await self._kill(marker)
        if self._running:
            await asyncio.wait(list(self._running.values()), timeout=self._wait_seconds)
        sessions = [*self._readers.sessions, *self._writers.sessions, *([self._control] if self._control else [])]
        executor, self._executor, self._control = self._executor, None, None
        lock, self._lock = self._lock, None
        await asyncio.get_running_loop().run_in_executor(executor, _close_all, sessions)
        await asyncio.to_thread(executor.shutdown)
        if lock is not None:
            lock.close()

    async def query(
        self, sql: str, parameters: Mapping[str, Any], *, database: str, output_format: str, settings: Mapping[str, Any]
    ) -> bytes:
        """See `Engine.query`."""
        marker = uuid4().hex
        bound = {name: parameter_text(value) for name, value in parameters.items()}
        marked = f"/* {marker} */ {sql}{settings_clause(self._with_schema_file(settings))}"

        def run(session: _Session) -> bytes:
            session.use(database)
            return session.run(marked, output_format, bound)

        try:
            return await self._run(self._readers, run, marker)
        except EngineError as error:
            if error.code == _BUSY:
                raise Overloaded(f"{len(self._readers.sessions)} queries run and others wait; try again") from error
            raise

    async def execute(
        self, sql: str, parameters: Mapping[str, Any] | None = None, *, database: str = "", everywhere: bool = False
    ) -> None:
        """See `Engine.execute`."""
        bound = {name: parameter_text(value) for name, value in (parameters or {}).items()}

        def run(session: _Session) -> None:
            session.use(database)
            session.run(sql, parameters=bound)

        await self._run(self._writers, run, "")

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
        names = f" ({', '.join(map(identifier, columns))})" if columns else ""

        def run(session: _Session) -> None:
            session.use(database)
            session.insert(f"{identifier(table)}{names}", self._with_schema_file(settings), input_format, data)

        await self._run(self._writers, run, "")

    def _with_schema_file(self, settings: Mapping[str, Any]) -> Mapping[str, Any]:
        """Return settings that name a schema by a file of ours: of one given as text the engine makes a file in the
        working directory, which may be anywhere and read-only.
        """
        if settings.get("format_schema_source") != "string":
            return settings
        schema: str = settings["format_schema"]
        path = (self._directory / _SCHEMAS / f"{sha256(schema.encode()).hexdigest()[:32]}.proto").absolute()
        if not path.exists():
            path.parent.mkdir(exist_ok=True, mode=0o700)
            # Two threads may write the same file, so each puts a whole one in its place.
            part = path.with_suffix(f".{uuid4().hex}")
            part.write_text(schema)
            part.replace(path)
        named = {"format_schema": f"{path}:{settings['format_schema_message_name']}"}
        left_out = ("format_schema_source", "format_schema_message_name")
        return {**{name: value for name, value in settings.items() if name not in left_out}, **named}

    async def _run(self, pool: _Pool, function: Callable[[_Session], T], marker: str) -> T:
        """Run on a free session. When the caller gives up, the statement is killed, or at least not waited for."""
        if self._executor is None:
            raise OphionError(f"{self._directory}: the engine is not running")
        session = await pool.take()
        future = asyncio.get_running_loop().run_in_executor(self._executor, function, session)
        key = marker or uuid4().hex
        self._running[key] = future

        def done(finished: asyncio.Future[T]) -> None:
            del self._running[key]
            pool.give_back(session)
            if not finished.cancelled():
                finished.exception()

        future.add_done_callback(done)
        try:
            return await asyncio.shield(future)
        except asyncio.CancelledError:
            if marker and not future.done():
                await self._kill(marker)
            raise

    async def _kill(self, marker: str) -> None:
        control = self._control
        if control is None or self._executor is None:
            return
        statement = f"KILL QUERY WHERE position(query, '/* {marker} */') = 1 ASYNC"
        await asyncio.get_running_loop().run_in_executor(self._executor, control.run, statement)


def _yield_to_others() -> None:
    """Let senders be answered before stored data is merged and searched: on Linux a thread has a priority of its own.

    The engine's threads are made by those that call it, and have their priority from them.
    """
    if sys.platform == "linux":
        os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), _NICE)


def _close_all(sessions: Sequence[_Session]) -> None:
    for session in sessions:
        session.close()


def _engine_config(directory: Path, memory_bytes: int) -> str:
    """Return the engine's server settings: its memory, small caches, and parts that are on disk when an insert ends."""
    settings = {
        "max_server_memory_usage": memory_bytes,
        "mark_cache_size": min(memory_bytes // 16, 1 << 30),
        "index_mark_cache_size": min(memory_bytes // 32, 1 << 30),
        "uncompressed_cache_size": 0,
        "mmap_cache_size": 64,
        "tmp_path": directory / "tmp",
        "user_files_path": directory / "files",
        "background_pool_size": 2,
        "background_schedule_pool_size": 2,
        "background_common_pool_size": 2,
        "background_fetches_pool_size": 1,
        "background_move_pool_size": 1,
    }
    lines = "".join(f"<{name}>{escape(str(value))}</{name}>" for name, value in settings.items())
    # What an insert writes is one file and one fsync a table instead of a dozen, and becomes files per column with the
    # first merge. Merging ten parts at a time writes every row about half as often as merging whatever is there.
    tables = {"fsync_after_insert": 1, "min_level_for_full_part_storage": 1, "min_parts_to_merge_at_once": 10}
    merge_tree = "".join(f"<{name}>{value}</{name}>" for name, value in tables.items())
    return f"<clickhouse>{lines}<merge_tree>{merge_tree}</merge_tree></clickhouse>\n"
