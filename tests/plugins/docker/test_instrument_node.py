"""Node.js containers for real: CommonJS and ESM, on the versions that each set of packages is for."""

import json
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from docker_engine import Docker
from tests.plugins.docker.instrument_images import bundles, node_image
from tests.plugins.docker.instrument_rig import AT_ONCE, QUICK, Rig, module_loop, serving_rig

pytestmark = [module_loop, pytest.mark.timeout(300)]

ENVIRONMENT = ["NODE_OPTIONS=--no-warnings", *(f"{name}={value}" for name, value in AT_ONCE.items())]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def home(docker: Docker, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Rig]:
    async with serving_rig(docker, tmp_path_factory.mktemp("rig"), bundles("nodejs")) as rig:
        yield rig


@pytest_asyncio.fixture(loop_scope="module")
async def rig(home: Rig, tmp_path: Path) -> AsyncIterator[Rig]:
    async with home.fresh(tmp_path / "state") as rig:
        yield rig


async def started(rig: Rig, major: str, file: str, service: str) -> None:
    """Start the application; as process 1 it does not end by SIGTERM unless it is instrumented."""
    image = await node_image(rig.docker, rig.engine, major)
    await rig.docker.run(rig.engine, image, ["/bin/node", f"/app/{file}"], service, Env=ENVIRONMENT, StopTimeout=0)
    assert await rig.get(service, "/before") == "hello"


@pytest.mark.parametrize("file", ["app.cjs", "app.mjs"])
@pytest.mark.parametrize("major", ["20", "22"])
async def test_a_request_and_its_log_are_found_in_the_store(rig: Rig, major: str, file: str) -> None:
    service = f"web-{major}-{file[-3:]}"
    await started(rig, major, file, service)
    said: list[str] = []
    await rig.instrumentation(say=said.append).instrument(service, rig.options())
    assert said[0].startswith(f"found nodejs {major}.")

    assert await rig.get(service, "/order") == "hello"
    trace, record = await rig.stored(service, "/order", "asked for /order")
    span = next(span for span in trace["spans"] if span["kind"] == "server")
    assert (record["trace_id"], record["span_id"]) == (trace["trace_id"], span["span_id"])
    resource = trace["resources"][span["resource"]]["attributes"]
    assert (resource["service.name"], resource["container.name"]) == (service, service)

    environment = json.loads(await rig.get(service, "/environment"))
    assert environment["instrumented"] == "true"
    assert environment["NODE_OPTIONS"] == "--no-warnings --require /opt/ophion-instrument/register.js"
    assert "OTEL_TRACES_EXPORTER" not in environment
    assert "Error" not in await rig.logs(service)


async def test_it_stops_as_fast_as_before_and_is_put_back(rig: Rig) -> None:
    await started(rig, "20", "app.mjs", "web")
    done = await rig.cli("web", "--wait-span", "0")
    assert done.returncode == 0, done.stdout + done.stderr + await rig.logs("web")
    await rig.engine.stop("web", seconds=6)
    # It ended by itself: the engine kills what is still there after these seconds, and that ends with 137.
    assert (await rig.engine.inspect("web"))["State"]["ExitCode"] != 137
    await rig.engine.start("web")
    await rig.instrumentation().undo("web", patience=QUICK)
    assert (await rig.engine.inspect("web"))["Config"]["Env"] == ENVIRONMENT
    assert await rig.get("web", "/after") == "hello"


async def test_executed_programs_are_left_alone_and_the_switch_disables_the_loader(rig: Rig) -> None:
    await started(rig, "20", "app.cjs", "web")
    await rig.instrumentation().instrument("web", rig.options())
    assert json.loads(await rig.get("web", "/environment"))["instrumented"] == "true"
    tells = "console.log(Symbol.for('opentelemetry.js.api.1') in globalThis)"
    executed = await rig.engine.execute("web", ["/bin/node", "-e", tells])
    assert executed.stdout == b"false\n"

    await rig.engine.execute("web", ["sh", "-c", ": > /tmp/ophion-instrument-disabled"])
    await rig.engine.restart("web", seconds=0)
    assert json.loads(await rig.get("web", "/environment"))["instrumented"] == "false"
