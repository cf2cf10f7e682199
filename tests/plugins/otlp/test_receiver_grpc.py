import asyncio
import gzip
import os
import zlib
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import grpc
import grpc.aio
import pytest
from google.rpc.error_details_pb2 import RetryInfo
from google.rpc.status_pb2 import Status
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceResponse
from opentelemetry.proto.collector.trace.v1.trace_service_pb2_grpc import TraceServiceStub

from certificates import Certificates
from ophion_agent.plugin import Logs, Metrics, OphionError, PermanentError, RetryableError, Traces, Unauthenticated
from ophion_agent.testing import Sink, make_batch, make_traces
from ophion_otlp.grpc_server import service_and_method

TRACES, METRICS, LOGS = ("/{}/{}".format(*service_and_method(signal)) for signal in (Traces, Metrics, Logs))


class OnlyAlice:
    async def authenticate(self, headers: Mapping[str, Sequence[str]]) -> Mapping[str, str]:
        if headers.get("authorization") != ("alice",):
            raise Unauthenticated("who are you?")
        return {}


@asynccontextmanager
async def channel_to(receiver: Any, **options: Any) -> AsyncIterator[grpc.aio.Channel]:
    channel = grpc.aio.insecure_channel(f"127.0.0.1:{receiver.grpc.port}", **options)
    try:
        yield channel
    finally:
        await channel.close(None)


async def send(receiver: Any, payload: bytes, path: str = TRACES, **arguments: Any) -> bytes:
    async with channel_to(receiver) as channel:
        return await channel.unary_unary(path, None, None)(payload, **arguments)


async def refused(receiver: Any, payload: bytes, path: str = TRACES, **arguments: Any) -> grpc.aio.AioRpcError:
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await send(receiver, payload, path, **arguments)
    return caught.value


def retry_delay(error: grpc.aio.AioRpcError) -> float | None:
    trailing: Any = error.trailing_metadata()
    for key, value in trailing:
        if key == "grpc-status-details-bin":
            info = RetryInfo()
            assert Status.FromString(value).details[0].Unpack(info)
            return float(info.retry_delay.ToMilliseconds() / 1000)
    return None


async def test_takes_every_signal_as_it_came(receive: Any, sink: Sink) -> None:
    receiver = await receive(grpc={})
    for signal, path in ((Traces, TRACES), (Metrics, METRICS), (Logs, LOGS)):
        batch = make_batch(signal, 3)
        assert await send(receiver, batch.payload, path) == b""
        assert type(sink.batches[-1]) is signal
        assert sink.batches[-1].payload == batch.payload
    metrics = receiver.context.metrics
    assert metrics.total("otelcol_receiver_accepted_spans", receiver="otlp", transport="grpc") == 3
    assert metrics.total("otelcol_receiver_accepted_metric_points", transport="grpc") == 3


async def test_answers_a_generated_client(receive: Any, sink: Sink) -> None:
    receiver = await receive(grpc={})
    async with channel_to(receiver) as channel:
        response = await TraceServiceStub(channel).Export(make_traces(2).view().message)  # type: ignore[no-untyped-call]
    assert response == ExportTraceServiceResponse()
    assert sink.items == 2


async def test_takes_empty_requests(receive: Any, sink: Sink) -> None:
    assert await send(await receive(grpc={}), b"") == b""
    assert sink.items == 0


async def test_takes_gzip(receive: Any, sink: Sink) -> None:
    batch = make_traces(100)
    await send(await receive(grpc={}), batch.payload, compression=grpc.Compression.Gzip)
    assert sink.batches[0].payload == batch.payload


async def test_does_not_serve_other_compressions(receive: Any) -> None:
    error = await refused(await receive(grpc={}), make_traces(100).payload, compression=grpc.Compression.Deflate)
    assert error.code() is grpc.StatusCode.UNIMPLEMENTED


@pytest.mark.parametrize("payload", [b"\xff\xff\xff", b"\x0a\x05\x01", b"\x0a\xff\xff\xff\xff\x0f", b"not protobuf"])
async def test_refuses_malformed_requests(receive: Any, sink: Sink, payload: bytes) -> None:
    receiver = await receive(grpc={})
    error = await refused(receiver, payload)
    assert error.code() is grpc.StatusCode.INVALID_ARGUMENT
    assert "malformed protobuf" in str(error.details())
    assert not sink.batches
    assert receiver.context.metrics.total("ophion_receiver_refused_requests", transport="grpc") == 1


async def test_refuses_invalid_utf8(receive: Any) -> None:
    payload = make_traces(1, service="AAAA").payload.replace(b"AAAA", b"A\xff\xfeA")
    assert (await refused(await receive(grpc={}), payload)).code() is grpc.StatusCode.INVALID_ARGUMENT


async def test_refuses_truncated_gzip(receive: Any) -> None:
    error = await refused(await receive(grpc={}), gzip.compress(make_traces(50).payload)[:-20])
    assert error.code() is grpc.StatusCode.INVALID_ARGUMENT
    assert "ends too early" in str(error.details())


async def test_refuses_a_bomb_without_inflating_it(receive: Any, sink: Sink) -> None:
    receiver = await receive(grpc={"max_recv_msg_size_mib": 1})
    error = await refused(receiver, bytes(64 << 20), compression=grpc.Compression.Gzip)
    assert error.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
    assert retry_delay(error) is None
    assert not sink.batches


async def test_refuses_oversize_requests(receive: Any) -> None:
    error = await refused(await receive(grpc={"max_recv_msg_size_mib": 1}), bytes((1 << 20) + 1))
    assert error.code() is grpc.StatusCode.RESOURCE_EXHAUSTED


@pytest.mark.parametrize(
    ("raised", "code", "delay"),
    [
        (PermanentError("never"), grpc.StatusCode.INVALID_ARGUMENT, None),
        (RetryableError("later"), grpc.StatusCode.UNAVAILABLE, None),
        (RetryableError("later", 2.5), grpc.StatusCode.UNAVAILABLE, 2.5),
        (RetryableError("full", admission=True), grpc.StatusCode.RESOURCE_EXHAUSTED, 1.0),
        (RetryableError("full", 4, admission=True), grpc.StatusCode.RESOURCE_EXHAUSTED, 4.0),
    ],
)
async def test_tells_the_sender_why(
    receive: Any, sink: Sink, raised: OphionError, code: grpc.StatusCode, delay: float | None
) -> None:
    sink.error = raised
    receiver = await receive(grpc={})
    error = await refused(receiver, make_traces(3).payload)
    assert (error.code(), error.details(), retry_delay(error)) == (code, str(raised), delay)
    assert receiver.context.metrics.total("otelcol_receiver_refused_spans", transport="grpc") == 3


async def test_an_internal_fault_is_retryable(receive: Any, sink: Sink) -> None:
    sink.error = ZeroDivisionError("oops")
    assert (await refused(await receive(grpc={}), make_traces(1).payload)).code() is grpc.StatusCode.UNAVAILABLE


async def test_asks_for_admission_before_decoding(receive: Any, sink: Sink) -> None:
    asked: list[int] = []

    def full(nbytes: int) -> None:
        asked.append(nbytes)
        raise RetryableError("memory limit", admission=True)

    receiver = await receive(grpc={})
    receiver.guard([full])
    error = await refused(receiver, b"\xff not even protobuf")
    assert error.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
    assert asked == [len(b"\xff not even protobuf")]


async def test_does_not_serve_signals_without_a_pipeline(receive: Any, sink: Sink) -> None:
    receiver = await receive(grpc={})
    receiver.connect({Traces: sink})
    error = await refused(receiver, make_batch(Logs).payload, LOGS)
    assert error.code() is grpc.StatusCode.UNIMPLEMENTED
    assert error.details() == "no pipeline takes logs from this receiver"
    await send(receiver, make_traces(1).payload)


async def test_lets_only_authenticated_senders_in(receive: Any, sink: Sink) -> None:
    receiver = await receive(grpc={"auth": {"authenticator": "alice"}}, services={"alice": OnlyAlice()})
    error = await refused(receiver, make_traces(1).payload)
    assert (error.code(), error.details()) == (grpc.StatusCode.UNAUTHENTICATED, "who are you?")
    assert receiver.context.metrics.total("ophion_receiver_refused_requests") == 1
    await send(receiver, make_traces(1).payload, metadata=(("authorization", "alice"),))
    assert sink.items == 1


async def test_hands_on_the_senders_headers_when_asked(receive: Any, sink: Sink) -> None:
    headers = (("x-tenant", "a"), ("x-tenant", "b"))
    await send(await receive(grpc={"include_metadata": True}), make_traces(1).payload, metadata=headers)
    assert sink.batches[0].metadata["x-tenant"] == ("a", "b")
    await send(await receive(grpc={}), make_traces(1).payload, metadata=headers)
    assert not sink.batches[1].metadata


async def test_says_when_the_port_is_in_use(receive: Any) -> None:
    first = await receive(grpc={})
    with pytest.raises(OphionError, match=rf"cannot listen on 127.0.0.1:{first.grpc.port}: the address is in use"):
        await receive(grpc={"endpoint": f"127.0.0.1:{first.grpc.port}"})


async def test_serves_on_a_unix_socket(receive: Any, sink: Sink, tmp_path: Path) -> None:
    await receive(grpc={"endpoint": f"unix://{tmp_path}/otlp.sock"})
    async with grpc.aio.insecure_channel(f"unix:{tmp_path}/otlp.sock") as channel:
        await channel.unary_unary(TRACES, None, None)(make_traces(1).payload)
    assert sink.items == 1


async def test_serves_mutual_tls_and_takes_up_renewed_certificates(receive: Any, sink: Sink, tmp_path: Path) -> None:
    certificates = Certificates(tmp_path)
    tls = {**certificates.pair("server"), "client_ca_file": certificates.path("ca.pem"), "reload_interval": "1ns"}
    receiver = await receive(grpc={"tls": tls})
    port = receiver.grpc.port

    async def call(**pair: bytes) -> None:
        credentials = grpc.ssl_channel_credentials((tmp_path / "ca.pem").read_bytes(), **pair)
        options = [("grpc.use_local_subchannel_pool", 1)]
        async with grpc.aio.secure_channel(f"localhost:{port}", credentials, options=options) as channel:
            await channel.unary_unary(TRACES, None, None)(make_traces(1).payload, timeout=10)

    pair = {
        "private_key": (tmp_path / "client.key").read_bytes(),
        "certificate_chain": (tmp_path / "client.pem").read_bytes(),
    }
    await call(**pair)
    with pytest.raises(grpc.aio.AioRpcError):
        await call()
    certificates.authority = Certificates(tmp_path).authority
    pair["private_key"] = (tmp_path / "client.key").read_bytes()
    pair["certificate_chain"] = (tmp_path / "client.pem").read_bytes()
    await call(**pair)
    assert sink.items == 2


async def test_survives_garbage_and_half_open_connections(receive: Any, sink: Sink) -> None:
    receiver = await receive(grpc={})
    writers = []
    for begun in (b"", b"PRI * HTTP/2.0\r\n", b"GET / HTTP/1.1\r\n\r\n", os.urandom(500), zlib.compress(bytes(999))):
        _, writer = await asyncio.open_connection("127.0.0.1", receiver.grpc.port)
        writer.write(begun)
        writers.append(writer)
    await send(receiver, make_traces(2).payload)
    assert sink.items == 2
    for writer in writers:
        writer.close()


async def test_takes_many_tiny_requests(receive: Any, sink: Sink) -> None:
    receiver = await receive(grpc={})
    payload = make_traces(1).payload
    async with channel_to(receiver) as channel:
        method = channel.unary_unary(TRACES, None, None)

        async def some(number: int) -> None:
            for _ in range(number):
                await method(payload)

        await asyncio.gather(*(some(200) for _ in range(10)))
    assert sink.items == 2000


async def test_keeps_good_data_beside_refused_requests(receive: Any, sink: Sink) -> None:
    receiver = await receive(grpc={})
    good = make_traces(3).payload
    outcomes = await asyncio.gather(
        *(send(receiver, payload) for payload in [good, b"\xff", good[:-5], good, b"\x1f\x8bjunk"]),
        return_exceptions=True,
    )
    assert [type(outcome) for outcome in outcomes if outcome != b""] == [grpc.aio.AioRpcError] * 3
    assert [batch.payload for batch in sink.batches] == [good, good]


def test_knows_the_services_of_otlp() -> None:
    assert TRACES == "/opentelemetry.proto.collector.trace.v1.TraceService/Export"
    assert METRICS == "/opentelemetry.proto.collector.metrics.v1.MetricsService/Export"
    assert LOGS == "/opentelemetry.proto.collector.logs.v1.LogsService/Export"
