"""Every reason to leave a container alone, with what to do instead."""

import copy
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from ophion_docker.instrument.detect import Runtime, choose
from ophion_docker.instrument.errors import Refused
from ophion_docker.instrument.layer import lost_paths
from ophion_docker.instrument.procfs import Process
from ophion_docker.instrument.reach import gateways
from ophion_docker.instrument.refuse import check_container, check_foreign_agent

PLAIN: dict[str, Any] = {
    "Id": "a" * 64,
    "Name": "/shop",
    "State": {"Running": True, "Pid": 1},
    "Config": {"Labels": {}, "Env": ["A=1"], "Image": "shop:1"},
    "HostConfig": {"NetworkMode": "bridge"},
}


def changed(change: Callable[[dict[str, Any]], object]) -> dict[str, Any]:
    inspect = copy.deepcopy(PLAIN)
    change(inspect)
    return inspect


REFUSALS: dict[str, tuple[Callable[[dict[str, Any]], object], str]] = {
    "stopped": (lambda c: c["State"].update(Running=False), "shop: it does not run; start it first"),
    "paused": (lambda c: c["State"].update(Paused=True), "shop: it is paused; unpause it first"),
    "restarting": (lambda c: c["State"].update(Restarting=True), "shop: it restarts again and again; mend it first"),
    "unhealthy": (
        lambda c: c["State"].update(Health={"Status": "unhealthy"}),
        "shop: its health check fails; mend it first",
    ),
    "ours": (
        lambda c: c["Config"]["Labels"].update({"ophion.instrument.id": "x"}),
        "shop: it is instrumented already; see --status, or --undo it first",
    ),
    "swarm": (
        lambda c: c["Config"]["Labels"].update({"com.docker.swarm.service.id": "x"}),
        "shop: Swarm manages it and would replace it; change the service with `docker service update`",
    ),
    "kubernetes": (
        lambda c: c["Config"]["Labels"].update({"io.kubernetes.pod.uid": "x"}),
        "shop: Kubernetes manages it and would replace it; use the OpenTelemetry operator there",
    ),
    "rm": (
        lambda c: c["HostConfig"].update(AutoRemove=True),
        "shop: it was started with --rm and would be lost when stopped; start it without",
    ),
    "no network": (
        lambda c: c["HostConfig"].update(NetworkMode="none"),
        "shop: it has no network to send telemetry by; connect it to one",
    ),
    "in another's network": (
        lambda c: c["HostConfig"].update(NetworkMode="container:b"),
        "shop: it uses the network namespace of another container; instrument one that has its own",
    ),
    "in another's processes": (
        lambda c: c["HostConfig"].update(PidMode="container:b"),
        "shop: it uses the process namespace of another container; instrument one that has its own",
    ),
    "own endpoint": (
        lambda c: c["Config"].update(Env=["OTEL_EXPORTER_OTLP_ENDPOINT=http://other:4318"]),
        "shop: it sends telemetry by itself: OTEL_EXPORTER_OTLP_ENDPOINT is set, and what is set is never overwritten; "
        "remove it first",
    ),
    "sdk disabled": (
        lambda c: c["Config"].update(Env=["OTEL_SDK_DISABLED=true"]),
        "shop: it sets OTEL_SDK_DISABLED=true; remove that first",
    ),
    "no traces": (
        lambda c: c["Config"].update(Env=["OTEL_TRACES_EXPORTER=none"]),
        "shop: it sets OTEL_TRACES_EXPORTER=none; remove that first",
    ),
}


@pytest.mark.parametrize("reason", REFUSALS)
def test_refuses_a_container(reason: str) -> None:
    change, message = REFUSALS[reason]
    with pytest.raises(Refused) as caught:
        check_container(changed(change), [])
    assert str(caught.value) == message


def test_takes_a_plain_container_beside_others() -> None:
    other = {**PLAIN, "Id": "b" * 64, "Name": "/other"}
    check_container(PLAIN, [PLAIN, other])


@pytest.mark.parametrize(
    ("host", "message"),
    [
        (
            {"NetworkMode": f"container:{'a' * 64}"},
            "shop: container proxy shares its network namespace and would lose it; remove proxy first",
        ),
        (
            {"PidMode": "container:shop"},
            "shop: container proxy shares its process namespace and would lose it; remove proxy first",
        ),
        (
            {"Links": ["/shop:/proxy/backend"]},
            "shop: container proxy has a legacy link to it and would lose it; put both on one network instead",
        ),
    ],
)
def test_refuses_what_others_depend_on(host: dict[str, Any], message: str) -> None:
    other = {**PLAIN, "Id": "b" * 64, "Name": "/proxy", "HostConfig": host}
    with pytest.raises(Refused) as caught:
        check_container(PLAIN, [other])
    assert str(caught.value) == message


class FakeProcess(Process):
    """A process whose facts are given, with files below a folder of the test."""

    def __init__(
        self,
        folder: Path,
        environment: dict[str, str] | None = None,
        command: tuple[str, ...] = (),
        executable: str = "",
    ) -> None:
        super().__init__(1, folder)
        self.__dict__.update(environment=environment or {}, command=command, executable=executable)


@pytest.mark.parametrize(
    ("language", "environment", "command", "found"),
    [
        (
            "python",
            {"PYTHONPATH": "/x/opentelemetry/instrumentation/auto_instrumentation"},
            (),
            "PYTHONPATH has auto_ins",
        ),
        ("nodejs", {"NODE_OPTIONS": "--require @opentelemetry/auto"}, (), "node is started with @opentelemetry/auto"),
        ("nodejs", {}, ("node", "-r", "dd-trace/init"), "node is started with dd-trace/init"),
        (
            "java",
            {"JAVA_TOOL_OPTIONS": "-javaagent:/a/newrelic.jar"},
            (),
            "java is started with -javaagent:/a/newrelic.jar",
        ),
        (
            "java",
            {},
            ("java", "-javaagent:/o/opentelemetry-javaagent.jar"),
            "java is started with -javaagent:/o/opentel",
        ),
        ("dotnet", {"CORECLR_PROFILER": "{x}"}, (), "CORECLR_PROFILER is set"),
    ],
)
def test_refuses_what_another_agent_instruments(
    tmp_path: Path, language: str, environment: dict[str, str], command: tuple[str, ...], found: str
) -> None:
    runtime = Runtime(language, "", "glibc", FakeProcess(tmp_path, environment, command))
    with pytest.raises(Refused, match=r"shop: it is instrumented by something else: .*; remove that first") as caught:
        check_foreign_agent(runtime, "shop")
    assert found in str(caught.value)


def test_refuses_an_application_with_an_sdk_of_its_own(tmp_path: Path) -> None:
    packages = tmp_path / "1/root/venv/lib/python3.12/site-packages"
    (packages / "opentelemetry_sdk-1.2.dist-info").mkdir(parents=True)
    process = FakeProcess(tmp_path, {}, (), "/venv/bin/python3.12")
    with pytest.raises(Refused, match=r"something else: opentelemetry_sdk-1\.2 is installed"):
        check_foreign_agent(Runtime("python", "3.12", "glibc", process), "shop")
    (tmp_path / "1/cwd/node_modules/@opentelemetry/sdk-node").mkdir(parents=True)
    with pytest.raises(Refused, match="the application has @opentelemetry/sdk-node"):
        check_foreign_agent(Runtime("nodejs", "22.15.0", "glibc", FakeProcess(tmp_path)), "shop")


@pytest.mark.parametrize(
    ("language", "version", "needed"),
    [
        ("python", "3.7", "3.8 or later"),
        ("python", "2.7", "3.8 or later"),
        ("nodejs", "16.20.2", "18.19 or later"),
        ("nodejs", "18.18.0", "18.19 or later"),
        ("nodejs", "20.5.1", "18.19 or 20.6 or later"),
        ("java", "1.7.0", "8 or later"),
        ("dotnet", "6.0.36", "8 or later"),
    ],
)
def test_refuses_old_versions(language: str, version: str, needed: str) -> None:
    with pytest.raises(Refused, match=f"shop: {language} {version} is not supported, {needed} is needed"):
        choose([Runtime(language, version, "glibc", Process(1))], "", "shop")


@pytest.mark.parametrize(
    ("language", "version"),
    [
        ("python", "3.8"),
        ("python", ""),
        ("nodejs", "18.19.0"),
        ("nodejs", "20.6.0"),
        ("java", "1.8.0_402"),
        ("java", "21.0.1"),
    ],
)
def test_takes_supported_versions(language: str, version: str) -> None:
    assert choose([Runtime(language, version, "glibc", Process(1))], "", "shop").version == version


def test_asks_for_the_language_where_there_are_several() -> None:
    both = [Runtime("python", "3.11", "glibc", Process(1)), Runtime("nodejs", "22.15.0", "glibc", Process(2))]
    with pytest.raises(Refused, match="several languages run in it: python, nodejs; name one as the second argument"):
        choose(both, "", "shop")
    assert choose(both, "node", "shop") is both[1]
    with pytest.raises(Refused, match="language must be one of python, nodejs, node, java, dotnet, go, got 'ruby'"):
        choose(both, "ruby", "shop")


def test_go_is_refused_with_the_guide_and_is_no_second_language() -> None:
    go, python = Runtime("go", "", "glibc", Process(1)), Runtime("python", "3.11", "glibc", Process(2))
    with pytest.raises(
        Refused, match="Go programs cannot be instrumented from outside; use the SDK: https://opentelem"
    ):
        choose([go], "", "shop")
    assert choose([go, python], "", "shop") is python


def test_only_changes_that_matter_count_as_lost(tmp_path: Path) -> None:
    import socket

    (tmp_path / "srv").mkdir()
    (tmp_path / "folder").mkdir()
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(tmp_path / "srv/app.socket"))
        paths = {
            "/data": 0, "/data/mounted": 1, "/data/mounted/x": 1, "/tmp/x": 1, "/app": 0, "/app/__pycache__/a.pyc": 1,
            "/app/orders.db": 1, "/app/new": 1, "/srv/app.socket": 1, "/srv": 0, "/folder": 0,
            "/root/.cache/pip/x": 1, "/etc/removed": 2, "/sbin/docker-init": 1,
        }  # fmt: skip
        changes = [{"Path": path, "Kind": kind} for path, kind in paths.items()]
        assert lost_paths(changes, ["/data/mounted"], tmp_path) == ["/app/new", "/app/orders.db", "/etc/removed"]


def test_the_agent_is_looked_for_at_every_gateway_and_on_loopback_for_the_hosts_network() -> None:
    networks = {"a": {"Gateway": "10.0.0.1"}, "b": {"Gateway": "10.0.0.1", "IPv6Gateway": "fd00::1"}, "c": None}
    inspect = {"HostConfig": {"NetworkMode": "a"}, "NetworkSettings": {"Networks": networks}}
    assert gateways(inspect) == ["10.0.0.1", "fd00::1"]
    assert gateways({**inspect, "HostConfig": {"NetworkMode": "host"}}) == ["127.0.0.1"]
