"""docker_observer instruments what its policy names: on a real engine, and killed, stopped and reloaded on the way."""

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import yaml

from agent_process import AgentProcess, eventually, free_port
from docker_engine import Docker
from ophion_docker.instrument.journal import ROLLED_BACK, Journal
from ophion_docker.instrument.refuse import ID_LABEL
from tests.plugins.docker.instrument_images import PYTHON, bundles, python_image, stub_bundles
from tests.plugins.docker.instrument_rig import AT_ONCE, IDLE, QUICK, Rig, agent_config, remove_containers

LABELS = {"ophion.instrument": "true"}
BREAKS = f"import os, sys\nif 'OPHION_INSTRUMENT_ID' in os.environ: sys.exit(3)\n{IDLE}"
COUNTER = "ophion_docker_observer_instrumentations"


def observing(output: Path, port: int, address: str, state: Path, **policy: Any) -> dict[str, Any]:
    """Return an agent that instruments containers with the label, without long waits."""
    config = agent_config(output, port)
    instrument = {
        "match": {"labels": LABELS}, "delay": "200ms", "retry_interval": "500ms", "state": str(state), "timeout": "30s",
        **policy,
    }  # fmt: skip
    config["receivers"]["docker_observer"] = {"endpoint": address, "instrument": instrument}
    config["service"]["pipelines"]["logs"] = {"receivers": ["otlp", "docker_observer"], "exporters": ["file"]}
    return config


@asynccontextmanager
async def automatic(docker: Docker, folder: Path, **policy: Any) -> AsyncIterator[Rig]:
    """Give a rig whose agent is not started yet; without `bundles` in the policy its loader is a quick stand-in."""
    output, state = folder / "received.jsonl", folder / "state"
    used = Path(policy.pop("bundles", "") or stub_bundles(folder))
    config = observing(output, free_port(), docker.address, state, bundles=str(used), **policy)
    agent = AgentProcess(folder / "agent", config)
    async with docker.client() as engine:
        try:
            yield Rig(docker, engine, agent, output, state, used)
        finally:
            if agent.is_running:
                await agent.stop()
            await remove_containers(engine)


async def run_python(rig: Rig, name: str, script: str = IDLE, image: str = "", **body: Any) -> str:
    image = image or await python_image(rig.docker, rig.engine)
    labels = body.pop("Labels", LABELS)
    command = [str(PYTHON), "-c", script]
    return await rig.docker.run(rig.engine, image, command, name, StopSignal="SIGKILL", Labels=labels, **body)


async def is_instrumented(rig: Rig, name: str) -> bool:
    inspect = await rig.engine.inspect(name)
    assert inspect["State"]["Running"], name
    return ID_LABEL in inspect["Config"]["Labels"]


async def journalled(rig: Rig, name: str, step: str) -> None:
    """Wait until the agent is about to do a step."""

    def reached() -> bool:
        path = rig.state / f"{name}.json"
        swap = json.loads(path.read_text())["swap"] if path.exists() else None
        return bool(swap and swap["step"] == step)

    await eventually(reached, lambda: f"step {step}; {rig.agent.log()}")


async def test_instruments_what_the_label_names_and_leaves_the_rest_alone(docker: Docker, tmp_path: Path) -> None:
    async with automatic(docker, tmp_path, bundles=bundles("python")) as rig:
        image = await python_image(rig.docker, rig.engine)
        environment = [f"{name}={value}" for name, value in AT_ONCE.items()]
        body = {"StopSignal": "SIGKILL", "Labels": LABELS, "Env": environment}
        await docker.run(rig.engine, image, [str(PYTHON), "app.py"], "shop", **body)
        other = await run_python(rig, "other", Labels={"ophion.instrument": "false"})
        refused = await run_python(rig, "refused", HostConfig={"AutoRemove": True})
        await rig.agent.start()
        await rig.agent.wait_for_event("instrumented", container="shop", language="python")

        await rig.get("shop", "/hello/eve")
        resource, _ = await rig.wait_for("spans", lambda _, span: span["name"] == "GET /hello/<name>")
        assert resource["service.name"] == "shop"
        assert await is_instrumented(rig, "shop")
        assert (await rig.engine.inspect("other"))["Id"] == other
        assert (await rig.engine.inspect("refused"))["Id"] == refused

        # Looked at several times by now.
        assert [event["reason"] for event in rig.agent.events("container_refused")] == [
            "refused: it was started with --rm and would be lost when stopped; start it without"
        ]
        assert await rig.agent.metric(COUNTER, outcome="refused") == 1
        assert await rig.agent.metric(COUNTER, outcome="instrumented") == 1


async def test_a_rolled_back_container_is_left_alone_until_its_image_changes(docker: Docker, tmp_path: Path) -> None:
    async with automatic(docker, tmp_path) as rig:
        original = await run_python(rig, "shop", BREAKS)
        await rig.agent.start()
        event = await rig.agent.wait_for_event("container_rolled_back", container="shop")
        assert "it ended: exit code 3; rolled back, the original runs" in event["reason"]
        assert (await rig.engine.inspect("shop"))["Id"] == original
        assert not await is_instrumented(rig, "shop")
        record = Journal(rig.state).read("shop")
        assert record is not None
        assert (record.phase, record.swap) == (ROLLED_BACK, None)

        await rig.agent.stop()
        await rig.agent.start()
        said = await rig.agent.wait_for_event("container_refused", container="shop")
        assert "it was rolled back before with this image: it ended: exit code 3; change the image" in said["reason"]

        # The same name with another image, as a deployment leaves it.
        await rig.engine.commit("shop", "mended")
        await rig.engine.remove("shop", force=True)
        await run_python(rig, "shop", image="mended")
        await rig.agent.wait_for_event("instrumented", container="shop")
        assert await is_instrumented(rig, "shop")


async def test_an_agent_killed_on_the_way_takes_it_back_at_its_next_start(docker: Docker, tmp_path: Path) -> None:
    async with automatic(docker, tmp_path) as rig:
        original = await run_python(rig, "shop")
        await rig.agent.start()
        await journalled(rig, "shop", "verify")
        await rig.agent.kill()
        assert (await rig.engine.inspect("shop"))["Id"] != original

        await rig.agent.start()
        event = await rig.agent.wait_for_event("container_recovered")
        assert event["outcome"] == "shop: instrumentation taken back, the original runs"
        assert await rig.agent.metric(COUNTER, outcome="recovered") == 1
        await rig.agent.wait_for_event("instrumented", container="shop")
        assert [one["Names"] for one in await rig.engine.containers(every=True)] == [["/shop"]]
        assert await is_instrumented(rig, "shop")


async def test_a_stop_on_the_way_leaves_the_original_running(docker: Docker, tmp_path: Path) -> None:
    async with automatic(docker, tmp_path) as rig:
        original = await run_python(rig, "shop")
        await rig.agent.start()
        await journalled(rig, "shop", "verify")
        assert await rig.agent.stop() == 0
        assert [one["Id"] for one in await rig.engine.containers(every=True)] == [original]
        assert not await is_instrumented(rig, "shop")
        assert Journal(rig.state).names() == []


async def test_a_dry_run_only_tells_and_a_reload_begins_with_what_runs_and_what_starts(
    docker: Docker, tmp_path: Path
) -> None:
    async with automatic(docker, tmp_path, dry_run=True) as rig:
        original = await run_python(rig, "shop")
        await rig.agent.start()
        event = await rig.agent.wait_for_event("would_instrument", container="shop")
        assert (event["language"], event["version"]) == ("python", "3.11")
        assert event["volume"].startswith("ophion-instr-python-")
        assert [one["Id"] for one in await rig.engine.containers(every=True)] == [original]

        config = yaml.safe_load(rig.agent.config_file.read_text())
        config["receivers"]["docker_observer"]["instrument"]["dry_run"] = False
        rig.agent.config_file.write_text(yaml.safe_dump(config))
        assert (await rig.agent.reload())["event"] == "reloaded"
        await rig.agent.wait_for_event("instrumented", container="shop")
        assert await is_instrumented(rig, "shop")

        late = await run_python(rig, "late")
        await rig.agent.wait_for_event("instrumented", container="late")
        assert (await rig.engine.inspect("late"))["Id"] != late
        assert await rig.agent.metric(COUNTER, outcome="instrumented") == 2

        # What somebody takes back by hand stays as it was.
        await rig.instrumentation().undo("late", patience=QUICK)
        said = await rig.agent.wait_for_event("container_refused", container="late")
        assert "its instrumentation was undone; use `ophion-agent instrument`, or change its image" in said["reason"]
        assert not await is_instrumented(rig, "late")
        await rig.instrumentation().instrument("late", rig.options())
        assert not (rig.state / "late.undone").exists()
