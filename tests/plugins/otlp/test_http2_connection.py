"""The HTTP/2 connection against a peer that builds every frame itself; time and transport are held by the test."""

import asyncio
from collections.abc import Callable
from typing import Any, cast

import pytest
from hpack import Decoder, Encoder
from hypothesis import given, settings
from hypothesis import strategies as st

from ophion_otlp.grpc_answers import SUCCESS, failure, http_failure
from ophion_otlp.http2 import frames
from ophion_otlp.http2.connection import Connection
from ophion_otlp.http2.exchange import Answer, Trouble
from ophion_otlp.http2.frames import Code, frame, goaway, reset, window_update
from ophion_otlp.http2.headers import Head, HeaderReader
from ophion_otlp.http2.limits import Limits, Pings

HEADERS = [(":method", "POST"), (":scheme", "http"), (":path", "/echo"), ("te", "trailers")]


class Wire:
    """A transport that keeps what is written."""

    def __init__(self) -> None:
        self.written = bytearray()
        self.closed = self.aborted = self.paused = False

    def write(self, data: bytes) -> None:
        self.written += data

    def is_closing(self) -> bool:
        return self.closed

    def close(self) -> None:
        self.closed = True

    def abort(self) -> None:
        self.closed = self.aborted = True

    def pause_reading(self) -> None:
        self.paused = True

    def resume_reading(self) -> None:
        self.paused = False

    def get_extra_info(self, _name: str) -> None:
        return None


class EchoCall:
    """Keeps messages; waits for `gate` when there is one."""

    refusal: Answer | None = None

    def __init__(self, service: "Echo") -> None:
        self.service = service

    def check(self, flag: int, length: int) -> Answer | None:
        return failure(8, "too large") if length > self.service.limits.message_bytes else None

    def give_up(self, trouble: Trouble) -> Answer:
        self.service.troubles.append(trouble)
        self.service.gave_up.set()
        return failure(13, trouble.name)

    async def run(self, flag: int, message: bytes) -> Answer:
        if self.service.gate is not None:
            await self.service.gate.wait()
        self.service.messages.append(message)
        return self.service.answer


class Echo:
    """The application below test: what arrived, and what went wrong."""

    def __init__(self, limits: Limits) -> None:
        self.limits = limits
        self.messages: list[bytes] = []
        self.troubles: list[Trouble] = []
        self.gave_up = asyncio.Event()
        self.gate: asyncio.Event | None = None
        self.answer = SUCCESS
        self.heads: list[Head] = []

    def call_of(self, head: Head) -> EchoCall:
        self.heads.append(head)
        call = EchoCall(self)
        if head.value(b"refuse"):
            call.refusal = http_failure(415, "no")
        return call


class Peer:
    """A client of one connection: `send` frames, `take` what the server answered as (type, flags, stream, payload)."""

    def __init__(self, greet: bool = True, **limits: Any) -> None:
        self.now = 1000.0
        self.faults: list[Exception] = []
        self.lost: list[Connection] = []
        self.limits = Limits(**limits)
        self.echo = Echo(self.limits)
        self.wire = Wire()
        self.encoder, self.decoder = Encoder(), Decoder()
        self.connection = Connection(
            self.echo.call_of, self.limits, lambda: self.now, lambda _: None, self.lost.append, self.faults.append
        )
        self.connection.connection_made(cast(Any, self.wire))
        if greet:
            self.send(frames.PREFACE, frames.settings({}))
            self.take()

    def send(self, *data: bytes) -> None:
        self.connection.data_received(b"".join(data))

    def take(self) -> list[tuple[int, int, int, bytes]]:
        data, found = bytes(self.wire.written), []
        self.wire.written.clear()
        while data:
            size = int.from_bytes(data[:3], "big")
            found.append((data[3], data[4], int.from_bytes(data[5:9], "big"), data[9 : 9 + size]))
            data = data[9 + size :]
        return found

    def open(self, stream: int, *more: tuple[str, str], flags: int = frames.END_HEADERS) -> bytes:
        return frame(frames.HEADERS, flags, stream, self.encoder.encode([*HEADERS, *more]))

    def request(self, stream: int, message: bytes = b"hello", *more: tuple[str, str]) -> bytes:
        return self.open(stream, *more) + data(stream, grpc(message), end=True)

    def ended_with(self) -> Code:
        kind, _, _, payload = self.take()[-1]
        assert (kind, self.wire.closed) == (frames.GOAWAY, True)
        return Code(int.from_bytes(payload[4:8], "big"))

    async def answers(self) -> dict[int, dict[str, str]]:
        await settle()
        fields: dict[int, dict[str, str]] = {}
        for kind, _, stream, payload in self.take():
            if kind == frames.HEADERS:
                fields.setdefault(stream, {}).update(cast(Any, self.decoder.decode(payload)))
        return fields


async def settle() -> None:
    for _ in range(5):
        await asyncio.sleep(0)


def grpc(message: bytes, flag: int = 0) -> bytes:
    return bytes((flag,)) + len(message).to_bytes(4, "big") + message


def data(stream: int, content: bytes, end: bool = False) -> bytes:
    return frame(frames.DATA, frames.END_STREAM if end else 0, stream, content)


async def test_answers_a_request() -> None:
    peer = Peer()
    peer.send(peer.request(1))
    await settle()
    assert peer.take() == [
        (frames.HEADERS, 4, 1, SUCCESS.headers),
        (frames.DATA, 0, 1, bytes(5)),
        (frames.HEADERS, 5, 1, SUCCESS.trailers),
    ]
    assert peer.echo.messages == [b"hello"]


@pytest.mark.parametrize("step", [1, 2, 7, 30])
async def test_takes_requests_in_any_pieces(step: int) -> None:
    peer = Peer(greet=False)
    stream = frames.PREFACE + frames.settings({}) + peer.request(1, b"a" * 50) + peer.request(3, b"")
    for at in range(0, len(stream), step):
        peer.send(stream[at : at + step])
    await settle()
    assert peer.echo.messages == [b"a" * 50, b""]


async def test_takes_messages_in_any_frames_with_padding_priority_and_continuation() -> None:
    peer = Peer()
    block = peer.encoder.encode(HEADERS)
    peer.send(frame(frames.HEADERS, 0x20 | 0x08, 1, b"\x02" + bytes(5) + block[:3] + bytes(2)))
    peer.send(frame(frames.CONTINUATION, 0, 1, block[3:5]), frame(frames.CONTINUATION, 4, 1, block[5:]))
    whole = grpc(b"hello")
    for at in range(len(whole)):
        peer.send(frame(frames.DATA, 0x08, 1, b"\x03" + whole[at : at + 1] + bytes(3)))
    peer.send(frame(frames.PRIORITY, 0, 1, bytes(5)), frame(0xEE, 0xFF, 1, b"unknown"), data(1, b"", end=True))
    assert (await peer.answers())[1]["grpc-status"] == "0"
    assert peer.echo.messages == [b"hello"]


async def test_decodes_repeated_headers_once_until_the_table_changes() -> None:
    peer = Peer()
    for stream in range(1, 20, 2):
        peer.send(peer.request(stream))
    peer.send(peer.request(21, b"", ("x", "new")), peer.request(23), peer.request(25))
    assert [head.value(b"x") for head in peer.echo.heads] == [b"", b"new"]
    assert len(await peer.answers()) == 13


async def test_shares_a_head_between_requests_whose_timeouts_differ() -> None:
    peer = Peer()
    for stream in range(1, 101, 2):
        peer.send(peer.request(stream, b"", ("grpc-timeout", f"{9999999 - stream}u")))
    assert len(peer.echo.heads) == 1
    assert len(await peer.answers()) == 50


PLAIN_FIELDS = st.tuples(
    st.sampled_from(["x-a", "x-b", "user-agent", "etag"]), st.text("ab1;", max_size=300), st.booleans()
)


@given(st.lists(st.lists(PLAIN_FIELDS, max_size=6), max_size=12), st.booleans())
def test_reads_what_any_encoder_writes(requests: list[list[tuple[str, str, bool]]], huffman: bool) -> None:
    encoder, reader = Encoder(), HeaderReader(1 << 16)
    for number, fields in enumerate(requests):
        if number == 5:
            encoder.header_table_size = 100
        pairs = [*((name, value, False) for name, value in HEADERS), *fields]
        head, _ = reader.request(encoder.encode(pairs, huffman=huffman))
        for name in {name for name, *_ in fields}:
            assert head.fields[name.encode()] == [value.encode() for key, value, _ in fields if key == name]


@pytest.mark.parametrize(
    ("content", "trouble"),
    [
        (b"", Trouble.NOT_ONE_MESSAGE),
        (grpc(b"a") + grpc(b"b"), Trouble.NOT_ONE_MESSAGE),
        (grpc(b"hello")[:3], Trouble.INCOMPLETE),
        (grpc(b"hello")[:-1], Trouble.INCOMPLETE),
    ],
)
async def test_wants_exactly_one_message(content: bytes, trouble: Trouble) -> None:
    peer = Peer()
    peer.send(peer.open(1), data(1, content, end=True))
    assert (await peer.answers())[1]["grpc-message"] == trouble.name
    assert peer.echo.troubles == [trouble]


async def test_waits_for_the_end_of_the_stream() -> None:
    peer = Peer()
    peer.send(peer.open(1), data(1, grpc(b"hello")))
    assert not await peer.answers()
    peer.send(data(1, b"", end=True))
    assert await peer.answers()


async def test_refuses_a_large_message_by_its_prefix() -> None:
    peer = Peer(message_bytes=100)
    peer.send(peer.open(1), data(1, grpc(bytes(101))[:5]))
    sent = peer.take()
    assert sent[-1] == (frames.RST_STREAM, 0, 1, bytes(4))
    assert len(sent) == 2
    peer.send(data(1, bytes(5000)), peer.request(3))
    assert list(await peer.answers()) == [3]


async def test_bounds_the_bytes_that_a_connection_holds() -> None:
    peer = Peer(held_bytes=100)
    peer.echo.gate = asyncio.Event()
    peer.send(peer.request(1, bytes(60)), peer.request(3, bytes(60)))
    assert list(await peer.answers()) == [3]
    assert peer.echo.troubles == [Trouble.BUSY]
    peer.echo.gate.set()
    assert list(await peer.answers()) == [1]
    peer.send(peer.request(5, bytes(60)))
    assert peer.echo.troubles == [Trouble.BUSY]


async def test_answers_what_headers_decide_at_the_end_of_the_request() -> None:
    peer = Peer(discarded_bytes=100)
    peer.send(peer.open(1, ("refuse", "1")), data(1, bytes(90)))
    assert not peer.take()
    peer.send(data(1, b"", end=True))
    assert (await peer.answers())[1][":status"] == "415"
    peer.send(peer.open(3, ("refuse", "1")), data(3, bytes(101)))
    assert [kind for kind, *_ in peer.take()] == [frames.HEADERS, frames.DATA, frames.RST_STREAM]


async def test_ends_a_request_at_its_deadline_and_cancels_it() -> None:
    peer = Peer()
    peer.echo.gate = asyncio.Event()
    peer.send(peer.request(1, b"", ("grpc-timeout", "0m")))
    async with asyncio.timeout(5):
        await peer.echo.gave_up.wait()
    assert (await peer.answers())[1]["grpc-message"] == "DEADLINE"
    peer.echo.gate.set()
    await settle()
    assert not peer.echo.messages


async def test_a_reset_cancels_the_running_call() -> None:
    peer = Peer()
    peer.echo.gate = asyncio.Event()
    peer.send(peer.request(1))
    await settle()
    peer.send(reset(1, Code.CANCEL))
    peer.echo.gate.set()
    assert not await peer.answers()
    assert not peer.echo.messages


async def test_holds_bodies_back_until_the_peers_windows_open() -> None:
    peer = Peer()
    peer.echo.answer = http_failure(415, "0123456789")
    peer.send(frames.settings({frames.INITIAL_WINDOW_SIZE: 4}), peer.request(1))
    await settle()
    assert peer.take()[-1] == (frames.DATA, 0, 1, b"0123")
    peer.send(window_update(1, 2))
    assert peer.take() == [(frames.DATA, 0, 1, b"45")]
    peer.send(frames.settings({frames.INITIAL_WINDOW_SIZE: 5}))
    assert peer.take()[-1] == (frames.DATA, 0, 1, b"6")
    peer.send(window_update(1, 100))
    assert peer.take() == [(frames.DATA, frames.END_STREAM, 1, b"789\n")]


async def test_resets_an_answer_that_the_peer_does_not_take() -> None:
    peer = Peer(blocked_seconds=5)
    peer.send(frames.settings({frames.INITIAL_WINDOW_SIZE: 0}), peer.request(1))
    await settle()
    peer.take()
    peer.connection.check(peer.now + 5)
    assert peer.take() == [(frames.RST_STREAM, 0, 1, Code.CANCEL.to_bytes(4, "big"))]


async def test_refills_its_windows() -> None:
    peer = Peer(connection_window=100_000)
    for stream in range(1, 40, 2):
        peer.send(peer.request(stream, bytes(16_000)))
    await settle()
    refilled = sum(int.from_bytes(payload, "big") for kind, _, stream, payload in peer.take() if kind == 8)
    assert refilled > 200_000
    peer.send(peer.open(41), *(data(41, bytes(16_000)) for _ in range(10)))
    assert peer.ended_with() is Code.FLOW_CONTROL_ERROR


FAULTS: dict[str, tuple[Callable[[Peer], bytes], Code]] = {
    "oversized frame": (lambda _: frame(frames.DATA, 0, 1, bytes(300_000)), Code.FRAME_SIZE_ERROR),
    "DATA on an idle stream": (lambda _: data(1, b"x"), Code.PROTOCOL_ERROR),
    "DATA on the connection": (lambda _: data(0, b"x"), Code.PROTOCOL_ERROR),
    "reset of an idle stream": (lambda _: reset(5, Code.CANCEL), Code.PROTOCOL_ERROR),
    "window of an idle stream": (lambda _: window_update(5, 1), Code.PROTOCOL_ERROR),
    "even stream": (lambda p: p.open(2), Code.PROTOCOL_ERROR),
    "stream used again": (lambda p: p.request(1) + reset(1, Code.CANCEL) + p.open(1), Code.STREAM_CLOSED),
    "stream passed over": (lambda p: p.open(5) + p.open(3), Code.PROTOCOL_ERROR),
    "zero window update": (lambda _: window_update(0, 0), Code.PROTOCOL_ERROR),
    "window overflow": (lambda _: window_update(0, frames.MAX_WINDOW), Code.FLOW_CONTROL_ERROR),
    "initial window": (lambda _: frames.settings({4: 1 << 31}), Code.FLOW_CONTROL_ERROR),
    "frame size setting": (lambda _: frames.settings({5: 100}), Code.PROTOCOL_ERROR),
    "push": (lambda _: frame(frames.PUSH_PROMISE, 4, 1, bytes(4)), Code.PROTOCOL_ERROR),
    "ping of a stream": (lambda _: frame(frames.PING, 0, 1, bytes(8)), Code.PROTOCOL_ERROR),
    "short ping": (lambda _: frame(frames.PING, 0, 0, bytes(7)), Code.FRAME_SIZE_ERROR),
    "uneven settings": (lambda _: frame(frames.SETTINGS, 0, 0, bytes(5)), Code.FRAME_SIZE_ERROR),
    "padding beyond the frame": (lambda p: p.open(1) + frame(0, 8, 1, b"\x05abc"), Code.PROTOCOL_ERROR),
    "broken block": (lambda _: frame(frames.HEADERS, 5, 1, b"\xff\xff\xff"), Code.COMPRESSION_ERROR),
    "interrupted block": (lambda p: p.open(1, flags=0) + window_update(0, 1), Code.PROTOCOL_ERROR),
    "lone CONTINUATION": (lambda _: frame(frames.CONTINUATION, 4, 1, b""), Code.PROTOCOL_ERROR),
    "header block size": (lambda p: p.open(1, ("x", "a~" * 20_000)), Code.ENHANCE_YOUR_CALM),
    "header bomb": (
        lambda p: p.open(1, ("x", "a" * 3000)) + frame(frames.HEADERS, 5, 3, b"\xbe" * 5000),
        Code.ENHANCE_YOUR_CALM,
    ),
    "CONTINUATION flood": (
        lambda p: p.open(1, flags=0) + frame(frames.CONTINUATION, 0, 1, b"") * 100,
        Code.ENHANCE_YOUR_CALM,
    ),
    "rapid reset": (
        lambda p: b"".join(p.request(n) + reset(n, Code.CANCEL) for n in range(1, 3000, 2)),
        Code.ENHANCE_YOUR_CALM,
    ),
    "settings flood": (lambda _: frames.settings({}) * 1100, Code.ENHANCE_YOUR_CALM),
    "ping flood": (lambda _: frame(frames.PING, 0, 0, bytes(8)) * 10, Code.ENHANCE_YOUR_CALM),
    "empty DATA flood": (lambda p: p.open(1) + data(1, b"") * 1100, Code.ENHANCE_YOUR_CALM),
    "priority flood": (lambda p: p.open(1) + frame(frames.PRIORITY, 0, 1, bytes(5)) * 1100, Code.ENHANCE_YOUR_CALM),
    "unknown frame flood": (lambda _: frame(0x77, 0, 0) * 1100, Code.ENHANCE_YOUR_CALM),
    "bad stream flood": (lambda p: b"".join(p.open(n, ("TE", "x")) for n in range(1, 2300, 2)), Code.ENHANCE_YOUR_CALM),
}


@pytest.mark.parametrize("name", FAULTS)
async def test_ends_a_connection_that_breaks_the_rules(name: str) -> None:
    peer = Peer()
    attack, code = FAULTS[name]
    peer.send(attack(peer))
    assert peer.ended_with() is code
    peer.send(peer.request(9001))
    assert not await peer.answers()
    assert not peer.faults


STREAM_FAULTS: dict[str, tuple[Callable[[Peer], bytes], Code]] = {
    "upper case": (lambda p: p.open(1, ("X-Upper", "1")), Code.PROTOCOL_ERROR),
    "connection header": (lambda p: p.open(1, ("connection", "close")), Code.PROTOCOL_ERROR),
    "late pseudo-header": (lambda p: p.open(1, (":authority", "x")), Code.PROTOCOL_ERROR),
    "timeout": (lambda p: p.open(1, ("grpc-timeout", "soon")), Code.PROTOCOL_ERROR),
    "line feed": (lambda p: p.open(1, ("x", "a\nb")), Code.PROTOCOL_ERROR),
    "content-length": (lambda p: p.request(1, b"hello", ("content-length", "3")), Code.PROTOCOL_ERROR),
    "DATA after the end": (lambda p: p.request(1) + data(1, b"x"), Code.STREAM_CLOSED),
    "trailers without end": (lambda p: p.open(1) + p.open(1), Code.PROTOCOL_ERROR),
    "zero window update": (lambda p: p.open(1) + window_update(1, 0), Code.PROTOCOL_ERROR),
    "window overflow": (lambda p: p.open(1) + window_update(1, frames.MAX_WINDOW), Code.FLOW_CONTROL_ERROR),
    "stream window": (lambda p: p.open(1) + data(1, bytes(20_000)), Code.FLOW_CONTROL_ERROR),
    "too many streams": (
        lambda p: b"".join(p.open(n) for n in range(11, 31, 2)) + p.open(31) + reset(11, Code.CANCEL),
        Code.REFUSED_STREAM,
    ),
}


@pytest.mark.parametrize("name", STREAM_FAULTS)
async def test_ends_only_the_stream_that_breaks_the_rules(name: str) -> None:
    peer = Peer(stream_window=10_000, streams=10)
    attack, code = STREAM_FAULTS[name]
    peer.send(attack(peer))
    kind, _, _, payload = peer.take()[-1]
    assert (kind, Code(int.from_bytes(payload, "big"))) == (frames.RST_STREAM, code)
    peer.send(peer.request(101))
    assert (await peer.answers())[101]["grpc-status"] == "0"


@pytest.mark.parametrize("begun", [b"GET / HTTP/1.1\r\n", b"\x16\x03\x01", frames.PREFACE + window_update(0, 1)])
async def test_closes_what_is_not_http2(begun: bytes) -> None:
    peer = Peer(greet=False)
    peer.send(begun)
    assert peer.wire.closed


@pytest.mark.parametrize(
    ("begun", "seconds"),
    [
        (lambda p: b"", 20),
        (lambda p: frames.PREFACE[:9], 20),
        (lambda p: frames.PREFACE, 20),
        (lambda p: frames.PREFACE + frames.settings({}) + p.open(1, flags=0), 20),
        (lambda p: frames.PREFACE + frames.settings({}) + p.request(1)[:30], 60),
    ],
)
async def test_closes_half_open_and_slow_connections(begun: Callable[[Peer], bytes], seconds: float) -> None:
    peer = Peer(greet=False)
    peer.send(begun(peer))
    peer.connection.check(peer.now + seconds - 1)
    assert not peer.wire.closed
    peer.connection.check(peer.now + seconds)
    assert peer.wire.closed


async def test_gives_up_slow_messages() -> None:
    peer = Peer(body_seconds=10, body_bytes_per_second=100)
    peer.send(peer.open(1), data(1, grpc(bytes(1000))[:50]))
    peer.connection.check(peer.now + 19)
    assert not peer.take()
    peer.connection.check(peer.now + 20)
    assert [kind for kind, *_ in peer.take()] == [frames.HEADERS, frames.RST_STREAM]
    assert peer.echo.troubles == [Trouble.SLOW]


async def test_stops_reading_while_the_peer_does_not_and_then_gives_up() -> None:
    peer = Peer(blocked_seconds=30)
    peer.connection.pause_writing()
    assert peer.wire.paused
    peer.connection.resume_writing()
    assert not peer.wire.paused
    peer.connection.pause_writing()
    peer.connection.check(peer.now + 30)
    assert peer.wire.aborted


async def test_drains_in_order() -> None:
    peer = Peer()
    peer.echo.gate = asyncio.Event()
    peer.send(peer.request(1))
    peer.connection.drain()
    first, ping = peer.take()
    assert first[3][:4] == frames.MAX_STREAM.to_bytes(4, "big")
    peer.send(peer.request(3), frame(frames.PING, frames.ACK, 0, ping[3]), peer.request(5))
    assert peer.take() == [(frames.GOAWAY, 0, 0, goaway(3, Code.NO_ERROR)[9:])]
    assert not peer.wire.closed
    peer.echo.gate.set()
    assert list(await peer.answers()) == [1, 3]
    assert peer.wire.closed


async def test_pings_silent_peers_and_closes_dead_ones() -> None:
    peer = Peer(pings=Pings(every=10, timeout=5))
    peer.connection.check(peer.now + 10)
    ((kind, _, _, payload),) = peer.take()
    assert kind == frames.PING
    peer.now += 12
    peer.send(frame(frames.PING, frames.ACK, 0, payload))
    peer.connection.check(peer.now + 10)
    peer.connection.check(peer.now + 14)
    assert not peer.wire.closed
    peer.connection.check(peer.now + 15)
    assert peer.wire.aborted


@pytest.mark.parametrize("pings", [Pings(max_idle=10), Pings(max_age=10)])
async def test_asks_idle_and_old_connections_to_end(pings: Pings) -> None:
    peer = Peer(pings=pings)
    peer.connection.check(peer.now + 9)
    assert not peer.take()
    peer.connection.check(peer.now + 10)
    assert [kind for kind, *_ in peer.take()] == [frames.GOAWAY, frames.PING]


async def test_closes_an_idle_connection_whose_peer_is_gone() -> None:
    peer = Peer(pings=Pings(max_idle=10, timeout=5))
    peer.connection.check(peer.now + 10)
    peer.connection.check(peer.now + 15)
    assert peer.wire.aborted


async def test_an_old_connection_ends_after_its_grace() -> None:
    peer = Peer(pings=Pings(max_age=10, max_age_grace=3))
    peer.echo.gate = asyncio.Event()
    peer.send(peer.request(1))
    for later in (10, 12):
        peer.connection.check(peer.now + later)
        assert not peer.wire.closed
    peer.connection.check(peer.now + 13)
    assert peer.wire.aborted


async def test_permits_pings_at_the_agreed_pace() -> None:
    peer = Peer(pings=Pings(min_interval=10, without_stream=True))
    for _ in range(20):
        peer.now += 10
        peer.send(frame(frames.PING, 0, 0, b"12345678"))
        assert peer.take() == [(frames.PING, frames.ACK, 0, b"12345678")]


async def test_a_fault_of_this_program_ends_only_the_connection() -> None:
    peer = Peer()
    peer.echo.call_of = lambda head: 1 / 0  # type: ignore[assignment,return-value,method-assign]
    peer.connection._requests._call_of = peer.echo.call_of
    peer.send(peer.request(1))
    assert peer.ended_with() is Code.INTERNAL_ERROR
    assert [type(fault) for fault in peer.faults] == [ZeroDivisionError]


FRAMES = st.builds(
    frame,
    st.integers(0, 12),
    st.sampled_from([0, 1, 4, 5, 8, 9, 0x20, 0x25, 0xFF]),
    st.sampled_from([0, 1, 2, 3, 5, 7, 2**31 - 1]),
    st.one_of(
        st.binary(max_size=40),
        st.sampled_from(
            [grpc(b"hello"), grpc(b"x" * 50)[:20], bytes(4), bytes(8), b"\x83\x86\x84", Encoder().encode(HEADERS)]
        ),
    ),
)


@given(st.lists(FRAMES, max_size=25), st.binary(max_size=30), st.integers(1, 64))
@settings(max_examples=400, deadline=None)
def test_survives_any_frames_beside_a_good_connection(sent: list[bytes], tail: bytes, step: int) -> None:
    async def run() -> None:
        bad, good = Peer(), Peer()
        stream = b"".join(sent) + tail
        for number, at in enumerate(range(0, len(stream), step)):
            bad.send(stream[at : at + step])
            good.send(good.request(2 * number + 1))
        await settle()
        bad.take()
        assert not bad.faults
        assert len(await good.answers()) == len(range(0, len(stream), step))
        bad.connection.check(bad.now + 10_000)
        bad.connection.connection_lost(None)
        assert bad.connection._requests.held_bytes == 0

    asyncio.run(run())
