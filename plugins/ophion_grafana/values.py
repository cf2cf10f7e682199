"""Attribute values: stored as encoded OTLP AnyValues, shown as text, and found by the encodings that they can have."""

from __future__ import annotations

from base64 import b64decode
from collections.abc import Iterable, Sequence
from contextlib import suppress
from typing import Final

from google.protobuf.message import DecodeError
from opentelemetry.proto.common.v1.common_pb2 import AnyValue

from ophion_agent.prometheus_names import legacy_label_name, value_text

_LONGEST_NUMBER: Final = 40


def encodings(text: str) -> list[str]:
    """Return, in hexadecimal, every encoding of a value that reads as `text`: a string, a number, a truth value."""
    found = [AnyValue(string_value=text)]
    if text in ("true", "false"):
        found.append(AnyValue(bool_value=text == "true"))
    found += _numbers(text)
    return [value.SerializeToString().hex() for value in found]


def _numbers(text: str) -> Iterable[AnyValue]:
    if len(text) > _LONGEST_NUMBER or "_" in text or not text.isascii():
        return
    with suppress(ValueError):
        if -(2**63) <= int(text) < 2**63:
            yield AnyValue(int_value=int(text))
    with suppress(ValueError):
        yield AnyValue(double_value=float(text))


def decoded(encoded: bytes) -> AnyValue:
    """Return a stored value; bytes that are no AnyValue come back as bytes."""
    try:
        return AnyValue.FromString(encoded)
    except DecodeError:
        return AnyValue(bytes_value=encoded)


def stored(keys: Sequence[str], values: Sequence[str]) -> dict[str, AnyValue]:
    """Return attributes from the keys and base64 texts that `map_columns` selects."""
    return {key: decoded(b64decode(value)) for key, value in zip(keys, values, strict=True)}


def labels_of(key: str, value: AnyValue) -> Iterable[tuple[str, str]]:
    """Iterate over the labels of one attribute, as Loki's OTLP endpoint makes them: one per entry of a map."""
    name = legacy_label_name(key)
    if value.WhichOneof("value") != "kvlist_value":
        yield name, value_text(value)
        return
    for entry in value.kvlist_value.values:
        yield from labels_of(f"{name}_{entry.key}", entry.value)
