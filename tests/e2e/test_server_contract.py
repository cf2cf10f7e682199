"""A fuzzer made from the OpenAPI document of the real server, with data in it, finds nothing that it does not say."""

import asyncio
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from agent_process import eventually
from benchmarks.schemathesis_run import CHECKS, SETTINGS
from server_process import UNLIMITED, ServerProcess
from telemetry_sample import logs_request, metrics_request, traces_request

SECONDS = 30
GRACE_SECONDS = 120

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.timeout(SECONDS + GRACE_SECONDS + 60)]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def server(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[ServerProcess]:
    async with ServerProcess(tmp_path_factory.mktemp("server"), sets=[UNLIMITED]) as running:
        sample = {"traces": traces_request(), "logs": logs_request(), "metrics": metrics_request()}
        for signal, request in sample.items():
            assert (await running.send(signal, request.SerializeToString())).status == 200

        async def is_stored() -> bool:
            tables = (await running.ask("GET", "/api/store"))["tables"]
            return {"spans", "logs", "samples"} <= {table["table"] for table in tables if table["rows"]}

        await eventually(is_stored, "the sample in the store", 30)
        yield running


async def fuzz(server: ServerProcess, directory: Path, *more: str) -> str:
    """Run the fuzzer and return what it says; AssertionError with that when it found something."""
    (directory / "schemathesis.toml").write_text(SETTINGS)
    # Not the key of the command line, and no user's: nothing that the fuzzer removes is what it works with.
    made = await server.administer("key", "create", "fuzzer")
    command = [
        *(sys.executable, "-m", "schemathesis.cli", "run", f"{server.url}/api/openapi.json", "--url", server.url),
        *("--header", f"Authorization: Bearer {made['key']}", "--seed", "1", *CHECKS, "--workers", "2"),
        *("--warnings", "off", "--no-color", "--continue-on-failure", *more),
    ]
    fuzzer = await asyncio.create_subprocess_exec(
        *command, cwd=directory, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT
    )
    try:
        output, _ = await asyncio.wait_for(fuzzer.communicate(), SECONDS + GRACE_SECONDS)
    finally:
        if fuzzer.returncode is None:
            fuzzer.kill()
            await fuzzer.wait()
    text = output.decode()
    assert fuzzer.returncode == 0, text[-12000:]
    return text


async def test_fuzzer_finds_nothing(server: ServerProcess, tmp_path: Path) -> None:
    phases = ("--phases", "examples,coverage,fuzzing", "--max-time", str(SECONDS), "--max-examples", "10")

    said = await fuzz(server, tmp_path, *phases)

    assert "Operations:" in said
    assert server.is_running
    assert [event for event in server.events() if event.get("exception")] == []
    assert await server.metric("ophion_api_faults") == 0
    # It got past the checks of credentials and input; how often depends on what else the machine does.
    assert await server.metric("ophion_api_requests", status="200") > 10


async def test_a_path_of_two_resources_names_the_methods_of_both(server: ServerProcess) -> None:
    for path in ("/api/traces/search", "/api/metrics/query"):
        answer = await server.request("OPTIONS", path)
        assert (answer.status, answer.headers["Allow"]) == (204, "GET,HEAD,POST")
    # As the document says of /api/traces/{traceId} and /api/metrics/{name}.
    assert (await server.get("/api/traces/search")).status == 422
    assert (await server.get("/api/metrics/query")).status == 404
