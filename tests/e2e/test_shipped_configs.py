"""The configurations in `configs/`, run as they are but for their ports."""

import asyncio
from pathlib import Path
from typing import Any

import aiohttp
import grpc
import pytest

from agent_process import AgentProcess, eventually
from e2e.backend import Backend
from e2e.conftest import RunAgent
from e2e.sender import EXPORT, Sender, raw, traces
from e2e.written import Written

CONFIGS = Path(__file__).parents[2] / "configs"
SERVERS = (
    "receivers.otlp.protocols.grpc",
    "receivers.otlp.protocols.http",
    "extensions.health_check",
    "extensions.zpages",
)
SPAN_ID = b"\0shipped"


def free_ports(*servers: str) -> list[str]:
    """Return the --set overrides that give these servers free ports."""
    return [f"{server}.endpoint=127.0.0.1:0" for server in (*SERVERS, *servers)]


async def get(url: str) -> tuple[int, str]:
    async with aiohttp.ClientSession() as session, session.get(url) as response:
        return response.status, await response.text()


async def is_ready(agent: AgentProcess) -> bool:
    status, _ = await get(agent.address("health_check").rstrip("/") + "/ready")
    return status == 200


async def test_agent_yaml_measures_the_host_and_takes_otlp(run_agent: RunAgent, tmp_path: Path) -> None:
    text = (CONFIGS / "agent.yaml").read_text()
    sets = [*free_ports("exporters.prometheus"), "receivers.hostmetrics.collection_interval=1s"]
    agent = await run_agent(text, sets=sets, environ={"STATE_DIRECTORY": str(tmp_path / "state")})
    async with Sender(agent.endpoint("otlp", "grpc")) as sender:
        assert await sender.send()

    def written() -> Written | None:
        found = Written(tmp_path / "state" / "telemetry.jsonl")
        return found if "system.cpu.time" in found.metrics and found.spans else None

    found = await eventually(written, "host metrics and spans in the file")
    _, resource = found.metrics["system.cpu.time"]
    assert {"host.name", "os.type"} <= resource.keys()
    status, page = await get(f"http://127.0.0.1:{agent.port('prometheus')}/metrics")
    assert (status, "system_cpu_time_seconds_total" in page) == (200, True)
    assert await is_ready(agent)
    status, page = await get(agent.address("zpages"))
    assert (status, "hostmetrics" in page) == (200, True)
    assert not agent.events(level="error"), agent.log()


@pytest.fixture
async def gateway(run_agent: RunAgent, backend: Backend, tmp_path: Path) -> AgentProcess:
    """A gateway that wants one token and shows another one upstream."""
    environ = {
        "GATEWAY_TOKEN": "senders",
        "UPSTREAM_TOKEN": "upstream",
        "UPSTREAM_ENDPOINT": f"http://{backend.endpoint}",
        "STATE_DIRECTORY": str(tmp_path / "state"),
    }
    text = (CONFIGS / "gateway.yaml").read_text()
    return await run_agent(text, "gateway", sets=free_ports(), environ=environ)


async def test_gateway_yaml_takes_known_senders_only(gateway: AgentProcess, backend: Backend) -> None:
    payload = traces([SPAN_ID]).SerializeToString()
    async with grpc.aio.insecure_channel(gateway.endpoint("otlp", "grpc")) as channel:
        with pytest.raises(grpc.aio.AioRpcError) as refused:
            await raw(channel, EXPORT)(payload, timeout=20)
        assert refused.value.code() is grpc.StatusCode.UNAUTHENTICATED
        await raw(channel, EXPORT)(payload, timeout=20, metadata=(("authorization", "Bearer senders"),))
    await eventually(lambda: backend.span_ids[SPAN_ID] == 1, "the span at the backend")
    assert backend.metadata[-1]["authorization"] == "Bearer upstream"
    assert await is_ready(gateway)


async def test_gateway_yaml_keeps_what_it_took_through_a_crash(gateway: AgentProcess, backend: Backend) -> None:
    await backend.close()
    metadata: Any = (("authorization", "Bearer senders"),)
    ids = [number.to_bytes(8, "big") for number in range(1, 21)]
    async with grpc.aio.insecure_channel(gateway.endpoint("otlp", "grpc")) as channel:
        export = raw(channel, EXPORT)
        requests = [traces([span_id]).SerializeToString() for span_id in ids]
        await asyncio.gather(*(export(request, timeout=20, metadata=metadata) for request in requests))
    await gateway.kill()
    await backend.open()
    await gateway.start()
    await eventually(lambda: not backend.missing(ids), "everything that was acknowledged", 60)
