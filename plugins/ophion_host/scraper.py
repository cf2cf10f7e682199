"""What a scraper is, and the configuration that every scraper has."""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from typing import Any, ClassVar, Generic, TypeVar

from pydantic import Field, field_validator

from ophion_agent.plugin import Config
from ophion_host.host import Host
from ophion_host.metric import Metric
from ophion_host.recorder import Recorder


class Switch(Config):
    """Whether a metric or an attribute is reported."""

    enabled: bool | None = Field(None, description="True or false; the default is the one in the table.")


def check_names(what: str, given: Any, valid: Iterable[str]) -> Any:
    """`given` with null bodies replaced by empty ones. Raises ValueError for a key that is not in `valid`."""
    if not isinstance(given, dict):
        return {} if given is None else given
    names = list(valid)
    for name in given:
        if name not in names:
            near = difflib.get_close_matches(str(name), names, n=1, cutoff=0.5)
            hint = f'did you mean "{near[0]}"? ' if near else ""
            raise ValueError(f'unknown {what} "{name}"; {hint}valid: {", ".join(names)}')
    return {name: {} if body is None else body for name, body in given.items()}


class ScraperConfig(Config):
    """Configuration of one scraper; `table` lists the metrics it can report."""

    table: ClassVar[tuple[Metric, ...]] = ()

    metrics: dict[str, Switch] = Field(default_factory=dict, description="Metrics to switch on or off, by name.")

    @field_validator("metrics", mode="before")
    @classmethod
    def _known_metrics(cls, given: Any) -> Any:
        return check_names("metric", given, (metric.name for metric in cls.table))

    def enabled_metrics(self) -> list[Metric]:
        """The metrics of `table` to report."""
        return [metric for metric in self.table if self._is_on(metric)]

    def _is_on(self, metric: Metric) -> bool:
        switch = self.metrics.get(metric.name)
        return metric.enabled if switch is None or switch.enabled is None else switch.enabled


ConfigT = TypeVar("ConfigT", bound=ScraperConfig)


class Scraper(Generic[ConfigT]):
    """Reads one area of the host. Holds only what a later scrape needs of an earlier one."""

    name: ClassVar[str]

    def __init__(self, config: ConfigT, host: Host) -> None:
        self.config = config
        self.host = host

    def scrape(self, out: Recorder) -> None:
        """Read the figures now and add them to `out`. Blocking; runs in a thread, never twice at once.

        Any exception means that nothing could be had; a part that fails is noted with `out.fail`.
        """
        raise NotImplementedError
