"""From frames to lines to records, and positions in the output."""

from datetime import UTC, datetime
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest

from ophion_docker.engine_frames import FrameError
from ophion_docker.logs_encoding import LogEncoder
from ophion_docker.logs_limit import LineLimit
from ophion_docker.logs_lines import PART, PIECE_BYTES, Line, LineReader, StampReader
from ophion_docker.logs_multiline import MultilineJoiner
from ophion_docker.logs_position import Position

NOW = 1_795_315_671_000_000_000


def stamp(moment: int) -> bytes:
    whole = datetime.fromtimestamp(moment // 10**9, UTC).strftime("%Y-%m-%dT%H:%M:%S")
    return f"{whole}.{moment % 10**9:09d}Z ".encode()


def pieces_of(line: Line, size: int = PIECE_BYTES) -> list[tuple[int, bytes]]:
    stream, moment, text = line
    whole = text + b"\n"
    return [(stream, stamp(moment) + whole[at : at + size]) for at in range(0, len(whole), size)]


def reader(max_bytes: int = 1 << 20, tty: bool = False) -> LineReader:
    return LineReader(max_bytes, lambda: NOW, tty=tty)


texts = st.binary(max_size=60).filter(lambda text: b"\n" not in text)
lines = st.lists(st.tuples(st.sampled_from([1, 2]), st.integers(NOW, NOW + 5 * 10**9), texts), max_size=12)


@given(lines, st.integers(1, 20), st.randoms())
def test_lines_survive_being_cut_into_pieces_of_both_streams(given_lines: list[Line], size: int, random: Any) -> None:
    queues = {1: [], 2: []}  # type: dict[int, list[tuple[int, bytes]]]
    for line in given_lines:
        queues[line[0]] += pieces_of(line, size)
    frames: list[tuple[int, bytes]] = []
    while queues[1] or queues[2]:
        frames.append(queues[random.choice([stream for stream in (1, 2) if queues[stream]])].pop(0))
    found = reader().read_frames(frames)
    for stream in (1, 2):
        assert [line for line in found if line[0] == stream] == [line for line in given_lines if line[0] == stream]


@given(texts.map(lambda text: text * 40), st.integers(1, 50))
def test_a_line_beyond_the_limit_comes_in_parts_in_order(text: bytes, limit: int) -> None:
    found = reader(limit).read_frames(pieces_of((1, NOW, text), 7))
    assert b"".join(part for _, _, part in found) == text
    assert [stream for stream, _, _ in found] == [1 | PART] * (len(found) - 1) + [1]
    assert all(len(part) <= limit for _, _, part in found)


@given(lines, st.lists(st.integers(0, 2000), max_size=6))
def test_reads_terminals_however_their_bytes_arrive(given_lines: list[Line], cuts: list[int]) -> None:
    given_lines = [(1, moment, text.rstrip(b"\r")) for _, moment, text in given_lines]
    data = b"".join(stamp(moment) + text + b"\r\n" for _, moment, text in given_lines)
    under_test, found = reader(tty=True), []
    edges = [0, *sorted(min(cut, len(data)) for cut in cuts), len(data)]
    for begin, end in pairwise(edges):
        found += under_test.read_tty(data[begin:end])
    assert found == given_lines


def test_finds_the_ends_that_a_driver_forgot_to_mark() -> None:
    full = b"x" * PIECE_BYTES
    pieces = [full, full, b"end", b"short\n", full, b"next\n", b"last"]
    moments = [1, 1, 1, 2, 3, 4, 5]
    frames = [(1, stamp(NOW + moment) + piece) for moment, piece in zip(moments, pieces, strict=True)]
    under_test = LineReader(1 << 20, lambda: NOW, unmarked=True)
    found = [(moment - NOW, text) for _, moment, text in under_test.read_frames(frames)]
    assert found == [(1, full + full + b"end"), (2, b"short"), (3, full), (4, b"next"), (5, b"last")]


def test_takes_the_timestamps_out_of_a_terminals_long_lines() -> None:
    text = bytes(range(97, 123)) * 2000
    pieces = [text[at : at + PIECE_BYTES] for at in range(0, len(text), PIECE_BYTES)]
    found = reader(tty=True).read_tty(b"".join(stamp(NOW) + piece for piece in pieces) + b"\r\n")
    assert found == [(1, NOW, text)]


def test_a_terminal_without_newlines_stays_within_the_limit() -> None:
    under_test = reader(100, tty=True)
    found = under_test.read_tty(stamp(NOW) + b"x" * 1000)
    found += under_test.read_tty(b"y\n")
    assert b"".join(text for _, _, text in found) == b"x" * 1000 + b"y"
    assert max(len(text) for _, _, text in found) <= 100


@pytest.mark.parametrize(
    ("text", "moment", "begin"),
    [
        (b"2026-11-22T02:47:51.467554169Z x", 1_795_315_671_467_554_169, 31),
        (b"2026-11-22T03:47:51.5+01:00 x", 1_795_315_671_500_000_000, 28),
        (b"2026-11-22T02:47:51.467554169Z", NOW, 0),
        (b"no time at all", NOW, 0),
        (b"2026-99-22T02:47:51.467554169Z x", NOW, 0),
        (b"2026-11-22T02:47:51.46755416xZ x", NOW, 0),
        (b"", NOW, 0),
    ],
)
def test_reads_the_timestamps_of_docker_and_podman(text: bytes, moment: int, begin: int) -> None:
    assert StampReader(lambda: NOW).split(text) == (moment, begin)


def test_lines_that_never_end_come_out_at_the_end() -> None:
    under_test = reader()
    assert under_test.read_frames([(2, stamp(NOW) + b"half")]) == []
    assert under_test.oldest_open_ns == NOW
    assert under_test.finish() == [(2, NOW, b"half")]
    assert under_test.finish() == []
    tty = reader(tty=True)
    tty.read_tty(stamp(NOW) + b"prompt>")
    assert tty.finish() == [(1, NOW, b"prompt>")]


def test_the_engines_own_error_ends_the_reading() -> None:
    with pytest.raises(FrameError, match="the engine cannot go on: disk full"):
        reader().read_frames([(3, b"disk full")])


@given(st.lists(st.tuples(st.sampled_from([1, 2]), st.integers(0, 2**63), st.binary(max_size=5000)), max_size=8))
def test_records_decode_to_the_lines(given_lines: list[Line]) -> None:
    encoder = LogEncoder({"container.id": "x", "tags": ["a", "b"]}, "scope", "1")
    for _ in range(2):
        request = ExportLogsServiceRequest.FromString(encoder.encode(given_lines, NOW))
    [group] = request.resource_logs
    [scope] = group.scope_logs
    assert [pair.key for pair in group.resource.attributes] == ["container.id", "tags"]
    assert (scope.scope.name, scope.schema_url) == ("scope", group.schema_url)
    found = [
        (record.attributes[0].value.string_value, record.time_unix_nano, record.body.string_value)
        for record in scope.log_records
    ]
    names = {1: "stdout", 2: "stderr"}
    assert found == [(names[stream], moment, text.decode("utf-8", "replace")) for stream, moment, text in given_lines]
    assert {record.observed_time_unix_nano for record in scope.log_records} <= {NOW}


def as_lines(*texts: str, stream: int = 1) -> list[Line]:
    return [(stream, NOW + number, text.encode()) for number, text in enumerate(texts)]


def test_messages_end_where_the_next_begins() -> None:
    joiner = MultilineJoiner(r"^\S", 500, 1 << 20)
    messages, used = joiner.add(as_lines("a", "  b", "c") + as_lines("x", stream=2))
    assert [(message[1], message[2]) for message in messages] == [(NOW, b"a\n  b")]
    assert used == as_lines("a", "  b")
    assert joiner.oldest_ns == NOW
    messages, used = joiner.flush()
    assert sorted(message[2] for message in messages) == [b"c", b"x"]
    assert not joiner.waiting


def test_messages_are_bounded_by_lines_and_by_bytes() -> None:
    joiner = MultilineJoiner(r"^START", 2, 1 << 20)
    messages, _ = joiner.add(as_lines("START", "1", "2", "3", "4"))
    assert [text for _, _, text in messages] == [b"START\n1", b"2\n3"]
    joiner = MultilineJoiner(r"^START", 100, 10)
    messages, _ = joiner.add(as_lines("START", "12345", "6"))
    assert [text for _, _, text in messages] == [b"START"]


async def test_a_rate_is_an_average_with_a_burst() -> None:
    now = [0.0]
    limit = LineLimit(10, 20, lambda: now[0])
    assert len(limit.admit(as_lines(*["x"] * 30))) == 20
    now[0] = 0.5
    assert len(limit.admit(as_lines(*["x"] * 30))) == 5
    now[0] = 100
    assert len(limit.admit(as_lines(*["x"] * 30))) == 20


def engine_gives(written: list[Line], since_ns: int, *, each: bool) -> list[Line]:
    """What an engine sends from a time on: older ones look at each line, newer ones only for the first."""
    if each:
        return [line for line in written if line[1] >= since_ns]
    first = next((index for index, line in enumerate(written) if line[1] >= since_ns), len(written))
    return written[first:]


SLACK = 3
steps = st.lists(st.tuples(st.sampled_from([1, 2]), st.integers(0, 2), st.integers(0, SLACK)), max_size=40)
reads_of = st.lists(st.integers(1, 7), max_size=20)


def read_in_turns(written: list[Line], reads: list[int], *, each: bool) -> list[Line]:
    """What is delivered by agents that read a few lines each, the last one all."""
    delivered: list[Line] = []
    position = Position(0, SLACK)
    for count in [*reads, 2 * len(written) + 1]:
        position = Position.from_json(position.as_json(), SLACK)
        position.resume()
        fresh = position.without_delivered(engine_gives(written, position.since_ns, each=each))[:count]
        for start in range(0, len(fresh), 2):
            delivered += fresh[start : start + 2]
            position.advance(fresh[start : start + 2], None)
    return delivered


@given(steps, reads_of, st.booleans())
def test_reading_on_loses_and_repeats_nothing(
    written_steps: list[tuple[int, int, int]], reads: list[int], each: bool
) -> None:
    written: list[Line] = []
    moment = NOW
    for number, (stream, gap, _) in enumerate(written_steps):
        moment += gap
        written.append((stream, moment, str(number).encode()))
    assert read_in_turns(written, reads, each=each) == written


@given(steps, reads_of, st.booleans())
def test_streams_whose_times_cross_lose_nothing(
    written_steps: list[tuple[int, int, int]], reads: list[int], each: bool
) -> None:
    written: list[Line] = []
    moment, latest = NOW, {1: 0, 2: 0}
    for number, (stream, gap, late) in enumerate(written_steps):
        moment += gap
        # The engine took the time of this line a little before it wrote others, whose times are later.
        latest[stream] = max(latest[stream], moment - late)
        written.append((stream, latest[stream], str(number).encode()))
    delivered = read_in_turns(written, reads, each=each)
    assert set(delivered) == set(written)
    assert not each or delivered == written


@given(st.lists(st.integers(-9, 9), max_size=40), reads_of)
def test_a_clock_that_goes_back_loses_nothing(gaps: list[int], reads: list[int]) -> None:
    moment, written = NOW, []
    for number, gap in enumerate(gaps):
        moment += gap
        written.append((1, moment, str(number).encode()))
    assert set(read_in_turns(written, reads, each=False)) == set(written)


def test_an_open_line_holds_the_position_back() -> None:
    position = Position(0, 1)
    position.advance([(1, 10, b"a"), (2, 10, b"b")], None)
    position.advance([(2, 20, b"c"), (2, 30, b"d")], 15)
    position.advance([(2, 40, b"e")], 15)
    assert position.since_ns == 10
    position.resume()
    again = [(1, 10, b"a"), (2, 10, b"b"), (1, 15, b"long"), (2, 20, b"c"), (2, 30, b"d"), (2, 40, b"e"), (2, 40, b"f")]
    assert position.without_delivered(again) == [(1, 15, b"long"), (2, 40, b"f")]


def test_a_position_stays_behind_by_no_more_than_it_must() -> None:
    position = Position(0, 10)
    for moment in range(1, 101):
        position.advance([(1, moment, b"x")], None)
    assert 75 <= position.since_ns <= 90


def test_lines_that_rotation_removed_are_not_skipped_in_others() -> None:
    position = Position()
    position.advance([(1, 10, b"a"), (1, 10, b"b")], None)
    position.resume()
    assert position.without_delivered([(1, 11, b"c"), (1, 12, b"d")]) == [(1, 11, b"c"), (1, 12, b"d")]
