"""The life of a running agent: reload, stop, two agents on one host, an otelcol configuration as it is."""

import asyncio
import signal
from pathlib import Path
from typing import Any

import aiohttp
import grpc

from agent_process import AgentProcess, eventually, free_port
from e2e.backend import Backend
from e2e.configs import OTLP_ANYWHERE, one_pipeline, otlp_to
from e2e.conftest import RunAgent
from e2e.sender import Sender
from e2e.written import Written


def to_files(port: int, *files: str) -> dict[str, Any]:
    """OTLP in on a port that stays the same through a reload, out to files."""
    exporters = {f"file/{name}": {"path": f"{name}.jsonl", "append": True} for name in files}
    return one_pipeline("traces", {"otlp": {"protocols": {"grpc": {"endpoint": f"127.0.0.1:{port}"}}}}, {}, exporters)


def documents(agent: AgentProcess, name: str) -> int:
    return len(Written(agent.directory / f"{name}.jsonl").documents)


async def test_reload_takes_up_a_new_exporter(run_agent: RunAgent) -> None:
    port = free_port()
    agent = await run_agent(to_files(port, "old"))
    async with Sender(f"127.0.0.1:{port}") as sender:
        assert await sender.send()
        agent.configure(to_files(port, "old", "new"))
        assert (await agent.reload())["event"] == "reloaded"
        await eventually(sender.send, "the receiver after the reload")
    assert documents(agent, "old") == 2
    assert documents(agent, "new") == 1


async def test_reload_of_a_bad_configuration_keeps_the_old_one(run_agent: RunAgent) -> None:
    port = free_port()
    agent = await run_agent(to_files(port, "old"))
    agent.configure({**to_files(port, "old"), "exportres": {}, "processors": {"batch": {"timout": "1s"}}})
    refused = await agent.reload()
    assert refused["event"] == "reload_refused"
    # Each mistake has a line of its own.
    await eventually(lambda: len(agent.events("reload_refused")) == 2, "both mistakes in the log")
    problems = " ".join(event["problem"] for event in agent.events("reload_refused"))
    assert "exportres" in problems
    assert "processors.batch.timout" in problems
    async with Sender(f"127.0.0.1:{port}") as sender:
        assert await sender.send()
    assert documents(agent, "old") == 1


async def test_reload_that_cannot_start_keeps_the_old_one(run_agent: RunAgent) -> None:
    port = free_port()
    agent = await run_agent(to_files(port, "old"))
    unstartable = to_files(port, "old")
    unstartable["exporters"]["file/old"]["path"] = str(agent.directory / "missing" / "folder" / "old.jsonl")
    agent.configure(unstartable)
    failed = await agent.reload()
    assert failed["event"] == "reload_failed"
    assert "file/old" in failed["error"]
    async with Sender(f"127.0.0.1:{port}") as sender:
        await eventually(sender.send, "the old receiver")
    assert documents(agent, "old") == 1


async def test_sigterm_delivers_what_is_on_its_way(run_agent: RunAgent, backend: Backend) -> None:
    """Some waits in the queue to be joined with more, some is being sent to a backend that does not answer yet."""
    queue = {"batch": {"flush_timeout": "1h", "min_size": 25}, "queue_size": 1000, "num_consumers": 2}
    config = one_pipeline(
        "traces", {"otlp": OTLP_ANYWHERE}, {}, {"otlp": otlp_to(backend.endpoint, sending_queue=queue)}
    )
    agent = await run_agent(config)
    backend.gate.clear()
    async with Sender(agent.endpoint("otlp", "grpc"), spans=10) as sender:
        for _ in range(4):
            assert await sender.send()
        agent.send_signal(signal.SIGTERM)
        await agent.wait_for_event("stopping")
        backend.gate.set()
        assert await agent.wait() == 0
    assert backend.missing(sender.acknowledged) == set()
    assert not agent.events("items_lost_at_stop")
    assert not agent.events(level="error"), agent.log()


async def test_a_taken_port_is_named_and_ends_the_second_agent(run_agent: RunAgent, tmp_path: Path) -> None:
    port = free_port()
    first = await run_agent(to_files(port, "first"), "first")
    second = AgentProcess(tmp_path / "second", to_files(port, "second"))
    await second.launch()
    assert await second.wait() == 1
    assert f"receiver otlp: cannot start: cannot listen on 127.0.0.1:{port}: the address is in use" in second.log()
    assert "Traceback" not in second.log()
    assert first.is_running
    async with Sender(f"127.0.0.1:{port}") as sender:
        assert await sender.send(), f"{sender.refused}\n{first.log()}"


async def test_a_taken_control_socket_is_named_and_ends_the_second_agent(run_agent: RunAgent, tmp_path: Path) -> None:
    first = await run_agent(to_files(free_port(), "first"), "first")
    taken = f"service.control.socket={first.socket}"
    second = AgentProcess(tmp_path / "second", to_files(free_port(), "second"), sets=[taken])
    await second.launch()
    assert await second.wait() == 1
    assert f"control socket: {first.socket} is in use by another agent" in second.log()
    assert first.socket.exists()


async def test_two_agents_share_the_default_control_socket_in_peace(run_agent: RunAgent, tmp_path: Path) -> None:
    """Only the first one can be tapped; the second one works all the same."""
    options: dict[str, Any] = {"sets": ["service.control.socket=null"], "environ": {"RUNTIME_DIRECTORY": str(tmp_path)}}
    first = await run_agent(to_files(free_port(), "first"), "first", **options)
    second = await run_agent(to_files(free_port(), "second"), "second", **options)
    for agent in (first, second):
        async with Sender(agent.endpoint("otlp", "grpc")) as sender:
            assert await sender.send()
    assert await second.stop() == 0
    assert (tmp_path / "ophion-agent.sock").exists()


async def test_a_rotated_file_holds_everything(run_agent: RunAgent) -> None:
    exporter = {"file": {"path": "out.jsonl", "rotation": {"max_megabytes": 1, "max_backups": 10}}}
    agent = await run_agent(one_pipeline("traces", {"otlp": OTLP_ANYWHERE}, {}, exporter))
    async with Sender(agent.endpoint("otlp", "grpc"), spans=10, attribute_bytes=10_000) as sender:
        assert all(await asyncio.gather(*(sender.send() for _ in range(30))))
    written = Written(agent.directory / "out.jsonl")
    assert len(written.files) >= 3
    ids = [
        span["spanId"]
        for document in written.documents
        for group in document["resourceSpans"]
        for scope in group["scopeSpans"]
        for span in scope["spans"]
    ]
    assert sorted(ids) == sorted(span_id.hex() for span_id in sender.acknowledged)


OTELCOL = """
receivers:
  otlp:
    protocols:
      grpc:
        endpoint: ${env:OTLP_HOST}:0
        keepalive: {server_parameters: {max_connection_age: 10m}}
      http:
        endpoint: ${env:OTLP_HOST}:0
        cors: {allowed_origins: ["https://*.example.com"], allowed_headers: ["*"], max_age: 7200}

processors:
  memory_limiter: {check_interval: 1s, limit_percentage: 80, spike_limit_percentage: 15}
  resourcedetection:
    detectors: [env, system]
    timeout: 2s
    override: false
  attributes/environment:
    actions:
      - {key: deployment.environment, value: "${env:DEPLOYMENT:-staging}", action: upsert}
      - {key: padding, action: delete}
  filter/ours:
    error_mode: ignore
    traces:
      span:
        - 'resource.attributes["service.name"] == "noise"'
  batch: {send_batch_size: 512, send_batch_max_size: 1024, timeout: 100ms}

exporters:
  otlp/backend:
    endpoint: ${env:BACKEND}
    tls: {insecure: true}
    compression: gzip
    headers: {x-tenant: "a"}
    sending_queue: {enabled: true, num_consumers: 4, queue_size: 5000}
    retry_on_failure: {enabled: true, initial_interval: 5s, max_interval: 30s, max_elapsed_time: 300s}
  debug:
    verbosity: detailed

extensions:
  health_check: {endpoint: "localhost:0"}
  pprof: {endpoint: "localhost:0"}
  zpages: {endpoint: "localhost:0"}

service:
  extensions: [health_check, pprof, zpages]
  telemetry:
    logs: {level: info}
    metrics: {level: normal}
  pipelines:
    traces:
      receivers: [otlp]
      processors: [memory_limiter, resourcedetection, attributes/environment, filter/ours, batch]
      exporters: [otlp/backend, debug]
    metrics: {receivers: [otlp], processors: [memory_limiter, batch], exporters: [otlp/backend]}
    logs: {receivers: [otlp], processors: [memory_limiter, batch], exporters: [otlp/backend]}
"""


async def test_an_otelcol_configuration_runs_as_it_is(run_agent: RunAgent, backend: Backend) -> None:
    environ = {"OTLP_HOST": "127.0.0.1", "BACKEND": backend.endpoint, "OTEL_RESOURCE_ATTRIBUTES": "team=checkout"}
    agent = await run_agent(OTELCOL, environ=environ)
    endpoint = agent.endpoint("otlp", "grpc")
    async with Sender(endpoint, service="noise") as noise, Sender(endpoint, attribute_bytes=10) as sender:
        assert await noise.send()
        assert await sender.send()
        await eventually(lambda: not backend.missing(sender.acknowledged), "the spans")
        assert backend.missing(noise.acknowledged), "the filter let the noise pass"
    span = backend.spans()[0]
    assert [(item.key, item.value.string_value) for item in span.attributes] == [("deployment.environment", "staging")]
    resource = backend.requests[0].resource_spans[0].resource
    keys = {item.key: item.value.string_value for item in resource.attributes}
    assert keys["team"] == "checkout"
    assert keys["service.name"] == "e2e"
    assert {"host.name", "os.type"} <= keys.keys()
    await health_says_ok(agent)
    assert await agent.metric("otelcol_receiver_accepted_spans", receiver="otlp") == 20
    assert await agent.metric("otelcol_exporter_sent_spans", exporter="otlp/backend") == 10


async def health_says_ok(agent: AgentProcess) -> None:
    async with aiohttp.ClientSession() as session, session.get(agent.address("health_check")) as response:
        assert response.status == 200, await response.text()
        assert (await response.json())["status"] == "Server available"


async def test_health_tells_of_a_backend_that_is_away(run_agent: RunAgent, backend: Backend) -> None:
    await backend.close()
    config = one_pipeline(
        "traces",
        {"otlp": OTLP_ANYWHERE},
        {},
        {"otlp": otlp_to(backend.endpoint)},
        extensions={"health_check": {"endpoint": "127.0.0.1:0"}},
    )
    agent = await run_agent(config)
    url = agent.address("health_check")
    async with aiohttp.ClientSession() as session, Sender(agent.endpoint("otlp", "grpc")) as sender:

        async def readiness() -> tuple[int, str]:
            async with session.get(f"{url.rstrip('/')}/ready") as response:
                return response.status, await response.text()

        assert (await readiness())[0] == 200
        assert await sender.send()

        async def has_status(status: int) -> str:
            found, text = await readiness()
            return text if found == status else ""

        reason = await eventually(lambda: has_status(503), "the failing exporter in the health check")
        assert "otlp" in reason
        await backend.open()
        await eventually(lambda: has_status(200), "recovery in the health check")
    assert sender.refused[grpc.StatusCode.UNAVAILABLE] == 0
