import asyncio
import logging
import socket
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from aiohttp import web

from certificates import Certificates
from ophion_agent.compression import BodyTooLargeError
from ophion_agent.errors import OphionError, Unauthenticated
from ophion_agent.tls import client_context
from ophion_agent.web import HTTPServerConfig, WebServer, read_body

Serve = Callable[..., Awaitable[WebServer]]


class OnlyAlice:
    """Lets in who sends `Authorization: alice`."""

    async def authenticate(self, headers: Mapping[str, Sequence[str]]) -> Mapping[str, str]:
        if "alice" not in headers.get("authorization", ()):
            raise Unauthenticated("who are you?")
        return {"subject": "alice"}


async def echo(request: web.Request) -> web.StreamResponse:
    """Answer with the size of the body, read under a limit of 1000 bytes and 0.2 s."""
    try:
        return web.Response(text=str(len(await read_body(request, 1000, 0.2))))
    except BodyTooLargeError as exc:
        return web.Response(status=413, text=str(exc))
    except TimeoutError:
        return web.Response(status=408)


@pytest.fixture
async def serve() -> AsyncIterator[Serve]:
    servers: list[WebServer] = []

    async def start(options: dict[str, Any] | None = None, **arguments: Any) -> WebServer:
        app = web.Application()
        app.router.add_post("/echo", echo)
        config = HTTPServerConfig.model_validate({"endpoint": "127.0.0.1:0", **(options or {})})
        server = WebServer(config, app, shutdown_seconds=0.2, **arguments)
        servers.append(server)
        await server.start()
        return server

    yield start
    for server in servers:
        await server.stop()
        await server.stop()


@pytest.fixture
async def http() -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession() as session:
        yield session


async def raw(port: int, request: bytes, size: int = -1) -> bytes:
    """Send bytes and return everything until the server closes, or the first part of the answer, up to `size`."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(request)
    try:
        async with asyncio.timeout(10):
            return await reader.read(size)
    finally:
        writer.close()


async def test_serves_on_a_free_port_and_says_which(serve: Serve, http: aiohttp.ClientSession) -> None:
    for endpoint in ("127.0.0.1:0", "localhost:0"):
        server = await serve({"endpoint": endpoint})
        assert server.port > 0
        async with http.post(f"{server.url}/echo", data=b"12345") as response:
            assert await response.text() == "5"


async def test_serves_on_a_unix_socket_and_removes_it(serve: Serve, tmp_path: Path) -> None:
    path = str(tmp_path / "web.sock")
    server = await serve({"endpoint": f"unix://{path}"})
    assert server.url == f"unix:{path}"
    async with (
        aiohttp.ClientSession(connector=aiohttp.UnixConnector(path)) as session,
        session.post("http://localhost/echo", data=b"123") as response,
    ):
        assert await response.text() == "3"
    await server.stop()
    with pytest.raises(FileNotFoundError):
        await asyncio.open_unix_connection(path)


async def test_says_when_the_port_is_in_use(serve: Serve) -> None:
    first = await serve()
    with pytest.raises(OphionError, match=rf"cannot listen on 127.0.0.1:{first.port}: the address is in use; stop"):
        await serve({"endpoint": f"127.0.0.1:{first.port}"})


async def test_serves_https(serve: Serve, http: aiohttp.ClientSession, tmp_path: Path) -> None:
    certificates = Certificates(tmp_path)
    server = await serve({"tls": certificates.pair("server")})
    assert server.url.startswith("https://")
    trusting = client_context(certificates.client())
    async with http.post(f"{server.url}/echo", data=b"1", ssl=trusting) as response:
        assert response.status == 200


async def test_lets_only_authenticated_senders_in(serve: Serve, http: aiohttp.ClientSession) -> None:
    url = (await serve(auth=OnlyAlice())).url
    async with http.post(f"{url}/echo", data=b"") as response:
        assert response.status == 401
        assert await response.text() == "who are you?\n"
        assert response.headers["WWW-Authenticate"] == "Bearer"
    async with http.post(f"{url}/echo", data=b"", headers={"Authorization": "alice"}) as response:
        assert response.status == 200


async def test_answers_unknown_paths_and_methods(serve: Serve, http: aiohttp.ClientSession) -> None:
    url = (await serve()).url
    async with http.post(f"{url}/nothing") as response:
        assert (response.status, await response.text()) == (404, "Not Found\n")
    async with http.get(f"{url}/echo") as response:
        assert (response.status, response.headers["Allow"]) == (405, "POST")


async def test_grants_preflights_before_authentication(serve: Serve, http: aiohttp.ClientSession) -> None:
    cors = {"allowed_origins": ["https://*.example.com"], "allowed_headers": ["X-Token"], "max_age": 600}
    url = (await serve({"cors": cors}, auth=OnlyAlice())).url
    asked = {
        "Origin": "https://app.example.com",
        "Access-Control-Request-Method": "POST",
        "Access-Control-Request-Headers": "x-token, content-type",
    }
    async with http.options(f"{url}/echo", headers=asked) as response:
        assert response.status == 204
        assert response.headers["Access-Control-Allow-Origin"] == "https://app.example.com"
        assert response.headers["Access-Control-Allow-Methods"] == "POST"
        assert response.headers["Access-Control-Allow-Headers"] == "x-token, content-type"
        assert response.headers["Access-Control-Max-Age"] == "600"
        assert response.headers["Vary"] == "Origin"
    async with http.options(f"{url}/echo", headers={**asked, "Access-Control-Request-Headers": "x-other"}) as response:
        assert "Access-Control-Allow-Headers" not in response.headers
    async with http.options(f"{url}/echo", headers={**asked, "Origin": "https://evil.example"}) as response:
        assert "Access-Control-Allow-Origin" not in response.headers


async def test_lets_pages_of_any_origin_see_the_answer(serve: Serve, http: aiohttp.ClientSession) -> None:
    url = (await serve({"cors": {"allowed_origins": ["*"], "exposed_headers": ["X-Id"]}})).url
    async with http.post(f"{url}/echo", data=b"", headers={"Origin": "http://anywhere"}) as response:
        assert response.headers["Access-Control-Allow-Origin"] == "*"
        assert response.headers["Access-Control-Expose-Headers"] == "X-Id"
        assert "Access-Control-Allow-Credentials" not in response.headers


async def test_adds_the_configured_headers(serve: Serve, http: aiohttp.ClientSession) -> None:
    url = (await serve({"response_headers": {"X-Served-By": "ophion"}})).url
    async with http.post(f"{url}/echo", data=b"") as response:
        assert response.headers["X-Served-By"] == "ophion"


async def test_refuses_a_large_body_by_its_declared_length(serve: Serve) -> None:
    port = (await serve({"keep_alives_enabled": False})).port
    answer = await raw(port, b"POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: 999999999\r\n\r\n", 4096)
    assert answer.startswith(b"HTTP/1.1 413 ")
    assert b"the body is larger than 1000 bytes; send smaller requests or raise the limit" in answer


async def test_refuses_a_large_body_of_undeclared_length(serve: Serve, http: aiohttp.ClientSession) -> None:
    async def endless() -> AsyncIterator[bytes]:
        for _ in range(20):
            yield bytes(100)

    url = (await serve()).url
    async with http.post(f"{url}/echo", data=endless()) as response:
        assert response.status == 413


async def test_ends_a_body_that_does_not_arrive(serve: Serve) -> None:
    port = (await serve({"keep_alives_enabled": False})).port
    answer = await raw(port, b"POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\n123", 4096)
    assert answer.startswith(b"HTTP/1.1 408 ")


@pytest.mark.parametrize("begun", [b"", b"POST /echo HT", b"POST /echo HTTP/1.1\r\nHost: x\r\nX-Slow: "])
async def test_closes_half_open_connections(serve: Serve, begun: bytes) -> None:
    assert await raw((await serve({"idle_timeout": 0.1})).port, begun) == b""


@pytest.mark.parametrize(
    "garbage", [b"\x00\x01\x02\r\n\r\n", b"GET\r\n\r\n", b"POST /echo HTTP/1.1\r\nContent-Length: x\r\n\r\n"]
)
async def test_answers_garbage_with_400(serve: Serve, garbage: bytes) -> None:
    assert (await raw((await serve()).port, garbage)).startswith(b"HTTP/1.0 400 ")


@pytest.mark.parametrize(
    ("garbage", "reason"),
    [
        (b"GET / HTTP/1.1\r\nAuthorization: Bearer sec\x00ret\r\n\r\n", "BadHttpMessage"),
        (b"GET /" + b"a" * 9000 + b" HTTP/1.1\r\n\r\n", "LineTooLong"),
        (b"\x16\x03\x01\x00\x05secret\r\n\r\n", "BadHttpMethod"),
    ],
)
async def test_logs_garbage_as_one_line_for_debugging_without_its_content(
    serve: Serve, caplog: pytest.LogCaptureFixture, garbage: bytes, reason: str
) -> None:
    caplog.set_level(logging.DEBUG, "ophion.http")
    assert (await raw((await serve()).port, garbage)).startswith(b"HTTP/1.0 400 ")
    [record] = [one for one in caplog.records if one.name == "ophion.http"]
    assert (record.levelno, record.exc_info) == (logging.DEBUG, None)
    assert record.getMessage() == f"Error handling request from 127.0.0.1: {reason}"


async def test_logs_the_fault_of_a_handler_with_its_traceback(caplog: pytest.LogCaptureFixture) -> None:
    async def fail(_request: web.Request) -> web.StreamResponse:
        raise KeyError("lost")

    app = web.Application()
    app.router.add_get("/", fail)
    server = WebServer(HTTPServerConfig.model_validate({"endpoint": "127.0.0.1:0"}), app, shutdown_seconds=0.2)
    await server.start()
    try:
        answer = await raw(server.port, b"GET / HTTP/1.0\r\n\r\n")
    finally:
        await server.stop()
    assert answer.startswith(b"HTTP/1.0 500 ")
    [record] = [one for one in caplog.records if one.name == "ophion.http"]
    assert record.levelno == logging.ERROR
    assert record.exc_info is not None
    assert isinstance(record.exc_info[1], KeyError)


async def test_does_not_call_it_a_fault_when_a_client_hangs_up(serve: Serve, caplog: pytest.LogCaptureFixture) -> None:
    server = await serve()
    begun = asyncio.Event()
    _, writer = await asyncio.open_connection("127.0.0.1", server.port)
    writer.write(b"POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: 30\r\n\r\n1")
    await writer.drain()
    asyncio.get_running_loop().call_later(0.05, begun.set)
    await begun.wait()
    writer.transport.abort()

    await server.stop()

    assert [one.getMessage() for one in caplog.records if one.levelno >= logging.WARNING] == []


async def test_lets_a_running_request_end_at_the_stop(serve: Serve) -> None:
    server = await serve()
    reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
    writer.write(b"POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n\r\n1")
    await writer.drain()
    stopping = asyncio.create_task(server.stop())
    await asyncio.sleep(0)
    writer.write(b"23")
    assert (await reader.read()).endswith(b"\r\n\r\n3")
    await stopping
    writer.close()
    with pytest.raises(ConnectionError):
        socket.create_connection(("127.0.0.1", server.port), 1)


async def test_gathers_repeated_headers(serve: Serve) -> None:
    seen: list[Mapping[str, Sequence[str]]] = []

    class Recorder:
        async def authenticate(self, headers: Mapping[str, Sequence[str]]) -> Mapping[str, str]:
            seen.append(headers)
            return {}

    port = (await serve({"keep_alives_enabled": False}, auth=Recorder())).port
    await raw(port, b"POST /echo HTTP/1.1\r\nHost: x\r\nX-A: 1\r\nx-a: 2\r\nContent-Length: 0\r\n\r\n")
    assert seen[0]["x-a"] == ("1", "2")
