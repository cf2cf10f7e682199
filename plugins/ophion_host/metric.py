"""What a host metric is: the declaration that names, encodes and documents it."""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import Literal

from ophion_host import wire

Platforms = tuple[str, ...]
UNIX: Platforms = ("linux", "darwin")
LINUX: Platforms = ("linux",)
WINDOWS: Platforms = ("windows",)

_SUM_INT = struct.Struct("<BQBQBq")
_SUM_DOUBLE = struct.Struct("<BQBQBd")
_GAUGE_INT = struct.Struct("<BQBq")
_GAUGE_DOUBLE = struct.Struct("<BQBd")


@dataclass(frozen=True, eq=False, slots=True)
class Metric:
    """One metric of a scraper's table, as in the `metadata.yaml` of otelcol's scraper of the same name.

    `monotonic` is None for a gauge; a sum is cumulative. `attributes` names what `Recorder.add` takes after the value,
    in that order. `enabled` is the default. `platforms` lists where the operating system has the figure.
    Identity is the object, so that it is a cheap dictionary key.
    """

    name: str
    unit: str
    description: str
    value: Literal["int", "double"]
    monotonic: bool | None
    attributes: tuple[str, ...] = ()
    enabled: bool = True
    platforms: Platforms = UNIX

    @property
    def kind(self) -> Literal["sum", "gauge"]:
        """`sum` or `gauge`."""
        return "gauge" if self.monotonic is None else "sum"

    def tail(self, start_ns: int, now_ns: int, value: float) -> bytes:
        """The fixed-size end of a NumberDataPoint: times and value. A sum carries its start time, a gauge does not.

        Raises `struct.error` when the value does not fit its type.
        """
        if self.monotonic is None:
            if self.value == "int":
                return _GAUGE_INT.pack(wire.TIME, now_ns, wire.AS_INT, value)
            return _GAUGE_DOUBLE.pack(wire.TIME, now_ns, wire.AS_DOUBLE, value)
        if self.value == "int":
            return _SUM_INT.pack(wire.START_TIME, start_ns, wire.TIME, now_ns, wire.AS_INT, value)
        return _SUM_DOUBLE.pack(wire.START_TIME, start_ns, wire.TIME, now_ns, wire.AS_DOUBLE, value)

    @property
    def tail_size(self) -> int:
        """Bytes that `tail` returns."""
        return _GAUGE_INT.size if self.monotonic is None else _SUM_INT.size

    def head(self) -> bytes:
        """The encoded name, description and unit of the Metric message."""
        strings = (self.name, self.description, self.unit)
        return b"".join(wire.field(number, value.encode()) for number, value in enumerate(strings, start=1))

    def data(self, points: bytes) -> bytes:
        """The encoded `gauge` or `sum` field around encoded data points."""
        if self.monotonic is None:
            return wire.field(5, points)
        return wire.field(7, points + (wire.CUMULATIVE_MONOTONIC if self.monotonic else wire.CUMULATIVE))


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
