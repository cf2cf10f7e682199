"""Collector configurations, unmodified but for their ports, run and take data."""

import json
import re
import shutil
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from agent_process import free_port
from certificates import Certificates
from ophion_agent.agent import Agent, Sources
from ophion_agent.testing import make_traces

FILES = sorted((Path(__file__).parent / "testdata" / "otelcol").glob("*.yaml"))
ENVIRON = json.loads((Path(__file__).parent / "testdata" / "otelcol" / "env.json").read_text())
_PORT = re.compile(r"(?<=[:\s\"])(?:1?(?:4317|4318|4319|4320|3133|1777)|8888|8889|9464|55679|5569\d|9090)\b(?!/tcp)")


def moved(path: Path, folder: Path) -> Sources:
    """Return a configuration with every well-known port replaced by a free one, in a folder of its own."""
    ports: dict[str, str] = {}
    text = _PORT.sub(lambda match: ports.setdefault(match[0], str(free_port())), path.read_text())
    certificates = Certificates(folder)
    for name, copy in (("ca.pem", "ca.crt"), ("server.pem", "server.crt"), ("client.pem", "client.crt")):
        shutil.copy(certificates.path(name), folder / copy)
    target = folder / path.name
    target.write_text(text)
    environ = {**ENVIRON, "OUT_DIR": str(folder), "QUEUE_DIR": str(folder / "queue"), "TLS_DIR": str(folder)}
    environ["BACKEND_PORT"] = str(free_port())
    sets = ["service.telemetry.metrics.level=none", "service.control.enabled=false", "service.shutdown_timeout=200ms"]
    return Sources([str(target)], sets, environ)


async def post(port: int, headers: dict[str, str]) -> int:
    url = f"http://localhost:{port}/v1/traces"
    headers = {"Content-Type": "application/x-protobuf", **headers}
    payload = make_traces(2).payload
    async with aiohttp.ClientSession() as session, session.post(url, data=payload, headers=headers) as response:
        return response.status


def http_port(agent: Agent) -> int | None:
    plan = agent._graph().plan
    otlp: Any = plan.components["receiver", "otlp"].config if ("receiver", "otlp") in plan.components else None
    if otlp is None or otlp.protocols.http is None:
        return None
    return int(otlp.protocols.http.endpoint.rpartition(":")[2]) or None


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
async def test_a_collector_file_starts_takes_data_and_stops(path: Path, tmp_path: Path) -> None:
    agent = Agent(moved(path, tmp_path))
    plan, _ = agent.sources.plan()
    await agent.start(plan)
    try:
        failed = [info for info in agent.components() if info.status == "failed"]
        assert failed == []
        port = http_port(agent)
        traces = any(plan.signal.signal == "traces" and "otlp" in plan.receivers for plan in plan.pipelines)
        if port and traces and path.stem != "secured":
            assert await post(port, {}) == 200
            assert agent.metrics.total("otelcol_receiver_accepted_spans", receiver="otlp") == 2
        if port and path.stem == "secured":
            assert await post(port, {}) == 401
    finally:
        await agent.stop()
