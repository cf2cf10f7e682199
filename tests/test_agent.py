import asyncio
import signal
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest
import yaml

from agent_process import AgentProcess, free_port
from ophion_agent.agent import Agent, Sources
from ophion_agent.cli import main
from ophion_agent.errors import ConfigError, OphionError
from ophion_agent.lifecycle import StartError
from ophion_agent.log import agent_logger
from ophion_agent.testing import make_traces
from parts import captured_events

QUIET = {"telemetry": {"metrics": {"level": "none"}}, "control": {"enabled": False}}


@pytest.fixture(autouse=True)
def _own_logger() -> Iterator[None]:
    logger = agent_logger()
    before = (list(logger.handlers), logger.level, logger.propagate)
    yield
    logger.handlers, logger.level, logger.propagate = before


def pipeline(port: int = 0, output: str = "out.json", **service: Any) -> dict[str, Any]:
    return {
        "receivers": {"otlp": {"protocols": {"http": {"endpoint": f"127.0.0.1:{port}"}}}},
        "exporters": {"file": {"path": output, "flush_interval": "10ms"}},
        "service": {"pipelines": {"traces": {"receivers": ["otlp"], "exporters": ["file"]}}, **service},
    }


async def send(url: str, spans: int = 1) -> int:
    headers = {"Content-Type": "application/x-protobuf"}
    payload = make_traces(spans).payload
    async with (
        aiohttp.ClientSession() as session,
        session.post(f"{url}/v1/traces", data=payload, headers=headers) as response,
    ):
        return response.status


def agent_of(tmp_path: Path, config: dict[str, Any]) -> Agent:
    path = tmp_path / "agent.yaml"
    path.write_text(yaml.safe_dump(config))
    return Agent(Sources([str(path)]))


def rewrite(tmp_path: Path, config: dict[str, Any]) -> None:
    (tmp_path / "agent.yaml").write_text(yaml.safe_dump(config))


async def started(tmp_path: Path, config: dict[str, Any]) -> Agent:
    agent = agent_of(tmp_path, config)
    await agent.start(agent.sources.plan()[0])
    return agent


async def test_the_process_runs_reloads_and_stops(tmp_path: Path) -> None:
    port = free_port()
    async with AgentProcess(tmp_path / "agent", pipeline(port)) as agent:
        url = f"http://127.0.0.1:{port}"
        assert await send(url, 2) == 200
        agent.configure(pipeline(port, "second.json"))
        assert (await agent.reload())["event"] == "reloaded"
        assert await send(url, 3) == 200
        agent.configure("receivers: {otlp: {protcols: }}\n")
        refused = await agent.reload()
        assert refused["event"] == "reload_refused"
        assert "protcols" in agent.log()
        assert await send(url, 1) == 200
        taken = free_port()
        listener = await asyncio.start_server(lambda *_: None, "127.0.0.1", taken)
        agent.configure(pipeline(taken, "third.json"))
        failed = await agent.reload()
        assert failed["event"] == "reload_failed"
        assert "receiver otlp: cannot start" in failed["error"]
        await agent.wait_for_event("previous_configuration_runs")
        assert await send(url, 1) == 200
        listener.close()
        await listener.wait_closed()
        assert await agent.stop() == 0
    assert (agent.directory / "out.json").exists()
    assert (agent.directory / "second.json").exists()


async def test_the_process_drains_what_processors_hold_when_it_is_told_to_stop(tmp_path: Path) -> None:
    port = free_port()
    config = pipeline(port)
    config["processors"] = {"batch": {"timeout": "1h"}}
    config["service"]["pipelines"]["traces"]["processors"] = ["batch"]
    async with AgentProcess(tmp_path / "agent", config) as agent:
        call = asyncio.ensure_future(send(f"http://127.0.0.1:{port}", 2))
        await agent.wait_for_metric("otelcol_processor_incoming_items", 2)
        agent.send_signal(signal.SIGTERM)
        assert await agent.wait() == 0
        await asyncio.gather(call, return_exceptions=True)
    assert "operation-1" in (agent.directory / "out.json").read_text()


def test_a_config_that_cannot_start_ends_with_one_sentence_and_exit_code_1(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        rewrite(tmp_path, pipeline(taken.getsockname()[1], str(tmp_path / "out.json"), **QUIET))
        assert main(["run", "--config", str(tmp_path / "agent.yaml")]) == 1
    last = capsys.readouterr().err.splitlines()[-1]
    assert last.startswith("ophion-agent: receiver otlp: cannot start: ")


def test_a_log_file_that_cannot_be_written_is_refused_in_a_sentence(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    missing = tmp_path / "no" / "agent.log"
    telemetry = {"logs": {"output_paths": [str(missing)]}, "metrics": {"level": "none"}}
    rewrite(tmp_path, pipeline(0, str(tmp_path / "out.json"), **{**QUIET, "telemetry": telemetry}))
    assert main(["run", "--config", str(tmp_path / "agent.yaml")]) == 1
    assert capsys.readouterr().err == (
        f"ophion-agent: service.telemetry.logs.output_paths: cannot write {missing}: "
        "No such file or directory; choose stderr or another file\n"
    )


async def test_a_metrics_port_that_is_taken_stops_the_start_and_leaves_nothing_behind(tmp_path: Path) -> None:
    taken = await asyncio.start_server(lambda *_: None, "127.0.0.1", 0)
    port = taken.sockets[0].getsockname()[1]
    telemetry = {"metrics": {"address": f"127.0.0.1:{port}"}}
    service = {**QUIET, "telemetry": telemetry}
    tasks = asyncio.all_tasks()
    agent = agent_of(tmp_path, pipeline(0, str(tmp_path / "out.json"), **service))
    with pytest.raises(OphionError, match=f"service.telemetry.metrics: cannot listen on 127.0.0.1:{port}"):
        await agent.start(agent.sources.plan()[0])
    assert asyncio.all_tasks() == tasks
    assert not agent.readiness().ready
    taken.close()
    await taken.wait_closed()


async def test_a_reload_whose_metrics_port_is_taken_rolls_back(tmp_path: Path) -> None:
    taken = await asyncio.start_server(lambda *_: None, "127.0.0.1", 0)
    port = taken.sockets[0].getsockname()[1]
    output = str(tmp_path / "out.json")
    agent = await started(tmp_path, pipeline(0, output, **QUIET))
    rewrite(tmp_path, pipeline(0, output, **{**QUIET, "telemetry": {"metrics": {"address": f"127.0.0.1:{port}"}}}))
    with captured_events() as events:
        assert not await agent.reload()
    assert [event for event, _ in events if event.startswith("reload")] == ["reload_failed"]
    assert agent.readiness().ready
    await agent.stop()
    taken.close()
    await taken.wait_closed()


async def test_a_reload_whose_component_cannot_be_built_never_touches_what_runs(tmp_path: Path) -> None:
    plugins = tmp_path / "plugins"
    plugins.mkdir()
    (plugins / "fussy.py").write_text(
        "from ophion_agent.plugin import Batch, Config, Exporter, hookimpl\n"
        "class Fussy(Exporter[Config, Batch]):\n"
        "    type_name = 'fussy'\n"
        "    def __init__(self, config, context):\n"
        "        raise RuntimeError('not today')\n"
        "@hookimpl\n"
        "def ophion_components():\n"
        "    return [Fussy]\n"
    )
    output = str(tmp_path / "out.json")
    agent = await started(tmp_path, pipeline(0, output, **QUIET))
    before = agent._running
    config = pipeline(0, output, **QUIET, plugin_dirs=[str(plugins)])
    config["exporters"]["fussy"] = None
    config["service"]["pipelines"]["traces"]["exporters"] = ["fussy"]
    rewrite(tmp_path, config)
    with captured_events() as events:
        assert not await agent.reload()
    refused = [facts["problem"] for event, facts in events if event == "reload_refused"]
    assert refused == ["exporter fussy: cannot be built: RuntimeError: not today"]
    assert agent._running is before
    await agent.stop()


async def test_when_neither_configuration_starts_the_agent_ends(tmp_path: Path) -> None:
    output = str(tmp_path / "out.json")
    port = free_port()
    agent = await started(tmp_path, pipeline(port, output, **QUIET))
    rewrite(tmp_path, pipeline(0, str(tmp_path / "missing" / "out.json"), **QUIET))
    stop_all = agent._stop_everything

    async def stop_and_lose_the_port() -> None:
        await stop_all()
        agent._lost = await asyncio.start_server(lambda *_: None, "127.0.0.1", port)  # type: ignore[attr-defined]
        agent._stop_everything = stop_all  # type: ignore[method-assign]

    agent._stop_everything = stop_and_lose_the_port  # type: ignore[method-assign]
    with pytest.raises(StartError, match="receiver otlp"):
        await agent.reload()
    assert not agent.readiness().ready
    await agent.stop()
    agent._lost.close()  # type: ignore[attr-defined]
    await agent._lost.wait_closed()  # type: ignore[attr-defined]


async def test_readiness_names_every_component_that_does_not_do_its_work(tmp_path: Path) -> None:
    agent = await started(tmp_path, pipeline(0, str(tmp_path / "out.json"), **QUIET))
    assert agent.readiness().ready
    agent._graph().nodes["exporter", "file"].component.context.health.degraded("disk is slow")
    assert agent.readiness().reasons == ("exporter file: degraded: disk is slow",)
    assert {info.id: info.status for info in agent.components()} == {"otlp": "ok", "file": "degraded"}
    await agent.stop()
    assert not agent.readiness().ready
    assert agent.components() == agent.pipelines() == agent.queues() == []


def test_a_config_error_carries_every_problem(tmp_path: Path) -> None:
    agent = agent_of(tmp_path, {"receivers": {"nope": None}, "exporters": {"neither": None}, "service": {}})
    with pytest.raises(ConfigError) as error:
        agent.sources.plan()
    assert len(error.value.problems) == 3
