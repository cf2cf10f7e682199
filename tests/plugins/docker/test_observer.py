"""docker_observer: events of containers as log records."""

import asyncio
from pathlib import Path
from typing import Any

import pytest
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest

from docker_engine import Docker
from ophion_agent.clock import Clock
from ophion_agent.plugin import OphionError, PermanentError, RetryableError
from ophion_agent.testing import ManualClock, Sink, check_component, make_component, settle
from ophion_docker.engine import Engine
from ophion_docker.metadata import Container
from ophion_docker.observer import DockerObserverReceiver
from ophion_docker.observer_events import encode_events, event_of


def records(sink: Sink) -> list[tuple[dict[str, str], Any]]:
    return [
        ({pair.key: pair.value.string_value for pair in group.resource.attributes}, record)
        for batch in sink.batches
        for group in batch.view().message.resource_logs
        for scope in group.scope_logs
        for record in scope.log_records
    ]


async def test_reports_the_life_of_a_container(docker: Docker, engine: Engine, shell: str) -> None:
    sink = Sink()
    config = {"endpoint": docker.address, "exclude": {"names": ["hidden"]}, "labels": ["team"]}
    receiver = make_component(DockerObserverReceiver, config, sink=sink, clock=Clock())
    await receiver.start()
    assert receiver._watch is not None
    await asyncio.wait_for(receiver._watch.ready.wait(), 20)
    await docker.run(engine, shell, ["sleep", "60"], "hidden")
    container = await docker.run(
        engine, shell, ["sh", "-c", "exit 3"], "shop", Labels={"team": "a", "com.docker.compose.service": "web"}
    )
    await engine.wait(container, seconds=20)
    await engine.remove(container)
    await sink.wait_for_items(4)
    async with asyncio.timeout(20):
        # Another process cannot be waited for by an event.
        while [known.name for known in receiver.containers.values()] != ["hidden"]:  # noqa: ASYNC110
            await asyncio.sleep(0.02)
    await receiver.stop()
    await receiver.context.close()
    found = records(sink)
    assert [record.event_name for _, record in found] == [
        f"docker.container.{action}" for action in ("create", "start", "die", "destroy")
    ]
    assert [record.body.string_value for _, record in found][2] == "container shop: die, exit code 3"
    assert [record.severity_text for _, record in found] == ["INFO", "INFO", "WARN", "INFO"]
    for resource, record in found:
        assert resource["container.id"] == container
        assert resource["container.name"] == "shop"
        assert resource["service.name"] == "web"
        assert resource["container.label.team"] == "a"
        assert abs(record.time_unix_nano - Clock().now_ns()) < 60e9


async def test_reports_health(docker: Docker, engine: Engine, shell: str) -> None:
    sink = Sink()
    config = {"endpoint": docker.address, "events": ["health_status"]}
    receiver = make_component(DockerObserverReceiver, config, sink=sink, clock=Clock())
    await receiver.start()
    assert receiver._watch is not None
    await asyncio.wait_for(receiver._watch.ready.wait(), 20)
    check = {"Test": ["CMD", "sh", "-c", "exit 1"], "Interval": 100_000_000, "Timeout": 10**9, "Retries": 1}
    await docker.run(engine, shell, ["sleep", "60"], "ill", Healthcheck=check)
    await sink.wait_for_items(1)
    await receiver.stop()
    await receiver.context.close()
    [(_, record)] = records(sink)
    assert record.body.string_value == "container ill: health_status, unhealthy"
    assert record.severity_number == 13


EVENTS = [
    ({"Action": "oom", "Actor": {"ID": "x" * 64}}, "container xxxxxxxxxxxx: oom", "ERROR"),
    (
        {"Action": "die", "Actor": {"Attributes": {"name": "a", "exitCode": "0"}}},
        "container a: die, exit code 0",
        "INFO",
    ),
    ({"Action": "die", "Actor": {"Attributes": {"name": "a", "exitCode": "x"}}}, "container a: die", "INFO"),
    (
        {"Action": "kill", "Actor": {"Attributes": {"name": "a", "signal": "15"}}},
        "container a: kill, signal 15",
        "INFO",
    ),
    ({"Action": "rename", "Actor": {"Attributes": {"name": "b", "oldName": "/a"}}}, "container b: rename, /a", "INFO"),
    ({"status": "health_status: healthy", "id": "y"}, "container y: health_status, healthy", "INFO"),
    ({}, "container : ", "INFO"),
]


@pytest.mark.parametrize(("event", "body", "severity"), EVENTS)
def test_says_what_happened_of_any_event(event: dict[str, Any], body: str, severity: str) -> None:
    found = event_of(event, None, 7)
    encoded = encode_events([(found, {"team": "a"})], 9, "scope", "1")
    [group] = ExportLogsServiceRequest.FromString(encoded).resource_logs
    [record] = group.scope_logs[0].log_records
    assert (record.body.string_value, record.severity_text) == (body, severity)
    assert (record.time_unix_nano, record.observed_time_unix_nano) == (7, 9)
    assert record.event_name == f"docker.container.{found.action}"


def test_an_event_alone_tells_the_labels() -> None:
    attributes = {"name": "a", "image": "nginx:1", "com.docker.compose.service": "web", "exitCode": "1"}
    found = event_of({"Action": "die", "Actor": {"ID": "x", "Attributes": attributes}}, None, 0).container
    assert (found.image, found.labels, found.service_name) == ("nginx:1", {"com.docker.compose.service": "web"}, "web")


class Offline:
    """A receiver whose events come from the test."""

    def __init__(self, tmp_path: Path, **config: Any) -> None:
        self.sink, self.clock = Sink(), ManualClock()
        options = {"endpoint": str(tmp_path / "none.sock"), **config}
        self.receiver = make_component(DockerObserverReceiver, options, sink=self.sink, clock=self.clock)

    def happen(self, times: int) -> None:
        for number in range(times):
            self.receiver.container_event({"Action": "start"}, Container("x", f"c{number}"))

    async def close(self) -> None:
        await self.receiver.stop()
        await self.receiver.context.close()


async def test_events_wait_for_a_pipeline_within_a_bound(tmp_path: Path) -> None:
    under_test = Offline(tmp_path, max_waiting=3)
    await under_test.receiver.start()
    under_test.sink.error = RetryableError("full", retry_after_seconds=5)
    under_test.happen(5)
    await settle()
    assert under_test.receiver.context.counter("ophion_docker_observer_dropped_events").value == 2
    under_test.sink.error = None
    await under_test.clock.advance(5)
    assert [resource["container.name"] for resource, _ in records(under_test.sink)] == ["c0", "c1", "c2"]
    under_test.sink.error = PermanentError("never")
    under_test.happen(1)
    await settle()
    assert under_test.receiver.context.counter("ophion_docker_observer_dropped_events").value == 3
    under_test.sink.error = None
    under_test.happen(1)
    await settle()
    assert under_test.sink.items == 4
    await under_test.close()


class Companion:
    """Notes what it is told."""

    def __init__(self) -> None:
        self.told: list[str] = []

    def container_started(self, container: Container) -> None:
        self.told.append(f"started {container.name}")

    def container_stopped(self, container: Container) -> None:
        self.told.append(f"stopped {container.name}")

    def container_event(self, event: dict[str, Any], container: Container | None) -> None:
        self.told.append(f"{event['Action']} {container.name if container else '?'}")


async def test_companions_are_told_of_every_event_and_container(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    companion = Companion()
    monkeypatch.setattr(DockerObserverReceiver, "companions", lambda self, engine: [companion])
    under_test = Offline(tmp_path, events=["die"])
    await under_test.receiver.start()
    shop = Container("x", "shop")
    under_test.receiver.container_started(shop)
    under_test.receiver.container_event({"Action": "start"}, shop)
    under_test.receiver.container_stopped(shop)
    await settle()
    await under_test.close()
    assert companion.told == ["started shop", "start shop", "stopped shop"]
    assert under_test.sink.items == 0


async def test_names_a_docker_host_that_cannot_be_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DOCKER_HOST", "nonsense")
    with pytest.raises(OphionError, match="DOCKER_HOST: must be unix:///path"):
        await make_component(DockerObserverReceiver).start()


async def test_keeps_the_contract(docker: Docker) -> None:
    await check_component(DockerObserverReceiver, {"endpoint": docker.address})
