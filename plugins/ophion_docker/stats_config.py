"""The configuration of `docker_stats`, as otelcol's."""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from typing import Any, Final, Literal

from pydantic import Field, field_validator

from ophion_agent.measured_metric import MeasuredMetric
from ophion_agent.otlp_writing import Value
from ophion_agent.plugin import Config, Duration
from ophion_docker.engine_config import EngineConfig
from ophion_docker.matching import Patterns
from ophion_docker.metadata import Container
from ophion_docker.stats_metrics import CPU_PER_CORE, TABLE

RESOURCE_ATTRIBUTES: Final = {
    "container.command_line": False,
    "container.hostname": True,
    "container.id": True,
    "container.image.id": False,
    "container.image.name": True,
    "container.name": True,
    "container.runtime": True,
    "service.name": False,
}
"""Attributes of a container's figures, and whether they are reported without being asked for."""


class Switch(Config):
    """Whether a metric or an attribute is reported."""

    enabled: bool | None = Field(None, description="True or false; the default is the one in the table.")


Switches = dict[str, Switch]


def _known(what: str, given: Any, valid: Iterable[str]) -> Any:
    if not isinstance(given, dict):
        return {} if given is None else given
    names = list(valid)
    for name in given:
        if name not in names:
            near = difflib.get_close_matches(str(name), names, n=1, cutoff=0.5)
            raise ValueError(f'unknown {what} "{name}"' + (f'; did you mean "{near[0]}"?' if near else ""))
    return {name: {} if body is None else body for name, body in given.items()}


def _is_on(switches: Switches, name: str, default: bool) -> bool:
    switch = switches.get(name)
    return default if switch is None or switch.enabled is None else switch.enabled


class DockerStatsConfig(EngineConfig):
    """The `docker_stats` receiver."""

    collection_interval: Duration = Field(10.0, gt=0, description="Time from one look to the next.")
    initial_delay: Duration = Field(1.0, ge=0, description="Time from start to the first look.")
    excluded_images: Patterns = Field(
        [], description="Images whose containers are left out: names, globs or /regexes/; `!` before one negates it."
    )
    container_labels_to_metric_labels: dict[str, str] = Field(
        {}, description="Container labels that become resource attributes: label -> attribute."
    )
    env_vars_to_metric_labels: dict[str, str] = Field(
        {}, description="Environment variables of containers that become resource attributes: variable -> attribute."
    )
    metrics: Switches = Field({}, description="Metrics to switch on or off, by name.")
    resource_attributes: Switches = Field({}, description="Resource attributes to switch on or off, by name.")
    provide_per_core_cpu_metrics: bool = Field(
        False, description="Old name for switching on container.cpu.usage.percpu."
    )
    source: Literal["auto", "cgroup", "api"] = Field(
        "auto",
        description="Where figures are read: the containers' cgroups (cheap, this host only), the engine's API, or "
        "cgroups with the API for containers whose cgroup cannot be read.",
    )
    root_path: str = Field(
        "", description="Where the host's root filesystem is mounted, for an agent that is itself in a container."
    )

    @field_validator("metrics", mode="before")
    @classmethod
    def _known_metrics(cls, given: Any) -> Any:
        return _known("metric", given, (metric.name for metric in TABLE))

    @field_validator("resource_attributes", mode="before")
    @classmethod
    def _known_attributes(cls, given: Any) -> Any:
        return _known("resource attribute", given, RESOURCE_ATTRIBUTES)

    def enabled_metrics(self) -> list[MeasuredMetric]:
        """Return the metrics to report."""
        return [metric for metric in TABLE if _is_on(self.metrics, metric.name, self._default(metric))]

    def _default(self, metric: MeasuredMetric) -> bool:
        return metric.enabled or (metric is CPU_PER_CORE and self.provide_per_core_cpu_metrics)

    def resource_of(self, container: Container) -> dict[str, Value]:
        """Return the resource attributes of a container's figures; what is not known of it is left out."""
        known = {
            "container.command_line": container.command_line,
            "container.hostname": container.hostname,
            "container.id": container.id,
            "container.image.id": container.image_id,
            "container.image.name": container.image,
            "container.name": container.name,
            "container.runtime": container.runtime,
            "service.name": container.service_name,
        }
        found: dict[str, Value] = {
            name: known[name]
            for name, default in RESOURCE_ATTRIBUTES.items()
            if known[name] and _is_on(self.resource_attributes, name, default)
        }
        chosen = (
            (self.env_vars_to_metric_labels, container.environment),
            (self.container_labels_to_metric_labels, container.labels),
        )
        for names, values in chosen:
            found.update({attribute: values[name] for name, attribute in names.items() if values.get(name)})
        return found
