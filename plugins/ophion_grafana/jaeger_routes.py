"""Jaeger's query APIs, under /jaeger/api: that of its own page, and v3."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Final

import orjson

from ophion_agent import otlp_json
from ophion_agent.plugin import Clock
from ophion_agent.server import BadRequest, Call, NotFound, Permission, Problem, Reply, Route, Storage
from ophion_grafana.jaeger_model import traces_of
from ophion_grafana.jaeger_params import (
    JaegerQuery,
    JaegerV3Query,
    dependency_range,
    search_of,
    trace_id_of,
    v3_search_of,
)
from ophion_grafana.jaeger_store import TraceReader

_PREFIX: Final = "/jaeger/api"
_NOT_FOUND: Final = "trace not found"

Handler = Callable[[Call], Awaitable[Any]]


def error_reply(problem: Problem) -> Reply:
    """Return an error in the form of Jaeger's query service."""
    body = {**_structured(None), "errors": [{"code": problem.code, "msg": problem.detail}]}
    return Reply(_dumps(body), status=problem.code, headers=problem.headers)


def v3_error_reply(problem: Problem) -> Reply:
    """Return an error in the form of API v3."""
    body = {"error": {"httpCode": problem.code, "message": problem.detail}}
    return Reply(_dumps(body), status=problem.code, headers=problem.headers)


def _dumps(value: Any) -> bytes:
    return orjson.dumps(value, default=str)


def _structured(data: Any, total: int = 0, errors: list[dict[str, Any]] | None = None) -> dict[str, Any]:
    return {"data": data, "total": total, "limit": 0, "offset": 0, "errors": errors}


class JaegerRoutes:
    """Answers Jaeger's clients from the telemetry store."""

    def __init__(
        self, storage: Storage, clock: Clock, *, most_traces: int, most_spans: int, lookback_seconds: float
    ) -> None:
        self._storage = storage
        self._clock = clock
        self._most_traces = most_traces
        self._most_spans = most_spans
        self._lookback_seconds = lookback_seconds

    def routes(self) -> Sequence[Route]:
        """Return every route."""
        return [
            self._route("/services", self.services, "List services"),
            self._route("/services/{service}/operations", self.operation_names, "List the operations of a service"),
            self._route("/operations", self.operations, "List the operations of a service with their kinds"),
            self._route("/traces", self.search, "Search traces"),
            self._route("/traces/{trace_id}", self.trace, "Read a trace"),
            self._route("/dependencies", self.dependencies, "List who calls whom"),
            self._v3_route("/v3/services", self.v3_services, "List services"),
            self._v3_route("/v3/operations", self.v3_operations, "List the operations of a service"),
            self._v3_route("/v3/traces", self.v3_search, "Search traces"),
            self._v3_route("/v3/traces/{trace_id}", self.v3_trace, "Read a trace"),
        ]

    def _route(self, path: str, handler: Handler, summary: str) -> Route:
        return Route(
            "GET",
            _PREFIX + path,
            handler,
            Permission.READ,
            query=JaegerQuery,
            answer=dict[str, Any],
            summary=summary,
            tag="jaeger",
            errors=(400, 404),
            problem_reply=error_reply,
        )

    def _v3_route(self, path: str, handler: Handler, summary: str) -> Route:
        return Route(
            "GET",
            _PREFIX + path,
            handler,
            Permission.READ,
            query=JaegerV3Query,
            answer=dict[str, Any],
            summary=summary,
            tag="jaeger",
            errors=(400, 404),
            problem_reply=v3_error_reply,
        )

    def _reader(self, call: Call) -> TraceReader:
        since = max(int(self._clock.now_ns() / 1e9 - self._lookback_seconds), 0)
        return TraceReader(self._storage, call.tenant, since, self._most_spans)

    async def services(self, call: Call) -> dict[str, Any]:
        """Answer /services."""
        found = await self._reader(call).services()
        return _structured(found, len(found))

    async def operation_names(self, call: Call) -> dict[str, Any]:
        """Answer /services/{service}/operations."""
        operations = await self._reader(call).operations(call.path["service"])
        names = list(dict.fromkeys(operation["name"] for operation in operations))
        return _structured(names, len(names))

    async def operations(self, call: Call) -> dict[str, Any]:
        """Answer /operations."""
        if not call.query.service:
            raise BadRequest("parameter 'service' is required")
        found = await self._reader(call).operations(call.query.service, call.query.span_kind)
        return _structured(found, len(found))

    async def search(self, call: Call) -> Reply:
        """Answer /traces."""
        reader, wanted = self._reader(call), search_of(call.query, self._clock.now_ns(), self._most_traces)
        if call.query.trace_id:
            ids = [trace_id_of(text) for text in call.query.trace_id[: self._most_traces]]
        else:
            ids = await reader.find(wanted)
        traces = await self._traces(reader, ids)
        missing = {text for text in ids if text.removeprefix("0" * 16) not in traces} if call.query.trace_id else ()
        errors = [{"msg": _NOT_FOUND, "traceID": text.removeprefix("0" * 16)} for text in missing] or None
        return Reply(_dumps(_structured(list(traces.values()), errors=errors)))

    async def trace(self, call: Call) -> Reply:
        """Answer /traces/{id}. Its start and end are not needed to find a trace, and old Grafanas send wrong ones."""
        traces = await self._traces(self._reader(call), [trace_id_of(call.path["trace_id"])])
        if not traces:
            raise NotFound(_NOT_FOUND)
        return Reply(_dumps(_structured(list(traces.values()))))

    async def _traces(self, reader: TraceReader, ids: Sequence[str]) -> dict[str, dict[str, Any]]:
        """Return the traces by their ids as Jaeger writes them, in the order of `ids`."""
        if not ids:
            return {}
        request = await reader.traces(ids)
        # Thousands of spans take longer than other requests should wait.
        found = {trace["traceID"]: trace for trace in await asyncio.to_thread(traces_of, request, self._most_spans)}
        order = [text.removeprefix("0" * 16) for text in ids]
        return {trace_id: found[trace_id] for trace_id in order if trace_id in found}

    async def dependencies(self, call: Call) -> dict[str, Any]:
        """Answer /dependencies."""
        found = await self._reader(call).dependencies(*dependency_range(call.query, self._clock.now_ns()))
        service = call.query.service
        return _structured([link for link in found if not service or service in (link["parent"], link["child"])])

    async def v3_services(self, call: Call) -> dict[str, Any]:
        """Answer /v3/services."""
        return {"services": await self._reader(call).services()}

    async def v3_operations(self, call: Call) -> dict[str, Any]:
        """Answer /v3/operations."""
        found = await self._reader(call).operations(call.query.service, call.query.span_kind)
        return {"operations": [{**one, "spanKind": one["spanKind"] or "internal"} for one in found]}

    async def v3_search(self, call: Call) -> Reply:
        """Answer /v3/traces."""
        reader = self._reader(call)
        return await self._v3_traces(reader, await reader.find(v3_search_of(call.query, self._most_traces)))

    async def v3_trace(self, call: Call) -> Reply:
        """Answer /v3/traces/{id}."""
        return await self._v3_traces(self._reader(call), [trace_id_of(call.path["trace_id"])])

    async def _v3_traces(self, reader: TraceReader, ids: Sequence[str]) -> Reply:
        request = await reader.traces(ids) if ids else None
        if request is None or not request.resource_spans:
            raise NotFound("No traces found")
        body = await asyncio.to_thread(otlp_json.encode, request)
        return Reply(b'{"result":' + body + b"}")
