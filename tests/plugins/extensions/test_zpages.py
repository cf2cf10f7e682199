from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from html.parser import HTMLParser
from typing import Any

import aiohttp
import pytest

from api_serving import FakeAuthorizer, serve
from ophion_agent.health import Readiness
from ophion_agent.info import ComponentInfo, EdgeInfo, PipelineInfo, QueueInfo
from ophion_agent.self_metrics import SelfMetrics
from ophion_agent.server import Permission, Principal
from ophion_agent.testing import EPOCH_NS, ManualClock, make_component, make_traces
from ophion_extensions.times import go_duration, short_bytes, short_count, short_duration
from ophion_extensions.zpages import ZPages

EVIL = "\"><script>alert(1)</script><img src=x onerror='alert(2)'>&"
Answer = tuple[int, str, Mapping[str, str]]
Get = Callable[..., Awaitable[Answer]]


class Page(HTMLParser):
    """The text and the elements of a page."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.elements: list[str] = []
        self.handlers: list[str] = []
        self.text = ""
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append(tag)
        self.handlers += [name for name, _ in attrs if name.startswith("on") or name == "style"]

    def handle_data(self, data: str) -> None:
        self.text += f"{data} "


def traces(items: int = 0, failed: int = 0, **members: Any) -> PipelineInfo:
    known: dict[str, Any] = {"receivers": ("otlp",), "processors": ("batch",), "exporters": ("otlp/out",), **members}
    edges = (EdgeInfo("traces/in", 1, items, failed), EdgeInfo("traces/batch", 1, items, 0))
    return PipelineInfo("traces", "traces", edges=edges, **known)


def queue(**facts: Any) -> QueueInfo:
    state: dict[str, Any] = {
        "exporter": "otlp/out",
        "sizer": "requests",
        "size": 0,
        "capacity": 1000,
        "bytes": 0,
        "in_flight": 0,
        "durable": False,
        "dead_letters": 0,
        "last_error": "",
    }
    return QueueInfo(**{**state, **facts})


def component(kind: str, name: str, status: str = "ok", reason: str = "") -> ComponentInfo:
    return ComponentInfo(kind, name, status, reason, EPOCH_NS)


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
def metrics() -> SelfMetrics:
    return SelfMetrics()


@pytest.fixture
async def get(agent: Any, clock: ManualClock, metrics: SelfMetrics) -> AsyncIterator[Get]:
    pages = make_component(ZPages, {"endpoint": "localhost:0"}, agent=agent, clock=clock, metrics=metrics)
    await pages.start()

    async def get(path: str = "/", **headers: str) -> Answer:
        url = pages.addresses()[0].removesuffix("/") + path
        async with (
            aiohttp.ClientSession() as session,
            session.get(url, headers=headers, allow_redirects=False) as response,
        ):
            return response.status, await response.text(), response.headers

    yield get
    await pages.stop()
    await pages.context.close()


async def test_draws_every_pipeline_with_totals(agent: Any, get: Get) -> None:
    agent.lines = [traces(items=12_345, failed=7)]
    agent.running = [component("receiver", "otlp"), component("processor", "batch"), component("exporter", "otlp/out")]
    text = Page((await get())[1]).text
    for shown in ("traces", "receiver", "otlp", "batch", "otlp/out", "12.3k spans", "7 refused", "Ready"):
        assert shown in text


async def test_computes_rates_over_the_last_seconds(
    agent: Any, get: Get, clock: ManualClock, metrics: SelfMetrics
) -> None:
    agent.lines = [traces(items=100)]
    await clock.advance(20)
    agent.lines = [traces(items=1_100)]
    metrics.counter("otelcol_receiver_accepted_spans", receiver="otlp", transport="grpc").add(1000)
    await clock.advance(10)
    text = Page((await get())[1]).text
    assert "100/s" in text
    await clock.advance(11)
    assert "100/s" not in Page((await get())[1]).text


async def test_shows_queues_and_their_last_errors(agent: Any, get: Get) -> None:
    agent.waiting = [queue(size=950, bytes=3 << 20, durable=True, dead_letters=3, last_error="connection refused")]
    _, html, _ = await get()
    text = Page(html).text
    for shown in ("950 of 1k requests", "3 MiB", "disk", "connection refused"):
        assert shown in text
    assert 'class="bar failed"' in html
    assert 'width="95.0%"' in html


async def test_shows_every_reason_why_the_agent_is_not_ready(agent: Any, get: Get) -> None:
    agent.ready = Readiness(False, ("exporter otlp: degraded: refused", "receiver otlp: failed: port"))
    text = Page((await get())[1]).text
    assert "Not ready" in text
    assert "exporter otlp: degraded: refused" in text
    assert "receiver otlp: failed: port" in text


async def test_draws_connectors_and_the_worst_state_of_shared_processors(agent: Any, get: Get) -> None:
    agent.lines = [traces(exporters=("spanmetrics",))]
    states = [component("processor", "batch", status) for status in ("ok", "failed", "ok")]
    agent.running = [component("connector", "spanmetrics"), *states]
    status = await get("/status.json")
    assert '"kind": "connector", "id": "spanmetrics"' in status[1]
    assert '"processors": [{"kind": "processor", "id": "batch", "status": "failed"' in status[1]


async def test_escapes_everything_that_others_wrote(agent: Any, get: Get) -> None:
    agent.version = agent.config = EVIL
    agent.lines = [traces(receivers=(EVIL,), processors=(EVIL,), exporters=(EVIL,))]
    agent.running = [component(kind, EVIL, EVIL, EVIL) for kind in ("connector", "extension")]
    agent.running += [component("receiver", EVIL, "failed", EVIL)]
    agent.waiting = [queue(exporter=EVIL, sizer=EVIL, last_error=EVIL)]
    agent.ready = Readiness(False, (EVIL,))
    for path, scripts in (("/", 1), ("/config", 0)):
        _, html, _ = await get(path)
        page = Page(html)
        assert page.elements.count("script") == scripts
        assert "img" not in page.elements
        assert page.handlers == []
        assert EVIL in page.text


async def test_allows_browsers_nothing_but_its_own_style_and_script(get: Get) -> None:
    _, _, headers = await get()
    policy = headers["Content-Security-Policy"]
    assert policy.startswith("default-src 'none'; style-src 'sha256-")
    assert "unsafe" not in policy
    assert headers["X-Frame-Options"] == "DENY"


async def test_a_server_s_api_has_the_status_for_operators_of_the_default_tenant(
    agent: Any, clock: ManualClock, metrics: SelfMetrics
) -> None:
    agent.pipelines = lambda: [traces(items=1000, failed=7)]
    agent.queues = lambda: [queue(size=5, last_error="refused")]
    pages = make_component(ZPages, {"endpoint": "localhost:0"}, agent=agent, clock=clock, metrics=metrics)
    operator = frozenset({Permission.READ, Permission.OPERATE})
    principals = {
        "ada": Principal("ada", "user", "default", operator),
        "eve": Principal("eve", "user", "other", operator),
        "vera": Principal("vera", "user", "default", frozenset({Permission.READ})),
    }
    async with serve({"zpages": pages}, FakeAuthorizer(principals)) as server:
        status = (await server.get("/api/agent/status", key="ada")).json()
        refused = [await server.get("/api/agent/status", key=name) for name in ("eve", "vera")]
    assert status["pipelines"][0]["arrows"][0] == {"per_second": 0.0, "total": 1000, "failed": 7}
    assert status["queues"][0]["last_error"] == "refused"
    assert [answer.status for answer in refused] == [403, 403]
    assert refused[0].json()["detail"] == "the state of the agent is for the tenant default; ask its operators"


async def test_works_without_script(get: Get) -> None:
    _, html, _ = await get()
    assert '<noscript><meta http-equiv="refresh"' in html
    assert (await get("/app.js"))[2]["Content-Type"] == "text/javascript; charset=utf-8"


@pytest.mark.parametrize(
    "host", ["evil.example", "evil.example:55679", "localhost.evil.example", "10.0.0.1", "[::2]:80"]
)
async def test_refuses_pages_that_rebind_their_name_to_this_host(get: Get, host: str) -> None:
    status, body, _ = await get("/status.json", Host=host)
    assert status == 421
    assert "open http://localhost" in body


@pytest.mark.parametrize("host", ["localhost", "localhost:1", "127.0.0.1:55679", "127.1.2.3", "[::1]:80", "LOCALHOST"])
async def test_serves_local_names(get: Get, host: str) -> None:
    assert (await get("/status.json", Host=host))[0] == 200


@pytest.mark.parametrize("page", ["servicez", "pipelinez", "extensionz", "featurez"])
async def test_leads_from_otelcols_pages_to_its_own(get: Get, page: str) -> None:
    status, _, headers = await get(f"/debug/{page}")
    assert status == 302
    assert (await get(headers["Location"].partition("#")[0]))[0] == 200


async def test_shows_a_real_agent_without_its_secrets(run_agent: Any) -> None:
    running = await run_agent(
        {
            "receivers": {"otlp": {"protocols": {"http": {"endpoint": "localhost:0"}}}},
            "exporters": {"debug": None},
            "extensions": {"zpages": {"endpoint": "localhost:0"}, "bearertokenauth": {"token": "hush"}},
            "service": {
                "extensions": ["zpages", "bearertokenauth"],
                "pipelines": {"traces": {"receivers": ["otlp"], "exporters": ["debug"]}},
            },
        }
    )
    await running._graph().edge("traces/in").consume(make_traces(3))
    url = dict(running.addresses())["zpages"]
    async with aiohttp.ClientSession() as session:
        async with session.get(url + "status.json") as response:
            status = await response.json()
        async with session.get(url + "config") as response:
            config = await response.text()
    assert status["ready"]
    assert status["pipelines"][0]["arrows"][0]["total"] == 3
    assert {one["id"]: one["status"] for one in status["components"]}["bearertokenauth"] == "ok"
    assert "REDACTED" in config
    assert "hush" not in config


def test_writes_figures_briefly() -> None:
    assert [short_count(n) for n in (0, 0.25, 7, 99.5, 123.4, 999, 1_000, 12_345, 999_999, 4_560_000)] == [
        "0",
        "0.2",
        "7",
        "99.5",
        "123",
        "999",
        "1k",
        "12.3k",
        "1000k",
        "4.56M",
    ]
    assert [short_bytes(n) for n in (0, 950, 1024, 12_600, 5 << 30)] == ["0 B", "950 B", "1 KiB", "12.3 KiB", "5 GiB"]
    assert [short_duration(n) for n in (0, 8.9, 312, 90_000)] == ["0s", "8s", "5m 12s", "1d 1h"]
    assert [go_duration(n) for n in (0, 1.5, 62, 3600)] == ["0s", "1.5s", "1m2s", "1h0m0s"]
