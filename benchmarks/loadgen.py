"""The sender of every benchmark: a closed loop with a fixed number of OTLP requests in flight.

`python -m benchmarks.loadgen` prepares its requests, prints `{"ready": true}`, then obeys commands on stdin, with one
JSON line for each:

- `run N`: send N requests, return when each was answered;
- `for SECONDS`: send for that long.

The answer counts acknowledged requests and items, retryable and permanent refusals, the seconds it took, the
CPU-seconds of this process, and percentiles of the milliseconds until an acknowledgement. With `--retry`, a request
refused as retryable is sent again after a short wait until it is acknowledged. With `--ids` every span carries a number
and the answer lists the first number of every acknowledged request. With `--rate` at most that many items a second are
offered, refused ones included. With `--fresh` no request is like another, see `benchmarks.fresh`.
"""

from __future__ import annotations

import argparse
import asyncio
import itertools
import json
import time
import zlib
from collections import Counter as Tally
from collections.abc import Awaitable, Callable, Iterator
from typing import Any

import aiohttp
import grpc
import grpc.aio
import uvloop
import zstandard

from benchmarks.fresh import fresh_requests
from benchmarks.payloads import MAKERS, SERVICES, Numbered
from benchmarks.process import quantiles
from benchmarks.sink import UNLIMITED, Pace, commands

POOL = 16  # Distinct requests, sent in turn.
RETRYABLE_GRPC = frozenset(
    {
        grpc.StatusCode.UNAVAILABLE,
        grpc.StatusCode.RESOURCE_EXHAUSTED,
        grpc.StatusCode.DEADLINE_EXCEEDED,
        grpc.StatusCode.CANCELLED,
        grpc.StatusCode.ABORTED,
    }
)
# The default grows to two minutes, which would hide a restarted receiver.
RECONNECT = [("grpc.initial_reconnect_backoff_ms", 100), ("grpc.max_reconnect_backoff_ms", 500)]
RETRYABLE_HTTP = frozenset({429, 502, 503, 504})
Send = Callable[[bytes], Awaitable[str]]  # -> "ok" | "retryable" | "permanent"
COMPRESS: dict[str, Callable[[bytes], bytes]] = {
    "none": bytes,
    "gzip": lambda body: _gzip(body),
    "zstd": lambda body: zstandard.ZstdCompressor(level=3).compress(body),
}


def _gzip(body: bytes) -> bytes:
    engine = zlib.compressobj(6, zlib.DEFLATED, 31)
    return engine.compress(body) + engine.flush()


def grpc_senders(options: argparse.Namespace) -> list[Send]:
    """One sending function per connection, gRPC; gzip is applied by the channel."""
    senders: list[Send] = []
    for index in range(options.connections):
        channel: Any = grpc.aio.insecure_channel(
            options.target,
            options=[*UNLIMITED, *RECONNECT, ("bench.connection", index), ("grpc.use_local_subchannel_pool", 1)],
            compression=grpc.Compression.Gzip if options.compression == "gzip" else None,
        )
        call = channel.unary_unary(SERVICES[options.signal])

        async def send(payload: bytes, call: Any = call) -> str:
            try:
                await call(payload, timeout=options.timeout)
            except grpc.aio.AioRpcError as error:
                return "retryable" if error.code() in RETRYABLE_GRPC else "permanent"
            return "ok"

        senders.append(send)
    return senders


def http_session(options: argparse.Namespace) -> aiohttp.ClientSession:
    """A keep-alive connection pool with the headers of the load."""
    headers = {"Content-Type": "application/x-protobuf"}
    if options.compression != "none":
        headers["Content-Encoding"] = options.compression
    return aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(limit=0), timeout=aiohttp.ClientTimeout(total=options.timeout), headers=headers
    )


def http_senders(options: argparse.Namespace, session: aiohttp.ClientSession) -> list[Send]:
    """One sending function over the pool, HTTP; bodies are compressed beforehand."""
    url = f"http://{options.target}/v1/{options.signal}"

    async def send(payload: bytes) -> str:
        try:
            async with session.post(url, data=payload) as response:
                await response.read()
                if response.status == 200:
                    return "ok"
                return "retryable" if response.status in RETRYABLE_HTTP else "permanent"
        except (aiohttp.ClientError, TimeoutError):
            return "retryable"

    return [send]


def requests(options: argparse.Namespace) -> Iterator[tuple[int, bytes]]:
    """Endless (number of the first span, body) pairs: a pool in turn, or made anew with `--ids` and `--fresh`."""
    compress = COMPRESS[options.compression if options.protocol == "http" else "none"]
    if options.fresh:
        for first, body in fresh_requests(options.signal, options.items, numbered=options.ids):
            yield first, compress(body)
    if options.ids:
        numbered = Numbered(options.items)
        for first in itertools.count(0, options.items):
            yield first, compress(numbered.request(first))
    pool = [compress(MAKERS[options.signal](options.items, seed)) for seed in range(POOL)]
    for body in itertools.cycle(pool):
        yield 0, body


class Loop:
    """Keeps `in_flight` requests on the way."""

    def __init__(self, options: argparse.Namespace, senders: list[Send]) -> None:
        self.options = options
        self.senders = senders
        bodies = requests(options)
        # The first one makes the pool, which may take seconds.
        self.bodies = itertools.chain([next(bodies)], bodies)
        self.pace = Pace()
        self.pace.rate = options.rate
        self.ack_ms: list[float] = []

    async def command(self, line: str) -> dict[str, Any]:
        """Carry out one line of stdin and return the answer."""
        name, _, argument = line.partition(" ")
        if name == "run":
            return await self.run(int(argument), self.options.max_seconds)
        if name == "for":
            return await self.run(float("inf"), min(float(argument), self.options.max_seconds))
        raise ValueError(f"benchmarks.loadgen: unknown command {line!r}; valid: run N, for SECONDS")

    async def run(self, count: float, seconds: float) -> dict[str, Any]:
        """Send `count` requests, or for `seconds`, whichever ends first; returns the tally."""
        started, cpu = time.perf_counter(), time.process_time()
        tally: Tally[str] = Tally()
        acknowledged: list[int] = []
        self.ack_ms = []
        left = itertools.count()
        deadline = started + seconds

        async def lane(send: Send) -> None:
            while next(left) < count and time.perf_counter() < deadline:
                first, body = next(self.bodies)
                outcome = await self.deliver(send, body, tally, deadline)
                tally[outcome] += 1
                if outcome == "ok" and self.options.ids:
                    acknowledged.append(first)

        lanes = [lane(self.senders[index % len(self.senders)]) for index in range(self.options.in_flight)]
        await asyncio.gather(*lanes)
        answer: dict[str, Any] = {
            "requests": tally["ok"],
            "items": tally["ok"] * self.options.items,
            "retryable": tally["retryable"],
            "permanent": tally["permanent"],
            "retries": tally["retries"],
            "seconds": time.perf_counter() - started,
            "cpu_seconds": time.process_time() - cpu,
            "ack_ms": quantiles(self.ack_ms),
        }
        if self.options.ids:
            answer["acknowledged"] = acknowledged
        return answer

    async def deliver(self, send: Send, body: bytes, tally: Tally[str], deadline: float) -> str:
        """Send one request, again and again with `--retry` while it is refused as retryable and there is time."""
        wait = 0.05
        while True:
            await self.pace.wait(self.options.items)
            sent = time.perf_counter()
            outcome = await send(body)
            if outcome == "ok":
                self.ack_ms.append((time.perf_counter() - sent) * 1000)
            if outcome != "retryable" or not self.options.retry or time.perf_counter() >= deadline:
                return outcome
            tally["retries"] += 1
            await asyncio.sleep(wait)
            wait = min(wait * 2, 1.0)


async def run(options: argparse.Namespace) -> None:
    """Obey stdin until it ends."""
    async with http_session(options) as session:
        senders = grpc_senders(options) if options.protocol == "grpc" else http_senders(options, session)
        loop = Loop(options, senders)
        print(json.dumps({"ready": True}), flush=True)
        await commands(loop.command)


def arguments() -> argparse.ArgumentParser:
    """The command line."""
    parser = argparse.ArgumentParser(description="Closed-loop OTLP load generator for the benchmarks; loopback only.")
    parser.add_argument("--protocol", choices=("grpc", "http"), default="grpc")
    parser.add_argument("--target", required=True, help="127.0.0.1:PORT")
    parser.add_argument("--signal", choices=tuple(MAKERS), default="traces")
    parser.add_argument("--items", type=int, default=512, help="items per request")
    parser.add_argument("--compression", choices=tuple(COMPRESS), default="none")
    parser.add_argument("--in-flight", type=int, default=16)
    parser.add_argument("--connections", type=int, default=4)
    parser.add_argument("--timeout", type=float, default=30.0, help="seconds for one request")
    parser.add_argument("--max-seconds", type=float, default=600.0, help="upper bound of any command")
    parser.add_argument("--retry", action="store_true")
    parser.add_argument("--ids", action="store_true")
    parser.add_argument("--fresh", action="store_true", help="requests whose ids, times and values are never the same")
    parser.add_argument("--rate", type=float, default=0.0, help="items a second to offer; 0: as fast as answers come")
    return parser


def main() -> None:
    """Parse the command line and obey stdin."""
    options = arguments().parse_args()
    if not options.target.startswith("127.0.0.1:"):
        raise SystemExit(f"--target: must be on 127.0.0.1, got {options.target}")
    uvloop.run(run(options))


if __name__ == "__main__":
    main()
