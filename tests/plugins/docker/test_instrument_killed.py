"""SIGKILL of the tool at every point of the journal: `--recover` leaves one running container and nothing else."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from pathlib import Path

import pytest
import pytest_asyncio

from docker_engine import Docker
from ophion_docker.instrument.errors import Refused
from ophion_docker.instrument.journal import Journal
from ophion_docker.instrument.refuse import ID_LABEL
from ophion_docker.instrument.swap import STEPS
from tests.plugins.docker.instrument_images import stub_bundles
from tests.plugins.docker.instrument_rig import Rig, idle_python, module_loop, running_rig

pytestmark = module_loop

# Between "after" one step and "before" the next only the journal is written.
POINTS = ["before create", *(f"after {step}" for step in STEPS[:-1]), "before remove", "after remove"]
FORWARD = ("before remove", "after remove")
# The steps of an undo are those of instrumentation, which is killed at each point above.
UNDO_POINTS = ["after create", "after stop", "after name", "after start", "before remove"]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def home(docker: Docker, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Rig]:
    folder = tmp_path_factory.mktemp("rig")
    async with running_rig(docker, folder, stub_bundles(folder)) as rig:
        yield rig


@pytest_asyncio.fixture(loop_scope="module")
async def rig(home: Rig, tmp_path: Path) -> AsyncIterator[Rig]:
    async with home.fresh(tmp_path / "state") as rig:
        yield rig


def named(point: str) -> str:
    """Return the name of the container, and of the journal, that a point is tried on."""
    return f"idle-{point.replace(' ', '-')}"


async def containers(rig: Rig, points: Sequence[str]) -> dict[str, tuple[str, bool]]:
    """Return by point the id of its container and whether that is instrumented.

    There must be no other container, and each must run with the restart policy of its original.
    """
    every = await rig.engine.containers(every=True)
    assert sorted(container["Names"][0] for container in every) == sorted(f"/{named(point)}" for point in points)
    found = {}
    for point in points:
        inspect = await rig.engine.inspect(named(point))
        assert inspect["State"]["Running"], point
        assert inspect["HostConfig"]["RestartPolicy"]["Name"] == "always", point
        found[point] = (str(inspect["Id"]), ID_LABEL in inspect["Config"]["Labels"])
    return found


async def recovered(rig: Rig, point: str) -> list[str]:
    return await rig.instrumentation(state=named(point)).recover()


@pytest.mark.timeout(180)
async def test_instrumentation_killed_at_any_step_is_finished_or_taken_back(rig: Rig) -> None:
    originals = {point: await idle_python(rig, named(point), restart="always") for point in POINTS}
    words = {point: rig.words(named(point), "--wait-span", "0", state=named(point)) for point in POINTS}
    ended = await rig.cli_at_once(*((words[point], point) for point in POINTS))
    assert [done.returncode for done in ended] == [-9] * len(POINTS), [done.stderr for done in ended]

    lines = {point: await recovered(rig, point) for point in POINTS}
    for point, (found, instrumented) in (await containers(rig, POINTS)).items():
        assert instrumented == (point in FORWARD), (point, lines)
        how = "finished" if instrumented else "taken back, the original runs"
        assert lines[point] == [f"{named(point)}: instrumentation {how}"]
        if not instrumented:
            assert found == originals[point], point
            assert Journal(rig.state.with_name(named(point))).read(named(point)) is None


@pytest.mark.timeout(180)
async def test_undo_killed_at_any_step_is_finished_or_taken_back(rig: Rig) -> None:
    for point in UNDO_POINTS:
        await idle_python(rig, named(point), restart="always")
    instrument = (rig.instrumentation(state=named(point)).instrument for point in UNDO_POINTS)
    await asyncio.gather(
        *(one(named(point), rig.options()) for one, point in zip(instrument, UNDO_POINTS, strict=True))
    )
    words = {point: rig.words("--undo", named(point), state=named(point)) for point in UNDO_POINTS}
    ended = await rig.cli_at_once(*((words[point], point) for point in UNDO_POINTS))
    assert [done.returncode for done in ended] == [-9] * len(UNDO_POINTS), [done.stderr for done in ended]

    lines = {point: await recovered(rig, point) for point in UNDO_POINTS}
    for point, (_, instrumented) in (await containers(rig, UNDO_POINTS)).items():
        assert instrumented == (point not in FORWARD), (point, lines)


async def test_refuses_while_an_interrupted_run_is_not_recovered(rig: Rig) -> None:
    await idle_python(rig, "idle")
    await rig.cli_at_once((rig.words("idle"), "after hold"))
    for attempt in (rig.instrumentation().instrument("idle", rig.options()), rig.instrumentation().undo("idle")):
        with pytest.raises(Refused, match="an earlier run was interrupted; run `ophion-agent instrument --recover` fi"):
            await attempt
    asked = (rig.words("--status", "idle"), rig.words("--recover", state="another"), rig.words("--recover"))
    status, nothing, done = await rig.cli_at_once(*((words, "") for words in asked))
    assert "interrupted; run --recover" in status.stdout
    assert (nothing.returncode, nothing.stdout) == (0, "nothing to recover\n")
    assert (done.returncode, done.stdout) == (0, "idle: instrumentation taken back, the original runs\n")


async def test_recover_leaves_alone_what_somebody_removed(rig: Rig) -> None:
    await idle_python(rig, "idle")
    await rig.cli_at_once((rig.words("idle"), "before verify"))
    for container in await rig.engine.containers(every=True):
        await rig.engine.remove(container["Id"], force=True)
    [line] = await rig.instrumentation().recover()
    assert line.startswith("idle: its containers are gone")
