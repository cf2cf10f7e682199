"""The form in which a batch waits on disk: a small header, facts as JSON, and the encoded request as it is."""

import struct
from typing import Any

import orjson

from ophion_agent.batch import NO_METADATA, SIGNALS, Batch
from ophion_agent.errors import PermanentError

# version, signal, number of items, length of the facts
_HEADER = struct.Struct(">BBII")
_VERSION = 1
_SIGNALS = tuple(SIGNALS.values())


def encode_record(batch: Batch, **facts: Any) -> bytes:
    """Return the record of a batch; `facts` (such as the reason of a dead letter) come back from `record_facts`."""
    if batch.metadata:
        facts["metadata"] = {key: list(values) for key, values in batch.metadata.items()}
    encoded = orjson.dumps(facts) if facts else b""
    header = _HEADER.pack(_VERSION, _SIGNALS.index(type(batch)), len(batch), len(encoded))
    return b"".join((header, encoded, batch.payload))


def decode_record(record: bytes) -> Batch:
    """Return the batch of a record; raise PermanentError for one that this version cannot read."""
    signal, count, facts = _parse_header(record)
    metadata = {key: tuple(values) for key, values in facts.get("metadata", {}).items()} or NO_METADATA
    return signal.trusted(record[_payload_start(record) :], count, metadata)


def record_facts(record: bytes) -> dict[str, Any]:
    """Return the facts that a record was written with."""
    return _parse_header(record)[2]


def _parse_header(record: bytes) -> tuple[type[Batch], int, dict[str, Any]]:
    try:
        version, signal, count, _ = _HEADER.unpack_from(record)
        if version != _VERSION:
            raise ValueError(f"version {version}")
        encoded = record[_HEADER.size : _payload_start(record)]
        return _SIGNALS[signal], count, orjson.loads(encoded) if encoded else {}
    except (struct.error, IndexError, ValueError) as error:
        raise PermanentError(f"queue record of {len(record)} bytes: cannot be read, {error}") from error


def _payload_start(record: bytes) -> int:
    length: int = _HEADER.unpack_from(record)[3]
    return _HEADER.size + length
