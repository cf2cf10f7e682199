"""More offered than the backend takes: senders are told to try again, memory is bounded, no promise is broken."""

import asyncio
import io
from typing import Any

import aiohttp
import grpc
import pytest

from agent_process import AgentProcess, eventually
from e2e.backend import Backend
from e2e.configs import OTLP_ANYWHERE, one_pipeline, otlp_to
from e2e.conftest import RunAgent
from e2e.sender import Sender, traces

MIB = 1 << 20
LIMIT_MIB = 200
# Memory is given back to the system at these intervals; those by default are longer than a test should wait.
GIVE_BACK = {f"{most}_gc_interval_when_soft_limited": "500ms" for most in ("min", "max")}
MEMORY_LIMIT = {"check_interval": "100ms", "limit_mib": LIMIT_MIB, **GIVE_BACK}
REQUEST_BYTES = MIB // 4
SENDERS = 8
REFUSALS = 100


def overloaded(backend: Backend, queue: dict[str, Any]) -> dict[str, Any]:
    """A memory limiter and a queue in memory, before a backend of which the test decides when it answers."""
    return one_pipeline(
        "traces",
        {"otlp": OTLP_ANYWHERE},
        {"memory_limiter": MEMORY_LIMIT},
        {"otlp": otlp_to(backend.endpoint, timeout="60s", compression="none", sending_queue=queue)},
    )


async def overload(sender: Sender) -> None:
    """Send from several senders at once until there have been many refusals."""
    done = asyncio.Event()
    tasks = [asyncio.create_task(sender.keep_sending(done)) for _ in range(SENDERS)]
    try:
        await eventually(lambda: sender.refused.total() >= REFUSALS, "refusals", 60)
    finally:
        done.set()
        await asyncio.gather(*tasks)


async def http_refusal(agent: AgentProcess) -> tuple[int, str]:
    """Return status and Retry-After of the answer to an OTLP/HTTP request that is too much."""
    body = io.BytesIO(traces([b"too-much"], REQUEST_BYTES).SerializeToString())
    headers = {"Content-Type": "application/x-protobuf"}
    url = f"{agent.endpoint('otlp', 'http')}/v1/traces"
    async with aiohttp.ClientSession() as session, session.post(url, data=body, headers=headers) as response:
        return response.status, response.headers.get("Retry-After", "")


@pytest.mark.parametrize(
    ("queue", "refused_by"),
    [
        pytest.param({"sizer": "bytes", "queue_size": 20 * MIB, "max_bytes": "20MiB"}, "queue", id="small-queue"),
        pytest.param({"queue_size": 100_000, "max_bytes": "10GiB"}, "memory_limiter", id="memory-limiter"),
    ],
)
async def test_senders_are_told_to_retry_and_memory_stays_bounded(
    queue: dict[str, Any], refused_by: str, run_agent: RunAgent, backend: Backend
) -> None:
    agent = await run_agent(overloaded(backend, queue))
    backend.gate.clear()
    async with Sender(agent.endpoint("otlp", "grpc"), spans=8, attribute_bytes=REQUEST_BYTES // 8) as sender:
        await overload(sender)

        assert sender.refused.keys() == {grpc.StatusCode.RESOURCE_EXHAUSTED}
        assert all(delay for delay in sender.retry_delays)
        status, retry_after = await http_refusal(agent)
        assert (status, int(retry_after) >= 1) == (429, True)
        assert agent.peak_rss_bytes() < LIMIT_MIB * MIB
        if refused_by == "queue":
            assert await agent.metric("otelcol_exporter_enqueue_failed_spans") >= REFUSALS
        else:
            assert await agent.metric("ophion_processor_refused_bytes") >= REFUSALS * REQUEST_BYTES

        backend.gate.set()
        await eventually(sender.send, lambda: f"room once the backend answers; log:\n{agent.log()}")
        await eventually(lambda: not backend.missing(sender.acknowledged), "everything acknowledged", 60)
    assert len(backend.span_ids) == len(sender.acknowledged), "what was refused did not arrive"
    assert max(backend.span_ids.values()) == 1
