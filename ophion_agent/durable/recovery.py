"""What a durable queue does with the files it finds at start."""

import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from ophion_agent.durable import acked as delivered_file
from ophion_agent.durable.acked import Acked
from ophion_agent.durable.format import (
    FILE_HEADER_BYTES,
    FRAME_HEADER_BYTES,
    MAX_POSITION,
    VERSION,
    FrameReader,
    Label,
    header_version,
    sealed_at,
)
from ophion_agent.durable.segments import Segment, discard, sync_directory
from ophion_agent.errors import OphionError

_SCAN_BYTES = 1 << 20


class UnknownFormat(OphionError, OSError):  # noqa: N818 - states the condition
    """A newer program wrote the directory; nothing was changed."""


@dataclass(slots=True)
class Recovered:
    """What was found at start, and damage met since.

    `records` and `bytes` awaited delivery; `truncated_bytes` were an unfinished append at the end of a file;
    `quarantined_segments` held damage: what is intact in them is delivered, then the file is kept as `*.corrupt`;
    `lost_records` could not be read back. `redelivers` is True when the delivered set was damaged.
    """

    records: int = 0
    bytes: int = 0
    truncated_bytes: int = 0
    quarantined_segments: int = 0
    lost_records: int = 0
    redelivers: bool = False


@dataclass(slots=True)
class Recovery:
    """The state of a directory, ready to go on from."""

    segments: list[Segment] = field(default_factory=list)
    acked: Acked = field(default_factory=Acked)
    next: int = 0
    found: Recovered = field(default_factory=Recovered)


def recover(directory: Path) -> Recovery:
    """Read a locked directory: cut unfinished appends, drop delivered files and count the rest.

    Files with an intact seal of which nothing was delivered are not read, so that the time this takes does not grow
    with the backlog. Raises UnknownFormat or OSError.
    """
    for leftover in directory.glob("*.tmp"):
        leftover.unlink()
    state = Recovery()
    acked = delivered_file.load(directory)
    state.found.redelivers = acked is None
    state.acked = acked or Acked()
    files = sorted((label.first, path, label) for path in directory.iterdir() if (label := Label.from_name(path.name)))
    _refuse_newer([path for _, path, _ in files])
    for index, (first, path, label) in enumerate(files):
        before = next((later for later, _, _ in files[index + 1 :] if later > first), MAX_POSITION)
        state.acked.add(state.segments[-1].next if state.segments else 0, first)
        _recover_segment(state, path, label, before)
    state.next = max([state.acked.stop, *(segment.next for segment in state.segments)])
    done = [segment for segment in state.segments if not segment.records]
    state.segments = [segment for segment in state.segments if segment.records]
    discard(done)
    sync_directory(directory)
    state.found.records = sum(segment.records for segment in state.segments)
    state.found.bytes = sum(segment.bytes for segment in state.segments)
    return state


def _refuse_newer(paths: Sequence[Path]) -> None:
    for path in paths:
        with path.open("rb") as file:
            version = header_version(file.read(FILE_HEADER_BYTES))
        if version not in (None, VERSION):
            raise UnknownFormat(
                f"{path}: segment format must be {VERSION}, got {version}; "
                "run the version of the program that wrote it, or configure another directory"
            )


def _recover_segment(state: Recovery, path: Path, label: Label, before: int) -> None:
    fd = os.open(path, os.O_RDWR | os.O_CLOEXEC)
    try:
        size = os.fstat(fd).st_size
        head = os.pread(fd, FILE_HEADER_BYTES, 0)
        sealed = sealed_at(os.pread(fd, FRAME_HEADER_BYTES, max(size - FRAME_HEADER_BYTES, 0)), label.salt)
        end = size if sealed is None else size - FRAME_HEADER_BYTES
        segment = Segment(path, label, label.first if sealed is None else sealed, end)
        segment.damaged = header_version(head) is None and size > FILE_HEADER_BYTES and any(head)
        state.segments.append(segment)
        if sealed is not None and state.acked.missing(label.first, sealed) == sealed - label.first:
            segment.records, segment.bytes = sealed - label.first, end - FILE_HEADER_BYTES
        else:
            _scan(state, segment, fd, before if sealed is None else sealed)
        if sealed is None and segment.end < size:
            state.found.truncated_bytes += size - segment.end
            os.ftruncate(fd, segment.end)
            os.fsync(fd)
        state.found.quarantined_segments += segment.damaged
    finally:
        os.close(fd)


def _scan(state: Recovery, segment: Segment, fd: int, before: int) -> None:
    """Count what awaits delivery in a segment, give up its damaged records and find where it ends."""
    reader = FrameReader(fd, segment.label.salt, end=segment.end, before=before)
    offset, expected = FILE_HEADER_BYTES, segment.label.first
    while offset < segment.end:
        chunk = reader.read(offset, expected, _SCAN_BYTES)
        for position, record in chunk.frames:
            state.found.lost_records += state.acked.add(expected, position)
            expected = position + 1
            if position not in state.acked:
                segment.records += 1
                segment.bytes += FRAME_HEADER_BYTES + len(record)
        segment.damaged |= chunk.damaged_bytes > 0
        offset = chunk.offset
        if not chunk.frames:
            break
    if expected < segment.next:
        segment.damaged = True
        state.found.lost_records += state.acked.add(expected, segment.next)
    segment.next = max(expected, segment.next)
    segment.end = offset
    segment.scanned = True
