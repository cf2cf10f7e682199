"""Uptime."""

from __future__ import annotations

from typing import ClassVar

from ophion_host.metric import gauge
from ophion_host.recorder import Recorder
from ophion_host.scraper import Scraper, ScraperConfig

UPTIME = gauge("system.uptime", "s", "The time the system has been running")


class SystemConfig(ScraperConfig):
    """The `system` scraper."""

    table: ClassVar = (UPTIME,)


class SystemScraper(Scraper[SystemConfig]):
    """Reports how long the host has been up."""

    name = "system"

    def scrape(self, out: Recorder) -> None:
        """See `Scraper.scrape`."""
        if self.host.linux:
            out.add(UPTIME, float(self.host.read("uptime").split()[0]))
        else:
            out.add(UPTIME, (out.now_ns - self.host.boot_time_ns()) / 1e9)
