"""The configuration of what `docker_observer` instruments by itself."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from pydantic import BeforeValidator, Field, model_validator

from ophion_agent.plugin import Config, Duration, null_is_default
from ophion_docker.instrument.journal import DEFAULT_DIRECTORY
from ophion_docker.matching import Selection

Language = Literal["python", "nodejs", "java", "dotnet"]


class InstrumentPolicy(Config):
    """Which containers are instrumented without being asked, and how."""

    match: Annotated[Selection, BeforeValidator(null_is_default)] = Field(
        Selection(), description="Containers that are instrumented, by label, name or image; one of them is required."
    )
    exclude: Annotated[Selection, BeforeValidator(null_is_default)] = Field(
        Selection(), description="Containers that are left alone, also where `match` names them."
    )
    languages: list[Language] = Field(
        ["python", "nodejs", "java", "dotnet"], min_length=1, description="Languages that are instrumented."
    )
    dry_run: bool = Field(False, description="Only log what would be done.")
    commit_changes: bool = Field(
        False,
        description="Keep files that a container wrote outside of volumes in an image, instead of refusing it.",
    )
    delay: Duration = Field(
        5.0, ge=0, description="Time from the start of a container, or of the agent, until it is looked at."
    )
    timeout: Duration = Field(60.0, gt=0, description="Longest wait for a container's first telemetry.")
    retry_interval: Duration = Field(
        30.0, gt=0, description="Time until a refused container is looked at again; doubles with every refusal."
    )
    max_retry_interval: Duration = Field(600.0, gt=0, description="The longest such time.")
    max_roll_backs: int = Field(
        3,
        ge=1,
        description="After so many roll-backs in a row no further container is touched until a restart.",
    )
    max_waiting: int = Field(
        1000, ge=1, description="Most containers that are kept in mind; more are not instrumented, and counted."
    )
    otlp_port: int = Field(
        0, ge=0, le=65535, description="Port by which containers reach the agent's OTLP over HTTP; 0 for its own."
    )
    state: str = Field(
        str(DEFAULT_DIRECTORY), description="Folder of the journal: that of `ophion-agent instrument --state`."
    )
    bundles: str = Field("", description="Folder of bundles; empty: `bundles` below `state`.")
    build_bundles: bool = Field(True, description="Build a missing bundle; needs the language's package registry.")
    proc: str = Field("/proc", description="`/proc` of the engine's host.")

    @model_validator(mode="after")
    def _says_what(self) -> InstrumentPolicy:
        if not (self.match.images or self.match.names or self.match.labels):
            raise ValueError('match: must have labels, names or images; `names: ["*"]` is every container')
        if self.max_retry_interval < self.retry_interval:
            raise ValueError(f"max_retry_interval: must be at least retry_interval, got {self.max_retry_interval:g} s")
        return self

    @property
    def bundle_folder(self) -> Path:
        """Where bundles are, and are built."""
        return Path(self.bundles) if self.bundles else Path(self.state) / "bundles"
