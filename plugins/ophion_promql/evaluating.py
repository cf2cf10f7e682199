"""Evaluate expressions: parse, find the series, compile, and let the store do the rest."""

import asyncio
import json
import re
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass, field
from typing import Any, Final, TypeVar

from ophion_agent.server import Problem, QueryLimits, Series, Storage
from ophion_promql import keyed_output, output
from ophion_promql.compiling import Compiler, Semantics
from ophion_promql.errors import BadQuery, FailedQuery, QueryTimeout, raised_by_statement
from ophion_promql.grid import Grid
from ophion_promql.keyed import Keyed
from ophion_promql.nodes import Matcher, Node, Range, Selector, Subquery, Text, children, type_of
from ophion_promql.parsing import parse
from ophion_promql.series_cache import SeriesCache

T = TypeVar("T")
_ENGINE_WORDS: Final = re.compile(r"DB::Exception:\s*(.{0,300})", re.S)


@dataclass(frozen=True, slots=True)
class Bounds:
    """What one query may ask for."""

    series: int = 50_000
    points: int = 11_000
    seconds: float = 120.0


@dataclass(frozen=True, slots=True)
class Answer:
    """A result as JSON: the API's `resultType` and `result`."""

    kind: str
    result: bytes
    warnings: tuple[str, ...] = ()


@dataclass(slots=True)
class Evaluator:
    """Evaluates expressions against a store."""

    storage: Storage
    semantics: Semantics
    bounds: Bounds
    series_cache: SeriesCache = field(init=False)

    def __post_init__(self) -> None:
        self.series_cache = SeriesCache(self.storage, dot_is_all=not self.semantics.prometheus2)

    async def range_text(
        self, expression: str, grid: Grid, tenant: str, *, seconds: float | None = None, limit: int = 0
    ) -> Answer:
        """Return the matrix of an expression over a grid; raises BadQuery, FailedQuery or QueryTimeout."""
        self._check(grid)
        node = parse(expression)
        kind = type_of(node)
        if kind not in ("scalar", "vector"):
            shown = {"matrix": "range vector", "string": "string"}[kind]
            raise BadQuery(
                f'invalid parameter "query": invalid expression type "{shown}" for range query, '
                "must be Scalar or instant Vector"
            )

        async def answer() -> Answer:
            compiler = await self._compiler(node, grid, tenant)
            vector = compiler.either(node, grid)
            if vector.keyed is not None:
                sql = keyed_output.matrix(vector.keyed, grid, compiler.binder)
                array = await self._array(vector.keyed, sql, compiler, tenant, limit, "values")
            else:
                array = _array(await self._lines(output.matrix_text(vector, grid, limit), compiler, tenant))
            return Answer("matrix", array, tuple(compiler.warnings))

        return await self._bounded(answer, seconds)

    async def instant_text(
        self, expression: str, grid: Grid, tenant: str, *, seconds: float | None = None, limit: int = 0
    ) -> Answer:
        """Return an expression's result at the one time of a grid; raises BadQuery, FailedQuery or QueryTimeout."""
        node = parse(expression)

        async def answer() -> Answer:
            compiler = await self._compiler(node, grid, tenant)
            return await self._instant(node, grid, compiler, tenant, limit)

        return await self._bounded(answer, seconds)

    async def _instant(self, node: Node, grid: Grid, compiler: Compiler, tenant: str, limit: int) -> Answer:
        if isinstance(node, Text):
            return Answer("string", json.dumps([grid.start / 1000, node.value]).encode())
        if isinstance(node, Range | Subquery):
            window = compiler.window(node, grid)
            sql = output.samples_text(window, limit) if window.source else ""
            lines = await self._lines(sql, compiler, tenant) if sql else b""
            return Answer("matrix", _array(lines), tuple(compiler.warnings))
        if type_of(node) == "scalar":
            text = output.scalar_text(compiler.scalar(node, grid), grid)
            points = await self._text(text, compiler, tenant)
            return Answer("scalar", points.strip()[1:-1])
        vector = compiler.vector(node, grid)
        if vector.keyed is not None and keyed_output.is_in_order_of_labels(node):
            sql = keyed_output.vector(vector.keyed, grid, compiler.binder)
            array = await self._array(vector.keyed, sql, compiler, tenant, limit, "value")
        else:
            text = output.vector_text(vector, grid, node, compiler.binder, limit)
            array = _array(await self._lines(text, compiler, tenant))
        return Answer("vector", array, tuple(compiler.warnings))

    async def _array(self, keyed: Keyed, sql: str, compiler: Compiler, tenant: str, limit: int, name: str) -> bytes:
        rows = await self._text(sql, compiler, tenant) if keyed.labels else b""
        return keyed_output.array(keyed, rows, limit, name)

    async def series(self, expression: str, grid: Grid, tenant: str) -> list[Series]:
        """Return a scalar or vector expression over a grid; raises BadQuery, FailedQuery or QueryTimeout."""
        self._check(grid)
        node = parse(expression)
        if type_of(node) not in ("scalar", "vector"):
            raise BadQuery(f"must be a scalar or an instant vector, got a {type_of(node)}")

        async def answer() -> list[Series]:
            compiler = await self._compiler(node, grid, tenant)
            vector = compiler.either(node, grid)
            if vector.keyed is not None:
                return await self._keyed_series(vector.keyed, grid, compiler, tenant)
            sql = output.vector_columns(vector, grid)
            columns = await self.storage.query(sql, compiler.binder.used(sql), tenant=tenant, limits=self._limits())
            pairs = zip(columns.get("labels", []), columns.get("points", []), strict=True)
            return [Series(labels, [(at, float(value)) for at, value in points]) for labels, points in pairs]

        return await self._bounded(answer, None)

    async def _keyed_series(self, keyed: Keyed, grid: Grid, compiler: Compiler, tenant: str) -> list[Series]:
        if not keyed.labels:
            return []
        sql = keyed_output.columns(keyed)
        columns = await self.storage.query(sql, compiler.binder.used(sql), tenant=tenant, limits=self._limits())
        names = ("key", "there", "found")
        rows = sorted(
            zip(*(columns.get(name, []) for name in names), strict=True), key=lambda row: keyed.labels[row[0]]
        )
        times = grid.times()
        return [
            Series(
                dict(keyed.labels[key]),
                [(times[index - 1], float(value)) for index, value in zip(there, found, strict=True)],
            )
            for key, there, found in rows
        ]

    def _check(self, grid: Grid) -> None:
        if grid.count > self.bounds.points:
            raise BadQuery(
                f"exceeded maximum resolution of {self.bounds.points:,} points per timeseries. "
                "Try decreasing the query resolution (?step=XX)"
            )

    async def _compiler(self, node: Node, grid: Grid, tenant: str) -> Compiler:
        wanted: dict[tuple[Matcher, ...], int] = {}
        outer = (grid.start, grid.end)
        for matchers, since in _reaches(node, grid.start, outer, self.semantics.lookback):
            wanted[matchers] = min(since, wanted.get(matchers, since))
        return Compiler(self.semantics, grid, await self.series_cache.find(wanted, tenant, self.bounds.series))

    async def _text(self, sql: str, compiler: Compiler, tenant: str) -> bytes:
        return await self.storage.query_bytes(
            sql, compiler.binder.used(sql), tenant=tenant, output_format="TSVRaw", limits=self._limits()
        )

    async def _lines(self, sql: str, compiler: Compiler, tenant: str) -> bytes:
        return (await self._text(sql, compiler, tenant)).rstrip(b"\n")

    def _limits(self) -> QueryLimits:
        return QueryLimits(seconds=self.bounds.seconds)

    async def _bounded(self, work: Callable[[], Awaitable[T]], seconds: float | None) -> T:
        """Return what `work` returns, with its errors as Prometheus has them; cancelled when it takes too long."""
        most = self.bounds.seconds if seconds is None else min(seconds, self.bounds.seconds)
        try:
            async with asyncio.timeout(most):
                return await work()
        except TimeoutError:
            raise QueryTimeout("query timed out in expression evaluation") from None
        except RecursionError:
            raise BadQuery("the expression is nested too deeply; record parts of it as series of their own") from None
        except Exception as error:
            raise classified(error) from error


def classified(error: Exception) -> Problem:
    """Return an error as one that the API answers with: what the store raised, in Prometheus' classes."""
    if isinstance(error, Problem) and getattr(error, "error_type", None):
        return error
    if known := raised_by_statement(error):
        return known
    if isinstance(error, Problem) and error.code != 500:
        return error if error.code >= 429 else FailedQuery(error.detail)
    words: Any = _ENGINE_WORDS.search(str(error))
    return FailedQuery(f"the store could not evaluate the query: {words[1] if words else error!r}")


def _array(lines: bytes) -> bytes:
    return b"[" + lines.replace(b"\n", b",") + b"]"


def _reaches(
    node: Node, start: int, outer: tuple[int, int], lookback: int
) -> Iterator[tuple[tuple[Matcher, ...], int]]:
    """Yield each selector's matchers with the earliest time of which it can need samples."""
    if isinstance(node, Range):
        yield from _reaches(node.selector, start, outer, node.range)
        return
    if isinstance(node, Selector | Subquery):
        fixed = {"start": outer[0], "end": outer[1], None: start}
        start = (node.at if isinstance(node.at, int) else fixed[node.at]) - node.offset
        if isinstance(node, Selector):
            yield node.matchers, start - lookback
            return
        start -= node.range
    for child in children(node):
        yield from _reaches(child, start, outer, lookback)
