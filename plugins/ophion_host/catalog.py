"""Every scraper by the name it has in the configuration, in the order of a scrape."""

from __future__ import annotations

from typing import Any

from ophion_host.scraper import Scraper
from ophion_host.scrapers.cpu import CpuScraper
from ophion_host.scrapers.disk import DiskScraper
from ophion_host.scrapers.filesystem import FilesystemScraper
from ophion_host.scrapers.load import LoadScraper
from ophion_host.scrapers.memory import MemoryScraper
from ophion_host.scrapers.network import NetworkScraper
from ophion_host.scrapers.paging import PagingScraper
from ophion_host.scrapers.pressure import PressureScraper
from ophion_host.scrapers.process import ProcessScraper
from ophion_host.scrapers.processes import ProcessesScraper
from ophion_host.scrapers.system import SystemScraper

SCRAPERS: tuple[type[Scraper[Any]], ...] = (
    CpuScraper,
    LoadScraper,
    MemoryScraper,
    DiskScraper,
    FilesystemScraper,
    NetworkScraper,
    PagingScraper,
    ProcessesScraper,
    ProcessScraper,
    SystemScraper,
    PressureScraper,
)
