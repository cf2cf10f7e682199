"""One database, SQLite or PostgreSQL: its URL, its engines and the locks that several servers share.

Imported by `start()` only: SQLAlchemy belongs to the server's extra.
"""

import asyncio
import hashlib
import os
import stat
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any, Final

from sqlalchemy import URL, event, make_url, text
from sqlalchemy.exc import ArgumentError, DBAPIError, InterfaceError, OperationalError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine
from sqlalchemy.pool import NullPool

from ophion_agent.plugin import OphionError
from ophion_control.config import ControlStoreConfig

_FILE_MODE: Final = 0o600
# https://www.postgresql.org/docs/current/errcodes-appendix.html: connections, rollbacks, resources, operator's doing.
_PASSING_STATES: Final = ("08", "40", "53", "55P03", "57")
_POSTGRES: Final = ("postgres", "postgresql", "postgresql+asyncpg")
_SQLITE: Final = ("sqlite", "sqlite+aiosqlite")


class Database:
    """What is particular to the kind of database; opens nothing by itself but SQLite's file."""

    def __init__(self, config: ControlStoreConfig) -> None:
        self._config = config
        self.url, self._connect_options = _address(config)
        self.is_sqlite = self.url.get_backend_name() == "sqlite"

    @property
    def shown(self) -> str:
        """The database as messages name it, without the password."""
        return self.url.render_as_string(hide_password=True)

    @property
    def file(self) -> Path:
        """SQLite's file."""
        return Path(self.url.database or "")

    def prepare(self) -> None:
        """Make SQLite's file, readable to its owner alone; raises OphionError where that is not possible."""
        if not self.is_sqlite:
            return
        try:
            self.file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            fd = os.open(self.file, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, _FILE_MODE)
            try:
                os.fchmod(fd, _FILE_MODE)
            finally:
                os.close(fd)
        except OSError as error:
            raise OphionError(
                f"control store: must be able to write {self.file}, got {error.strerror}; set `directory` to a folder"
                " of the server's user"
            ) from error

    def engine(self) -> AsyncEngine:
        """Return the engine for requests."""
        if self.is_sqlite:
            # One connection: tasks of this process queue for it in order instead of polling SQLite's lock.
            pool = {"pool_size": 1, "max_overflow": 0}
            return self._sqlite(self._config.lock_timeout, foreign_keys=True, begin="BEGIN IMMEDIATE", **pool)
        return self._postgres(
            self._config.statement_timeout, pool_size=self._config.pool_size, max_overflow=0, pool_pre_ping=True
        )

    def migration_engine(self) -> AsyncEngine:
        """Return an engine that waits for other servers' migrations and lets tables be rebuilt; for one connection."""
        seconds = self._config.migration_timeout
        if self.is_sqlite:
            # Batch migrations replace tables that others refer to, which enforced foreign keys would not allow.
            return self._sqlite(seconds, foreign_keys=False, begin="BEGIN IMMEDIATE", poolclass=NullPool)
        return self._postgres(seconds, poolclass=NullPool)

    def reading_engine(self) -> AsyncEngine:
        """Return an engine whose transactions see one state of the database and keep nobody from writing."""
        if self.is_sqlite:
            return self._sqlite(self._config.lock_timeout, foreign_keys=True, begin="BEGIN", poolclass=NullPool)
        return self._postgres(None, poolclass=NullPool, isolation_level="REPEATABLE READ")

    @asynccontextmanager
    async def lock(self, name: str) -> AsyncIterator[bool]:
        """Try to be the only process that holds `name`; true where it worked."""
        locking = self._file_lock(name) if self.is_sqlite else self._advisory_lock(name)
        async with locking as held:
            yield held

    async def lock_for_migration(self, connection: AsyncConnection) -> None:
        """Wait until no other server migrates; SQLite's BEGIN IMMEDIATE has done so already."""
        if not self.is_sqlite:
            await connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": advisory_key("migration")})

    def _sqlite(self, lock_seconds: float, *, foreign_keys: bool, begin: str, **options: Any) -> AsyncEngine:
        if "poolclass" not in options:
            options["pool_timeout"] = self._config.pool_timeout
        engine = create_async_engine(self.url, connect_args={"timeout": lock_seconds}, hide_parameters=True, **options)

        # https://docs.sqlalchemy.org/en/20/dialects/sqlite.html: the driver's own BEGIN comes too late for DDL and
        # for transactions that read before they write.
        @event.listens_for(engine.sync_engine, "connect")
        def connected(connection: Any, _record: Any) -> None:
            connection.isolation_level = None
            cursor = connection.cursor()
            cursor.execute("PRAGMA journal_mode = WAL")
            cursor.execute(f"PRAGMA foreign_keys = {'ON' if foreign_keys else 'OFF'}")
            cursor.close()

        @event.listens_for(engine.sync_engine, "begin")
        def begun(connection: Any) -> None:
            connection.exec_driver_sql(begin)

        # SQLite keeps a closed connection's transaction, and with it the lock, for as long as a statement of it is not
        # finalized, and the traceback of a cancelled task holds one until it is garbage collected.
        @event.listens_for(engine.sync_engine, "invalidate")
        def invalidated(connection: Any, _record: Any, _error: BaseException | None) -> None:
            # It is closed next, whatever happens here, and a task that is cancelled again is cancelled already.
            with suppress(Exception, asyncio.CancelledError):
                connection.rollback()

        return engine

    def _postgres(self, statement_seconds: float | None, **options: Any) -> AsyncEngine:
        if "poolclass" not in options:
            options["pool_timeout"] = self._config.pool_timeout
        arguments = {
            **self._connect_options,
            "timeout": self._config.pool_timeout,
            "server_settings": {
                "application_name": "ophion",
                "statement_timeout": str(round((statement_seconds or 0) * 1000)),
            },
        }
        return create_async_engine(self.url, connect_args=arguments, hide_parameters=True, **options)

    @asynccontextmanager
    async def _advisory_lock(self, name: str) -> AsyncIterator[bool]:
        # A connection of its own: leaders hold theirs for long and must not use up the pool of requests.
        engine = self._postgres(self._config.statement_timeout, poolclass=NullPool, isolation_level="AUTOCOMMIT")
        try:
            async with engine.connect() as connection:
                parameters = {"key": advisory_key(f"leader {name}")}
                result = await connection.execute(text("SELECT pg_try_advisory_lock(:key)"), parameters)
                yield bool(result.scalar_one())
        finally:
            await engine.dispose()

    @asynccontextmanager
    async def _file_lock(self, name: str) -> AsyncIterator[bool]:
        import fcntl

        digest = hashlib.blake2b(name.encode(), digest_size=8).hexdigest()
        path = self.file.with_name(f"{self.file.name}.{digest}.lock")
        fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, _FILE_MODE)
        try:
            held = True
            try:
                fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                held = False
            yield held
        finally:
            os.close(fd)

    async def wait_until_ready(self, engine: AsyncEngine) -> None:
        """Wait until the database answers; raises OphionError after `start_timeout` with what it said last."""
        last: Exception | None = None
        try:
            async with asyncio.timeout(self._config.start_timeout):
                while True:
                    try:
                        async with engine.connect() as connection:
                            await connection.execute(text("SELECT 1"))
                            return
                    except Exception as error:  # noqa: BLE001 - drivers raise errors of many kinds until it is there
                        last = error
                    await asyncio.sleep(0.25)
        except TimeoutError:
            raise OphionError(
                f"control store: must reach {self.shown} within {self._config.start_timeout:g} s,"
                f" got {_reason(last)}; check that the database runs, its address, user and password"
            ) from last

    def exposed(self) -> str:
        """Return a sentence when others can read SQLite's file, else ""."""
        mode = stat.S_IMODE(self.file.stat().st_mode) if self.is_sqlite else _FILE_MODE
        return f"{self.file}: mode must be 0600, got {mode:04o}" if mode & 0o077 else ""


def is_passing(error: DBAPIError) -> bool:
    """Tell whether the database may well do later what it did not do now."""
    if isinstance(error, OperationalError | InterfaceError) or error.connection_invalidated:
        return True
    state = str(getattr(error.orig, "sqlstate", "") or "")
    return state.startswith(_PASSING_STATES)


def advisory_key(name: str) -> int:
    """Return PostgreSQL's 64-bit key of a lock."""
    return int.from_bytes(hashlib.blake2b(f"ophion {name}".encode(), digest_size=8).digest(), "big", signed=True)


def _address(config: ControlStoreConfig) -> tuple[URL, dict[str, Any]]:
    given = config.database_url
    if given:
        return _normalised(given)
    parts = config.postgres
    if parts is None or not parts.host:
        return URL.create("sqlite+aiosqlite", database=str(config.directory / "control.db")), {}
    password = parts.password.get_secret_value() if parts.password is not None else None
    url = URL.create("postgresql+asyncpg", parts.user, password or None, parts.host, parts.port, parts.database)
    return url, {"ssl": parts.ssl_mode}


def _normalised(given: str) -> tuple[URL, dict[str, Any]]:
    """Return the URL with the drivers used here, and libpq's `sslmode` as the driver wants it."""
    try:
        url = make_url(given)
    except (ArgumentError, ValueError):
        # The URL holds a password, so it is not shown.
        raise OphionError(
            "control store: url must be a database URL; write postgresql://user:password@host/ophion"
        ) from None
    if url.drivername in _SQLITE:
        if not url.database or url.database == ":memory:":
            raise OphionError(
                "control store: url must name a file, got SQLite in memory; write sqlite:///path/control.db"
            )
        return url.set(drivername="sqlite+aiosqlite"), {}
    if url.drivername not in _POSTGRES:
        raise OphionError(f"control store: url must be sqlite or postgresql, got {url.drivername}; use one of these")
    mode = url.query.get("sslmode")
    url = url.difference_update_query(["sslmode"])
    return url.set(drivername="postgresql+asyncpg"), {"ssl": mode} if mode else {}


def _reason(error: Exception | None) -> str:
    original = getattr(error, "orig", None) or error
    return f"{type(original).__name__}: {original}" if original is not None else "no answer"
