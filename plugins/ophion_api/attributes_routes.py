"""The catalogue of attributes: their keys and values, for auto-completion."""

from __future__ import annotations

from base64 import b64decode
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any, Final, Literal

from pydantic import BaseModel, Field

from ophion_agent.server import Call, Permission, Route
from ophion_api.any_values import decoded
from ophion_api.cursors import decode_cursor, encode_cursor
from ophion_api.sql_parts import Binder, conjunction, text_of
from ophion_api.telemetry_access import Telemetry
from ophion_api.time_ranges import SECOND, RangeQuery, TimeRange

_TAG: Final = "attributes"
Signal = Literal["resource", "span", "log"]


class AttributesQuery(RangeQuery):
    """Which attributes. The catalogue knows days, so a range is widened to whole days."""

    signal: Signal | None = Field(None, description="Where the attribute stands; everywhere by default.")
    service: str | None = Field(None, max_length=1000, description="Service that sent it.")
    search: str = Field("", max_length=1000, description="Text that the key contains, in any case.")
    limit: int = Field(100, ge=1, le=1000, description="Keys in a page.")
    cursor: str | None = Field(None, max_length=2000, description="`next_cursor` of the page before.")


class AttributeValuesQuery(RangeQuery):
    """Which values."""

    signal: Signal | None = Field(None, description="Where the attribute stands; everywhere by default.")
    service: str | None = Field(None, max_length=1000, description="Service that sent it.")
    prefix: str = Field("", max_length=1000, description="Beginning of the value's text, in any case.")
    limit: int = Field(50, ge=1, le=1000, description="Most values.")


class AttributeKey(BaseModel):
    """A key."""

    key: str = Field(description="Name of the attribute.")
    signals: list[Signal] = Field(description="Where it stands.")
    values: int = Field(description="Different values, estimated.")
    seen: int = Field(description="How often it was seen; spans and log records are sampled.")


class AttributeKeys(BaseModel):
    """A page of keys."""

    attributes: list[AttributeKey] = Field(description="Keys by name.")
    next_cursor: str | None = Field(None, description="`cursor` of the next page; null at the end.")


class AttributeValue(BaseModel):
    """A value."""

    value: Any = Field(description="The value with its type.")
    seen: int = Field(description="How often it was seen; spans and log records are sampled.")


class AttributeValues(BaseModel):
    """Values of a key."""

    key: str = Field(description="Name of the attribute.")
    values: list[AttributeValue] = Field(description="The most frequent first.")
    truncated: bool = Field(description="Whether there are more.")


def days_within(binder: Binder, bounds: TimeRange, column: str = "day") -> str:
    """Return SQL for days of arrival; telemetry of the range can also have come a day later."""
    first, last = (datetime.fromtimestamp(time // SECOND, UTC).date() for time in (bounds.start, bounds.end))
    return (
        f"{column} >= toDate({binder.bind(first.isoformat(), 'String')}) AND "
        f"{column} <= toDate({binder.bind(last.isoformat(), 'String')}) + 1"
    )


class AttributeRoutes:
    """Lists keys and values."""

    def __init__(self, telemetry: Telemetry) -> None:
        self._telemetry = telemetry

    def routes(self) -> Sequence[Route]:
        """Return the routes."""
        read = Permission.READ
        return [
            Route(
                "GET", "/api/attributes", self._keys, read, query=AttributesQuery, answer=AttributeKeys, tag=_TAG,
                errors=(422,), summary="Attributes by name",
            ),
            Route(
                "GET", "/api/attributes/{key}/values", self._values, read, query=AttributeValuesQuery,
                answer=AttributeValues, tag=_TAG, errors=(422,), summary="Values of an attribute",
            ),
        ]  # fmt: skip

    def _where(self, binder: Binder, query: AttributesQuery | AttributeValuesQuery) -> list[str]:
        parts = [days_within(binder, query.bounds(self._telemetry.now_ns()))]
        if query.signal is not None:
            parts.append(f"signal = {binder.text(query.signal)}")
        if query.service is not None:
            parts.append(f"service_name = {binder.text(query.service)}")
        return parts

    async def _keys(self, call: Call) -> AttributeKeys:
        query: AttributesQuery = call.query
        binder = Binder()
        parts = self._where(binder, query)
        if query.search:
            parts.append(f"positionCaseInsensitiveUTF8(key, {binder.text(query.search)}) > 0")
        if query.cursor:
            (last,) = decode_cursor(query.cursor, "attributes", str)
            parts.append(f"key > {binder.text(last)}")
        sql = (
            "SELECT toString(key) AS name, arraySort(groupUniqArray(toString(signal))) AS signals, "
            f"uniq(value) AS values, sum(seen) AS n FROM attribute_values WHERE {conjunction(parts)} "
            f"GROUP BY key ORDER BY key LIMIT {binder.bind(query.limit + 1, 'UInt64')}"
        )
        rows = (await self._telemetry.of(call).query(sql, binder)).rows()
        page = [AttributeKey(key=row[0], signals=row[1], values=row[2], seen=row[3]) for row in rows[: query.limit]]
        cursor = encode_cursor("attributes", page[-1].key) if len(rows) > query.limit else None
        return AttributeKeys(attributes=page, next_cursor=cursor)

    async def _values(self, call: Call) -> AttributeValues:
        query: AttributeValuesQuery = call.query
        key = call.path["key"]
        binder = Binder()
        parts = [*self._where(binder, query), f"key = {binder.text(key)}"]
        if query.prefix:
            parts.append(f"startsWith(lowerUTF8({text_of('value')}), lowerUTF8({binder.text(query.prefix)}))")
        sql = (
            f"SELECT base64Encode(value) AS encoded, sum(seen) AS n FROM attribute_values WHERE {conjunction(parts)} "
            f"GROUP BY value ORDER BY n DESC, value LIMIT {binder.bind(query.limit + 1, 'UInt64')}"
        )
        rows = (await self._telemetry.of(call).query(sql, binder)).rows()
        values = [AttributeValue(value=decoded(b64decode(encoded)), seen=n) for encoded, n in rows[: query.limit]]
        return AttributeValues(key=key, values=values, truncated=len(rows) > query.limit)
