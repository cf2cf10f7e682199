"""The samples that both sides of the comparison hold: some 240 series over two hours, the same in every run.

Times are milliseconds after an anchor that the caller chooses. Most series are scraped beside the grid of the queries,
as real targets are; those named `grid_*` are scraped exactly on it.
"""

import math
import struct
import time
from collections.abc import Callable, Iterable, Iterator
from random import Random
from typing import Final

from benchmarks.remote_write import Sample, Series

MINUTE: Final = 60_000
HOUR: Final = 60 * MINUTE
LENGTH: Final = 2 * HOUR
(STALE,) = struct.unpack("<d", struct.pack("<Q", 0x7FF0000000000002))
NAN: Final = math.nan
INF: Final = math.inf

Value = Callable[[float], float]


def latest_anchor(now_seconds: float | None = None) -> int:
    """Return the start of the data in Unix milliseconds: two whole hours, the last of which is over.

    A multiple of two hours, so that the grid of a sub-query, which is absolute, lies the same way in every run.
    """
    now = int((time.time() if now_seconds is None else now_seconds) * 1000)
    return now // LENGTH * LENGTH - LENGTH


def dataset(anchor: int) -> list[Series]:
    """Return every series with Unix times."""
    parts = (
        *(_requests, _processors, _memory, _builds, _temperatures, _special, _latencies, _odd_histograms, _grid),
        *(_gaps, _lives, _stale, _single, _constants, _texts, _slow, _queues, _steps, _fast, _up, _ranks, _rules),
        *(_counters, _calendar),
    )
    return [
        Series(series.labels, tuple((anchor + at, value) for at, value in series.samples))
        for part in parts
        for series in part(anchor)
    ]


def _series(metric: str, samples: Iterable[Sample], **labels: str) -> Series:
    return Series({"__name__": metric, **labels}, tuple(samples))


def _times(interval: int, offset: int = 0, start: int = 0, end: int = LENGTH) -> range:
    return range(start + offset, end + 1, interval)


def _sampled(value: Value, times: Iterable[int]) -> Iterator[Sample]:
    """Yield what `value` gives for the minutes since the anchor."""
    return ((at, value(at / MINUTE)) for at in times)


def _counter(seed: str, per_step: float, times: Iterable[int], resets: Iterable[int] = ()) -> Iterator[Sample]:
    """Yield a counter that grows by up to twice `per_step` and begins anew at the first sample after each reset."""
    random, total, pending = Random(seed), 0.0, sorted(resets)
    for at in times:
        if pending and at >= pending[0]:
            pending.pop(0)
            total = 0.0
        total += round(random.uniform(0, 2 * per_step), 3)
        yield at, total


def _walk(seed: str, start: float, step: float, times: Iterable[int]) -> Iterator[Sample]:
    random, value = Random(seed), start
    for at in times:
        value += random.uniform(-step, step)
        yield at, round(value, 6)


def _requests(_anchor: int) -> Iterator[Series]:
    targets = [("api", 1, "eu"), ("api", 2, "eu"), ("api", 3, "us"), ("web", 1, "eu"), ("web", 2, "us")]
    rates = {"200": 30.0, "404": 2.0, "500": 0.4}
    for position, (job, number, region) in enumerate(targets):
        instance = f"{job}-{number}:8080"
        times = _times(15_000, 1_217 + 2_903 * position)
        resets = [(31 + 17 * position) * MINUTE, 95 * MINUTE] if number != 3 else []
        for method in ("GET", "POST") if job == "api" else ("GET",):
            for code, rate in rates.items():
                samples = _counter(f"{instance}{method}{code}", rate, times, resets)
                labels = {"job": job, "instance": instance, "region": region, "method": method, "code": code}
                yield _series("http_requests_total", samples, **labels)


def _processors(_anchor: int) -> Iterator[Series]:
    for position, instance in enumerate(("node-a:9100", "node-b:9100")):
        times = _times(15_000, 3_331 + 5_000 * position)
        for cpu in ("0", "1"):
            for mode, rate in (("idle", 11.0), ("user", 3.0), ("system", 1.0)):
                samples = _counter(f"{instance}{cpu}{mode}", rate, times)
                yield _series("node_cpu_seconds_total", samples, instance=instance, cpu=cpu, mode=mode)


def _memory(_anchor: int) -> Iterator[Series]:
    instances = ("api-1:8080", "api-2:8080", "api-3:8080", "web-1:8080", "web-2:8080")
    for position, instance in enumerate(instances):
        labels = {"instance": instance, "job": instance.split("-", maxsplit=1)[0]}
        times = _times(30_000, 4_411 + 3_700 * position)
        yield _series("memory_bytes", _walk(instance, 5e8 + 1e8 * position, 4e6, times), **labels)
        if instance != "web-2:8080":
            yield _series("memory_limit_bytes", _sampled(lambda _: 2.0**30, times), **labels)
    yield _series("memory_limit_bytes", _sampled(lambda _: 2.0**31, _times(30_000, 900)), instance="old:1", job="old")


def _builds(_anchor: int) -> Iterator[Series]:
    versions = {"api-1:8080": "1.2.0", "api-2:8080": "1.2.0", "api-3:8080": "1.3.0-rc1", "web-1:8080": "2.0"}
    for instance, version in versions.items():
        labels = {"instance": instance, "job": instance.split("-", maxsplit=1)[0], "version": version}
        yield _series("build_info", _sampled(lambda _: 1.0, _times(60_000, 8_100)), **labels, revision="a1b2c3")


def _temperatures(_anchor: int) -> Iterator[Series]:
    for position, (room, sensor) in enumerate((r, s) for r in ("cellar", "attic", "roof") for s in ("n", "s")):
        shift, height = 7 * position, 10.0 + 3 * position

        def wave(minute: float, shift: int = shift, height: float = height) -> float:
            return round(height * math.sin((minute + shift) / 20) - 5, 3)

        yield _series("temperature_celsius", _sampled(wave, _times(60_000, 9_090 * position)), room=room, sensor=sensor)


def _special(_anchor: int) -> Iterator[Series]:
    kinds: dict[str, Value] = {
        "nan": lambda _: NAN,
        "inf": lambda _: INF,
        "neg_inf": lambda _: -INF,
        "tiny": lambda minute: 5e-324 * (1 + minute // 10),
        "small": lambda minute: 1e-300 * (1 + minute),
        "huge": lambda minute: 1.7e308 - 1e306 * minute / 2,
        "zero": lambda _: 0.0,
        "neg_zero": lambda _: -0.0,
        "some_nan": lambda minute: NAN if int(minute * 2) % 3 == 0 else minute,
        "flipping_inf": lambda minute: INF if int(minute * 2) % 2 else -INF,
        "late_inf": lambda minute: INF if minute > 60 else minute,
        "exact": lambda minute: 9007199254740993.0 + 2 * int(minute),
    }
    for kind, value in kinds.items():
        yield _series("special_value", _sampled(value, _times(30_000, 2_345)), kind=kind)


BOUNDS: Final = ("0.005", "0.01", "0.05", "0.1", "0.5", "1", "2.5", "+Inf")


def _histogram(
    name: str, seed: str, weights: Iterable[float], bounds: Iterable[str], **labels: str
) -> Iterator[Series]:
    times = _times(15_000, 6_789)
    random, weights = Random(seed), tuple(weights)
    totals = [0.0] * len(weights)
    rows: list[list[float]] = []
    for _ in times:
        totals = [total + int(random.uniform(0, 2 * weight)) for total, weight in zip(totals, weights, strict=True)]
        rows.append([sum(totals[: position + 1]) for position in range(len(totals))])
    for position, bound in enumerate(bounds):
        samples = zip(times, (row[position] for row in rows), strict=True)
        yield _series(f"{name}_bucket", samples, **labels, le=bound)
    yield _series(f"{name}_count", zip(times, (row[-1] for row in rows), strict=True), **labels)
    yield _series(f"{name}_sum", zip(times, (row[-1] * 0.25 for row in rows), strict=True), **labels)


def _latencies(_anchor: int) -> Iterator[Series]:
    for instance, weights in (("api-1:8080", (2, 5, 20, 30, 10, 4, 2, 1)), ("api-2:8080", (1, 2, 3, 9, 30, 30, 9, 4))):
        labels = {"job": "api", "instance": instance}
        yield from _histogram("http_request_duration_seconds", instance, weights, BOUNDS, **labels)


def _odd_histograms(_anchor: int) -> Iterator[Series]:
    times = _times(30_000, 7_000)
    shapes: dict[str, dict[str, float]] = {
        "non_monotonic": {"0.1": 10, "0.2": 8, "0.5": 30, "1": 29, "+Inf": 40},
        "no_inf": {"0.1": 10, "0.5": 20, "1": 30},
        "only_inf": {"+Inf": 30},
        "zero": {"0.1": 0, "1": 0, "+Inf": 0},
        "negative": {"-10": 5, "-1": 15, "0": 20, "10": 45, "+Inf": 50},
        "bad_bound": {"0.1": 10, "middle": 15, "1": 20, "+Inf": 30},
        "same_bound": {"1": 10, "1.0": 10, "2": 30, "+Inf": 40},
        "all_above": {"1": 0, "2": 0, "+Inf": 20},
        "all_below": {"1": 20, "2": 20, "+Inf": 20},
        "spelled": {"1e-3": 5, "5e-1": 10, "1e3": 15, "Inf": 20},
    }
    for shape, buckets in shapes.items():
        for bound, count in buckets.items():

            def grow(minute: float, count: float = count) -> float:
                return count * int(2 * minute)

            yield _series("odd_histogram_bucket", _sampled(grow, times), shape=shape, le=bound)
    nan = _sampled(lambda _: NAN, times)
    yield _series("odd_histogram_bucket", nan, shape="nan_bucket", le="1")
    yield _series("odd_histogram_bucket", _sampled(lambda _: 9.0, times), shape="nan_bucket", le="+Inf")


def _grid(_anchor: int) -> Iterator[Series]:
    for seconds in (15, 30, 60, 300):
        times = _times(seconds * 1000)
        labels = {"interval": str(seconds)}
        yield _series("grid_counter", _counter(f"grid{seconds}", seconds / 3, times, [50 * MINUTE]), **labels)
        yield _series("grid_gauge", _walk(f"gauge{seconds}", 10, 3, times), **labels)


def _gaps(_anchor: int) -> Iterator[Series]:
    for minutes in (3, 5, 7, 20):
        times = [at for at in _times(15_000, 5_005) if not 60 <= at / MINUTE < 60 + minutes]
        yield _series("gap_counter", _counter(f"gap{minutes}", 4, times), minutes=str(minutes))
        yield _series("gap_gauge", _walk(f"gap{minutes}", 0, 1, times), minutes=str(minutes))


def _lives(_anchor: int) -> Iterator[Series]:
    spans = {"late": (80, 120), "early": (0, 40), "short": (61, 62), "middle": (45, 90)}
    for life, (first, last) in spans.items():
        times = _times(15_000, 3_003, first * MINUTE, last * MINUTE)
        yield _series("lived_counter", _counter(life, 7, times), life=life)
        yield _series("lived_gauge", _walk(life, 50, 2, times), life=life)


def _stale(_anchor: int) -> Iterator[Series]:
    cases: dict[str, Callable[[int], bool]] = {
        "ends": lambda minute: minute >= 60,
        "returns": lambda minute: 58 <= minute < 63,
        "flaps": lambda minute: minute % 2 == 0,
        "begins": lambda minute: minute < 1,
    }
    for case, is_stale in cases.items():
        times = _times(30_000, 2_020)
        for name, samples in (
            ("stale_counter", _counter(case, 5, times)),
            ("stale_gauge", _walk(case, 20, 1, times)),
        ):
            marked = [(at, STALE if is_stale(at // MINUTE) else value) for at, value in samples]
            yield _series(name, marked, case=case)
    on_grid = [(at, STALE if at % (4 * MINUTE) == 0 else 1.0) for at in _times(30_000)]
    yield _series("stale_gauge", on_grid, case="on_grid")


def _single(_anchor: int) -> Iterator[Series]:
    for at in (0, 30 * MINUTE, 90 * MINUTE - 1, 90 * MINUTE, 90 * MINUTE + 1, LENGTH):
        yield _series("single_sample", [(at, at / 1000)], at=str(at))
    yield _series("two_samples", [(88 * MINUTE + 500, 3.0), (89 * MINUTE + 250, 8.0)], case="up")
    yield _series("two_samples", [(88 * MINUTE + 500, 8.0), (89 * MINUTE + 250, 3.0)], case="down")
    yield _series("two_samples", [(89 * MINUTE, 8.0), (89 * MINUTE + 1, 9.0)], case="near")


def _constants(_anchor: int) -> Iterator[Series]:
    for value in (0.0, 1.0, 42.0, -3.0, 0.1):
        yield _series("constant", _sampled(lambda _, value=value: value, _times(60_000, 10_010)), value=str(value))


def _texts(_anchor: int) -> Iterator[Series]:
    texts = {
        "unicode": "naïve ☃ 日本 🦉",
        "quote": 'say "hello"',
        "single": "it's",
        "backslash": "C:\\temp\\new",
        "newline": "two\nlines",
        "tab": "a\tb",
        "empty": "",
        "long": "x" * 300,
        "regex": "a.b*c[d](e)|f$^",
        "spaces": "  padded  ",
        "braces": "{a=1, b=2}",
        "percent": "100% {x:String} %s",
        "upper": "UPPER",
        "number": "007",
        "dollar": "$1 ${2}",
    }
    for position, (case, text) in enumerate(texts.items()):
        samples = _sampled(lambda minute, shift=position: shift + minute / 10, _times(60_000, 11_011))
        yield _series("labelled", samples, case=case, text=text)
    yield _series("labelled", _sampled(lambda _: 99.0, _times(60_000, 11_011)), case="missing")
    yield _series(
        "labelled", _sampled(lambda _: 98.0, _times(60_000, 11_011)), case="many", a="1", b="2", c="3", _d="4"
    )


def _slow(_anchor: int) -> Iterator[Series]:
    for seconds in (290, 300, 310, 900):
        times = _times(seconds * 1000, 12_012)
        yield _series("slow_gauge", _walk(f"slow{seconds}", 5, 1, times), interval=str(seconds))
        yield _series("slow_counter", _counter(f"slow{seconds}", 5, times), interval=str(seconds))


def _queues(_anchor: int) -> Iterator[Series]:
    owners = {"mail": "post", "images": "media", "orders": "shop"}
    times = _times(30_000, 13_013)
    for position, (queue, team) in enumerate(owners.items()):
        for shard in ("0", "1", "2")[: position + 1]:
            depth = _walk(f"{queue}{shard}", 100 * (position + 1), 9, times)
            yield _series("queue_depth", depth, queue=queue, shard=shard)
        yield _series("queue_capacity", _sampled(lambda _, n=position: 500.0 * (n + 1), times), queue=queue)
        yield _series("queue_owner", _sampled(lambda _: 1.0, times), queue=queue, team=team, pager=f"{team}-night")
    yield _series("queue_depth", _walk("lost", 7, 1, times), queue="lost", shard="0")
    yield _series("queue_capacity", _sampled(lambda _: 9.0, times), queue="spare")


def _steps(_anchor: int) -> Iterator[Series]:
    times = _times(15_000, 14_014)
    for name, minutes in (("a", 5), ("b", 5), ("c", 11), ("d", 13)):
        yield _series("level", _sampled(lambda minute, every=minutes: float(minute // every % 4), times), name=name)
    yield _series("level", _sampled(lambda minute: 0.5 + minute // 30, times), name="half")
    yield _series("level", _sampled(lambda minute: 1e9 * (minute // 30), times), name="large")
    yield _series("rare_events_total", _sampled(lambda minute: float(minute // 37), times), kind="rare")
    yield _series("rare_events_total", _sampled(lambda _: 0.0, times), kind="never")
    random = Random("irregular")
    for number in ("1", "2"):
        irregular = sorted({random.randrange(LENGTH) for _ in range(400)})
        yield _series("irregular_gauge", _walk(f"irregular{number}", 0, 2, irregular), number=number)
        yield _series("irregular_counter", _counter(f"irregular{number}", 3, irregular), number=number)


def _fast(_anchor: int) -> Iterator[Series]:
    yield _series("fast_counter", _counter("fast1", 1, _times(1_000, 111, 85 * MINUTE, 95 * MINUTE)), interval="1")
    yield _series("fast_counter", _counter("fast5", 1, _times(5_000, 2_222)), interval="5")


def _up(_anchor: int) -> Iterator[Series]:
    down = {"api-2:8080": (31, 34), "web-1:8080": (88, 121), "node-b:9100": (10, 11)}
    for instance in (
        "api-1:8080",
        "api-2:8080",
        "api-3:8080",
        "web-1:8080",
        "web-2:8080",
        "node-a:9100",
        "node-b:9100",
    ):
        first, last = down.get(instance, (0, 0))
        times = _times(15_000, 1_515)

        def state(minute: float, first: int = first, last: int = last) -> float:
            return 0.0 if first <= minute < last else 1.0

        yield _series("up", _sampled(state, times), instance=instance, job=instance.split("-", maxsplit=1)[0])


def _ranks(_anchor: int) -> Iterator[Series]:
    for rank in range(10):
        group, parity = "low" if rank < 4 else "high", "even" if rank % 2 == 0 else "odd"
        samples = _sampled(lambda minute, rank=rank: (rank * 7) % 10 + minute / 1000, _times(30_000, 15_015))
        yield _series("ranked", samples, rank=str(rank), group=group, parity=parity)


def _rules(_anchor: int) -> Iterator[Series]:
    for job in ("api", "web"):
        yield _series("job:http_requests:rate5m", _walk(job, 10, 1, _times(60_000, 16_016)), job=job)


def _counters(_anchor: int) -> Iterator[Series]:
    times = _times(30_000, 17_017)
    yield _series("edge_counter", _sampled(lambda minute: 1e15 + minute, times), case="huge")
    yield _series("edge_counter", _sampled(lambda minute: -100.0 + minute, times), case="negative")
    yield _series("edge_counter", _sampled(lambda minute: 100.0 - minute, times), case="falling")
    yield _series("edge_counter", _sampled(lambda minute: NAN if minute % 10 < 1 else minute, times), case="nan")
    yield _series("edge_counter", _sampled(lambda _: 7.0, times), case="flat")
    zeros = _times(30_000, 17_017, 70 * MINUTE)
    yield _series("edge_counter", _sampled(lambda minute: 3 * (minute // 1 - 70), zeros), case="from_zero")


def _calendar(anchor: int) -> Iterator[Series]:
    moments = {
        "epoch": 0.0,
        "before_epoch": -86400.0 * 400 - 0.5,
        "leap_day": 1709209845.0,
        "year_end": 1735689599.0,
        "year_start": 1735689600.0,
        "century": 4107542400.0,
        "february": 1675209600.5,
        "now": anchor / 1000 + 3600,
    }
    for case, moment in moments.items():
        yield _series("moment_seconds", _sampled(lambda _, m=moment: m, _times(60_000, 18_018)), case=case)
