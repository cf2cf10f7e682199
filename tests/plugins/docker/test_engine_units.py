"""The engine client without an engine: addresses, versions, errors, frames."""

import asyncio
import json
import ssl
from contextlib import suppress
from itertools import pairwise
from pathlib import Path

import pytest
import trustme
from aiohttp import web
from hypothesis import given
from hypothesis import strategies as st

from docker_engine import Handler, serving
from ophion_docker.engine import Engine
from ophion_docker.engine_address import client_context, find_address, parse_address
from ophion_docker.engine_connection import choose_version
from ophion_docker.engine_errors import (
    Conflict,
    EngineAnswer,
    EngineError,
    EngineFault,
    EngineTimeout,
    EngineUnavailable,
    NotFound,
    connection_error,
)
from ophion_docker.engine_frames import FrameError, FrameReader

VERSION = {"ApiVersion": "1.41", "MinAPIVersion": "1.12", "Version": "20.10"}


def test_finds_the_engine_that_is_named_before_any_socket() -> None:
    environment = {"DOCKER_HOST": "tcp://far:1234"}
    assert find_address("unix:///x", environment).unix_path == "/x"
    assert find_address("", environment).url == "http://far:1234"
    assert find_address("/run/a.sock", {}).text == "unix:///run/a.sock"


@pytest.mark.parametrize(
    ("there", "found"),
    [
        (["/var/run/docker.sock", "/run/podman/podman.sock"], "/var/run/docker.sock"),
        (["/run/user/7/docker.sock", "/run/user/7/podman/podman.sock"], "/run/user/7/docker.sock"),
        (["/run/user/7/podman/podman.sock", "/run/podman/podman.sock"], "/run/user/7/podman/podman.sock"),
        (["/run/podman/podman.sock"], "/run/podman/podman.sock"),
        ([], "/var/run/docker.sock"),
    ],
)
def test_looks_for_sockets_in_a_fixed_order(there: list[str], found: str) -> None:
    assert find_address("", {"XDG_RUNTIME_DIR": "/run/user/7"}, there.__contains__).unix_path == found


@pytest.mark.parametrize(
    ("text", "environment", "url"),
    [
        ("tcp://far", {}, "http://far:2375"),
        ("tcp://far", {"DOCKER_TLS_VERIFY": "1"}, "https://far:2376"),
        ("https://far/", {}, "https://far:2376"),
        ("http://[::1]:80", {}, "http://[::1]:80"),
        ("tcp://[::1]", {}, "http://[::1]:2375"),
    ],
)
def test_reads_addresses_as_the_docker_command_does(text: str, environment: dict[str, str], url: str) -> None:
    assert parse_address(text, environment).url == url


@pytest.mark.parametrize("text", ["docker", "ftp://x", "unix://", "npipe:////./pipe/docker"])
def test_refuses_other_addresses(text: str) -> None:
    with pytest.raises(ValueError, match=r"must be unix:///path, tcp://host:port or https://host:port"):
        parse_address(text, {})


def test_names_certificates_that_cannot_be_used(tmp_path: Path) -> None:
    (tmp_path / "ca.pem").write_text("no certificate")
    address = parse_address("https://far", {"DOCKER_CERT_PATH": str(tmp_path)})
    with pytest.raises(EngineUnavailable, match=r"certificates in .* cannot be used: .*; correct DOCKER_CERT_PATH"):
        client_context(address)
    assert client_context(parse_address("unix:///x", {})) is None


@pytest.mark.parametrize(
    ("lowest", "highest", "chosen"),
    [("1.12", "1.41", "1.41"), ("", "1.24", "1.24"), ("1.44", "1.52", "1.47"), ("1.24", "1.100", "1.47")],
)
def test_chooses_the_highest_version_that_both_speak(lowest: str, highest: str, chosen: str) -> None:
    assert choose_version(lowest, highest) == chosen


@pytest.mark.parametrize(("lowest", "highest"), [("1.10", "1.22"), ("1.60", "1.70")])
def test_refuses_engines_that_speak_no_common_version(lowest: str, highest: str) -> None:
    with pytest.raises(ValueError, match=rf"speaks API versions {lowest} to {highest}, this agent 1\.24 to 1\.47"):
        choose_version(lowest, highest)


@pytest.mark.parametrize(
    ("error", "says"),
    [
        (FileNotFoundError(2, "x"), "No such file or directory; start the engine, or set `endpoint`"),
        (PermissionError(13, "x"), r"Permission denied; let the agent's user \(id \d+\) use the socket"),
        (ConnectionRefusedError(111, "x"), "Connection refused; the engine does not run, start it"),
        (ConnectionResetError(104, "x"), "Connection reset by peer$"),
        (RuntimeError("odd"), "RuntimeError: odd$"),
    ],
)
def test_says_why_no_engine_can_be_reached(error: Exception, says: str) -> None:
    with pytest.raises(EngineUnavailable, match=f"engine at unix:///x: {says}"):
        raise connection_error("unix:///x", error)


def with_version(handler: Handler) -> Handler:
    return lambda request: web.json_response(VERSION) if request.path == "/version" else handler(request)


@pytest.mark.parametrize(
    ("status", "kind"), [(400, EngineAnswer), (404, NotFound), (409, Conflict), (500, EngineFault), (501, EngineFault)]
)
async def test_answers_become_errors_with_the_reason(tmp_path: Path, status: int, kind: type[EngineAnswer]) -> None:
    def refuse(request: web.Request) -> web.Response:
        return web.json_response({"message": "because"}, status=status)

    async with serving(tmp_path, with_version(refuse)) as engine:
        with pytest.raises(EngineAnswer, match=rf"GET /info: because \(HTTP {status}\)") as raised:
            await engine.info()
        assert type(raised.value) is kind
        assert (raised.value.status, raised.value.reason) == (status, "because")


@pytest.mark.parametrize(("body", "reason"), [("plain", "plain"), ("", "no reason given"), ('{"cause":"c"}', "c")])
async def test_reads_reasons_in_any_form(tmp_path: Path, body: str, reason: str) -> None:
    async with serving(tmp_path, with_version(lambda _: web.Response(status=500, text=body))) as engine:
        with pytest.raises(EngineFault, match=rf"GET /info: {reason} \(HTTP 500\)"):
            await engine.info()


async def test_every_call_has_a_deadline(tmp_path: Path) -> None:
    async def hang(_: web.Request) -> web.Response:
        await asyncio.sleep(30)
        return web.Response()

    async with serving(tmp_path, with_version(hang)) as engine:
        with pytest.raises(EngineTimeout, match=r"GET /info: no answer from unix:///.* in 0.3 s"):
            await engine.info()
        with pytest.raises(EngineTimeout, match=r"GET /events: no answer"):
            await anext(engine.events())
    async with serving(tmp_path, hang) as engine:
        with pytest.raises(EngineTimeout, match=r"GET /version: no answer"):
            await engine.open()


async def test_says_when_what_answers_is_no_engine(tmp_path: Path) -> None:
    async with serving(tmp_path, lambda _: web.Response(text="hello")) as engine:
        with pytest.raises(EngineUnavailable, match="this is no container engine; check `endpoint`"):
            await engine.open()
    old = {**VERSION, "ApiVersion": "1.18"}
    async with serving(tmp_path, lambda _: web.json_response(old)) as engine:
        with pytest.raises(EngineUnavailable, match=r"it speaks API versions 1.12 to 1.18, this agent 1.24 to 1.47"):
            await engine.open()
    async with serving(tmp_path, with_version(lambda _: web.json_response([1]))) as engine:
        with pytest.raises(EngineError, match="the engine answered list where an object was due"):
            await engine.info()


async def test_knows_podman_by_its_components(tmp_path: Path) -> None:
    podman = {**VERSION, "Components": [{"Name": "Podman Engine"}]}
    async with serving(tmp_path, lambda _: web.json_response(podman)) as engine:
        await engine.open()
        assert (engine.runtime, engine.api_version, engine.at_least("1.41")) == ("podman", "1.41", True)
    pinned = Engine(engine.address, api_version="1.30")
    async with serving(tmp_path, lambda request: web.json_response({**podman, "Name": request.path})):
        assert (await pinned.info())["Name"] == "/v1.30/info"
        await pinned.close()


async def test_a_name_cannot_address_something_else(tmp_path: Path) -> None:
    async with serving(tmp_path, with_version(lambda request: web.json_response({"Id": request.raw_path}))) as engine:
        assert (await engine.inspect("a/../b?x"))["Id"].startswith("/v1.41/containers/a%2F..%2Fb%3Fx/json")
        with pytest.raises(EngineError, match="must be the name or id of a container, network or volume, got ''"):
            await engine.inspect("")


async def test_a_stream_that_breaks_says_so(tmp_path: Path) -> None:
    async def cut(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        await response.write(b'{"Action":"start"}\n{"Action')
        assert request.transport is not None
        request.transport.abort()
        return response

    async with serving(tmp_path, with_version(cut)) as engine:
        events = engine.events()
        assert await anext(events) == {"Action": "start"}
        with pytest.raises(EngineUnavailable, match="engine at unix:///"):
            await anext(events)


async def test_failed_imports_are_told(tmp_path: Path) -> None:
    text = json.dumps({"status": "Importing"}) + "\r\n" + json.dumps({"error": "no tar"})
    async with serving(tmp_path, with_version(lambda _: web.Response(text=text))) as engine:
        with pytest.raises(EngineError, match="POST /images/create: no tar"):
            await engine.import_image("x", b"")


frames = st.lists(st.tuples(st.sampled_from([1, 2]), st.binary(max_size=40)), max_size=20)


def framed(items: list[tuple[int, bytes]]) -> bytes:
    return b"".join(bytes((stream, 0, 0, 0)) + len(body).to_bytes(4, "big") + body for stream, body in items)


@given(frames, st.lists(st.integers(0, 400), max_size=12))
def test_frames_come_out_whole_however_they_arrive(items: list[tuple[int, bytes]], cuts: list[int]) -> None:
    data, reader, found = framed(items), FrameReader(), []
    edges = [0, *sorted(min(cut, len(data)) for cut in cuts), len(data)]
    for begin, end in pairwise(edges):
        found += reader.feed(data[begin:end])
    assert found == items
    assert reader.waiting_bytes == 0


@given(st.binary(max_size=200))
def test_other_bytes_are_refused_or_waited_for_and_nothing_else(data: bytes) -> None:
    reader = FrameReader()
    with suppress(FrameError):
        found = reader.feed(data)
        assert len(framed(found)) + reader.waiting_bytes == len(data)


def test_says_what_came_instead_of_a_frame() -> None:
    with pytest.raises(FrameError, match="not a multiplexed stream: a frame begins with 32303236"):
        FrameReader().feed(b"2026-11-22T02:47:51Z x")


async def test_speaks_tls_with_the_certificates_of_the_docker_command(tmp_path: Path) -> None:
    ca, stranger = trustme.CA(), trustme.CA()
    server = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    ca.issue_cert("127.0.0.1").configure_cert(server)
    ca.configure_trust(server)
    server.verify_mode = ssl.CERT_REQUIRED
    own = ca.issue_cert("agent")
    ca.cert_pem.write_to_path(tmp_path / "ca.pem")
    own.cert_chain_pems[0].write_to_path(tmp_path / "cert.pem")
    own.private_key_pem.write_to_path(tmp_path / "key.pem")
    application = web.Application()

    async def version(_: web.Request) -> web.Response:
        return web.json_response(VERSION)

    application.router.add_get("/version", version)
    runner = web.AppRunner(application, shutdown_timeout=0.1)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0, ssl_context=server)
    await site.start()
    port = runner.addresses[0][1]
    environment = {"DOCKER_TLS_VERIFY": "1", "DOCKER_CERT_PATH": str(tmp_path)}
    try:
        async with Engine(parse_address(f"tcp://127.0.0.1:{port}", environment)) as engine:
            assert engine.engine_version == "20.10"
            assert not engine.address.local
        stranger.cert_pem.write_to_path(tmp_path / "ca.pem")
        says = rf"engine at tcp://127.0.0.1:{port}: TLS: .*check DOCKER_CERT_PATH"
        with pytest.raises(EngineUnavailable, match=says):
            async with Engine(parse_address(f"tcp://127.0.0.1:{port}", environment)):
                pass
    finally:
        await runner.cleanup()
