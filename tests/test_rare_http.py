"""A server for rare visitors answers the first one as it answers the others."""

import asyncio
import subprocess
import sys

import aiohttp
from aiohttp import web

from ophion_agent.rare_http import RareHTTPServer


async def hello(_: web.BaseRequest) -> web.StreamResponse:
    return web.Response(text="hello")


async def test_answers_every_visitor() -> None:
    server = RareHTTPServer({("GET", "/"): hello})
    port = await server.listen("127.0.0.1", 0)
    async with aiohttp.ClientSession() as session:
        for _ in range(3):
            async with session.get(f"http://127.0.0.1:{port}/", headers={"Connection": "close"}) as response:
                assert (response.status, await response.text()) == (200, "hello")
    await server.stop()
    await server.stop()


async def test_says_which_path_or_method_is_not_served() -> None:
    server = RareHTTPServer({("GET", "/"): hello})
    port = await server.listen("127.0.0.1", 0)
    async with aiohttp.ClientSession() as session:
        async with session.get(f"http://127.0.0.1:{port}/missing") as response:
            assert response.status == 404
        async with session.post(f"http://127.0.0.1:{port}/") as response:
            assert (response.status, response.headers["Allow"]) == (405, "GET")
    await server.stop()


async def test_a_visitor_who_leaves_at_once_disturbs_nobody() -> None:
    server = RareHTTPServer({("GET", "/"): hello})
    port = await server.listen("127.0.0.1", 0)
    for sent in (b"", b"GET / HTTP/1.1\r\n"):
        _, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(sent)
        writer.close()
        await writer.wait_closed()
    async with aiohttp.ClientSession() as session, session.get(f"http://127.0.0.1:{port}/") as response:
        assert response.status == 200
    await server.stop()


def test_nothing_is_loaded_before_the_first_request() -> None:
    script = """
import asyncio, sys
from ophion_agent.rare_http import RareHTTPServer

async def main():
    server = RareHTTPServer({})
    port = await server.listen("127.0.0.1", 0)
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    await asyncio.sleep(0)
    assert "aiohttp" not in sys.modules
    writer.write(b"GET / HTTP/1.1\\r\\nHost: x\\r\\nConnection: close\\r\\n\\r\\n")
    assert (await reader.readline()).startswith(b"HTTP/1.1 404")
    assert "aiohttp" in sys.modules
    writer.close()
    await server.stop()

asyncio.run(main())
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
