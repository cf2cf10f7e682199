"""The request that makes a container again, from inspections as engines give them."""

import copy
from typing import Any

import pytest

from ophion_docker.instrument.body import recreate
from ophion_docker.instrument.inject import Injection, inject

ID = "0123456789ab" + "c" * 52
VOLUME = "f" * 64
INSPECT: dict[str, Any] = {
    "Id": ID,
    "Name": "/shop",
    "Image": "sha256:1",
    "Config": {"Hostname": ID[:12], "Image": "shop:1", "Env": ["A=1", "B"], "Labels": {"l": "1"}, "Cmd": ["app"]},
    "HostConfig": {"NetworkMode": "front", "Binds": ["/etc/app:/config:ro"], "Mounts": None},
    "Mounts": [
        {"Type": "bind", "Source": "/etc/app", "Destination": "/config", "RW": False},
        {"Type": "volume", "Name": VOLUME, "Destination": "/data", "Mode": "", "RW": True},
    ],
    "NetworkSettings": {
        "Networks": {
            "back": {"IPAMConfig": {"IPv4Address": "10.9.0.5"}, "Aliases": ["inner", ID[:12]], "NetworkID": "n2"},
            "front": {
                "IPAMConfig": None,
                "Aliases": [ID[:12]],
                "Links": None,
                "NetworkID": "n1",
                "MacAddress": "02:42",
            },
        }
    },
}
INJECTION = Injection("python", "glibc", "ophion-instr-python-1", "t0", "http://10.0.0.1:4318", "shop")


def changed(**host: Any) -> dict[str, Any]:
    inspect = copy.deepcopy(INSPECT)
    inspect["HostConfig"].update(host)
    return inspect


def test_what_the_engine_chose_is_left_to_it_again() -> None:
    made = recreate(INSPECT)
    assert "Hostname" not in made.body
    assert made.body["NetworkingConfig"] == {"EndpointsConfig": {"front": {}}}
    assert made.endpoints == {"back": {"IPAMConfig": {"IPv4Address": "10.9.0.5"}, "Aliases": ["inner"]}}
    assert made.detach == ""


def test_a_host_name_of_the_users_stays() -> None:
    inspect = copy.deepcopy(INSPECT)
    inspect["Config"]["Hostname"] = "shop.example"
    assert recreate(inspect).body["Hostname"] == "shop.example"


def test_anonymous_volumes_come_along_by_name() -> None:
    assert recreate(INSPECT).body["HostConfig"]["Binds"] == ["/etc/app:/config:ro", f"{VOLUME}:/data:rw"]
    mount = {"Type": "volume", "Target": "/data"}
    body = recreate(changed(Mounts=[mount])).body
    assert body["HostConfig"]["Mounts"] == [{**mount, "Source": VOLUME}]
    assert body["HostConfig"]["Binds"] == ["/etc/app:/config:ro"]


def test_volumes_with_names_are_not_bound_twice() -> None:
    inspect = changed(Binds=[f"{VOLUME}:/data:ro"])
    assert recreate(inspect).body["HostConfig"]["Binds"] == [f"{VOLUME}:/data:ro"]


@pytest.mark.parametrize("mode", ["default", "bridge"])
def test_the_default_bridge_has_two_names(mode: str) -> None:
    inspect = changed(NetworkMode=mode)
    inspect["NetworkSettings"]["Networks"] = {"bridge": {"NetworkID": "n0"}}
    assert recreate(inspect).body["NetworkingConfig"] == {"EndpointsConfig": {"bridge": {}}}


def test_a_network_may_be_named_by_its_id() -> None:
    made = recreate(changed(NetworkMode="n1"))
    assert made.body["NetworkingConfig"] == {"EndpointsConfig": {"front": {}}}
    assert list(made.endpoints) == ["back"]


def test_a_network_that_was_left_is_left_again() -> None:
    inspect = copy.deepcopy(INSPECT)
    del inspect["NetworkSettings"]["Networks"]["front"]
    made = recreate(inspect)
    assert made.detach == "front"
    assert "NetworkingConfig" not in made.body
    assert list(made.endpoints) == ["back"]


def test_the_hosts_network_is_not_joined() -> None:
    inspect = changed(NetworkMode="host")
    inspect["NetworkSettings"]["Networks"] = {"host": {"NetworkID": "h"}}
    made = recreate(inspect)
    assert (made.body["NetworkingConfig"], made.endpoints, made.detach) == ({"EndpointsConfig": {"host": {}}}, {}, "")


def test_a_moved_image_is_named_by_its_id() -> None:
    assert recreate(INSPECT, image="sha256:1").body["Image"] == "sha256:1"
    assert recreate(INSPECT).body["Image"] == "shop:1"


def test_the_inspection_is_not_changed() -> None:
    before = copy.deepcopy(INSPECT)
    inject(recreate(INSPECT).body, INJECTION)
    assert before == INSPECT


def variables(language: str, given: list[str], libc: str = "glibc") -> dict[str, str | None]:
    body = {**recreate(INSPECT).body, "Env": given}
    made = inject(body, Injection(language, libc, "v", "t0", "http://10.0.0.1:4318", "shop"))
    pairs = (item.partition("=") for item in made["Env"])
    return {key: value if separator else None for key, separator, value in pairs}


def test_adds_volume_labels_and_variables() -> None:
    body = inject(recreate(INSPECT).body, INJECTION)
    assert body["HostConfig"]["Mounts"] == [
        {
            "Type": "volume",
            "Source": "ophion-instr-python-1",
            "Target": "/opt/ophion-instrument",
            "ReadOnly": True,
            "VolumeOptions": {"NoCopy": True},
        }
    ]
    assert body["Labels"] == {"l": "1", "ophion.instrument.id": "t0", "ophion.instrument.language": "python"}
    assert body["Env"] == [
        "A=1",
        "B",
        "OTEL_RESOURCE_ATTRIBUTES=container.name=shop,container.image.name=shop:1,ophion.instrument.id=t0",
        "OTEL_SERVICE_NAME=shop",
        "OTEL_EXPORTER_OTLP_ENDPOINT=http://10.0.0.1:4318",
        "OPHION_INSTRUMENT_ID=t0",
        "PYTHONPATH=/opt/ophion-instrument/loader",
    ]


def test_what_the_user_set_stays() -> None:
    given = ["OTEL_SERVICE_NAME=mine", "OTEL_RESOURCE_ATTRIBUTES=a=b,container.name=c", "OTEL_METRIC_EXPORT_INTERVAL=5"]
    found = variables("java", given)
    assert found["OTEL_SERVICE_NAME"] == "mine"
    expected = "a=b,container.name=c,container.image.name=shop:1,ophion.instrument.id=t0"
    assert found["OTEL_RESOURCE_ATTRIBUTES"] == expected
    assert found["OTEL_METRIC_EXPORT_INTERVAL"] == "5"
    assert "OTEL_SERVICE_NAME" not in variables("python", ["OTEL_RESOURCE_ATTRIBUTES=service.name=x"])


def test_options_are_appended_to_what_is_there() -> None:
    assert variables("python", ["PYTHONPATH=/own"])["PYTHONPATH"] == "/opt/ophion-instrument/loader:/own"
    node = variables("nodejs", ["NODE_OPTIONS=--max-old-space-size=64"])
    assert node["NODE_OPTIONS"] == "--max-old-space-size=64 --require /opt/ophion-instrument/register.js"
    java = variables("java", ["JAVA_TOOL_OPTIONS=-Xmx64m"])
    assert java["JAVA_TOOL_OPTIONS"] == "-Xmx64m -javaagent:/opt/ophion-instrument/opentelemetry-javaagent.jar"
    dotnet = variables("dotnet", ["DOTNET_STARTUP_HOOKS=/own.dll"], "musl")
    hook = "/opt/ophion-instrument/net/OpenTelemetry.AutoInstrumentation.StartupHook.dll"
    assert dotnet["DOTNET_STARTUP_HOOKS"] == f"/own.dll:{hook}"
    assert "/linux-musl-x64/" in str(dotnet["CORECLR_PROFILER_PATH"])


def test_the_service_is_the_compose_service_or_the_container() -> None:
    body = {**recreate(INSPECT).body, "Labels": {"com.docker.compose.service": "storefront"}}
    assert "OTEL_SERVICE_NAME=storefront" in inject(body, INJECTION)["Env"]
