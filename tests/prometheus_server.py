"""A real Prometheus for tests: started on a free port with its own directory, asked through its HTTP API.

async with running_prometheus(tmp_path, ["127.0.0.1:8889"]) as prometheus:
    [series] = await prometheus.wait_for("http_requests_total")
"""

import asyncio
import socket
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import yaml

from requirement import require

INSTALL = "apt-get install -y prometheus"
READY_SECONDS = 30.0
QUERY_SECONDS = 30.0
POLL_SECONDS = 0.05


class Prometheus:
    """The HTTP API of a running server."""

    def __init__(self, url: str, session: aiohttp.ClientSession) -> None:
        self.url = url
        self._session = session

    async def get(self, path: str, **parameters: str) -> Any:
        """Return the `data` of an API answer; AssertionError with the server's message when it is an error."""
        async with self._session.get(f"{self.url}/api/v1/{path}", params=parameters) as response:
            answer = await response.json()
        assert answer["status"] == "success", answer
        return answer["data"]

    async def query(self, expression: str) -> list[dict[str, Any]]:
        """Return the series of an instant query: `metric` labels with `value` or `histogram`."""
        result: list[dict[str, Any]] = (await self.get("query", query=expression))["result"]
        return result

    async def wait_for(self, expression: str, seconds: float = QUERY_SECONDS) -> list[dict[str, Any]]:
        """Return the series of an instant query once it has any; AssertionError with the targets' state otherwise."""
        try:
            async with asyncio.timeout(seconds):
                # Another process cannot be waited for by an event.
                while not (result := await self.query(expression)):  # noqa: ASYNC110
                    await asyncio.sleep(POLL_SECONDS)
                return result
        except TimeoutError:
            targets = await self.get("targets")
            states = [
                (target["scrapeUrl"], target["health"], target["lastError"]) for target in targets["activeTargets"]
            ]
            raise AssertionError(f"{expression}: no series after {seconds} s; targets: {states}") from None

    async def value(self, expression: str) -> float:
        """Return the value of the one series of an instant query, waiting for it to appear."""
        [series] = await self.wait_for(expression)
        return float(series["value"][1])


@asynccontextmanager
async def running_prometheus(
    directory: Path,
    targets: Sequence[str],
    *,
    features: Sequence[str] = (),
    scrape: Mapping[str, Any] | None = None,
) -> AsyncIterator[Prometheus]:
    """Start a server that scrapes `targets` five times a second; `scrape` adds to the scrape configuration."""
    binary = require("prometheus", INSTALL)
    port = _free_port()
    config = _write_config(directory, targets, scrape or {})
    arguments = [f"--config.file={config}", f"--storage.tsdb.path={directory / 'tsdb'}"]
    arguments += [f"--web.listen-address=127.0.0.1:{port}", "--log.level=warn"]
    arguments += [f"--enable-feature={','.join(features)}"] if features else []
    log = directory / "prometheus.log"
    with log.open("wb") as output:
        process = await asyncio.create_subprocess_exec(binary, *arguments, stdout=output, stderr=output)
    try:
        async with aiohttp.ClientSession() as session:
            prometheus = Prometheus(f"http://127.0.0.1:{port}", session)
            await _wait_until_ready(prometheus.url, session, process, log)
            yield prometheus
    finally:
        if process.returncode is None:
            process.terminate()
        await process.wait()


def _write_config(directory: Path, targets: Sequence[str], scrape: Mapping[str, Any]) -> Path:
    job = {"job_name": "ophion", "honor_labels": True, "static_configs": [{"targets": list(targets)}], **scrape}
    config = directory / "prometheus.yml"
    interval = {"scrape_interval": "200ms", "scrape_timeout": "200ms"}
    config.write_text(yaml.safe_dump({"global": interval, "scrape_configs": [job]}))
    return config


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
    return port


async def _wait_until_ready(
    url: str, session: aiohttp.ClientSession, process: asyncio.subprocess.Process, log: Path
) -> None:
    async with asyncio.timeout(READY_SECONDS):
        while not await _is_ready(url, session):
            assert process.returncode is None, f"prometheus ended: {log.read_bytes().decode()}"  # noqa: ASYNC240
            await asyncio.sleep(POLL_SECONDS)


async def _is_ready(url: str, session: aiohttp.ClientSession) -> bool:
    try:
        async with session.get(f"{url}/-/ready") as response:
            return response.status == 200
    except aiohttp.ClientConnectionError:
        return False
