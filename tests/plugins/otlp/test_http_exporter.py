from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceResponse

from certificates import Certificates
from ophion_agent import otlp_json
from ophion_agent.clock import Clock
from ophion_agent.plugin import Logs, Metrics, PermanentError, RetryableError, Traces
from ophion_agent.testing import Sink, check_component, make_batch, make_component, make_traces
from ophion_agent.web import HTTPServerConfig, WebServer
from ophion_otlp.http_exporter import OTLPHTTPExporter

Connect = Callable[..., Awaitable[OTLPHTTPExporter]]


@pytest.fixture
async def connect() -> AsyncIterator[Connect]:
    exporters: list[OTLPHTTPExporter] = []

    async def start(endpoint: str, **options: Any) -> OTLPHTTPExporter:
        exporter = make_component(OTLPHTTPExporter, {"endpoint": endpoint, **options}, clock=Clock())
        exporters.append(exporter)
        await exporter.start()
        return exporter

    yield start
    for exporter in exporters:
        await exporter.stop()
        await exporter.stop()


@pytest.mark.parametrize("encoding", ["proto", "json"])
@pytest.mark.parametrize("compression", ["gzip", "zstd", "none"])
async def test_sends_every_signal(receive: Any, sink: Sink, connect: Connect, encoding: str, compression: str) -> None:
    receiver = await receive(http={})
    exporter = await connect(receiver.http.server.url, encoding=encoding, compression=compression)
    for signal in (Traces, Metrics, Logs):
        batch: Any = make_batch(signal, 20)
        await exporter.export(batch)
        assert type(sink.batches[-1]) is signal
        assert sink.batches[-1].view().message == batch.view().message
        assert encoding == "json" or sink.batches[-1].payload == batch.payload


async def test_understands_our_own_receiver(receive: Any, sink: Sink, connect: Connect) -> None:
    exporter = await connect((await receive(http={})).http.server.url)
    sink.error = RetryableError("full", 3, admission=True)
    with pytest.raises(RetryableError, match="HTTP 429") as caught:
        await exporter.export(make_traces(1))
    assert caught.value.retry_after_seconds == 3
    sink.error = PermanentError("never")
    with pytest.raises(PermanentError, match="HTTP 400"):
        await exporter.export(make_traces(1))


async def test_a_signal_without_a_url_is_refused(connect: Connect) -> None:
    exporter = await connect("", logs_endpoint="http://localhost:1/in")
    with pytest.raises(PermanentError, match="no URL for traces; give `endpoint` or `traces_endpoint`"):
        await exporter.export(make_traces(1))


async def test_an_exporter_that_is_not_started_is_retryable() -> None:
    exporter = make_component(OTLPHTTPExporter, {"endpoint": "http://localhost:1"})
    with pytest.raises(RetryableError, match="the exporter is not started"):
        await exporter.export(make_traces(1))


@pytest.mark.parametrize("json", [False, True])
async def test_partial_success_is_counted_and_not_an_error(connect: Connect, json: bool) -> None:
    response = ExportTraceServiceResponse()
    response.partial_success.rejected_spans = 2
    body = otlp_json.encode(response) if json else response.SerializeToString()
    content_type = "application/json" if json else "application/x-protobuf"

    async def answer(_request: web.Request) -> web.Response:
        return web.Response(body=body, content_type=content_type)

    app = web.Application()
    app.router.add_post("/v1/traces", answer)
    serving = WebServer(HTTPServerConfig(endpoint="127.0.0.1:0"), app)
    await serving.start()
    exporter = await connect(serving.url)
    await exporter.export(make_traces(5))
    await serving.stop()
    assert exporter.context.metrics.total("otelcol_exporter_partial_rejected_items", exporter="otlphttp") == 2


async def test_speaks_https(receive: Any, sink: Sink, connect: Connect, tmp_path: Path) -> None:
    certificates = Certificates(tmp_path)
    receiver = await receive(http={"tls": certificates.pair("server")})
    endpoint = f"https://localhost:{receiver.http.port}"
    await (await connect(endpoint, tls={"ca_file": certificates.path("ca.pem")})).export(make_traces(1))
    await (await connect(endpoint, tls={"insecure_skip_verify": True})).export(make_traces(1))
    with pytest.raises(RetryableError, match="CertificateError"):
        await (await connect(endpoint)).export(make_traces(1))
    assert sink.items == 2


async def test_sends_to_a_unix_socket(receive: Any, sink: Sink, connect: Connect, tmp_path: Path) -> None:
    endpoint = f"unix://{tmp_path}/otlp.sock"
    await receive(http={"endpoint": endpoint})
    await (await connect(endpoint)).export(make_traces(1))
    assert sink.items == 1


async def test_keeps_the_contract() -> None:
    await check_component(OTLPHTTPExporter, {"endpoint": "http://localhost:4318"})
