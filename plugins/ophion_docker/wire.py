"""The pieces of the OTLP wire format that container figures and output are written in.

The same names and attributes return all the time, so their encodings are made once and the rest is copied between them.
Field numbers: opentelemetry/proto/metrics/v1/metrics.proto, logs/v1/logs.proto and common/v1/common.proto.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Mapping

Value = str | int | bool | float | list[str]


def varint(number: int) -> bytes:
    """A non-negative integer in base 128."""
    if number < 0x80:
        return bytes((number,))
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


def resource(pairs: Mapping[str, Value]) -> bytes:
    """The `resource` field of a ResourceMetrics or ResourceLogs."""
    return field(1, attributes(1, pairs))


def scope(name: str, version: str) -> bytes:
    """The `scope` field of a ScopeMetrics or ScopeLogs."""
    return field(1, field(1, text(name)) + field(2, text(version)))
