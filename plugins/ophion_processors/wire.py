"""Edits of encoded spans and log records that decode only what they must.

Protobuf appends the occurrences of a repeated field, so `record + encoded attributes` adds attributes to an encoded
record. Whether a record may hold a key at all is a search for the key's bytes: absent bytes prove an absent key, and a
hit, which may be another field's text, is settled by decoding that record.
"""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from google.protobuf import descriptor_pb2, descriptor_pool, message_factory
from opentelemetry.proto.common.v1.common_pb2 import KeyValue
from opentelemetry.proto.logs.v1.logs_pb2 import LogRecord
from opentelemetry.proto.trace.v1.trace_pb2 import Span

from ophion_agent.plugin import Batch, Logs, Traces

_FIELD = descriptor_pb2.FieldDescriptorProto
_PACKAGE = "ophion.processors"
_OTLP = "opentelemetry.proto"
_LENGTH_DELIMITED = 2

# Decoding a record alone costs twice what it costs within its request.
WORTH_DECODING_ALL = 0.5

Search = Callable[[bytes], object]
Items = list[bytes]


def _message(file: descriptor_pb2.FileDescriptorProto, name: str, **fields: tuple[int, str]) -> None:
    """Add a message; a field is (number, type), `*` before the type makes it repeated."""
    message = file.message_type.add(name=name)
    for field_name, (number, kind) in fields.items():
        field = message.field.add(name=field_name, number=number)
        field.label = _FIELD.LABEL_REPEATED if kind.startswith("*") else _FIELD.LABEL_OPTIONAL
        field.type = _FIELD.TYPE_BYTES if kind.endswith("bytes") else _FIELD.TYPE_MESSAGE
        if field.type == _FIELD.TYPE_MESSAGE:
            field.type_name = f".{kind.removeprefix('*')}"


def _request_class() -> Any:
    """Return requests cut down to encoded records; what is not declared is kept as unknown fields.

    Resource and scope are declared in full: as bytes, all but the last occurrence of each would be lost.
    """
    file = descriptor_pb2.FileDescriptorProto(name="ophion/processors.proto", package=_PACKAGE, syntax="proto3")
    folder = _OTLP.replace(".", "/")
    file.dependency.extend([f"{folder}/common/v1/common.proto", f"{folder}/resource/v1/resource.proto"])
    scope, resource = f"{_OTLP}.common.v1.InstrumentationScope", f"{_OTLP}.resource.v1.Resource"
    _message(file, "Scope", scope=(1, scope), items=(2, "*bytes"), schema_url=(3, "bytes"))
    _message(file, "Resource", resource=(1, resource), scopes=(2, f"*{_PACKAGE}.Scope"), schema_url=(3, "bytes"))
    _message(file, "Request", resources=(1, f"*{_PACKAGE}.Resource"))
    pool = descriptor_pool.Default()
    pool.AddSerializedFile(file.SerializeToString())
    return message_factory.GetMessageClass(pool.FindMessageTypeByName(f"{_PACKAGE}.Request"))


_Request = _request_class()


@dataclass(frozen=True, slots=True)
class RecordType:
    """How the records of a signal look on the wire."""

    message: type[Any]

    @property
    def attributes_tag(self) -> bytes:
        """The byte before each encoded attribute."""
        number: int = self.message.DESCRIPTOR.fields_by_name["attributes"].number
        return bytes([number << 3 | _LENGTH_DELIMITED])


RECORD_TYPES: dict[type[Batch], RecordType] = {
    Traces: RecordType(Span),
    Logs: RecordType(LogRecord),
}


def encoded_attributes(attributes: list[KeyValue], record_type: RecordType) -> bytes:
    """Return the attributes as they are appended to an encoded record."""
    encoded = [attribute.SerializeToString() for attribute in attributes]
    return b"".join([record_type.attributes_tag + _varint(len(each)) + each for each in encoded])


def _varint(number: int) -> bytes:
    encoded = bytearray()
    while number > 0x7F:
        encoded.append(number & 0x7F | 0x80)
        number >>= 7
    encoded.append(number)
    return bytes(encoded)


def search_any(needles: Sequence[bytes]) -> Search | None:
    """Return a test of whether bytes hold one of the needles; None when there are none."""
    if not needles:
        return None
    if len(needles) == 1:
        return lambda record: needles[0] in record
    return re.compile(b"|".join(map(re.escape, needles))).search


@dataclass(frozen=True, slots=True)
class KeyHits:
    """Where keys may be in one payload: how often at most, and in which records."""

    count: int
    may_be_in: Search


class KeySearch:
    """Finds the records that may hold one of some attribute keys."""

    def __init__(self, keys: frozenset[str]) -> None:
        # The byte before a key ends the varint of its length: the highest seven bits, or zero where an encoder pads.
        self._needles = {
            key.encode(): sorted({_varint(len(key.encode()))[-1:] + key.encode(), b"\0" + key.encode()}) for key in keys
        }

    def within(self, payload: bytes) -> KeyHits | None:
        """Return where the keys may be in `payload`, or None when they are nowhere."""
        present = [key for key in self._needles if key in payload]
        counts = {needle: payload.count(needle) for key in present for needle in self._needles[key]}
        search = search_any([needle for needle, count in counts.items() if count])
        return KeyHits(sum(counts.values()), search) if search else None


def rewrite_scopes(payload: bytes, rewrite: Callable[[Any, Any, Items], Items], *, prune: bool = False) -> bytes:
    """Return the request with the encoded records of every scope replaced by `rewrite(resource, scope, records)`.

    With `prune`, scopes without records and resources without scopes are removed.
    """
    request = _Request.FromString(payload)
    for group in request.resources:
        for scope in group.scopes:
            items = rewrite(group.resource, scope.scope, list(scope.items))
            del scope.items[:]
            scope.items.extend(items)
        if prune:
            _keep(group.scopes, lambda scope: len(scope.items) > 0)
    if prune:
        _keep(request.resources, lambda group: len(group.scopes) > 0)
    encoded: bytes = request.SerializeToString()
    return encoded


def _keep(repeated: Any, wanted: Callable[[Any], bool]) -> None:
    for position in reversed([position for position, entry in enumerate(repeated) if not wanted(entry)]):
        del repeated[position]
