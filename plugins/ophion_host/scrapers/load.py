"""Load averages."""

from __future__ import annotations

import os
from typing import ClassVar

from pydantic import Field

from ophion_host.host import Host
from ophion_host.metric import gauge
from ophion_host.recorder import Recorder
from ophion_host.scraper import Scraper, ScraperConfig
from ophion_host.scrapers.cpu import logical_count

LOAD_1M = gauge("system.cpu.load_average.1m", "{thread}", "Average CPU Load over 1 minute.")
LOAD_5M = gauge("system.cpu.load_average.5m", "{thread}", "Average CPU Load over 5 minutes.")
LOAD_15M = gauge("system.cpu.load_average.15m", "{thread}", "Average CPU Load over 15 minutes.")


class LoadConfig(ScraperConfig):
    """The `load` scraper."""

    table: ClassVar = (LOAD_1M, LOAD_5M, LOAD_15M)

    cpu_average: bool = Field(False, description="Divide the load by the number of logical CPUs.")


class LoadScraper(Scraper[LoadConfig]):
    """Reports the load averages."""

    name = "load"

    def scrape(self, out: Recorder) -> None:
        """See `Scraper.scrape`."""
        loads = _linux_loads(self.host) if self.host.linux else os.getloadavg()
        share = logical_count(self.host) if self.config.cpu_average else 1
        for metric, load in zip((LOAD_1M, LOAD_5M, LOAD_15M), loads, strict=True):
            out.add(metric, load / share)


def _linux_loads(host: Host) -> tuple[float, ...]:
    return tuple(float(load) for load in host.read("loadavg").split()[:3])
