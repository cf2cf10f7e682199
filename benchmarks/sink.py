"""The backend of every benchmark: an OTLP server, gRPC and HTTP, that counts what arrives as cheaply as it can.

`python -m benchmarks.sink` prints its two ports as one JSON line, then answers commands on stdin, one JSON line each:

- `stats`: requests, items, bytes, how often `--marker` occurred and, with `--ids`, distinct and duplicate ids;
- `rate N`: answer at most N items a second from now on (0: as fast as it can);
- `refuse 0|1`: answer every request as unavailable, or stop doing so;
- `down`, `up`: close the gRPC port, open it again;
- `missing SIZE FIRST FIRST ...`: with `--ids`, how many ids of the ranges FIRST..FIRST+SIZE-1 never arrived.

The process ends when stdin does.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
import zlib
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any

import grpc
import grpc.aio
import uvloop
import zstandard
from aiohttp import web
from isal import igzip

from benchmarks.payloads import SERVICES, Counter, Signal, span_ids

UNLIMITED = [("grpc.max_receive_message_length", -1), ("grpc.max_send_message_length", -1), ("grpc.so_reuseport", 0)]


@dataclass
class Ids:
    """Which numbered spans arrived, and how many arrived more than once."""

    seen: set[int] = field(default_factory=set)
    total: int = 0

    def add(self, payload: bytes) -> None:
        """Note the ids of one encoded trace request."""
        ids = span_ids(payload)
        self.total += len(ids)
        self.seen.update(ids)

    def missing(self, size: int, firsts: list[int]) -> int:
        """How many numbers of the ranges `first..first + size - 1` never arrived."""
        return sum(1 for first in firsts for number in range(first, first + size) if number not in self.seen)


class Pace:
    """Lets at most `rate` items a second through, by making each caller wait its turn."""

    def __init__(self) -> None:
        self.rate = 0.0
        self._free_at = 0.0

    async def wait(self, items: int) -> None:
        """Return when `items` more may pass."""
        if self.rate <= 0:
            return
        now = asyncio.get_running_loop().time()
        self._free_at = max(now, self._free_at) + items / self.rate
        await asyncio.sleep(self._free_at - now)


class Sink:
    """Counts requests of the three signals; both servers call `take`."""

    grpc_server: grpc.aio.Server | None = None
    grpc_port = 0

    def __init__(self, ids: Ids | None, marker: bytes = b"") -> None:
        self.marker = marker
        self.marked = 0
        self.wire_bytes = 0
        self.requests = 0
        self.items = 0
        self.bytes = 0
        self.refused = 0
        self.refusing = False
        self.pace = Pace()
        self.ids = ids
        self._counters = {signal: Counter(signal) for signal in SERVICES}

    async def take(self, signal: Signal, payload: bytes) -> bool:
        """Count one encoded request; False when it must be answered as unavailable."""
        if self.refusing:
            self.refused += 1
            return False
        items = self._counters[signal].count(payload)
        await self.pace.wait(items)
        if self.ids is not None:
            self.ids.add(payload)
        if self.marker:
            self.marked += payload.count(self.marker)
        self.requests += 1
        self.items += items
        self.bytes += len(payload)
        return True

    def stats(self) -> dict[str, int]:
        """Everything counted so far."""
        found = {"requests": self.requests, "items": self.items, "bytes": self.bytes, "refused": self.refused}
        found |= {"marked": self.marked, "http_wire_bytes": self.wire_bytes}
        if self.ids is not None:
            found |= {"unique": len(self.ids.seen), "duplicates": self.ids.total - len(self.ids.seen)}
        return found

    async def command(self, line: str) -> dict[str, int]:
        """Carry out one line of stdin and return the answer."""
        name, _, argument = line.partition(" ")
        match name:
            case "stats":
                pass
            case "rate":
                self.pace.rate = float(argument)
            case "refuse":
                self.refusing = argument == "1"
            case "missing" if self.ids is not None:
                size, *firsts = map(int, argument.split())
                return {"missing": self.ids.missing(size, firsts)}
            case "down":
                await self.close_grpc()
            case "up":
                await self.open_grpc(f"127.0.0.1:{self.grpc_port}")
            case _:
                valid = "stats, rate N, refuse 0|1, down, up, missing SIZE FIRST ..."
                raise ValueError(f"benchmarks.sink: unknown command {line!r}; valid: {valid}")
        return self.stats()

    async def open_grpc(self, address: str) -> None:
        """Serve gRPC on `address`."""
        self.grpc_server, self.grpc_port = await serve_grpc(self, address)

    async def close_grpc(self) -> None:
        """Close the gRPC port and every connection."""
        if self.grpc_server is not None:
            await self.grpc_server.stop(0)


def raw_handler(path: str, export: Callable[..., Any]) -> grpc.GenericRpcHandler[bytes, bytes]:
    """Serves the unary method at `path` ("/package.Service/Method") on bytes."""
    service, method = path.strip("/").split("/")
    return grpc.method_handlers_generic_handler(service, {method: grpc.unary_unary_rpc_method_handler(export)})


async def serve_grpc(sink: Sink, address: str) -> tuple[grpc.aio.Server, int]:
    """Start the gRPC server on `address`; returns it and its port."""

    def handler(signal: Signal) -> grpc.GenericRpcHandler[bytes, bytes]:
        async def export(payload: bytes, context: grpc.aio.ServicerContext[bytes, bytes]) -> bytes:
            if not await sink.take(signal, payload):
                await context.abort(grpc.StatusCode.UNAVAILABLE, "sink refuses")
            return b""

        return raw_handler(SERVICES[signal], export)

    server = grpc.aio.server(options=UNLIMITED)
    server.add_generic_rpc_handlers([handler(signal) for signal in SERVICES])
    port = server.add_insecure_port(address)
    await server.start()
    return server, port


def decoder(encoding: str) -> Callable[[bytes], bytes]:
    """The function that inflates a body of this Content-Encoding."""
    return {"": bytes, "identity": bytes, "gzip": igzip.decompress, "deflate": zlib.decompress, "zstd": _unzstd}[
        encoding
    ]


def _unzstd(body: bytes) -> bytes:
    return zstandard.ZstdDecompressor().decompressobj().decompress(body)


async def serve_http(sink: Sink, host: str, port: int) -> tuple[web.ServerRunner, int]:
    """Start the HTTP server; returns its runner and its port."""

    async def handle(request: web.BaseRequest) -> web.StreamResponse:
        signal: Signal = {"/v1/traces": "traces", "/v1/metrics": "metrics", "/v1/logs": "logs"}[request.path]  # type: ignore[assignment]
        # `request.read()` would refuse bodies above 1 MiB.
        raw = await request.content.read()
        sink.wire_bytes += len(raw)
        body = decoder(request.headers.get("Content-Encoding", ""))(raw)
        accepted = await sink.take(signal, body)
        return web.Response(status=200 if accepted else 503, content_type="application/x-protobuf")

    runner = web.ServerRunner(web.Server(handle, auto_decompress=False))
    await runner.setup()
    await web.TCPSite(runner, host, port).start()
    return runner, int(runner.addresses[0][1])


async def commands(answer: Callable[[str], Awaitable[object]]) -> None:
    """Answer each line of stdin with one JSON line on stdout, until stdin ends."""
    reader = asyncio.StreamReader(limit=1 << 28)
    await asyncio.get_running_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    async for line in reader:
        print(json.dumps(await answer(line.decode().strip())), flush=True)


async def run(options: argparse.Namespace) -> None:
    """Serve until stdin ends."""
    sink = Sink(Ids() if options.ids else None, options.marker.encode())
    await sink.open_grpc(f"127.0.0.1:{options.grpc_port}")
    runner, http_port = await serve_http(sink, "127.0.0.1", options.http_port)
    print(json.dumps({"grpc": sink.grpc_port, "http": http_port}), flush=True)
    try:
        await commands(sink.command)
    finally:
        await sink.close_grpc()
        await runner.cleanup()


def main() -> None:
    """Parse the command line and serve."""
    parser = argparse.ArgumentParser(description="Counting OTLP backend for the benchmarks; loopback only.")
    parser.add_argument("--grpc-port", type=int, default=0)
    parser.add_argument("--http-port", type=int, default=0)
    parser.add_argument("--ids", action="store_true", help="decode every span and remember its id")
    parser.add_argument("--marker", default="", help="count how often this text occurs in what arrives")
    uvloop.run(run(parser.parse_args()))


if __name__ == "__main__":
    main()
