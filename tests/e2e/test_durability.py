"""What was acknowledged arrives: through kill -9, a dead backend and a full disk."""

import asyncio
import random
import subprocess
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import grpc
import pytest

from agent_process import AgentProcess, eventually, free_port
from e2e.backend import Backend
from e2e.configs import one_pipeline, otlp_to
from e2e.conftest import RunAgent
from e2e.sender import Sender
from requirement import unavailable

ROUNDS = 5
SENDERS = 4
RETRYABLE = {grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.RESOURCE_EXHAUSTED}


def durable(backend: Backend, port: int, directory: str = "queues") -> dict[str, object]:
    """OTLP in, a batch processor, and a queue on disk before the backend."""
    queue = {"storage": "file_storage", "queue_size": 100_000, "num_consumers": 2}
    return one_pipeline(
        "traces",
        {"otlp": {"protocols": {"grpc": {"endpoint": f"127.0.0.1:{port}"}}}},
        {"batch": {"timeout": "20ms"}},
        {"otlp": otlp_to(backend.endpoint, sending_queue=queue)},
        extensions={"file_storage": {"directory": directory, "segment_bytes": "256KiB"}},
    )


@asynccontextmanager
async def load(sender: Sender) -> AsyncIterator[None]:
    """Requests from several senders at the same time, for as long as the block lasts."""
    done = asyncio.Event()
    tasks = [asyncio.create_task(sender.keep_sending(done)) for _ in range(SENDERS)]
    try:
        yield
    finally:
        done.set()
        await asyncio.gather(*tasks)


async def everything_arrives(backend: Backend, sender: Sender, agent: AgentProcess) -> None:
    """Wait until every acknowledged span is at the backend."""
    await eventually(
        lambda: not backend.missing(sender.acknowledged),
        lambda: f"{len(backend.missing(sender.acknowledged))} of {len(sender.acknowledged)} missing:\n{agent.log()}",
        60,
    )


async def test_kill_9_under_load_loses_nothing_acknowledged(run_agent: RunAgent, backend: Backend) -> None:
    rng = random.Random(9)
    port = free_port()
    agent = await run_agent(durable(backend, port))
    async with Sender(f"127.0.0.1:{port}", spans=20) as sender, load(sender):
        for number in range(ROUNDS):
            # A backend that is away in some rounds leaves the queue long at the moment of the crash.
            if number in (1, 3):
                await backend.close()
            enough = len(sender.acknowledged) + 20 * rng.randrange(1, 60)
            await eventually(lambda enough=enough: len(sender.acknowledged) >= enough, "acknowledged spans")
            await agent.kill()
            if number in (2, 4):
                await backend.open()
            await agent.start()
    await everything_arrives(backend, sender, agent)
    assert await agent.stop() == 0


async def test_a_backend_that_was_away_gets_everything(run_agent: RunAgent, backend: Backend) -> None:
    await backend.close()
    port = free_port()
    agent = await run_agent(durable(backend, port))
    async with Sender(f"127.0.0.1:{port}") as sender:
        assert all(await asyncio.gather(*(sender.send() for _ in range(50))))
        await agent.wait_for_event("delivery_failed")
        await backend.open()
        await everything_arrives(backend, sender, agent)
    await agent.wait_for_event("delivery_recovered")
    assert len(sender.acknowledged) == 500


async def test_a_durable_queue_is_delivered_by_the_next_start(run_agent: RunAgent, backend: Backend) -> None:
    await backend.close()
    port = free_port()
    agent = await run_agent(durable(backend, port))
    async with Sender(f"127.0.0.1:{port}") as sender:
        assert await sender.send()
    assert await agent.stop() == 0
    await backend.open()
    await agent.start()
    await everything_arrives(backend, sender, agent)


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of three megabytes."""
    place = tmp_path / "disk"
    place.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=3m", "tmpfs", place], capture_output=True, text=True, check=False
    )
    if mounted.returncode:
        unavailable(f"needs to mount a tmpfs: run as root with CAP_SYS_ADMIN ({mounted.stderr.strip()})")
    yield place
    subprocess.run(["umount", "--lazy", place], check=True)


async def test_a_full_disk_refuses_until_there_is_space(
    run_agent: RunAgent, backend: Backend, small_disk: Path
) -> None:
    ballast = small_disk / "ballast"
    ballast.write_bytes(bytes(1 << 20))
    await backend.close()
    port = free_port()
    agent = await run_agent(durable(backend, port, str(small_disk / "queues")))
    async with Sender(f"127.0.0.1:{port}", spans=4, attribute_bytes=10_000) as sender:

        async def is_full() -> bool:
            return not await sender.send()

        await eventually(is_full, "a refusal")
        assert not await sender.send()
        assert sender.refused.keys() <= RETRYABLE

        ballast.unlink()
        taken = len(sender.acknowledged)
        await eventually(sender.send, "room after space was freed")
        assert len(sender.acknowledged) > taken

        await eventually(is_full, "a second refusal")
        await backend.open()
        await everything_arrives(backend, sender, agent)
        await eventually(sender.send, "room after the queue was delivered")
    await everything_arrives(backend, sender, agent)
    assert sender.refused.keys() <= RETRYABLE
