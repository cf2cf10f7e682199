import asyncio
import gzip
import threading
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from ophion_agent.clock import Clock
from ophion_agent.plugin import OphionError
from ophion_agent.testing import make_component
from ophion_extensions.pprof import Pprof
from ophion_extensions.pprof_flamegraph import flamegraph
from ophion_extensions.pprof_format import collapsed, pprof, profile_message
from ophion_extensions.pprof_sampling import OTHER, Place, Profile, Sampler

MAIN = Place("main", "/srv/app/main.py", 1, 7)
WORK = Place("Worker.run", "/srv/app/work.py", 10, 12)
WORK_ELSEWHERE = Place("Worker.run", "/srv/app/work.py", 10, 13)
PROFILE = Profile({(MAIN, WORK): 30, (MAIN, WORK_ELSEWHERE): 10, (MAIN,): 2}, 5, 1_000_000_000, 10_000_000)

Get = Callable[[str], Awaitable[tuple[int, bytes]]]


@pytest.fixture
async def get() -> AsyncIterator[Get]:
    extension = make_component(Pprof, {"endpoint": "localhost:0"}, clock=Clock())
    await extension.start()

    async def get(name: str) -> tuple[int, bytes]:
        async with aiohttp.ClientSession() as session, session.get(extension.addresses()[0] + name) as response:
            return response.status, await response.read()

    yield get
    await extension.stop()


def test_collapses_stacks_by_function() -> None:
    assert collapsed(PROFILE) == "main (app/main.py) 2\nmain (app/main.py);Worker.run (app/work.py) 40\n"


def test_encodes_what_pprof_reads() -> None:
    message = profile_message()
    message.ParseFromString(gzip.decompress(pprof(PROFILE)))
    strings = message.string_table
    assert strings[0] == ""
    assert [strings[one.type] for one in message.sample_type] == ["samples", "wall"]
    assert message.period == 10_000_000
    functions = {one.id: strings[one.name] for one in message.function}
    locations = {one.id: (functions[one.line[0].function_id], one.line[0].line) for one in message.location}
    stacks = {tuple(locations[number] for number in one.location_id): list(one.value) for one in message.sample}
    assert stacks == {
        (("Worker.run", 12), ("main", 7)): [30, 300_000_000],
        (("Worker.run", 13), ("main", 7)): [10, 100_000_000],
        (("main", 7),): [2, 20_000_000],
    }
    assert len(functions) == 2


def test_draws_a_flame_graph_with_escaped_names() -> None:
    page = flamegraph(Profile({(Place("<script>", "", 1, 1),): 1}, 0, 1, 1))
    assert "&lt;script&gt;: 1 samples, 100.0 %" in page
    assert "<script>" not in page
    assert "42 samples" in flamegraph(PROFILE)
    assert "0 samples" in flamegraph(Profile({}, 0, 1, 1))


def test_sees_what_a_busy_thread_does() -> None:
    done = threading.Event()

    def spin() -> None:
        while not done.is_set():
            sum(range(1000))

    thread = threading.Thread(target=spin)
    sampler = Sampler(samples_per_second=1000)
    thread.start()
    sampler.start()
    try:
        while not any(code.co_name == "spin" for stack in list(sampler._seen) for code, _ in stack):
            done.wait(0.001)
    finally:
        done.set()
        thread.join()
    profile = sampler.stop()
    assert sampler.stop().stacks == profile.stacks
    assert any(place.function.endswith("spin") for stack in profile.stacks for place in stack)


def test_keeps_a_bounded_number_of_stacks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ophion_extensions.pprof_sampling._MOST_STACKS", 1)
    sampler = Sampler()
    code = test_keeps_a_bounded_number_of_stacks.__code__
    for line in (1, 2, 3, 1):
        sampler._count(((code, line),))
    assert sampler.stop().stacks[OTHER] == 2


async def test_serves_profiles_in_every_format(get: Get) -> None:
    status, body = await get("profile?seconds=0.05")
    assert status == 200
    profile_message().ParseFromString(gzip.decompress(body))
    status, body = await get("profile?seconds=0.05&format=html")
    assert status == 200
    assert b"<svg" in body
    assert (await get("profile?seconds=0.05&format=collapsed"))[0] == 200


@pytest.mark.parametrize("seconds", ["0", "-1", "121", "nan", "inf", "soon"])
async def test_refuses_profiles_of_unreasonable_length(get: Get, seconds: str) -> None:
    assert await get(f"profile?seconds={seconds}") == (400, b"seconds: must be a number above 0 and up to 120\n")


async def test_refuses_an_unknown_format(get: Get) -> None:
    assert (await get("profile?format=xml"))[0] == 400


async def test_takes_one_profile_at_a_time_and_ends_it_at_a_stop() -> None:
    extension = make_component(Pprof, {"endpoint": "localhost:0"})
    await extension.start()
    url = extension.addresses()[0] + "profile?seconds=100&format=collapsed"
    async with aiohttp.ClientSession() as session:
        first = asyncio.create_task(session.get(url))
        while not extension._running:  # noqa: ASYNC110 - nothing announces that the request was taken
            await asyncio.sleep(0)
        async with session.get(url) as second:
            assert second.status == 409
        await extension.stop()
        assert (await first).status == 200


async def test_shows_tasks_threads_and_objects(get: Get) -> None:
    waiting = asyncio.create_task(asyncio.Event().wait(), name="a-task-that-waits")
    status, body = await get("goroutine")
    waiting.cancel()
    assert status == 200
    assert b"task a-task-that-waits\n" in body
    assert b"in Event.wait" in body
    assert b"thread MainThread" in body
    assert b"builtins.dict" in (await get("heap"))[1]
    assert b"go tool pprof" in (await get(""))[1]


async def test_saves_a_profile_of_the_whole_run(tmp_path: Path) -> None:
    path = tmp_path / "profile.pb.gz"
    config: dict[str, Any] = {"endpoint": "localhost:0", "save_to_file": str(path)}
    extension = make_component(Pprof, config)
    await extension.start()
    await extension.stop()
    message = profile_message()
    message.ParseFromString(gzip.decompress(path.read_bytes()))
    assert message.duration_nanos > 0
    config["save_to_file"] = str(tmp_path / "missing" / "profile")
    with pytest.raises(OphionError, match="cannot be written: No such file or directory; choose another path"):
        await make_component(Pprof, config).start()
