"""docker_stats against a real engine."""

import asyncio
from typing import Any

import pytest

from docker_engine import Docker, running_docker
from ophion_agent.clock import Clock
from ophion_agent.testing import Sink, make_component
from ophion_docker.engine import Engine
from ophion_docker.stats import DockerStatsReceiver
from ophion_docker.stats_metrics import TABLE

EVERYTHING = {metric.name: {"enabled": True} for metric in TABLE}


class Stats:
    """A receiver that looks when it is told to."""

    def __init__(self, docker: Docker, **options: Any) -> None:
        self.sink = Sink()
        config = {"endpoint": docker.address, "initial_delay": "1h", **options}
        self.receiver = make_component(DockerStatsReceiver, config, sink=self.sink, clock=Clock())

    async def __aenter__(self) -> "Stats":
        await self.receiver.start()
        assert self.receiver._watch is not None
        await asyncio.wait_for(self.receiver._watch.ready.wait(), 20)
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.receiver.stop()
        await self.receiver.context.close()

    async def look(self) -> dict[str, dict[str, float]]:
        """Look once; return the points of each container by its name, or its id where it has none."""
        self.sink.batches.clear()
        await self.receiver.scrape()
        found: dict[str, dict[str, float]] = {}
        for batch in self.sink.batches:
            for group in batch.view().message.resource_metrics:
                resource = {pair.key: pair.value.string_value for pair in group.resource.attributes}
                values = found.setdefault(resource.get("container.name") or resource["container.id"], {})
                for metric in (metric for scope in group.scope_metrics for metric in scope.metrics):
                    data = metric.sum if metric.HasField("sum") else metric.gauge
                    for point in data.data_points:
                        labels = ",".join(pair.value.string_value for pair in point.attributes)
                        name = metric.name.removeprefix("container.") + (f"[{labels}]" if labels else "")
                        values[name] = point.as_int if point.HasField("as_int") else point.as_double
        return found

    async def wait_for(self, names: set[str], seconds: float = 20) -> dict[str, dict[str, float]]:
        async with asyncio.timeout(seconds):
            while set(found := await self.look()) != names:  # noqa: ASYNC110
                await asyncio.sleep(0.02)
        return found


LIMITED = {"Memory": 64 << 20, "NanoCpus": 500_000_000, "PidsLimit": 50, "CpuShares": 512}


async def test_cgroups_and_the_engine_tell_the_same(docker: Docker, engine: Engine, shell: str) -> None:
    await docker.run(engine, shell, ["sh", "-c", "seq 1 100000 > /dev/null; sleep 60"], "shop", HostConfig=LIMITED)
    await asyncio.sleep(0.5)
    ours, theirs = (Stats(docker, metrics=EVERYTHING, source=source) for source in ("cgroup", "api"))
    async with ours, theirs:
        for _ in range(2):
            mine, api = (await ours.look())["shop"], (await theirs.look())["shop"]
            await asyncio.sleep(0.05)
    # The engine leaves out devices without requests and has no failures count in version 2.
    assert {name for name in api if not name.startswith(("blockio", "memory.fails"))} <= set(mine)
    same = (
        "memory.usage.limit",
        "pids.limit",
        "pids.count",
        "cpu.limit",
        "cpu.shares",
        "cpu.logical.count",
        "restarts",
    )
    assert {name: mine[name] for name in same} == {name: api[name] for name in same}
    assert (mine["memory.usage.limit"], mine["pids.limit"], mine["cpu.limit"]) == (64 << 20, 50, 0.5)
    assert mine["cpu.usage.total"] == pytest.approx(api["cpu.usage.total"], rel=0.2)
    assert mine["cpu.usage.total"] > 1_000_000
    assert mine["memory.usage.total"] == pytest.approx(api["memory.usage.total"], abs=1 << 20)
    assert mine["network.io.usage.rx_bytes[eth0]"] == pytest.approx(api["network.io.usage.rx_bytes[eth0]"], abs=2000)
    assert mine["cpu.usage.system"] == pytest.approx(api["cpu.usage.system"], rel=0.01)
    assert 0 < mine["uptime"] < 60
    assert mine["status[running]"] == 1
    assert 0 <= mine["cpu.utilization"] < 100


async def test_follows_containers_as_they_come_and_go(docker: Docker, engine: Engine, shell: str) -> None:
    async with Stats(docker, excluded_images=["*excluded*"]) as stats:
        assert await stats.look() == {}
        first = await docker.run(engine, shell, ["sleep", "60"], "first")
        await engine.tag_image(shell, "excluded", "1")
        await docker.run(engine, "excluded:1", ["sleep", "60"], "hidden")
        await stats.wait_for({"first"})
        await engine.rename(first, "renamed")
        await stats.wait_for({"renamed"})
        await engine.kill(first)
        await stats.wait_for(set())
        await engine.start(first)
        found = await stats.wait_for({"renamed"})
        assert found["renamed"]["network.io.usage.rx_dropped[eth0]"] == 0


@pytest.mark.parametrize("source", ["cgroup", "api"])
async def test_a_container_that_vanishes_during_a_look_is_left_out(
    docker: Docker, engine: Engine, shell: str, source: str
) -> None:
    await docker.run(engine, shell, ["sleep", "60"], "stays")
    goes = await docker.run(engine, shell, ["sleep", "60"], "goes")
    async with Stats(docker, source=source) as stats:
        await stats.wait_for({"stays", "goes"})
        watch = stats.receiver._watch
        assert watch is not None
        known = watch.running[goes]
        await engine.remove(goes, force=True)
        await stats.wait_for({"stays"})
        # As if it had ended between the question and the answer.
        watch.running[goes] = known
        assert set(await stats.look()) == {"stays"}


async def test_a_host_network_is_not_counted_for_the_container(docker: Docker, engine: Engine, shell: str) -> None:
    await docker.run(engine, shell, ["sleep", "60"], "host", HostConfig={"NetworkMode": "host"})
    await docker.run(engine, shell, ["sleep", "60"], "none", HostConfig={"NetworkMode": "none"})
    async with Stats(docker) as stats:
        found = await stats.wait_for({"host", "none"})
    assert not [name for points in found.values() for name in points if name.startswith("network")]


async def test_goes_on_with_cgroups_while_the_engine_is_gone() -> None:
    with running_docker() as docker:
        async with docker.client() as engine:
            await docker.image(engine, "shell", ["sleep"])
            await docker.run(engine, "shell", ["sleep", "60"], "lives-on")
        async with Stats(docker) as stats:
            await stats.wait_for({"lives-on"})
            await asyncio.to_thread(docker.stop, kill=True)
            watch = stats.receiver._watch
            assert watch is not None
            async with asyncio.timeout(20):
                # Another process cannot be waited for by an event.
                while watch.connected:  # noqa: ASYNC110
                    await asyncio.sleep(0.02)
            found = await stats.look()
            assert found["lives-on"]["memory.usage.total"] > 0
            assert "figures come from cgroups only" in stats.receiver.context.health.reason


async def test_finds_the_containers_again_after_the_engine_restarted(docker: Docker, shell: str) -> None:
    async with docker.client() as engine:
        policy = {"RestartPolicy": {"Name": "always"}}
        container = await docker.run(engine, shell, ["sleep", "60"], "always", HostConfig=policy, StopSignal="SIGKILL")
    async with Stats(docker) as stats:
        await stats.wait_for({"always"})
        docker.restart()
        async with asyncio.timeout(30):
            while not (await stats.look()).get("always"):  # noqa: ASYNC110
                await asyncio.sleep(0.05)
    async with docker.client() as engine:
        await engine.remove(container, force=True)
