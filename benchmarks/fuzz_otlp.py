"""Mutation fuzzer for what the OTLP receiver reads: protobuf, JSON and compressed requests.

    python -m benchmarks.fuzz_otlp [--inputs 1000000] [--seed 1] [--http-share 0.1]

Every input is a valid request, mutated. Most go through the decoding that the receiver does (inflate, JSON to wire,
validation); a share goes through a real receiver over loopback HTTP, between good requests of another sender. It fails
when anything but the protocol's error comes back, when an accepted request spoils a batch it is joined with, or when
the other sender's data is lost or changed.
"""

from __future__ import annotations

import argparse
import asyncio
import resource
import sys
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from random import Random

from benchmarks.payloads import MAKERS, Signal
from ophion_agent import otlp_json
from ophion_agent.batch import Batch, Logs, Metrics, Traces
from ophion_agent.clock import Clock
from ophion_agent.compression import ENCODINGS, compress, inflate
from ophion_agent.errors import PermanentError
from ophion_agent.testing import make_component
from ophion_otlp.receiver import OTLPReceiver

LIMIT = 1 << 20
SIGNAL_TYPES: dict[Signal, type[Batch]] = {"traces": Traces, "metrics": Metrics, "logs": Logs}
GOOD = {signal: signal.from_wire(MAKERS[name](2, 1)) for name, signal in SIGNAL_TYPES.items()}
EXPECTED_STATUSES = frozenset({200, 400, 413, 415})
CHUNK = 50
TOKENS = (
    b"null", b"{}", b"[]", b"[[[[", b"NaN", b"-1", b"1e999", b"18446744073709551616", b'"Infinity"', b'"\\ud800"',
    b"true", b'"', b"\\", b"\xff", b"\x00", b'{"a":{"a":{"a":', b"0x10", b'"zz"', b"999999999999999999999999",
)  # fmt: skip
WIRE = (
    b"\xff\xff\xff\xff\x0f", b"\x80\x80\x80\x80\x80\x80\x80\x80\x80\x80\x01", b"\x0a", b"\x0b", b"\x0c", b"\x00",
    b"\xfa\xff\xff\xff\x0f", b"\x12\x00", b"\x1f\x8b", b"\x28\xb5\x2f\xfd",
)  # fmt: skip


class FuzzError(Exception):
    """The receiver did what it must not; the message holds the seed and number of the input."""


@dataclass(frozen=True)
class Input:
    """One request to try."""

    signal: type[Batch]
    body: bytes
    encoding: str
    is_json: bool


@dataclass
class Report:
    """What became of the inputs."""

    outcomes: Counter[str] = field(default_factory=Counter)
    seconds: float = 0.0

    def lines(self) -> list[str]:
        """The outcome as text."""
        total = sum(self.outcomes.values())
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
        shares = [f"  {outcome:30} {count:>10,}" for outcome, count in sorted(self.outcomes.items())]
        return [f"{total:,} inputs in {self.seconds:.0f} s, peak RSS {peak} MiB", *shares]


class Mutator:
    """Makes inputs from a corpus of valid requests; the same seed makes the same inputs."""

    def __init__(self, seed: int) -> None:
        self.random = Random(seed)
        self.corpus = [
            (signal, MAKERS[name](items, seed)) for name, signal in SIGNAL_TYPES.items() for items in (1, 3, 10)
        ]
        self.json = [(signal, otlp_json.encode(signal.request_type.FromString(body))) for signal, body in self.corpus]

    def next(self) -> Input:
        """Return another input; about one in eight is left valid before it is compressed."""
        is_json = self.random.random() < 0.4
        signal, body = self.random.choice(self.json if is_json else self.corpus)
        if self.random.random() < 0.875:
            for _ in range(self.random.choice((1, 1, 1, 2, 4, 16))):
                body = self._mutated(body, TOKENS if is_json else WIRE)
        encoding = self.random.choice(("", "", "", *ENCODINGS))
        if encoding:
            body = compress(body, encoding)
            if self.random.random() < 0.3:
                body = self._mutated(body, WIRE)
            if self.random.random() < 0.02:
                encoding = self.random.choice((*ENCODINGS, "br", "gzip,gzip"))
        return Input(signal, body, encoding, is_json)

    def _mutated(self, body: bytes, tokens: Sequence[bytes]) -> bytes:
        mutations: tuple[Callable[[bytes, int, int], bytes], ...] = (
            lambda b, i, j: b[:i] + bytes([b[i] ^ 1 << self.random.randrange(8)]) + b[i + 1 :],
            lambda b, i, j: b[:i] + self.random.randbytes(1) + b[i + 1 :],
            lambda b, i, j: b[:i] + b[j:],
            lambda b, i, j: b[:j] + b[i:j] + b[j:],
            lambda b, i, j: b[:i] + self.random.randbytes(j - i & 15) + b[i:],
            lambda b, i, j: b[:i],
            lambda b, i, j: b[:i] + self.random.choice(tokens) + b[i:],
            lambda b, i, j: b[:i] + self.random.choice(tokens) + b[j:],
            lambda b, i, j: b[:i] + self.random.choice(self.corpus)[1][i:],
        )
        if not body:
            return self.random.randbytes(4)
        first, second = sorted((self.random.randrange(len(body)), self.random.randrange(len(body))))
        return self.random.choice(mutations)(body, first, second)


def decode(tried: Input) -> str:
    """Decode one input as the receiver does; return the outcome, raise FuzzError for a wrong one."""
    try:
        body = inflate(tried.body, tried.encoding, LIMIT)
        if tried.is_json:
            body = otlp_json.to_wire(body, tried.signal.request_type)
        batch = tried.signal.from_wire(body)
    except PermanentError as error:
        return f"decode refused: {type(error).__name__}"
    except Exception as error:
        raise FuzzError(f"{type(error).__name__} instead of the protocol's error: {error}") from error
    items = len(batch)
    good = GOOD[tried.signal]
    joined = tried.signal.join([batch, good])
    if len(joined) != items + len(good) or len(tried.signal.from_wire(joined.payload)) != items + len(good):
        raise FuzzError("an accepted request spoils a batch it is joined with")
    return "decode accepted"


class OtherSender:
    """Sends its own requests between the mutated ones and checks that they arrive unchanged."""

    def __init__(self) -> None:
        self.payload = MAKERS["logs"](4, 99)
        self.sent = 0
        self.arrived = 0

    async def consume(self, batch: Batch, /) -> None:
        """Count the own payload among what the receiver passes on."""
        self.arrived += batch.payload == self.payload

    def request(self) -> Input:
        """Return a good request."""
        self.sent += 1
        return Input(Logs, self.payload, "", False)


async def over_http(inputs: Sequence[Input], other: OtherSender, port: int) -> Counter[str]:
    """Send inputs on one connection after another, each followed by a good request."""
    outcomes: Counter[str] = Counter()
    for start in range(0, len(inputs), CHUNK):
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        for tried in inputs[start : start + CHUNK]:
            status = await _exchange(reader, writer, tried)
            if status not in EXPECTED_STATUSES:
                raise FuzzError(f"HTTP {status} for {tried!r}")
            outcomes[f"http {status}"] += 1
            if await _exchange(reader, writer, other.request()) != 200:
                raise FuzzError(f"the other sender was refused after {tried!r}")
        writer.close()
        await writer.wait_closed()
    return outcomes


async def _exchange(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, tried: Input) -> int:
    encoding = f"Content-Encoding: {tried.encoding}\r\n" if tried.encoding else ""
    content_type = "application/json" if tried.is_json else "application/x-protobuf"
    head = (
        f"POST /v1/{tried.signal.signal} HTTP/1.1\r\nHost: fuzz\r\nContent-Type: {content_type}\r\n"
        f"{encoding}Content-Length: {len(tried.body)}\r\n\r\n"
    )
    writer.write(head.encode() + tried.body)
    async with asyncio.timeout(30):
        answer = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
        length = next(line for line in answer.lower().split("\r\n") if line.startswith("content-length:"))
        await reader.readexactly(int(length.partition(":")[2]))
    return int(answer.split(" ", 2)[1])


async def fuzz(inputs: int, seed: int, http_share: float = 0.1) -> Report:
    """Try `inputs` mutated requests; raises FuzzError naming the seed and the input that went wrong."""
    started = time.monotonic()
    mutator, other, report = Mutator(seed), OtherSender(), Report()
    config = {"protocols": {"http": {"endpoint": "127.0.0.1:0", "max_request_body_size": LIMIT}}}
    receiver = make_component(OTLPReceiver, config, sink=other, clock=Clock())
    await receiver.start()
    assert receiver.http is not None
    waiting: list[Input] = []
    try:
        for _ in range(inputs):
            tried = mutator.next()
            if mutator.random.random() >= http_share:
                report.outcomes[decode(tried)] += 1
                continue
            waiting.append(tried)
            if len(waiting) == CHUNK:
                report.outcomes += await over_http(waiting, other, receiver.http.port)
                waiting.clear()
        report.outcomes += await over_http(waiting, other, receiver.http.port)
    except FuzzError as error:
        done = sum(report.outcomes.values()) + len(waiting)
        raise FuzzError(f"seed {seed}, after {done} inputs: {error}") from error
    finally:
        await receiver.stop()
    if other.arrived < other.sent:
        raise FuzzError(f"seed {seed}: the other sender lost {other.sent - other.arrived} of {other.sent} requests")
    report.seconds = time.monotonic() - started
    return report


def main() -> int:
    """Run from the command line."""
    parser = argparse.ArgumentParser(description="Mutation fuzzer for the OTLP receiver.")
    parser.add_argument("--inputs", type=int, default=1_000_000, help="number of mutated requests")
    parser.add_argument("--seed", type=int, default=1, help="the same seed makes the same inputs")
    parser.add_argument("--http-share", type=float, default=0.1, help="share that goes over a real connection")
    options = parser.parse_args()
    try:
        report = asyncio.run(fuzz(options.inputs, options.seed, options.http_share))
    except FuzzError as error:
        print(error)
        return 1
    print("\n".join(report.lines()))
    return 0


if __name__ == "__main__":
    sys.exit(main())
