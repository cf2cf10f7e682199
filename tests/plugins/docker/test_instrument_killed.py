"""SIGKILL of the tool at every point of the journal: `--recover` leaves one running container and nothing else."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from docker_engine import Docker
from ophion_docker.instrument.journal import Journal
from ophion_docker.instrument.refuse import ID_LABEL
from ophion_docker.instrument.swap import STEPS
from tests.plugins.docker.instrument_rig import Rig, bundles, idle_python, running_rig

# Between "after" one step and "before" the next only the journal is written.
POINTS = ["before create", *(f"after {step}" for step in STEPS[:-1]), "before remove", "after remove"]
FORWARD = ("before remove", "after remove")


@pytest.fixture
async def rig(docker: Docker, tmp_path: Path) -> AsyncIterator[Rig]:
    async with running_rig(docker, tmp_path, bundles("python")) as rig:
        yield rig


async def only_container(rig: Rig) -> tuple[str, bool]:
    """Return the id of the engine's only container, which must be `idle` and run, and whether it is instrumented."""
    containers = await rig.engine.containers(every=True)
    assert [container["Names"] for container in containers] == [["/idle"]]
    inspect = await rig.engine.inspect("idle")
    assert inspect["State"]["Running"]
    assert inspect["HostConfig"]["RestartPolicy"]["Name"] == "always"
    return str(inspect["Id"]), ID_LABEL in inspect["Config"]["Labels"]


@pytest.mark.timeout(300)
async def test_instrumentation_killed_at_any_step_is_finished_or_taken_back(rig: Rig) -> None:
    original = await idle_python(rig, "idle", restart="always")
    for point in POINTS:
        killed = await rig.cli("idle", "--wait-span", "0", kill_at=point)
        assert killed.returncode == -9, (point, killed.stdout, killed.stderr)
        lines = await rig.instrumentation().recover()
        found, instrumented = await only_container(rig)
        assert instrumented == (point in FORWARD), (point, lines)
        assert lines == [f"idle: instrumentation {'finished' if instrumented else 'taken back, the original runs'}"]
        if not instrumented:
            assert found == original, point
            assert Journal(rig.state).read("idle") is None
            continue
        await rig.instrumentation().undo("idle")
        original, instrumented = await only_container(rig)
        assert not instrumented


@pytest.mark.timeout(300)
async def test_undo_killed_at_any_step_is_finished_or_taken_back(rig: Rig) -> None:
    await idle_python(rig, "idle", restart="always")
    await rig.cli("idle", "--wait-span", "0")
    # The steps are those of instrumentation, which is killed at each point above.
    for point in ("after create", "after stop", "after name", "after start", *FORWARD[:1]):
        killed = await rig.cli("--undo", "idle", kill_at=point)
        assert killed.returncode == -9, (point, killed.stdout, killed.stderr)
        lines = await rig.instrumentation().recover()
        _, instrumented = await only_container(rig)
        assert instrumented == (point not in FORWARD), (point, lines)


async def test_refuses_while_an_interrupted_run_is_not_recovered(rig: Rig) -> None:
    await idle_python(rig, "idle")
    await rig.cli("idle", kill_at="after hold")
    for arguments in (["idle"], ["--undo", "idle"]):
        done = await rig.cli(*arguments)
        assert done.returncode == 3
        assert "an earlier run was interrupted; run `ophion-agent instrument --recover` first" in done.stderr
    assert "interrupted; run --recover" in (await rig.cli("--status", "idle")).stdout


async def test_recover_says_when_there_is_nothing_to_do(rig: Rig) -> None:
    done = await rig.cli("--recover")
    assert (done.returncode, done.stdout) == (0, "nothing to recover\n")


async def test_recover_leaves_alone_what_somebody_removed(rig: Rig) -> None:
    await idle_python(rig, "idle")
    await rig.cli("idle", kill_at="before verify")
    for container in await rig.engine.containers(every=True):
        await rig.engine.remove(container["Id"], force=True)
    done = await rig.cli("--recover")
    assert "idle: its containers are gone" in done.stdout
