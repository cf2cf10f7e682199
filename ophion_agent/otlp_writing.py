"""The pieces of the OTLP wire format that receivers write what they measure in.

A scrape repeats the same names and attributes every time, and a NumberDataPoint ends in fields of fixed size: encodings
that return are made once and the rest is copied between them, for a fraction of what building message objects costs.
Field numbers: opentelemetry/proto/metrics/v1/metrics.proto, logs/v1/logs.proto and common/v1/common.proto.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Mapping

Value = str | int | bool | float | list[str]

# Tags of NumberDataPoint, each followed by eight bytes.
START_TIME = 0x11
TIME = 0x19
AS_DOUBLE = 0x21
AS_INT = 0x31

# Ends of a Sum: aggregation_temporality = CUMULATIVE, and is_monotonic = true.
CUMULATIVE = b"\x10\x02"
CUMULATIVE_MONOTONIC = b"\x10\x02\x18\x01"


_SMALL = tuple(bytes((number,)) for number in range(0x80))


def varint(number: int) -> bytes:
    """A non-negative integer in base 128."""
    if number < 0x80:
        return _SMALL[number]
    out = bytearray()
    while number >= 0x80:
        out.append(number & 0x7F | 0x80)
        number >>= 7
    out.append(number)
    return bytes(out)


def field(number: int, body: bytes) -> bytes:
    """A length-delimited field: tag, length, body. `number` is below 16."""
    return bytes((number << 3 | 2,)) + varint(len(body)) + body


def text(value: str) -> bytes:
    """UTF-8; what the operating system gave in another encoding is replaced, since OTLP strings must be UTF-8."""
    return value.encode("utf-8", "replace")


def any_value(value: Value) -> bytes:
    """An AnyValue body."""
    if isinstance(value, str):
        return field(1, text(value))
    if isinstance(value, bool):
        return b"\x10\x01" if value else b"\x10\x00"
    if isinstance(value, int):
        return b"\x18" + varint(value & 0xFFFF_FFFF_FFFF_FFFF)
    if isinstance(value, float):
        return b"\x21" + struct.pack("<d", value)
    return field(5, b"".join([field(1, any_value(item)) for item in value]))


def key_value(key: str, value: Value) -> bytes:
    """A KeyValue body."""
    return field(1, text(key)) + field(2, any_value(value))


def attributes(number: int, pairs: Mapping[str, Value] | Iterable[tuple[str, Value]]) -> bytes:
    """Attributes as the repeated field `number`."""
    items = pairs.items() if isinstance(pairs, Mapping) else pairs
    return b"".join([field(number, key_value(key, value)) for key, value in items])


def resource(pairs: Mapping[str, Value] | Iterable[tuple[str, Value]]) -> bytes:
    """The `resource` field of a ResourceMetrics or ResourceLogs."""
    return field(1, attributes(1, pairs))


def scope(name: str, version: str) -> bytes:
    """The `scope` field of a ScopeMetrics or ScopeLogs."""
    return field(1, field(1, text(name)) + field(2, text(version)))


def resource_metrics(resource_field: bytes, scopes: bytes, schema_url: str) -> bytes:
    """The `resource_metrics` field of a request, around an encoded resource and encoded `scope_metrics` fields."""
    return field(1, resource_field + scopes + field(3, schema_url.encode()))
