"""OTLP values as the collector's Go code prints them: attribute values, timestamps, ids, numbers, enum names."""

import math
from base64 import b64encode
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from decimal import Decimal
from types import MappingProxyType
from typing import Any

import orjson
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, KeyValue

_TYPE_NAMES: Mapping[str | None, str] = MappingProxyType(
    {
        None: "Empty",
        "string_value": "Str",
        "bool_value": "Bool",
        "int_value": "Int",
        "double_value": "Double",
        "array_value": "Slice",
        "kvlist_value": "Map",
        "bytes_value": "Bytes",
    }
)
METRIC_TYPES: Mapping[str | None, str] = MappingProxyType(
    {
        None: "Empty",
        "gauge": "Gauge",
        "sum": "Sum",
        "histogram": "Histogram",
        "exponential_histogram": "ExponentialHistogram",
        "summary": "Summary",
    }
)
SPAN_KINDS = ("Unspecified", "Internal", "Server", "Client", "Producer", "Consumer")
STATUS_CODES = ("Unset", "Ok", "Error")
TEMPORALITIES = ("Unspecified", "Delta", "Cumulative")
SEVERITIES = (
    "Unspecified",
    *(f"{name}{step}" for name in ("Trace", "Debug", "Info", "Warn", "Error", "Fatal") for step in ("", "2", "3", "4")),
)


def enum_name(names: tuple[str, ...], number: int) -> str:
    """Return the name of an enum value, empty for one that the schema does not know."""
    return names[number] if 0 <= number < len(names) else ""


def value_text(value: AnyValue) -> str:
    """Return a value without its type; lists and maps as compact JSON with sorted keys, bytes as base64."""
    raw = _raw(value)
    if isinstance(raw, str):
        return raw
    if raw is None:
        return ""
    if isinstance(raw, float):
        return json_float(raw)
    return orjson.dumps(raw, option=orjson.OPT_SORT_KEYS).decode()


def typed_text(value: AnyValue) -> str:
    """Return a value with its type: `Str(checkout)`, `Int(5)`, `Empty()`."""
    return f"{_TYPE_NAMES.get(value.WhichOneof('value'), 'Empty')}({value_text(value)})"


def _raw(value: AnyValue) -> Any:
    match value.WhichOneof("value"):
        case None:
            return None
        case "array_value":
            return [_raw(item) for item in value.array_value.values]
        case "kvlist_value":
            return {item.key: _raw(item.value) for item in value.kvlist_value.values}
        case "double_value" if value.double_value.is_integer() and abs(value.double_value) < 2**53:
            # Go's JSON has no point in whole numbers.
            return int(value.double_value)
        case "bytes_value":
            return b64encode(value.bytes_value).decode()
        case kind:
            return getattr(value, kind)


def pairs(attributes: Iterable[KeyValue]) -> list[str]:
    """Return attributes as `key=value`."""
    return [f"{attribute.key}={value_text(attribute.value)}" for attribute in attributes]


def hex_id(value: bytes) -> str:
    """Return an id in hexadecimal, empty when it is unset or all zeros."""
    return value.hex() if any(value) else ""


def time_text(unix_nano: int) -> str:
    """Return `2020-02-11 20:26:12.000000321 +0000 UTC`, without the fraction's trailing zeros."""
    # Go reads the unsigned field as a signed number of nanoseconds.
    signed = unix_nano - 2**64 if unix_nano >= 2**63 else unix_nano
    seconds, nanos = divmod(signed, 1_000_000_000)
    fraction = f".{nanos:09}".rstrip("0") if nanos else ""
    return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%d %H:%M:%S}{fraction} +0000 UTC"


def fixed_float(value: float) -> str:
    """Return a double with six decimals, as Go's %f."""
    return f"{value:f}" if math.isfinite(value) else _special(value)


def plain_float(value: float) -> str:
    """Return a double in the fewest digits, as Go's %v: with an exponent below 1e-4 and from 1e6."""
    if not math.isfinite(value):
        return _special(value)
    if not value or 1e-4 <= abs(value) < 1e6:
        return _positional(value)
    _, digits, _ = Decimal(repr(value)).normalize().as_tuple()
    exponent = Decimal(repr(value)).adjusted()
    sign = "-" if value < 0 else ""
    point = "." if len(digits) > 1 else ""
    return f"{sign}{digits[0]}{point}{''.join(map(str, digits[1:]))}e{exponent:+03}"


def json_float(value: float) -> str:
    """Return a double in the fewest digits, as Go writes it in JSON: with an exponent below 1e-6 and from 1e21."""
    if not math.isfinite(value):
        return _special(value)
    if value and not 1e-6 <= abs(value) < 1e21:
        return repr(value).replace("e-0", "e-")
    return _positional(value)


def _positional(value: float) -> str:
    return f"{Decimal(repr(value).removesuffix('.0')):f}"


def _special(value: float) -> str:
    return "NaN" if math.isnan(value) else "+Inf" if value > 0 else "-Inf"
