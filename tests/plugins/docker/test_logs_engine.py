"""docker_logs against a real engine."""

import asyncio
from pathlib import Path
from typing import Any

import pytest

from docker_engine import Docker
from ophion_agent.clock import Clock
from ophion_agent.plugin import QUEUE_STORAGE, PermanentError, RetryableError
from ophion_agent.testing import Sink, check_component, make_component
from ophion_docker.engine import Engine
from ophion_docker.logs import DockerLogsReceiver
from ophion_extensions.file_storage import FileStorage

FAST = {"flush_interval": "20ms", "checkpoint_interval": "20ms"}


class Agent:
    """A receiver with a storage, as an agent would run it; may be ended and started again."""

    def __init__(self, docker: Docker, folder: Path | None = None, **options: Any) -> None:
        self.sink = Sink()
        self.config: dict[str, Any] = {"endpoint": docker.address, **FAST, **options}
        self.folder = folder
        self.storage: FileStorage | None = None
        self.receiver: DockerLogsReceiver | None = None

    async def __aenter__(self) -> "Agent":
        services: dict[str, Any] = {}
        if self.folder is not None:
            self.storage = make_component(FileStorage, {"directory": str(self.folder)}, clock=Clock())
            await self.storage.start()
            services = {"disk": self.storage}
            self.config["storage"] = "disk"
        self.receiver = make_component(
            DockerLogsReceiver,
            self.config,
            sink=self.sink,
            clock=Clock(),
            services=services,
            provided={QUEUE_STORAGE.name: "disk"} if services else None,
        )
        await self.receiver.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self.receiver is not None
        await self.receiver.stop()
        await self.receiver.context.close()
        if self.storage is not None:
            await self.storage.stop()
            await self.storage.context.close()

    async def watching(self) -> "Agent":
        """Wait until the receiver has looked at the containers."""
        assert self.receiver is not None
        assert self.receiver._watch is not None
        await asyncio.wait_for(self.receiver._watch.ready.wait(), 20)
        return self

    def counter(self, name: str, **attributes: str) -> float:
        assert self.receiver is not None
        return self.receiver.context.counter(name, **attributes).value

    def bodies(self, **attributes: str) -> list[str]:
        return [record["body"] for record in self.records() if attributes.items() <= record.items()]

    def records(self) -> list[dict[str, Any]]:
        found = []
        for batch in self.sink.batches:
            for group in batch.view().message.resource_logs:
                resource = values(group.resource.attributes)
                for scope in group.scope_logs:
                    for record in scope.log_records:
                        own = {"body": record.body.string_value, "time": record.time_unix_nano}
                        found.append({**resource, **own, **values(record.attributes)})
        return found


def values(attributes: Any) -> dict[str, Any]:
    return {
        pair.key: [item.string_value for item in pair.value.array_value.values]
        if pair.value.HasField("array_value")
        else pair.value.string_value
        for pair in attributes
    }


async def wait_until(condition: Any, seconds: float = 30) -> None:
    async with asyncio.timeout(seconds):
        # Another process cannot be waited for by an event.
        while not condition():  # noqa: ASYNC110
            await asyncio.sleep(0.01)


async def test_carries_both_streams_with_the_attributes_of_the_container(
    docker: Docker, engine: Engine, shell: str
) -> None:
    async with Agent(docker, labels=["team", "com.docker.*"]) as agent:
        await agent.watching()
        container = await docker.run(
            engine, shell, ["sh", "-c", "echo one; echo two >&2; sleep 60"], "shop",
            Labels={"team": "checkout", "other": "x", "com.docker.compose.service": "cart"},
        )  # fmt: skip
        await agent.sink.wait_for_items(2)
    one, two = sorted(agent.records(), key=lambda record: record["body"])
    assert (one["body"], one["log.iostream"]) == ("one", "stdout")
    assert (two["body"], two["log.iostream"]) == ("two", "stderr")
    assert one["container.id"] == container
    assert one["container.name"] == "shop"
    assert one["container.image.name"] == "shell"
    assert one["container.image.tags"] == ["1.0"]
    assert one["container.runtime"] == "docker"
    assert one["service.name"] == "cart"
    assert one["container.label.team"] == "checkout"
    assert one["container.label.com.docker.compose.service"] == "cart"
    assert "container.label.other" not in one
    assert abs(one["time"] - Clock().now_ns()) < 60e9


async def test_begins_at_the_end_of_what_runs_already_unless_told_otherwise(
    docker: Docker, engine: Engine, shell: str
) -> None:
    script = "echo old; while [ ! -e /tmp/go ]; do sleep 0.05; done; echo new; sleep 60"
    container = await docker.run(engine, shell, ["sh", "-c", script])
    await asyncio.sleep(0.3)
    async with Agent(docker) as at_end, Agent(docker, start_at="beginning") as at_beginning:
        await at_end.watching()
        await at_beginning.sink.wait_for_items(1)
        await engine.execute(container, ["sh", "-c", "echo > /tmp/go"])
        await at_end.sink.wait_for_items(1)
        await at_beginning.sink.wait_for_items(2)
    assert at_end.bodies() == ["new"]
    assert at_beginning.bodies() == ["old", "new"]


async def test_reads_all_of_a_container_that_ends_at_once(docker: Docker, engine: Engine, shell: str) -> None:
    async with Agent(docker) as agent:
        await agent.watching()
        await docker.run(engine, shell, ["sh", "-c", "seq 1 2000; printf end"])
        await agent.sink.wait_for_items(2001)
        assert agent.receiver is not None
        await wait_until(lambda: not agent.receiver._followers)
    assert agent.bodies() == [*map(str, range(1, 2001)), "end"]


@pytest.mark.parametrize("driver", ["json-file", "local"])
async def test_joins_the_pieces_of_long_lines_of_both_streams(
    docker: Docker, engine: Engine, shell: str, driver: str
) -> None:
    script = "a=$(seq -s, 1 9000); echo $a; echo $a >&2; echo short; echo $a; sleep 60"
    async with Agent(docker) as agent:
        await agent.watching()
        await docker.run(engine, shell, ["sh", "-c", script], HostConfig={"LogConfig": {"Type": driver, "Config": {}}})
        await agent.sink.wait_for_items(4)
    long = ",".join(map(str, range(1, 9001)))
    assert len(long) > 40_000
    assert sorted(agent.bodies()) == sorted([long, long, "short", long])


async def test_a_line_beyond_the_limit_becomes_several_records(docker: Docker, engine: Engine, shell: str) -> None:
    async with Agent(docker, max_log_size="20KiB") as agent:
        await agent.watching()
        await docker.run(engine, shell, ["sh", "-c", "seq -s, 1 9000; echo next; sleep 60"])
        await agent.sink.wait_for_items(4)
    first, *middle, last = agent.bodies()
    assert last == "next"
    assert "".join([first, *middle]) == ",".join(map(str, range(1, 9001)))
    assert len(first) == 20 << 10


async def test_reads_terminals(docker: Docker, engine: Engine, shell: str) -> None:
    async with Agent(docker) as agent:
        await agent.watching()
        await docker.run(engine, shell, ["sh", "-c", "echo one; seq -s, 1 9000; echo two; sleep 60"], Tty=True)
        await agent.sink.wait_for_items(3)
    assert agent.bodies() == ["one", ",".join(map(str, range(1, 9001))), "two"]


async def test_replaces_what_is_not_utf8(docker: Docker, engine: Engine, shell: str) -> None:
    async with Agent(docker) as agent:
        await agent.watching()
        await docker.run(engine, shell, ["printf", "caf\\303\\251\\na\\377b\\n"])
        await agent.sink.wait_for_items(2)
    assert agent.bodies() == ["café", "a\ufffdb"]


async def test_puts_the_lines_of_a_message_together(docker: Docker, engine: Engine, shell: str) -> None:
    multiline = {"line_start_pattern": r"^\S", "force_flush_period": "100ms"}
    async with Agent(docker, multiline=multiline) as agent:
        await agent.watching()
        await docker.run(engine, shell, ["printf", "Error: x\\n  at a\\n  at b\\nnext\\n"])
        await agent.sink.wait_for_items(2)
        await docker.run(engine, shell, ["sh", "-c", "echo Last; echo '  at c'; sleep 60"])
        await agent.sink.wait_for_items(3)
    assert agent.bodies() == ["Error: x\n  at a\n  at b", "next", "Last\n  at c"]


async def test_reads_only_what_is_selected(docker: Docker, engine: Engine, shell: str) -> None:
    include = {"images": ["shell:*"], "labels": {"logs": "y*"}}
    async with Agent(docker, include=include, exclude={"names": ["/^noisy/"]}, streams=["stdout"]) as agent:
        await agent.watching()
        for name, labels in (("noisy-1", {"logs": "yes"}), ("plain", {}), ("wanted", {"logs": "yes"})):
            await docker.run(engine, shell, ["sh", "-c", f"echo {name}; echo {name} >&2"], name, Labels=labels)
        await agent.sink.wait_for_items(1)
        await wait_until(lambda: not agent.receiver._followers)  # type: ignore[union-attr]
    assert agent.bodies() == ["wanted"]


@pytest.mark.parametrize("driver", ["json-file", "local"])
async def test_loses_and_repeats_nothing_across_restarts_of_the_agent(
    docker: Docker, engine: Engine, shell: str, tmp_path: Path, driver: str
) -> None:
    script = "i=0; while [ $i -lt 3000 ]; do echo out-$i; echo err-$i >&2; i=$((i+1)); done; sleep 60"
    await docker.run(engine, shell, ["sh", "-c", script], HostConfig={"LogConfig": {"Type": driver, "Config": {}}})
    found: list[str] = []
    for round_ in range(4):
        async with Agent(docker, tmp_path, start_at="beginning") as agent:
            await agent.watching()
            if round_ < 3:
                await asyncio.sleep(0.15)
            else:
                await wait_until(lambda: len(found) + agent.sink.items >= 6000)  # noqa: B023
                await asyncio.sleep(0.2)
        found += agent.bodies()
    assert [line for line in found if line.startswith("out")] == [f"out-{i}" for i in range(3000)]
    assert [line for line in found if line.startswith("err")] == [f"err-{i}" for i in range(3000)]


async def test_a_crash_of_the_agent_loses_nothing(docker: Docker, engine: Engine, shell: str, tmp_path: Path) -> None:
    script = "i=0; while [ $i -lt 300 ]; do echo $i; i=$((i+1)); sleep 0.001; done; sleep 60"
    await docker.run(engine, shell, ["sh", "-c", script])
    found: list[str] = []
    for _ in range(3):
        crashing = Agent(docker, tmp_path, start_at="beginning")
        await crashing.__aenter__()
        await crashing.sink.wait_for_items(20)
        assert crashing.receiver is not None
        assert crashing.storage is not None
        # As after kill -9: what was delivered since the positions were stored last is not known.
        await crashing.receiver.context.cancel_tasks()
        crashing.receiver._store._queue = None
        await crashing.storage.stop()
        await crashing.__aexit__()
        found += crashing.bodies()
    async with Agent(docker, tmp_path, start_at="beginning") as last:
        await wait_until(lambda: set(found + last.bodies()) == {str(number) for number in range(300)})


async def test_reads_what_was_written_and_ended_while_the_agent_was_away(
    docker: Docker, engine: Engine, shell: str, tmp_path: Path
) -> None:
    script = "echo before; while [ ! -e /tmp/go ]; do sleep 0.05; done; echo after"
    async with Agent(docker, tmp_path) as agent:
        await agent.watching()
        container = await docker.run(engine, shell, ["sh", "-c", script])
        await agent.sink.wait_for_items(1)
    await engine.execute(container, ["sh", "-c", "echo > /tmp/go"])
    await engine.wait(container, seconds=20)
    await docker.run(engine, shell, ["echo", "born and gone"])
    async with Agent(docker, tmp_path) as again:
        await again.sink.wait_for_items(2)
        await asyncio.sleep(0.1)
    assert sorted(again.bodies()) == ["after", "born and gone"]
    await engine.remove(container)
    async with Agent(docker, tmp_path) as last:
        assert last.receiver is not None
        await wait_until(lambda: container not in last.receiver._store.positions)  # type: ignore[union-attr]
    assert last.bodies() == []


async def test_follows_a_container_across_its_restarts(docker: Docker, engine: Engine, shell: str) -> None:
    async with Agent(docker) as agent:
        await agent.watching()
        container = await docker.run(engine, shell, ["sh", "-c", "echo run; sleep 60"])
        for runs in (1, 2, 3):
            await agent.sink.wait_for_items(runs)
            await engine.restart(container, seconds=0)
        await agent.sink.wait_for_items(4)
    assert agent.bodies() == ["run"] * 4


async def test_goes_on_after_the_engine_restarted(docker: Docker, shell: str) -> None:
    async with Agent(docker) as agent:
        await agent.watching()
        async with docker.client() as engine:
            container = await docker.run(
                engine, shell, ["sh", "-c", "echo run; sleep 60"], StopSignal="SIGKILL",
                HostConfig={"RestartPolicy": {"Name": "always"}},
            )  # fmt: skip
        await agent.sink.wait_for_items(1)
        docker.restart()
        await agent.sink.wait_for_items(2, 30)
    assert agent.bodies() == ["run", "run"]
    async with docker.client() as engine:
        await engine.remove(container, force=True)


async def test_a_pipeline_that_refuses_slows_reading_down_and_loses_nothing(
    docker: Docker, engine: Engine, shell: str
) -> None:
    async with Agent(docker) as agent:
        await agent.watching()
        agent.sink.error = RetryableError("full", retry_after_seconds=0.02)
        await docker.run(engine, shell, ["seq", "1", "20000"])
        await wait_until(lambda: agent.counter("otelcol_receiver_refused_log_records") > 0)
        assert agent.sink.items == 0
        agent.sink.error = None
        await agent.sink.wait_for_items(20_000)
    assert agent.bodies() == [str(number) for number in range(1, 20_001)]


async def test_counts_lines_that_the_pipeline_refuses_for_good(docker: Docker, engine: Engine, shell: str) -> None:
    async with Agent(docker) as agent:
        await agent.watching()
        agent.sink.error = PermanentError("not today")
        await docker.run(engine, shell, ["seq", "1", "3"])
        await wait_until(lambda: agent.counter("ophion_docker_logs_dropped_lines", reason="refused") == 3)


async def test_drops_and_counts_only_what_exceeds_a_configured_rate(docker: Docker, engine: Engine, shell: str) -> None:
    async with Agent(docker, rate_limit={"lines_per_second": 1, "burst": 50}) as agent:
        await agent.watching()
        await docker.run(engine, shell, ["seq", "1", "1000"])
        await wait_until(lambda: agent.counter("ophion_docker_logs_dropped_lines", reason="rate_limit") >= 940)
    assert agent.bodies()[:50] == [str(number) for number in range(1, 51)]
    assert agent.sink.items + agent.counter("ophion_docker_logs_dropped_lines", reason="rate_limit") == 1000


async def test_a_driver_that_cannot_be_read_is_named_once(
    docker: Docker, engine: Engine, shell: str, caplog: pytest.LogCaptureFixture
) -> None:
    async with Agent(docker) as agent:
        await agent.watching()
        log_config = {"LogConfig": {"Type": "none", "Config": {}}}
        await docker.run(engine, shell, ["sh", "-c", "echo x; sleep 60"], "silent", HostConfig=log_config)
        await wait_until(lambda: "logs_not_readable" in caplog.text)
        await wait_until(lambda: not agent.receiver._followers)  # type: ignore[union-attr]


async def test_an_absent_engine_is_waited_for(tmp_path: Path, docker: Docker) -> None:
    missing = tmp_path / "docker.sock"
    docker_at = Docker(tmp_path, "", "")
    async with Agent(docker_at) as agent:
        assert agent.receiver is not None
        await wait_until(lambda: agent.receiver.context.health.status.name == "DEGRADED")  # type: ignore[union-attr]
        assert "No such file or directory; start the engine" in agent.receiver.context.health.reason
        missing.symlink_to(docker.socket)
        await agent.watching()
        await wait_until(lambda: agent.receiver.context.health.status.name == "OK")  # type: ignore[union-attr]


async def test_keeps_the_contract(docker: Docker) -> None:
    await check_component(DockerLogsReceiver, {"endpoint": docker.address})
