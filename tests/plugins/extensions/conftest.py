"""A running agent as extensions see it."""

from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pytest
import yaml

from ophion_agent.agent import Agent, Sources
from ophion_agent.health import Readiness
from ophion_agent.info import ComponentInfo, PipelineInfo, QueueInfo
from ophion_agent.testing import EPOCH_NS


@dataclass
class StubAgent:
    """What `context.agent` shows, set by the test."""

    version: str = "1.2.3"
    started_ns: int = EPOCH_NS
    ready: Readiness = field(default_factory=lambda: Readiness(True, ()))
    running: list[ComponentInfo] = field(default_factory=list)
    lines: list[PipelineInfo] = field(default_factory=list)
    waiting: list[QueueInfo] = field(default_factory=list)
    config: str = ""

    def readiness(self) -> Readiness:
        return self.ready

    def components(self) -> Sequence[ComponentInfo]:
        return self.running

    def pipelines(self) -> Sequence[PipelineInfo]:
        return self.lines

    def queues(self) -> Sequence[QueueInfo]:
        return self.waiting

    def effective_config(self) -> str:
        return self.config


@pytest.fixture
def agent() -> StubAgent:
    return StubAgent()


RunAgent = Callable[[dict[str, object]], "object"]


@pytest.fixture
async def run_agent(tmp_path: Path) -> AsyncIterator[RunAgent]:
    """Start a real agent in this process from a configuration; it is stopped after the test."""
    agents: list[Agent] = []

    async def run(config: dict[str, object]) -> Agent:
        config["service"] |= {"control": {"enabled": False}}  # type: ignore[operator]
        config["service"].setdefault("telemetry", {})["metrics"] = {"level": "none"}  # type: ignore[attr-defined]
        path = tmp_path / "agent.yaml"
        path.write_text(yaml.safe_dump(config))
        agent = Agent(Sources([str(path)], environ={}))
        agents.append(agent)
        await agent.start(agent.sources.plan()[0])
        return agent

    yield run
    for agent in agents:
        await agent.stop()
