"""Facets and points of traces over HTTP, on a real store."""

from collections.abc import AsyncIterator
from typing import Any

import pytest
import pytest_asyncio

from telemetry_sample import NOW, SECOND, TRACES, Shop, running_shop, trace_id

pytestmark = pytest.mark.asyncio(loop_scope="module")
FAILED = len([n for n in range(TRACES) if n % 4 == 0])


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def shop(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Shop]:
    async with running_shop(tmp_path_factory.mktemp("overview")) as running:
        yield running


def counts(values: list[dict[str, Any]]) -> dict[str, int]:
    """Return the counts of a facet."""
    return {one["value"]: one["spans"] for one in values}


@pytest.mark.parametrize("hours", [1, 12])
async def test_counts_what_can_be_filtered_by(shop: Shop, hours: int) -> None:
    # A long range of whole services comes from the figures per minute, anything else from the spans.
    facets = await shop.get("/api/traces/facets", **{"from": str(NOW - hours * 3600 * SECOND)})
    assert counts(facets["service"]) == {"web": 2 * TRACES, "checkout": TRACES, "stock": TRACES}
    operations = ("GET /cart", "POST /pay", "call checkout", "reserve")
    assert counts(facets["operation"]) == dict.fromkeys(operations, TRACES)
    assert counts(facets["kind"]) == {"server": 2 * TRACES, "client": TRACES, "consumer": TRACES}
    assert counts(facets["status"])["error"] == FAILED
    assert sum(counts(facets["status"]).values()) == 4 * TRACES


async def test_facet_keeps_its_other_values_in_sight(shop: Shop) -> None:
    facets = await shop.get("/api/traces/facets", service="checkout", status="error")
    assert counts(facets["service"]) == {"checkout": FAILED}
    assert counts(facets["operation"]) == {"POST /pay": FAILED}
    assert counts(facets["status"]) == {"ok": TRACES - FAILED, "error": FAILED}


@pytest.mark.parametrize("hours", [1, 12])
async def test_several_values_of_a_facet_hold_side_by_side(shop: Shop, hours: int) -> None:
    begin = {"from": str(NOW - hours * 3600 * SECOND)}
    facets = await shop.get("/api/traces/facets", service=["checkout", "stock"], **begin)
    assert counts(facets["operation"]) == {"POST /pay": TRACES, "reserve": TRACES}
    figures = await shop.get("/api/traces/histogram", service=["checkout", "stock"], **begin)
    assert sum(bucket["spans"] for bucket in figures["buckets"]) == 2 * TRACES


async def test_facets_are_as_many_as_asked_for(shop: Shop) -> None:
    facets = await shop.get("/api/traces/facets", limit=1, attr="user=u1")
    assert counts(facets["service"]) == {"web": len([n for n in range(TRACES) if n % 3 == 1])}
    assert len(facets["operation"]) == 1


async def test_shows_every_trace_as_its_longest_matching_span(shop: Shop) -> None:
    answer = await shop.get("/api/traces/points")
    assert (answer["traces"], answer["sampled"], len(answer["points"])) == (TRACES, False, TRACES)
    points = {point["trace_id"]: point for point in answer["points"]}
    newest = points[trace_id(0)]
    assert (newest["service"], newest["operation"]) == ("web", "GET /cart")
    assert (newest["duration_ms"], newest["failed"]) == (100.0, True)
    assert newest["time"].endswith(":00.000000000Z")
    assert points[trace_id(1)]["failed"] is False
    stock = await shop.get("/api/traces/points", service="stock")
    assert {point["duration_ms"] for point in stock["points"]} == {20.0}


async def test_sample_of_points_is_even_and_says_so(shop: Shop) -> None:
    answer = await shop.get("/api/traces/points", limit=10)
    assert (answer["sampled"], len(answer["points"]), answer["traces"]) == (True, 10, TRACES)
    assert len({point["trace_id"] for point in answer["points"]}) == 10


async def test_no_match_is_no_point_and_no_value(shop: Shop) -> None:
    answer = await shop.get("/api/traces/points", service="nobody")
    assert answer == {"points": [], "traces": 0, "sampled": False}
    facets = await shop.get("/api/traces/facets", operation="nothing")
    assert (facets["service"], facets["kind"]) == ([], [])
    assert len(facets["operation"]) == 4


@pytest.mark.parametrize("path", ["/api/traces/facets", "/api/traces/points"])
async def test_refuses_what_cannot_be_asked(shop: Shop, path: str) -> None:
    problem = await shop.get(path, expect=422, min_duration="soon")
    assert problem["detail"].startswith("min_duration")
    await shop.get(path, expect=422, limit=0)
    await shop.get(path, expect=422, attr="=x")
