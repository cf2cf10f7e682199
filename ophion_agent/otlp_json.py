"""OTLP/JSON: `decode` and `encode` an Export*ServiceRequest or its response, and `to_wire` straight to protobuf bytes.

The encoding is proto3 JSON with OTLP's exceptions (opentelemetry.io/docs/specs/otlp/#json-protobuf-encoding): trace and
span ids are hexadecimal, enums are written as integers, names are lowerCamelCase. Accepted on top, as proto3 JSON asks:
the original snake_case names, enum names, 64-bit integers as strings or numbers, null for absent, unknown fields.

One codec is compiled per message type from its descriptor. Decoding writes the wire format directly, so that upb checks
and builds the message in one C call; json_format, which walks descriptors for every value, takes several times as long.
"""

import functools
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeVar

import orjson
from google.protobuf import json_format
from google.protobuf.descriptor import Descriptor
from google.protobuf.message import DecodeError, EncodeError, Message

from ophion_agent.errors import PermanentError
from ophion_agent.json_reading import MalformedError, Parser, compile_writer
from ophion_agent.json_writing import compile_reader

M = TypeVar("M", bound=Message)

MAX_MESSAGE_DEPTH = 100
"""Messages nested deeper than this are refused: it is the limit of protobuf parsers, which everyone downstream uses."""


def decode(data: bytes, message_type: type[M]) -> M:
    """Return the message that an OTLP/JSON document holds.

    Raises PermanentError, naming the place in the document and the reason, for anything malformed.
    """
    codec = _codec(message_type.DESCRIPTOR)
    if codec is None:
        return _decode_well_known(data, message_type)
    try:
        return message_type.FromString(_write(codec, data, message_type))
    except DecodeError as error:
        raise _too_deep(message_type) from error


def to_wire(data: bytes, message_type: type[Message]) -> bytes:
    """Return an OTLP/JSON document as an encoded protobuf message, checked value by value but not yet parsed.

    The depth is left to the protobuf parser: hand the result to one (`Batch.from_wire`) before trusting it. Raises
    PermanentError for anything malformed.
    """
    codec = _codec(message_type.DESCRIPTOR)
    if codec is None:
        return decode(data, message_type).SerializeToString()
    return _write(codec, data, message_type)


def encode(message: Message) -> bytes:
    """Return a message as one OTLP/JSON document, without a newline. Fields unknown to the schema have no JSON form.

    Raises PermanentError when the message nests deeper than any OTLP parser accepts.
    """
    codec = _codec(message.DESCRIPTOR)
    if codec is None:
        return orjson.dumps(json_format.MessageToDict(message, use_integers_for_enums=True))
    try:
        return orjson.dumps(codec.read(message))
    except (RecursionError, EncodeError, orjson.JSONEncodeError) as error:
        raise _too_deep(type(message)) from error


@dataclass(frozen=True, slots=True)
class _Codec:
    write: Parser
    read: Callable[[Any], dict[str, Any]]


@functools.cache
def _codec(descriptor: Descriptor) -> _Codec | None:
    """Return the codec of a message type, or None where google.protobuf.Any and kin need their special forms."""
    if _holds_well_known_type(descriptor, set()):
        return None
    return _Codec(compile_writer(descriptor), compile_reader(descriptor))


def _holds_well_known_type(descriptor: Descriptor, seen: set[str]) -> bool:
    if descriptor.full_name in seen:
        return False
    seen.add(descriptor.full_name)
    return descriptor.file.package == "google.protobuf" or any(
        _holds_well_known_type(field.message_type, seen) for field in descriptor.fields if field.message_type
    )


def _write(codec: _Codec, data: bytes, message_type: type[Message]) -> bytes:
    try:
        return codec.write(orjson.loads(data))
    except MalformedError as error:
        raise PermanentError(f"OTLP/JSON: {error.place()}: {error}") from error
    except orjson.JSONDecodeError as error:
        raise PermanentError(f"OTLP/JSON: {message_type.DESCRIPTOR.name}: not valid JSON: {error}") from error
    except RecursionError as error:
        raise _too_deep(message_type) from error


def _too_deep(message_type: type[Message]) -> PermanentError:
    name = message_type.DESCRIPTOR.name
    return PermanentError(f"OTLP/JSON: {name}: nested deeper than {MAX_MESSAGE_DEPTH} messages; flatten the attributes")


def _decode_well_known(data: bytes, message_type: type[M]) -> M:
    try:
        document = orjson.loads(data)
        if not isinstance(document, dict):
            raise TypeError(f"must be an object, got {type(document).__name__}")
        return json_format.ParseDict(document, message_type(), ignore_unknown_fields=True)
    except (json_format.ParseError, ValueError, TypeError, AttributeError, RecursionError) as error:
        raise PermanentError(f"OTLP/JSON: {message_type.DESCRIPTOR.name}: {error}") from error
