"""Prometheus remote write 1.0, the sending side: written out by hand, so that no client rounds a NaN.

https://prometheus.io/docs/specs/prw/remote_write_spec/
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Final

import aiohttp

from benchmarks.process import BenchmarkError

HEADERS: Final = {
    "Content-Type": "application/x-protobuf",
    "Content-Encoding": "snappy",
    "X-Prometheus-Remote-Write-Version": "0.1.0",
    "User-Agent": "comparison",
}
SLICE_MS: Final = 15 * 60_000
_LITERAL: Final = 60_000
_DOUBLE: Final = struct.Struct("<d")

Sample = tuple[int, float]


@dataclass(frozen=True)
class Series:
    """Labels, `__name__` among them, and samples in order of time: (Unix milliseconds, value)."""

    labels: Mapping[str, str]
    samples: Sequence[Sample]


def varint(value: int) -> bytes:
    """Return the base-128 form of a whole number of at least zero."""
    encoded = bytearray()
    while value > 0x7F:
        encoded.append(value & 0x7F | 0x80)
        value >>= 7
    encoded.append(value)
    return bytes(encoded)


def _field(number: int, payload: bytes) -> bytes:
    return varint(number << 3 | 2) + varint(len(payload)) + payload


def write_request(series: Iterable[Series]) -> bytes:
    """Return a prometheus.WriteRequest; labels are sorted by name, as the protocol demands."""
    return b"".join(_field(1, _time_series(each)) for each in series)


@lru_cache(maxsize=1 << 16)
def _time_field(milliseconds: int) -> bytes:
    return b"\x10" + varint(milliseconds)


def _time_series(series: Series) -> bytes:
    labels = (
        _field(1, _field(1, name.encode()) + _field(2, value.encode())) for name, value in sorted(series.labels.items())
    )
    samples = (
        _field(2, b"\x09" + _DOUBLE.pack(value) + _time_field(milliseconds)) for milliseconds, value in series.samples
    )
    return b"".join(labels) + b"".join(samples)


def snappy(data: bytes) -> bytes:
    """Return snappy's block format with literals only: valid, and no smaller than the data."""
    chunks = (data[start : start + _LITERAL] for start in range(0, len(data), _LITERAL))
    return varint(len(data)) + b"".join(b"\xf4" + struct.pack("<H", len(chunk) - 1) + chunk for chunk in chunks)


def slices(data: Sequence[Series]) -> Iterator[list[Series]]:
    """Yield the data in pieces of a quarter of an hour, oldest first: a Prometheus takes nothing older than an hour."""
    times = [series.samples[edge][0] for series in data for edge in (0, -1)]
    for start in range(min(times), max(times) + 1, SLICE_MS):
        piece = [
            Series(series.labels, samples)
            for series in data
            if (samples := tuple(sample for sample in series.samples if start <= sample[0] < start + SLICE_MS))
        ]
        if piece:
            yield piece


async def remote_write(url: str, pieces: Iterable[Iterable[Series]], headers: Mapping[str, str] | None = None) -> None:
    """Send each piece as one request to `url`; raises BenchmarkError with the answer when one is refused."""
    async with aiohttp.ClientSession() as session:
        for piece in pieces:
            body = snappy(write_request(piece))
            async with session.post(url, data=body, headers={**HEADERS, **(headers or {})}) as response:
                if response.status not in (200, 204):
                    raise BenchmarkError(f"{url}: HTTP {response.status}: {await response.text()}")
