"""Python containers for real: Flask and gunicorn, instrumented, verified, found in the store, put back."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from docker_engine import Docker
from ophion_docker.instrument.errors import RolledBack
from tests.plugins.docker.instrument_images import PACKAGES, PYTHON, bundles, python_image
from tests.plugins.docker.instrument_rig import AT_ONCE, QUICK, Rig, idle_python, module_loop, serving_rig

pytestmark = [module_loop, pytest.mark.timeout(300)]

ENVIRONMENT = [f"{name}={value}" for name, value in AT_ONCE.items()]
TELLS = "import sys, time\nprint('instrumented', 'opentelemetry.sdk' in sys.modules, flush=True)\n"
LOGS = """
import logging, time
logging.getLogger("shop").warning("without any handler")
logging.basicConfig(format="formatted %(message)s")
logging.getLogger("shop").error("with one")
logging.getLogger("shop").info("below the level")
print("handlers", len(logging.getLogger().handlers), [p for p in sys.path if "loader" in p], flush=True)
while True: time.sleep(1)
"""


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def home(docker: Docker, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Rig]:
    async with serving_rig(docker, tmp_path_factory.mktemp("rig"), bundles("python")) as rig:
        yield rig


@pytest_asyncio.fixture(loop_scope="module")
async def rig(home: Rig, tmp_path: Path) -> AsyncIterator[Rig]:
    async with home.fresh(tmp_path / "state") as rig:
        yield rig


async def test_the_request_and_its_log_of_a_flask_application_are_found_in_the_store(rig: Rig) -> None:
    image = await python_image(rig.docker, rig.engine)
    await rig.docker.run(rig.engine, image, [str(PYTHON), "app.py"], "shop", StopTimeout=1, Env=ENVIRONMENT)
    assert await rig.get("shop", "/hello/ada") == "hello ada"

    started = asyncio.create_task(rig.cli("shop", "--wait-span", "30"))
    while not started.done():
        await rig.get_once("shop", "/hello/eve")
        await asyncio.sleep(0.2)
    done = await started
    assert done.returncode == 0, done.stdout + done.stderr + await rig.logs("shop")
    assert "found python 3.11, the agent answers at http://" in done.stdout
    said = [line.partition(" s  ")[2] for line in done.stdout.splitlines()[1:4]]
    assert said == ["restarting it", "verifying", "ready"]
    assert "first span: 'GET /hello/<name>'" in done.stdout

    assert await rig.get("shop", "/hello/eve?number=2") == "hello eve"
    trace, record = await rig.stored("shop", "number=2", "greeting eve")
    [span] = trace["spans"]
    assert (span["name"], span["kind"], span["service"]) == ("GET /hello/<name>", "server", "shop")
    assert (record["trace_id"], record["span_id"]) == (trace["trace_id"], span["span_id"])
    resource = trace["resources"][span["resource"]]["attributes"]
    assert resource["container.name"] == "shop"
    assert resource["container.id"] == (await rig.engine.inspect("shop"))["Id"]


async def test_gunicorn_workers_report(rig: Rig) -> None:
    image = await python_image(rig.docker, rig.engine)
    command = [str(PYTHON), "-m", "gunicorn", "--workers", "2", "--bind", "0.0.0.0:8000", "app:app"]
    labels = {"com.docker.compose.service": "tills"}
    await rig.docker.run(rig.engine, image, command, "gunicorn", Env=ENVIRONMENT, Labels=labels, StopTimeout=1)
    assert await rig.get("gunicorn", "/hello/ada") == "hello ada"
    outcome = await rig.instrumentation().instrument("gunicorn", rig.options())
    # Without a request there is a ready span, and none of the application.
    assert (outcome.name, outcome.language, outcome.first_span) == ("gunicorn", "python", "")

    for name in ("one", "two", "three"):
        assert await rig.get("gunicorn", f"/hello/{name}") == f"hello {name}"
    trace, record = await rig.stored("tills", "/hello/three", "greeting three")
    assert [span["name"] for span in trace["spans"]] == ["GET /hello/<name>"]
    assert record["service"] == "tills"
    await rig.instrumentation().undo("gunicorn", patience=QUICK)
    assert await rig.get("gunicorn", "/hello/four") == "hello four"


async def test_executed_programs_are_left_alone_and_the_switch_disables_the_loader(rig: Rig) -> None:
    await idle_python(rig, "idle", f"{TELLS}while True: time.sleep(1)")
    await rig.instrumentation().instrument("idle", rig.options())
    await rig.wrote("idle", "instrumented True")
    executed = await rig.engine.execute("idle", [str(PYTHON), "-c", TELLS])
    assert executed.stdout == b"instrumented False\n"

    await rig.engine.execute("idle", ["sh", "-c", ": > /tmp/ophion-instrument-disabled"])
    await rig.engine.restart("idle", seconds=0)
    await rig.wrote("idle", "instrumented False")


async def test_the_applications_own_output_stays_as_it_was(rig: Rig) -> None:
    await idle_python(rig, "idle", f"import sys\n{LOGS}", Env=[f"PYTHONPATH={PACKAGES}", *ENVIRONMENT])
    before = sorted((await rig.wrote("idle", "handlers")).splitlines())
    await rig.instrumentation().instrument("idle", rig.options())
    assert sorted((await rig.wrote("idle", "handlers")).splitlines()) == before
    await rig.wait_for("logRecords", lambda _, record: record["body"] == {"stringValue": "with one"})
    bodies = [record["body"]["stringValue"] for _, record in rig.received("logRecords")]
    assert bodies == ["without any handler", "with one"]


async def test_the_loader_tells_why_an_application_cannot_be_instrumented(rig: Rig, tmp_path: Path) -> None:
    (tmp_path / "old/wrapt-0.9.dist-info").mkdir(parents=True)
    (tmp_path / "old/wrapt-0.9.dist-info/METADATA").write_text("Name: wrapt\nVersion: 0.9\n")
    host = {"Binds": [f"{tmp_path}/old:/old:ro"]}
    original = await idle_python(rig, "idle", Env=[f"PYTHONPATH=/old:{PACKAGES}"], HostConfig=host)
    reason = r"the application brings wrapt 0\.9, the instrumentation needs <3"
    with pytest.raises(RolledBack, match=reason):
        await rig.instrumentation().instrument("idle", rig.options())
    containers = await rig.engine.containers(every=True)
    assert [(one["Id"], one["State"]) for one in containers] == [(original, "running")]
