"""A fuzzer made from the OpenAPI document finds no fault and nothing that the document does not say."""

import asyncio
import sys
from pathlib import Path
from typing import Any

from api_sample import sample_routes

SECONDS = 90


async def test_fuzzer_finds_nothing(api_server: Any, tmp_path: Path) -> None:
    server = await api_server(sample_routes())
    command = [
        *(sys.executable, "-m", "schemathesis.cli", "run", f"{server.url}/api/openapi.json"),
        *("--header", "Authorization: Bearer admin", "--max-examples", "15", "--seed", "1", "--checks", "all"),
        *("--phases", "examples,coverage,fuzzing", "--warnings", "off", "--no-color"),
    ]
    fuzzer = await asyncio.create_subprocess_exec(
        *command, cwd=tmp_path, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT
    )
    try:
        output, _ = await asyncio.wait_for(fuzzer.communicate(), SECONDS)
    finally:
        if fuzzer.returncode is None:
            fuzzer.kill()
            await fuzzer.wait()
    assert fuzzer.returncode == 0, output.decode()[-6000:]
    assert server.metrics.total("ophion_api_faults") == 0
    assert server.metrics.total("ophion_api_requests", route="/api/things", status="200") > 0
    assert server.metrics.total("ophion_api_requests", route="/api/things", status="201") > 0
