"""The services of a server: what its plugins offer one another, so that they never import one another."""

from collections.abc import Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from ophion_agent.server.principals import Principal
from ophion_agent.server.routes import Reply, Route
from ophion_agent.services import ServiceKey

if TYPE_CHECKING:
    from sqlalchemy.ext.asyncio import AsyncSession


@dataclass(frozen=True, slots=True)
class QueryLimits:
    """What one query may use; None takes the store's configured limit."""

    seconds: float | None = None
    memory_bytes: int | None = None
    rows: int | None = None


class Columns(dict[str, list[Any]]):
    """A query's result: column name -> values, all lists of one length."""

    def rows(self) -> list[tuple[Any, ...]]:
        """Return the result row by row."""
        return list(zip(*self.values(), strict=True))

    def dicts(self) -> list[dict[str, Any]]:
        """Return the result as one dict per row."""
        names = list(self)
        return [dict(zip(names, row, strict=True)) for row in self.rows()]

    def __bool__(self) -> bool:
        """A result with columns and no rows is false."""
        return any(self.values())


class Storage(Protocol):
    """The telemetry store. SQL is ClickHouse's, against the tables that docs/storage.md describes.

    Every statement runs inside the database of one tenant and never names a database itself. Values go into
    `parameters` and are bound by the engine as `{name:Type}`; nothing a caller sent is pasted into `sql`.
    """

    async def query(
        self, sql: str, parameters: Mapping[str, Any] | None = None, *, tenant: str, limits: QueryLimits | None = None
    ) -> Columns:
        """Return the result; raises BadRequest or Overloaded when a limit stopped it. Cancelling cancels the query.

        Strings that are not UTF-8 must be encoded in SQL (`hex`, `base64Encode`).
        """

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
        """Return the result in one of the engine's output formats."""

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
        """Return stored items as the OTLP request they came in: exactly what was sent, grouped by resource and scope.

        `signal` is traces, logs or metrics; `where` and `order` are SQL over the columns of `spans` or `logs` (of the
        points' `streams` for metrics: docs/storage.md). Items of one scope keep the order that `order` asks for.
        """

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
        """Append rows in one of the engine's input formats; durable on return."""

    async def tenants(self) -> list[str]:
        """Return the tenants that have a database."""


class ControlStore(Protocol):
    """The relational store of users, keys, rules, dashboards and audit records: SQLite or PostgreSQL."""

    def session(self) -> "AbstractAsyncContextManager[AsyncSession]":
        """Return a session in a transaction: committed at the end of the block, rolled back when it raises.

        Inside another block of the same task it joins that transaction, as a savepoint. Nothing but the database may
        be waited for in a block. Raises Overloaded when the database cannot be reached or stays busy.
        """

    async def migrate(self, family: str, scripts: Path) -> None:
        """Bring the tables of a plugin family up to date with its own Alembic scripts; safe from several processes.

        `scripts` is the folder `migrations` of the package, with `versions/` in it and no env.py. Every table is named
        `<family>_...`.
        """

    def leadership(self, name: str) -> "AbstractAsyncContextManager[bool]":
        """Try to become the only server that does `name`; true where it worked, held until the block ends."""


class Authorizer(Protocol):
    """Decides who is calling and whether they may."""

    async def identify(
        self, headers: Mapping[str, str], cookies: Mapping[str, str], *, client: str, method: str
    ) -> Principal:
        """Return who calls, or ANONYMOUS without credentials; raises Unauthorized, Forbidden or TooManyRequests.

        A cookie session without its CSRF header on a method that changes something raises Forbidden.
        """

    def admit(self, principal: Principal, client: str) -> None:
        """Count one request against the limits of the key and the address; raises TooManyRequests."""


class TenantDirectory(Protocol):
    """Knows the tenants and what is set for them."""

    async def retention(self, tenant: str) -> Mapping[str, int | None]:
        """Return the days that traces, metrics and logs of a tenant are kept; None where the store's own rule holds."""

    async def removed_tenants(self) -> Sequence[str]:
        """Return the tenants whose telemetry has to be deleted: they were removed, and not added again since.

        A store asks from time to time. It names one again as long as the name is free, for data that came late.
        """

    async def telemetry_removed(self, tenant: str) -> None:
        """Take note that there is no telemetry of a removed tenant any more; harmless twice."""


class AuditLog(Protocol):
    """Keeps what was changed, by whom, from where."""

    async def record(
        self, principal: Principal, action: str, target: str, detail: Mapping[str, Any] | None = None, client: str = ""
    ) -> None:
        """Append one record, such as `action="user.create", target="alice"`; secrets never belong into `detail`."""


class RouteSource(Protocol):
    """Offers routes to the HTTP API."""

    def routes(self) -> Sequence[Route]:
        """Return the routes; also before a start, for the documentation, so only handlers use what `start` opens."""


class PageSource(Protocol):
    """Offers pages for people: what a GET or HEAD of a path that belongs to no route is answered with.

    Pages are public and count against no limit, so they hold no data and lie in memory.
    """

    def page(self, path: str, headers: Mapping[str, str]) -> Reply | None:
        """Return the answer, None where there is no such page; `headers` takes names in any case.

        Paths that share their first part with a route, such as /api/..., are never asked for.
        """


class BackupSource(Protocol):
    """Something that a backup of the server has to hold."""

    async def backup(self, directory: Path) -> None:
        """Write everything into `directory`, which is new and empty, consistent in itself, while the server runs."""

    async def restore(self, directory: Path) -> None:
        """Bring back what `backup` wrote; raises OphionError where something is there that it would overwrite."""

    async def check(self) -> list[str]:
        """Look for damage and return what was found, a sentence each; nothing is changed."""


@dataclass(frozen=True, slots=True)
class Series:
    """One series of a PromQL result: labels with `__name__` where it has one, and (Unix seconds, value) pairs."""

    labels: Mapping[str, str]
    points: Sequence[tuple[float, float]]


class PromQL(Protocol):
    """Evaluates PromQL on the telemetry store; raises BadRequest for an expression that cannot be."""

    async def query(self, expression: str, time: float, *, tenant: str) -> list[Series]:
        """Return the value of an expression at one time, a point per series; a scalar is a series without labels."""

    async def query_range(self, expression: str, start: float, end: float, step: float, *, tenant: str) -> list[Series]:
        """Return the values of an expression from `start` to `end`, both included, every `step` seconds."""


STORAGE: ServiceKey[Storage] = ServiceKey("telemetry store")
CONTROL_STORE: ServiceKey[ControlStore] = ServiceKey("control store")
AUTHORIZER: ServiceKey[Authorizer] = ServiceKey("authorizer")
AUDIT_LOG: ServiceKey[AuditLog] = ServiceKey("audit log")
HTTP_ROUTES: ServiceKey[RouteSource] = ServiceKey("HTTP routes")
PAGES: ServiceKey[PageSource] = ServiceKey("pages")
TENANTS: ServiceKey[TenantDirectory] = ServiceKey("tenant directory")
BACKUP: ServiceKey[BackupSource] = ServiceKey("backup source")
PROMQL: ServiceKey[PromQL] = ServiceKey("PromQL engine")
