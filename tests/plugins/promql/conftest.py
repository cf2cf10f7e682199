"""A store with a few series, and evaluators over it."""

import json
import math
import struct
from collections.abc import Iterator
from typing import Any

import pytest

from ophion_promql.compiling import Semantics
from ophion_promql.evaluating import Answer, Bounds, Evaluator
from ophion_promql.grid import Grid, single
from tests.plugins.promql.store import ChdbStore, Row

START = 1_700_000_000_000
(STALE,) = struct.unpack("<d", struct.pack("<Q", 0x7FF0000000000002))


def rows() -> Iterator[Row]:
    """Yield ten minutes of samples every 15 s, exactly on the quarter minute."""
    times = [START + at * 15_000 for at in range(41)]
    for number, instance in enumerate(("a", "b"), start=1):
        for code in ("200", "500"):
            labels = {"instance": instance, "code": code}
            factor = number * (10 if code == "200" else 1)
            yield (
                hash_of(f"requests{labels}"),
                "requests_total",
                labels,
                [(at, factor * i) for i, at in enumerate(times)],
            )
        yield hash_of(f"memory{instance}"), "memory", {"instance": instance}, [(at, 100.0 * number) for at in times]
        yield (
            hash_of(f"info{instance}"),
            "info",
            {"instance": instance, "version": f"v{number}"},
            [(at, 1.0) for at in times],
        )
    for bound, count in (("0.1", 10.0), ("0.5", 30.0), ("+Inf", 40.0)):
        yield hash_of(f"bucket{bound}"), "latency_bucket", {"le": bound}, [(at, count) for at in times]
    yield 901, "ending", {}, [*((at, 1.0) for at in times[:10]), (times[10], STALE)]
    yield 902, "odd", {"kind": "nan"}, [(at, math.nan) for at in times]
    yield 903, "odd", {"kind": "inf"}, [(at, math.inf) for at in times]
    # One series under two ids, with a sample under both.
    yield 904, "split", {"x": "y"}, [(at, 5.0) for at in times[:21]]
    yield 905, "split", {"x": "y"}, [(at, 7.0) for at in times[21:]] + [(times[20], 5.0)]
    yield 906, "labelled", {"text": 'quote " back \\ line \n é', "empty": ""}, [(at, 1.0) for at in times]


def hash_of(text: str) -> int:
    """Return an id that is the same in every run."""
    import zlib

    return zlib.crc32(text.encode()) + 1000


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ChdbStore]:
    pytest.importorskip("chdb")
    store = ChdbStore(tmp_path_factory.mktemp("promql"))
    store.load(rows())
    yield store
    store.close()


class Asked:
    """Asks an evaluator and reads its JSON."""

    def __init__(self, store: ChdbStore, **semantics: Any) -> None:
        self.evaluator = Evaluator(store, Semantics(**semantics), Bounds(series=100, points=1000, seconds=30))

    async def instant(self, expression: str, seconds: float = 600) -> Any:
        """Return the result at so many seconds after the start of the data: {labels: value} for a vector."""
        answer = await self.evaluator.instant_text(expression, single(START + round(seconds * 1000)), "default")
        return _read(answer)

    async def range(self, expression: str, start: float = 0, end: float = 600, step: float = 60) -> Any:
        """Return {labels: {seconds after the start: value}}."""
        grid = Grid(*(START + round(at * 1000) for at in (start, end)), round(step * 1000))
        return _read(await self.evaluator.range_text(expression, grid, "default"))


def _read(answer: Answer) -> Any:
    result = json.loads(answer.result)
    if answer.kind == "vector":
        return {_labels(each["metric"]): float(each["value"][1]) for each in result}
    if answer.kind == "matrix":
        return {
            _labels(each["metric"]): {at - START / 1000: float(value) for at, value in each["values"]}
            for each in result
        }
    return float(result[1]) if answer.kind == "scalar" else result[1]


def _labels(metric: dict[str, str]) -> str:
    return ",".join(f"{name}={value}" for name, value in metric.items())


@pytest.fixture
def asked(store: ChdbStore) -> Asked:
    return Asked(store)


@pytest.fixture
def asked_as_prometheus2(store: ChdbStore) -> Asked:
    return Asked(store, prometheus2=True)
