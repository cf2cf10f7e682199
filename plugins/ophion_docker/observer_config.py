"""The configuration of `docker_observer`."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BeforeValidator, Field

from ophion_agent.plugin import null_is_default
from ophion_docker.engine_config import EngineConfig
from ophion_docker.matching import Patterns, Selection
from ophion_docker.observer_policy import InstrumentPolicy

Action = Literal[
    "create", "start", "restart", "die", "stop", "kill", "oom", "destroy", "pause", "unpause", "rename", "update",
    "health_status",
]  # fmt: skip


class DockerObserverConfig(EngineConfig):
    """The `docker_observer` receiver."""

    include: Annotated[Selection, BeforeValidator(null_is_default)] = Field(
        Selection(), description="Containers whose events are reported; empty for all."
    )
    exclude: Annotated[Selection, BeforeValidator(null_is_default)] = Field(
        Selection(), description="Containers whose events are not reported, also where `include` names them."
    )
    events: list[Action] = Field(
        ["create", "start", "restart", "die", "oom", "destroy", "pause", "unpause", "rename", "health_status"],
        min_length=1,
        description="What is reported.",
    )
    labels: Patterns = Field(
        [], description="Container labels added as resource attributes `container.label.<name>`; globs and /regexes/."
    )
    max_waiting: int = Field(
        10_000, ge=1, description="Most events that wait while the pipeline takes none; more are dropped and counted."
    )
    instrument: InstrumentPolicy | None = Field(
        None, description="Instrument containers as they start or are found; unset: none."
    )
