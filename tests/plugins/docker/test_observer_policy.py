"""When docker_observer looks at which container again, and what it says: without an engine."""

import asyncio
import os
import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from pydantic import ValidationError

from agent_process import eventually
from ophion_agent.plugin import Context
from ophion_agent.testing import ManualClock, make_context
from ophion_docker.engine_config import EngineConfig
from ophion_docker.engine_errors import EngineUnavailable
from ophion_docker.instrument.agent import AgentSocket
from ophion_docker.instrument.errors import MissingBundle, Refused, RolledBack
from ophion_docker.instrument.journal import Journal
from ophion_docker.instrument.refuse import ID_LABEL
from ophion_docker.metadata import Container
from ophion_docker.observer_instrument import COUNTER, AutomaticInstrumentation, build_bundle
from ophion_docker.observer_policy import InstrumentPolicy

LABELS = {"ophion.instrument": "true"}


def container(name: str, **facts: Any) -> Container:
    return Container(f"id-{name}", name, image_id="sha256:1", **{"labels": LABELS, **facts})


class Service:
    """An instrumentation whose answers the test gives: an exception by name of the container, or success."""

    def __init__(self) -> None:
        self.answers: dict[str, Callable[[], Exception]] = {}
        self.planned: list[str] = []
        self.instrumented: list[str] = []
        self.undone: set[str] = set()

    def was_undone(self, name: str, image: str) -> bool:
        return name in self.undone

    async def plan(self, name: str, options: Any) -> Any:
        self.planned.append(name)
        if answer := self.answers.get(f"plan {name}"):
            raise answer()
        runtime = SimpleNamespace(language="python", version="3.11")
        bundle = SimpleNamespace(volume="volume")
        return SimpleNamespace(name=name, runtime=runtime, bundle=bundle, endpoint="http://10.0.0.1:4318")

    async def instrument(self, name: str, options: Any) -> Any:
        if answer := self.answers.get(name):
            raise answer()
        self.instrumented.append(name)
        return SimpleNamespace(name=name, language=options.language, endpoint="http://10.0.0.1:4318")


class UnderTest:
    """The worker on a still clock."""

    def __init__(self, folder: Path, **policy: Any) -> None:
        self.clock, self.service = ManualClock(), Service()
        self.context: Context = make_context("receiver", "docker_observer", clock=self.clock)
        options = {"match": {"labels": LABELS}, "state": str(folder), "retry_interval": "10s", **policy}
        checked = InstrumentPolicy.model_validate(options)
        self.automatic = AutomaticInstrumentation(
            checked, EngineConfig(), AgentSocket(folder / "none"), self.context, own="id-agent"
        )
        self._task = asyncio.create_task(self.automatic._work(self.service))  # type: ignore[arg-type]

    def start(self, *names: str, **facts: Any) -> None:
        for name in names:
            self.automatic.container_started(container(name, **facts))

    def count(self, outcome: str) -> float:
        return self.context.counter(COUNTER, outcome=outcome).value

    async def __aenter__(self) -> "UnderTest":
        return self

    async def __aexit__(self, *_: object) -> None:
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)

    @property
    def failure(self) -> BaseException | None:
        return self._task.exception() if self._task.done() else None


async def test_containers_are_looked_at_after_the_delay_one_after_the_other(tmp_path: Path) -> None:
    async with UnderTest(tmp_path) as test:
        test.start("one", "two")
        await test.clock.advance(4.9)
        assert test.service.planned == []
        await test.clock.advance(0.1)
        assert test.service.instrumented == ["id-one", "id-two"]
        assert test.count("instrumented") == 2
        # Their own starts and stops on the way bring nothing back.
        test.start("one")
        await test.clock.advance(3600)
        assert test.service.instrumented == ["id-one", "id-two"]


async def test_what_the_policy_does_not_name_is_not_looked_at(tmp_path: Path) -> None:
    async with UnderTest(tmp_path, exclude={"names": ["quiet"]}) as test:
        test.start("quiet", "agent")
        test.start("other", labels={"ophion.instrument": "false"})
        test.start("done", labels={**LABELS, ID_LABEL: "x"})
        await test.clock.advance(60)
        assert test.service.planned == []


async def test_a_refusal_is_told_once_and_looked_at_again_ever_more_rarely(tmp_path: Path) -> None:
    async with UnderTest(tmp_path, max_retry_interval="40s") as test:
        test.service.answers["plan id-shop"] = lambda: Refused("shop: its health check fails; mend it first")
        test.start("shop")
        counts = []
        for seconds in (5, 10, 20, 40, 40):
            await test.clock.advance(seconds)
            counts.append(len(test.service.planned))
        assert counts == [1, 2, 3, 4, 5]
        assert test.count("refused") == 1
        test.service.answers["plan id-shop"] = lambda: Refused("shop: it is paused; unpause it first")
        await test.clock.advance(40)
        assert test.count("refused") == 2
        # Its restart is a reason to look at once.
        del test.service.answers["plan id-shop"]
        test.start("shop")
        await test.clock.advance(5)
        assert test.service.instrumented == ["id-shop"]


async def test_a_rolled_back_container_is_not_tried_again(tmp_path: Path) -> None:
    async with UnderTest(tmp_path) as test:
        test.service.answers["id-shop"] = lambda: RolledBack("shop: it ended", remembered=True)
        test.start("shop")
        await test.clock.advance(5)
        test.automatic.container_stopped(container("shop"))
        test.start("shop")
        await test.clock.advance(3600)
        assert len(test.service.planned) == 1
        assert test.count("rolled_back") == 1


async def test_one_that_was_never_stopped_is_tried_again_after_the_pause_and_not_at_its_restart(tmp_path: Path) -> None:
    async with UnderTest(tmp_path) as test:
        test.service.answers["id-shop"] = lambda: RolledBack("shop: the engine refused", remembered=False)
        test.start("shop")
        await test.clock.advance(5)
        test.start("shop")
        await test.clock.advance(9)
        assert len(test.service.planned) == 1
        await test.clock.advance(1)
        assert len(test.service.planned) == 2


async def test_roll_backs_in_a_row_end_everything(tmp_path: Path) -> None:
    async with UnderTest(tmp_path, max_roll_backs=2) as test:
        for name in ("one", "two", "three"):
            test.service.answers[f"id-{name}"] = lambda: RolledBack("it ended", remembered=True)
        test.start("one", "two", "three")
        await test.clock.advance(5)
        assert test.count("rolled_back") == 2
        assert test.count("refused") == 1
        assert test.service.planned == ["id-one", "id-two"]


async def test_the_languages_of_the_policy_and_what_was_undone_are_respected(tmp_path: Path) -> None:
    async with UnderTest(tmp_path, languages=["nodejs", "java"]) as test:
        test.service.undone.add("undone")
        test.start("shop", "undone")
        await test.clock.advance(5)
        assert test.service.planned == ["id-shop"]
        assert test.service.instrumented == []
        assert test.count("refused") == 2


async def test_more_containers_than_the_bound_are_counted_and_ended_ones_make_room(tmp_path: Path) -> None:
    async with UnderTest(tmp_path, max_waiting=2) as test:
        test.start("one", "two", "three")
        assert test.count("not_queued") == 1
        test.automatic.container_stopped(container("one"))
        test.start("three")
        assert test.count("not_queued") == 1
        test.automatic.container_event({"Action": "destroy", "Actor": {"ID": "id-two"}}, None)
        test.start("four")
        await test.clock.advance(5)
        assert test.service.instrumented == ["id-three", "id-four"]


async def test_a_container_that_ended_is_not_looked_at(tmp_path: Path) -> None:
    async with UnderTest(tmp_path) as test:
        test.start("shop")
        test.automatic.container_stopped(container("shop"))
        await test.clock.advance(60)
        assert test.service.planned == []


async def test_waits_while_somebody_works_by_hand(tmp_path: Path) -> None:
    async with UnderTest(tmp_path) as test:
        with Journal(tmp_path).exclusive():
            test.start("shop")
            await test.clock.advance(60)
            assert test.service.planned == []
        await test.clock.advance(1)
        assert test.service.instrumented == ["id-shop"]


async def test_a_lost_engine_ends_the_work_and_holds_the_container(tmp_path: Path) -> None:
    async with UnderTest(tmp_path) as test:
        test.service.answers["id-shop"] = lambda: EngineUnavailable("engine at x: gone")
        test.start("shop")
        await test.clock.advance(5)
        assert isinstance(test.failure, EngineUnavailable)
        assert test.count("failed") == 1


async def test_a_missing_bundle_is_a_refusal_where_none_may_be_built(tmp_path: Path) -> None:
    async with UnderTest(tmp_path, build_bundles=False) as test:
        test.service.answers["plan id-shop"] = lambda: MissingBundle("python", "bundle: none")
        test.start("shop")
        await test.clock.advance(5)
        assert test.count("refused") == 1
    with pytest.raises(Refused, match=r"bundle: dotnet could not be built: .*no package registry has the \.NET"):
        await build_bundle("dotnet", tmp_path / "bundles")


async def test_a_build_of_a_bundle_ends_with_its_task(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    program = tmp_path / "python"
    program.write_text(f"#!/bin/sh\necho $$ >{tmp_path}/pid\nexec sleep 600\n")
    program.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(program))
    task = asyncio.create_task(build_bundle("python", tmp_path))
    number = await eventually(lambda: (tmp_path / "pid").exists() and (tmp_path / "pid").read_text().strip(), "a start")
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    with pytest.raises(ProcessLookupError):
        os.kill(int(number), 0)


async def test_says_once_that_there_is_no_engine_and_waits_for_it(tmp_path: Path) -> None:
    clock = ManualClock()
    context = make_context("receiver", "docker_observer", clock=clock)
    policy = InstrumentPolicy.model_validate({"match": {"labels": LABELS}, "state": str(tmp_path)})
    engine = EngineConfig(endpoint=f"unix://{tmp_path}/none.sock")
    automatic = AutomaticInstrumentation(policy, engine, AgentSocket(tmp_path / "none"), context)
    task = asyncio.create_task(automatic.run())
    await eventually(lambda: context.health.reason, "a reason")
    assert context.health.reason.startswith("instrumentation: engine at unix://")
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


@pytest.mark.parametrize(
    ("policy", "message"),
    [
        ({}, r'match: must have labels, names or images; `names: \["\*"\]` is every container'),
        (
            {"match": {"names": ["*"]}, "retry_interval": "2m", "max_retry_interval": "1m"},
            "max_retry_interval: must be at least retry_interval, got 60 s",
        ),
    ],
)
def test_a_policy_that_makes_no_sense_is_refused(policy: dict[str, Any], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        InstrumentPolicy.model_validate(policy)
