"""Agents of a test, each in a directory of its own, stopped at its end."""

import subprocess
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import pytest

from agent_process import AgentProcess
from e2e.backend import Backend
from requirement import require, unavailable

JAVASCRIPT = Path(__file__).with_name("js")
NODE_INSTALL = "install Node.js 20 or later, with npm"
NPM_SECONDS = 100

RunAgent = Callable[..., Awaitable[AgentProcess]]


@pytest.fixture
async def backend() -> AsyncIterator[Backend]:
    """A destination whose behaviour the test decides."""
    async with Backend() as backend:
        yield backend


@pytest.fixture
async def run_agent(tmp_path: Path, backend: Backend) -> AsyncIterator[RunAgent]:
    """Starts agents: `await run_agent(config, name="gateway")`; ready when it returns.

    They stop before the backend does, so that none of them waits for a destination that is gone.
    """
    async with AsyncExitStack() as stack:

        async def start(config: Mapping[str, Any] | str, name: str = "agent", **options: Any) -> AgentProcess:
            return await stack.enter_async_context(AgentProcess(tmp_path / name, config, **options))

        yield start


@pytest.fixture(scope="session")
def javascript_sdk() -> list[str]:
    """The command that sends with the OpenTelemetry JS SDK, which is installed where it is missing."""
    node, npm = require("node", NODE_INSTALL), require("npm", NODE_INSTALL)
    if not (JAVASCRIPT / "node_modules" / "@opentelemetry").is_dir():
        install = [npm, "ci", "--ignore-scripts", "--no-audit", "--no-fund"]
        try:
            subprocess.run(install, cwd=JAVASCRIPT, check=True, capture_output=True, text=True, timeout=NPM_SECONDS)
        except (subprocess.CalledProcessError, subprocess.TimeoutExpired) as error:
            unavailable(f"needs the OpenTelemetry JS SDK: cd tests/e2e/js && npm ci ({error}: {error.stderr!r})")
    return [node, str(JAVASCRIPT / "send.mjs")]
