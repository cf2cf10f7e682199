"""gRPC on the receiver's own server, at the level of bytes and with grpcio's client where that can say it."""

import asyncio
import base64
import gzip
import ssl
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import grpc
import grpc.aio
import pytest
from google.rpc.error_details_pb2 import RetryInfo
from google.rpc.status_pb2 import Status
from hpack import Decoder, Encoder

from certificates import Certificates
from ophion_agent.plugin import RetryableError, Traces
from ophion_agent.testing import Sink, make_traces
from ophion_otlp.grpc_server import limits_of, service_and_method
from ophion_otlp.http2.frames import DATA, END_STREAM, HEADERS, PREFACE, RST_STREAM, frame, settings
from ophion_otlp.receiver_config import GrpcProtocolConfig

TRACES = "/{}/{}".format(*service_and_method(Traces))


async def ask(
    receiver: Any, message: bytes, flag: int = 0, *, tls: ssl.SSLContext | None = None, **fields: Any
) -> Mapping[str, str]:
    """Send one request of hand-made frames; return the fields of the answer's header blocks."""
    chosen: dict[bytes | str, bytes | str] = {
        ":method": "POST",
        ":scheme": "http",
        ":path": TRACES,
        "content-type": "application/grpc",
    }
    chosen |= {name.replace("_", "-").replace("--", ":"): value for name, value in fields.items()}
    reader, writer = await asyncio.open_connection("127.0.0.1", receiver.grpc.port, ssl=tls)
    content = bytes((flag,)) + len(message).to_bytes(4, "big") + message
    head = frame(HEADERS, 4, 1, Encoder().encode(chosen))
    writer.write(PREFACE + settings({}) + head + frame(DATA, END_STREAM, 1, content))
    answer: dict[str, str] = {}
    decoder = Decoder()
    try:
        async with asyncio.timeout(10):
            while True:
                header = await reader.readexactly(9)
                payload = await reader.readexactly(int.from_bytes(header[:3], "big"))
                if header[3] == HEADERS:
                    answer.update(decoder.decode(payload))  # type: ignore[arg-type]
                if header[3] == RST_STREAM or (header[3] in (DATA, HEADERS) and header[4] & END_STREAM):
                    return answer
    finally:
        writer.close()


async def test_answers_success_with_trailers(receive: Any, sink: Sink) -> None:
    answer = await ask(await receive(grpc={}), make_traces(2).payload)
    assert answer == {":status": "200", "content-type": "application/grpc", "grpc-status": "0"}
    assert sink.items == 2


async def test_takes_compressed_and_plain_messages_of_a_gzip_client(receive: Any, sink: Sink) -> None:
    receiver, payload = await receive(grpc={}), make_traces(2).payload
    for flag, message in ((1, gzip.compress(payload)), (0, payload)):
        assert (await ask(receiver, message, flag, grpc_encoding="gzip"))["grpc-status"] == "0"
    assert [batch.payload for batch in sink.batches] == [payload, payload]


@pytest.mark.parametrize(
    ("flag", "encoding", "status"), [(1, "identity", "13"), (1, "", "13"), (2, "gzip", "13"), (1, "br", "12")]
)
async def test_refuses_compression_it_cannot_read(
    receive: Any, sink: Sink, flag: int, encoding: str, status: str
) -> None:
    receiver = await receive(grpc={})
    fields: dict[str, Any] = {"grpc_encoding": encoding} if encoding else {}
    answer = await ask(receiver, b"x", flag, **fields)
    assert answer["grpc-status"] == status
    assert answer.get("grpc-accept-encoding") == ("identity,gzip" if status == "12" else None)
    assert receiver.context.metrics.total("ophion_receiver_refused_requests", transport="grpc") == 1
    assert not sink.batches


@pytest.mark.parametrize(
    ("fields", "status"),
    [
        ({"content_type": "application/json"}, "415"),
        ({"content_type": "application/grpc+json"}, "415"),
        ({"__method": "GET"}, "405"),
    ],
)
async def test_answers_other_http_as_http(receive: Any, sink: Sink, fields: dict[str, Any], status: str) -> None:
    assert (await ask(await receive(grpc={}), b"", **fields))[":status"] == status
    assert not sink.batches


async def test_takes_parameters_and_the_proto_subtype(receive: Any) -> None:
    receiver = await receive(grpc={})
    for content_type in ("application/grpc+proto", "application/grpc;x=y", "Application/gRPC"):
        assert (await ask(receiver, b"", content_type=content_type))["grpc-status"] == "0"


async def test_knows_only_its_methods(receive: Any) -> None:
    fields: dict[str, Any] = {"--path": "/x.Y/Z"}
    answer = await ask(await receive(grpc={}), b"", **fields)
    assert answer["grpc-status"] == "12"
    assert "unknown method /x.Y/Z; there are /opentelemetry" in answer["grpc-message"]


async def test_encodes_messages_and_details(receive: Any, sink: Sink) -> None:
    sink.error = RetryableError("50% zu spät\n", 2.5)
    answer = await ask(await receive(grpc={}), make_traces(1).payload)
    assert answer["grpc-message"] == "50%25 zu sp%C3%A4t%0A"
    details = answer["grpc-status-details-bin"]
    assert "=" not in details
    info = RetryInfo()
    assert Status.FromString(base64.b64decode(details + "==")).details[0].Unpack(info)
    assert info.retry_delay.ToMilliseconds() == 2500


async def test_keeps_long_messages_within_a_frame(receive: Any, sink: Sink) -> None:
    sink.error = RetryableError("ü" * 50_000, 1)
    answer = await ask(await receive(grpc={}), make_traces(1).payload)
    assert unquote(answer["grpc-message"]) == "ü" * 512


async def test_negotiates_http2_over_tls(receive: Any, sink: Sink, tmp_path: Path) -> None:
    certificates = Certificates(tmp_path)
    receiver = await receive(grpc={"tls": {**certificates.pair("server"), "min_version": "1.3"}})
    context = ssl.create_default_context(cafile=certificates.path("ca.pem"))
    context.set_alpn_protocols(["http/1.1", "h2"])
    assert (await ask(receiver, make_traces(1).payload, tls=context))["grpc-status"] == "0"
    _, writer = await asyncio.open_connection("127.0.0.1", receiver.grpc.port, ssl=context)
    assert writer.get_extra_info("ssl_object").selected_alpn_protocol() == "h2"
    writer.close()
    assert sink.items == 1


async def test_lets_running_requests_end_when_it_stops(receive: Any) -> None:
    entered, gate = asyncio.Event(), asyncio.Event()

    class Slow(Sink):
        async def consume(self, batch: Any, /) -> None:
            entered.set()
            await gate.wait()
            await super().consume(batch)

    slow = Slow()
    receiver = await receive(grpc={}, sink=slow)
    async with grpc.aio.insecure_channel(f"127.0.0.1:{receiver.grpc.port}") as channel:
        call = channel.unary_unary(TRACES, None, None)(make_traces(3).payload)
        asking = asyncio.ensure_future(call)
        await entered.wait()
        stopping = asyncio.create_task(receiver.stop())
        await asyncio.sleep(0)
        gate.set()
        assert await asking == b""
        await stopping
    assert slow.items == 3


async def test_a_deadline_cancels_the_request(receive: Any, sink: Sink) -> None:
    cancelled = asyncio.Event()

    class Stuck(Sink):
        async def consume(self, batch: Any, /) -> None:
            try:
                await asyncio.Event().wait()
            finally:
                cancelled.set()

    receiver = await receive(grpc={}, sink=Stuck())
    assert (await ask(receiver, make_traces(1).payload, grpc_timeout="5m"))["grpc-status"] == "4"
    async with asyncio.timeout(5):
        await cancelled.wait()


async def test_a_stop_ends_connections_that_never_spoke(receive: Any) -> None:
    receiver = await receive(grpc={})
    reader, writer = await asyncio.open_connection("127.0.0.1", receiver.grpc.port)
    await reader.readexactly(9)
    await receiver.stop()
    await reader.read()
    assert reader.at_eof()
    writer.close()


def test_takes_its_limits_from_the_configuration() -> None:
    keepalive = {
        "server_parameters": {"max_connection_idle": "11s", "max_connection_age": "1m", "time": "30s", "timeout": "0s"},
        "enforcement_policy": {"min_time": "10s", "permit_without_stream": True},
    }
    config = {"max_recv_msg_size_mib": 100, "max_concurrent_streams": 16, "keepalive": keepalive}
    limits = limits_of(GrpcProtocolConfig.model_validate(config))
    assert (limits.message_bytes, limits.held_bytes, limits.streams) == (100 << 20, 400 << 20, 16)
    pings = limits.pings
    assert (pings.max_idle, pings.max_age, pings.max_age_grace, pings.every, pings.timeout) == (11, 60, None, 30, 20)
    assert (pings.min_interval, pings.without_stream) == (10, True)
    assert limits_of(GrpcProtocolConfig.model_validate({})).streams == 4096
