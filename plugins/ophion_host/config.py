"""The configuration of `hostmetrics`, as otelcol's."""

from __future__ import annotations

from typing import Any, ClassVar

from pydantic import Field, SerializerFunctionWrapHandler, field_validator, model_serializer, model_validator

from ophion_agent.plugin import Config, Duration
from ophion_host.metric import Metric
from ophion_host.scraper import ScraperConfig
from ophion_host.scrapers.cpu import CpuConfig
from ophion_host.scrapers.disk import DiskConfig
from ophion_host.scrapers.filesystem import FilesystemConfig
from ophion_host.scrapers.load import LoadConfig
from ophion_host.scrapers.memory import MemoryConfig
from ophion_host.scrapers.network import NetworkConfig
from ophion_host.scrapers.paging import PagingConfig
from ophion_host.scrapers.pressure import PressureConfig
from ophion_host.scrapers.process import ProcessConfig
from ophion_host.scrapers.processes import ProcessesConfig
from ophion_host.scrapers.system import SystemConfig

_DEFAULT_SCRAPERS = ("cpu", "load", "memory", "disk", "filesystem", "network", "paging", "processes", "system")


class ScrapersConfig(Config):
    """The scrapers to run. One that is named runs, with its defaults where its body is empty."""

    cpu: CpuConfig | None = Field(None, description="CPU time and utilization.")
    load: LoadConfig | None = Field(None, description="Load averages.")
    memory: MemoryConfig | None = Field(None, description="Physical memory.")
    disk: DiskConfig | None = Field(None, description="Input and output of block devices.")
    filesystem: FilesystemConfig | None = Field(None, description="Space and inodes of filesystems.")
    network: NetworkConfig | None = Field(None, description="Traffic of interfaces and TCP connections.")
    paging: PagingConfig | None = Field(None, description="Swap space and page faults.")
    processes: ProcessesConfig | None = Field(None, description="Number of processes by status.")
    process: ProcessConfig | None = Field(None, description="CPU, memory and disk of every process.")
    system: SystemConfig | None = Field(None, description="Uptime.")
    pressure: PressureConfig | None = Field(None, description="Linux pressure stall information.")

    order: ClassVar[tuple[str, ...]] = (*_DEFAULT_SCRAPERS, "process", "pressure")

    @model_validator(mode="before")
    @classmethod
    def _null_is_default(cls, given: Any) -> Any:
        if given == {}:
            raise ValueError(f"must name at least one scraper; valid: {', '.join(cls.model_fields)}")
        if not isinstance(given, dict):
            return given
        return {name: {} if body is None else body for name, body in given.items()}

    @model_serializer(mode="wrap")
    def _only_configured(self, handler: SerializerFunctionWrapHandler) -> dict[str, Any]:
        # An absent scraper must not come back as a null one, which would run.
        return {name: body for name, body in handler(self).items() if body is not None}

    def configured(self) -> dict[str, ScraperConfig]:
        """The configuration of every scraper that is to run, by name."""
        return {name: found for name in self.order if (found := getattr(self, name)) is not None}


def metric_tables() -> dict[str, tuple[Metric, ...]]:
    """Every metric of every scraper, for the documentation."""
    every = ScrapersConfig.model_validate(dict.fromkeys(ScrapersConfig.order))
    return {name: config.table for name, config in every.configured().items()}


def default_scrapers() -> ScrapersConfig:
    """Everything about the host as a whole."""
    return ScrapersConfig.model_validate(dict.fromkeys(_DEFAULT_SCRAPERS))


class HostMetricsConfig(Config):
    """The `hostmetrics` receiver."""

    collection_interval: Duration = Field(60.0, gt=0, description="Time from one scrape to the next.")
    initial_delay: Duration = Field(1.0, ge=0, description="Time from start to the first scrape.")
    root_path: str = Field(
        "", description="Where the host's root filesystem is mounted, to report on the host from inside a container."
    )
    scrapers: ScrapersConfig = Field(
        default_factory=default_scrapers,
        description="The scrapers to run, each with its options; without it, all but `process` and `pressure`.",
    )

    @field_validator("scrapers", mode="before")
    @classmethod
    def _null_is_default(cls, given: Any) -> Any:
        return default_scrapers() if given is None else given
