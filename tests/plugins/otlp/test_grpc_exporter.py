import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from pathlib import Path
from typing import Any

import grpc
import grpc.aio
import pytest
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceResponse

from certificates import Certificates
from ophion_agent.clock import Clock
from ophion_agent.plugin import Logs, Metrics, OphionError, PermanentError, RetryableError, Traces
from ophion_agent.testing import Sink, check_component, make_batch, make_component, make_logs, make_traces
from ophion_otlp.grpc_exporter import OTLPExporter
from ophion_otlp.grpc_server import service_and_method
from ophion_otlp.status import status_of

Connect = Callable[..., Awaitable[OTLPExporter]]


class Backend:
    """A gRPC server that keeps raw requests and their metadata, and answers as told."""

    def __init__(self) -> None:
        self.requests: list[bytes] = []
        self.metadata: list[dict[str, Any]] = []
        self.response = b""
        self.abort: tuple[grpc.StatusCode, bytes | None] | None = None
        self.port = 0

    async def answer(self, request: bytes, context: Any) -> bytes:
        self.requests.append(request)
        self.metadata.append(dict(context.invocation_metadata()))
        if self.abort:
            code, details = self.abort
            await context.abort(code, "because", (("grpc-status-details-bin", details),) if details else ())
        return self.response

    async def start(self, credentials: grpc.ServerCredentials | None = None) -> grpc.aio.Server:
        server = grpc.aio.server()
        for signal in (Traces, Metrics, Logs):
            service, method = service_and_method(signal)
            handlers = {method: grpc.unary_unary_rpc_method_handler(self.answer)}
            server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(service, handlers),))
        address = f"127.0.0.1:{self.port}"
        self.port = server.add_secure_port(address, credentials) if credentials else server.add_insecure_port(address)
        await server.start()
        return server


class Token:
    async def headers(self, metadata: Mapping[str, tuple[str, ...]]) -> Mapping[str, str]:
        return {"Authorization": "Bearer " + ",".join(metadata.get("tenant", ("nobody",)))}


@pytest.fixture
async def backend() -> AsyncIterator[Backend]:
    running = Backend()
    server = await running.start()
    yield running
    await server.stop(None)


@pytest.fixture
async def connect() -> AsyncIterator[Connect]:
    exporters: list[OTLPExporter] = []

    async def start(port: int, options: dict[str, Any] | None = None, **arguments: Any) -> OTLPExporter:
        config = {"endpoint": f"http://127.0.0.1:{port}", **(options or {})}
        exporter = make_component(OTLPExporter, config, **{"clock": Clock(), **arguments})
        exporters.append(exporter)
        await exporter.start()
        return exporter

    yield start
    for exporter in exporters:
        await exporter.stop()
        await exporter.stop()


@pytest.mark.parametrize("compression", ["gzip", "none"])
async def test_sends_every_signal_as_it_is(backend: Backend, connect: Connect, compression: str) -> None:
    exporter = await connect(backend.port, {"compression": compression})
    for signal in (Traces, Metrics, Logs):
        batch: Any = make_batch(signal, 50)
        await exporter.export(batch)
        assert backend.requests[-1] == batch.payload


async def test_sends_large_batches_to_our_own_receiver(receive: Any, sink: Sink, connect: Connect) -> None:
    receiver = await receive(grpc={})
    batch = make_traces(30_000, note="x" * 200)
    await (await connect(receiver.grpc.port)).export(batch)
    assert sink.batches[0].payload == batch.payload


async def test_sends_headers_and_credentials(backend: Backend, connect: Connect) -> None:
    options = {"headers": {"X-Scope": "a"}, "auth": {"authenticator": "token"}}
    exporter = await connect(backend.port, options, services={"token": Token()})
    await exporter.export(Traces.trusted(make_traces(1).payload, metadata={"tenant": ("t1",)}))
    assert backend.metadata[0]["x-scope"] == "a"
    assert backend.metadata[0]["authorization"] == "Bearer t1"
    assert "ophion-agent" in backend.metadata[0]["user-agent"]


@pytest.mark.parametrize(
    ("code", "details", "expected"),
    [
        (grpc.StatusCode.UNAVAILABLE, None, (RetryableError, None)),
        (grpc.StatusCode.UNAVAILABLE, 3.0, (RetryableError, 3.0)),
        (grpc.StatusCode.RESOURCE_EXHAUSTED, None, (PermanentError, None)),
        (grpc.StatusCode.RESOURCE_EXHAUSTED, 0.5, (RetryableError, 0.5)),
        (grpc.StatusCode.INVALID_ARGUMENT, None, (PermanentError, None)),
        (grpc.StatusCode.UNAUTHENTICATED, None, (PermanentError, None)),
        (grpc.StatusCode.DATA_LOSS, None, (RetryableError, None)),
    ],
)
async def test_understands_what_the_server_says(
    backend: Backend, connect: Connect, code: grpc.StatusCode, details: float | None, expected: tuple[Any, Any]
) -> None:
    encoded = status_of(code.value[0], "because", details).SerializeToString() if details is not None else None
    backend.abort = (code, encoded)
    with pytest.raises(OphionError, match=f"{code.name}: because") as caught:
        await (await connect(backend.port)).export(make_traces(1))
    assert (type(caught.value), getattr(caught.value, "retry_after_seconds", None)) == expected


async def test_understands_our_own_receiver(receive: Any, sink: Sink, connect: Connect) -> None:
    exporter = await connect((await receive(grpc={})).grpc.port)
    sink.error = RetryableError("full", 2.5, admission=True)
    with pytest.raises(RetryableError, match="full") as caught:
        await exporter.export(make_traces(1))
    assert caught.value.retry_after_seconds == 2.5
    sink.error = PermanentError("never")
    with pytest.raises(PermanentError, match="never"):
        await exporter.export(make_traces(1))


async def test_an_absent_server_is_retryable_and_found_again(connect: Connect) -> None:
    backend = Backend()
    server = await backend.start()
    await server.stop(None)
    exporter = await connect(backend.port, {"wait_for_ready": False})
    with pytest.raises(RetryableError, match="UNAVAILABLE"):
        await exporter.export(make_traces(1))
    server = await backend.start()
    patient = await connect(backend.port, {"wait_for_ready": True})
    await patient.export(make_traces(1))
    await server.stop(None)


async def test_a_silent_server_ends_at_the_timeout(connect: Connect) -> None:
    writers: list[asyncio.StreamWriter] = []

    async def say_nothing(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writers.append(writer)

    async with await asyncio.start_server(say_nothing, "127.0.0.1", 0) as silent:
        port = silent.sockets[0].getsockname()[1]
        exporter = await connect(port, {"timeout": "100ms", "wait_for_ready": True})
        with pytest.raises(RetryableError, match="DEADLINE_EXCEEDED"):
            await exporter.export(make_traces(1))
        for writer in writers:
            writer.close()


async def test_partial_success_is_counted_and_not_an_error(backend: Backend, connect: Connect) -> None:
    response = ExportLogsServiceResponse()
    response.partial_success.rejected_log_records = 4
    response.partial_success.error_message = "too old"
    backend.response = response.SerializeToString()
    exporter = await connect(backend.port)
    await exporter.export(make_logs(9))
    counted = exporter.context.metrics.total("otelcol_exporter_partial_rejected_items", exporter="otlp", signal="logs")
    assert counted == 4


@pytest.mark.parametrize("response", [b"\x0a\x02\x12\x00", b"\xff\xff"])
async def test_an_odd_response_is_still_success(backend: Backend, connect: Connect, response: bytes) -> None:
    backend.response = response
    await (await connect(backend.port)).export(make_logs(1))


async def test_speaks_mutual_tls_and_takes_up_renewed_certificates(
    receive: Any, sink: Sink, connect: Connect, tmp_path: Path
) -> None:
    certificates = Certificates(tmp_path)
    tls = {**certificates.pair("server"), "client_ca_file": certificates.path("ca.pem"), "reload_interval": "1ns"}
    port = (await receive(grpc={"tls": tls})).grpc.port
    client = {"ca_file": certificates.path("ca.pem"), **certificates.pair("client"), "reload_interval": "1ns"}
    exporter = await connect(port, {"endpoint": f"localhost:{port}", "tls": client})
    await exporter.export(make_traces(1))
    Certificates(tmp_path)
    await exporter.export(make_traces(1))
    assert sink.items == 2


async def test_skipping_verification_takes_any_certificate(
    receive: Any, sink: Sink, connect: Connect, tmp_path: Path
) -> None:
    certificates = Certificates(tmp_path)
    port = (await receive(grpc={"tls": certificates.pair("server")})).grpc.port
    options = {"endpoint": f"https://127.0.0.1:{port}", "tls": {"insecure_skip_verify": True}}
    await (await connect(port, options)).export(make_traces(1))
    assert sink.items == 1


async def test_verifies_the_server_unless_told_otherwise(receive: Any, connect: Connect, tmp_path: Path) -> None:
    port = (await receive(grpc={"tls": Certificates(tmp_path).pair("server")})).grpc.port
    with pytest.raises(RetryableError):
        await (await connect(port, {"endpoint": f"localhost:{port}"})).export(make_traces(1))


async def test_skipping_verification_waits_for_an_absent_server(connect: Connect) -> None:
    options = {"endpoint": "127.0.0.1:1", "tls": {"insecure_skip_verify": True}}
    exporter = await connect(1, options)
    with pytest.raises(RetryableError, match=r"127.0.0.1:1: cannot connect for its certificate"):
        await exporter.export(make_traces(1))


async def test_takes_up_the_certificate_of_a_replaced_server(receive: Any, connect: Connect, tmp_path: Path) -> None:
    first = await receive(grpc={"tls": Certificates(tmp_path).pair("server")})
    endpoint = f"127.0.0.1:{first.grpc.port}"
    exporter = await connect(0, {"endpoint": endpoint, "tls": {"insecure_skip_verify": True}})
    await exporter.export(make_traces(1))
    await first.stop()
    with pytest.raises(RetryableError):
        await exporter.export(make_traces(1))
    await receive(grpc={"endpoint": endpoint, "tls": Certificates(tmp_path).pair("server")})
    await exporter.export(make_traces(1))


async def test_an_exporter_that_is_not_started_is_retryable() -> None:
    exporter = make_component(OTLPExporter, {"endpoint": "localhost:4317"})
    with pytest.raises(RetryableError, match="localhost:4317: the exporter is not started"):
        await exporter.export(make_traces(1))


async def test_keeps_the_contract() -> None:
    await check_component(OTLPExporter, {"endpoint": "localhost:4317", "tls": {"insecure": True}})
