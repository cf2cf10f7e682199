"""Prometheus' HTTP API, under /api/v1."""

import asyncio
import json
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Final

from ophion_agent.plugin import Clock
from ophion_agent.server import Call, Permission, Problem, Reply, Route
from ophion_promql.catalogue import Catalogue
from ophion_promql.errors import prometheus_reply
from ophion_promql.evaluating import Answer, Evaluator, classified
from ophion_promql.grid import LATEST, single
from ophion_promql.parameters import (
    CatalogueParameters,
    ExemplarParameters,
    FormatParameters,
    InstantParameters,
    MetadataParameters,
    Parameters,
    PrometheusAnswer,
    RangeParameters,
    grid_of,
    limit_of,
    time_of,
    timeout_of,
)
from ophion_promql.parsing import prettify
from ophion_promql.remote_write import RemoteWrite

_PREFIX: Final = "/api/v1"
_TAG: Final = "Prometheus"
# Prometheus takes an expression of any length in a form; what parses is bounded further down.
_MOST_FORM_BYTES: Final = 1 << 20
_MOST_WRITE_BYTES: Final = 32 << 20

Handler = Callable[[Call], Awaitable[Reply]]


class HttpApi:
    """Makes the routes over an evaluator."""

    def __init__(
        self, evaluator: Evaluator, catalogue: Catalogue, remote_write: RemoteWrite, clock: Clock, version: str
    ) -> None:
        self._evaluator = evaluator
        self._catalogue = catalogue
        self._remote_write = remote_write
        self._clock = clock
        self._version = version

    def routes(self) -> list[Route]:
        """Return every route."""
        both = (
            ("query", self._query, InstantParameters, "Evaluate an expression at one time"),
            ("query_range", self._query_range, RangeParameters, "Evaluate an expression over a range of time"),
            ("labels", self._labels, CatalogueParameters, "List names of labels"),
            ("series", self._series, CatalogueParameters, "Find series by selectors"),
            ("query_exemplars", self._exemplars, ExemplarParameters, "List exemplars"),
            ("format_query", self._format, FormatParameters, "Format an expression"),
        )
        routes: list[Route] = []
        for path, handler, model, summary in both:
            routes.append(_route("GET", path, handler, summary, query=model))
            routes.append(_route("POST", path, handler, summary, query=model, form=True))
        routes += [
            _route("GET", "label/{name}/values", self._values, "List values of a label", query=CatalogueParameters),
            _route("GET", "metadata", self._metadata, "List metadata of metrics", query=MetadataParameters),
            _route("GET", "rules", _fixed({"groups": []}), "List recording and alerting rules: none are kept here"),
            _route("GET", "alerts", _fixed({"alerts": []}), "List alerts of rules: none are kept here"),
            _route("GET", "status/buildinfo", self._build_info, "Tell what answers"),
            _route("GET", "status/flags", _fixed({}), "List command-line flags: there are none of Prometheus"),
            self._write_route(),
        ]
        return routes

    def _write_route(self) -> Route:
        return Route(
            "POST",
            f"{_PREFIX}/write",
            _answering(self._write),
            Permission.INGEST,
            body=bytes,
            status=204,
            summary="Take samples by remote write 1.0",
            tag=_TAG,
            errors=(400, 415, 503),
            max_body_bytes=_MOST_WRITE_BYTES,
        )

    async def _query(self, call: Call) -> Reply:
        asked: InstantParameters = call.query
        grid = single(time_of(asked.time, "time", self._now()))
        answer = await self._evaluator.instant_text(
            asked.query, grid, call.tenant, seconds=timeout_of(asked.timeout), limit=limit_of(asked.limit)
        )
        return _answer(answer)

    async def _query_range(self, call: Call) -> Reply:
        asked: RangeParameters = call.query
        answer = await self._evaluator.range_text(
            asked.query,
            grid_of(asked),
            call.tenant,
            seconds=timeout_of(asked.timeout),
            limit=limit_of(asked.limit),
        )
        return _answer(answer)

    async def _labels(self, call: Call) -> Reply:
        asked: CatalogueParameters = call.query
        return _success(
            await self._catalogue.label_names(asked.match, _since(asked), limit_of(asked.limit), call.tenant)
        )

    async def _values(self, call: Call) -> Reply:
        asked: CatalogueParameters = call.query
        return _success(
            await self._catalogue.label_values(
                call.path["name"], asked.match, _since(asked), limit_of(asked.limit), call.tenant
            )
        )

    async def _series(self, call: Call) -> Reply:
        asked: CatalogueParameters = call.query
        return _success(await self._catalogue.series(asked.match, _since(asked), limit_of(asked.limit), call.tenant))

    async def _metadata(self, call: Call) -> Reply:
        asked: MetadataParameters = call.query
        limit, per_metric = limit_of(asked.limit), limit_of(asked.limit_per_metric, "limit_per_metric")
        return _success(await self._catalogue.metadata(asked.metric, limit, per_metric, call.tenant))

    async def _exemplars(self, call: Call) -> Reply:
        asked: ExemplarParameters = call.query
        start, end = time_of(asked.start, "start", 0), time_of(asked.end, "end", LATEST)
        return _success(await self._catalogue.exemplars(asked.query, start, end, call.tenant))

    async def _format(self, call: Call) -> Reply:
        return _success(json.dumps(prettify(call.query.query)).encode())

    async def _build_info(self, call: Call) -> Reply:
        # Grafana concludes from the version which parts of the API there are: those of the Prometheus that is meant.
        info = {
            "version": "3.0.0",
            "revision": f"ophion-{self._version}",
            "branch": "",
            "buildUser": "",
            "buildDate": "",
            "goVersion": "",
        }
        return _success(json.dumps(info).encode())

    async def _write(self, call: Call) -> Reply:
        await self._remote_write.store(call.raw, call.headers, call.tenant)
        return Reply(status=204)

    def _now(self) -> int:
        return self._clock.now_ns() // 1_000_000


def _route(
    method: Any, path: str, handler: Handler, summary: str, *, query: type[Parameters] | None = None, form: bool = False
) -> Route:
    return Route(
        method,
        f"{_PREFIX}/{path}",
        _answering(handler),
        Permission.READ,
        query=query,
        form=form,
        answer=PrometheusAnswer,
        summary=summary,
        tag=_TAG,
        errors=(400, 422, 503),
        max_body_bytes=_MOST_FORM_BYTES,
        problem_reply=prometheus_reply,
    )


def _answering(handler: Handler) -> Handler:
    """Return the handler with the store's errors in Prometheus' classes."""

    async def answered(call: Call) -> Reply:
        try:
            return await handler(call)
        except asyncio.CancelledError:
            raise
        except Problem:
            raise
        except Exception as error:
            raise classified(error) from error

    return answered


def _fixed(data: object) -> Handler:
    body = json.dumps(data).encode()

    async def answer(call: Call) -> Reply:
        return _success(body)

    return answer


def _since(asked: CatalogueParameters) -> int:
    start, end = time_of(asked.start, "start", 0), time_of(asked.end, "end", LATEST)
    return min(start, end)


def _success(data: bytes, warnings: Sequence[str] = ()) -> Reply:
    noted = b',"warnings":' + json.dumps(list(warnings)).encode() if warnings else b""
    return Reply(b'{"status":"success","data":' + data + noted + b"}")


def _answer(answer: Answer) -> Reply:
    data = b'{"resultType":"' + answer.kind.encode() + b'","result":' + answer.result + b"}"
    return _success(data, answer.warnings)
