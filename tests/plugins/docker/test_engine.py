"""The engine client against a real engine."""

import asyncio
import io
import tarfile

import pytest

from docker_engine import Docker
from ophion_docker.engine import Engine
from ophion_docker.engine_errors import Conflict, EngineError, EngineUnavailable, NotFound
from ophion_docker.engine_frames import STDERR, STDOUT, FrameReader
from ophion_docker.metadata import container_of


def tar_of(name: str, content: bytes) -> bytes:
    output = io.BytesIO()
    with tarfile.open(fileobj=output, mode="w") as tar:
        entry = tarfile.TarInfo(name)
        entry.size = len(content)
        tar.addfile(entry, io.BytesIO(content))
    return output.getvalue()


async def test_agrees_on_a_version(engine: Engine) -> None:
    await engine.ping()
    assert engine.runtime == "docker"
    assert engine.at_least("1.24")
    assert (await engine.info())["OSType"] == "linux"


async def test_a_container_lives_and_dies(docker: Docker, engine: Engine, shell: str) -> None:
    container = await engine.create("first", {"Image": shell, "Cmd": ["sleep", "60"], "Env": ["A=b=c"]})
    assert container_of(await engine.inspect(container)).running is False
    assert await engine.start(container) is True
    assert await engine.start("first") is False
    known = container_of(await engine.inspect("first"))
    assert (known.name, known.image, known.environment["A"]) == ("first", shell, "b=c")
    assert known.pid > 0
    assert known.created_ns <= known.started_ns
    await engine.rename("first", "second")
    assert [entry["Names"] for entry in await engine.containers()] == [["/second"]]
    with pytest.raises(Conflict, match="already in use"):
        await engine.create("second", {"Image": shell, "Cmd": ["sh"]})
    await engine.update("second", {"RestartPolicy": {"Name": "always"}})
    await engine.pause("second")
    assert container_of(await engine.inspect("second")).status == "paused"
    await engine.unpause("second")
    assert len((await engine.top("second"))["Processes"]) == 1
    assert await engine.stop("second", seconds=0) is True
    assert await engine.stop("second") is False
    assert await engine.wait("second", seconds=10) == 137
    await engine.remove("second")
    with pytest.raises(NotFound, match="No such container"):
        await engine.inspect(container)
    with pytest.raises(NotFound, match="No such image"):
        await engine.create(None, {"Image": "absent"})


async def test_runs_commands_in_a_container(docker: Docker, engine: Engine, shell: str) -> None:
    container = await docker.run(engine, shell, ["sleep", "60"])
    command = ["sh", "-c", "echo $X; pwd >&2; exit 7"]
    result = await engine.execute(container, command, environment=["X=y"], directory="/tmp")
    assert (result.exit_code, result.stdout, result.stderr) == (7, b"y\n", b"/tmp\n")


async def test_puts_files_into_containers_that_never_ran(docker: Docker, engine: Engine, shell: str) -> None:
    await engine.create_volume("payload", {"made-by": "test"})
    body = {"Image": shell, "Cmd": ["cat", "/p/file"], "HostConfig": {"Binds": ["payload:/p"]}}
    container = await engine.create(None, body)
    await engine.put_archive(container, "/p", tar_of("file", b"hello"))
    await engine.put_archive(container, "/tmp", tar_of("other", b""))
    await engine.start(container)
    assert await engine.wait(container, seconds=20) == 0
    async with engine.logs(container) as response:
        assert FrameReader().feed(await response.read()) == [(STDOUT, b"hello")]
    assert {"Path": "/tmp/other", "Kind": 1} in await engine.changes(container)
    with tarfile.open(fileobj=io.BytesIO(await engine.get_archive(container, "/p/file"))) as tar:
        assert tar.getnames() == ["file"]
    with pytest.raises(Conflict):
        await engine.remove_volume("payload")
    await engine.remove(container)
    assert (await engine.volume("payload"))["Labels"] == {"made-by": "test"}
    await engine.remove_volume("payload")
    assert await engine.volumes({"name": ["payload"]}) == []


async def test_connects_containers_to_networks(docker: Docker, engine: Engine, shell: str) -> None:
    pool = docker.gateway.rsplit(".", 2)[0]
    subnet = {"IPAM": {"Config": [{"Subnet": f"{pool}.127.0/24"}]}}
    try:
        await engine.create_network("apart", subnet)
        container = await docker.run(engine, shell, ["sleep", "60"])
        await engine.connect_network("apart", container, {"IPAMConfig": {"IPv4Address": f"{pool}.127.9"}})
        networks = (await engine.inspect(container))["NetworkSettings"]["Networks"]
        assert networks["apart"]["IPAddress"] == f"{pool}.127.9"
        assert container in (await engine.network("apart"))["Containers"]
        await engine.disconnect_network("apart", container)
    finally:
        await engine.remove_network("apart")
    assert "apart" not in [network["Name"] for network in await engine.networks()]


async def test_makes_images_of_containers(docker: Docker, engine: Engine, shell: str) -> None:
    container = await docker.run(engine, shell, ["sh", "-c", "echo x > /tmp/x"])
    await engine.wait(container, seconds=20)
    image = await engine.commit(container, "committed")
    assert (await engine.image("committed:latest"))["Id"] == image
    await engine.tag_image("committed", "again", "1")
    for name in ("again:1", "committed"):
        await engine.remove_image(name)
    with pytest.raises(NotFound):
        await engine.image("committed")
    with pytest.raises(EngineError, match="POST /images/create"):
        await engine.import_image("broken", b"this is no tar" * 100)


async def test_streams_logs_and_events(docker: Docker, engine: Engine, shell: str) -> None:
    container = await docker.run(engine, shell, ["sh", "-c", "echo a; echo b >&2; sleep 60"])
    frames, found = FrameReader(), []
    async with asyncio.timeout(20), engine.logs(container, follow=True) as response:
        while len(found) < 2:
            found += frames.feed(await response.content.readany())
    assert sorted(found) == [(STDOUT, b"a\n"), (STDERR, b"b\n")]
    await engine.kill(container)
    async with asyncio.timeout(20):
        filters = {"type": ["container"], "event": ["die"], "container": [container]}
        event = await anext(engine.events(since="0.000000000", filters=filters))
    assert event["Actor"]["Attributes"]["exitCode"] == "137"
    ended = [event async for event in engine.events(since="0", until="1")]
    assert ended == []


async def test_reads_figures_in_one_shot(docker: Docker, engine: Engine, shell: str) -> None:
    container = await docker.run(engine, shell, ["sleep", "60"])
    figures = await engine.stats(container)
    assert figures["pids_stats"]["current"] >= 1
    # Two looks, a second apart, would tell what the processors did before.
    assert "system_cpu_usage" not in figures["precpu_stats"]


async def test_names_the_engine_that_is_not_there() -> None:
    with pytest.raises(EngineUnavailable, match=r"engine at unix:///nowhere/x.sock: No such file"):
        async with Engine("unix:///nowhere/x.sock"):
            pass
