"""Writes a part of the data set straight into the tables of a telemetry store, where remote write puts all of it too.

So some series lie under two ids and have samples twice, as they do when one target comes in by two ways.
"""

import struct
import time
from collections.abc import Iterator, Sequence
from typing import Final

import orjson

from benchmarks.remote_write import Series
from ophion_agent.server import DEFAULT_TENANT, Storage
from tests.plugins.promql_comparison.dataset import dataset

# The younger half of every so many-th series is written.
_SHARE: Final = 7
_SPREAD: Final = 0x9E3779B97F4A7C15
_ROW: Final = struct.Struct("<IQqd")


async def load(storage: Storage, anchor: int) -> None:
    """Write the part of the data that begins at `anchor`, Unix milliseconds; the last series first."""
    now = int(time.time())
    day = time.strftime("%Y-%m-%d", time.gmtime(now))
    halves = list(enumerate(_halves(dataset(anchor)), start=1))
    rows = b"\n".join(_series_row(_id(number), series, day) for number, series in halves)
    await storage.insert("series", rows, tenant=DEFAULT_TENANT, input_format="JSONEachRow")
    samples = b"".join(_sample_rows(_id(number), series, now) for number, series in reversed(halves))
    columns = ("received", "series_id", "time", "value")
    await storage.insert("samples", samples, tenant=DEFAULT_TENANT, input_format="RowBinary", columns=columns)


def _halves(data: Sequence[Series]) -> Iterator[Series]:
    for series in data[::_SHARE]:
        yield Series(series.labels, series.samples[len(series.samples) // 2 :])


def _id(number: int) -> int:
    return number * _SPREAD % 2**64


def _series_row(series_id: int, series: Series, day: str) -> bytes:
    labels = {name: value for name, value in sorted(series.labels.items()) if value and name != "__name__"}
    metric = {"metric_name": series.labels["__name__"], "labels": labels, "kind": "unknown"}
    return orjson.dumps({"day": day, "series_id": series_id, **metric})


def _sample_rows(series_id: int, series: Series, now: int) -> bytes:
    return b"".join(_ROW.pack(now, series_id, at * 1_000_000, value) for at, value in series.samples)
