"""Containers of a real engine: what is refused before they are touched, what is kept, what the command line says."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from agent_process import eventually
from docker_engine import Docker
from ophion_docker.instrument.errors import Refused
from tests.plugins.docker.instrument_images import python_image, stub_bundles
from tests.plugins.docker.instrument_rig import IDLE, QUICK, Rig, idle_python, module_loop, running_rig

pytestmark = module_loop


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def home(docker: Docker, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Rig]:
    folder = tmp_path_factory.mktemp("rig")
    async with running_rig(docker, folder, stub_bundles(folder)) as rig:
        yield rig


@pytest_asyncio.fixture(loop_scope="module")
async def rig(home: Rig, tmp_path: Path) -> AsyncIterator[Rig]:
    async with home.fresh(tmp_path / "state") as rig:
        yield rig


async def test_files_in_the_writable_layer_are_refused_or_kept(rig: Rig) -> None:
    writes = (
        "open('/tmp/scratch', 'w')\nif not os.path.exists('/app/orders.txt'): open('/app/orders.txt', 'w').write('42')"
    )
    await idle_python(rig, "idle", f"import os\n{writes}\n{IDLE}")
    instrumentation = rig.instrumentation()

    async def written() -> bool:
        return any(change["Path"] == "/app/orders.txt" for change in await rig.engine.changes("idle"))

    await eventually(written, "the file")
    with pytest.raises(
        Refused, match=r"it wrote files that would be lost: /app/orders\.txt; move them to a volume, or"
    ):
        await instrumentation.instrument("idle", rig.options())
    await instrumentation.instrument("idle", rig.options(commit_changes=True))
    kept = await rig.engine.execute("idle", ["sh", "-c", "read x < /app/orders.txt; echo $x"])
    assert kept.stdout == b"42\n"
    await instrumentation.undo("idle", force=True, patience=QUICK)
    kept = await rig.engine.execute("idle", ["sh", "-c", "read x < /app/orders.txt; echo $x"])
    assert kept.stdout == b"42\n"


async def test_refuses_what_cannot_reach_the_agent_and_processes_that_are_not_to_be_seen(
    rig: Rig, tmp_path: Path
) -> None:
    original = await idle_python(rig, "idle")
    with pytest.raises(
        Refused, match=r"idle: cannot reach the agent at [\d.]+ port 9; let the otlp receiver listen there"
    ):
        await rig.instrumentation().instrument("idle", rig.options(port=9))
    with pytest.raises(
        Refused, match=r"idle: its process \d+ is not in .*; run on the engine's host, or name its /proc"
    ):
        await rig.instrumentation().instrument("idle", rig.options(proc=tmp_path))
    assert (await rig.engine.inspect("idle"))["Id"] == original


async def test_refuses_without_an_agent(rig: Rig, tmp_path: Path) -> None:
    await idle_python(rig, "idle")
    done = await rig.cli("idle", socket=tmp_path / "none.sock")
    assert done.returncode == 3
    assert "no agent answers on the control socket" in done.stderr
    assert "start ophion-agent, or name its socket with --socket" in done.stderr


async def test_refuses_unknown_containers_other_languages_and_the_instrumented(rig: Rig) -> None:
    instrumentation = rig.instrumentation()
    with pytest.raises(Refused, match="nothing: there is no such container; see `docker ps`"):
        await instrumentation.instrument("nothing", rig.options())
    image = await python_image(rig.docker, rig.engine)
    await rig.docker.run(rig.engine, image, ["sleep", "60"], "sleeper", StopSignal="SIGKILL")
    with pytest.raises(Refused, match="sleeper: no known language runtime runs in it"):
        await instrumentation.instrument("sleeper", rig.options())
    with pytest.raises(Refused, match="sleeper: it is not instrumented, or not from this host's journal"):
        await instrumentation.undo("sleeper")
    await idle_python(rig, "idle")
    with pytest.raises(Refused, match="idle: no nodejs process runs in it, found python; leave the language out"):
        await instrumentation.instrument("idle", rig.options(language="nodejs"))
    await instrumentation.instrument("idle", rig.options())
    with pytest.raises(Refused, match="idle: it is instrumented already; see --status, or --undo it first"):
        await instrumentation.instrument("idle", rig.options())


async def test_refuses_to_undo_a_container_that_somebody_made_again(rig: Rig) -> None:
    await idle_python(rig, "idle")
    await rig.instrumentation().instrument("idle", rig.options())
    await rig.engine.remove("idle", force=True)
    await idle_python(rig, "idle")
    with pytest.raises(
        Refused, match="idle: it is another container than the one instrumented; somebody re-created it"
    ):
        await rig.instrumentation().undo("idle", patience=QUICK)


async def test_keeps_the_image_that_ran_when_its_name_moved_on(rig: Rig) -> None:
    await idle_python(rig, "idle")
    before = (await rig.engine.inspect("idle"))["Image"]
    other = await rig.docker.image(rig.engine, "other:1.0", ["sh"])
    await rig.engine.tag_image(before, "flask-kept", "latest")
    await rig.engine.tag_image(other, "flask", "latest")
    try:
        await rig.instrumentation().instrument("idle", rig.options())
        assert (await rig.engine.inspect("idle"))["Image"] == before
        await rig.instrumentation().undo("idle", patience=QUICK)
        assert (await rig.engine.inspect("idle"))["Image"] == before
    finally:
        await rig.engine.tag_image("flask-kept", "flask", "latest")


async def test_says_what_it_would_do_and_what_it_did(rig: Rig) -> None:
    original = await idle_python(rig, "idle")
    asked = [(rig.words(*words), "") for words in (("--dry-run", "idle"), ("--list",), ("--status", "idle"))]
    planned, listed, status = await rig.cli_at_once(*asked)
    assert planned.returncode == 0, planned.stderr
    assert "idle: can be instrumented; nothing was changed\n  language   python 3.11 (glibc)" in planned.stdout
    assert (await rig.engine.inspect("idle"))["Id"] == original
    assert listed.stdout == "no container was instrumented\n"
    assert status.stdout == "idle: not instrumented\n"

    done = await rig.cli("idle", "--wait-span", "0")
    assert done.returncode == 0, done.stderr
    assert "idle: ready, python telemetry arrives at http://" in done.stdout
    assert "no span of the application yet: no request?" in done.stdout
    _, listed, status = await rig.cli_at_once(*asked)
    assert listed.stdout.startswith("idle  python  instrumented  running  ")
    assert "  container  running\n  language   python\n" in status.stdout


async def test_a_container_in_the_hosts_network_reports_over_loopback(rig: Rig) -> None:
    await idle_python(rig, "idle", HostConfig={"NetworkMode": "host"})
    outcome = await rig.instrumentation().instrument("idle", rig.options())
    assert outcome.endpoint.startswith("http://127.0.0.1:")
    await rig.instrumentation().undo("idle", patience=QUICK)
    assert (await rig.engine.inspect("idle"))["HostConfig"]["NetworkMode"] == "host"
