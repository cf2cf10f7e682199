"""Writes lines as encoded log records: constant pieces around each line, no message objects.

Field numbers: opentelemetry/proto/logs/v1/logs.proto.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping, Sequence
from typing import Final

from ophion_agent import otlp_writing as wire
from ophion_docker.engine_frames import STDERR, STDIN, STDOUT
from ophion_docker.logs_lines import PART, Line

SCHEMA_URL: Final = "https://opentelemetry.io/schemas/1.38.0"
_SCHEMA: Final = wire.field(3, SCHEMA_URL.encode())
_TIME: Final = struct.Struct("<BQ")
_TIME_TAG: Final = 0x09
_OBSERVED_TAG: Final = 0x59
_RECORD: Final = 0x12
_BODY: Final = 0x2A
_STRING: Final = 0x0A
_KEPT_LENGTH: Final = 4096
# The engine gives what was typed into a container as its stdin, which appears on stdout.
_NAMES: Final = {STDIN: "stdout", STDOUT: "stdout", STDERR: "stderr"}
_ATTRIBUTES: Final = {
    stream | part: wire.attributes(6, {"log.iostream": name}) for stream, name in _NAMES.items() for part in (0, PART)
}


class LogEncoder:
    """Encodes lines of one container; keeps what depends only on the stream and the length of a line."""

    def __init__(self, resource: Mapping[str, wire.Value], scope: str, version: str) -> None:
        self._head = wire.resource(resource)
        self._scope = wire.scope(scope, version)
        self._frames: dict[tuple[int, int], tuple[bytes, bytes]] = {}

    def encode(self, lines: Sequence[Line], observed_ns: int) -> bytes:
        """Return an ExportLogsServiceRequest with a record per line, in order."""
        lines = _as_utf8(lines)
        observed = _TIME.pack(_OBSERVED_TAG, observed_ns)
        tails = {stream: attributes + observed for stream, attributes in _ATTRIBUTES.items()}
        parts: list[bytes] = [self._scope]
        add, frames, pack = parts.extend, self._frames, _TIME.pack
        for stream, moment, text in lines:
            frame = frames.get((stream, len(text))) or self._frame(stream, len(text))
            add((frame[0], pack(_TIME_TAG, moment), frame[1], text, tails[stream]))
        scope = wire.field(2, b"".join(parts) + _SCHEMA)
        return wire.field(1, self._head + scope + _SCHEMA)

    def _frame(self, stream: int, length: int) -> tuple[bytes, bytes]:
        """Return what stands before the time and before the text of a line."""
        value = bytes((_STRING,)) + wire.varint(length)
        body = bytes((_BODY,)) + wire.varint(len(value) + length) + value
        size = _TIME.size + len(body) + length + len(_ATTRIBUTES[stream]) + _TIME.size
        frame = bytes((_RECORD,)) + wire.varint(size), body
        if length <= _KEPT_LENGTH:
            self._frames[stream, length] = frame
        return frame


def _as_utf8(lines: Sequence[Line]) -> Sequence[Line]:
    """Return the lines with what is not UTF-8 replaced, since OTLP strings must be UTF-8."""
    try:
        # One check for all is several times faster than one each.
        b"\n".join([text for _, _, text in lines]).decode()
    except UnicodeDecodeError:
        return [(stream, moment, text.decode("utf-8", "replace").encode()) for stream, moment, text in lines]
    return lines
