"""The configuration of `docker_logs`."""

from __future__ import annotations

import re
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, field_validator

from ophion_agent.plugin import QUEUE_STORAGE, ByteSize, Config, Duration, Provides, null_is_default
from ophion_docker.engine_config import EngineConfig
from ophion_docker.matching import Patterns, Selection


class MultilineConfig(Config):
    """How lines of one message are put together."""

    line_start_pattern: str = Field(
        "", description="Regular expression that the first line of a message matches; later ones are added to it."
    )
    force_flush_period: Duration = Field(
        0.5, gt=0, description="A message is passed on when no further line of it came for this long."
    )
    max_lines: int = Field(500, ge=1, description="Most lines of one message; what follows begins another one.")

    @field_validator("line_start_pattern")
    @classmethod
    def _compiles(cls, value: str) -> str:
        try:
            re.compile(value)
        except re.error as error:
            raise ValueError(f"must be a regular expression, got {value!r}: {error}") from error
        return value


class RateLimitConfig(Config):
    """How many lines of one container are passed on; the rest is dropped and counted."""

    lines_per_second: float = Field(gt=0, description="Lines a second that one container may write on average.")
    burst: int = Field(10_000, ge=1, description="Lines that it may write at once.")


class DockerLogsConfig(EngineConfig):
    """The `docker_logs` receiver."""

    include: Annotated[Selection, BeforeValidator(null_is_default)] = Field(
        Selection(), description="Containers whose output is read; empty for all."
    )
    exclude: Annotated[Selection, BeforeValidator(null_is_default)] = Field(
        Selection(), description="Containers whose output is not read, also where `include` names them."
    )
    streams: list[Literal["stdout", "stderr"]] = Field(
        ["stdout", "stderr"], min_length=1, description="Which of a container's streams are read."
    )
    labels: Patterns = Field(
        [], description="Container labels added as resource attributes `container.label.<name>`; globs and /regexes/."
    )
    start_at: Literal["end", "beginning"] = Field(
        "end",
        description="Where to begin with containers that run when the agent first sees this engine; those that start "
        "later are always read from their beginning.",
    )
    storage: Annotated[str | None, Provides(QUEUE_STORAGE)] = Field(
        None, description="Extension that keeps how far each container was read, so that a restart loses nothing."
    )
    checkpoint_interval: Duration = Field(
        1.0, gt=0, description="How often that is stored; what was read since then is read twice after a crash."
    )
    multiline: Annotated[MultilineConfig, BeforeValidator(null_is_default)] = Field(
        MultilineConfig(), description="Puts lines of one message together, such as those of a stack trace."
    )
    max_log_size: ByteSize = Field(
        1 << 20, ge=1024, le=32 << 20, description="Longest record; a longer line becomes several records."
    )
    flush_interval: Duration = Field(0.2, gt=0, description="Longest time that lines wait for more before they go on.")
    rate_limit: RateLimitConfig | None = Field(
        None,
        description="Limits each container and drops the rest. Without it nothing is dropped: what the pipeline does "
        "not take stays in the engine's log.",
    )

    @field_validator("start_at", mode="before")
    @classmethod
    def _as_text(cls, value: Any) -> Any:
        return value.strip().lower() if isinstance(value, str) else value
