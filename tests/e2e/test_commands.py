"""The commands of `ophion-agent`, run as a user runs them."""

import asyncio
import importlib.util
import json
import sys
import sysconfig
from pathlib import Path
from typing import Any

import grpc
import pytest
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest

from agent_process import AgentProcess, Finished, command, eventually, execute
from e2e.backend import Backend
from e2e.configs import OTLP_ANYWHERE, one_pipeline, otlp_to
from e2e.conftest import RunAgent
from e2e.sender import CHANNEL_OPTIONS, Sender, raw
from requirement import unavailable

LOGS = "/opentelemetry.proto.collector.logs.v1.LogsService/Export"
BAD = """\
receivers:
  otlp: {protocols: {grpc: {endpont: "localhost:4317"}}}
processors:
  batch: {timeout: soon}
exporters:
  jaeger: {endpoint: "jaeger:14250"}
  debug: {verbosity: loud}
service:
  pipelines:
    traces: {receivers: [otlp], processors: [btach], exporters: [debug]}
"""
PROBLEMS = (
    ":2: receivers.otlp.protocols.grpc.endpont: ",
    ":4: processors.batch.timeout: ",
    ":6: exporters.jaeger: ",
    ":7: exporters.debug.verbosity: ",
    ":10: service.pipelines.traces.processors[0]: ",
)


async def agent_command(*arguments: str | Path, cwd: Path | None = None) -> Finished:
    """Run an `ophion-agent` command to its end."""
    return await execute(*command(*arguments), cwd=cwd)


@pytest.mark.parametrize("name", ["validate", "run"])
async def test_bad_configuration_exits_2_with_every_problem(name: str, tmp_path: Path) -> None:
    file = tmp_path / "bad.yaml"
    file.write_text(BAD)
    ended = await agent_command(name, "--config", file)
    lines = ended.stderr.splitlines()
    assert ended.returncode == 2, ended.stderr
    for problem in PROBLEMS:
        assert any(line.startswith(f"{file}{problem}") for line in lines), ended.stderr
    assert lines[-1] == f"{len(PROBLEMS)} problem(s); nothing was started"
    assert "Traceback" not in ended.stderr


async def test_missing_file_exits_2(tmp_path: Path) -> None:
    ended = await agent_command("validate", "--config", tmp_path / "none.yaml")
    assert ended.returncode == 2
    assert "none.yaml" in ended.stderr


async def test_good_configuration_is_valid_and_printed_without_secrets(tmp_path: Path) -> None:
    base, override = tmp_path / "a.yaml", tmp_path / "b.yaml"
    base.write_text(
        "receivers: {otlp: {protocols: {grpc: }}}\n"
        "exporters: {otlp: {endpoint: 'backend:4317', headers: {authorization: Bearer opensesame}}}\n"
        "service: {pipelines: {traces: {receivers: [otlp], exporters: [otlp]}}}\n"
    )
    override.write_text("exporters: {otlp: {endpoint: 'other:4317'}}\n")
    options: list[str | Path] = ["--config", base, "--config", override, "--set", "exporters.otlp.timeout=7s"]
    validated, printed = await asyncio.gather(
        agent_command("validate", *options), agent_command("print-config", *options)
    )
    assert (validated.returncode, "valid" in validated.stdout) == (0, True), validated.stderr
    assert printed.returncode == 0, printed.stderr
    assert "other:4317" in printed.stdout
    assert "timeout: 7" in printed.stdout
    assert "opensesame" not in printed.stdout


async def test_components_and_schema_list_what_can_be_configured() -> None:
    components, table, schema = await asyncio.gather(
        agent_command("components", "--json"), agent_command("components"), agent_command("schema")
    )
    rows = json.loads(components.stdout)
    assert rows["broken"] == []
    listed = {(row["kind"], row["type"]) for row in rows["components"]}
    assert listed >= {
        ("receiver", "otlp"),
        ("receiver", "hostmetrics"),
        ("processor", "batch"),
        ("processor", "memory_limiter"),
        ("exporter", "otlp"),
        ("exporter", "otlphttp"),
        ("exporter", "prometheus"),
        ("exporter", "file"),
        ("exporter", "debug"),
        ("extension", "file_storage"),
        ("extension", "health_check"),
        ("extension", "zpages"),
    }
    assert all(row["type"] in table.stdout for row in rows["components"])
    assert json.loads(schema.stdout)["properties"].keys() >= {"receivers", "processors", "exporters", "service"}


PIPELINE_TEST = """\
config: agent.yaml
tests:
  - name: drops health checks
    pipeline: traces
    input:
      resourceSpans:
        - scopeSpans: [{spans: [{name: GET /healthz}, {name: GET /orders}]}]
    expect:
      resourceSpans:
        - scopeSpans: [{spans: [{name: GET /orders}]}]
  - name: drops everything
    pipeline: traces
    input: {resourceSpans: [{scopeSpans: [{spans: [{name: GET /orders}]}]}]}
    expect: null
"""


async def test_pipelines_can_be_tested_by_the_user(tmp_path: Path) -> None:
    processors = {"filter": {"traces": {"span": ['name == "GET /healthz"']}}}
    config = one_pipeline("traces", {"otlp": OTLP_ANYWHERE}, processors, {"debug": {}})
    (tmp_path / "agent.yaml").write_text(json.dumps(config))
    (tmp_path / "pipeline.test.yaml").write_text(PIPELINE_TEST)
    ended = await agent_command("test", "pipeline.test.yaml", cwd=tmp_path)
    lines = ended.stdout.splitlines()
    assert ended.returncode == 1, ended.stderr
    assert lines[0] == "ok   pipeline.test.yaml: drops health checks"
    assert lines[1] == "FAIL pipeline.test.yaml: drops everything"
    assert lines[-1] == "1 passed, 1 failed"


async def test_tap_shows_live_data(run_agent: RunAgent, backend: Backend) -> None:
    processors = {"batch": {"timeout": "10ms"}}
    config = one_pipeline("traces", {"otlp": OTLP_ANYWHERE}, processors, {"otlp": otlp_to(backend.endpoint)})
    agent = await run_agent(config)
    listed = await agent_command("tap", "--socket", agent.socket)
    assert listed.stdout.split() == ["traces/in", "traces/batch"]

    as_json, as_text, unknown = await asyncio.gather(
        tapped(agent, "traces/in", "--json"),
        tapped(agent, "traces/batch"),
        agent_command("tap", "traces/nowhere", "--socket", agent.socket),
    )
    [group] = json.loads(as_json.stdout)["resourceSpans"]
    assert group["scopeSpans"][0]["spans"][0]["name"] == "numbered"
    assert "numbered" in as_text.stdout

    assert unknown.returncode == 1
    assert "traces/in" in unknown.stderr


async def tapped(agent: AgentProcess, edge: str, *options: str) -> Finished:
    """Return the output of `tap` for one batch, sending spans until it has seen one."""
    arguments = ["tap", edge, "--limit", "1", "--socket", str(agent.socket), *options]
    tap = asyncio.create_task(agent_command(*arguments))
    async with Sender(agent.endpoint("otlp", "grpc"), spans=1) as sender:
        while not tap.done():
            await sender.send()
            await asyncio.wait([tap], timeout=0.1)
    ended = tap.result()
    assert ended.returncode == 0, ended.stderr
    return ended


async def test_commands_without_an_agent_say_so(tmp_path: Path) -> None:
    socket = tmp_path / "none.sock"
    tap = agent_command("tap", "traces/in", "--socket", socket)
    replay = agent_command("replay", "--queue", "otlp", "--socket", socket)
    for ended in await asyncio.gather(tap, replay):
        assert ended.returncode == 1
        assert f"no agent answers on the control socket {socket}" in ended.stderr


def with_dead_letters(backend: Backend) -> dict[str, Any]:
    exporter = otlp_to(backend.endpoint, sending_queue={"storage": "file_storage"})
    storage = {"file_storage": {"directory": "queues"}}
    return one_pipeline("traces", {"otlp": OTLP_ANYWHERE}, {}, {"otlp": exporter}, extensions=storage)


async def refused_for_good(agent: AgentProcess, backend: Backend, sender: Sender) -> None:
    """Let a batch of 10 spans become a dead letter."""
    backend.refusal = grpc.StatusCode.INVALID_ARGUMENT
    assert await sender.send()
    await agent.wait_for_metric("ophion_exporter_dead_lettered_spans", 10, exporter="otlp")
    backend.refusal = None
    assert backend.missing(sender.acknowledged)


async def test_replay_sends_dead_letters_again(run_agent: RunAgent, backend: Backend) -> None:
    agent = await run_agent(with_dead_letters(backend))
    async with Sender(agent.endpoint("otlp", "grpc")) as sender:
        await refused_for_good(agent, backend, sender)
        replayed = await agent_command("replay", "--queue", "otlp", "--socket", agent.socket)
        assert (replayed.returncode, replayed.stdout) == (0, "otlp: 1 batch(es) sent again\n"), replayed.stderr
        await eventually(lambda: not backend.missing(sender.acknowledged), "the dead letter")
    again, unknown = await asyncio.gather(
        agent_command("replay", "--queue", "otlp", "--socket", agent.socket),
        agent_command("replay", "--queue", "oltp", "--socket", agent.socket),
    )
    assert again.stdout == "otlp: 0 batch(es) sent again\n"
    assert (unknown.returncode, "otlp" in unknown.stderr) == (1, True)


async def test_replay_works_while_the_agent_is_stopped(run_agent: RunAgent, backend: Backend) -> None:
    agent = await run_agent(with_dead_letters(backend))
    async with Sender(agent.endpoint("otlp", "grpc")) as sender:
        await refused_for_good(agent, backend, sender)
    assert await agent.stop() == 0
    arguments: list[str | Path] = ["replay", "--queue", "otlp", "--config", agent.config_file, "--socket", agent.socket]
    replayed = await agent_command(*arguments, cwd=agent.directory)
    assert (replayed.returncode, replayed.stdout) == (0, "otlp: 1 batch(es) sent again\n"), replayed.stderr
    assert not backend.missing(sender.acknowledged)


# ---- a plugin from the scaffold


@pytest.fixture
async def plugin(tmp_path: Path) -> Path:
    """The folder that `plugin new drop_below` made."""
    made = await agent_command("plugin", "new", "drop_below", "--into", tmp_path)
    assert made.returncode == 0, made.stderr
    return tmp_path / "ophion-plugin-drop-below"


def dropping(backend: Backend, **service: Any) -> dict[str, Any]:
    return one_pipeline(
        "logs",
        {"otlp": OTLP_ANYWHERE},
        {"drop_below": {"severity": 17}},
        {"otlp": otlp_to(backend.endpoint)},
        service=service,
    )


async def only_errors_pass(agent: AgentProcess, backend: Backend) -> None:
    """Send a log record of INFO and one of ERROR, and see only the second one arrive."""
    request = ExportLogsServiceRequest()
    records = request.resource_logs.add().scope_logs.add().log_records
    records.add(severity_number=9).body.string_value = "fine"
    records.add(severity_number=17).body.string_value = "broken"
    async with grpc.aio.insecure_channel(agent.endpoint("otlp", "grpc"), options=CHANNEL_OPTIONS) as channel:
        await raw(channel, LOGS)(request.SerializeToString(), timeout=20)
    [arrived] = await eventually(lambda: backend.requests, "the log record")
    [record] = arrived.resource_logs[0].scope_logs[0].log_records
    assert record.body.string_value == "broken"


async def test_a_new_plugin_passes_its_own_tests(plugin: Path) -> None:
    tested = await execute(sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", cwd=plugin)
    assert tested.returncode == 0, tested.stdout
    assert " passed" in tested.stdout


async def test_a_plugin_dropped_into_a_folder_works_on_live_data(
    plugin: Path, run_agent: RunAgent, backend: Backend, tmp_path: Path
) -> None:
    folder = tmp_path / "plugins"
    folder.mkdir()
    (plugin / "ophion_drop_below.py").rename(folder / "ophion_drop_below.py")
    agent = await run_agent(dropping(backend, plugin_dirs=[str(folder)]))
    await only_errors_pass(agent, backend)


async def test_a_pip_installed_plugin_works_on_live_data(
    plugin: Path, run_agent: RunAgent, backend: Backend, tmp_path: Path
) -> None:
    site = await installed(plugin, tmp_path / "site")
    agent = await run_agent(dropping(backend), environ={"PYTHONPATH": str(site)})
    await only_errors_pass(agent, backend)


async def installed(package: Path, target: Path) -> Path:
    """Install a package with pip into a folder of its own and return the folder."""
    has_pip = importlib.util.find_spec("pip") is not None
    # Where the environment of the tests has no pip, the interpreter it was made from has one.
    python = sys.executable if has_pip else getattr(sys, "_base_executable", sys.executable)
    has_backend = importlib.util.find_spec("hatchling") is not None
    isolation = ["--no-build-isolation"] if has_backend else []
    ended = await execute(
        *[python, "-m", "pip", "install", "--quiet", "--no-deps", *isolation, "--target", target, package],
        environ={"PYTHONPATH": sysconfig.get_path("purelib"), "PIP_DISABLE_PIP_VERSION_CHECK": "1"},
    )
    if ended.returncode and not (has_pip and has_backend):
        unavailable(f"needs pip and hatchling: pip install hatchling ({ended.stderr.strip()[-300:]})")
    assert ended.returncode == 0, ended.stderr
    return target
