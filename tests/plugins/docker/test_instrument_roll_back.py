"""What goes wrong after the exchange puts the original back, running, with the reason."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import suppress
from pathlib import Path

import pytest
import pytest_asyncio

from agent_process import eventually
from docker_engine import Docker
from ophion_docker.engine_errors import EngineUnavailable, NotFound
from ophion_docker.instrument.errors import InstrumentError, Refused, RolledBack
from ophion_docker.instrument.verify import Patience
from tests.plugins.docker.instrument_images import stub_bundles
from tests.plugins.docker.instrument_rig import IDLE, Rig, idle_python, module_loop, running_rig

pytestmark = module_loop

IF_INSTRUMENTED = "import os\nif 'OPHION_INSTRUMENT_ID' in os.environ: "
# Longer than an engine under load takes to tell of an end: a crash must not pass for a start.
STEADY = Patience(telemetry=60.0, settle=5.0)
# Makes Python ignore PYTHONPATH, so that the loader never runs.
UNREACHED = ["-E"]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def home(docker: Docker, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Rig]:
    folder = tmp_path_factory.mktemp("rig")
    async with running_rig(docker, folder, stub_bundles(folder)) as rig:
        yield rig


@pytest_asyncio.fixture(loop_scope="module")
async def rig(home: Rig, tmp_path: Path) -> AsyncIterator[Rig]:
    async with home.fresh(tmp_path / "state") as rig:
        yield rig


async def assert_original_runs(rig: Rig, original: str) -> None:
    containers = await rig.engine.containers(every=True)
    assert [(one["Id"], one["Names"], one["State"]) for one in containers] == [(original, ["/idle"], "running")]


async def exchanged(rig: Rig, original: str) -> None:
    async def is_new() -> bool:
        with suppress(NotFound):  # Between the two renamings nobody has the name.
            return bool((await rig.engine.inspect("idle"))["Id"] != original)
        return False

    await eventually(is_new, "another container in the place of the original")


async def test_a_crash_is_rolled_back_and_not_tried_again(rig: Rig) -> None:
    original = await idle_python(rig, "idle", f"{IF_INSTRUMENTED}raise SystemExit(7)\n{IDLE}")
    instrumentation = rig.instrumentation()
    with pytest.raises(RolledBack, match="idle: it ended: exit code 7; rolled back, the original runs"):
        await instrumentation.instrument("idle", rig.options(patience=STEADY))
    await assert_original_runs(rig, original)

    with pytest.raises(
        Refused, match="rolled back before with this image: it ended: exit code 7; change the image, or"
    ):
        await instrumentation.instrument("idle", rig.options())
    with pytest.raises(RolledBack):
        await instrumentation.instrument("idle", rig.options(force=True, patience=STEADY))
    await assert_original_runs(rig, original)


async def test_a_crash_loop_is_rolled_back_with_its_restart_policy(rig: Rig) -> None:
    original = await idle_python(rig, "idle", f"{IF_INSTRUMENTED}raise SystemExit(7)\n{IDLE}", restart="always")
    with pytest.raises(RolledBack, match="it crashed and was restarted by the engine"):
        await rig.instrumentation().instrument("idle", rig.options(patience=STEADY))
    await assert_original_runs(rig, original)
    inspect = await rig.engine.inspect("idle")
    assert inspect["HostConfig"]["RestartPolicy"]["Name"] == "always"


async def test_a_failing_health_check_is_rolled_back(rig: Rig) -> None:
    check = {"Test": ["CMD-SHELL", '[ -z "$OPHION_INSTRUMENT_ID" ]'], "Interval": 100_000_000, "Retries": 2}
    original = await idle_python(rig, "idle", Healthcheck=check)
    with pytest.raises(RolledBack, match="its health check fails"):
        await rig.instrumentation().instrument("idle", rig.options())
    await assert_original_runs(rig, original)


async def test_no_telemetry_is_rolled_back(rig: Rig) -> None:
    original = await idle_python(rig, "idle", options=UNREACHED)
    with pytest.raises(RolledBack, match=r"no telemetry arrived within \d+ s; rolled back"):
        await rig.instrumentation().instrument("idle", rig.options(patience=Patience(telemetry=1.0)))
    await assert_original_runs(rig, original)


async def test_an_agent_that_ends_while_it_is_watched_is_a_roll_back(rig: Rig) -> None:
    original = await idle_python(rig, "idle", options=UNREACHED)
    started = asyncio.create_task(rig.instrumentation().instrument("idle", rig.options()))
    await exchanged(rig, original)
    await rig.agent.kill()
    with pytest.raises(RolledBack, match="the agent could not be watched"):
        await started
    await assert_original_runs(rig, original)


async def test_being_cancelled_puts_the_original_back(rig: Rig) -> None:
    original = await idle_python(rig, "idle", options=UNREACHED)
    started = asyncio.create_task(rig.instrumentation().instrument("idle", rig.options()))
    await exchanged(rig, original)
    started.cancel()
    with pytest.raises(asyncio.CancelledError):
        await started
    await assert_original_runs(rig, original)
    assert rig.instrumentation().records() == []  # It may be tried again.


async def test_an_undo_whose_original_does_not_come_up_leaves_the_instrumented_one(rig: Rig) -> None:
    crash = "if 'OPHION_INSTRUMENT_ID' not in os.environ and os.path.exists('/kept/x'): raise SystemExit(9)"
    script = f"import os\n{crash}\n{IDLE}"
    await idle_python(rig, "idle", script, HostConfig={"Binds": ["undo-kept:/kept"]})
    await rig.instrumentation().instrument("idle", rig.options())
    instrumented = (await rig.engine.inspect("idle"))["Id"]
    await rig.engine.execute("idle", ["sh", "-c", "echo x > /kept/x"])
    with pytest.raises(RolledBack, match="it ended: exit code 9"):
        await rig.instrumentation().undo("idle", patience=STEADY)
    await assert_original_runs(rig, instrumented)
    assert [record.phase for record in rig.instrumentation().records()] == ["instrumented"]


async def test_an_engine_that_fails_in_the_roll_back_leaves_it_to_recover(
    rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    original = await idle_python(rig, "idle")

    async def unavailable(*_: object, **__: object) -> None:
        raise EngineUnavailable("the engine is gone")

    def reached(point: str) -> None:
        if point == "before verify":
            monkeypatch.setattr(rig.engine, "inspect", unavailable)

    message = "idle: the exchange could not be ended: the engine is gone; run `ophion-agent instrument --recover` once"
    with pytest.raises(InstrumentError, match=message):
        await rig.instrumentation(reached).instrument("idle", rig.options())
    monkeypatch.undo()
    assert await rig.instrumentation().recover() == ["idle: instrumentation taken back, the original runs"]
    await assert_original_runs(rig, original)
