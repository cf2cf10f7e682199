"""A metric that a receiver measures itself: the declaration that names, encodes and documents it."""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import Final, Literal

from ophion_agent import otlp_writing as wire

_SUM_INT: Final = struct.Struct("<BQBQBq")
_SUM_DOUBLE: Final = struct.Struct("<BQBQBd")
_GAUGE_INT: Final = struct.Struct("<BQBq")
_GAUGE_DOUBLE: Final = struct.Struct("<BQBd")


@dataclass(frozen=True, eq=False, slots=True)
class MeasuredMetric:
    """One metric of a receiver's table, as in the `metadata.yaml` of otelcol's component of the same name.

    `monotonic` is None for a gauge; a sum is cumulative. `attributes` names the string attributes of a point, in the
    order in which their values are recorded. `enabled` is the default. Identity is the object, so that it is a cheap
    dictionary key.
    """

    name: str
    unit: str
    description: str
    value: Literal["int", "double"]
    monotonic: bool | None
    attributes: tuple[str, ...] = ()
    enabled: bool = True

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

    def point_head(self, attributes: tuple[str, ...]) -> bytes:
        """Everything of an encoded data point before its `tail`; `attributes` are the values, in order."""
        body = wire.attributes(7, zip(self.attributes, attributes, strict=True))
        return b"\x0a" + wire.varint(len(body) + self.tail_size) + body
