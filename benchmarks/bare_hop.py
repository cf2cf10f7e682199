"""The floor: the smallest gRPC hop in Python (receive bytes, join, send bytes), served in several ways.

`python -m benchmarks.bare_hop` runs each way under the same load and prints CPU-seconds per million spans and
microseconds per request. What a full agent costs above these figures is its own. The peer, rotel, gzips what it sends;
the hop does not.
"""

from __future__ import annotations

import argparse
import asyncio
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import grpc
import grpc.aio
import uvloop

from benchmarks import harness
from benchmarks.payloads import SERVICES
from benchmarks.sink import UNLIMITED, raw_handler
from benchmarks.systems import ROTEL, Job, bare_hop

FLUSH_BYTES = 3_000_000
FLUSH_SECONDS = 0.2
LEAN = [*UNLIMITED, ("grpc.optimization_target", "throughput"), ("grpc.http2.bdp_probe", 0)]


class Join:
    """Holds payloads until there are enough to send on together."""

    def __init__(self) -> None:
        self.held: list[bytes] = []
        self.size = 0

    def add(self, payload: bytes) -> bytes | None:
        """Keep `payload`; returns a joined batch when one is full."""
        self.held.append(payload)
        self.size += len(payload)
        return self.take() if self.size >= FLUSH_BYTES else None

    def take(self) -> bytes:
        """Everything held, joined."""
        batch, self.held, self.size = b"".join(self.held), [], 0
        return batch


def background_sender(target: str, options: list[tuple[str, Any]]) -> Callable[[bytes], None]:
    """A function that starts sending a batch and returns."""
    channel: Any = grpc.aio.insecure_channel(target, options=options)
    call = channel.unary_unary(SERVICES["traces"])
    sending: set[asyncio.Task[None]] = set()

    async def deliver(batch: bytes) -> None:
        await call(batch)

    def send(batch: bytes) -> None:
        task = asyncio.create_task(deliver(batch))
        sending.add(task)
        task.add_done_callback(sending.discard)

    return send


async def flush_forever(join: Join, send: Callable[[bytes], None]) -> None:
    """Send what is held, full or not, every FLUSH_SECONDS."""
    while True:
        await asyncio.sleep(FLUSH_SECONDS)
        if join.held:
            send(join.take())


async def serve_aio(listen: str, target: str, options: list[tuple[str, Any]]) -> None:
    """The hop on grpc.aio: acknowledge when joined, send full batches in the background."""
    join, send = Join(), background_sender(target, options)

    async def export(payload: bytes, context: object) -> bytes:
        batch = join.add(payload)
        if batch is not None:
            send(batch)
        return b""

    server = grpc.aio.server(options=options)
    server.add_generic_rpc_handlers([raw_handler(SERVICES["traces"], export)])
    server.add_insecure_port(listen)
    await server.start()
    await flush_forever(join, send)


async def serve_http2(listen: str, target: str) -> None:
    """The hop on `benchmarks.bare_http2`; only the sending side is grpcio."""
    from benchmarks.bare_http2 import Connection

    join, send = Join(), background_sender(target, UNLIMITED)

    def handle(_path: bytes, payload: bytes) -> None:
        batch = join.add(payload)
        if batch is not None:
            send(batch)

    host, _, port = listen.partition(":")
    await asyncio.get_running_loop().create_server(lambda: Connection(handle), host, int(port))
    await flush_forever(join, send)


def serve_threads(listen: str, target: str, workers: int, options: list[tuple[str, Any]]) -> None:
    """The hop on grpcio's synchronous server with a pool of `workers` threads."""
    join, lock = Join(), threading.Lock()
    channel: Any = grpc.insecure_channel(target, options=options)
    call = channel.unary_unary(SERVICES["traces"])
    sending: set[Any] = set()

    def send(batch: bytes) -> None:
        future = call.future(batch)
        sending.add(future)  # A future that nobody holds cancels its call.
        future.add_done_callback(sending.discard)

    def export(payload: bytes, context: object) -> bytes:
        with lock:
            batch = join.add(payload)
        if batch is not None:
            send(batch)
        return b""

    server = grpc.server(ThreadPoolExecutor(workers), options=options)
    server.add_generic_rpc_handlers([raw_handler(SERVICES["traces"], export)])
    server.add_insecure_port(listen)
    server.start()
    while True:
        time.sleep(FLUSH_SECONDS)
        with lock:
            batch = join.take()
        if batch:
            send(batch)


WAYS: dict[str, Callable[[str, str], None]] = {
    "aio on asyncio": lambda listen, target: asyncio.run(serve_aio(listen, target, UNLIMITED)),
    "aio on uvloop": lambda listen, target: uvloop.run(serve_aio(listen, target, UNLIMITED)),
    "aio on uvloop, throughput options": lambda listen, target: uvloop.run(serve_aio(listen, target, LEAN)),
    "aio on asyncio, throughput options": lambda listen, target: asyncio.run(serve_aio(listen, target, LEAN)),
    "frames by hand on uvloop": lambda listen, target: uvloop.run(serve_http2(listen, target)),
    "sync, 1 thread": lambda listen, target: serve_threads(listen, target, 1, UNLIMITED),
    "sync, 4 threads": lambda listen, target: serve_threads(listen, target, 4, UNLIMITED),
    "sync, 1 thread, throughput options": lambda listen, target: serve_threads(listen, target, 1, LEAN),
}


def run(options: argparse.Namespace) -> None:
    """Be the hop (`--serve`), or print one row per way and size."""
    if options.serve:
        WAYS[options.serve](options.listen, options.target)
        return
    loads = harness.chosen(options)
    harness.preamble("Bare gRPC hop", loads)
    ways = harness.present([*(bare_hop(way) for way in WAYS if options.ways in way), ROTEL])
    for load in loads:
        harness.compare(f"grpc, {load.items} a request", ways, Job(), load, options.repeats)


def main() -> int:
    """Parse the command line and run."""
    parser = argparse.ArgumentParser(description="The floor of a gRPC hop in Python.")
    parser.add_argument("--serve", choices=tuple(WAYS), help="be the hop instead of measuring")
    parser.add_argument("--listen", default="127.0.0.1:0")
    parser.add_argument("--target", default="")
    parser.add_argument("--ways", default="", help="only the ways whose name contains this")
    harness.add_options(parser, "512,10")
    return harness.script(parser, run)


if __name__ == "__main__":
    raise SystemExit(main())
