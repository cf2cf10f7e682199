"""Node.js containers for real: CommonJS and ESM, on the versions that each set of packages is for."""

import time
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from docker_engine import Docker
from tests.plugins.docker.instrument_rig import Rig, bundles, node_program, running_rig

SERVER = """
const server = http.createServer((request, response) => {
  response.end(request.url === '/environment' ? JSON.stringify(process.env) : 'hello');
});
server.listen(8000);
"""
FILES = {
    "/app/app.cjs": f"const http = require('http');{SERVER}",
    "/app/app.mjs": f"import http from 'node:http';{SERVER}",
}


@pytest.fixture
async def rig(docker: Docker, tmp_path: Path) -> AsyncIterator[Rig]:
    async with running_rig(docker, tmp_path, bundles("nodejs")) as rig:
        yield rig


@pytest.mark.timeout(300)
@pytest.mark.parametrize("major", ["20", "22"])
async def test_node_reports_spans_and_stops_as_fast_as_before(rig: Rig, major: str) -> None:
    image = await rig.docker.image(rig.engine, f"node{major}", ["sh", node_program(major)], files=FILES)
    for name in ("app.cjs", "app.mjs"):
        await rig.docker.run(
            rig.engine, image, ["/bin/node", f"/app/{name}"], "web", Env=["NODE_OPTIONS=--no-warnings"]
        )
        assert await rig.get("web", "/before") == "hello"
        done = await rig.cli("web", "--wait-span", "0")
        assert done.returncode == 0, done.stdout + done.stderr + await rig.logs("web")
        assert f"found nodejs {major}." in done.stdout

        assert await rig.get("web", f"/{name}") == "hello"
        resource, _ = await rig.wait_for("spans", lambda _, span, name=name: f"/{name}" in str(span["attributes"]))
        assert resource["service.name"] == "web"
        assert resource["container.name"] == "web"
        assert "OTEL_TRACES_EXPORTER" not in await rig.get("web", "/environment")
        assert "Error" not in await rig.logs("web")

        started = time.monotonic()
        await rig.engine.stop("web", seconds=8)
        assert time.monotonic() - started < 6
        await rig.engine.start("web")
        undone = await rig.cli("--undo", "web")
        assert undone.returncode == 0, undone.stderr
        assert (await rig.engine.inspect("web"))["Config"]["Env"][0] == "NODE_OPTIONS=--no-warnings"
        await rig.engine.remove("web", force=True)
