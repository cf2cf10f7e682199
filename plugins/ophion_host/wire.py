"""The few pieces of the OTLP wire format that host metrics are written in.

A scrape repeats the same names and attributes every time, and a NumberDataPoint ends in fields of fixed size; writing
the encoding from cached pieces costs a fraction of building message objects.
Field numbers: opentelemetry/proto/metrics/v1/metrics.proto and common/v1/common.proto.
"""

from __future__ import annotations

from collections.abc import Iterable

# Tags of NumberDataPoint, each followed by eight bytes.
START_TIME = 0x11
TIME = 0x19
AS_DOUBLE = 0x21
AS_INT = 0x31

# Ends of a Sum: aggregation_temporality = CUMULATIVE, and is_monotonic = true.
CUMULATIVE = b"\x10\x02"
CUMULATIVE_MONOTONIC = b"\x10\x02\x18\x01"


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


def key_value(key: str, value: str | int) -> bytes:
    """A KeyValue body with a string or a non-negative integer."""
    any_value = field(1, text(value)) if isinstance(value, str) else b"\x18" + varint(value)
    return field(1, key.encode()) + field(2, any_value)


def resource(attributes: Iterable[tuple[str, str | int]]) -> bytes:
    """The `resource` field of a ResourceMetrics."""
    return field(1, b"".join(field(1, key_value(key, value)) for key, value in attributes))


def resource_metrics(resource_field: bytes, scopes: bytes, schema_url: str) -> bytes:
    """The `resource_metrics` field of a request, around an encoded resource and encoded `scope_metrics` fields."""
    return field(1, resource_field + scopes + field(3, schema_url.encode()))
