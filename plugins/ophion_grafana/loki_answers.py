"""Answers in the form of Loki's HTTP API (pkg/util/marshal of Loki)."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from decimal import Decimal
from types import MappingProxyType
from typing import Any, Final

import orjson

from ophion_agent.server import Problem, Reply
from ophion_grafana.logql_vectors import Steps, Vector

_CHUNK: Final = {
    "compressedBytes": 0,
    "decompressedBytes": 0,
    "decompressedLines": 0,
    "headChunkBytes": 0,
    "headChunkLines": 0,
    "totalDuplicates": 0,
}
_STORE: Final[Mapping[str, Any]] = MappingProxyType(
    {"totalChunksRef": 0, "totalChunksDownloaded": 0, "chunksDownloadTime": 0, "chunk": _CHUNK}
)


def error_reply(problem: Problem) -> Reply:
    """Return an error as Loki writes it: plain text, which Grafana shows as it is."""
    headers = {**problem.headers, "X-Content-Type-Options": "nosniff"}
    error_id = problem.extra.get("error_id")
    text = f"{problem.detail}: {error_id}" if error_id else problem.detail
    return Reply(text.encode("utf-8", "replace"), "text/plain", status=problem.code, headers=headers)


def json_reply(value: Any) -> Reply:
    """Return a value as JSON."""
    return Reply(orjson.dumps(value, option=orjson.OPT_NON_STR_KEYS))


def success(data: Any) -> Reply:
    """Return data in Loki's envelope."""
    return json_reply({"status": "success", "data": data})


def result_reply(kind: str, result: Any, stats: Mapping[str, Any], flags: Iterable[str] = ()) -> Reply:
    """Return the result of a query. Readers that go through it in one pass need its type and flags before it."""
    data: dict[str, Any] = {"resultType": kind}
    if flags:
        data["encodingFlags"] = list(flags)
    return success({**data, "result": result, "stats": stats})


def stats(seconds: float, entries: int = 0, lines: int = 0, size: int = 0) -> dict[str, Any]:
    """Return the statistics that Grafana shows in its query inspector."""
    per_second = 1 / seconds if seconds > 0 else 0.0
    summary = {
        "bytesProcessedPerSecond": int(size * per_second),
        "linesProcessedPerSecond": int(lines * per_second),
        "totalBytesProcessed": size,
        "totalLinesProcessed": lines,
        "execTime": seconds,
        "queueTime": 0,
        "subqueries": 0,
        "totalEntriesReturned": entries,
        "splits": 0,
        "shards": 0,
        "totalPostFilterLines": lines,
        "totalStructuredMetadataBytesProcessed": 0,
    }
    ingester = {"totalReached": 0, "totalChunksMatched": 0, "totalBatches": 0, "totalLinesSent": 0, "store": _STORE}
    return {"summary": summary, "querier": {"store": dict(_STORE)}, "ingester": {**ingester, "store": dict(_STORE)}}


def number_text(value: float) -> str:
    """Return a value as Prometheus writes samples: without an exponent, NaN, +Inf and -Inf."""
    if math.isnan(value):
        return "NaN"
    if math.isinf(value):
        return "+Inf" if value > 0 else "-Inf"
    return str(int(value)) if value.is_integer() else format(Decimal(repr(value)), "f")


def seconds_of(nanoseconds: int) -> float | int:
    """Return Unix seconds with milliseconds, as a whole number where they are one."""
    milliseconds = nanoseconds // 10**6
    return milliseconds // 1000 if milliseconds % 1000 == 0 else milliseconds / 1000


def matrix(vector: Vector, steps: Steps) -> list[dict[str, Any]]:
    """Return series over time."""
    times = [seconds_of(steps.start + steps.step * at) for at in range(steps.count)]
    return [
        {
            "metric": series.labels,
            "values": [
                [time, number_text(value)]
                for time, value in zip(times, series.points, strict=True)
                if value is not None
            ],
        }
        for series in vector
    ]


def instant(vector: Vector, steps: Steps) -> list[dict[str, Any]]:
    """Return series at the last time."""
    time = seconds_of(steps.end)
    return [
        {"metric": series.labels, "value": [time, number_text(value)]}
        for series in vector
        if (value := series.points[-1]) is not None
    ]
