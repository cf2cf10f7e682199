"""How answers are encoded, compressed, streamed and marked."""

import asyncio
import gzip
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest
import zstandard
from pydantic import BaseModel, Field

from certificates import Certificates
from ophion_agent.plugin import OphionError
from ophion_agent.server import BadRequest, Call, Permission, Reply, Route, Stream
from ophion_api.answers import choose_encoding, is_plain
from parts import captured_events

READ = Permission.READ
LARGE = 1 << 20


class Thing(BaseModel):
    name: str
    size_bytes: int = Field(alias="sizeBytes")
    ratio: float = 0.5


def answering(value: Any, **options: Any) -> Route:
    async def handler(_: Call) -> Any:
        return value

    return Route("GET", "/api/thing", handler, READ, **options)


async def test_encodes_models_by_their_aliases(api_server: Any) -> None:
    thing = Thing(name="é", sizeBytes=3, ratio=float("nan"))
    server = await api_server([answering([thing], answer=list[Thing], status=201)])
    answer = await server.get("/api/thing", key="reader")
    assert (answer.status, answer.headers["Content-Type"]) == (201, "application/json")
    assert answer.json() == [{"name": "é", "sizeBytes": 3, "ratio": None}]


class Other(BaseModel):
    count: int


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (Thing(name="a", sizeBytes=3), {"name": "a", "sizeBytes": 3, "ratio": 0.5}),
        (Other(count=2), {"count": 2}),
        ([Other(count=1)], [{"count": 1}]),
    ],
)
async def test_encodes_whichever_of_several_models(api_server: Any, value: Any, expected: Any) -> None:
    server = await api_server([answering(value, answer=Thing | Other | list[Other])])
    assert (await server.get("/api/thing", key="reader")).json() == expected


async def test_shows_no_more_of_a_model_than_was_declared(api_server: Any) -> None:
    class Secretive(Thing):
        secret: str = "s"

    server = await api_server([answering(Secretive(name="a", sizeBytes=3), answer=Thing | Other)])
    assert (await server.get("/api/thing", key="reader")).json() == {"name": "a", "sizeBytes": 3, "ratio": 0.5}


async def test_encodes_plain_values_without_a_model(api_server: Any) -> None:
    value = {"a": [1, None, 1.5, {"b": "é"}], "big": 1 << 70}
    server = await api_server([answering(value, answer=dict[str, Any])])
    assert (await server.get("/api/thing", key="reader")).json() == value


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        (dict[str, Any], True),
        (list[dict[str, float | None]], True),
        (Any, True),
        (Thing, False),
        (list[Thing], False),
        (dict[str, Thing | None], False),
    ],
)
def test_knows_which_answers_need_no_model(answer: Any, expected: bool) -> None:
    assert is_plain(answer) is expected


async def test_nothing_to_say_is_no_content(api_server: Any) -> None:
    server = await api_server([answering(None, status=204)])
    answer = await server.get("/api/thing", key="reader")
    assert (answer.status, answer.body) == (204, b"")
    assert "Content-Type" not in answer.headers


async def test_reply_sets_status_headers_cookies_and_value(api_server: Any) -> None:
    cookies = ["a=1; HttpOnly", "b=2; Path=/"]
    thing = Thing(name="cup", sizeBytes=3)
    reply = Reply(status=202, headers={"X-Own": "1"}, set_cookies=cookies, value=thing)
    server = await api_server([answering(reply, answer=Thing)])
    answer = await server.get("/api/thing", key="reader")
    assert (answer.status, answer.headers["X-Own"], answer.json()["name"]) == (202, "1", "cup")
    assert answer.raw.headers.getall("Set-Cookie") == cookies


async def test_head_answers_like_get_without_the_body(api_server: Any) -> None:
    server = await api_server([answering({"a": 1}, answer=dict[str, int])])
    got, head = await server.get("/api/thing", key="reader"), await server.request("HEAD", "/api/thing", key="reader")
    assert (head.status, head.body) == (200, b"")
    assert head.headers["Content-Length"] == got.headers["Content-Length"] == "7"


@pytest.mark.parametrize("size", [2000, LARGE])
async def test_compresses_as_the_client_asks(api_server: Any, size: int) -> None:
    server = await api_server([answering({"a": "x" * size}, answer=dict[str, str])])
    expected = {"a": "x" * size}
    for accepted, encoding, inflate in (
        ("gzip", "gzip", gzip.decompress),
        ("gzip, zstd", "zstd", lambda body: zstandard.ZstdDecompressor().decompress(body)),
    ):
        answer = await server.get("/api/thing", key="reader", headers={"Accept-Encoding": accepted})
        assert (answer.headers["Content-Encoding"], answer.headers["Vary"]) == (encoding, "Accept-Encoding")
        assert json.loads(inflate(answer.body)) == expected
        assert len(answer.body) < size / 10
    plain = await server.get("/api/thing", key="reader", headers={"Accept-Encoding": "identity"})
    assert ("Content-Encoding" in plain.headers, plain.json()) == (False, expected)


@pytest.mark.parametrize(
    "reply",
    [
        Reply(b"x" * 1000, "text/plain"),
        Reply(b"x" * 2000, "image/png"),
        Reply(b"x" * 2000, "text/plain", set_cookies=["token=secret"]),
        Reply(b"x" * 2000, "text/plain", headers={"Content-Encoding": "br"}),
    ],
    ids=["small", "image", "with a cookie", "compressed already"],
)
async def test_leaves_alone_what_should_not_be_compressed(api_server: Any, reply: Reply) -> None:
    server = await api_server([answering(reply)])
    answer = await server.get("/api/thing", key="reader", headers={"Accept-Encoding": "gzip"})
    assert answer.body == reply.body


@pytest.mark.parametrize(
    ("accepted", "encoding"),
    [
        ("", ""),
        ("br", ""),
        ("gzip;q=1.0, zstd;q=0.5", "gzip"),
        ("zstd;q=0, *", "gzip"),
        ("*", "zstd"),
        ("GZIP ; q=0.1", "gzip"),
        ("gzip;q=x", ""),
        ("gzip;q=0", ""),
    ],
)
def test_chooses_the_encoding_that_the_client_likes_best(accepted: str, encoding: str) -> None:
    assert choose_encoding(accepted) == encoding


async def test_marks_every_answer(api_server: Any) -> None:
    server = await api_server([answering({}, answer=dict[str, int])])
    wanted = {
        "Content-Security-Policy": "default-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
        "X-Content-Type-Options": "nosniff",
        "X-Frame-Options": "DENY",
        "Referrer-Policy": "no-referrer",
        "Cache-Control": "no-store",
        "Cross-Origin-Opener-Policy": "same-origin",
        "Cross-Origin-Resource-Policy": "same-origin",
        "Server": "ophion",
    }
    for path, status in (("/api/thing", 200), ("/nowhere", 404), ("/-/healthy", 200)):
        answer = await server.get(path, key="reader")
        assert answer.status == status
        assert wanted.items() <= dict(answer.headers).items()
        assert "Strict-Transport-Security" not in answer.headers


async def test_routes_keep_headers_of_their_own(api_server: Any) -> None:
    reply = Reply(b"", headers={"Cache-Control": "max-age=60", "Content-Security-Policy": "default-src 'self'"})
    server = await api_server([answering(reply)], config={"content_security_policy": "default-src 'none'"})
    answer = await server.get("/api/thing", key="reader")
    assert answer.headers["Cache-Control"] == "max-age=60"
    assert answer.headers["Content-Security-Policy"] == "default-src 'self'"
    assert (await server.get("/-/healthy")).headers["Content-Security-Policy"] == "default-src 'none'"


async def test_serves_https_and_asks_browsers_to_stay_there(api_server: Any, tmp_path: Path) -> None:
    tls = Certificates(tmp_path).pair("server")
    seen: list[bool] = []

    async def handler(call: Call) -> dict[str, int]:
        seen.append(call.secure)
        return {}

    server = await api_server(
        [Route("GET", "/api/thing", handler, READ, answer=dict[str, int])],
        config={"tls": tls, "endpoint": "localhost:0"},
        verify_tls=False,
    )
    answer = await server.get("/api/thing", key="reader")
    assert answer.headers["Strict-Transport-Security"] == "max-age=31536000; includeSubDomains"
    assert seen == [True]


async def test_takes_or_makes_a_request_id(api_server: Any) -> None:
    server = await api_server()
    given = await server.get("/-/healthy", headers={"X-Request-Id": "abc-1"})
    assert given.headers["X-Request-Id"] == "abc-1"
    made = [
        (await server.get("/-/healthy", headers={"X-Request-Id": bad})).headers["X-Request-Id"]
        for bad in ("", "a b", "x" * 200)
    ]
    assert all(len(one) == 32 for one in made)
    assert len(set(made)) == 3


async def chunks_of(
    *parts: bytes, closed: list[bool] | None = None, error: Exception | None = None
) -> AsyncIterator[bytes]:
    try:
        for part in parts:
            yield part
        if error is not None:
            raise error
    finally:
        if closed is not None:
            closed.append(True)


async def test_streams_chunks(api_server: Any) -> None:
    closed: list[bool] = []
    stream = Stream(chunks_of(b"a,b\n", b"1,2\n", closed=closed), "text/csv", {"Content-Disposition": "attachment"})
    server = await api_server([answering(stream, media_type="text/csv")])
    answer = await server.get("/api/thing", key="reader")
    assert (answer.status, answer.body) == (200, b"a,b\n1,2\n")
    assert answer.headers["Content-Type"] == "text/csv; charset=utf-8"
    assert answer.headers["Content-Disposition"] == "attachment"
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    assert closed == [True]


async def test_head_of_a_stream_takes_nothing_from_it(api_server: Any) -> None:
    closed: list[bool] = []
    server = await api_server([answering(Stream(chunks_of(b"a", closed=closed), "text/csv"))])
    answer = await server.request("HEAD", "/api/thing", key="reader")
    assert (answer.status, answer.body, closed) == (200, b"", [True])


async def test_error_before_the_first_chunk_has_its_status(api_server: Any) -> None:
    stream = Stream(chunks_of(error=BadRequest("no such column")), "text/csv")
    server = await api_server([answering(stream)])
    answer = await server.get("/api/thing", key="reader")
    assert (answer.status, answer.json()["detail"]) == (400, "no such column")


async def test_empty_stream_is_an_empty_answer(api_server: Any) -> None:
    server = await api_server([answering(Stream(chunks_of(), "text/csv"))])
    answer = await server.get("/api/thing", key="reader")
    assert (answer.status, answer.body) == (200, b"")


async def test_error_within_a_stream_breaks_the_connection(api_server: Any) -> None:
    closed: list[bool] = []
    stream = Stream(chunks_of(b"a,b\n", closed=closed, error=ValueError("broken")), "text/csv")
    server = await api_server([answering(stream)])
    with captured_events() as events, pytest.raises(aiohttp.ClientError):
        await server.get("/api/thing", key="reader")
    assert [event for event, _ in events] == ["stream_failed"]
    assert server.metrics.total("ophion_api_faults") == 1
    assert closed == [True]


async def test_live_stream_begins_before_its_first_event_and_ends_with_the_client(api_server: Any) -> None:
    waiting, ended = asyncio.Event(), asyncio.Event()

    async def events() -> AsyncIterator[bytes]:
        try:
            waiting.set()
            await asyncio.Event().wait()
            yield b""
        finally:
            ended.set()

    server = await api_server([answering(Stream(events(), "text/event-stream"))])
    response = await server.session.get(server.url + "/api/thing", headers={"Authorization": "Bearer reader"})
    assert response.status == 200
    await asyncio.wait_for(waiting.wait(), 10)
    response.close()
    await asyncio.wait_for(ended.wait(), 10)


async def endless(ended: asyncio.Event) -> AsyncIterator[bytes]:
    try:
        while True:
            yield b"x" * LARGE
    finally:
        ended.set()


@pytest.mark.parametrize("kind", ["stream", "whole"])
async def test_disconnects_a_client_that_takes_nothing(api_server: Any, kind: str) -> None:
    ended = asyncio.Event()
    value: Any = Stream(endless(ended), "text/csv") if kind == "stream" else Reply(b"x" * 64 * LARGE, "image/png")
    server = await api_server([answering(value)], config={"write_timeout": "100ms"})
    _, writer = await asyncio.open_connection("127.0.0.1", int(server.url.rpartition(":")[2]), limit=1024)
    writer.write(b"GET /api/thing HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer reader\r\n\r\n")
    async with asyncio.timeout(20):
        while server.metrics.total("ophion_api_requests") == 0:  # noqa: ASYNC110 - a socket that is not read tells nothing
            await asyncio.sleep(0.02)
    writer.close()
    assert ended.is_set() is (kind == "stream")
    assert server.metrics.total("ophion_api_faults") == 0


async def test_refuses_two_routes_in_one_place(api_server: Any) -> None:
    with pytest.raises(OphionError) as caught:
        await api_server([answering(1), answering(2)])
    assert str(caught.value) == (
        "api: GET /api/thing is offered by two plugins; remove one of the extensions that offer it"
    )
