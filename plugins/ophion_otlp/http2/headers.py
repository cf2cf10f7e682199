"""Header blocks in and out: HPACK (RFC 7541) with the blocks of one connection that repeat decoded once.

A client sends the same headers with every request and, once they are in the table, as the same bytes. A block that
left the table as it was means the same until the table changes, so its result is kept until then.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any, Final

from hpack import Decoder, HPACKError, OversizedHeaderListError
from hpack.huffman_table import decode_huffman
from hpack.table import HeaderTable

from ophion_otlp.http2.frames import Code, ConnectionFault

_KEPT: Final = 32
_KEPT_BLOCK_BYTES: Final = 4096
_NAME: Final = re.compile(rb"[!#$%&'*+\-.^_`|~0-9a-z]+")
_FORBIDDEN_IN_VALUES: Final = re.compile(rb"[\x00\r\n]")
_CONNECTION_SPECIFIC: Final = frozenset(
    (b"connection", b"keep-alive", b"proxy-connection", b"transfer-encoding", b"upgrade")
)
_PSEUDO: Final = frozenset((b":method", b":scheme", b":path", b":authority"))
_NAMES_IN_STATIC_TABLE: Final = {b"content-type": 31, b"content-length": 28}
_STATIC_FIELDS: Final = 61
_FIELD_OVERHEAD: Final = 32
_TIMEOUT: Final = re.compile(rb"([0-9]{1,8})([HMSmun])")
_SECONDS: Final = {b"H": 3600.0, b"M": 60.0, b"S": 1.0, b"m": 1e-3, b"u": 1e-6, b"n": 1e-9}
_STATUS_200: Final = b"\x88"
_STATUS_BY_NAME: Final = 8


class Malformed(Exception):  # noqa: N818 - RFC 9113's word
    """The header block breaks a rule of RFC 9113 section 8; only its stream is to end."""


class Head:
    """The headers of a request: pseudo-headers as attributes, the rest in `fields` (name -> values, as bytes).

    `call` is whatever the application made of the head; requests with the same bytes share both.
    """

    __slots__ = ("call", "content_length", "fields", "method", "path", "scheme")

    def __init__(self, pseudo: Mapping[bytes, bytes], fields: Mapping[bytes, list[bytes]]) -> None:
        self.method = pseudo.get(b":method", b"")
        self.scheme = pseudo.get(b":scheme", b"")
        self.path = pseudo.get(b":path", b"")
        self.fields = fields
        self.content_length = _content_length(fields)
        self.call: Any = None

    def value(self, name: bytes) -> bytes:
        """Return the first value of a field, b"" without one."""
        values = self.fields.get(name)
        return values[0] if values else b""


class HeaderReader:
    """Decodes the header blocks of one connection; every block must pass through it, in order."""

    def __init__(self, max_bytes: int) -> None:
        self._max_bytes = max_bytes
        self._decoder = Decoder(max_header_list_size=max_bytes)
        self._table = _CountingTable()
        self._decoder.header_table = self._table
        self._blocks: dict[bytes, tuple[Head, float | None]] = {}
        self._heads: dict[tuple[tuple[bytes, bytes], ...], Head] = {}

    def request(self, block: bytes) -> tuple[Head, float | None]:
        """Return the head of a request and the seconds of its grpc-timeout, which differs from request to request.

        Raises Malformed, or ConnectionFault when the table is lost.
        """
        known = self._blocks.get(block)
        if known is None:
            changes = self._table.changes
            pairs = self._decode(block)
            timeout = _take_timeout(pairs)
            known = self._head(tuple(pairs)), timeout
            if self._table.changes == changes and len(block) <= _KEPT_BLOCK_BYTES:
                if len(self._blocks) >= _KEPT:
                    self._blocks.clear()
                self._blocks[block] = known
        return known

    def _head(self, pairs: tuple[tuple[bytes, bytes], ...]) -> Head:
        head = self._heads.get(pairs)
        if head is None:
            head = Head(*_request_parts(pairs))
            if len(self._heads) >= _KEPT:
                self._heads.clear()
            self._heads[pairs] = head
        return head

    def trailers(self, block: bytes) -> bool:
        """Return whether a block of trailers is well-formed. Raises ConnectionFault when the table is lost."""
        try:
            for name, value in self._decode(block):
                _check_field(name, value)
        except Malformed:
            return False
        return True

    def _decode(self, block: bytes) -> list[tuple[bytes, bytes]]:
        changes = self._table.changes
        try:
            pairs = self._walk(block)
        except OversizedHeaderListError as error:
            raise ConnectionFault(Code.ENHANCE_YOUR_CALM, "the headers are too large") from error
        # hpack lets errors of its integer and Huffman parts through as they are.
        except (HPACKError, ValueError, IndexError, TypeError) as error:
            raise ConnectionFault(Code.COMPRESSION_ERROR, "the header block cannot be decoded") from error
        finally:
            if self._table.changes != changes:
                self._blocks.clear()
        if sum([len(name) + len(value) + _FIELD_OVERHEAD for name, value in pairs]) > self._max_bytes:
            raise ConnectionFault(Code.ENHANCE_YOUR_CALM, "the headers are too large")
        return pairs

    def _walk(self, block: bytes) -> list[tuple[bytes, bytes]]:
        """Decode the two forms that clients send with every request here, and leave the rest to hpack.

        They are fields of the table, and new values of names in it (grpc-timeout): a fifth of hpack's cost.
        """
        pairs: list[tuple[bytes, bytes]] = []
        table, at, end = self._table, 0, len(block)
        while at < end:
            first = block[at]
            if 0x80 < first < 0xFF:
                pairs.append(table.field(first & 0x7F))
                at += 1
            elif 0x40 < first < 0x7F and at + 1 < end and block[at + 1] & 0x7F != 0x7F:
                start = at + 2
                at = start + (block[at + 1] & 0x7F)
                if at > end:
                    raise ValueError("a value is longer than its block")
                value = decode_huffman(block[start:at]) if block[start - 1] & 0x80 else block[start:at]
                pairs.append((table.field(first & 0x3F)[0], value))
                table.add(*pairs[-1])
            else:
                break
        if at < end:
            if pairs and 0x20 <= block[at] < 0x40:
                raise ValueError("a table size update follows a field")
            rest: Iterable[Any] = self._decoder.decode(block[at:], raw=True)
            pairs += [(bytes(name), bytes(value)) for name, value in rest]
        return pairs


class _CountingTable(HeaderTable):
    """HPACK's table, counting what changes the meaning of later blocks."""

    def __init__(self) -> None:
        self.changes = 0
        super().__init__()

    def field(self, index: int) -> tuple[bytes, bytes]:
        """Return the field at `index`; raises IndexError."""
        if index <= _STATIC_FIELDS:
            return HeaderTable.STATIC_TABLE[index - 1]
        return self.dynamic_entries[index - _STATIC_FIELDS - 1]

    def add(self, name: bytes, value: bytes) -> None:
        self.changes += 1
        super().add(name, value)

    @property
    def maxsize(self) -> int:
        return self._maxsize

    @maxsize.setter
    def maxsize(self, newmax: int) -> None:
        self.changes += 1
        HeaderTable.maxsize.fset(self, newmax)  # type: ignore[attr-defined]


def block(status: int, fields: Iterable[tuple[bytes, bytes]]) -> bytes:
    """Return the header block of a response; status 0 makes a block of trailers.

    All fields are literals that no table keeps, so a block is the same bytes on every connection.
    """
    parts = []
    if status == 200:
        parts.append(_STATUS_200)
    elif status:
        parts.append(_literal(_STATUS_BY_NAME, b"", str(status).encode()))
    for name, value in fields:
        parts.append(_literal(_NAMES_IN_STATIC_TABLE.get(name, 0), name, value))
    return b"".join(parts)


def _literal(index: int, name: bytes, value: bytes) -> bytes:
    """Return a literal field without indexing (RFC 7541 section 6.2.2)."""
    if index:
        return _integer(index, 4) + _integer(len(value), 7) + value
    return b"\x00" + _integer(len(name), 7) + name + _integer(len(value), 7) + value


def _integer(value: int, bits: int) -> bytes:
    """Return an integer with a prefix of `bits` (RFC 7541 section 5.1)."""
    limit = (1 << bits) - 1
    if value < limit:
        return bytes((value,))
    encoded = bytearray((limit,))
    value -= limit
    while value >= 0x80:
        encoded.append(value & 0x7F | 0x80)
        value >>= 7
    encoded.append(value)
    return bytes(encoded)


def _request_parts(pairs: Iterable[tuple[bytes, bytes]]) -> tuple[dict[bytes, bytes], dict[bytes, list[bytes]]]:
    pseudo: dict[bytes, bytes] = {}
    fields: dict[bytes, list[bytes]] = {}
    for name, value in pairs:
        if name[:1] == b":":
            if fields or name in pseudo or name not in _PSEUDO or _FORBIDDEN_IN_VALUES.search(value):
                raise Malformed(f"pseudo-header {name!r} is unknown, repeated or late")
            pseudo[name] = value
        else:
            _check_field(name, value)
            fields.setdefault(name, []).append(value)
    if not (pseudo.get(b":method") and pseudo.get(b":scheme") and pseudo.get(b":path")):
        raise Malformed("a request needs :method, :scheme and :path")
    return pseudo, fields


def _take_timeout(pairs: list[tuple[bytes, bytes]]) -> float | None:
    """Remove grpc-timeout (such as b"100m") from `pairs` and return its seconds."""
    for number, (name, value) in enumerate(pairs):
        if name == b"grpc-timeout":
            match = _TIMEOUT.fullmatch(value)
            if match is None:
                raise Malformed("grpc-timeout is not digits and a unit")
            del pairs[number]
            return int(match[1]) * _SECONDS[match[2]]
    return None


def _check_field(name: bytes, value: bytes) -> None:
    if _NAME.fullmatch(name) is None or _FORBIDDEN_IN_VALUES.search(value) is not None:
        raise Malformed(f"field {name!r} has characters that are not allowed")
    if name in _CONNECTION_SPECIFIC or (name == b"te" and value.strip().lower() != b"trailers"):
        raise Malformed(f"field {name!r} is for connections of HTTP/1")


def _content_length(fields: Mapping[bytes, list[bytes]]) -> int | None:
    values = set(fields.get(b"content-length", ()))
    if not values:
        return None
    value = values.pop()
    if values or not value.isdigit() or len(value) > 15:
        raise Malformed("content-length is not one number")
    return int(value)
