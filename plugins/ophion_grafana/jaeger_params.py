"""The parameters of Jaeger's HTTP APIs, as its query service's query_parser.go reads them."""

from __future__ import annotations

import re
from base64 import urlsafe_b64decode
from datetime import datetime
from typing import Any, Final

import orjson
from pydantic import AliasChoices, BaseModel, ConfigDict, Field

from ophion_agent.fields import parse_duration
from ophion_agent.server import BadRequest
from ophion_grafana.jaeger_store import Search

_LOOKBACK: Final = 48 * 3600 * 10**9
_DAY_MS: Final = 24 * 3600 * 1000
_LATEST: Final = 2**63 - 1
_HEX: Final = re.compile(r"[0-9a-fA-F]{1,32}")


class JaegerQuery(BaseModel):
    """The parameters of the API that Jaeger's own page and Grafana use."""

    model_config = ConfigDict(extra="ignore", populate_by_name=True)

    service: str = Field("", description="Name of the service.")
    operation: str = Field("", description="Name of the span.")
    span_kind: str = Field("", alias="spanKind", description="server, client, producer, consumer or internal.")
    tags: str = Field("", description='Tags as a JSON object, such as `{"http.status_code": "500"}`.')
    tag: list[str] = Field(default_factory=list, description="A tag as `key:value`.")
    start: str = Field("", description="Unix microseconds; two days, or `lookback`, before `end`.")
    end: str = Field("", description="Unix microseconds; now.")
    lookback: str = Field("", description="Duration such as 1h; milliseconds for dependencies, a day by default.")
    min_duration: str = Field("", alias="minDuration", description="Duration such as 1.2s, 100ms or 500us.")
    max_duration: str = Field("", alias="maxDuration", description="Duration such as 1.2s, 100ms or 500us.")
    limit: str = Field("", description="Most traces; 100.")
    trace_id: list[str] = Field(
        default_factory=list, alias="traceID", description="Ids of traces to return in place of a search."
    )
    end_ts: str = Field("", alias="endTs", description="Unix milliseconds; now.")


class JaegerV3Query(BaseModel):
    """The parameters of Jaeger's API v3; each has the name of its protobuf field in either form."""

    model_config = ConfigDict(extra="ignore", populate_by_name=True)

    service: str = Field("", description="Name of the service whose operations are listed.")
    span_kind: str = Field("", validation_alias=AliasChoices("spanKind", "span_kind"), description="Kind of span.")
    service_name: str = Field(
        "",
        validation_alias=AliasChoices("query.serviceName", "query.service_name"),
        description="Name of the service.",
    )
    operation_name: str = Field(
        "",
        validation_alias=AliasChoices("query.operationName", "query.operation_name"),
        description="Name of the span.",
    )
    attributes: str = Field(
        "", validation_alias=AliasChoices("query.attributes"), description="Attributes as a JSON object."
    )
    start_time_min: str = Field(
        "",
        validation_alias=AliasChoices("query.startTimeMin", "query.start_time_min"),
        description="Earliest start in RFC 3339.",
    )
    start_time_max: str = Field(
        "",
        validation_alias=AliasChoices("query.startTimeMax", "query.start_time_max"),
        description="Latest start in RFC 3339.",
    )
    duration_min: str = Field(
        "", validation_alias=AliasChoices("query.durationMin", "query.duration_min"), description="Shortest duration."
    )
    duration_max: str = Field(
        "", validation_alias=AliasChoices("query.durationMax", "query.duration_max"), description="Longest duration."
    )
    search_depth: str = Field(
        "",
        validation_alias=AliasChoices("query.searchDepth", "query.search_depth", "query.num_traces"),
        description="Most traces; 100.",
    )


def search_of(query: JaegerQuery, now: int, most: int) -> Search:
    """Return what a search asks for; raises BadRequest."""
    if not query.service and not query.trace_id:
        raise BadRequest("parameter 'service' is required")
    end = min(_integer(query.end, "end", now // 1000) * 1000, _LATEST)
    start = _integer(query.start, "start", -1) * 1000
    shortest, longest = _duration(query.min_duration, "minDuration"), _duration(query.max_duration, "maxDuration")
    if longest and longest < shortest:
        raise BadRequest("'maxDuration' should be greater than 'minDuration'")
    return Search(
        start if start >= 0 else max(end - (_duration(query.lookback, "lookback") or _LOOKBACK), 0),
        end,
        query.service,
        query.operation,
        {**_json_tags(query.tags, "tags"), **dict(map(_pair, query.tag))},
        shortest,
        longest,
        min(max(_integer(query.limit, "limit", 100), 1), most),
    )


def v3_search_of(query: JaegerV3Query, most: int) -> Search:
    """Return what a search of API v3 asks for; raises BadRequest."""
    if not query.start_time_min or not query.start_time_max:
        raise BadRequest("query.startTimeMin and query.startTimeMax are required")
    start = _rfc3339(query.start_time_min, "query.startTimeMin")
    end = _rfc3339(query.start_time_max, "query.startTimeMax")
    if start >= end:
        raise BadRequest("query.startTimeMin must be before query.startTimeMax")
    return Search(
        start,
        end,
        query.service_name,
        query.operation_name,
        _json_tags(query.attributes, "query.attributes"),
        _duration(query.duration_min, "query.durationMin"),
        _duration(query.duration_max, "query.durationMax"),
        min(max(_integer(query.search_depth, "query.searchDepth", 100), 1), most),
    )


def dependency_range(query: JaegerQuery, now: int) -> tuple[int, int]:
    """Return the time range, in nanoseconds, of which dependencies are wanted."""
    end = min(_integer(query.end_ts, "endTs", now // 10**6), _LATEST // 10**6)
    lookback = _integer(query.lookback, "lookback", _DAY_MS)
    return max(end - lookback, 0) * 10**6, end * 10**6


def trace_id_of(text: str) -> str:
    """Return a trace id as 32 digits: leading zeros may be left out, and base64 is taken; raises BadRequest."""
    if _HEX.fullmatch(text):
        return text.lower().rjust(32, "0")
    if len(text) in (22, 24):
        try:
            found = urlsafe_b64decode(text.rstrip("=").replace("+", "-").replace("/", "_") + "==")
        except ValueError:
            found = b""
        if len(found) == 16:
            return found.hex()
    raise BadRequest(f"cannot parse traceID param: {text[:60]!r} must be 1 to 32 hexadecimal digits")


def _integer(text: str, name: str, default: int) -> int:
    if not text:
        return default
    if not re.fullmatch(r"\d{1,18}", text):
        raise BadRequest(f"unable to parse param '{name}': {text[:40]!r} is no number")
    return int(text)


def _duration(text: str, name: str) -> int:
    if not text or text == "custom":
        return 0
    try:
        seconds = parse_duration(text) if not text.endswith("d") else parse_duration(f"{text[:-1]}h") * 24
    except ValueError as error:
        raise BadRequest(f"unable to parse param '{name}': {error}") from None
    if seconds < 0:
        raise BadRequest(f"unable to parse param '{name}': must not be negative, got {text[:40]!r}")
    return round(seconds * 1e9)


def _json_tags(text: str, name: str) -> dict[str, str]:
    if not text:
        return {}
    try:
        tags: Any = orjson.loads(text)
    except orjson.JSONDecodeError:
        tags = None
    if not isinstance(tags, dict) or not all(isinstance(value, str) for value in tags.values()):
        raise BadRequest(f"malformed '{name}' parameter, expecting a JSON object whose values are strings")
    return tags


def _pair(text: str) -> tuple[str, str]:
    key, separator, value = text.partition(":")
    if not separator:
        raise BadRequest(f"malformed 'tag' parameter, expecting key:value, received: {text[:60]}")
    return key, value


def _rfc3339(text: str, name: str) -> int:
    # A plus sign that was not escaped arrives as a space.
    fraction = re.search(r"\.\d+", text)
    digits = fraction[0] if fraction else ""
    try:
        whole = datetime.fromisoformat(
            text.replace(digits, "", 1).replace(" ", "+") if digits else text.replace(" ", "+")
        )
        if whole.tzinfo is None:
            raise ValueError(text)
        nanoseconds = round(whole.timestamp()) * 10**9
    except (ValueError, OverflowError):
        raise BadRequest(f"malformed parameter {name}: {text[:60]!r} is no RFC 3339 time") from None
    return max(nanoseconds + int(digits[1:10].ljust(9, "0") or 0), 0)
