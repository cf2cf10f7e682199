"""The live tail, on a real store."""

import asyncio
import json
import time
from collections.abc import AsyncIterator
from typing import Any

import pytest
import pytest_asyncio
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest

from ophion_agent.clock import Clock
from ophion_agent.server import BadRequest, Call, Overloaded, Stream
from ophion_api.logs_models import LogTailQuery
from ophion_api.telemetry import TelemetryApi
from telemetry_sample import OTHER, Shop, running_shop, telemetry_api
from telemetry_store import ingest

pytestmark = pytest.mark.asyncio(loop_scope="module")


class HastyClock(Clock):
    """Real time, in which nobody has to wait: what sleeps goes on at once."""

    def __init__(self) -> None:
        self.slept = 0.0

    def monotonic(self) -> float:
        """Return the seconds slept."""
        return self.slept

    async def sleep(self, seconds: float) -> None:
        """Count the seconds."""
        self.slept += seconds
        await asyncio.sleep(0)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def shop(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Shop]:
    async with running_shop(tmp_path_factory.mktemp("tail")) as running:
        yield running


@pytest_asyncio.fixture(loop_scope="module")
async def extension(shop: Shop) -> AsyncIterator[TelemetryApi]:
    async with telemetry_api(shop.store, clock=HastyClock(), tail_lines_per_second=3, tail_max_clients=2) as running:
        yield running


def logs(*bodies: str, service: str = "live", age_seconds: float = 0) -> bytes:
    """Return a request of records that were made just now."""
    request = ExportLogsServiceRequest()
    group = request.resource_logs.add()
    group.resource.attributes.add(key="service.name").value.string_value = service
    scope = group.scope_logs.add()
    now = time.time_ns() - int(age_seconds * 1e9)
    for n, body in enumerate(bodies):
        scope.log_records.add(time_unix_nano=now + n, severity_number=9).body.string_value = body
    return request.SerializeToString()


async def follow(extension: TelemetryApi, last: str = "", **query: Any) -> Stream:
    (route,) = [route for route in extension.routes() if route.path == "/api/logs/tail"]
    headers = {"last-event-id": last} if last else {}
    stream: Stream = await route.handler(Call(query=LogTailQuery(**query), headers=headers, principal=PRINCIPAL))
    return stream


PRINCIPAL = OTHER.__class__("tail", "api_key", "default", OTHER.permissions)


def events(chunk: bytes) -> list[tuple[str, str, Any]]:
    """Return (event, id, data) of a chunk."""
    found = []
    for text in chunk.decode().split("\n\n"):
        fields = dict(line.split(": ", 1) for line in text.splitlines() if not line.startswith(":"))
        if "data" in fields:
            found.append((fields["event"], fields["id"], json.loads(fields["data"])))
    return found


def bodies(chunk: bytes) -> list[str]:
    return [data["body"] for event, _, data in events(chunk) if event == "log"]


async def test_sends_each_new_record_once(shop: Shop, extension: TelemetryApi) -> None:
    stream = await follow(extension, query="apple OR pear", service="live")
    assert stream.media_type == "text/event-stream"
    assert (await anext(stream.chunks)).startswith(b": following\n")
    await ingest(shop.store, "logs", logs("an apple", "a stone"))
    chunk = await anext(stream.chunks)
    ((event, identity, record),) = events(chunk)
    assert (event, record["body"], record["service"]) == ("log", "an apple", "live")
    assert record["resource"] == {"service.name": "live"}
    assert identity
    # Polls look back some seconds; what was sent is not sent again, so that a heart-beat comes next.
    assert await anext(stream.chunks) == b": still here\n\n"
    await ingest(shop.store, "logs", logs("a pear"))
    assert bodies(await anext(stream.chunks)) == ["a pear"]
    await stream.chunks.aclose()  # type: ignore[attr-defined]


async def test_says_how_many_it_left_out(shop: Shop, extension: TelemetryApi) -> None:
    stream = await follow(extension, service="flood")
    await anext(stream.chunks)
    await ingest(shop.store, "logs", logs(*(f"line {n}" for n in range(10)), service="flood"))
    chunk = await anext(stream.chunks)
    event, _, data = events(chunk)[0]
    assert (event, data) == ("dropped", {"records": 7})
    assert bodies(chunk) == ["line 7", "line 8", "line 9"]
    await stream.chunks.aclose()  # type: ignore[attr-defined]


async def test_goes_on_after_the_last_event(shop: Shop, extension: TelemetryApi) -> None:
    stream = await follow(extension, service="resumed")
    await anext(stream.chunks)
    await ingest(shop.store, "logs", logs("first", service="resumed"))
    ((_, identity, _),) = events(await anext(stream.chunks))
    await stream.chunks.aclose()  # type: ignore[attr-defined]
    await ingest(shop.store, "logs", logs("while away", service="resumed"))
    stream = await follow(extension, last=identity, service="resumed")
    await anext(stream.chunks)
    assert "while away" in bodies(await anext(stream.chunks))
    await stream.chunks.aclose()  # type: ignore[attr-defined]


async def test_begins_now_where_the_last_event_is_unknown(shop: Shop, extension: TelemetryApi) -> None:
    await ingest(shop.store, "logs", logs("now", service="unknown"))
    stream = await follow(extension, last="nonsense", service="unknown")
    await anext(stream.chunks)
    await ingest(shop.store, "logs", logs("then", service="unknown"))
    assert bodies(await anext(stream.chunks))[-1] == "then"
    await stream.chunks.aclose()  # type: ignore[attr-defined]


async def test_does_not_follow_records_of_long_ago(shop: Shop, extension: TelemetryApi) -> None:
    stream = await follow(extension, service="late")
    await anext(stream.chunks)
    await ingest(shop.store, "logs", logs("old", service="late", age_seconds=7200))
    await ingest(shop.store, "logs", logs("new", service="late", age_seconds=1800))
    assert bodies(await anext(stream.chunks)) == ["new"]
    await stream.chunks.aclose()  # type: ignore[attr-defined]


async def test_refuses_more_tails_than_it_may_have(extension: TelemetryApi) -> None:
    streams = [await follow(extension) for _ in range(2)]
    for stream in streams:
        await anext(stream.chunks)
    with pytest.raises(Overloaded, match="2 live tails run already; close one, or raise `tail_max_clients`"):
        await follow(extension)
    for stream in streams:
        await stream.chunks.aclose()  # type: ignore[attr-defined]
    await (await follow(extension)).chunks.aclose()  # type: ignore[attr-defined]


@pytest.mark.parametrize("query", ['"open', "path:/(/", "code>x"])
async def test_refuses_a_wrong_query_before_the_stream_begins(extension: TelemetryApi, query: str) -> None:
    with pytest.raises(BadRequest):
        await follow(extension, query=query)


async def test_streams_over_http(shop: Shop) -> None:
    url = f"{shop.server.url}/api/logs/tail?query=wire"
    async with (
        asyncio.timeout(30),
        shop.server.session.get(url, headers={"Authorization": "Bearer reader"}) as response,
    ):
        assert response.headers["Content-Type"].startswith("text/event-stream")
        assert await response.content.readline() == b": following\n"
        await ingest(shop.store, "logs", logs("over the wire"))
        while not (line := await response.content.readline()).startswith(b"data: "):
            pass
        assert json.loads(line.removeprefix(b"data: "))["body"] == "over the wire"
    refused = await shop.server.get("/api/logs/tail?query=(", key="reader")
    assert refused.status == 422
