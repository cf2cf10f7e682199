"""Protobuf messages to what orjson writes as OTLP/JSON: one function per message type, compiled from its descriptor."""

import math
from base64 import b64encode
from collections.abc import Callable
from dataclasses import dataclass, field
from operator import attrgetter
from typing import Any

from google.protobuf.descriptor import Descriptor, FieldDescriptor

from ophion_agent.json_reading import HEX_FIELDS

Get = Callable[[Any], Any]
Convert = Callable[[Any], Any] | None
"""A field value to what orjson can write; None where it can write the value itself."""
Memo = dict[bytes, dict[str, Any]]
"""The attributes met in one document by their encoding: most of them occur again and again."""
Reader = Callable[[Any, Memo], dict[str, Any]]

_64_BIT = (FieldDescriptor.CPPTYPE_INT64, FieldDescriptor.CPPTYPE_UINT64)
_MEMOISED = "opentelemetry.proto.common.v1.KeyValue"


def compile_reader(descriptor: Descriptor) -> Callable[[Any], dict[str, Any]]:
    """Return the function that turns a message into the dict of its OTLP/JSON form, parts of which may be shared."""
    read = _ReaderCompiler().message(descriptor)
    return lambda message: read(message, {})


@dataclass(slots=True)
class _Plan:
    """The fields of a message type, by how their presence shows."""

    scalars: list[tuple[str, Get, Convert]] = field(default_factory=list)
    doubles: list[tuple[str, Get]] = field(default_factory=list)
    lists: list[tuple[str, Get, Reader]] = field(default_factory=list)
    optional_scalars: list[tuple[str, str, Convert]] = field(default_factory=list)
    optional_messages: list[tuple[str, str, Reader]] = field(default_factory=list)
    oneofs: list[tuple[str, dict[str, tuple[str, Convert, Reader | None]]]] = field(default_factory=list)


class _ReaderCompiler:
    """Compiles the message-to-JSON functions of a message type and of all it holds."""

    def __init__(self) -> None:
        self._compiled: dict[str, Reader] = {}

    def message(self, descriptor: Descriptor) -> Reader:
        if descriptor.full_name in self._compiled:
            return self._compiled[descriptor.full_name]
        plan = _Plan()
        read = _message_reader(plan)
        self._compiled[descriptor.full_name] = read = _memoised(read) if descriptor.full_name == _MEMOISED else read
        for member in descriptor.fields:
            if not _is_choice(member):
                self._plan_field(plan, member)
        for oneof in descriptor.oneofs:
            if len(oneof.fields) > 1:
                plan.oneofs.append((oneof.name, {member.name: self._choice(member) for member in oneof.fields}))
        return read

    def _plan_field(self, plan: _Plan, member: FieldDescriptor) -> None:
        name, json_name, convert = member.name, member.json_name, _converter(member)
        if member.message_type and member.is_repeated:
            plan.lists.append((json_name, attrgetter(name), self.message(member.message_type)))
        elif member.message_type:
            plan.optional_messages.append((name, json_name, self.message(member.message_type)))
        elif member.is_repeated:
            plan.scalars.append((json_name, attrgetter(name), _each(convert)))
        elif member.has_presence:
            plan.optional_scalars.append((name, json_name, convert))
        elif convert is _json_double:
            plan.doubles.append((json_name, attrgetter(name)))
        else:
            plan.scalars.append((json_name, attrgetter(name), convert))

    def _choice(self, member: FieldDescriptor) -> tuple[str, Convert, Reader | None]:
        reader = self.message(member.message_type) if member.message_type else None
        return member.json_name, _converter(member), reader


def _is_choice(member: FieldDescriptor) -> bool:
    # An `optional` scalar is alone in a oneof of its own.
    return member.containing_oneof is not None and len(member.containing_oneof.fields) > 1


def _converter(member: FieldDescriptor) -> Convert:
    if member.type == FieldDescriptor.TYPE_BYTES:
        return bytes.hex if member.name in HEX_FIELDS else _base64_text
    if member.type == FieldDescriptor.TYPE_DOUBLE:
        return _json_double
    return str if member.cpp_type in _64_BIT else None


def _each(convert: Convert) -> Callable[[Any], Any]:
    return list if convert is None else lambda values: [convert(value) for value in values]


def _base64_text(value: bytes) -> str:
    return b64encode(value).decode()


def _json_double(value: float) -> float | str:
    if math.isfinite(value):
        return value
    return "NaN" if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"


def _memoised(read: Reader) -> Reader:
    def read_once(message: Any, memo: Memo) -> dict[str, Any]:
        key = message.SerializeToString()
        known = memo.get(key)
        if known is None:
            known = memo[key] = read(message, memo)
        return known

    return read_once


def _message_reader(plan: _Plan) -> Reader:
    scalars, doubles, lists = plan.scalars, plan.doubles, plan.lists
    optional_scalars, optional_messages, oneofs = plan.optional_scalars, plan.optional_messages, plan.oneofs

    def read(message: Any, memo: Memo) -> dict[str, Any]:
        out: dict[str, Any] = {}
        for json_name, get, convert in scalars:
            if value := get(message):
                out[json_name] = value if convert is None else convert(value)
        for json_name, get in doubles:
            # A negative zero is falsy, yet the wire format holds it.
            if (value := get(message)) or math.copysign(1, value) < 0:
                out[json_name] = _json_double(value)
        for json_name, get, reader in lists:
            if values := get(message):
                out[json_name] = [reader(value, memo) for value in values]
        for name, json_name, convert in optional_scalars:
            if message.HasField(name):
                value = getattr(message, name)
                out[json_name] = value if convert is None else convert(value)
        for name, json_name, reader in optional_messages:
            if message.HasField(name):
                out[json_name] = reader(getattr(message, name), memo)
        for oneof, choices in oneofs:
            if chosen := message.WhichOneof(oneof):
                _read_choice(out, getattr(message, chosen), choices[chosen], memo)
        return out

    return read


def _read_choice(out: dict[str, Any], value: Any, choice: tuple[str, Convert, Reader | None], memo: Memo) -> None:
    json_name, convert, reader = choice
    if reader is not None:
        out[json_name] = reader(value, memo)
    else:
        out[json_name] = value if convert is None else convert(value)
