"""Bad input to the real process: the sender gets the protocol's error, everybody else is served as before."""

import asyncio
import gzip
import io
import math
import struct
from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import grpc
import grpc.aio
import pytest
import pytest_asyncio
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from agent_process import AgentProcess, eventually
from e2e.backend import Backend
from e2e.configs import otlp_to
from e2e.sender import EXPORT, Sender, raw, retry_delay, traces

pytestmark = pytest.mark.asyncio(loop_scope="module")

PROTOBUF, JSON = "application/x-protobuf", "application/json"
GOOD = traces([b"\0goodone"]).SerializeToString()
INVALID_UTF8 = GOOD.replace(b"numbered", b"numb\xff\xfeed")
OVERSIZE = traces([b"\0toobig\0"], 2 << 20).SerializeToString()
BOMB = gzip.compress(bytes(100 << 20), 9)
TOKEN = {"authorization": "Bearer right"}
LIMITS = {"http": {"max_request_body_size": 1 << 20}, "grpc": {"max_recv_msg_size_mib": 1}}


def receiver(**settings: Any) -> dict[str, Any]:
    """An otlp receiver on free ports that takes at most one MiB."""
    return {"protocols": {name: {"endpoint": "127.0.0.1:0", **limit, **settings} for name, limit in LIMITS.items()}}


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def backend() -> AsyncIterator[Backend]:
    async with Backend() as backend:
        yield backend


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def agent(backend: Backend, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[AgentProcess]:
    """One agent for all the bad input: what one test does to it, the next one would feel."""
    pipeline = {"receivers": ["otlp", "otlp/secured"], "processors": ["batch"], "exporters": ["otlp"]}
    config = {
        "receivers": {"otlp": receiver(), "otlp/secured": receiver(auth={"authenticator": "bearertokenauth"})},
        "processors": {"batch": {"timeout": "10ms"}},
        "exporters": {"otlp": otlp_to(backend.endpoint)},
        "extensions": {"bearertokenauth": {"token": "right"}},
        "service": {"extensions": ["bearertokenauth"], "pipelines": {"traces": pipeline, "metrics": pipeline}},
    }
    async with AgentProcess(tmp_path_factory.mktemp("agent"), config) as agent:
        yield agent


async def post(
    agent: AgentProcess, body: bytes, receiver: str = "otlp", path: str = "/v1/traces", **headers: str
) -> int:
    """Return the status of the answer to an HTTP request; `headers` are written with underscores."""
    names = {name.replace("_", "-"): value for name, value in headers.items()}
    url = agent.endpoint(receiver, "http") + path
    async with (
        aiohttp.ClientSession() as session,
        session.post(url, data=io.BytesIO(body), headers={"content-type": PROTOBUF, **names}) as response,
    ):
        return response.status


async def call(
    agent: AgentProcess, payload: bytes, receiver: str = "otlp", **options: Any
) -> grpc.aio.AioRpcError | None:
    """Return the error of a gRPC call, or None when it was acknowledged."""
    async with grpc.aio.insecure_channel(agent.endpoint(receiver, "grpc")) as channel:
        try:
            await raw(channel, EXPORT)(payload, timeout=20, **options)
        except grpc.aio.AioRpcError as error:
            return error
    return None


async def refused(agent: AgentProcess, transport: str) -> float:
    return await agent.metric("ophion_receiver_refused_requests", transport=transport)


async def good_input_works(agent: AgentProcess, backend: Backend) -> None:
    """Send over both protocols and see it arrive."""
    for number in range(2):
        before = len(backend.spans())
        if number:
            assert await post(agent, GOOD) == 200
        else:
            assert await call(agent, GOOD) is None
        await eventually(lambda before=before: len(backend.spans()) > before, "a good span")
    assert agent.is_running
    assert not agent.events(level="error"), agent.log()


@pytest.mark.parametrize(
    ("status", "body", "headers"),
    [
        pytest.param(400, b"\xff" + GOOD, {}, id="malformed-protobuf"),
        pytest.param(400, GOOD[:-3], {}, id="truncated-protobuf"),
        pytest.param(400, INVALID_UTF8, {}, id="invalid-utf8"),
        pytest.param(400, b'{"resourceSpans": [', {"content_type": JSON}, id="malformed-json"),
        pytest.param(400, b'{"resourceSpans": 7}', {"content_type": JSON}, id="wrong-json"),
        pytest.param(413, BOMB, {"content_encoding": "gzip"}, id="gzip-bomb"),
        pytest.param(400, gzip.compress(GOOD)[:-9], {"content_encoding": "gzip"}, id="truncated-gzip"),
        pytest.param(400, GOOD, {"content_encoding": "gzip"}, id="not-gzip"),
        pytest.param(413, OVERSIZE, {}, id="oversize"),
        pytest.param(415, GOOD, {"content_type": "text/plain"}, id="wrong-content-type"),
        pytest.param(415, GOOD, {"content_encoding": "br"}, id="unknown-encoding"),
    ],
)
async def test_bad_http_request_is_refused_and_counted(
    status: int, body: bytes, headers: dict[str, str], agent: AgentProcess, backend: Backend
) -> None:
    before, spans = await refused(agent, "http"), len(backend.spans())
    assert await post(agent, body, **headers) == status
    assert await refused(agent, "http") == before + 1
    assert len(backend.spans()) == spans
    await good_input_works(agent, backend)


@pytest.mark.parametrize(
    ("code", "payload", "options"),
    [
        pytest.param("INVALID_ARGUMENT", b"\xff" + GOOD, {}, id="malformed-protobuf"),
        pytest.param("INVALID_ARGUMENT", INVALID_UTF8, {}, id="invalid-utf8"),
        pytest.param("RESOURCE_EXHAUSTED", OVERSIZE, {}, id="oversize"),
        pytest.param("RESOURCE_EXHAUSTED", bytes(100 << 20), {"compression": grpc.Compression.Gzip}, id="gzip-bomb"),
        pytest.param("INVALID_ARGUMENT", gzip.compress(GOOD)[:-9], {}, id="truncated-gzip"),
    ],
)
async def test_bad_grpc_request_is_refused_for_good(
    code: str, payload: bytes, options: dict[str, Any], agent: AgentProcess, backend: Backend
) -> None:
    before, spans = await refused(agent, "grpc"), len(backend.spans())
    error = await call(agent, payload, **options)
    assert error is not None
    assert (error.code().name, retry_delay(error)) == (code, None), error.details()
    assert await refused(agent, "grpc") == before + 1
    assert len(backend.spans()) == spans
    await good_input_works(agent, backend)


@pytest.mark.parametrize("headers", [{}, {"authorization": "Bearer wrong"}, {"authorization": "Basic cmlnaHQ6"}])
async def test_unauthenticated_sender_is_refused_and_counted(
    headers: dict[str, str], agent: AgentProcess, backend: Backend
) -> None:
    before = await agent.metric("ophion_receiver_refused_requests", receiver="otlp/secured")
    assert await post(agent, GOOD, "otlp/secured", **headers) == 401
    error = await call(agent, GOOD, "otlp/secured", metadata=tuple(headers.items()))
    assert error is not None
    assert error.code() is grpc.StatusCode.UNAUTHENTICATED
    assert await agent.metric("ophion_receiver_refused_requests", receiver="otlp/secured") == before + 2
    assert await post(agent, GOOD, "otlp/secured", **TOKEN) == 200
    assert await call(agent, GOOD, "otlp/secured", metadata=tuple(TOKEN.items())) is None
    await good_input_works(agent, backend)


async def test_half_open_connections_harm_nobody(agent: AgentProcess, backend: Backend) -> None:
    """Connections that say nothing, half a header, half a body, half an HTTP/2 preface, and then stay."""
    beginnings = {
        "http": [
            b"",
            b"POST /v1/traces HTT",
            f"POST /v1/traces HTTP/1.1\r\nHost: x\r\nContent-Type: {PROTOBUF}\r\nContent-Length: 9999\r\n\r\n".encode()
            + GOOD,
        ],
        "grpc": [b"", b"PRI * HTTP/2.0\r\n", b"\x16\x03\x01\x02\x00\x01"],
    }
    writers = []
    for protocol, texts in beginnings.items():
        for text in texts:
            _, writer = await asyncio.open_connection("127.0.0.1", agent.port("otlp", protocol))
            writer.write(text)
            await writer.drain()
            writers.append(writer)
    await good_input_works(agent, backend)
    for writer in writers:
        writer.transport.abort()
    await good_input_works(agent, backend)


async def test_a_thousand_tiny_requests_all_arrive(agent: AgentProcess, backend: Backend) -> None:
    async with Sender(agent.endpoint("otlp", "grpc"), spans=1) as sender:
        assert all(await asyncio.gather(*(sender.send() for _ in range(1000))))
    await eventually(lambda: not backend.missing(sender.acknowledged), "every span")


async def test_absurd_spans_are_stored_as_they_are(agent: AgentProcess, backend: Backend) -> None:
    """No resource, no ids, an end long before the start, the same id twice, empty and duplicate attributes."""
    request = ExportTraceServiceRequest()
    spans = request.resource_spans.add().scope_spans.add().spans
    for _ in range(2):
        span = spans.add(name="absurd", start_time_unix_nano=2**64 - 1, end_time_unix_nano=1, kind=77)
        span.attributes.add(key="")
        span.attributes.add(key="twice").value.string_value = "a"
        span.attributes.add(key="twice").value.string_value = "b"
    request.resource_spans.add()
    assert await call(agent, request.SerializeToString()) is None
    arrived = await eventually(lambda: [span for span in backend.spans() if span.name == "absurd"], "the absurd spans")
    assert arrived == list(spans)


async def test_numbers_that_are_none_are_stored_as_they_are(agent: AgentProcess, backend: Backend) -> None:
    request = ExportMetricsServiceRequest()
    values = [math.nan, math.inf, -math.inf, 5e-324, -0.0]
    points = request.resource_metrics.add().scope_metrics.add().metrics.add(name="strange").gauge.data_points
    for value in values:
        points.add(as_double=value, time_unix_nano=1)
    assert await post(agent, request.SerializeToString(), path="/v1/metrics") == 200

    def strange() -> list[Any]:
        groups = [group for item in backend.requests for group in getattr(item, "resource_metrics", ())]
        metrics = [metric for group in groups for scope in group.scope_metrics for metric in scope.metrics]
        return [point.as_double for metric in metrics for point in metric.gauge.data_points]

    arrived = await eventually(strange, "the strange numbers")
    assert [struct.pack("<d", value) for value in arrived] == [struct.pack("<d", value) for value in values]
