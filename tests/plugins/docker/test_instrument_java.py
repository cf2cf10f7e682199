"""A Java container for real, with the published agent: idle, it reports by its metrics; a request makes a span."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from docker_engine import Docker
from tests.plugins.docker.instrument_images import bundles, java_image
from tests.plugins.docker.instrument_rig import AT_ONCE, QUICK, Rig, module_loop, serving_rig

pytestmark = [module_loop, pytest.mark.timeout(300)]

ENVIRONMENT = [*(f"{name}={value}" for name, value in AT_ONCE.items()), "OTEL_METRIC_EXPORT_INTERVAL=500"]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def rig(docker: Docker, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Rig]:
    folder: Path = tmp_path_factory.mktemp("rig")
    async with serving_rig(docker, folder, bundles("java")) as home, home.fresh(folder / "state") as rig:
        yield rig


async def test_java_reports_when_idle_and_its_requests_and_logs_are_found_in_the_store(rig: Rig) -> None:
    image, command = await java_image(rig.docker, rig.engine)
    await rig.docker.run(rig.engine, image, command, "till", Env=ENVIRONMENT, StopTimeout=2)
    assert await rig.get("till", "/hello") == "hello"

    done = await rig.cli("till", "--wait-span", "0", "--timeout", "90")
    assert done.returncode == 0, done.stdout + done.stderr + await rig.logs("till")
    assert "found java 17." in done.stdout

    assert await rig.get("till", "/hello?number=2") == "hello"
    trace, record = await rig.stored("till", "number=2", "greeting")
    span = next(span for span in trace["spans"] if span["kind"] == "server")
    assert (span["name"], span["service"]) == ("GET /hello", "till")
    assert (record["trace_id"], record["span_id"]) == (trace["trace_id"], span["span_id"])
    assert trace["resources"][span["resource"]]["attributes"]["container.name"] == "till"

    await rig.instrumentation().undo("till", patience=QUICK)
    assert (await rig.engine.inspect("till"))["Config"]["Env"] == ENVIRONMENT
    assert await rig.get("till", "/hello") == "hello"
