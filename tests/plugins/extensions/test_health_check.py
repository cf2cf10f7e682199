from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import aiohttp
import pytest

from ophion_agent.health import Readiness
from ophion_agent.info import ComponentInfo
from ophion_agent.testing import EPOCH_NS, ManualClock, make_component
from ophion_extensions.bearertokenauth import BearerTokenAuth
from ophion_extensions.health_check import HealthCheck

Get = Callable[..., Awaitable[tuple[int, str]]]


def component(status: str, reason: str = "") -> ComponentInfo:
    return ComponentInfo("exporter", "otlp", status, reason, EPOCH_NS)


@pytest.fixture
async def get(agent: Any) -> AsyncIterator[Get]:
    started: list[HealthCheck] = []

    async def get(path: str, headers: dict[str, str] | None = None, /, **config: Any) -> tuple[int, str]:
        if not started:
            clock = ManualClock(EPOCH_NS + 3_723_500_000_000)
            token = make_component(BearerTokenAuth, {"token": "secret"})
            settings = {"endpoint": "localhost:0", **config}
            check = make_component(HealthCheck, settings, agent=agent, clock=clock, services={"token": token})
            await check.start()
            started.append(check)
        base = started[0].addresses()[0].removesuffix(started[0].config.path)
        async with aiohttp.ClientSession() as session, session.get(base + path, headers=headers) as response:
            return response.status, (await response.text()).strip()

    yield get
    for check in started:
        await check.stop()


async def test_answers_like_otelcol_while_everything_runs(agent: Any, get: Get) -> None:
    agent.running = [component("ok")]
    expected = '{"status": "Server available", "upSince": "2023-11-14T22:13:20.000Z", "uptime": "1h2m3.5s"}'
    assert await get("/") == (200, expected)
    assert await get("/healthz") == (200, expected)


async def test_stays_alive_while_a_backend_is_down(agent: Any, get: Get) -> None:
    agent.running = [component("degraded", "connection refused")]
    agent.ready = Readiness(False, ("exporter otlp: degraded: connection refused",))
    assert (await get("/"))[0] == 200
    assert await get("/live") == (200, '{"status": "alive"}')
    assert await get("/ready") == (
        503,
        '{"ready": false, "reasons": ["exporter otlp: degraded: connection refused"]}',
    )


@pytest.mark.parametrize("status", ["failed", "starting", "stopped"])
async def test_is_unhealthy_while_a_component_does_not_run(agent: Any, get: Get, status: str) -> None:
    agent.running = [component("ok"), component(status)]
    unhealthy = '{"status": "Server not available", "upSince": "0001-01-01T00:00:00Z", "uptime": ""}'
    assert await get("/") == (503, unhealthy)
    assert (await get("/live"))[0] == 200


async def test_is_unhealthy_until_the_pipelines_have_started(get: Get) -> None:
    assert (await get("/"))[0] == 503


async def test_lists_every_component_when_asked(agent: Any, get: Get) -> None:
    agent.running = [component("ok")]
    status, body = await get("/ready?verbose")
    assert status == 200
    assert '"id": "otlp", "status": "ok", "reason": "", "since": "2023-11-14T22:13:20.000Z"' in body


async def test_answers_with_the_configured_texts_on_the_configured_path(agent: Any, get: Get) -> None:
    texts = {"healthy": "fine", "unhealthy": "broken"}
    assert await get("/health", path="/health", response_body=texts) == (503, "broken")
    agent.running = [component("ok")]
    assert await get("/health") == (200, "fine")
    assert (await get("/other"))[0] == 404


async def test_lets_the_configured_path_win(agent: Any, get: Get) -> None:
    agent.running = [component("degraded")]
    agent.ready = Readiness(False, ("exporter otlp: degraded",))
    assert (await get("/ready", path="/ready"))[0] == 200


async def test_lets_nobody_in_without_the_token(agent: Any, get: Get) -> None:
    agent.running = [component("ok")]
    assert (await get("/", auth={"authenticator": "token"}))[0] == 401
    assert (await get("/", {"Authorization": "Bearer secret"}))[0] == 200


async def test_tells_the_state_of_a_real_agent(run_agent: Any) -> None:
    running = await run_agent(
        {
            "receivers": {"otlp": {"protocols": {"http": {"endpoint": "localhost:0"}}}},
            "exporters": {"debug": None},
            "extensions": {"health_check": {"endpoint": "localhost:0"}},
            "service": {
                "extensions": ["health_check"],
                "pipelines": {"logs": {"receivers": ["otlp"], "exporters": ["debug"]}},
            },
        }
    )
    url = dict(running.addresses())["health_check"]
    async with aiohttp.ClientSession() as session:
        for path in ("", "live", "ready"):
            async with session.get(url + path) as response:
                assert response.status == 200, path
