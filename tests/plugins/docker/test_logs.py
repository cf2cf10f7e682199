"""docker_logs where engines, pipelines and storages fail: against an engine whose answers the test writes."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from pydantic import ValidationError

from docker_engine import serving
from ophion_agent.clock import Clock
from ophion_agent.plugin import QUEUE_STORAGE, OphionError, RetryableError
from ophion_agent.testing import ManualClock, Sink, make_component, make_context
from ophion_docker.logs import DockerLogsReceiver, own_container
from ophion_docker.logs_config import DockerLogsConfig
from ophion_docker.logs_position import Position
from ophion_docker.logs_store import PositionStore
from ophion_docker.watching import ContainerWatch
from ophion_extensions.file_storage import FileStorage

ID = "a" * 64
STARTED = "2026-11-22T02:00:00.000000000Z"
INSPECT = {
    "Id": ID, "Name": "/shop", "Created": STARTED, "Config": {"Image": "shop:1", "Tty": False},
    "State": {"Status": "running", "Pid": 1, "StartedAt": STARTED},
}  # fmt: skip
Answer = Callable[[web.Request], Any]


def frame(text: str, stream: int = 1, second: int = 0) -> bytes:
    content = f"2026-11-22T02:00:{second:02d}.000000000Z {text}".encode()
    return bytes((stream, 0, 0, 0)) + len(content).to_bytes(4, "big") + content


class Engine:
    """An engine with one container, whose output comes from `outputs`, one for each time it is asked."""

    def __init__(self, *outputs: bytes | web.Response) -> None:
        self.outputs = list(outputs)
        self.asked: list[dict[str, str]] = []

    async def answer(self, request: web.Request) -> web.StreamResponse:
        path = request.path.removeprefix("/v1.41")
        if path == "/version":
            return web.json_response({"ApiVersion": "1.41", "MinAPIVersion": "1.12"})
        if path == "/info":
            return web.json_response({"SystemTime": "2026-11-22T03:00:00.000000000Z"})
        if path == "/containers/json":
            return web.json_response([{"Id": ID, "Created": 1_795_312_800, "State": "running"}])
        if path == f"/containers/{ID}/json":
            return web.json_response(INSPECT)
        if path == f"/containers/{ID}/logs":
            self.asked.append(dict(request.query))
            output = self.outputs.pop(0) if self.outputs else b""
            return output if isinstance(output, web.Response) else web.Response(body=output)
        response = web.StreamResponse()
        await response.prepare(request)
        await asyncio.sleep(60)
        return response


@asynccontextmanager
async def receiving(
    folder: Path, engine: Engine, sink: Sink, *, gate: Any = None, **options: Any
) -> AsyncIterator[DockerLogsReceiver]:
    async with serving(folder, engine.answer) as client:
        config = {"endpoint": client.address.text, "start_at": "beginning", "flush_interval": "5ms", **options}
        receiver = make_component(DockerLogsReceiver, config, sink=sink, clock=Clock())
        if gate is not None:
            receiver.guard([gate])
        await receiver.start()
        try:
            yield receiver
        finally:
            await receiver.stop()
            await receiver.context.close()


def bodies(sink: Sink) -> list[str]:
    return [record.body.string_value for batch in sink.batches for record in batch.view().records()]


async def test_goes_on_where_a_connection_broke(tmp_path: Path) -> None:
    whole = [frame("one\n"), frame("two\n", second=1), frame("three\n", second=2)]
    engine, sink = Engine(b"".join(whole[:2]) + whole[2][:20], b"".join(whole[1:])), Sink()
    async with receiving(tmp_path, engine, sink):
        await sink.wait_for_items(3)
    assert bodies(sink) == ["one", "two", "three"]
    assert "since" not in engine.asked[0]
    assert engine.asked[0]["timestamps"] == "1"


class Silent(Engine):
    """An engine whose connections stay open and say nothing, as behind a network that is gone."""

    alive = True

    async def answer(self, request: web.Request) -> web.StreamResponse:
        if request.path.endswith("/_ping"):
            return web.Response(text="OK", status=200 if self.alive else 500)
        if request.path.endswith("/logs") and not self.outputs:
            self.asked.append(dict(request.query))
            response = web.StreamResponse()
            await response.prepare(request)
            await asyncio.sleep(60)
            return response
        return await super().answer(request)


async def test_connects_anew_when_a_silent_engine_does_not_answer(tmp_path: Path) -> None:
    engine, sink = Silent(), Sink()
    async with receiving(tmp_path, engine, sink) as receiver:
        watch = receiver._watch
        assert watch is not None
        await asyncio.wait_for(watch.ready.wait(), 20)
        async with asyncio.timeout(20):
            while not engine.asked:  # noqa: ASYNC110
                await asyncio.sleep(0.01)
        engine.outputs.append(frame("line\n"))
        watch.lost.set()
        await sink.wait_for_items(1)
    assert bodies(sink) == ["line"]


async def test_a_silent_engine_is_asked_whether_it_lives(tmp_path: Path) -> None:
    engine = Silent()
    async with serving(tmp_path, engine.answer) as client:
        watch = ContainerWatch(client, Clock(), make_context().log, silence_seconds=0.05)
        task = asyncio.create_task(watch.run())
        await asyncio.wait_for(watch.ready.wait(), 20)
        await asyncio.sleep(0.2)
        assert watch.connected
        engine.alive = False
        await asyncio.wait_for(watch.lost.wait(), 20)
        assert "GET /_ping: OK (HTTP 500)" in watch.problem
        task.cancel()
        await asyncio.wait({task})


@pytest.mark.parametrize(
    ("first", "event", "says"),
    [
        (b"not a frame at all", "logs_interrupted", "not a multiplexed stream: a frame begins with 6e6f74206120667"),
        (frame("x", stream=3), "logs_interrupted", "the engine cannot go on"),
        (web.json_response({"message": "odd"}, status=500), "logs_refused", "odd (HTTP 500)"),
    ],
    ids=["garbage", "engine error", "refusal"],
)
async def test_tries_again_and_says_why(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, first: Any, event: str, says: str
) -> None:
    caplog.set_level("INFO")
    sink = Sink()
    async with receiving(tmp_path, Engine(first, frame("line\n")), sink):
        await sink.wait_for_items(1)
    assert bodies(sink) == ["line"]
    [record] = [record for record in caplog.records if event in record.getMessage()]
    assert says in str(record.__dict__)


async def test_reads_nothing_while_memory_is_short(tmp_path: Path) -> None:
    refusals = [RetryableError("memory", retry_after_seconds=0.01) for _ in range(3)]
    asked: list[int] = []

    def gate(nbytes: int) -> None:
        asked.append(nbytes)
        if refusals:
            raise refusals.pop()

    sink, output = Sink(), frame("line\n")
    async with receiving(tmp_path, Engine(output), sink, gate=gate):
        await sink.wait_for_items(1)
    assert asked[:4] == [len(output)] * 4


async def test_what_was_not_taken_at_the_stop_is_read_again(tmp_path: Path) -> None:
    sink = Sink()
    sink.error = RetryableError("full", retry_after_seconds=60)
    async with receiving(tmp_path, Engine(frame("line\n")), sink) as receiver:
        refused = receiver.context.counter("otelcol_receiver_refused_log_records")
        async with asyncio.timeout(20):
            while not refused.value:  # noqa: ASYNC110
                await asyncio.sleep(0.01)
        position = receiver._store.positions[ID]
    assert position.as_json() == {"since": 0, "streams": {}}


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ({"multiline": {"line_start_pattern": "("}}, "must be a regular expression, got '('"),
        ({"include": {"names": ["/(/"]}}, "must be a name, a glob or a /regex/"),
        ({"streams": []}, "at least 1 item"),
        ({"start_at": "middle"}, "Input should be 'end' or 'beginning'"),
        ({"rate_limit": {"lines_per_second": 0}}, "greater than 0"),
    ],
)
def test_refuses_wrong_options(given: dict[str, Any], says: str) -> None:
    with pytest.raises(ValidationError) as raised:
        DockerLogsConfig.model_validate(given)
    assert says in str(raised.value)


def test_empty_sections_are_defaults() -> None:
    config = DockerLogsConfig.model_validate({"include": None, "exclude": None, "multiline": None, "start_at": "END"})
    assert config == DockerLogsConfig()


class BrokenStorage:
    """A storage whose folder cannot be used."""

    async def open_queue(self, name: str, max_bytes: int) -> Any:
        raise OSError(28, "No space left on device")


async def test_names_what_stops_the_start(monkeypatch: pytest.MonkeyPatch) -> None:
    receiver = make_component(
        DockerLogsReceiver,
        {"storage": "disk"},
        services={"disk": BrokenStorage()},
        provided={QUEUE_STORAGE.name: "disk"},
    )
    with pytest.raises(OphionError, match=r"storage disk: .*No space left on device; check its folder"):
        await receiver.start()
    await receiver.stop()
    monkeypatch.setenv("DOCKER_HOST", "nonsense")
    with pytest.raises(OphionError, match="DOCKER_HOST: must be unix:///path"):
        await make_component(DockerLogsReceiver).start()


@asynccontextmanager
async def opened_store(folder: Path) -> AsyncIterator[PositionStore]:
    storage = make_component(FileStorage, {"directory": str(folder)}, clock=Clock())
    await storage.start()
    store = PositionStore(ManualClock(), make_context().log)
    await store.open(storage, "positions")
    try:
        yield store
    finally:
        await storage.stop()


async def test_positions_come_back_from_the_disk(tmp_path: Path) -> None:
    async with opened_store(tmp_path) as store:
        assert (store.positions, store.saved_ns) == ({}, 0)
        position = store.positions["a"] = Position()
        for moment in range(1, 4):
            position.advance([(1, moment, b"x"), (2, moment, b"y")], None)
            store.changed()
            await store.save()
        store.positions["b"] = Position(7)
        store.changed()
        await store.save()
        store.forget("b")
        await store.save()
        expected = position.as_json()
    async with opened_store(tmp_path) as store:
        assert {container: found.as_json() for container, found in store.positions.items()} == {"a": expected}
        assert store.saved_ns > 0


async def test_unreadable_positions_are_told_and_begin_anew(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    storage = make_component(FileStorage, {"directory": str(tmp_path)}, clock=Clock())
    await storage.start()
    queue = await storage.open_queue("positions", 1 << 20)
    await queue.append(b'{"containers": 7}')
    await storage.stop()
    async with opened_store(tmp_path) as store:
        assert store.positions == {}
    assert "positions_not_read" in caplog.text


async def test_a_storage_that_fails_is_told_once_and_tried_again(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async with opened_store(tmp_path) as store:
        queue = store._queue
        assert queue is not None
        await queue.close()
        store.positions["a"] = Position(1)
        store.changed()
        for _ in range(3):
            await store.save()
    assert caplog.text.count("positions_not_stored") == 1


def test_knows_the_container_that_it_runs_in(tmp_path: Path) -> None:
    table = tmp_path / "mountinfo"
    assert own_container(str(table)) == ""
    table.write_text("36 35 98:0 / / rw - ext4 /dev/sda rw\n")
    assert own_container(str(table)) == ""
    table.write_text(f"36 35 98:0 /var/lib/docker/containers/{ID}/hostname /etc/hostname rw - ext4 /dev/sda rw\n")
    assert own_container(str(table)) == ID
