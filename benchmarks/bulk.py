"""Fills a store over OTLP/gRPC: many requests on their way, refused ones sent again, every one acknowledged."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterable
from typing import Any

import grpc
import grpc.aio

from benchmarks.loadgen import RECONNECT, RETRYABLE_GRPC
from benchmarks.payloads import SERVICES, Signal
from benchmarks.process import BenchmarkError
from benchmarks.sink import UNLIMITED

IN_FLIGHT = 8
PATIENCE_SECONDS = 600.0


def fill(port: int, signal: Signal, bodies: Iterable[bytes]) -> float:
    """Send every body to 127.0.0.1:`port` and return the seconds it took; BenchmarkError when one is refused."""
    return asyncio.run(_fill(f"127.0.0.1:{port}", signal, bodies))


async def _fill(target: str, signal: Signal, bodies: Iterable[bytes]) -> float:
    started, left = time.monotonic(), iter(bodies)
    opened: Any = grpc.aio.insecure_channel(target, options=[*UNLIMITED, *RECONNECT])
    async with opened as channel:
        call = channel.unary_unary(SERVICES[signal])

        async def lane() -> None:
            for body in left:
                await _deliver(call, body)

        await asyncio.gather(*(lane() for _ in range(IN_FLIGHT)))
    return time.monotonic() - started


async def _deliver(call: Any, body: bytes) -> None:
    deadline = time.monotonic() + PATIENCE_SECONDS
    while True:
        try:
            await call(body, timeout=60)
            return
        except grpc.aio.AioRpcError as error:
            # A request that ran out of time may be stored already, and must not be stored twice.
            again = error.code() in RETRYABLE_GRPC and error.code() is not grpc.StatusCode.DEADLINE_EXCEEDED
            if not again or time.monotonic() > deadline:
                raise BenchmarkError(f"bulk: {error.code().name}: {error.details()}") from error
        await asyncio.sleep(0.2)
