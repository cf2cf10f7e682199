"""The routes of log records."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from ophion_agent.server import Call, Permission, Route, Stream
from ophion_api.exports import ExportPage, export, export_format
from ophion_api.logs_models import LogHistogram, LogHistogramQuery, LogPage, LogQuery, LogTailQuery
from ophion_api.logs_search import log_histogram, log_page
from ophion_api.tail import Tails
from ophion_api.telemetry_access import Telemetry
from ophion_api.time_ranges import TimeRange

_TAG: Final = "logs"
_COLUMNS: Final = (
    "time", "severity", "severity_number", "severity_text", "service", "body", "event_name", "trace_id", "span_id",
    "attributes", "resource",
)  # fmt: skip
_MEDIA: Final = "application/json, text/csv, application/x-ndjson"


class LogRoutes:
    """Searches, counts and follows log records."""

    def __init__(self, telemetry: Telemetry) -> None:
        self._telemetry = telemetry
        self._tails = Tails(telemetry)

    def routes(self) -> Sequence[Route]:
        """Return the routes."""
        read = Permission.READ
        return [
            Route(
                "GET", "/api/logs", self._list, read, query=LogQuery, answer=LogPage, media_type=_MEDIA, tag=_TAG,
                errors=(422,), summary="Log records of a time range",
            ),
            Route(
                "POST", "/api/logs/query", self._query, read, body=LogQuery, answer=LogPage, media_type=_MEDIA,
                tag=_TAG, summary="Log records that match a query",
            ),
            Route(
                "GET", "/api/logs/histogram", self._histogram, read, query=LogHistogramQuery, answer=LogHistogram,
                tag=_TAG, errors=(422,), summary="Counts of log records by level over time",
            ),
            Route(
                "GET", "/api/logs/tail", self._tail, read, query=LogTailQuery, media_type="text/event-stream", tag=_TAG,
                errors=(422,), summary="Follow log records as they come",
                description=(
                    "Server-sent events: `log` with a record as in /api/logs and its resource, `dropped` with how many "
                    "were left out because there were too many. Reconnect with Last-Event-ID to go on where it ended."
                ),
            ),
        ]  # fmt: skip

    async def _list(self, call: Call) -> LogPage | Stream:
        return await self._answer(call, call.query)

    async def _query(self, call: Call) -> LogPage | Stream:
        return await self._answer(call, call.body)

    async def _answer(self, call: Call, query: LogQuery) -> LogPage | Stream:
        store, bounds = self._telemetry.of(call), query.bounds(self._telemetry.now_ns())
        kind = export_format(call, query.format)
        if kind == "json":
            return await log_page(store, query, bounds)

        async def page(cursor: str | None) -> ExportPage:
            update = {"cursor": cursor or query.cursor, "limit": 1000}
            found = await log_page(store, query.model_copy(update=update), bounds)
            return log_rows(found), found.next_cursor

        return export(kind, "logs", _COLUMNS, page, self._telemetry.config.export_max_rows)

    async def _histogram(self, call: Call) -> LogHistogram:
        query: LogHistogramQuery = call.query
        bounds: TimeRange = query.bounds(self._telemetry.now_ns())
        return await log_histogram(self._telemetry.of(call), query, bounds, bounds.step(query.step))

    async def _tail(self, call: Call) -> Stream:
        return await self._tails.open(self._telemetry.of(call), call.query, call.headers.get("last-event-id", ""))


def log_rows(page: LogPage) -> list[dict[str, Any]]:
    """Return the records of a page, each with its resource in it."""
    return [{**log.model_dump(), "resource": page.resources.get(log.resource, {})} for log in page.logs]
