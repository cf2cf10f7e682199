import gzip
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from pydantic import ValidationError

from certificates import Certificates
from ophion_agent.compression import inflate
from ophion_agent.errors import PermanentError, RetryableError
from ophion_agent.httpclient import HTTPClient, HTTPClientConfig, error_of_status, retry_after_seconds
from ophion_agent.web import HTTPServerConfig, WebServer

NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)


class Backend:
    """Keeps what it is sent and answers with `status`, `headers` and `body`."""

    def __init__(self) -> None:
        self.requests: list[tuple[Mapping[str, str], bytes]] = []
        self.status, self.headers, self.body = 200, dict[str, str](), b""

    async def answer(self, request: web.Request) -> web.Response:
        self.requests.append((request.headers, await request.read()))
        return web.Response(status=self.status, headers=self.headers, body=self.body)

    def app(self) -> web.Application:
        app = web.Application(client_max_size=64 << 20)
        app.router.add_post("/in", self.answer)
        return app


class Token:
    async def headers(self, metadata: Mapping[str, tuple[str, ...]]) -> Mapping[str, str]:
        return {"Authorization": f"Bearer {metadata['tenant'][0]}"}


@pytest.fixture
def backend() -> Backend:
    return Backend()


@pytest.fixture
async def server(backend: Backend) -> AsyncIterator[WebServer]:
    serving = WebServer(HTTPServerConfig(endpoint="127.0.0.1:0"), backend.app())
    await serving.start()
    yield serving
    await serving.stop()


@pytest.fixture
async def connect() -> AsyncIterator[Callable[..., Awaitable[HTTPClient]]]:
    clients: list[HTTPClient] = []

    async def start(options: Mapping[str, Any] | None = None, **arguments: Any) -> HTTPClient:
        client = HTTPClient(HTTPClientConfig.model_validate(options or {}), now=lambda: NOW, **arguments)
        clients.append(client)
        await client.start()
        return client

    yield start
    for client in clients:
        await client.stop()
        await client.stop()


async def test_compresses_with_gzip_by_default(server: WebServer, backend: Backend, connect: Any) -> None:
    response = await (await connect()).post(f"{server.url}/in", b"x" * 500, "text/plain")
    headers, body = backend.requests[0]
    assert response.status == 200
    assert (headers["Content-Encoding"], headers["Content-Type"]) == ("gzip", "text/plain")
    assert gzip.decompress(body) == b"x" * 500


@pytest.mark.parametrize("encoding", ["none", "", "zstd", "zlib", "deflate", "gzip"])
async def test_compresses_as_configured(server: WebServer, backend: Backend, connect: Any, encoding: str) -> None:
    client = await connect({"compression": encoding, "compression_params": {"level": 1}})
    await client.post(f"{server.url}/in", b"x" * 500, "text/plain")
    headers, body = backend.requests[0]
    assert inflate(body, headers.get("Content-Encoding", ""), 1000) == b"x" * 500


async def test_sends_headers_and_credentials(server: WebServer, backend: Backend, connect: Any) -> None:
    client = await connect({"headers": {"X-Scope": "a", "User-Agent": "mine"}}, auth=Token())
    await client.post(f"{server.url}/in", b"", "text/plain", {"tenant": ("t1",)}, {"X-Extra": "e"})
    headers, _ = backend.requests[0]
    assert headers["X-Scope"] == "a"
    assert headers["X-Extra"] == "e"
    assert headers["User-Agent"] == "mine"
    assert headers["Authorization"] == "Bearer t1"


async def test_sends_large_bodies(server: WebServer, backend: Backend, connect: Any) -> None:
    client = await connect({"compression": "none"})
    await client.post(f"{server.url}/in", bytes(3 << 20), "text/plain")
    assert len(backend.requests[0][1]) == 3 << 20


async def test_returns_the_answer(server: WebServer, backend: Backend, connect: Any) -> None:
    backend.body, backend.headers = b'{"a": 1}', {"Content-Type": "application/json"}
    response = await (await connect()).post(f"{server.url}/in", b"", "text/plain")
    assert response == (200, b'{"a": 1}', "application/json")


@pytest.mark.parametrize("status", [429, 502, 503, 504])
async def test_busy_servers_are_retryable(server: WebServer, backend: Backend, connect: Any, status: int) -> None:
    backend.status, backend.headers, backend.body = status, {"Retry-After": "7"}, b"busy"
    with pytest.raises(RetryableError, match=f"/in: HTTP {status} .*: busy") as caught:
        await (await connect()).post(f"{server.url}/in", b"", "text/plain")
    assert caught.value.retry_after_seconds == 7


@pytest.mark.parametrize("status", [400, 401, 403, 404, 413, 415, 500, 501, 505])
async def test_other_refusals_are_permanent(server: WebServer, backend: Backend, connect: Any, status: int) -> None:
    backend.status, backend.body = status, b"no \x00\xff"
    with pytest.raises(PermanentError, match=f"/in: HTTP {status} "):
        await (await connect()).post(f"{server.url}/in", b"", "text/plain")


async def test_redirects_are_not_followed(server: WebServer, backend: Backend, connect: Any) -> None:
    backend.status, backend.headers = 307, {"Location": "https://other/in"}
    with pytest.raises(PermanentError, match="redirects are not followed; send to https://other/in"):
        await (await connect()).post(f"{server.url}/in", b"", "text/plain")


async def test_an_absent_server_is_retryable(server: WebServer, connect: Any) -> None:
    await server.stop()
    with pytest.raises(RetryableError, match="ClientConnectorError"):
        await (await connect()).post(f"{server.url}/in", b"", "text/plain")


@pytest.mark.parametrize("url", ["ftp://x/in", "http://", "nonsense"])
async def test_a_wrong_url_is_permanent(connect: Any, url: str) -> None:
    with pytest.raises(PermanentError, match="not an http or https URL; check `endpoint`"):
        await (await connect()).post(url, b"", "text/plain")


async def test_a_client_that_is_not_started_is_retryable() -> None:
    with pytest.raises(RetryableError, match="not started"):
        await HTTPClient(HTTPClientConfig()).post("http://localhost/in", b"", "text/plain")


async def test_keeps_connections_unless_told_otherwise(server: WebServer, backend: Backend, connect: Any) -> None:
    for options in ({}, {"disable_keep_alives": True}):
        client = await connect(options)
        for _ in range(2):
            await client.post(f"{server.url}/in", b"", "text/plain")
    assert [headers.get("Connection") for headers, _ in backend.requests] == [None, None, "close", "close"]


async def test_speaks_mutual_tls_and_takes_up_renewed_certificates(
    backend: Backend, connect: Any, tmp_path: Path
) -> None:
    certificates = Certificates(tmp_path)
    tls = certificates.server(client_ca_file=certificates.path("ca.pem"), reload_interval="1ns")
    serving = WebServer(HTTPServerConfig(endpoint="127.0.0.1:0", tls=tls), backend.app())
    await serving.start()
    trusting = {"ca_file": certificates.path("ca.pem"), **certificates.pair("client"), "reload_interval": "1ns"}
    client = await connect({"tls": trusting, "disable_keep_alives": True})
    await client.post(f"{serving.url}/in", b"", "text/plain")
    Certificates(tmp_path)
    await client.post(f"{serving.url}/in", b"", "text/plain")
    with pytest.raises(RetryableError):
        await (await connect()).post(f"{serving.url}/in", b"", "text/plain")
    await serving.stop()
    assert len(backend.requests) == 2


async def test_sends_to_a_unix_socket(backend: Backend, connect: Any, tmp_path: Path) -> None:
    endpoint = f"unix://{tmp_path}/in.sock"
    serving = WebServer(HTTPServerConfig(endpoint=endpoint), backend.app())
    await serving.start()
    await (await connect({"endpoint": endpoint})).post("http://localhost/in", b"", "text/plain")
    await serving.stop()
    assert len(backend.requests) == 1


async def test_sends_through_a_proxy(server: WebServer, backend: Backend, connect: Any) -> None:
    client = await connect({"proxy_url": server.url})
    await client.post("http://backend.invalid/in", b"", "text/plain")
    assert backend.requests[0][0]["Host"] == "backend.invalid"


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        ("0", 0.0),
        (" 120 ", 120.0),
        ("Fri, 02 Jan 2026 03:04:35 GMT", 30.0),
        ("Fri, 02 Jan 2026 03:00:00 GMT", 0.0),
        ("", None),
        ("soon", None),
        ("-1", None),
        ("1.5", None),
        ("²", None),
    ],
)
def test_reads_retry_after(value: str, seconds: float | None) -> None:
    assert retry_after_seconds(value, NOW) == seconds


def test_an_unknown_status_has_no_phrase() -> None:
    assert str(error_of_status("http://x", 599, {}, b"", NOW)) == "http://x: HTTP 599"


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"insecure": True}, r"`insecure` belongs under `tls`; write `tls: {insecure: true}`"),
        ({"headers": ["a: b"]}, r"`headers` must be a map, got a list; write `headers: {name: value}`"),
        ({"compression": "brotli"}, "'brotli' is not served; use one of: gzip, zstd, zlib, deflate, or none"),
    ],
)
def test_refuses_common_mistakes(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        HTTPClientConfig.model_validate(options)


def test_header_values_are_not_printed() -> None:
    assert "hush" not in repr(HTTPClientConfig.model_validate({"headers": {"Authorization": "hush"}}))
