"""What a host metric is, beside what every measured metric is: where the operating system has the figure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from ophion_agent.measured_metric import MeasuredMetric

Platforms = tuple[str, ...]
UNIX: Platforms = ("linux", "darwin")
LINUX: Platforms = ("linux",)
WINDOWS: Platforms = ("windows",)


@dataclass(frozen=True, eq=False, slots=True)
class Metric(MeasuredMetric):
    """One metric of a scraper's table. `platforms` lists where the operating system has the figure."""

    platforms: Platforms = UNIX


def counter(
    name: str,
    unit: str,
    description: str,
    *attributes: str,
    value: Literal["int", "double"] = "int",
    enabled: bool = True,
    platforms: Platforms = UNIX,
) -> Metric:
    """A cumulative monotonic sum."""
    return Metric(name, unit, description, value, True, attributes, enabled, platforms)


def updown(
    name: str, unit: str, description: str, *attributes: str, enabled: bool = True, platforms: Platforms = UNIX
) -> Metric:
    """A cumulative integer sum that may fall."""
    return Metric(name, unit, description, "int", False, attributes, enabled, platforms)


def gauge(
    name: str,
    unit: str,
    description: str,
    *attributes: str,
    value: Literal["int", "double"] = "double",
    enabled: bool = True,
    platforms: Platforms = UNIX,
) -> Metric:
    """A value at a moment."""
    return Metric(name, unit, description, value, None, attributes, enabled, platforms)
