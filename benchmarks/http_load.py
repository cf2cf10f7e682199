"""A process of its own that asks an HTTP server over some connections, as fast as it answers or at a steady rate.

python -m benchmarks.http_load --target 127.0.0.1:8000 --path /hello/eve --connections 16

On stdin `run SECONDS [RATE]`, on stdout a line of JSON for each. Speaks HTTP/1.1 with a Content-Length or with a
connection for each request; whatever the server does, a run ends.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
import time
from dataclasses import dataclass, field
from typing import cast

import uvloop

from benchmarks.process import quantiles

PATIENCE_SECONDS = 10.0


class Line(asyncio.Protocol):
    """One connection, with one request at a time on it."""

    def __init__(self) -> None:
        self._transport: asyncio.WriteTransport | None = None
        self._answer: asyncio.Future[bool] | None = None
        self._received = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Remember where to write."""
        # uvloop's transports are none of asyncio's classes.
        self._transport = cast(asyncio.WriteTransport, transport)

    def data_received(self, data: bytes) -> None:
        """Finish the request once its answer is complete."""
        self._received += data
        head, separator, body = self._received.partition(b"\r\n\r\n")
        length = content_length(head) if separator else None
        if length is not None and len(body) >= length:
            self._finish()

    def connection_lost(self, _: Exception | None) -> None:
        """Take what came without a length as the answer."""
        self._transport = None
        self._finish()

    def _finish(self) -> None:
        if self._answer is not None and not self._answer.done():
            self._answer.set_result(self._received.startswith((b"HTTP/1.1 200", b"HTTP/1.0 200")))

    @property
    def is_open(self) -> bool:
        """Whether another request can be sent."""
        ends = self._received.startswith(b"HTTP/1.0") or b"close" in self._received
        return self._transport is not None and not self._transport.is_closing() and not ends

    async def ask(self, request: bytes) -> bool:
        """Whether the answer was a 200."""
        if self._transport is None:
            return False
        self._received, self._answer = b"", asyncio.get_running_loop().create_future()
        self._transport.write(request)
        return await self._answer

    def close(self) -> None:
        """Close the connection."""
        if self._transport is not None:
            self._transport.close()


def content_length(head: bytes) -> int | None:
    """The length that the head of an answer tells."""
    for line in head.split(b"\r\n")[1:]:
        name, _, value = line.partition(b":")
        if name.lower() == b"content-length":
            return int(value)
    return None


@dataclass
class Load:
    """What is asked, and what came of it."""

    host: str
    port: int
    request: bytes
    connections: int
    latencies: list[float] = field(default_factory=list)
    errors: int = 0

    async def run(self, seconds: float, rate: float) -> dict[str, float]:
        """Ask for some seconds, `rate` times a second or, with 0, as often as answers come."""
        self.latencies, self.errors = [], 0
        began, cpu = time.perf_counter(), time.process_time()
        lanes = [self._lane(number, began, began + seconds, rate) for number in range(self.connections)]
        try:
            async with asyncio.timeout(seconds + PATIENCE_SECONDS):
                await asyncio.gather(*lanes)
        except TimeoutError:
            self.errors += 1
        spent = time.perf_counter() - began
        found = {name: value * 1000 for name, value in quantiles(self.latencies).items()}
        busy = (time.process_time() - cpu) / spent
        return {"requests": len(self.latencies), "errors": self.errors, "seconds": spent, "busy": busy, **found}

    async def _lane(self, number: int, began: float, end: float, rate: float) -> None:
        """Ask one after the other; at a rate, lanes take turns, and waiting counts from when it was due."""
        every = self.connections / rate if rate else 0.0
        due = began + every * number / self.connections
        line = Line()
        while (now := time.perf_counter()) < end:
            if due > now:
                await asyncio.sleep(min(due, end) - now)
                continue
            line = await self._ask(line, due if rate else now)
            due += every
        line.close()

    async def _ask(self, line: Line, due: float) -> Line:
        try:
            if not line.is_open:
                line.close()
                _, line = await asyncio.get_running_loop().create_connection(Line, self.host, self.port)
            answered = await line.ask(self.request)
        except OSError:
            answered = False
        if answered:
            self.latencies.append(time.perf_counter() - due)
        else:
            self.errors += 1
            await asyncio.sleep(0.01)
        return line


async def serve(load: Load) -> None:
    """Answer commands until stdin ends."""
    print(json.dumps({"ready": True}), flush=True)
    while line := await asyncio.to_thread(sys.stdin.readline):
        _, seconds, *rate = line.split()
        print(json.dumps(await load.run(float(seconds), float(rate[0]) if rate else 0.0)), flush=True)


def main() -> None:
    """Parse the command line and serve."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--target", required=True, help="HOST:PORT")
    parser.add_argument("--path", default="/")
    parser.add_argument("--connections", type=int, default=16)
    options = parser.parse_args()
    host, _, port = options.target.partition(":")
    request = f"GET {options.path} HTTP/1.1\r\nHost: {options.target}\r\n\r\n".encode()
    uvloop.run(serve(Load(host, int(port), request, options.connections)))


if __name__ == "__main__":
    main()
