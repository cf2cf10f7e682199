"""The whole server is killed under ingest: what it acknowledged can be queried when it is back."""

import asyncio
import json
from pathlib import Path
from typing import Any

import aiohttp

from agent_process import AgentProcess, eventually, free_port
from e2e.conftest import RunAgent
from e2e.sender import Sender

CONFIG = Path(__file__).parents[2] / "configs" / "all-in-one.yaml"
ROUNDS = 2
SENDERS = 2
# All spans of `Sender` have this trace id.
TRACE = "01" * 16


class Server:
    """A server from configs/all-in-one.yaml whose directory and ports outlive its process."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.grpc, self.api = free_port(), free_port()
        self.environ = {
            "OTLP_GRPC_PORT": str(self.grpc),
            "OTLP_HTTP_PORT": str(free_port()),
            "API_PORT": str(self.api),
            "DASHBOARD_PORT": "0",
            "STATE_DIRECTORY": str(directory / "var"),
        }
        self.sets = [
            "extensions.health_check.endpoint=127.0.0.1:0",
            "extensions.zpages.endpoint=127.0.0.1:0",
            "extensions.auth.password_hashing={time_cost: 1, memory: 64KiB, parallelism: 1}",
            f"extensions.auth.cli_key_file={directory / 'cli.key'}",
            "service.pipelines.metrics.receivers=[otlp]",
        ]

    async def spans(self) -> list[bytes]:
        """Return the ids of the spans that a query finds."""
        key = (self.directory / "cli.key").read_text().strip()
        url = f"http://127.0.0.1:{self.api}/api/traces/{TRACE}"
        headers = {"Authorization": f"Bearer {key}"}
        async with aiohttp.ClientSession(headers=headers) as session, session.get(url) as response:
            text = await response.text()
            assert response.status in (200, 404), text
            found: list[dict[str, Any]] = json.loads(text).get("spans", [])
        return [bytes.fromhex(span["span_id"]) for span in found]


async def everything_is_found(server: Server, sender: Sender, agent: AgentProcess) -> None:
    """Wait until a query finds every acknowledged span."""

    async def nothing_is_missing() -> bool:
        return not set(sender.acknowledged) - set(await server.spans())

    await eventually(nothing_is_missing, lambda: f"all of {len(sender.acknowledged)} spans:\n{agent.log()}", 60)


async def test_what_a_killed_server_acknowledged_can_be_queried(run_agent: RunAgent, tmp_path: Path) -> None:
    server = Server(tmp_path / "server")
    agent = await run_agent(CONFIG.read_text(encoding="utf-8"), name="server", sets=server.sets, environ=server.environ)
    async with Sender(f"127.0.0.1:{server.grpc}", spans=20) as sender:
        for number in range(ROUNDS):
            enough, done = len(sender.acknowledged) + 200 * (number + 1), asyncio.Event()
            tasks = [asyncio.create_task(sender.keep_sending(done, 0.05)) for _ in range(SENDERS)]
            await eventually(lambda enough=enough: len(sender.acknowledged) >= enough, "acknowledged spans")
            await agent.kill()
            done.set()
            await asyncio.gather(*tasks)
            await agent.start()
            await everything_is_found(server, sender, agent)
        assert await sender.send()
    await everything_is_found(server, sender, agent)
    assert len(sender.acknowledged) >= 620
    assert await agent.stop() == 0
