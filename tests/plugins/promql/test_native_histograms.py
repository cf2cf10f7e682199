"""Exponential histograms in PromQL, beside a reference in plain Python and beside a real Prometheus."""

import math
import random
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest
import pytest_asyncio
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest

from benchmarks.remote_write import HEADERS, snappy
from ophion_promql.compiling import Semantics
from ophion_promql.evaluating import Answer, Bounds, Evaluator
from ophion_promql.grid import Grid, single
from ophion_storage.store import TelemetryStore
from prometheus_server import running_prometheus
from telemetry_store import ingest, running_store
from tests.plugins.promql.conftest import START, Asked
from tests.plugins.promql.native_reference import (
    Histogram,
    combined,
    fraction,
    grown,
    quantile,
    remote_written,
    request,
)

pytestmark = pytest.mark.asyncio(loop_scope="module")
SERVICES = ("cart", "pay", "shop", "users")
STEP = 15_000


def history(service: str) -> list[Histogram]:
    """Return ten minutes of points that grow, and start anew now and then, at scales from -1 to 10."""
    draw = random.Random(service)
    points: list[Histogram] = []
    positive, negative, zero, total, began = dict[int, float](), dict[int, float](), 0, 0.0, START
    scale = draw.choice([3, 5, 10])
    for number in range(41):
        at = START + number * STEP + draw.randrange(3000)
        if number and draw.random() < 0.08:
            positive, negative, zero, total, began = {}, {}, 0, 0.0, at
            scale = draw.choice([-1, 0, 2, 3, 10])
        for _ in range(draw.randrange(2, 9)):
            value = math.exp(draw.gauss(0, 1.5))
            index = math.ceil(math.log2(value) * 2**scale) - 1
            side, sign = (negative, -1) if draw.random() < 0.2 else (positive, 1)
            side[index] = side.get(index, 0) + 1
            total += sign * value
        zero += draw.randrange(2)
        points.append(Histogram(at, scale, dict(positive), dict(negative), zero, total, began=began))
    return points


HISTORIES = {service: history(service) for service in SERVICES}
PLAIN = Histogram(START, 1, {-1: 4, 0: 4, 1: 8}, zero=4, total=30.0, threshold=0.25)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def loaded(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[TelemetryStore]:
    pytest.importorskip("chdb")
    async with running_store(tmp_path_factory.mktemp("native")) as store:
        for service, points in HISTORIES.items():
            await ingest(store, "metrics", request("http.duration", service, points).SerializeToString())
        await ingest(store, "metrics", request("plain", "one", [PLAIN], unit="").SerializeToString())
        await ingest(store, "metrics", _classic().SerializeToString())
        yield store


@pytest.fixture
def native(loaded: TelemetryStore) -> Asked:
    return Asked(loaded)  # type: ignore[arg-type]


def _classic() -> ExportMetricsServiceRequest:
    made = ExportMetricsServiceRequest()
    group = made.resource_metrics.add()
    group.resource.attributes.add(key="service.name").value.string_value = "old"
    metric = group.scope_metrics.add().metrics.add(name="http.duration", unit="s")
    metric.histogram.aggregation_temporality = 2
    for number in range(41):
        metric.histogram.data_points.add(
            time_unix_nano=(START + number * STEP) * 1_000_000,
            count=4 * number,
            sum=number,
            bucket_counts=[2 * number, number, number, 0],
            explicit_bounds=[0.1, 0.5, 1],
        )
    return made


def newest(service: str, at: float) -> Histogram:
    return combined([([p for p in HISTORIES[service] if p.at <= START + at * 1000][-1], 1.0)])


def close(expected: dict[str, float]) -> Any:
    return pytest.approx(expected, rel=1e-9, nan_ok=True)


def by_job(values: dict[str, float]) -> dict[str, float]:
    return {f"job={service},service_name={service}": value for service, value in values.items()}


@pytest.mark.parametrize("at", [100, 333, 600])
async def test_reads_counts_sums_and_averages(native: Asked, at: int) -> None:
    found = {service: newest(service, at) for service in SERVICES}
    counts = {service: each.count for service, each in found.items()}
    totals = {service: each.total or 0.0 for service, each in found.items()}

    assert await native.instant("histogram_count(http_duration_seconds)", at) == close(by_job(counts))
    assert await native.instant("histogram_sum(http_duration_seconds)", at) == close(by_job(totals))
    assert await native.instant("histogram_avg(http_duration_seconds)", at) == close(
        by_job({service: totals[service] / counts[service] for service in SERVICES})
    )


@pytest.mark.parametrize("share", [-0.1, 0, 0.1, 0.49, 0.5, 0.9, 0.999, 1, 1.1])
async def test_interpolates_exponentially_within_buckets(native: Asked, share: float) -> None:
    found = await native.instant(f'histogram_quantile({share}, http_duration_seconds{{job!="old"}})', 500)

    assert found == close(by_job({service: quantile(share, newest(service, 500)) for service in SERVICES}))


@pytest.mark.parametrize(("lower", "upper"), [(-1, 1), (0.5, 2), (-3, -0.2), (0, 0.7), (2, 1)])
async def test_measures_fractions(native: Asked, lower: float, upper: float) -> None:
    found = await native.instant(f"histogram_fraction({lower}, {upper}, http_duration_seconds)", 500)
    expected = {service: fraction(lower, upper, newest(service, 500)) if lower < upper else 0.0 for service in SERVICES}

    assert found == close(by_job(expected))


@pytest.mark.parametrize("function", ["rate", "increase"])
async def test_grows_over_resets(native: Asked, function: str) -> None:
    query = f"histogram_{{}}({function}(http_duration_seconds[3m]))"
    expected: dict[str, Histogram] = {}
    for at in (130, 290, 450, 600):
        for service, points in HISTORIES.items():
            histogram = grown(points, START + at * 1000, 180_000, per_second=function == "rate")
            assert histogram is not None
            expected[service] = histogram
        counts = {service: each.count for service, each in expected.items()}
        totals = {service: each.total or 0.0 for service, each in expected.items()}

        assert await native.instant(query.format("count"), at) == close(by_job(counts))
        assert await native.instant(query.format("sum"), at) == close(by_job(totals))


@pytest.mark.parametrize(
    ("group", "services"), [("()", {"": SERVICES}), ("(job)", {f"job={service}": (service,) for service in SERVICES})]
)
async def test_adds_up_histograms_of_different_scales(
    native: Asked, group: str, services: dict[str, tuple[str, ...]]
) -> None:
    query = f'histogram_quantile(0.95, sum by {group} (rate(http_duration_seconds{{job!="old"}}[4m])))'
    found = await native.range(query, 300, 600, 150)

    for labels, members in services.items():
        for at in (300, 450, 600):
            rates = [grown(HISTORIES[service], START + at * 1000, 240_000, per_second=True) for service in members]
            expected = quantile(0.95, combined([(rate, 1.0) for rate in rates if rate]))
            assert found[labels][at] == pytest.approx(expected, rel=1e-9), (labels, at)


async def test_averages_histograms_and_groups_without_labels(native: Asked) -> None:
    total = sum(newest(service, 600).count for service in SERVICES)

    assert await native.instant("histogram_count(avg(http_duration_seconds))") == close({"": total / 4})
    assert await native.instant(
        "histogram_count(sum without (job, service_name) (http_duration_seconds) / 2)"
    ) == close({"": total / 2})


async def test_one_query_serves_classic_and_native_histograms(native: Asked) -> None:
    found = await native.instant("histogram_quantile(0.75, sum by (service_name) (rate(http_duration_seconds[5m])))")
    mixed = await native.instant("histogram_quantile(0.75, sum(rate(http_duration_seconds[5m])))")
    as_classic = await native.instant(
        "histogram_quantile(0.75, sum by (le, service_name) (rate(http_duration_seconds_bucket[5m])))"
    )

    assert sorted(found) == [
        "service_name=cart",
        "service_name=old",
        *sorted(f"service_name={s}" for s in SERVICES[1:]),
    ]
    assert {"service_name=old": found["service_name=old"]} == as_classic == close({"service_name=old": 0.5})
    assert mixed == {}


async def test_warns_where_a_result_would_mix_classic_and_native(loaded: TelemetryStore) -> None:
    answer = await _answer(loaded, "histogram_quantile(0.5, http_duration_seconds)")

    assert answer.warnings == (
        "the selectors have classic and native histograms; where a result would mix them, it is left out",
    )


@pytest.mark.parametrize(
    "query",
    [
        "max(http_duration_seconds)",
        "http_duration_seconds",
        "http_duration_seconds[5m]",
        "histogram_count(max_over_time(http_duration_seconds[5m]))",
        "histogram_quantile(0.5, irate(http_duration_seconds[5m]))",
    ],
)
async def test_says_where_native_histograms_are_left_out(loaded: TelemetryStore, query: str) -> None:
    answer = await _answer(loaded, query)

    assert answer.result == b"[]"
    assert answer.warnings == (
        "native histograms of http_duration_seconds are left out: only rate, increase, delta, sum, avg, * and / in "
        "histogram functions take them",
    )


async def _answer(store: TelemetryStore, query: str) -> Answer:
    return await Evaluator(store, Semantics(), Bounds()).instant_text(query, single(START + 600_000), "default")


async def test_the_zero_bucket_of_positive_values_begins_at_zero(native: Asked) -> None:
    for share in (0.1, 0.2, 0.3, 0.6, 0.7):
        found = await native.instant(f"histogram_quantile({share}, plain)", 1)
        assert found == close({"job=one,service_name=one": quantile(share, PLAIN)}), share
    assert await native.instant("histogram_quantile(0.1, plain)", 1) == close({"job=one,service_name=one": 0.125})


async def test_deviates_by_the_middles_of_buckets(native: Asked) -> None:
    mean = PLAIN.total / 20 if PLAIN.total else 0.0
    middles = ((4, 0.0), (4, 2**-0.25), (4, 2**0.25), (8, 2**0.75))
    variance = sum(count * (middle - mean) ** 2 for count, middle in middles) / 20

    assert await native.instant("histogram_stdvar(plain)", 1) == close({"job=one,service_name=one": variance})
    assert await native.instant("histogram_stddev(plain)", 1) == close({"job=one,service_name=one": variance**0.5})


async def test_scalars_may_change_with_time_and_at_may_fix_it(native: Asked) -> None:
    query = (
        f"histogram_count(plain * scalar(vector(time() - {START // 1000}))) + histogram_count(plain @ {START // 1000})"
    )
    shares = await native.range(f"histogram_quantile((time() - {START // 1000}) / 100, plain)", 10, 30, 10)

    assert await native.range(query, 10, 30, 10) == {"job=one,service_name=one": {10: 220, 20: 420, 30: 620}}
    assert shares["job=one,service_name=one"] == close({at: quantile(at / 100, PLAIN) for at in (10, 20, 30)})  # type: ignore[arg-type]


async def ingested(store: TelemetryStore, name: str, points: list[Histogram], *, delta: bool = False) -> Asked:
    await ingest(store, "metrics", request(name, "s", points, unit="", delta=delta).SerializeToString())
    return Asked(store)  # type: ignore[arg-type]


def growing(**changes: Any) -> list[Histogram]:
    return [
        Histogram(START + number * STEP, 2, {0: 4.0 * number}, total=5.0 * number, **changes) for number in range(21)
    ]


async def test_sums_the_points_of_delta_streams(loaded: TelemetryStore) -> None:
    points = [Histogram(START + number * STEP, 2 + number % 2, {number % 3: 3}, total=2.0) for number in range(21)]
    asked = await ingested(loaded, "deltas", points, delta=True)

    for function, expected in (("increase", 60), ("delta", 60), ("rate", 0.2)):
        found = await asked.instant(f"histogram_count({function}(deltas[5m]))", 300)
        assert found == close({"job=s,service_name=s": expected}), function
    assert await asked.instant("histogram_count(increase(deltas[15s]))", 300) == {"job=s,service_name=s": 3}


async def test_a_new_start_is_a_reset_though_the_count_has_grown(loaded: TelemetryStore) -> None:
    points = growing()
    later = [
        Histogram(point.at, 2, {1: 100.0 + number}, total=1.0, began=START + 1)
        for number, point in enumerate(points[11:])
    ]
    asked = await ingested(loaded, "restarted", [*points[:11], *later])
    expected = grown([*points[:11], *later], START + 300_000, 300_000, per_second=False)

    assert expected is not None
    found = await asked.instant("histogram_count(increase(restarted[5m]))", 300)
    assert found == close({"job=s,service_name=s": expected.count})
    assert expected.count > 140


async def test_delta_of_a_gauge_goes_down(loaded: TelemetryStore) -> None:
    asked = await ingested(loaded, "shrinking", [Histogram(p.at, 2, {0: 100 - p.positive[0]}) for p in growing()])

    found = await asked.instant("histogram_count(delta(shrinking[150s]))", 300)

    assert found == close({"job=s,service_name=s": -40})


async def test_a_point_without_a_value_ends_a_series(loaded: TelemetryStore) -> None:
    points = growing()
    asked = await ingested(loaded, "ended", [*points, Histogram(points[-1].at + 1000, 2, {}, total=None, stale=True)])

    assert await asked.instant("histogram_count(ended)", 300.5) == {"job=s,service_name=s": 80}
    assert await asked.instant("histogram_count(ended)", 302) == {}
    assert await asked.instant("histogram_count(increase(ended[60s]))", 302) != {}


async def test_points_that_came_twice_count_once(loaded: TelemetryStore) -> None:
    await ingested(loaded, "twice", growing())
    asked = await ingested(loaded, "twice", growing())

    assert await asked.instant("histogram_count(twice)", 300) == {"job=s,service_name=s": 80}
    assert await asked.instant("histogram_count(increase(twice[150s]))", 300) == close({"job=s,service_name=s": 40})


async def test_a_wider_zero_bucket_takes_in_the_buckets_below_it(loaded: TelemetryStore) -> None:
    await ingested(loaded, "narrow", [Histogram(START, 0, {-3: 1, -2: 2, 0: 4}, {-3: 1}, total=None)])
    asked = await ingested(loaded, "wide", [Histogram(START, 0, {0: 4}, zero=2, threshold=0.2)])
    query = 'histogram_fraction({}, {}, sum({{__name__=~"narrow|wide"}}))'

    # (0.125, 0.25] begins below 0.2, and widens the zero bucket to its end.
    assert await asked.instant(query.format(-0.25, 0.25), 1) == close({"": 4 / 14})
    assert await asked.instant(query.format(0.25, 0.5), 1) == close({"": 2 / 14})
    [total] = (await asked.instant("histogram_sum(narrow)", 1)).values()
    assert math.isnan(total)


async def test_histograms_of_one_name_only_may_lose_it(loaded: TelemetryStore) -> None:
    from ophion_promql.errors import FailedQuery

    await ingested(loaded, "first", growing())
    asked = await ingested(loaded, "second", growing())

    with pytest.raises(FailedQuery, match="vector cannot contain metrics with the same labelset"):
        await asked.instant('histogram_count({__name__=~"first|second"})', 300)


async def test_a_histogram_without_observations_has_no_quantile(loaded: TelemetryStore) -> None:
    asked = await ingested(loaded, "empty", [Histogram(START, 2, {})])

    [share] = (await asked.instant("histogram_quantile(0.5, empty)", 1)).values()
    [part] = (await asked.instant("histogram_fraction(0, 1, empty)", 1)).values()
    assert math.isnan(share)
    assert math.isnan(part)


async def test_a_sender_may_change_to_delta_points(loaded: TelemetryStore) -> None:
    await ingested(loaded, "changed", growing()[:11])
    later = [Histogram(START + number * STEP, 2, {0: 3}, began=START + number) for number in range(11, 21)]
    asked = await ingested(loaded, "changed", later, delta=True)

    assert await asked.instant("histogram_count(increase(changed[2m]))", 150) == close({"job=s,service_name=s": 32})
    assert await asked.instant("histogram_count(increase(changed[5m]))", 300) == close({"job=s,service_name=s": 30})
    assert await asked.instant("histogram_count(changed)", 300) == {"job=s,service_name=s": 3}


@pytest.mark.parametrize("scale", [-(2**31), -40, 40, 2**31 - 1])
async def test_absurd_scales_and_indexes_are_no_fault(loaded: TelemetryStore, scale: int) -> None:
    points = [
        Histogram(START + number * STEP, scale, {2**31 - 1: 4 + number}, {-(2**31): 2}, zero=1, threshold=1e300)
        for number in range(3)
    ]
    await ingest(loaded, "metrics", request(f"absurd{abs(scale)}", "s", points, unit="").SerializeToString())
    asked = await ingested(loaded, f"absurd{abs(scale)}", growing())

    found = await asked.instant(f"histogram_count(sum(rate(absurd{abs(scale)}[5m])))", 30)
    assert list(found) == [""]
    for function in ("histogram_quantile(0.9, {})", "histogram_fraction(-1, 1, {})", "histogram_stddev({})"):
        assert len(await asked.instant(function.format(f"sum(absurd{abs(scale)})"), 30)) == 1


QUERIES = (
    "histogram_count(h)",
    "histogram_sum(h)",
    "histogram_quantile(0.5, h)",
    "histogram_quantile(1, h)",
    "histogram_fraction(0, 1, h)",
    "histogram_fraction(1, 2, h)",
    "histogram_fraction(-Inf, 2, h)",
    "histogram_count(rate(h[5m]))",
    "histogram_sum(rate(h[4m]))",
    "histogram_count(increase(h[100s]))",
    "histogram_sum(delta(h[3m]))",
    "histogram_count(sum(rate(h[5m])))",
    "histogram_quantile(0.5, sum by (job) (rate(h[5m])))",
    "histogram_fraction(0, 1, increase(h[2m]))",
)


async def test_answers_as_a_real_prometheus_does(loaded: TelemetryStore, tmp_path: Path) -> None:
    # Of 2.42, which interpolates within buckets otherwise: quantiles are asked where buckets meet.
    start = (int(time.time()) - 900) * 1000
    points: list[Histogram] = []
    for number in range(41):
        m = 25 + number - (40 if number > 30 else 0)
        fine = number < 20
        buckets = {-2: m, -1: m, 0: m, 1: m} if fine else {-1: 2 * m, 0: 2 * m}
        began = start if number > 30 else 0
        points.append(Histogram(start + number * STEP, int(fine), buckets, total=3.5 * m, began=began))
    await ingest(loaded, "metrics", request("h", "s", points, unit="").SerializeToString())
    asked = Evaluator(loaded, Semantics(prometheus2=True), Bounds())
    features = ["remote-write-receiver", "native-histograms"]
    async with running_prometheus(tmp_path, [], features=features) as server, aiohttp.ClientSession() as session:
        labels = {"__name__": "h", "job": "s", "service_name": "s"}
        body = snappy(remote_written(labels, points))
        async with session.post(f"{server.url}/api/v1/write", data=body, headers=HEADERS) as response:
            assert response.status in (200, 204), await response.text()
        grid = Grid(start + 60_000, start + 600_000, 30_000)
        span = {"start": str(grid.start / 1000), "end": str(grid.end / 1000), "step": "30"}
        for query in QUERIES:
            theirs = (await server.get("query_range", query=query, **span))["result"]
            ours = await asked.series(query, grid, "default")
            assert len(theirs) == len(ours) == 1, query
            assert dict(ours[0].points) == close({at: float(value) for at, value in theirs[0]["values"]}), query  # type: ignore[arg-type]
            assert ours[0].labels == theirs[0]["metric"], query
