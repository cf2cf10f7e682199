"""Python containers for real: Flask and gunicorn, instrumented, verified, put back."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from agent_process import eventually
from docker_engine import Docker
from ophion_docker.instrument.agent import AgentSocket
from ophion_docker.instrument.journal import Journal
from ophion_docker.instrument.service import Instrumentation
from ophion_docker.instrument.survey import Options
from ophion_docker.instrument.verify import Patience
from tests.plugins.docker.instrument_rig import Rig, bundles, idle_python, python_image, running_rig

QUICK = Patience(telemetry=60.0, settle=0.5)


@pytest.fixture
async def rig(docker: Docker, tmp_path: Path) -> AsyncIterator[Rig]:
    async with running_rig(docker, tmp_path, bundles("python")) as rig:
        yield rig


async def test_flask_reports_spans_and_correlated_logs(rig: Rig) -> None:
    image = await python_image(rig.docker, rig.engine)
    await rig.docker.run(rig.engine, image, ["/usr/bin/python3.11", "app.py"], "shop", StopTimeout=1)
    assert await rig.get("shop", "/hello/ada") == "hello ada"

    done = await rig.cli("shop", "--wait-span", "0")
    assert done.returncode == 0, done.stdout + done.stderr + await rig.logs("shop")
    assert "ready" in done.stdout

    assert await rig.get("shop", "/hello/eve") == "hello eve"
    resource, span = await rig.wait_for("spans", lambda _, span: span["name"] == "GET /hello/<name>")
    assert resource["service.name"] == "shop"
    assert resource["container.name"] == "shop"
    _, record = await rig.wait_for("logRecords", lambda _, record: record["body"] == {"stringValue": "greeting eve"})
    assert record["traceId"] == span["traceId"]


async def test_gunicorn_workers_report(rig: Rig) -> None:
    image = await python_image(rig.docker, rig.engine)
    command = ["/usr/bin/python3.11", "-m", "gunicorn", "--workers", "2", "--bind", "0.0.0.0:8000", "app:app"]
    await rig.docker.run(rig.engine, image, command, "shop")
    assert await rig.get("shop", "/hello/ada") == "hello ada"
    outcome = await rig.instrumentation().instrument("shop", Options(bundles=rig.bundles, patience=QUICK))
    assert (outcome.name, outcome.language, outcome.first_span) == ("shop", "python", "")

    for name in ("one", "two", "three"):
        assert await rig.get("shop", f"/hello/{name}") == f"hello {name}"
    resource, span = await rig.wait_for("spans", lambda _, span: span["name"] == "GET /hello/<name>")
    assert resource["service.name"] == "shop"
    assert span["kind"] == 2
    await rig.wait_for("logRecords", lambda _, record: record["body"] == {"stringValue": "greeting three"})


async def test_the_first_span_of_the_application_is_told_apart_from_ready(rig: Rig) -> None:
    image = await python_image(rig.docker, rig.engine)
    await rig.docker.run(rig.engine, image, ["/usr/bin/python3.11", "app.py"], "shop", StopTimeout=1)
    await rig.get("shop", "/hello/ada")
    said: list[str] = []
    service = Instrumentation(rig.engine, AgentSocket(rig.agent.socket), Journal(rig.state), said.append)
    started = asyncio.create_task(
        service.instrument("shop", Options(bundles=rig.bundles, patience=QUICK), span_seconds=30.0)
    )
    await eventually(lambda: "ready" in said or started.done(), "ready")
    await rig.get("shop", "/hello/eve")
    outcome = await started
    assert outcome.first_span == "GET /hello/<name>"
    assert said[0].startswith("found python 3.11, the agent answers at http://")
    assert said[1:] == ["restarting it", "verifying", "ready"]


TELLS = "import sys, time\nprint('instrumented', 'opentelemetry.sdk' in sys.modules, flush=True)\n"


async def test_executed_programs_are_left_alone_and_the_switch_disables_the_loader(rig: Rig) -> None:
    await idle_python(rig, "idle", f"{TELLS}while True: time.sleep(1)")
    await rig.instrumentation().instrument("idle", Options(bundles=rig.bundles, patience=QUICK))
    assert "instrumented True" in await rig.logs("idle")
    executed = await rig.engine.execute("idle", ["/usr/bin/python3.11", "-c", TELLS])
    assert executed.stdout == b"instrumented False\n"

    await rig.engine.execute("idle", ["sh", "-c", ": > /tmp/ophion-instrument-disabled"])
    await rig.engine.restart("idle", seconds=0)
    assert "instrumented False" in await eventually_logged(rig, "instrumented False")


async def eventually_logged(rig: Rig, text: str) -> str:
    async def logged() -> str:
        found = await rig.logs("idle")
        return found if text in found else ""

    return str(await eventually(logged, text))


async def test_the_applications_own_output_stays_as_it_was(rig: Rig) -> None:
    script = """
import logging, sys, time
logging.getLogger("shop").warning("without any handler")
logging.basicConfig(format="formatted %(message)s")
logging.getLogger("shop").error("with one")
logging.getLogger("shop").info("below the level")
print("handlers", len(logging.getLogger().handlers), [p for p in sys.path if "loader" in p], flush=True)
while True: time.sleep(1)
"""
    await idle_python(rig, "idle", script)
    before = await eventually_logged(rig, "handlers")
    await rig.instrumentation().instrument("idle", Options(bundles=rig.bundles, patience=QUICK))
    assert await eventually_logged(rig, "handlers") == before
    bodies = [record["body"]["stringValue"] for _, record in rig.received("logRecords")]
    assert bodies in ([], ["without any handler", "with one"])
    await rig.wait_for("logRecords", lambda _, record: record["body"] == {"stringValue": "with one"})
