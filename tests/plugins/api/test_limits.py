"""What keeps one client from using up the server, and what is counted and logged of requests."""

import asyncio
from typing import Any

import aiohttp
import pytest

from ophion_agent.self_metrics import SelfMetrics
from ophion_agent.server import Call, Permission, Route
from ophion_agent.testing import ManualClock, settle
from parts import captured_events

READ = Permission.READ


class Slow:
    """A handler that waits until it is told, and knows whether it was cancelled."""

    def __init__(self) -> None:
        self.started, self.go, self.cancelled = asyncio.Event(), asyncio.Event(), asyncio.Event()

    async def __call__(self, _: Call) -> dict[str, int]:
        self.started.set()
        try:
            await self.go.wait()
        except asyncio.CancelledError:
            self.cancelled.set()
            raise
        return {}

    def route(self) -> Route:
        return Route("GET", "/slow", self, READ, answer=dict[str, int])


def requests_of(metrics: SelfMetrics) -> set[tuple[str, str, str]]:
    samples = [dict(sample.attributes) for sample in metrics.samples() if sample.name == "ophion_api_requests"]
    return {(sample["method"], sample["route"], sample["status"]) for sample in samples}


async def test_cancels_the_work_of_a_client_that_went_away(api_server: Any) -> None:
    slow = Slow()
    server = await api_server([slow.route()])
    request = asyncio.create_task(server.get("/slow", key="reader"))
    await asyncio.wait_for(slow.started.wait(), 10)
    request.cancel()
    await asyncio.wait_for(slow.cancelled.wait(), 10)
    await settle()
    assert requests_of(server.metrics) == {("GET", "/slow", "499")}


async def test_gives_up_after_the_request_timeout(api_server: Any) -> None:
    slow, clock = Slow(), ManualClock()
    server = await api_server([slow.route()], config={"request_timeout": "30s"}, clock=clock)
    request = asyncio.create_task(server.get("/slow", key="reader"))
    await asyncio.wait_for(slow.started.wait(), 10)
    await clock.advance(30)
    answer = await request
    assert (answer.status, answer.headers["Retry-After"]) == (503, "1")
    assert (
        answer.json()["detail"] == "the answer took longer than 30 s; ask for less at once, or raise `request_timeout`"
    )
    assert slow.cancelled.is_set()
    assert server.metrics.total("ophion_api_refused", reason="timeout") == 1


async def test_a_timeout_of_the_handler_itself_is_a_fault(api_server: Any) -> None:
    async def handler(_: Call) -> None:
        raise TimeoutError

    server = await api_server([Route("GET", "/broken", handler, READ)])
    assert (await server.get("/broken", key="reader")).status == 500


async def test_refuses_more_requests_than_it_has_slots_for_but_answers_probes(api_server: Any) -> None:
    slow = Slow()
    server = await api_server([slow.route()], config={"max_concurrent_requests": 1})
    first = asyncio.create_task(server.get("/slow", key="reader"))
    await asyncio.wait_for(slow.started.wait(), 10)
    second = await server.get("/slow", key="reader")
    assert (second.status, second.headers["Retry-After"]) == (503, "1")
    assert second.json()["detail"] == "the server answers 1 requests already; try again later"
    assert server.metrics.total("ophion_api_refused", reason="concurrency") == 1
    assert [(await server.get(path)).status for path in ("/-/healthy", "/-/ready", "/api/health")] == [200] * 3
    slow.go.set()
    assert (await first).status == 200
    assert (await server.get("/slow", key="reader")).status == 200


async def test_counts_requests_by_route_and_status(api_server: Any) -> None:
    slow = Slow()
    server = await api_server([slow.route()])
    request = asyncio.create_task(server.get("/slow", key="reader"))
    await asyncio.wait_for(slow.started.wait(), 10)
    gauges = {sample.name: sample.value for sample in server.metrics.samples() if not sample.monotonic}
    assert gauges["ophion_api_requests_in_flight"] == 1
    slow.go.set()
    await request
    await server.get("/slow")
    await server.get("/nowhere")
    await server.request("TRACE", "/slow")
    assert requests_of(server.metrics) == {
        ("GET", "/slow", "200"),
        ("GET", "/slow", "401"),
        ("GET", "", "404"),
        ("other", "", "405"),
    }
    assert server.metrics.total("ophion_api_request_seconds", route="/slow") > 0


@pytest.mark.parametrize("wanted", [True, False])
async def test_logs_requests_where_wanted(api_server: Any, wanted: bool) -> None:
    async def handler(_: Call) -> None:
        return None

    server = await api_server([Route("GET", "/quiet", handler, READ)], config={"access_log": wanted})
    with captured_events() as events:
        await server.get("/quiet?token=secret", key="reader", headers={"X-Request-Id": "r1"})
    found = [facts for event, facts in events if event == "request"]
    assert len(found) == wanted
    for facts in found:
        assert (facts["method"], facts["path"], facts["status"], facts["subject"]) == ("GET", "/quiet", 204, "reader")
        assert (facts["client"], facts["request_id"]) == ("127.0.0.1", "r1")


async def test_stops_and_ends_what_runs(api_server: Any) -> None:
    slow = Slow()
    server = await api_server([slow.route()])
    request = asyncio.create_task(server.get("/slow", key="reader"))
    await asyncio.wait_for(slow.started.wait(), 10)
    await server.api.stop()
    await server.api.stop()
    assert slow.cancelled.is_set()
    with pytest.raises(aiohttp.ClientError):
        await request
    assert server.api.addresses() == []


async def test_lets_pages_of_allowed_origins_read_answers(api_server: Any) -> None:
    server = await api_server(config={"cors": {"allowed_origins": ["https://ui.example.com"]}})
    answer = await server.get("/-/healthy", headers={"Origin": "https://ui.example.com"})
    assert answer.headers["Access-Control-Allow-Origin"] == "https://ui.example.com"
    other = await server.get("/-/healthy", headers={"Origin": "https://evil.example.com"})
    assert "Access-Control-Allow-Origin" not in other.headers
