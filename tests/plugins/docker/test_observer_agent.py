"""How an instrumenting agent is found and watched: its edges, its listeners, its socket, its notes."""

import asyncio
import os
from collections.abc import AsyncGenerator
from pathlib import Path

import pytest

from agent_process import eventually
from ophion_agent.control_socket import find_socket
from ophion_agent.plugin import Traces
from ophion_agent.testing import make_traces, settle
from ophion_docker.instrument.agent import READY_SPAN, Arrivals, otlp_http_endpoints
from ophion_docker.instrument.errors import InstrumentError, Refused
from ophion_docker.instrument.inject import ID_ATTRIBUTE
from ophion_docker.instrument.own_agent import OwnAgent
from ophion_docker.instrument.reach import find_endpoint
from ophion_docker.instrument.undone import Undone


class Info:
    """What a running agent tells of itself; `passing` are the taps of its edge, which a reload replaces."""

    def __init__(self, config: str) -> None:
        self._config = config
        self.passing: list[asyncio.Queue[Traces]] = []

    def effective_config(self) -> str:
        return self._config

    def edges(self) -> list[str]:
        return ["traces/in", "traces/out"]

    async def tap(self, edge: str) -> AsyncGenerator[Traces, None]:
        if edge not in self.edges():
            raise KeyError(edge)
        queue: asyncio.Queue[Traces] = asyncio.Queue()
        self.passing.append(queue)
        while True:
            yield await queue.get()

    def send(self, batch: Traces) -> None:
        for queue in self.passing:
            queue.put_nowait(batch)


def traces_of(token: str, name: str) -> Traces:
    batch = make_traces(service="shop")
    group = batch.edit().message.resource_spans[0]
    group.resource.attributes.add(key=ID_ATTRIBUTE).value.string_value = token
    group.scope_spans[0].spans[0].name = name
    return batch


async def test_the_own_agent_is_watched_without_a_socket_and_over_a_reload(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ophion_docker.instrument.own_agent.LOOK_SECONDS", 0.05)
    info = Info("receivers: {otlp: {protocols: {http: {endpoint: 'localhost:4318'}}}}")
    agent = OwnAgent(info)  # type: ignore[arg-type]
    assert (await agent.otlp_port(), await agent.otlp_hosts(4318)) == (4318, ["localhost"])
    assert await agent.edges() == ["traces/in"]
    arrivals = Arrivals()
    tasks = [asyncio.create_task(agent.follow(edge, "token", arrivals)) for edge in ("traces/in", "gone/in")]
    await settle()
    info.send(make_traces(service="other"))
    info.send(traces_of("token", READY_SPAN))
    await settle()
    assert (arrivals.ready, arrivals.first_span) == (True, "")
    info.passing = []
    await eventually(lambda: info.passing, "a younger look")
    info.send(traces_of("token", "GET /"))
    await settle()
    assert arrivals.first_span == "GET /"
    for task in tasks:
        assert not task.done()
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    with pytest.raises(Refused, match="the agent has no otlp receiver with the http protocol"):
        await OwnAgent(Info("receivers: {}")).otlp_port()  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("listening", "tried", "message"),
    [
        (
            ["localhost"],
            ["172.18.0.1"],
            "let the otlp receiver listen there, so far it does on localhost only: start the agent with "
            "--set receivers.otlp.protocols.http.endpoint=172.18.0.1:4318, or set its http endpoint in the "
            "configuration; a firewall has to let it pass",
        ),
        (["172.17.0.1", "0.0.0.0"], ["172.18.0.1", "172.17.0.1"], "let the otlp receiver listen there: start"),
    ],
)
async def test_a_container_that_cannot_reach_the_agent_is_refused_with_the_remedy(
    listening: list[str], tried: list[str], message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []

    async def probe(namespace: Path, port: int, hosts: list[str], name: str) -> str:
        asked.extend(hosts)
        return ""

    monkeypatch.setattr("ophion_docker.instrument.reach._probe", probe)
    networks = {"shop_default": {"Gateway": "172.18.0.1"}}
    inspect = {"Name": "/shop", "HostConfig": {}, "State": {"Pid": 1}, "NetworkSettings": {"Networks": networks}}
    with pytest.raises(Refused) as caught:
        await find_endpoint(inspect, 4318, Path("/proc"), listening)
    assert f"shop: cannot reach the agent at {', '.join(tried)} port 4318; {message}" in str(caught.value)
    assert asked == tried


def test_a_listener_for_more_than_this_host_comes_first() -> None:
    receivers = {
        "otlp": {"protocols": {"http": {}}},
        "otlp/containers": {"protocols": {"http": {"endpoint": "172.17.0.1:4319"}}},
        "otlp/six": {"protocols": {"http": {"endpoint": "[::1]:4320"}}},
    }
    assert otlp_http_endpoints(receivers) == [("172.17.0.1", 4319), ("localhost", 4318), ("::1", 4320)]


def test_with_sudo_the_agent_of_the_user_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("XDG_RUNTIME_DIR", "RUNTIME_DIRECTORY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("SUDO_UID", "4711")
    monkeypatch.setattr("ophion_agent.control_socket._SERVICE", str(tmp_path / "service"))
    monkeypatch.setattr("tempfile.gettempdir", lambda: str(tmp_path))
    assert find_socket() == tmp_path / f"ophion-agent-{os.getuid()}" / "control.sock"
    for socket in (tmp_path / "ophion-agent-4711" / "control.sock", tmp_path / "service" / "ophion-agent.sock"):
        socket.parent.mkdir()
        socket.touch()
        assert find_socket() == socket


def test_notes_of_what_was_undone_are_kept_and_forgotten(tmp_path: Path) -> None:
    undone = Undone(tmp_path)
    assert undone.image("shop") == ""
    undone.note("shop", "sha256:1")
    assert Undone(tmp_path).image("shop") == "sha256:1"
    undone.forget("shop")
    assert undone.image("shop") == ""
    with pytest.raises(InstrumentError, match=r"journal: .*/none/shop.undone cannot be written: No such file"):
        Undone(tmp_path / "none").note("shop", "x")
