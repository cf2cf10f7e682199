import asyncio
import contextlib
import socket
import stat
from collections.abc import AsyncGenerator, AsyncIterator
from pathlib import Path
from typing import Any

import orjson
import pytest

from agent_process import eventually
from ophion_agent.batch import Batch
from ophion_agent.cli_live import NotRunning, request, stream
from ophion_agent.control import ControlServer, default_socket
from ophion_agent.edges import Edge
from ophion_agent.errors import OphionError, RetryableError
from ophion_agent.testing import Sink, make_traces, settle

pytestmark = pytest.mark.filterwarnings("ignore::ResourceWarning")


class Controlled:
    """The part of an agent that the control socket uses."""

    version = "1"
    started_ns = 0

    def __init__(self) -> None:
        self.edge = Edge("traces/in", Sink())
        self.reloads = 0
        self.error: Exception | None = None

    def edges(self) -> list[str]:
        return [self.edge.name]

    def tap(self, edge: str) -> AsyncGenerator[Batch, None]:
        if edge != self.edge.name:
            raise KeyError(edge)
        return self.edge.tap()

    def effective_config(self) -> str:
        return "service: {}\n"

    def queues(self) -> list[Any]:
        return []

    async def replay(self, exporter: str) -> int:
        if self.error is not None:
            raise self.error
        if exporter != "otlp/backend":
            raise KeyError(exporter)
        return 3

    def request_reload(self) -> None:
        self.reloads += 1


@contextlib.asynccontextmanager
async def serving(path: Path) -> AsyncIterator[Controlled]:
    agent = Controlled()
    server = ControlServer(agent, str(path))  # type: ignore[arg-type]
    await server.start()
    try:
        yield agent
    finally:
        await server.stop()
        await server.stop()


async def until(condition: Any) -> None:
    await eventually(condition, "the condition of the test")


async def test_only_the_owner_can_open_the_socket_and_it_goes_with_the_agent(tmp_path: Path) -> None:
    path = tmp_path / "run" / "control.sock"
    async with serving(path):
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    assert not path.exists()


async def test_a_socket_left_by_a_crash_is_replaced(tmp_path: Path) -> None:
    path = tmp_path / "control.sock"
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(str(path))
    with pytest.raises(NotRunning, match="no agent answers on the control socket"):
        await request(path, "GET", "/edges")
    async with serving(path):
        assert await request(path, "GET", "/edges") == {"edges": ["traces/in"]}


async def test_the_socket_of_another_agent_is_not_taken(tmp_path: Path) -> None:
    path = tmp_path / "control.sock"
    async with serving(path):
        with pytest.raises(OphionError, match=r"is in use by another agent; set service\.control\.socket"):
            await ControlServer(Controlled(), str(path)).start()  # type: ignore[arg-type]
        assert await request(path, "GET", "/edges")


async def test_a_file_that_is_no_socket_is_never_removed(tmp_path: Path) -> None:
    path = tmp_path / "notes.txt"
    path.write_text("keep me")
    with pytest.raises(OphionError, match="is not a socket"):
        await ControlServer(Controlled(), str(path)).start()  # type: ignore[arg-type]
    assert path.read_text() == "keep me"


async def test_a_path_that_cannot_be_opened_is_told_in_a_sentence(tmp_path: Path) -> None:
    path = tmp_path / ("x" * 120)
    with pytest.raises(OphionError, match=r"control socket: cannot open .*AF_UNIX path too long"):
        await ControlServer(Controlled(), str(path)).start()  # type: ignore[arg-type]


async def test_the_default_socket_in_use_only_costs_the_comfort(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RUNTIME_DIRECTORY", f"{tmp_path}:/run/other")
    assert default_socket() == tmp_path / "ophion-agent.sock"
    async with serving(default_socket()):
        second = ControlServer(Controlled(), None)  # type: ignore[arg-type]
        await second.start()
        await second.stop()
        assert default_socket().exists()


async def test_a_tap_streams_what_passes_and_ends_with_its_client(tmp_path: Path) -> None:
    path = tmp_path / "control.sock"
    async with serving(path) as agent:
        lines = stream(path, "/tap?edge=traces/in")
        first = asyncio.ensure_future(anext(lines))
        await until(lambda: agent.edge._taps)
        await agent.edge.consume(make_traces(2))
        seen = orjson.loads(await first)
        assert len(seen["resourceSpans"][0]["scopeSpans"][0]["spans"]) == 2
        await lines.aclose()  # type: ignore[attr-defined]
        await until(lambda: not agent.edge._taps)


async def test_a_client_that_reads_nothing_never_holds_the_pipeline(tmp_path: Path) -> None:
    path = tmp_path / "control.sock"
    async with serving(path) as agent:
        _, writer = await asyncio.open_unix_connection(str(path))
        writer.write(b"GET /tap?edge=traces/in HTTP/1.1\r\nHost: agent\r\n\r\n")
        await until(lambda: agent.edge._taps)
        for _ in range(400):
            await agent.edge.consume(make_traces(100))
            await asyncio.sleep(0)
        assert agent.edge.batches == 400
        writer.close()
        await until(lambda: not agent.edge._taps)


async def test_a_tap_of_an_unknown_edge_lists_the_edges(tmp_path: Path) -> None:
    path = tmp_path / "control.sock"
    async with serving(path):
        with pytest.raises(OphionError, match="no edge 'nope'; edges: traces/in"):
            await anext(stream(path, "/tap?edge=nope"))


async def test_replay_answers_how_many_or_why_not(tmp_path: Path) -> None:
    path = tmp_path / "control.sock"
    async with serving(path) as agent:
        assert await request(path, "POST", "/replay?exporter=otlp/backend") == {"replayed": 3}
        with pytest.raises(OphionError, match="no exporter 'nope'"):
            await request(path, "POST", "/replay?exporter=nope")
        agent.error = RetryableError("the sending queue is full")
        with pytest.raises(OphionError, match="the sending queue is full"):
            await request(path, "POST", "/replay?exporter=otlp/backend")


async def test_a_reload_can_be_asked_for(tmp_path: Path) -> None:
    path = tmp_path / "control.sock"
    async with serving(path) as agent:
        assert await request(path, "POST", "/reload") == {"reload": "requested"}
        assert agent.reloads == 1


async def test_a_stop_ends_the_taps(tmp_path: Path) -> None:
    path = tmp_path / "control.sock"
    async with serving(path) as agent:
        lines = stream(path, "/tap?edge=traces/in")
        reading = asyncio.ensure_future(anext(lines, None))
        await until(lambda: agent.edge._taps)
    await asyncio.gather(reading, return_exceptions=True)
    await settle()
    assert agent.edge._taps == []
