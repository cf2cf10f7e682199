"""Sends answers to clients that may be slow or gone: each piece has a deadline."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from typing import Final

from aiohttp import web

from ophion_agent.clock import Clock
from ophion_agent.server import Reply, Stream
from ophion_api.answers import content_type, response_of
from ophion_api.exchange import Faults

# What fits into the socket's buffers never waits for the client.
_LARGE_BYTES: Final = 64 << 10
_EVENTS: Final = "text/event-stream"


@dataclass(frozen=True, slots=True)
class Begun:
    """A stream whose first chunk is there, so that what fails at once is still answered with a status of its own."""

    first: bytes | None
    stream: Stream


async def begin(stream: Stream) -> Begun:
    """Fetch the first chunk; a live stream, whose first event may be long in coming, begins without one."""
    if stream.media_type.startswith(_EVENTS):
        return Begun(b"", stream)
    try:
        return Begun(await anext(stream.chunks, None), stream)
    except BaseException:
        await close(stream.chunks)
        raise


async def close(chunks: AsyncIterator[bytes]) -> None:
    """End the iterator, so that what it holds is let go now."""
    aclose = getattr(chunks, "aclose", None)
    if aclose is not None:
        await aclose()


@dataclass(frozen=True, slots=True)
class Sender:
    """Writes responses; a client that takes nothing for `seconds` (0: no limit) is disconnected."""

    clock: Clock
    seconds: float
    faults: Faults

    async def send(self, request: web.Request, reply: Reply | Begun) -> web.StreamResponse:
        """Send the answer, or return it for aiohttp to send where that takes no time."""
        if isinstance(reply, Begun):
            return await self._stream(request, reply)
        response = await response_of(reply, request.headers.get("Accept-Encoding", ""))
        if isinstance(response.body, bytes) and len(response.body) > _LARGE_BYTES:
            with _client_may_be_gone(request):
                await response.prepare(request)
                await self.clock.wait_for(response.write_eof(), self.seconds or None)
        return response

    async def _stream(self, request: web.Request, begun: Begun) -> web.StreamResponse:
        stream = begun.stream
        response = web.StreamResponse(headers={"Content-Type": content_type(stream.media_type), **stream.headers})
        try:
            with _client_may_be_gone(request):
                await response.prepare(request)
                if request.method != "HEAD":
                    await self._chunks(response, begun)
                await response.write_eof()
        except Exception:  # noqa: BLE001 - logged and counted; the status is sent, so only the connection can tell
            self.faults.problem(request, "stream_failed")
            _disconnect(request)
        finally:
            await close(stream.chunks)
        return response

    async def _chunks(self, response: web.StreamResponse, begun: Begun) -> None:
        if begun.first is None:
            return
        if begun.first:
            await self._write(response, begun.first)
        async for chunk in begun.stream.chunks:
            await self._write(response, chunk)

    async def _write(self, response: web.StreamResponse, chunk: bytes) -> None:
        try:
            await self.clock.wait_for(response.write(chunk), self.seconds or None)
        except TimeoutError as error:
            raise ConnectionError("the client takes nothing") from error


@contextlib.contextmanager
def _client_may_be_gone(request: web.Request) -> Iterator[None]:
    try:
        yield
    except (ConnectionError, TimeoutError):
        _disconnect(request)


def _disconnect(request: web.Request) -> None:
    if request.transport is not None:
        request.transport.abort()
