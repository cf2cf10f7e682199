"""The options that every component of the family has: which engine to talk to."""

from __future__ import annotations

import re

from pydantic import Field, field_validator

from ophion_agent.plugin import Config, Duration, Text
from ophion_docker.engine import Engine
from ophion_docker.engine_address import parse_address


class EngineConfig(Config):
    """Which container engine to talk to, and how long to wait for it."""

    endpoint: str = Field(
        "",
        description="The engine: unix:///path, tcp://host:2375 or https://host:2376. Empty: DOCKER_HOST, else the "
        "first socket found of Docker, rootless Docker and Podman.",
    )
    timeout: Duration = Field(5.0, gt=0, description="Longest wait for an answer of the engine.")
    api_version: Text = Field(
        "", description='Engine API version to speak, such as "1.41"; empty agrees on one with the engine.'
    )

    @field_validator("endpoint")
    @classmethod
    def _known_form(cls, value: str) -> str:
        if value:
            parse_address(value, {})
        return value

    @field_validator("api_version")
    @classmethod
    def _known_version(cls, value: str) -> str:
        if value and not re.fullmatch(r"1\.\d{1,3}", value):
            raise ValueError(f'must be a version such as "1.41", got {value!r}')
        return value

    def engine(self) -> Engine:
        """Return a client of the engine, not yet connected. Raises ValueError for an unusable DOCKER_HOST."""
        return Engine(self.endpoint, timeout_seconds=self.timeout, api_version=self.api_version)
