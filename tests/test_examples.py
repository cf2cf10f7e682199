"""The applications of `examples/` for real: built, asked, stopped, and what a real agent took from them."""

import re
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from agent_process import AgentProcess, eventually
from examples_shop import EXAMPLES, Received, Shop, build, files_of, plain, running
from server_process import ONLY_OTLP, ServerProcess

LANGUAGES = ("go", "java", "nodejs", "python")
TRACE, CALLER = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
SERVER_KIND, ERROR_STATUS, INFO, ERROR = 2, 2, 9, 17
# A Java process that ends by a signal says so, whatever its shutdown hooks did.
STOPPED = {"go": 0, "java": 143, "nodejs": 0, "python": 0}


@pytest.fixture
def shop(language: str) -> Shop:
    return build(language)


@pytest.fixture
async def agent(tmp_path: Path) -> AsyncIterator[AgentProcess]:
    pipeline = {"receivers": ["otlp"], "exporters": ["file"]}
    protocols = {"http": {"endpoint": "127.0.0.1:0"}, "grpc": {"endpoint": "127.0.0.1:0"}}
    config = {
        "receivers": {"otlp": {"protocols": protocols}},
        "exporters": {"file": {"path": str(tmp_path / "received.jsonl")}},
        "service": {"pipelines": dict.fromkeys(("traces", "metrics", "logs"), pipeline)},
    }
    async with AgentProcess(tmp_path / "agent", config) as agent:
        yield agent


@pytest.fixture
def received(tmp_path: Path) -> Received:
    return Received(tmp_path / "received.jsonl")


# The limits are for the running alone: with a cold cache the build takes longer.
quick = pytest.mark.timeout(40, func_only=True)
each_language = pytest.mark.parametrize("language", LANGUAGES)


@quick
@each_language
async def test_shop_sends_correlated_traces_metrics_and_logs_before_it_ends(
    language: str, shop: Shop, agent: AgentProcess, received: Received, tmp_path: Path
) -> None:
    endpoint = {"OTEL_EXPORTER_OTLP_ENDPOINT": agent.endpoint("otlp", "http")}
    async with running(shop, tmp_path, endpoint) as process:
        assert await process.get("/order", traceparent=f"00-{TRACE}-{CALLER}-01") == (200, "order placed\n")
        status, text = await process.get("/refund")
        assert (status, "payment not found" in text) == (500, True)
        assert (await process.get("/elsewhere"))[0] == 404
        assert await process.stop() == STOPPED[language], process.log.read_text()

    await eventually(lambda: "refund failed" in received.logs() and received.metrics(), "logs and metrics")
    check_order(received)
    check_refund(received)
    check_metrics(received)
    for resource in received.resources():
        assert resource["service.name"] == f"shop-{language}"
        assert (resource["service.version"], resource["deployment.environment.name"]) == ("1.0.0", "example")
        assert resource["telemetry.sdk.language"] == language


def check_order(received: Received) -> None:
    """The slow request continues the caller's trace, and its log record names its span."""
    request, child = received.spans()["GET /order"], received.spans()["charge card"]
    assert (request["traceId"], request["parentSpanId"]) == (TRACE, CALLER)
    assert (child["traceId"], child["parentSpanId"]) == (TRACE, request["spanId"])
    assert request["kind"] == SERVER_KIND
    assert request.get("status", {}).get("code", 0) == 0
    assert plain(request["attributes"]).items() >= {"http.route": "/order", "http.response.status_code": "200"}.items()
    assert duration(child) >= 0.29
    record = received.logs()["order placed"]
    assert (record["traceId"], record["spanId"], record["severityNumber"]) == (TRACE, request["spanId"], INFO)
    assert plain(record["attributes"])["item"] == "tea"


def check_refund(received: Received) -> None:
    """The failing request is an error of a trace of its own, with the exception and a log record."""
    request, child = received.spans()["GET /refund"], received.spans()["find payment"]
    assert request["traceId"] == child["traceId"] != TRACE
    assert child["parentSpanId"] == request["spanId"]
    assert [span["status"]["code"] for span in (request, child)] == [ERROR_STATUS, ERROR_STATUS]
    assert "payment not found" in request["status"]["message"]
    [event] = child["events"]
    assert (event["name"], plain(event["attributes"])["exception.message"]) == ("exception", "payment not found")
    record = received.logs()["refund failed"]
    assert (record["traceId"], record["spanId"]) == (request["traceId"], request["spanId"])
    assert record["severityNumber"] == ERROR


def check_metrics(received: Received) -> None:
    """The last report holds both requests."""
    orders = received.metrics()["shop.orders"]
    [point] = orders["sum"]["dataPoints"]
    assert orders["sum"]["isMonotonic"]
    assert (int(point.get("asInt", point.get("asDouble", 0))), plain(point["attributes"])) == (1, {"item": "tea"})
    requests = received.metrics()["http.server.request.duration"]
    assert requests["unit"] == "s"
    points = {plain(point["attributes"]).get("http.route"): point for point in requests["histogram"]["dataPoints"]}
    assert points["/order"]["sum"] >= 0.29
    assert plain(points["/refund"]["attributes"])["http.response.status_code"] == "500"
    assert int(points["/refund"]["count"]) == 1
    assert points["/order"]["explicitBounds"][0] == 0.005


def duration(span: dict[str, Any]) -> float:
    """Return the seconds that a span took."""
    return (int(span["endTimeUnixNano"]) - int(span["startTimeUnixNano"])) / 1e9


@quick
@each_language
async def test_variables_win_over_the_code_of_the_shop(
    language: str, shop: Shop, agent: AgentProcess, received: Received, tmp_path: Path
) -> None:
    environ = {
        "OTEL_SERVICE_NAME": "till",
        "OTEL_RESOURCE_ATTRIBUTES": "deployment.environment.name=test,team=blue",
        "OTEL_TRACES_SAMPLER": "always_off",
        "OTEL_EXPORTER_OTLP_ENDPOINT": agent.endpoint("otlp", "http"),
    }
    if language == "nodejs":
        grpc = f"http://{agent.endpoint('otlp', 'grpc')}"
        environ |= {"OTEL_EXPORTER_OTLP_PROTOCOL": "grpc", "OTEL_EXPORTER_OTLP_ENDPOINT": grpc}
    async with running(shop, tmp_path, environ) as process:
        assert (await process.get("/refund"))[0] == 500
        assert await process.stop() == STOPPED[language], process.log.read_text()

    await eventually(lambda: "refund failed" in received.logs() and received.metrics(), "logs and metrics")
    assert received.spans() == {}
    for resource in received.resources():
        assert (resource["service.name"], resource["service.version"]) == ("till", "1.0.0")
        assert (resource["deployment.environment.name"], resource["team"]) == ("test", "blue")


@pytest.mark.timeout(120, func_only=True)
@pytest.mark.parametrize("language", ["nodejs"])
async def test_commands_of_the_page_show_the_shop(language: str, shop: Shop, tmp_path: Path) -> None:
    page = (EXAMPLES / f"otel-{language}" / "README.md").read_text()
    commands = [line.split()[1:] for line in page.splitlines() if line.startswith("ophion-agent ")]
    wanted = {"traces": ["GET /order", "GET /refund"], "logs": ["order placed", "refund failed"], "query": ["tea", "1"]}
    assert [words[0] for words in commands] == list(wanted)
    async with ServerProcess(tmp_path / "server", sets=[ONLY_OTLP]) as server:
        async with running(shop, tmp_path, {"OTEL_EXPORTER_OTLP_ENDPOINT": server.otlp_url}) as process:
            assert [(await process.get(path))[0] for path in ("/order", "/refund")] == [200, 500]
            await process.stop()
        for words in commands:
            await shows(server, words, wanted[words[0]])


async def shows(server: ServerProcess, words: list[str], wanted: list[str]) -> None:
    """Run a command until it prints every text: what is stored is found a moment later."""
    printed = ""

    async def shown() -> bool:
        nonlocal printed
        # For a server that listens elsewhere than on the port of the page.
        done = await server.run(*words, "--url", server.url, "--key-file", str(server.state / "control" / "cli.key"))
        printed = done.stdout + done.stderr
        return all(text in printed for text in wanted)

    await eventually(shown, lambda: f"{words} shows {wanted}; it shows:\n{printed}", 30)


# What names a package in the file that pins them, and what pins one.
PINS = {
    "nodejs": ("package-lock.json", r'"node_modules/', r'"integrity": "sha512-'),
    "python": ("requirements.txt", r"(?m)^[a-z]", r"(?m)^\S+==\S+ .*\\\n    --hash=sha256:"),
    "java": ("pom.xml", r"<version>", r"<version>\d[\d.]*(?:-alpha)?</version>"),
    "go": ("go.sum", r"/go\.mod ", r"/go\.mod h1:"),
}


@each_language
def test_every_package_of_an_example_is_pinned(language: str) -> None:
    file, package, pin = PINS[language]
    text = (EXAMPLES / f"otel-{language}" / file).read_text()
    assert len(re.findall(package, text)) == len(re.findall(pin, text)) > 0


@each_language
def test_no_file_of_an_example_names_a_registry(language: str) -> None:
    texts = {path.name: path.read_text() for path in files_of(EXAMPLES / f"otel-{language}")}
    assert [
        name for name, text in texts.items() if re.search(r'"resolved"|proxy\.golang|registry\.|--index', text)
    ] == []


@each_language
def test_the_page_of_an_example_names_commands_and_service(language: str) -> None:
    page = (EXAMPLES / f"otel-{language}" / "README.md").read_text()
    assert f"ophion-agent traces --service shop-{language}" in page
    assert len(page.splitlines()) <= 60
