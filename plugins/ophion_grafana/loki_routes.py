"""Loki's query API, under /loki/api/v1."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Final

from pydantic import BaseModel

from ophion_agent.plugin import Clock
from ophion_agent.server import BadRequest, Call, Permission, Reply, Route, Storage
from ophion_grafana.logql_errors import ParseError
from ophion_grafana.logql_evaluation import Evaluation
from ophion_grafana.logql_metrics import Limits
from ophion_grafana.logql_nodes import LogQuery
from ophion_grafana.logql_parser import parse, parse_selector
from ophion_grafana.logql_stages import check_matchers
from ophion_grafana.logql_vectors import Series, Steps, Vector
from ophion_grafana.loki_answers import (
    error_reply,
    instant,
    json_reply,
    matrix,
    number_text,
    result_reply,
    seconds_of,
    stats,
    success,
)
from ophion_grafana.loki_catalogue import (
    Span,
    VolumeQuery,
    detected_labels,
    index_stats,
    label_values,
    names_of,
    selector,
    stream_sets,
    volumes,
)
from ophion_grafana.loki_display import check_display, shown
from ophion_grafana.loki_fields import detect
from ophion_grafana.loki_lines import Page, read_lines, streams
from ophion_grafana.loki_params import LokiQuery, bounds, count, duration, is_forward, line_limit, steps, timestamp

_PREFIX: Final = "/loki/api/v1"
_FLAGS: Final = "x-loki-response-encoding-flags"
_CATEGORIZE: Final = "categorize-labels"
_NOT_INSTANT: Final = (
    "log queries are not supported as an instant query type, please change your query to a range query type"
)

Handler = Callable[[Call], Awaitable[Any]]


class LokiRoutes:
    """Answers Loki's clients from the telemetry store."""

    def __init__(self, storage: Storage, clock: Clock, version: str, *, most_lines: int, most_series: int) -> None:
        self._storage = storage
        self._clock = clock
        self._version = version
        self._most_lines = most_lines
        self._limits = Limits(most_series)

    def routes(self) -> Sequence[Route]:
        """Return every route."""
        both: dict[str, tuple[Handler, str]] = {
            "/query": (self.query, "Evaluate a metric query at one time"),
            "/query_range": (self.query_range, "Read log lines, or evaluate a metric query over time"),
            "/labels": (self.labels, "List the labels of streams"),
            "/series": (self.series, "List streams by their labels"),
            "/index/stats": (self.index_stats, "Count streams, lines and bytes"),
            "/index/volume": (self.volume, "Measure bytes by labels"),
            "/index/volume_range": (self.volume_range, "Measure bytes by labels over time"),
            "/detected_labels": (self.detected_labels, "List the labels of streams and how many values they have"),
            "/detected_fields": (self.detected_fields, "List the fields that some lines have"),
            "/detected_field/{name}/values": (self.detected_values, "List the values of a field"),
            "/format_query": (self.format_query, "Format LogQL"),
        }
        found = [self._route("GET", path, *what) for path, what in both.items()]
        found += [self._route("POST", path, *what) for path, what in both.items()]
        found += [
            self._route("GET", "/label", self.labels, "List the labels of streams"),
            self._route("GET", "/label/{name}/values", self.label_values, "List the values of a label"),
            self._route("GET", "/status/buildinfo", self.build_info, "Tell the version"),
        ]
        return [*found, self._route("GET", "/ready", self.ready, "Answer while the server runs", prefix="/loki")]

    def _route(self, method: Any, path: str, handler: Handler, summary: str, *, prefix: str = _PREFIX) -> Route:
        query: type[BaseModel] | None = None if path in ("/ready", "/status/buildinfo") else LokiQuery
        return Route(
            method,
            prefix + path,
            handler,
            Permission.READ,
            query=query,
            form=method == "POST",
            answer=None if path == "/ready" else dict[str, Any],
            media_type="text/plain" if path == "/ready" else "application/json",
            summary=summary,
            tag="loki",
            errors=(400,),
            problem_reply=error_reply,
        )

    def _span(self, call: Call) -> Span:
        return Span(self._storage, call.tenant, *bounds(call.query, self._clock.now_ns()))

    def _seconds(self, started: float) -> float:
        return self._clock.monotonic() - started

    async def query(self, call: Call) -> Reply:
        """Answer /query."""
        started, query = self._clock.monotonic(), call.query
        node = parse(query.query)
        if isinstance(node, LogQuery):
            raise BadRequest(_NOT_INSTANT)
        at = timestamp(query.time, self._clock.now_ns(), "time")
        moment = Steps(at, 10**9, 1)
        value = await Evaluation(self._storage, call.tenant, moment, self._limits).value(node)
        if isinstance(value, float):
            return result_reply("scalar", [seconds_of(at), number_text(value)], stats(self._seconds(started)))
        return result_reply("vector", instant(value, moment), stats(self._seconds(started), len(value)))

    async def query_range(self, call: Call) -> Reply:
        """Answer /query_range."""
        node = parse(call.query.query)
        if isinstance(node, LogQuery):
            return await self._lines(call, node)
        started, times = self._clock.monotonic(), steps(call.query, self._clock.now_ns())
        value = await Evaluation(self._storage, call.tenant, times, self._limits).value(node)
        vector: Vector = [Series({}, [value] * times.count)] if isinstance(value, float) else value
        return result_reply("matrix", matrix(vector, times), stats(self._seconds(started), len(vector)))

    async def _lines(self, call: Call, node: LogQuery) -> Reply:
        started, query = self._clock.monotonic(), call.query
        check_matchers(node.matchers)
        check_display(node)
        start, end = bounds(query, self._clock.now_ns())
        interval = duration(query.interval, "interval") if query.interval else 0
        page = Page(start, end, line_limit(query, self._most_lines), is_forward(query), max(interval, 0))
        lines = await read_lines(self._storage, call.tenant, node, page)
        flags = [_CATEGORIZE] if _CATEGORIZE in call.headers.get(_FLAGS, "").split(",") else []
        size = sum(len(line.text) for line in lines)
        facts = stats(self._seconds(started), len(lines), len(lines), size)
        return result_reply("streams", streams(shown(node, lines), bool(flags)), facts, flags)

    async def labels(self, call: Call) -> Reply:
        """Answer /labels."""
        return success(names_of(await stream_sets(self._span(call), selector(call.query.query))))

    async def label_values(self, call: Call) -> Reply:
        """Answer /label/{name}/values."""
        return success(await label_values(self._span(call), call.path["name"], selector(call.query.query)))

    async def series(self, call: Call) -> Reply:
        """Answer /series."""
        span, found = self._span(call), {}
        for text in call.query.match or ["{}"]:
            for labels in await stream_sets(span, selector(text)):
                found[tuple(labels.items())] = labels
        return success(list(found.values()))

    async def index_stats(self, call: Call) -> Reply:
        """Answer /index/stats."""
        return json_reply(await index_stats(self._span(call), parse_selector(call.query.query)))

    async def volume(self, call: Call) -> Reply:
        """Answer /index/volume."""
        started, span = self._clock.monotonic(), self._span(call)
        moment = Steps(span.end, max(span.end - span.start, 1), 1)
        found = await volumes(span, self._volume_query(call), moment, self._limits)
        return result_reply("vector", instant(found, moment), stats(self._seconds(started), len(found)))

    async def volume_range(self, call: Call) -> Reply:
        """Answer /index/volume_range."""
        started, span, times = self._clock.monotonic(), self._span(call), steps(call.query, self._clock.now_ns())
        found = await volumes(span, self._volume_query(call), times, self._limits)
        return result_reply("matrix", matrix(found, times), stats(self._seconds(started), len(found)))

    def _volume_query(self, call: Call) -> VolumeQuery:
        query: LokiQuery = call.query
        if query.aggregate_by not in ("", "series", "labels"):
            raise BadRequest("invalid aggregation option")
        targets = [name.strip() for name in query.target_labels.split(",") if name.strip()]
        limit = 100 if query.limit == "0" else count(query.limit, 100, 5_000)
        return VolumeQuery(parse_selector(query.query), targets, query.aggregate_by == "labels", limit)

    async def detected_labels(self, call: Call) -> Reply:
        """Answer /detected_labels."""
        found = await detected_labels(self._span(call), selector(call.query.query))
        return json_reply({"detectedLabels": found})

    async def detected_fields(self, call: Call) -> Reply:
        """Answer /detected_fields."""
        limit = count(call.query.limit or call.query.field_limit, 1000, 10_000)
        fields = detect(await self._sample(call))
        return json_reply(
            {"fields": [found.shown(name) for name, found in list(fields.items())[:limit]], "limit": limit}
        )

    async def detected_values(self, call: Call) -> Reply:
        """Answer /detected_field/{name}/values."""
        limit = count(call.query.limit or call.query.field_limit, 1000, 10_000)
        found = detect(await self._sample(call)).get(call.path["name"])
        return json_reply({"values": list(found.values)[:limit] if found else [], "limit": limit})

    async def _sample(self, call: Call) -> list[Any]:
        span, node = self._span(call), parse_selector(call.query.query)
        check_matchers(node.matchers)
        most = min(count(call.query.line_limit, 100, self._most_lines, "line_limit"), self._most_lines)
        return await read_lines(self._storage, call.tenant, node, Page(span.start, span.end, most))

    async def format_query(self, call: Call) -> Reply:
        """Answer /format_query."""
        try:
            return success(str(parse(call.query.query)))
        except ParseError as error:
            body = json_reply({"status": "invalid-query", "error": error.detail}).body
            return Reply(body, status=400)

    async def build_info(self, call: Call) -> dict[str, Any]:
        """Answer /status/buildinfo."""
        empty = dict.fromkeys(("revision", "branch", "buildUser", "buildDate", "goVersion"), "")
        return {"version": self._version, **empty}

    async def ready(self, call: Call) -> Reply:
        """Answer /loki/ready."""
        return Reply(b"ready\n", "text/plain")
