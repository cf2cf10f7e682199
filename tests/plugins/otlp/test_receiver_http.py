import asyncio
import gzip
import io
import json
from collections.abc import AsyncIterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from google.rpc.status_pb2 import Status

from certificates import Certificates
from ophion_agent import otlp_json
from ophion_agent.compression import ENCODINGS, compress
from ophion_agent.plugin import Logs, Metrics, OphionError, PermanentError, RetryableError, Traces, Unauthenticated
from ophion_agent.testing import Sink, make_batch, make_traces
from ophion_agent.tls import client_context

PROTOBUF = {"Content-Type": "application/x-protobuf"}
JSON = {"Content-Type": "application/json"}


class OnlyAlice:
    async def authenticate(self, headers: Mapping[str, Sequence[str]]) -> Mapping[str, str]:
        if headers.get("authorization") != ("alice",):
            raise Unauthenticated("who are you?")
        return {}


class Answer:
    def __init__(self, response: aiohttp.ClientResponse, body: bytes) -> None:
        self.status, self.headers, self.body = response.status, response.headers, body
        self.content_type = response.content_type


class Sender:
    """Posts to one receiver."""

    def __init__(self, session: aiohttp.ClientSession, receiver: Any) -> None:
        self.session = session
        self.url = receiver.http.server.url
        self.port = receiver.http.port

    async def post(self, body: Any, headers: Mapping[str, str] = PROTOBUF, path: str = "/v1/traces") -> Answer:
        async with self.session.post(self.url + path, data=body, headers=headers) as response:
            return Answer(response, await response.read())


@pytest.fixture
async def session() -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession() as opened:
        yield opened


@pytest.fixture
async def sender(receive: Any, session: aiohttp.ClientSession) -> Sender:
    return Sender(session, await receive(http={"max_request_body_size": "1MiB", "read_timeout": "300ms"}))


async def test_takes_every_signal_as_it_came(sender: Sender, sink: Sink) -> None:
    for signal, path in ((Traces, "/v1/traces"), (Metrics, "/v1/metrics"), (Logs, "/v1/logs")):
        batch = make_batch(signal, 3)
        answer = await sender.post(batch.payload, path=path)
        assert (answer.status, answer.content_type, answer.body) == (200, "application/x-protobuf", b"")
        assert type(sink.batches[-1]) is signal
        assert sink.batches[-1].payload == batch.payload


async def test_takes_json_and_answers_in_json(sender: Sender, sink: Sink) -> None:
    for signal, path in ((Traces, "/v1/traces"), (Metrics, "/v1/metrics"), (Logs, "/v1/logs")):
        message = make_batch(signal, 3).view().message
        answer = await sender.post(otlp_json.encode(message), {"Content-Type": "application/json; charset=utf-8"}, path)
        assert (answer.status, answer.content_type, answer.body) == (200, "application/json", b"{}")
        assert sink.batches[-1].view().message == message


@pytest.mark.parametrize("encoding", ENCODINGS)
async def test_takes_compressed_bodies(sender: Sender, sink: Sink, encoding: str) -> None:
    batch = make_traces(100)
    answer = await sender.post(compress(batch.payload, encoding), {**PROTOBUF, "Content-Encoding": encoding})
    assert answer.status == 200
    assert sink.batches[0].payload == batch.payload


async def test_takes_empty_requests(sender: Sender, sink: Sink) -> None:
    assert (await sender.post(b"")).status == 200
    assert (await sender.post(b"{}", JSON)).status == 200
    assert sink.items == 0


async def test_takes_absurd_values_as_they_are(sender: Sender, sink: Sink) -> None:
    points = [{"asDouble": "NaN", "timeUnixNano": "18446744073709551615"}, {"asInt": "-9223372036854775808"}, {}]
    document = {"resourceMetrics": [{"scopeMetrics": [{"metrics": [{"gauge": {"dataPoints": points}}]}]}]}
    assert (await sender.post(json.dumps(document), JSON, "/v1/metrics")).status == 200
    assert sink.items == 3


@pytest.mark.parametrize("body", [b"\xff\xff", b"\x0a\x05\x01", b"no protobuf at all"])
async def test_refuses_malformed_protobuf(sender: Sender, sink: Sink, body: bytes) -> None:
    answer = await sender.post(body)
    assert (answer.status, answer.content_type) == (400, "application/x-protobuf")
    status = Status.FromString(answer.body)
    assert status.code == 3
    assert "malformed protobuf" in status.message
    assert not sink.batches


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b'{"resourceSpans": 7}', b"\xff", b"[" * 100_000])
async def test_refuses_malformed_json(sender: Sender, sink: Sink, body: bytes) -> None:
    answer = await sender.post(body, JSON)
    assert (answer.status, answer.content_type) == (400, "application/json")
    assert json.loads(answer.body)["code"] == 3
    assert json.loads(answer.body)["message"]
    assert not sink.batches


async def test_refuses_invalid_utf8(sender: Sender) -> None:
    payload = make_traces(1, service="AAAA").payload.replace(b"AAAA", b"A\xff\xfeA")
    assert (await sender.post(payload)).status == 400


@pytest.mark.parametrize("content_type", ["text/plain", "application/xml", "", "nonsense"])
async def test_refuses_other_content_types(sender: Sender, content_type: str) -> None:
    answer = await sender.post(b"x", {"Content-Type": content_type})
    assert answer.status == 415
    assert b"supported: [application/json, application/x-protobuf]" in answer.body


@pytest.mark.parametrize("encoding", ["br", "snappy", "gzip, gzip"])
async def test_refuses_other_encodings_and_names_those_served(sender: Sender, encoding: str) -> None:
    answer = await sender.post(b"x", {**PROTOBUF, "Content-Encoding": encoding})
    assert answer.status == 415
    assert "use one of: gzip, zstd, zlib, deflate" in Status.FromString(answer.body).message


async def test_serves_only_the_encodings_configured(receive: Any, session: aiohttp.ClientSession) -> None:
    sender = Sender(session, await receive(http={"compression_algorithms": ["", "gzip"]}))
    answer = await sender.post(compress(b"", "zstd"), {**PROTOBUF, "Content-Encoding": "zstd"})
    assert answer.status == 415
    assert "use one of: gzip" in Status.FromString(answer.body).message


async def test_refuses_oversize_bodies(sender: Sender, sink: Sink) -> None:
    answer = await sender.post(io.BytesIO(bytes((1 << 20) + 1)))
    assert answer.status == 413
    assert "larger than 1048576 bytes" in Status.FromString(answer.body).message
    assert not sink.batches


@pytest.mark.parametrize("encoding", ENCODINGS)
async def test_refuses_bombs(sender: Sender, sink: Sink, encoding: str) -> None:
    answer = await sender.post(compress(bytes(64 << 20), encoding), {**PROTOBUF, "Content-Encoding": encoding})
    assert answer.status == 413
    assert not sink.batches


async def test_refuses_truncated_gzip(sender: Sender) -> None:
    answer = await sender.post(gzip.compress(make_traces(9).payload)[:-9], {**PROTOBUF, "Content-Encoding": "gzip"})
    assert answer.status == 400
    assert "the gzip body ends too early" in Status.FromString(answer.body).message


async def test_answers_wrong_paths_and_methods_in_the_senders_encoding(sender: Sender) -> None:
    answer = await sender.post(b"", path="/v1/nothing")
    assert (answer.status, Status.FromString(answer.body).message) == (404, "Not Found")
    async with sender.session.get(f"{sender.url}/v1/traces") as response:
        assert (response.status, response.headers["Allow"]) == (405, "POST")
        assert await response.text() == "405 Method Not Allowed\n"


async def test_does_not_serve_signals_without_a_pipeline(receive: Any, session: aiohttp.ClientSession) -> None:
    receiver = await receive(http={})
    receiver.connect({Traces: Sink()})
    answer = await Sender(session, receiver).post(b"", path="/v1/logs")
    assert answer.status == 404
    assert Status.FromString(answer.body).message == "no pipeline takes logs from this receiver"


@pytest.mark.parametrize(
    ("raised", "status", "code", "retry_after"),
    [
        (PermanentError("never"), 400, 3, None),
        (RetryableError("later"), 503, 14, "1"),
        (RetryableError("later", 2.5), 503, 14, "3"),
        (RetryableError("full", admission=True), 429, 8, "1"),
        (RetryableError("full", 7, admission=True), 429, 8, "7"),
        (ZeroDivisionError("oops"), 503, 14, "1"),
    ],
)
async def test_tells_the_sender_why(
    sender: Sender, sink: Sink, raised: Exception, status: int, code: int, retry_after: str | None
) -> None:
    sink.error = raised
    answer = await sender.post(make_traces(2).payload)
    assert (answer.status, answer.headers.get("Retry-After")) == (status, retry_after)
    assert Status.FromString(answer.body).code == code
    assert str(raised) in Status.FromString(answer.body).message


async def test_counts_what_it_takes_and_refuses(receive: Any, session: aiohttp.ClientSession, sink: Sink) -> None:
    receiver = await receive(http={})
    sender, metrics = Sender(session, receiver), receiver.context.metrics
    await sender.post(make_traces(2).payload)
    await sender.post(b"\xff")
    await sender.post(b"", {"Content-Type": "text/plain"})
    sink.error = RetryableError("later")
    await sender.post(make_traces(3).payload)
    assert metrics.total("otelcol_receiver_accepted_spans", receiver="otlp", transport="http") == 2
    assert metrics.total("otelcol_receiver_refused_spans", receiver="otlp", transport="http") == 3
    assert metrics.total("ophion_receiver_refused_requests", transport="http") == 2


async def test_asks_for_admission_before_inflating(receive: Any, session: aiohttp.ClientSession) -> None:
    def full(nbytes: int) -> None:
        raise RetryableError(f"no room for {nbytes}", admission=True)

    receiver = await receive(http={})
    receiver.guard([full])
    answer = await Sender(session, receiver).post(b"junk", {**PROTOBUF, "Content-Encoding": "gzip"})
    assert (answer.status, answer.headers["Retry-After"]) == (429, "1")
    assert Status.FromString(answer.body).message == "no room for 4"


async def test_lets_only_authenticated_senders_in(receive: Any, session: aiohttp.ClientSession, sink: Sink) -> None:
    receiver = await receive(http={"auth": {"authenticator": "alice"}}, services={"alice": OnlyAlice()})
    sender = Sender(session, receiver)
    answer = await sender.post(make_traces(1).payload)
    assert (answer.status, Status.FromString(answer.body).code) == (401, 16)
    assert receiver.context.metrics.total("ophion_receiver_refused_requests", transport="http") == 1
    assert (await sender.post(make_traces(1).payload, {**PROTOBUF, "Authorization": "alice"})).status == 200
    assert sink.items == 1


async def test_hands_on_the_senders_headers_when_asked(
    receive: Any, session: aiohttp.ClientSession, sink: Sink
) -> None:
    sender = Sender(session, await receive(http={"include_metadata": True}))
    await sender.post(make_traces(1).payload, {**PROTOBUF, "X-Tenant": "a"})
    assert sink.batches[0].metadata["x-tenant"] == ("a",)


async def test_serves_the_paths_configured(receive: Any, session: aiohttp.ClientSession, sink: Sink) -> None:
    sender = Sender(session, await receive(http={"traces_url_path": "/in/spans"}))
    assert (await sender.post(make_traces(1).payload, path="/in/spans")).status == 200
    assert (await sender.post(make_traces(1).payload)).status == 404


async def test_lets_pages_of_allowed_origins_send(receive: Any, session: aiohttp.ClientSession) -> None:
    sender = Sender(session, await receive(http={"cors": {"allowed_origins": ["https://app.example"]}}))
    asked = {"Origin": "https://app.example", "Access-Control-Request-Method": "POST"}
    async with session.options(f"{sender.url}/v1/traces", headers=asked) as response:
        assert (response.status, response.headers["Access-Control-Allow-Origin"]) == (204, "https://app.example")
    answer = await sender.post(b"", {**PROTOBUF, "Origin": "https://app.example"})
    assert answer.headers["Access-Control-Allow-Origin"] == "https://app.example"


async def test_serves_on_a_unix_socket(receive: Any, sink: Sink, tmp_path: Path) -> None:
    await receive(http={"endpoint": f"unix://{tmp_path}/otlp.sock"})
    connector = aiohttp.UnixConnector(f"{tmp_path}/otlp.sock")
    async with (
        aiohttp.ClientSession(connector=connector) as session,
        session.post("http://x/v1/traces", data=make_traces(1).payload, headers=PROTOBUF) as response,
    ):
        assert response.status == 200


async def test_serves_mutual_tls(receive: Any, session: aiohttp.ClientSession, sink: Sink, tmp_path: Path) -> None:
    certificates = Certificates(tmp_path)
    tls = {**certificates.pair("server"), "client_ca_file": certificates.path("ca.pem")}
    url = f"https://localhost:{(await receive(http={'tls': tls})).http.port}/v1/traces"
    known = client_context(certificates.client(**certificates.pair("client")))
    async with session.post(url, data=make_traces(1).payload, headers=PROTOBUF, ssl=known) as response:
        assert response.status == 200
    stranger = client_context(certificates.client())
    with pytest.raises(aiohttp.ClientError):
        await session.post(url, data=make_traces(1).payload, headers=PROTOBUF, ssl=stranger)


async def test_says_when_the_port_is_in_use(receive: Any, sender: Sender) -> None:
    with pytest.raises(OphionError, match=rf"cannot listen on 127.0.0.1:{sender.port}: the address is in use; stop"):
        await receive(http={"endpoint": f"127.0.0.1:{sender.port}"})


async def talk(port: int, request: bytes) -> bytes:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(request)
    answer = await reader.read(4096)
    writer.close()
    return answer


HEAD = b"POST /v1/traces HTTP/1.1\r\nHost: x\r\nContent-Type: application/x-protobuf\r\n"


async def test_ends_a_body_that_does_not_arrive(sender: Sender) -> None:
    assert (await talk(sender.port, HEAD + b"Content-Length: 10\r\n\r\n\x0a")).startswith(b"HTTP/1.1 408 ")


async def test_refuses_broken_chunks(sender: Sender) -> None:
    answer = await talk(sender.port, HEAD + b"Transfer-Encoding: chunked\r\n\r\nnot-a-size\r\n\r\n")
    assert answer.startswith((b"HTTP/1.1 400 ", b"HTTP/1.0 400 "))


async def test_survives_senders_that_go_away(sender: Sender, sink: Sink) -> None:
    for _ in range(20):
        _, writer = await asyncio.open_connection("127.0.0.1", sender.port)
        writer.write(HEAD + b"Content-Length: 100\r\n\r\nabc")
        await writer.drain()
        writer.transport.abort()
    assert (await sender.post(make_traces(1).payload)).status == 200
    assert sink.items == 1


async def test_takes_ten_thousand_tiny_requests(sender: Sender, sink: Sink) -> None:
    payload = make_traces(1).payload
    request = HEAD + b"Content-Length: %d\r\n\r\n" % len(payload) + payload

    async def some(number: int) -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", sender.port)
        for _ in range(number // 10):
            writer.write(request * 10)
            for _ in range(10):
                assert (await reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 200 ")
        writer.close()

    await asyncio.gather(*(some(1000) for _ in range(10)))
    assert sink.items == 10_000
