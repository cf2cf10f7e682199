"""Linux pressure stall information: the share of time in which tasks waited for CPU, memory or I/O.

The collector has no such scraper; names, units and the attribute are those that the semantic conventions discuss
(open-telemetry/semantic-conventions#3528). The figures: https://docs.kernel.org/accounting/psi.html
"""

from __future__ import annotations

from typing import ClassVar

from ophion_host.metric import LINUX, Metric, counter, gauge
from ophion_host.recorder import Recorder
from ophion_host.scraper import Scraper, ScraperConfig

RESOURCES = {"cpu": "CPU", "memory": "memory", "io": "I/O"}
_WINDOWS = {"avg10": ("10s", "10 seconds"), "avg60": ("1m", "1 minute"), "avg300": ("5m", "5 minutes")}
_ATTRIBUTE = "system.linux.pressure.stall_type"


def _metrics(resource: str, title: str) -> dict[str, Metric]:
    prefix = f"system.{resource}.linux.pressure"
    averages = {
        column: gauge(
            f"{prefix}.{suffix}",
            "1",
            f"Share of time in which tasks were stalled waiting for {title}, averaged over {window}.",
            _ATTRIBUTE,
            platforms=LINUX,
        )
        for column, (suffix, window) in _WINDOWS.items()
    }
    total = counter(
        f"{prefix}.total",
        "s",
        f"Total time in which tasks were stalled waiting for {title}.",
        _ATTRIBUTE,
        value="double",
        platforms=LINUX,
    )
    return {**averages, "total": total}


METRICS = {resource: _metrics(resource, title) for resource, title in RESOURCES.items()}


class PressureConfig(ScraperConfig):
    """The `pressure` scraper."""

    table: ClassVar = tuple(metric for metrics in METRICS.values() for metric in metrics.values())


class PressureScraper(Scraper[PressureConfig]):
    """Reports pressure on CPU, memory and I/O, by whether some or all tasks (`full`) were stalled."""

    name = "pressure"

    def scrape(self, out: Recorder) -> None:
        """See `Scraper.scrape`."""
        if not self.host.linux:
            return
        for resource, metrics in METRICS.items():
            if not out.wants(*metrics.values()):
                continue
            try:
                lines = self.host.read(f"pressure/{resource}").decode().splitlines()
            except OSError as error:
                out.fail(resource, f"{self.host.proc}/pressure/{resource}: {error.strerror}", lost=len(metrics))
                continue
            for line in lines:
                _add_line(out, metrics, line)


def _add_line(out: Recorder, metrics: dict[str, Metric], line: str) -> None:
    stall_type, *columns = line.split()
    for name, _, value in (column.partition("=") for column in columns):
        # The kernel counts the total in microseconds and averages in percent.
        scale = 1e6 if name == "total" else 100
        out.add(metrics[name], float(value) / scale, stall_type)
