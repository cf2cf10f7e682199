"""JSON to protobuf's wire format: one function per message type, compiled from its descriptor.

Values are checked as proto3 JSON and OTLP ask; the result still has to pass a protobuf parser, which bounds the depth.
"""

import math
import re
from binascii import Error as BinasciiError
from binascii import a2b_base64, unhexlify
from collections.abc import Callable, Sequence
from struct import Struct
from typing import Any

from google.protobuf.descriptor import Descriptor, EnumDescriptor, FieldDescriptor

Parser = Callable[[Any], bytes]
"""A JSON value to its encoding, with neither tag nor, for strings, bytes and messages, length."""
Writer = Callable[[Any], bytes]
"""A JSON value to a whole encoded field."""

HEX_FIELDS = frozenset({"trace_id", "span_id", "parent_span_id"})
"""The bytes fields that OTLP/JSON writes as hexadecimal digits and not as base64."""

_NUMBER_TEXT = re.compile(r"-?[0-9]{1,400}(\.[0-9]{0,400})?([eE][+-]?[0-9]{1,5})?")
_SPECIAL_DOUBLES = {"NaN": math.nan, "Infinity": math.inf, "-Infinity": -math.inf}


def compile_writer(descriptor: Descriptor) -> Parser:
    """Return the function that turns a JSON object into the wire format of a message; it raises MalformedError."""
    return _WriterCompiler().message(descriptor)


class MalformedError(ValueError):
    """A JSON value that does not fit its field; collects its place from the inside out."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.path: list[str] = []

    def place(self) -> str:
        """Return where the value stands: `resourceSpans[0].scopeSpans[1].spans[7].traceId`."""
        return "".join(reversed(self.path)).removeprefix(".") or "document"


def _varint(number: int) -> bytes:
    out = bytearray()
    while number > 0x7F:
        out.append(number & 0x7F | 0x80)
        number >>= 7
    out.append(number)
    return bytes(out)


_SMALL_VARINTS = [bytes([number]) for number in range(128)]


def _shown(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."


def _whole_number(value: Any) -> int:
    if type(value) is str and len(value) <= 20 and value.isascii() and value.removeprefix("-").isdigit():
        return int(value)
    # orjson hands over integers of more than 64 bits as floats, rounded: they must not round into the range.
    if type(value) is float and value.is_integer() and abs(value) < 2**63:
        return int(value)
    raise MalformedError(f"must be an integer, got {_shown(value)}")


def _integer(low: int, high: int) -> Callable[[Any], int]:
    def parse(value: Any) -> int:
        number = value if type(value) is int else _whole_number(value)
        if low <= number <= high:
            return number
        raise MalformedError(f"must be between {low} and {high}, got {_shown(value)}")

    return parse


def _double(value: Any) -> float:
    kind = type(value)
    if kind is float or kind is int:
        return float(value)
    if kind is str:
        if value in _SPECIAL_DOUBLES:
            return _SPECIAL_DOUBLES[value]
        if _NUMBER_TEXT.fullmatch(value) and math.isfinite(number := float(value)):
            return number
    raise MalformedError(f'must be a number within the range of a double, "NaN" or "±Infinity", got {_shown(value)}')


def _boolean(value: Any) -> bytes:
    if type(value) is not bool:
        raise MalformedError(f"must be true or false, got {_shown(value)}")
    return b"\x01" if value else b"\x00"


def _enum(descriptor: EnumDescriptor) -> Callable[[Any], int]:
    numbers = {name: value.number for name, value in descriptor.values_by_name.items()}
    integer = _integer(-(2**31), 2**31 - 1)

    def parse(value: Any) -> int:
        if type(value) is int:
            return integer(value)
        if type(value) is str and value in numbers:
            return numbers[value]
        try:
            return integer(value)
        except MalformedError:
            choices = ", ".join(numbers)
            raise MalformedError(f"must be an integer or one of {choices}, got {_shown(value)}") from None

    return parse


def _text(value: Any) -> bytes:
    if type(value) is not str:
        raise MalformedError(f"must be a string, got {_shown(value)}")
    return bytes(value, "utf-8")


def _hexadecimal(value: Any) -> bytes:
    text = _text(value)
    try:
        return unhexlify(text)
    except BinasciiError:
        raise MalformedError(f"must be hexadecimal digits in pairs, got {_shown(value)}") from None


def _base64(value: Any) -> bytes:
    text = _text(value).translate(_URL_SAFE_TO_STANDARD).rstrip(b"=")
    try:
        return a2b_base64(text + b"=" * (-len(text) % 4), strict_mode=True)
    except BinasciiError:
        raise MalformedError(f"must be base64, got {_shown(value)}") from None


_URL_SAFE_TO_STANDARD = bytes.maketrans(b"-_", b"+/")


def _as_varint(parse: Callable[[Any], int]) -> Parser:
    # Negative int32 and int64 are ten-byte varints of their 64-bit two's complement.
    return lambda value: _varint(parse(value) & 0xFFFFFFFFFFFFFFFF)


def _as_zigzag(parse: Callable[[Any], int]) -> Parser:
    def write(value: Any) -> bytes:
        number = parse(value)
        return _varint(number << 1 if number >= 0 else (-number << 1) - 1)

    return write


def _as_struct(layout: str, parse: Callable[[Any], float]) -> Parser:
    pack = Struct(layout).pack
    return lambda value: pack(parse(value))


_INT32, _INT64 = _integer(-(2**31), 2**31 - 1), _integer(-(2**63), 2**63 - 1)
_UINT32, _UINT64 = _integer(0, 2**32 - 1), _integer(0, 2**64 - 1)
_VARINT, _FIXED64, _LENGTH, _FIXED32 = 0, 1, 2, 5
_SCALARS: dict[int, tuple[int, Parser]] = {
    FieldDescriptor.TYPE_BOOL: (_VARINT, _boolean),
    FieldDescriptor.TYPE_DOUBLE: (_FIXED64, _as_struct("<d", _double)),
    FieldDescriptor.TYPE_FIXED32: (_FIXED32, _as_struct("<I", _UINT32)),
    FieldDescriptor.TYPE_FIXED64: (_FIXED64, _as_struct("<Q", _UINT64)),
    FieldDescriptor.TYPE_INT32: (_VARINT, _as_varint(_INT32)),
    FieldDescriptor.TYPE_INT64: (_VARINT, _as_varint(_INT64)),
    FieldDescriptor.TYPE_SFIXED64: (_FIXED64, _as_struct("<q", _INT64)),
    FieldDescriptor.TYPE_SINT32: (_VARINT, _as_zigzag(_INT32)),
    FieldDescriptor.TYPE_SINT64: (_VARINT, _as_zigzag(_INT64)),
    FieldDescriptor.TYPE_STRING: (_LENGTH, _text),
    FieldDescriptor.TYPE_UINT32: (_VARINT, _as_varint(_UINT32)),
    FieldDescriptor.TYPE_UINT64: (_VARINT, _as_varint(_UINT64)),
}


class _WriterCompiler:
    """Compiles the JSON-to-wire functions of a message type and of all it holds."""

    def __init__(self) -> None:
        self._compiled: dict[str, Parser] = {}

    def message(self, descriptor: Descriptor) -> Parser:
        if descriptor.full_name in self._compiled:
            return self._compiled[descriptor.full_name]
        fields: dict[str, Writer] = {}
        self._compiled[descriptor.full_name] = write = _message_writer(fields, descriptor)
        for field in descriptor.fields:
            fields[field.json_name] = fields[field.name] = self._field(field)
        return write

    def _field(self, field: FieldDescriptor) -> Writer:
        wire_type, parse = self._parser(field)
        if not field.is_repeated:
            tag = _varint(field.number << 3 | wire_type)
            return _length_writer(tag, parse) if wire_type == _LENGTH else lambda value: tag + parse(value)
        tag = _varint(field.number << 3 | _LENGTH)
        if wire_type == _LENGTH:
            return _list_writer(_length_writer(tag, parse))
        return _length_writer(tag, _list_writer(parse))

    def _parser(self, field: FieldDescriptor) -> tuple[int, Parser]:
        if field.message_type:
            return _LENGTH, self.message(field.message_type)
        if field.enum_type:
            return _VARINT, _as_varint(_enum(field.enum_type))
        if field.type == FieldDescriptor.TYPE_BYTES:
            return _LENGTH, _hexadecimal if field.name in HEX_FIELDS else _base64
        return _SCALARS[field.type]


def _length_writer(tag: bytes, parse: Parser) -> Writer:
    # One concatenation instead of two for the short bodies that most fields have.
    heads = [tag + size for size in _SMALL_VARINTS]

    def write(value: Any) -> bytes:
        body = parse(value)
        size = len(body)
        return heads[size] + body if size < 128 else tag + _varint(size) + body

    def write_text(value: Any) -> bytes:
        body = value.encode() if type(value) is str else parse(value)
        size = len(body)
        return heads[size] + body if size < 128 else tag + _varint(size) + body

    return write_text if parse is _text else write


def _list_writer(write: Writer) -> Writer:
    def write_all(values: Any) -> bytes:
        if type(values) is not list:
            raise MalformedError(f"must be a list, got {_shown(values)}")
        parts: list[bytes] = []
        try:
            parts.extend(map(write, values))
        except MalformedError as error:
            error.path.append(f"[{len(parts)}]")
            raise
        return b"".join(parts)

    return write_all


def _message_writer(fields: dict[str, Writer], descriptor: Descriptor) -> Parser:
    exclusive = [
        frozenset(name for field in oneof.fields for name in (field.name, field.json_name))
        for oneof in descriptor.oneofs
        if len(oneof.fields) > 1
    ]

    def write(value: Any) -> bytes:
        if type(value) is not dict:
            raise MalformedError(f"must be an object, got {_shown(value)}")
        # Most messages have one to three short fields, for which this beats a list and a join.
        body, key = b"", ""
        try:
            for key, item in value.items():
                if item is not None and key in fields:
                    body += fields[key](item)
        except MalformedError as error:
            error.path.append(f".{key}")
            raise
        if exclusive and len(value) > 1:
            _refuse_two_of(exclusive, value)
        return body

    return write


def _refuse_two_of(exclusive: Sequence[frozenset[str]], value: dict[str, Any]) -> None:
    for names in exclusive:
        if len(names & value.keys()) > 1:
            present = [key for key in value if key in names and value[key] is not None]
            if len(present) > 1:
                raise MalformedError(f"must have only one of {', '.join(present)}, got {len(present)} of them")
