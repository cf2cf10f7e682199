"""The extension `control_store`: sessions, migrations, leadership and backups of the relational store."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from ophion_agent.plugin import Context, Extension, OphionError
from ophion_agent.server import BACKUP, CONTROL_STORE, Overloaded
from ophion_control.config import ControlStoreConfig

if TYPE_CHECKING:
    from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, AsyncSession, async_sessionmaker

    from ophion_control.database import Database
    from ophion_control.migrations import Family

T = TypeVar("T")
_EXTRA = "control store: needs SQLAlchemy, Alembic and a driver; pip install 'ophion-agent[server]'"


class ControlStoreExtension(Extension[ControlStoreConfig]):
    """Keeps users, keys, rules, dashboards and audit records in SQLite or PostgreSQL."""

    type_name = "control_store"
    provides = (CONTROL_STORE, BACKUP)

    def __init__(self, config: ControlStoreConfig, context: Context) -> None:
        super().__init__(config, context)
        self._database: Database | None = None
        self._engine: AsyncEngine | None = None
        self._sessions: async_sessionmaker[AsyncSession] | None = None
        self._families: dict[str, Family] = {}
        self._migrating = asyncio.Lock()
        # The session that each task has open, for blocks inside its block.
        self._open: dict[asyncio.Task[Any] | None, AsyncSession] = {}

    async def start(self) -> None:
        """Open the database; raises OphionError when it cannot be reached within `start_timeout`."""
        try:
            import alembic  # noqa: F401 - a missing extra shows at the start, not at the first migration
            from sqlalchemy.ext.asyncio import async_sessionmaker

            from ophion_control.database import Database
        except ImportError as error:
            raise OphionError(f"{_EXTRA} (missing: {error.name})") from error
        self._database = Database(self.config)
        self._database.prepare()
        self._engine = self._database.engine()
        await self._database.wait_until_ready(self._engine)
        self._sessions = async_sessionmaker(self._engine, expire_on_commit=False, autoflush=False)
        self.log.info("control_store_opened", database=self._database.shown)

    async def stop(self) -> None:
        """Close the connections."""
        engine, self._engine, self._sessions = self._engine, None, None
        if engine is not None:
            await engine.dispose()

    @asynccontextmanager
    async def session(self) -> "AsyncIterator[AsyncSession]":
        """Return a session in a transaction: committed at the end of the block, rolled back when it raises.

        A block inside another one's block of the same task joins its transaction, as a savepoint; tasks started in a
        block do not. On SQLite a transaction keeps all others waiting, so no block may wait for anything but the
        database. Raises Overloaded when the database cannot be had.
        """
        task = asyncio.current_task()
        outer = self._open.get(task)
        if outer is not None:
            async with outer.begin_nested():
                yield outer
            return
        async with self._transaction() as session:
            self._open[task] = session
            try:
                yield session
            finally:
                del self._open[task]

    @asynccontextmanager
    async def _transaction(self) -> "AsyncIterator[AsyncSession]":
        from sqlalchemy.exc import DBAPIError
        from sqlalchemy.exc import TimeoutError as PoolTimeoutError

        from ophion_control.database import is_passing

        if self._sessions is None:
            raise OphionError("control store: is not open; it opens at the server's start and closes at its end")
        try:
            async with self._sessions() as session, session.begin():
                await self._connect(session)
                yield session
        except (DBAPIError, PoolTimeoutError) as error:
            if isinstance(error, DBAPIError) and not is_passing(error):
                raise
            reason = getattr(error, "orig", None) or error
            raise Overloaded(f"control store: does not answer: {reason}; try again later") from error

    async def _connect(self, session: "AsyncSession") -> None:
        try:
            await session.connection()
        except OSError as error:
            # asyncpg lets these through as they are; later ones in the block may be the caller's own.
            raise Overloaded(f"control store: cannot be reached: {error}; try again later") from error

    async def migrate(self, family: str, scripts: Path) -> None:
        """Bring the tables of a family up to date; safe from several servers at once.

        `scripts` is the folder `migrations` in the family's package, with Alembic's scripts in `versions/`; the tables'
        names begin with `family_`. Raises OphionError when the tables are of a newer version.
        """
        from ophion_control.migrations import Family, upgrade

        member = Family(family, scripts)
        await self._in_thread(lambda connection: connection.run_sync(upgrade, member))
        self._families[family] = member

    def leadership(self, name: str) -> AbstractAsyncContextManager[bool]:
        """Try to become the only server that does `name`; true where it worked, held until the block ends.

        Keep the block short, such as one round of evaluation: a server that loses PostgreSQL inside it does not notice.
        """
        return self._opened().lock(name)

    async def backup(self, directory: Path) -> None:
        """Write every table into `control.ndjson`, from one state; on SQLite also its file as `control.db`."""
        from ophion_control.portable import copy_sqlite, dump

        target = directory / "control.ndjson"
        await self._in_thread(lambda connection: connection.run_sync(dump, target), reading=True)
        if self._opened().is_sqlite:
            await asyncio.to_thread(copy_sqlite, self._opened().file, directory / "control.db")

    async def restore(self, directory: Path) -> None:
        """Bring back what `backup` wrote, from either kind of database; raises OphionError where tables are."""
        from ophion_control.portable import load

        source = directory / "control.ndjson"
        known = dict(self._families)
        await self._in_thread(lambda connection: connection.run_sync(load, source, known))

    async def check(self) -> list[str]:
        """Return what is wrong with the database, a sentence each."""
        from ophion_control.portable import problems

        exposed = self._opened().exposed()
        known = dict(self._families)
        found = await self._in_thread(lambda connection: connection.run_sync(problems, known), reading=True)
        return [*([exposed] if exposed else []), *found]

    def _opened(self) -> "Database":
        if self._database is None or self._engine is None:
            raise OphionError("control store: is not open; it opens at the server's start and closes at its end")
        return self._database

    async def _in_thread(self, work: "Callable[[AsyncConnection], Awaitable[T]]", *, reading: bool = False) -> T:
        """Run long work in a transaction of its own, on an event loop of its own: this one goes on meanwhile."""
        database = self._opened()

        async def run() -> T:
            engine = database.reading_engine() if reading else database.migration_engine()
            try:
                async with engine.begin() as connection:
                    if not reading:
                        await database.lock_for_migration(connection)
                    return await work(connection)
            finally:
                await engine.dispose()

        from sqlalchemy.exc import SQLAlchemyError

        async with self._migrating:
            try:
                return await asyncio.to_thread(lambda: asyncio.run(run()))
            except SQLAlchemyError as error:
                raise OphionError(
                    f"control store: {error.__class__.__name__}: {getattr(error, 'orig', None) or error}"
                ) from error
