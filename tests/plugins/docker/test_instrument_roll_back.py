"""What goes wrong after the exchange puts the original back, running, with the reason; refusals on a real engine."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from agent_process import eventually
from docker_engine import Docker
from ophion_docker.engine_errors import EngineUnavailable, NotFound
from ophion_docker.instrument.errors import InstrumentError, Refused, RolledBack
from ophion_docker.instrument.survey import Options
from ophion_docker.instrument.verify import PATIENCE, Patience
from tests.plugins.docker.instrument_rig import Rig, bundles, flask_packages, idle_python, python_image, running_rig

IDLE = "import time\nwhile True: time.sleep(1)"
IF_INSTRUMENTED = "import os\nif 'OPHION_INSTRUMENT_ID' in os.environ: "


@pytest.fixture
async def rig(docker: Docker, tmp_path: Path) -> AsyncIterator[Rig]:
    async with running_rig(docker, tmp_path, bundles("python")) as rig:
        yield rig


QUICK = Patience(telemetry=30.0, settle=0.5)


def options(rig: Rig, **changes: Any) -> Options:
    return Options(bundles=rig.bundles, **{"patience": QUICK, **changes})


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
        await instrumentation.instrument("idle", options(rig, patience=PATIENCE))
    await assert_original_runs(rig, original)

    with pytest.raises(
        Refused, match="rolled back before with this image: it ended: exit code 7; change the image, or"
    ):
        await instrumentation.instrument("idle", options(rig))
    with pytest.raises(RolledBack):
        await instrumentation.instrument("idle", options(rig, patience=PATIENCE, force=True))
    await assert_original_runs(rig, original)


async def test_a_crash_loop_is_rolled_back_with_its_restart_policy(rig: Rig) -> None:
    original = await idle_python(rig, "idle", f"{IF_INSTRUMENTED}raise SystemExit(7)\n{IDLE}", restart="always")
    with pytest.raises(RolledBack, match="it crashed and was restarted by the engine"):
        await rig.instrumentation().instrument("idle", options(rig, patience=PATIENCE))
    await assert_original_runs(rig, original)
    inspect = await rig.engine.inspect("idle")
    assert inspect["HostConfig"]["RestartPolicy"]["Name"] == "always"


async def test_a_failing_health_check_is_rolled_back(rig: Rig) -> None:
    check = {"Test": ["CMD-SHELL", '[ -z "$OPHION_INSTRUMENT_ID" ]'], "Interval": 100_000_000, "Retries": 2}
    original = await idle_python(rig, "idle", Healthcheck=check)
    with pytest.raises(RolledBack, match="its health check fails"):
        await rig.instrumentation().instrument("idle", options(rig))
    await assert_original_runs(rig, original)


async def test_no_telemetry_is_rolled_back(rig: Rig) -> None:
    # -E makes Python ignore PYTHONPATH, so the loader never runs.
    image = await python_image(rig.docker, rig.engine)
    command = ["/usr/bin/python3.11", "-E", "-c", IDLE]
    original = await rig.docker.run(rig.engine, image, command, "idle", StopSignal="SIGKILL")
    with pytest.raises(RolledBack, match="no telemetry arrived within 2 s"):
        await rig.instrumentation().instrument("idle", options(rig, patience=Patience(telemetry=2.0)))
    await assert_original_runs(rig, original)


async def test_the_loader_tells_why_an_application_cannot_be_instrumented(rig: Rig) -> None:
    metadata = {"/old/wrapt-0.9.dist-info/METADATA": "Name: wrapt\nVersion: 0.9\n"}
    image = await python_image(rig.docker, rig.engine, metadata, "old:1.0")
    command = ["/usr/bin/python3.11", "-c", IDLE]
    environment = [f"PYTHONPATH=/old:{flask_packages()}"]
    original = await rig.docker.run(rig.engine, image, command, "idle", StopSignal="SIGKILL", Env=environment)
    reason = r"the application brings wrapt 0\.9, the instrumentation needs <3"
    with pytest.raises(RolledBack, match=reason):
        await rig.instrumentation().instrument("idle", options(rig))
    await assert_original_runs(rig, original)


async def test_an_agent_that_ends_while_it_is_watched_is_a_roll_back(rig: Rig) -> None:
    script = f"{IF_INSTRUMENTED}time.sleep(0)\n{IDLE}".replace("import os", "import os, time")
    image = await python_image(rig.docker, rig.engine)
    command = ["/usr/bin/python3.11", "-E", "-c", script]
    original = await rig.docker.run(rig.engine, image, command, "idle", StopSignal="SIGKILL")
    started = asyncio.create_task(rig.instrumentation().instrument("idle", options(rig)))
    await exchanged(rig, original)
    await rig.agent.kill()
    with pytest.raises(RolledBack, match="the agent could not be watched"):
        await started
    await assert_original_runs(rig, original)


async def test_being_cancelled_puts_the_original_back(rig: Rig) -> None:
    image = await python_image(rig.docker, rig.engine)
    command = ["/usr/bin/python3.11", "-E", "-c", IDLE]
    original = await rig.docker.run(rig.engine, image, command, "idle", StopSignal="SIGKILL")
    started = asyncio.create_task(rig.instrumentation().instrument("idle", options(rig)))
    await exchanged(rig, original)
    started.cancel()
    with pytest.raises(asyncio.CancelledError):
        await started
    await assert_original_runs(rig, original)
    assert rig.instrumentation().records() == []  # It may be tried again.


async def test_an_undo_whose_original_does_not_come_up_leaves_the_instrumented_one(rig: Rig) -> None:
    crash = "if 'OPHION_INSTRUMENT_ID' not in os.environ and os.path.exists('/kept/x'): raise SystemExit(9)"
    script = f"import os\n{crash}\n{IDLE}"
    host = {"Binds": ["undo-kept:/kept"]}
    await idle_python(rig, "idle", script, HostConfig=host)
    await rig.instrumentation().instrument("idle", options(rig))
    instrumented = (await rig.engine.inspect("idle"))["Id"]
    await rig.engine.execute("idle", ["sh", "-c", "echo x > /kept/x"])
    with pytest.raises(RolledBack, match="it ended: exit code 9"):
        await rig.instrumentation().undo("idle", patience=QUICK)
    await assert_original_runs(rig, instrumented)
    assert "instrumented" in (await rig.cli("--list")).stdout


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
        await instrumentation.instrument("idle", options(rig))
    await instrumentation.instrument("idle", options(rig, commit_changes=True))
    kept = await rig.engine.execute("idle", ["sh", "-c", "read x < /app/orders.txt; echo $x"])
    assert kept.stdout == b"42\n"
    await instrumentation.undo("idle", force=True, patience=QUICK)
    kept = await rig.engine.execute("idle", ["sh", "-c", "read x < /app/orders.txt; echo $x"])
    assert kept.stdout == b"42\n"


async def test_refuses_what_cannot_reach_the_agent(rig: Rig) -> None:
    await idle_python(rig, "idle")
    with pytest.raises(
        Refused, match=r"idle: cannot reach the agent at [\d.]+ port 9; let the otlp receiver listen there"
    ):
        await rig.instrumentation().instrument("idle", options(rig, port=9))


async def test_refuses_without_an_agent(rig: Rig) -> None:
    await idle_python(rig, "idle")
    await rig.agent.stop()
    done = await rig.cli("idle")
    assert done.returncode == 3
    assert "no agent answers on the control socket" in done.stderr
    assert "start ophion-agent, or name its socket with --socket" in done.stderr


async def test_refuses_unknown_containers_other_languages_and_the_instrumented(rig: Rig) -> None:
    instrumentation = rig.instrumentation()
    with pytest.raises(Refused, match="nothing: there is no such container; see `docker ps`"):
        await instrumentation.instrument("nothing", options(rig))
    image = await python_image(rig.docker, rig.engine)
    await rig.docker.run(rig.engine, image, ["sleep", "60"], "sleeper", StopSignal="SIGKILL")
    with pytest.raises(Refused, match="sleeper: no known language runtime runs in it"):
        await instrumentation.instrument("sleeper", options(rig))
    with pytest.raises(Refused, match="sleeper: it is not instrumented, or not from this host's journal"):
        await instrumentation.undo("sleeper")
    await idle_python(rig, "idle")
    with pytest.raises(Refused, match="idle: no nodejs process runs in it, found python; leave the language out"):
        await instrumentation.instrument("idle", options(rig, language="nodejs"))
    await instrumentation.instrument("idle", options(rig))
    with pytest.raises(Refused, match="idle: it is instrumented already; see --status, or --undo it first"):
        await instrumentation.instrument("idle", options(rig))


async def test_refuses_to_undo_a_container_that_somebody_made_again(rig: Rig) -> None:
    await idle_python(rig, "idle")
    await rig.instrumentation().instrument("idle", options(rig))
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
        await rig.instrumentation().instrument("idle", options(rig))
        assert (await rig.engine.inspect("idle"))["Image"] == before
        await rig.instrumentation().undo("idle", patience=QUICK)
        assert (await rig.engine.inspect("idle"))["Image"] == before
    finally:
        await rig.engine.tag_image("flask-kept", "flask", "latest")


async def test_says_what_it_would_do_and_what_it_did(rig: Rig) -> None:
    original = await idle_python(rig, "idle")
    planned = await rig.cli("--dry-run", "idle")
    assert planned.returncode == 0, planned.stderr
    assert "idle: can be instrumented; nothing was changed\n  language   python 3.11 (glibc)" in planned.stdout
    await assert_original_runs(rig, original)
    assert (await rig.cli("--list")).stdout == "no container was instrumented\n"
    assert (await rig.cli("--status", "idle")).stdout == "idle: not instrumented\n"
    await rig.instrumentation().instrument("idle", options(rig))
    assert (await rig.cli("--list")).stdout.startswith("idle  python  instrumented  running  ")
    assert "  container  running\n  language   python\n" in (await rig.cli("--status", "idle")).stdout


async def test_a_container_in_the_hosts_network_reports_over_loopback(rig: Rig) -> None:
    await idle_python(rig, "idle", HostConfig={"NetworkMode": "host"})
    outcome = await rig.instrumentation().instrument("idle", options(rig))
    assert outcome.endpoint.startswith("http://127.0.0.1:")
    await rig.instrumentation().undo("idle", patience=QUICK)
    assert (await rig.engine.inspect("idle"))["HostConfig"]["NetworkMode"] == "host"


async def test_refuses_processes_that_are_not_to_be_seen(rig: Rig, tmp_path: Path) -> None:
    await idle_python(rig, "idle")
    with pytest.raises(
        Refused, match=r"idle: its process \d+ is not in .*; run on the engine's host, or name its /proc"
    ):
        await rig.instrumentation().instrument("idle", options(rig, proc=tmp_path))


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
        await rig.instrumentation(reached).instrument("idle", options(rig))
    monkeypatch.undo()
    assert await rig.instrumentation().recover() == ["idle: instrumentation taken back, the original runs"]
    await assert_original_runs(rig, original)
