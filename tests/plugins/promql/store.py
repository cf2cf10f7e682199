"""A telemetry store on the embedded engine that has only what PromQL reads: the tables `samples` and `series`."""

import asyncio
import json
import threading
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from ophion_agent.server import Columns, QueryLimits

SAMPLES = """
CREATE TABLE samples (
  received DateTime DEFAULT now(), series_id UInt64, time DateTime64(9, 'UTC'), value Float64,
  kind Enum8('none' = 0, 'derived' = 1, 'remote' = 2, 'double' = 4, 'int' = 6)
) ENGINE = MergeTree PARTITION BY toDate(received) ORDER BY (series_id, time)
"""
SERIES = """
CREATE TABLE series (
  day Date, series_id UInt64, metric_name LowCardinality(String), labels Map(LowCardinality(String), String),
  kind LowCardinality(String), unit LowCardinality(String), help String, stream_id UInt64
) ENGINE = ReplacingMergeTree PARTITION BY day ORDER BY (metric_name, series_id)
"""
EXEMPLARS = """
CREATE TABLE exemplars (
  stream_id UInt64, point_time DateTime64(9, 'UTC'), point UInt64, number UInt32, time DateTime64(9, 'UTC'),
  kind Enum8('none' = 0, 'double' = 3, 'int' = 6), value Float64, int_value Int64, trace_id String, span_id String
) ENGINE = MergeTree ORDER BY (stream_id, point_time)
"""
Row = tuple[int, str, Mapping[str, str], Sequence[tuple[int, float]]]


class ChdbStore:
    """The Storage protocol for one tenant on one connection of the engine."""

    def __init__(self, path: Path) -> None:
        import chdb

        self._connection = chdb.connect(str(path))
        self._lock = threading.Lock()
        self._run(SAMPLES, {}, "Null")
        self._run(SERIES, {}, "Null")
        self._run(EXEMPLARS, {}, "Null")

    def _run(self, sql: str, parameters: Mapping[str, Any], output_format: str) -> bytes:
        bound = {name: _escaped(value) for name, value in parameters.items()}
        with self._lock:
            return self._connection.query(sql, output_format, params=bound).bytes() or b""

    async def query(
        self, sql: str, parameters: Mapping[str, Any] | None = None, *, tenant: str, limits: QueryLimits | None = None
    ) -> Columns:
        raw = await asyncio.to_thread(self._run, sql, parameters or {}, "JSONColumns")
        return Columns(json.loads(raw)) if raw else Columns()

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
        ending = "".join(f", {name} = '{value}'" for name, value in (settings or {}).items())
        joined = f"{sql} SETTINGS {ending[2:]}" if ending else sql
        return await asyncio.to_thread(self._run, joined, parameters or {}, output_format)

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
        def append() -> None:
            names = f" ({', '.join(columns)})" if columns else ""
            with self._lock:
                stream = self._connection.send_insert(f"INSERT INTO {table}{names}", input_format)
                stream.append(data)
                stream.finish()

        await asyncio.to_thread(append)

    async def tenants(self) -> list[str]:
        return ["default"]

    def load(self, rows: Iterable[Row]) -> None:
        """Insert series with their samples: (id, name, labels, [(milliseconds, value), ...])."""
        for series_id, name, labels, samples in rows:
            days = sorted({at // 86_400_000 for at, _ in samples})
            for day in days:
                self._run(
                    "INSERT INTO series SELECT toDate({day:UInt32}), {id:UInt64}, {name:String}, "
                    "mapFromArrays({keys:Array(String)}, {values:Array(String)}), 'gauge', '', 'help', {id:UInt64}",
                    {"day": day, "id": series_id, "name": name, **_split(labels)},
                    "Null",
                )
            self._run(
                "INSERT INTO samples (series_id, time, value) SELECT {id:UInt64}, "
                "fromUnixTimestamp64Nano(p.1 * 1000000, 'UTC'), reinterpretAsFloat64(p.2) "
                "FROM (SELECT arrayJoin({points:Array(Tuple(Int64, UInt64))}) AS p)",
                {"id": series_id, "points": [(at, _bits(value)) for at, value in samples]},
                "Null",
            )

    def execute(self, sql: str) -> None:
        """Run a statement that changes something."""
        self._run(sql, {}, "Null")

    def close(self) -> None:
        self._connection.close()


def _bits(value: float) -> int:
    import struct

    return int(struct.unpack("<Q", struct.pack("<d", value))[0])


def _split(labels: Mapping[str, str]) -> dict[str, list[str]]:
    names = sorted(labels)
    return {"keys": names, "values": [labels[name] for name in names]}


def _escaped(value: Any) -> str:
    if not isinstance(value, str):
        return _nested(value)
    for plain, escaped in (("\\", "\\\\"), ("\t", "\\t"), ("\n", "\\n"), ("\r", "\\r")):
        value = value.replace(plain, escaped)
    return value


def _nested(value: Any) -> str:
    if isinstance(value, str):
        escaped = value.replace("\\", "\\\\").replace("'", "\\'").replace("\n", "\\n").replace("\t", "\\t")
        return f"'{escaped}'"
    if isinstance(value, tuple):
        return f"({','.join(map(_nested, value))})"
    return f"[{','.join(map(_nested, value))}]" if isinstance(value, list) else repr(value)
