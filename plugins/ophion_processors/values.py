"""Attribute values between OTLP's AnyValue and Python, in otelcol's text form where text is asked for."""

import base64
import json
import math
from collections.abc import Iterable, Mapping
from typing import Any

from opentelemetry.proto.common.v1.common_pb2 import AnyValue, KeyValue


def find(attributes: Iterable[KeyValue], key: str) -> AnyValue | None:
    """Return the value of the first attribute named `key`, or None."""
    for attribute in attributes:
        if attribute.key == key:
            return attribute.value
    return None


def to_python(value: AnyValue | None) -> Any:
    """Return str, bool, int, float, bytes, list or dict; None for a value that is absent or empty."""
    kind = value.WhichOneof("value") if value is not None else None
    if value is None or kind is None:
        return None
    if kind == "array_value":
        return [to_python(entry) for entry in value.array_value.values]
    if kind == "kvlist_value":
        return {entry.key: to_python(entry.value) for entry in value.kvlist_value.values}
    return getattr(value, kind)


def to_any_value(value: Any) -> AnyValue:
    """Return the AnyValue of what YAML can hold; raise ValueError for anything else."""
    result = AnyValue()
    _fill(result, value)
    return result


def _fill(target: AnyValue, value: Any) -> None:
    if isinstance(value, bool):
        target.bool_value = value
    elif isinstance(value, int):
        target.int_value = value
    elif isinstance(value, float):
        target.double_value = value
    elif isinstance(value, str):
        target.string_value = value
    elif isinstance(value, bytes):
        target.bytes_value = value
    elif isinstance(value, list | tuple):
        target.array_value.SetInParent()
        for entry in value:
            _fill(target.array_value.values.add(), entry)
    elif isinstance(value, Mapping):
        target.kvlist_value.SetInParent()
        for key, entry in value.items():
            _fill(target.kvlist_value.values.add(key=str(key)).value, entry)
    elif value is not None:
        raise ValueError(f"must be text, a number, true, false, a list or a map, got {type(value).__name__}")


def to_text(value: Any) -> str:
    """Return the text of a Python value as pcommon.Value.AsString writes it."""
    if isinstance(value, str):
        return value
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float):
        return float_text(value)
    if isinstance(value, bytes):
        return base64.b64encode(value).decode()
    if isinstance(value, list | dict):
        return json.dumps(value, default=to_text, separators=(",", ":"), ensure_ascii=False, sort_keys=True)
    return "" if value is None else str(value)


def float_text(value: float) -> str:
    """Return the shortest text of a float, with an exponent only below 1e-6 and from 1e21 on, as Go's JSON does."""
    if not math.isfinite(value):
        return "NaN" if math.isnan(value) else ("+Inf" if value > 0 else "-Inf")
    mantissa, _, exponent = repr(value).partition("e")
    if value == 0 or 1e-6 <= abs(value) < 1e21:
        if exponent:
            return f"{value:.{max(0, -int(exponent) + len(mantissa.partition('.')[2]))}f}"
        return mantissa.removesuffix(".0")
    sign = "-" if exponent.startswith("-") else "+"
    return f"{mantissa.removesuffix('.0')}e{sign}{exponent.lstrip('+-0')}"
