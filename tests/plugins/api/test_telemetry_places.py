"""The course of services, what they call, and the containers they run in, over HTTP on a real store."""

from collections.abc import AsyncIterator
from typing import Any

import pytest
import pytest_asyncio

from ophion_api.container_figures import figures_of
from ophion_api.containers import joined
from ophion_api.service_history import grid
from ophion_api.time_ranges import MINUTE, TimeRange
from telemetry_sample import (
    NOW,
    SECOND,
    TRACES,
    ExportMetricsServiceRequest,
    ExportTraceServiceRequest,
    Shop,
    add_span,
    pairs,
    running_shop,
    trace_id,
)
from telemetry_store import ingest

pytestmark = pytest.mark.asyncio(loop_scope="module")
CONTAINER_ID = "c0ffee" * 10 + "abcd"


def calls_request() -> ExportTraceServiceRequest:
    """Return calls of a database, a queue and addresses by a service in a container."""
    request = ExportTraceServiceRequest()
    scopes = {}
    for service, attributes in (("orders", {"container.id": CONTAINER_ID, "service.version": "7"}), ("mail", {})):
        group = request.resource_spans.add()
        group.resource.attributes.extend(pairs({"service.name": service, "host.name": "c0ffee", **attributes}))
        scopes[service] = group.scope_spans.add()
    for n in range(100, 104):
        start = NOW - (n - 100) * 60 * SECOND
        add_span(scopes["orders"], n, 1, 0, "POST /orders", start, 50)
        for span, name, attributes in (
            (2, "INSERT orders", {"db.system.name": "postgresql", "server.address": "db-1"}),
            (3, "GET", {"server.address": "api.example.com"}),
            (4, "GET", {"server.address": "checkout", "retries": 1}),
            (5, "GET", {"server.address": "mail-address"}),
        ):
            failed = span == 2 and n == 100
            add_span(
                scopes["orders"], n, span, 1, name, start, 10, kind=3, status=2 if failed else 0, attributes=attributes,
                message="deadlock" if failed else "",
            )  # fmt: skip
        queue = {"messaging.system": "kafka", "messaging.destination.name": "sent"}
        add_span(scopes["orders"], n, 6, 1, "sent publish", start, 1, kind=4, attributes=queue)
        add_span(scopes["mail"], n, 7, 5, "POST /mail", start, 5)
        add_span(scopes["mail"], n, 8, 0, "sent process", start, 5, kind=5, attributes=queue)
    return request


def container_request() -> ExportMetricsServiceRequest:
    """Return five minutes of a container as the agent reports it, and of one that nobody traces."""
    request = ExportMetricsServiceRequest()
    for name, identifier in (("shop-orders-1", CONTAINER_ID), ("redis", "beef" * 16)):
        group = request.resource_metrics.add()
        group.resource.attributes.extend(
            pairs({"container.id": identifier, "container.name": name, "container.image.name": f"image/{name}",
                   "container.runtime": "docker", "host.name": "host-a"})
        )  # fmt: skip
        scope = group.scope_metrics.add()
        for n in range(20):
            at = NOW - n * 15 * SECOND
            for metric, unit, value in (("cpu.utilization", "1", 150.0), ("uptime", "s", 3600.0 - n * 15)):
                gauge = scope.metrics.add(name=f"container.{metric}", unit=unit).gauge
                gauge.data_points.add(time_unix_nano=at, as_double=value)
            for metric, unit, value, monotonic in (
                ("memory.usage.total", "By", 256, False), ("memory.usage.limit", "By", 1024, False),
                ("network.io.usage.rx_bytes", "By", 10_000 - n * 15 * 20, True),
                ("blockio.io_service_bytes_recursive", "By", 9_000 - n * 15 * 3, True),
                ("restarts", "{restarts}", 2, True),
            ):  # fmt: skip
                total = scope.metrics.add(name=f"container.{metric}", unit=unit).sum
                total.aggregation_temporality, total.is_monotonic = 2, monotonic
                point = total.data_points.add(time_unix_nano=at, as_int=value)
                if "blockio" in metric:
                    point.attributes.extend(pairs({"operation": "write"}))
    return request


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def shop(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Shop]:
    async with running_shop(tmp_path_factory.mktemp("places")) as running:
        await ingest(running.store, "traces", calls_request().SerializeToString())
        await ingest(running.store, "metrics", container_request().SerializeToString())
        yield running


async def test_lists_services_with_their_trends(shop: Shop) -> None:
    answer = await shop.get("/api/services", points=60, search="checkout")
    (checkout,) = answer["services"]
    trend = checkout["trend"]
    # A range that begins within a step touches one more.
    assert (trend["step_seconds"], len(trend["rate"]) in (30, 31)) == (120, True)
    assert sum(trend["rate"]) * 120 == pytest.approx(TRACES, rel=0.1)
    assert max(rate for rate in trend["error_rate"] if rate is not None) == pytest.approx(0.25, abs=0.26)
    assert {round(value) for value in trend["p95_ms"] if value is not None} <= set(range(57, 64))
    assert trend["p95_ms"][0] is None
    assert (await shop.get("/api/services"))["services"][0]["trend"] is None
    overview = await shop.get("/api/dashboard/overview", points=12)
    assert all(len(one["trend"]["rate"]) in (6, 7) for one in overview["services"])


@pytest.mark.parametrize("minutes", [60, 20])
async def test_shows_a_service_with_its_course(shop: Shop, minutes: int) -> None:
    """An hour comes from the figures per minute, 20 minutes from the spans."""
    begin = {"from": str(NOW - minutes * MINUTE)}
    view = await shop.get("/api/services/checkout/view", points=61, **begin)
    course = view["history"]
    assert course["step_seconds"] == (60 if minutes == 60 else 30)
    assert sum(course["rate"]) * course["step_seconds"] == pytest.approx(TRACES, abs=2)
    assert sum(course["errors"]) * course["step_seconds"] == pytest.approx(10, abs=1.1)
    assert [value for value in course["p99_ms"] if value is not None] == pytest.approx(
        [60.0] * sum(value is not None for value in course["p50_ms"]), rel=0.05
    )
    assert view["spans"] == TRACES
    (error,) = view["top_errors"]
    assert (error["message"], error["count"], error["trace_id"]) == ("card refused", 10, trace_id(0))
    (instance,) = view["instances"]
    assert (instance["host"], instance["container"], instance["processes"]) == ("host-a", "", 2)


async def test_names_traces_of_long_and_of_failed_requests(shop: Shop) -> None:
    view = await shop.get("/api/services/web/view", **{"from": str(NOW - 4 * MINUTE)})
    assert [(one["trace_id"], one["duration_ms"]) for one in view["longest"]] == [
        (trace_id(n), 100 + n) for n in range(8, -1, -1)
    ]
    failed = await shop.get("/api/services/checkout/view", **{"from": str(NOW - 4 * MINUTE)})
    assert [one["failed"] for one in failed["longest"]] == [n % 4 == 0 for n in range(8, -1, -1)]


async def test_shows_where_a_service_runs(shop: Shop) -> None:
    view = await shop.get("/api/services/orders/view")
    assert [(one["host"], one["container"], one["version"]) for one in view["instances"]] == [
        ("c0ffee", CONTAINER_ID, "7")
    ]
    # Requests that it answers, not its calls.
    assert (view["spans"], view["all_spans"], view["errors"]) == (4, 24, 0)


async def test_shows_a_service_that_sends_no_spans(shop: Shop) -> None:
    view = await shop.get("/api/services/agent/view")
    assert (view["spans"], view["rate"], view["p95_ms"], set(view["history"]["rate"])) == (0, 0, 0, {0})


async def test_draws_what_services_call_besides_services(shop: Shop) -> None:
    found = await shop.get("/api/services/map", peers="true")
    kinds = {node["name"]: (node["kind"], node["system"]) for node in found["nodes"]}
    assert {name: kind for name, kind in kinds.items() if kind[0] != "service"} == {
        "postgresql at db-1": ("database", "postgresql"),
        "kafka sent": ("queue", "kafka"),
        "api.example.com": ("external", ""),
    }
    calls = {(edge["caller"], edge["callee"]): (edge["calls"], edge["errors"]) for edge in found["edges"]}
    assert calls["orders", "postgresql at db-1"] == (4, 1)
    assert calls["orders", "kafka sent"] == calls["kafka sent", "mail"] == calls["orders", "mail"] == (4, 0)
    database = next(node for node in found["nodes"] if node["kind"] == "database")
    assert (database["spans"], database["error_rate"], database["p95_ms"]) == (4, 0.25, 10)
    orders = next(node for node in found["nodes"] if node["name"] == "orders")
    assert orders["rate"] == pytest.approx(4 / 3601)
    assert orders["p95_ms"] == pytest.approx(50, rel=0.05)
    near = await shop.get("/api/services/map", peers="true", service="mail")
    assert [node["name"] for node in near["nodes"]] == ["orders", "mail", "kafka sent"]
    assert {node["kind"] for node in (await shop.get("/api/services/map"))["nodes"]} == {"service"}


async def test_lists_containers_with_their_latest_figures(shop: Shop) -> None:
    redis, orders = (await shop.get("/api/containers"))["containers"]
    assert (orders["name"], orders["id"], orders["host"]) == ("shop-orders-1", CONTAINER_ID, "host-a")
    assert (orders["image"], orders["runtime"], orders["services"]) == ("image/shop-orders-1", "docker", ["orders"])
    assert orders["figures"] == {
        "cpu_cores": 1.5, "memory_used_bytes": 256, "memory_limit_bytes": 1024, "memory_utilization": 0.25,
        "received_bytes_per_second": 20, "sent_bytes_per_second": None, "read_bytes_per_second": None,
        "written_bytes_per_second": 3, "uptime_seconds": 3600, "restarts": 2, "pids": None,
    }  # fmt: skip
    assert (redis["name"], redis["services"]) == ("redis", [])


@pytest.mark.parametrize(
    ("query", "names"),
    [
        ({"search": "ORDERS"}, ["shop-orders-1"]),
        ({"search": "image/redis"}, ["redis"]),
        ({"host": "host-a"}, ["redis", "shop-orders-1"]),
        ({"host": "host-b"}, []),
        ({"service": "orders"}, ["shop-orders-1"]),
        ({"key": "other"}, []),
    ],
)
async def test_finds_containers(shop: Shop, query: dict[str, str], names: list[str]) -> None:
    assert [one["name"] for one in (await shop.get("/api/containers", **query))["containers"]] == names


async def test_lists_containers_by_page(shop: Shop) -> None:
    first = await shop.get("/api/containers", limit=1)
    second = await shop.get("/api/containers", limit=1, cursor=first["next_cursor"])
    assert [first["containers"][0]["name"], second["containers"][0]["name"]] == ["redis", "shop-orders-1"]
    assert second["next_cursor"] is None


@pytest.mark.parametrize("name", ["shop-orders-1", CONTAINER_ID, CONTAINER_ID[:12]])
async def test_shows_a_container_by_its_name_or_id(shop: Shop, name: str) -> None:
    found = await shop.get(f"/api/containers/{name}")
    assert (found["name"], found["selector"]) == (
        "shop-orders-1",
        '{container_name="shop-orders-1", host_name="host-a"}',
    )
    assert found["attributes"]["container.image.name"] == "image/shop-orders-1"
    assert "service.name" not in found["attributes"]


@pytest.mark.parametrize(
    ("path", "query", "status", "reason"),
    [
        (
            "/api/containers/shop-orders-1",
            {"host": "host-b"},
            404,
            'there is no container "shop-orders-1" in this time range; /api/containers lists those there are',
        ),
        (
            "/api/services/nobody/view",
            {},
            404,
            'there is no service "nobody" in this time range; /api/services lists those there are',
        ),
        ("/api/containers", {"cursor": "abc"}, 422, "cursor: does not belong to this search; begin again without it"),
    ],
)
async def test_refuses_what_it_does_not_know(
    shop: Shop, path: str, query: dict[str, str], status: int, reason: str
) -> None:
    assert (await shop.get(path, expect=status, **query))["detail"] == reason


def resource(number: int, **texts: str) -> dict[str, Any]:
    """A row of a resource of a container."""
    blank = {"id": "", "name": "", "image": "", "runtime": "", "host": "", "service": ""}
    return {**blank, "resource_id": number, "seen": number, **texts}


async def test_joins_a_container_that_was_made_anew_by_its_name() -> None:
    (one,) = joined([resource(2, id="b" * 64, name="web", host="h"), resource(1, id="a" * 64, name="web", host="h")])
    assert (one.id, sorted(one.resources), one.seen) == ("b" * 64, [1, 2], 2)


async def test_names_a_container_that_only_its_application_knows_by_its_id() -> None:
    (one,) = joined([resource(1, id='a"' + "b" * 62, service="web")])
    assert one.name == 'a"bbbbbbbbbb'
    assert one.selector() == '{container_id="a\\"' + "b" * 62 + '"}'


async def test_leaves_figures_out_that_nobody_sends() -> None:
    assert set(figures_of([]).model_dump().values()) == {None}
    still = {"metric": "container_network_io_usage_rx_bytes_total", "operation": "", "increase": 0, "seconds": 0}
    assert figures_of([{**still, "latest": 5}]).received_bytes_per_second is None


async def test_leaves_out_steps_that_the_range_hardly_covers() -> None:
    bounds = TimeRange(1000 * MINUTE, 1060 * MINUTE + 5 * SECOND)
    assert grid(bounds, 60, whole_minutes=True).buckets() == range(500, 530)
    assert grid(TimeRange(1000 * MINUTE, 1000 * MINUTE + 1), 60, whole_minutes=True).buckets() == range(1000, 1001)
