"""Take samples by Prometheus' remote write 1.0: snappy-compressed protobuf, which the engine itself decodes.

https://prometheus.io/docs/specs/prw/remote_write_spec/
"""

import base64
import struct
from collections.abc import Mapping
from datetime import UTC, datetime
from operator import itemgetter
from typing import Any, Final

from ophion_agent.plugin import Clock, OphionError
from ophion_agent.server import BadRequest, Problem, Storage

_MOST_BYTES: Final = 64 << 20
_MOST_REMEMBERED: Final = 1_000_000
_SCHEMA: Final = (
    'syntax = "proto3"; message Label { string name = 1; string value = 2; } '
    "message Sample { double value = 1; int64 timestamp = 2; } "
    "message TimeSeries { repeated Label labels = 1; repeated Sample samples = 2; } "
    "message WriteRequest { repeated TimeSeries timeseries = 1; }"
)
_SETTINGS: Final[Mapping[str, Any]] = {
    "format_schema_source": "string",
    "format_schema": _SCHEMA,
    "format_schema_message_name": "WriteRequest",
}
_STRUCTURE: Final = (
    "timeseries Array(Tuple(labels Array(Tuple(name String, value String)), "
    "samples Array(Tuple(value Float64, timestamp Int64))))"
)
_SERIES: Final = (
    f"SELECT arraySort(arrayFilter(l -> l.2 != '', s.1)) AS pairs, sipHash64(pairs) AS id, s.2 AS samples "
    f"FROM format('ProtobufSingle', '{_STRUCTURE}', base64Decode({{data:String}})) ARRAY JOIN timeseries AS s"
)
# Series, time, value, when it was received, and the store's mark for "came by remote write": 29 bytes each.
_SAMPLES: Final = (
    "SELECT id, fromUnixTimestamp64Nano(p.2 * 1000000, 'UTC'), p.1, toUInt32({now:UInt32}), toInt8(2) "
    f"FROM ({_SERIES}) ARRAY JOIN samples AS p"
)
_ROW: Final = struct.Struct("<Q21x")
_NEW: Final = (
    "SELECT toDate({day:Date}), id, any(arrayFirst(l -> l.1 = '__name__', pairs).2), "
    "any(CAST(arrayFilter(l -> l.1 != '__name__', pairs), 'Map(String, String)')), 'unknown' "
    f"FROM ({_SERIES}) WHERE id IN {{ids:Array(UInt64)}} GROUP BY id"
)
# Error codes of the engine for messages that are not what the schema says, from ClickHouse's src/Common/ErrorCodes.cpp.
_BROKEN: Final = ("code 444", "Code: 444", "code 33)", "Code: 33.", "code 32)", "Code: 32.", "CANNOT_READ_ALL_DATA")


class RemoteWrite:
    """Stores write requests, and remembers for which series of the day it has written a row of `series`."""

    def __init__(self, storage: Storage, clock: Clock) -> None:
        self._storage = storage
        self._clock = clock
        self._known: dict[str, tuple[str, set[int]]] = {}

    async def store(self, body: bytes, headers: Mapping[str, str], tenant: str) -> None:
        """Store a request; durable on return. Raises BadRequest for what no retry can make good."""
        _check_headers(headers)
        data = base64.b64encode(decompressed(body)).decode()
        now = self._clock.now_ns() // 1_000_000_000
        try:
            rows = await self._storage.query_bytes(
                _SAMPLES, {"data": data, "now": now}, tenant=tenant, output_format="RowBinary", settings=_SETTINGS
            )
        except Exception as error:
            raise _refusal(error) from error
        if rows:
            await self._introduce(set(map(itemgetter(0), _ROW.iter_unpack(rows))), data, now, tenant)
            columns = ("series_id", "time", "value", "received", "kind")
            await self._storage.insert("samples", rows, tenant=tenant, input_format="RowBinary", columns=columns)

    async def _introduce(self, ids: set[int], data: str, now: int, tenant: str) -> None:
        """Write the rows of series that have none today, before their samples."""
        day = datetime.fromtimestamp(now, UTC).date().isoformat()
        known_day, known = self._known.get(tenant, (day, set()))
        if known_day != day or len(known) > _MOST_REMEMBERED:
            known = set()
        if new := ids - known:
            rows = await self._storage.query_bytes(
                _NEW,
                {"data": data, "day": day, "ids": sorted(new)},
                tenant=tenant,
                output_format="RowBinary",
                settings=_SETTINGS,
            )
            columns = ("day", "series_id", "metric_name", "labels", "kind")
            await self._storage.insert("series", rows, tenant=tenant, input_format="RowBinary", columns=columns)
            known |= new
        self._known[tenant] = (day, known)


def decompressed(body: bytes) -> bytes:
    """Return the data of a block of snappy's raw format; raises BadRequest, before it would take too much memory."""
    try:
        import cramjam
    except ImportError:
        raise OphionError("remote write: needs the library cramjam; pip install 'ophion-agent[server]'") from None
    if _length(body) > _MOST_BYTES:
        raise BadRequest(
            f"remote write: must be at most {_MOST_BYTES} bytes, got {_length(body)}; send smaller requests"
        )
    try:
        return bytes(cramjam.snappy.decompress_raw(body))
    except cramjam.DecompressionError as error:
        raise BadRequest(f"remote write: must be compressed in snappy's block format, got {error}") from None


def _length(body: bytes) -> int:
    length = 0
    for position, byte in enumerate(body[:5]):
        length |= (byte & 0x7F) << 7 * position
        if byte < 0x80:
            break
    return length


def _check_headers(headers: Mapping[str, str]) -> None:
    kind = headers.get("content-type", "")
    if "proto=" in kind and "prometheus.WriteRequest" not in kind:
        raise Problem(
            f"remote write: only version 1 is supported, got {kind}; send prometheus.WriteRequest", status=415
        )
    encoding = headers.get("content-encoding", "snappy")
    if encoding != "snappy":
        raise Problem(f"remote write: must be compressed with snappy, got {encoding}", status=415)


def _refusal(error: Exception) -> Exception:
    if any(mark in str(error) for mark in _BROKEN):
        return BadRequest("remote write: must be a prometheus.WriteRequest, got a message that is broken")
    return error
