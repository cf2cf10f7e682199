"""The extension that keeps telemetry: it takes OTLP requests and answers SQL."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any, Final

import orjson
from google.protobuf.message import DecodeError

from ophion_agent.plugin import (
    SIGNALS,
    Batch,
    Context,
    Extension,
    OphionError,
    PermanentError,
    RetryableError,
    ServiceKey,
    Status,
)
from ophion_agent.server import BACKUP, STORAGE, TENANTS, Columns, Overloaded, QueryLimits
from ophion_storage.backup import TelemetryBackup
from ophion_storage.catalogue import Catalogue
from ophion_storage.chdb_library import give_back_code
from ophion_storage.config import RetentionConfig, StoreConfig
from ophion_storage.engine import Engine, EngineError
from ophion_storage.origins import SeenOrigins
from ophion_storage.reading import Origins, read_settings, read_statement
from ophion_storage.reading_metrics import read_metrics_settings, read_metrics_statement
from ophion_storage.tenants import Tenants
from ophion_storage.wire import wires_of

_GIVE_BACK_SECONDS: Final = 60.0
_RETENTION_SECONDS: Final = 60.0
_JSON_SETTINGS: Final = {
    "output_format_json_quote_64bit_integers": 0,
    "output_format_json_quote_denormals": 1,
    "output_format_json_named_tuples_as_objects": 0,
}


TELEMETRY_STORE: Final[ServiceKey[TelemetryStore]] = ServiceKey("telemetry store for the exporter")


class TelemetryStore(Extension[StoreConfig]):
    """Keeps traces, metrics and logs on the ClickHouse engine, in this process or on a server."""

    type_name = "telemetry_store"
    provides = (STORAGE, TELEMETRY_STORE, BACKUP)
    gathers = (TENANTS,)

    def __init__(self, config: StoreConfig, context: Context) -> None:
        super().__init__(config, context)
        self._engine: Engine | None = None
        self._tenants: Tenants | None = None
        self._catalogues: dict[str, Catalogue] = {}
        self._seen: dict[str, SeenOrigins] = {}
        self._origins: dict[str, Origins] = {}
        self._locks: dict[str, asyncio.Lock] = {}
        self._unlearned: set[str] = set()

    async def start(self) -> None:
        """Open the engine and bring the databases up to date; raises OphionError when that cannot be."""
        engine = self._make_engine()
        await engine.start()
        self._engine = engine
        replicated = self.config.clickhouse is not None and self.config.clickhouse.replicated
        self._tenants = tenants = Tenants(engine, self._retention_of, replicated=replicated)
        try:
            for tenant in await tenants.names():
                await tenants.ready(tenant)
        except EngineError as error:
            raise OphionError(f"the databases cannot be brought up to date: {error}") from error
        self.context.spawn("retention", self._follow_retention)
        if self.config.engine == "embedded":
            self.context.spawn("memory", self._keep_small)

    async def _retention_of(self, tenant: str) -> RetentionConfig:
        """Return what the configuration says about a tenant, and over it what was set for it while running."""
        config = self.config.tenants.get(tenant, self.config.retention)
        for directory in self.context.services(TENANTS):
            chosen = {name: days for name, days in (await directory.retention(tenant)).items() if days is not None}
            config = config.model_copy(update=chosen)
        return config

    async def _keep_small(self) -> None:
        """Give back code that only ran at the start, and from time to time code that is seldom used."""
        while True:
            await self.context.clock.sleep(_GIVE_BACK_SECONDS)
            await asyncio.to_thread(give_back_code)

    async def _follow_retention(self) -> None:
        while True:
            await self.context.clock.sleep(_RETENTION_SECONDS)
            if self._tenants is None:
                continue
            with self._failures_logged():
                await self._forget_removed(self._tenants)
            with self._failures_logged():
                await self._tenants.apply_retention()

    @contextmanager
    def _failures_logged(self) -> Iterator[None]:
        """Let what failed for one tenant wait for the next round without keeping the others from their turn."""
        try:
            yield
        except (EngineError, Overloaded) as error:
            self.log.warning("retention_not_applied", error=str(error))

    async def _forget_removed(self, tenants: Tenants) -> None:
        """Delete the telemetry of removed tenants, again when some came late."""
        present = await tenants.names()
        for directory in self.context.services(TENANTS):
            for tenant in await directory.removed_tenants():
                with self._failures_logged():
                    if tenant in present:
                        await tenants.drop(tenant)
                        self._forget(tenant)
                    await directory.telemetry_removed(tenant)

    def _forget(self, tenant: str) -> None:
        for known in (self._catalogues, self._seen, self._origins):
            known.pop(tenant, None)
        self._note_learned(tenant)

    async def stop(self) -> None:
        """Close the engine."""
        await self.context.cancel_tasks()
        engine, self._engine = self._engine, None
        if engine is not None:
            await engine.stop()

    def _make_engine(self) -> Engine:
        config, query = self.config, self.config.query
        if config.clickhouse is not None:
            from ophion_storage.remote import RemoteEngine

            return RemoteEngine(config.clickhouse, query)
        from ophion_storage.embedded import EmbeddedEngine

        return EmbeddedEngine(
            Path(config.directory),
            memory_bytes=config.memory,
            query_memory_bytes=query.memory,
            concurrent_queries=query.concurrency,
            threads_per_query=query.threads,
            wait_seconds=query.queue_timeout,
        )

    @property
    def engine(self) -> Engine:
        """The running engine."""
        if self._engine is None:
            raise RetryableError("the telemetry store is not running")
        return self._engine

    async def _database(self, tenant: str) -> str:
        if self._tenants is None:
            raise RetryableError("the telemetry store is not running")
        return await self._tenants.ready(tenant)

    async def ingest(self, batch: Batch, tenant: str) -> None:
        """Store a batch; on return it is on disk and can be queried. Raises RetryableError or PermanentError."""
        try:
            database = await self._database(tenant)
            await self._seen_origins(tenant, database).write_new(batch, self.context.clock.now_ns())
            for wire in wires_of(batch.signal, batch.payload):
                await self.engine.insert(
                    wire.table,
                    (),
                    batch.payload,
                    database=database,
                    input_format="ProtobufSingle",
                    settings=wire.insert_settings(),
                )
        except DecodeError as error:
            raise PermanentError(f"the telemetry store cannot read the data: {error}") from error
        except ValueError as error:
            raise RetryableError(str(error)) from error
        except EngineError as error:
            raise error.as_refusal() from error
        if batch.signal == "metrics":
            await self._try_to_learn_series(tenant, database)

    async def _try_to_learn_series(self, tenant: str, database: str) -> None:
        """Learn new series. The points are stored: refusing them for a failure here would store them with every try."""
        try:
            await self._learn_series(tenant, database)
        except EngineError as error:
            # A catalogue made anew looks at all streams of the day.
            self._catalogues.pop(tenant, None)
            self._unlearned.add(tenant)
            self.context.counter("ophion_store_series_not_learned").add()
            self.log.warning("series_not_learned", tenant=tenant, error=str(error))
            self._tell_unlearned()
        else:
            self._note_learned(tenant)

    def _note_learned(self, tenant: str) -> None:
        if tenant in self._unlearned:
            self._unlearned.remove(tenant)
            self._tell_unlearned()

    def _tell_unlearned(self) -> None:
        if self._unlearned:
            self.context.health.degraded(f"PromQL does not see new series of {', '.join(sorted(self._unlearned))}")
        elif self.context.health.status is Status.DEGRADED:
            self.context.health.ok()

    def _seen_origins(self, tenant: str, database: str) -> SeenOrigins:
        if tenant not in self._seen:

            async def insert(table: str, data: bytes, settings: dict[str, str | int]) -> None:
                await self.engine.insert(
                    table, (), data, database=database, input_format="ProtobufSingle", settings=settings
                )

            self._seen[tenant] = SeenOrigins(insert)
        return self._seen[tenant]

    async def _learn_series(self, tenant: str, database: str) -> None:
        async with self._locks.setdefault(tenant, asyncio.Lock()):
            catalogue = self._catalogues.get(tenant)
            if catalogue is None:
                catalogue = Catalogue(self.engine, database, self.config.promote_resource_attributes)
                await catalogue.recover()
                self._catalogues[tenant] = catalogue
            else:
                await catalogue.update()

    async def query(
        self, sql: str, parameters: Mapping[str, Any] | None = None, *, tenant: str, limits: QueryLimits | None = None
    ) -> Columns:
        """See `Storage.query`."""
        result = await self.query_bytes(
            sql, parameters, tenant=tenant, output_format="JSONColumns", settings=_JSON_SETTINGS, limits=limits
        )
        return Columns(orjson.loads(result))

    async def query_bytes(
        self,
        sql: str,
        parameters: Mapping[str, Any] | None = None,
        *,
        tenant: str,
        output_format: str,
        settings: Mapping[str, Any] | None = None,
        limits: QueryLimits | None = None,
    ) -> bytes:
        """See `Storage.query_bytes`."""
        every = {**self._limits(limits or QueryLimits()), **(settings or {})}
        try:
            database = await self._database(tenant)
            return await self.engine.query(
                sql, parameters or {}, database=database, output_format=output_format, settings=every
            )
        except EngineError as error:
            problem = error.as_problem()
            if problem is None:
                raise
            raise problem from error
        except RetryableError as error:
            raise Overloaded(str(error)) from error

    def _limits(self, limits: QueryLimits) -> dict[str, Any]:
        config = self.config.query
        return {
            "max_execution_time": min(limits.seconds or config.timeout, config.timeout),
            "max_memory_usage": min(limits.memory_bytes or config.memory, config.memory),
            "max_result_rows": min(limits.rows or config.rows, config.rows),
            "result_overflow_mode": "throw",
        }

    async def read(
        self,
        signal: str,
        where: str,
        parameters: Mapping[str, Any] | None = None,
        *,
        tenant: str,
        order: str = "",
        limit: int = 10_000,
        limits: QueryLimits | None = None,
    ) -> Any:
        """See `Storage.read`."""
        encoded = await self.query_bytes(
            read_metrics_statement(where, order, limit)
            if signal == "metrics"
            else read_statement(signal, where, order, limit),
            parameters,
            tenant=tenant,
            output_format="ProtobufSingle",
            settings=read_metrics_settings() if signal == "metrics" else read_settings(signal),
            limits=limits,
        )
        request = SIGNALS[signal].request_type.FromString(encoded)
        await self._origins_of(tenant).fill(request, signal)
        return request

    def _origins_of(self, tenant: str) -> Origins:
        if tenant not in self._origins:
            self._origins[tenant] = Origins(partial(self.query, tenant=tenant))
        return self._origins[tenant]

    async def insert(
        self,
        table: str,
        data: bytes,
        *,
        tenant: str,
        input_format: str,
        columns: Sequence[str] = (),
        settings: Mapping[str, Any] | None = None,
    ) -> None:
        """See `Storage.insert`."""
        try:
            database = await self._database(tenant)
            await self.engine.insert(
                table, columns, data, database=database, input_format=input_format, settings=settings or {}
            )
        except EngineError as error:
            raise error.as_refusal() from error

    def _backup(self) -> TelemetryBackup:
        if self._tenants is None:
            raise OphionError("telemetry store: is not open; it opens at the server's start and closes at its end")
        return TelemetryBackup(self.engine, self._tenants)

    async def backup(self, directory: Path) -> None:
        """See `BackupSource.backup`."""
        await self._backup().backup(directory)

    async def restore(self, directory: Path, *, force: bool = False) -> None:
        """See `BackupSource.restore`; with `force` what the tenants have now is deleted first."""
        await self._backup().restore(directory, force=force)

    async def check(self) -> list[str]:
        """See `BackupSource.check`."""
        return await self._backup().check()

    async def tenants(self) -> list[str]:
        """See `Storage.tenants`."""
        assert self._tenants is not None
        return await self._tenants.names()
