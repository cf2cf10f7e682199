"""Attribute values: stored as encoded OTLP AnyValues, shown as JSON, compared by the encodings that they can have."""

from __future__ import annotations

import math
from base64 import b64decode, b64encode
from binascii import a2b_base64
from collections.abc import Iterable, Sequence
from typing import Any, Final

from google.protobuf.message import DecodeError
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, KeyValue

_DEEPEST: Final = 64
_TEXT_TAG: Final = 0x0A
_SHORT: Final = 0x80 + 2
# Longer ones are beyond every double.
_LONGEST_NUMBER: Final = 300


def shown(value: AnyValue, depth: int = 0) -> Any:
    """Return a value as JSON: bytes become `{"base64": ...}`, and what is no JSON number a text."""
    kind = value.WhichOneof("value")
    if kind == "string_value":
        return value.string_value
    if kind is None or depth > _DEEPEST:
        return None
    content = getattr(value, kind)
    if kind == "bytes_value":
        return {"base64": b64encode(content).decode()}
    if kind == "array_value":
        return [shown(member, depth + 1) for member in content.values]
    if kind == "kvlist_value":
        return shown_pairs(content.values, depth + 1)
    if kind == "double_value" and not math.isfinite(content):
        return "NaN" if math.isnan(content) else "Infinity" if content > 0 else "-Infinity"
    return content


def shown_pairs(pairs: Iterable[KeyValue], depth: int = 0) -> dict[str, Any]:
    """Return attributes as a JSON object."""
    return {pair.key: shown(pair.value, depth) for pair in pairs}


def decoded(encoded: bytes) -> Any:
    """Return a stored value as JSON; bytes that are no AnyValue are shown as they are."""
    try:
        # Most values are short texts: the tag of `string_value`, one byte of length, and the text.
        size = len(encoded)
        if 1 < size < _SHORT and encoded[0] == _TEXT_TAG and encoded[1] == size - 2:
            return encoded[2:].decode()
        return shown(AnyValue.FromString(encoded))
    except (DecodeError, UnicodeDecodeError):
        return {"base64": b64encode(encoded).decode()}


class _Decoded(dict[str, Any]):
    """Values by their encodings in base64, each decoded when it is first asked for."""

    def __missing__(self, encoded: str) -> Any:
        value = self[encoded] = decoded(a2b_base64(encoded))
        return value


class AttributeReader:
    """Reads the attributes of many items: decodes what comes again and again once."""

    def __init__(self) -> None:
        self._values = _Decoded()

    def read(self, keys: Sequence[str], values: Sequence[str]) -> dict[str, Any]:
        """Return what `attributes_of` returns; items share lists and objects of equal values."""
        return dict(zip(keys, map(self._values.__getitem__, values), strict=True))


def attributes_of(keys: Sequence[str], values: Sequence[str]) -> dict[str, Any]:
    """Return stored attributes as JSON from their keys and their encodings in base64."""
    return {key: decoded(b64decode(value)) for key, value in zip(keys, values, strict=True)}


def attribute_columns(name: str = "attributes") -> str:
    """Return SQL for the columns `<name>_keys` and `<name>_values` that `attributes_of` takes."""
    return f"mapKeys({name}) AS {name}_keys, arrayMap(v -> base64Encode(v), mapValues({name})) AS {name}_values"


def encodings(value: Any) -> list[bytes]:
    """Return every encoding that an attribute equal to `value` can have.

    A text that reads as a number or as true or false also stands for that number or truth value, because callers of a
    URL can write nothing but text.
    """
    found = {AnyValue(string_value=as_text(value)).SerializeToString()}
    if isinstance(value, bool):
        return [AnyValue(bool_value=value).SerializeToString()]
    text = as_text(value)
    if text in ("true", "false"):
        found.add(AnyValue(bool_value=text == "true").SerializeToString())
    number = number_of(value)
    if number is None:
        return sorted(found)
    if _is_int64(number):
        found.add(AnyValue(int_value=int(number)).SerializeToString())
    found |= _doubles(number)
    return sorted(found)


def _is_int64(number: float) -> bool:
    return not (isinstance(number, float) and not number.is_integer()) and -(2**63) <= number < 2**63


def _doubles(number: float) -> set[bytes]:
    try:
        double = float(number)
    except OverflowError:
        return set()
    signs = (0.0, -0.0) if double == 0 else (double,)
    return {AnyValue(double_value=sign).SerializeToString() for sign in signs}


def number_of(value: Any) -> int | float | None:
    """Return the finite number that a value is or reads as, or None."""
    if isinstance(value, bool) or len(str(value)) > _LONGEST_NUMBER:
        return None
    for read in (int, float):
        try:
            # An int of a float would lose its fraction, and Python reads "1_000".
            number = read(str(value)) if "_" not in str(value) and str(value).isascii() else None
        except ValueError:
            continue
        if number is not None:
            return number if math.isfinite(number) else None
    return None


def as_text(value: Any) -> str:
    """Return the text of a literal: true, not True."""
    return str(value).lower() if isinstance(value, bool) else str(value)
