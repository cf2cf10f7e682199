"""The container with everything set: each property survives instrumentation and its undo."""

import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from docker_engine import Docker
from tests.plugins.docker.instrument_images import PACKAGES, bundles, python_image
from tests.plugins.docker.instrument_rig import AT_ONCE, Rig, module_loop, running_rig

pytestmark = [module_loop, pytest.mark.timeout(300)]

ENVIRONMENT = [f"{name}={value}" for name, value in AT_ONCE.items()]
HEALTH = (
    "PYTHONPATH= /usr/bin/python3.11 -c \"import urllib.request as u; u.urlopen('http://127.0.0.1:8000/hello/check')\""
)


@pytest_asyncio.fixture(loop_scope="module")
async def rig(docker: Docker, tmp_path: Path) -> AsyncIterator[Rig]:
    async with running_rig(docker, tmp_path, bundles("python")) as home, home.fresh(tmp_path / "state") as rig:
        yield rig


async def hard_container(rig: Rig) -> str:
    """Start the container `hard` in two networks that are made for it."""
    image = await python_image(rig.docker, rig.engine)
    base = rig.docker.gateway.rsplit(".", 2)[0]
    for name, subnet in (("front", f"{base}.253.0/24"), ("back", f"{base}.254.0/24")):
        await rig.engine.create_network(name, {"IPAM": {"Config": [{"Subnet": subnet}]}})
    container = await rig.engine.create("hard", hard_body(image, base))
    back = {"IPAMConfig": {"IPv4Address": f"{base}.254.10"}, "Aliases": ["inner"]}
    await rig.engine.connect_network("back", container, back)
    await rig.engine.start(container)
    return container


def hard_body(image: str, base: str) -> dict[str, Any]:
    """Return the request of the hard container."""
    front = {"IPAMConfig": {"IPv4Address": f"{base}.253.10"}, "Aliases": ["web", "www"]}
    return {
        "Image": image,
        "Cmd": ["/usr/bin/python3.11", "start.py"],
        "Env": [f"PYTHONPATH=/own:{PACKAGES}", *ENVIRONMENT, "SECRET=s3cret=x", "EMPTY="],
        "User": "1000",
        "Labels": {"com.docker.compose.project": "p", "com.docker.compose.service": "storefront"},
        "ExposedPorts": {"8000/tcp": {}},
        "Volumes": {"/data/anonymous": {}},
        "StopTimeout": 3,
        "StopSignal": "SIGINT",
        "Healthcheck": {
            "Test": ["CMD-SHELL", HEALTH],
            "Interval": 1_000_000_000,
            "Timeout": 5_000_000_000,
            "Retries": 5,
        },
        "HostConfig": {
            "NetworkMode": "front",
            "PortBindings": {"8000/tcp": [{"HostIp": "127.0.0.1", "HostPort": "0"}]},
            "RestartPolicy": {"Name": "on-failure", "MaximumRetryCount": 4},
            "CapDrop": ["ALL"],
            "SecurityOpt": ["no-new-privileges"],
            "ReadonlyRootfs": True,
            "Tmpfs": {"/tmp": "size=8m", "/data/named": "size=1m,mode=1777"},
            "Mounts": [{"Type": "volume", "Source": "kept", "Target": "/data/kept"}],
            "Memory": 256 << 20,
            "MemorySwap": 256 << 20,
            "NanoCpus": 1_500_000_000,
            "PidsLimit": 200,
            "Sysctls": {"net.core.somaxconn": "512"},
            "Ulimits": [{"Name": "nofile", "Soft": 2048, "Hard": 4096}],
            "Dns": ["192.0.2.53"],
            "DnsSearch": ["example.test"],
            "ExtraHosts": ["legacy:192.0.2.7"],
            "Init": True,
            "LogConfig": {"Type": "json-file", "Config": {"max-size": "1m", "max-file": "2"}},
            "OomScoreAdj": 100,
            "ShmSize": 16 << 20,
            "GroupAdd": ["2000"],
        },
        "NetworkingConfig": {"EndpointsConfig": {"front": front}},
    }


def comparable(inspect: dict[str, Any]) -> dict[str, Any]:
    """Return an inspection without what belongs to one run: ids, times, processes."""
    short = inspect["Id"][:12]
    host = dict(inspect["HostConfig"])
    anonymous = [mount for mount in inspect["Mounts"] if len(str(mount.get("Name"))) == 64]
    named = {f"{mount['Name']}:{mount['Destination']}" for mount in anonymous}
    # Without its name an anonymous volume would not come along; everything about it stays but this.
    host["Binds"] = [bind for bind in host["Binds"] or () if bind.rpartition(":")[0] not in named] or None
    endpoints = {
        name: {
            **{key: one[key] for key in ("IPAMConfig", "Links", "IPAddress", "Gateway", "NetworkID", "DriverOpts")},
            "Aliases": sorted(alias for alias in one["Aliases"] or () if alias != short),
        }
        for name, one in inspect["NetworkSettings"]["Networks"].items()
    }
    return {
        "Name": inspect["Name"],
        "Image": inspect["Image"],
        "Path": inspect["Path"],
        "Args": inspect["Args"],
        "Config": {key: value for key, value in inspect["Config"].items() if value != short},
        "HostConfig": host,
        "Mounts": sorted(
            ({**mount, "Mode": ""} for mount in inspect["Mounts"]), key=lambda mount: str(mount["Destination"])
        ),
        "Networks": endpoints,
        "Ports": sorted(inspect["NetworkSettings"]["Ports"]),
        "Running": inspect["State"]["Running"],
    }


async def test_every_property_survives_instrumentation_and_undo(rig: Rig) -> None:
    await hard_container(rig)
    try:
        assert await rig.get("hard", "/hello/one") == "hello one"
        before = comparable(await rig.engine.inspect("hard"))

        done = await rig.cli("hard", "--wait-span", "0")
        assert done.returncode == 0, done.stdout + done.stderr + await rig.logs("hard")
        during = comparable(await rig.engine.inspect("hard"))
        assert _without_additions(during) == _without_additions(before)
        environment = json.loads(await rig.get("hard", "/environment"))
        assert environment["PYTHONPATH"] == f"/opt/ophion-instrument/loader:/own:{PACKAGES}"
        assert environment["SECRET"] == "s3cret=x"
        assert environment["EMPTY"] == ""
        resource, _ = await rig.wait_for("spans", lambda _, span: span["name"] == "GET /environment")
        assert resource["service.name"] == "storefront"

        undone = await rig.cli("--undo", "hard")
        assert undone.returncode == 0, undone.stdout + undone.stderr + await rig.logs("hard")
        assert comparable(await rig.engine.inspect("hard")) == before
        assert len(await rig.engine.containers(every=True)) == 1
        assert await rig.get("hard", "/hello/two") == "hello two"
    finally:
        await rig.engine.remove("hard", force=True, volumes=True)
        for network in ("front", "back"):
            await rig.engine.remove_network(network)


def _without_additions(facts: dict[str, Any]) -> dict[str, Any]:
    """Return an inspection without what instrumentation adds."""
    config = dict(facts["Config"])
    config["Labels"] = {name: value for name, value in config["Labels"].items() if not name.startswith("ophion.")}
    config["Env"] = sorted(one for one in config["Env"] if one.partition("=")[0] not in _ADDED)
    mounts = [mount for mount in facts["Mounts"] if mount["Destination"] != "/opt/ophion-instrument"]
    host = dict(facts["HostConfig"])
    host["Mounts"] = [mount for mount in host["Mounts"] if mount["Target"] != "/opt/ophion-instrument"]
    return {**facts, "Config": config, "HostConfig": host, "Mounts": mounts}


_ADDED = (
    "PYTHONPATH",
    "OTEL_RESOURCE_ATTRIBUTES",
    "OTEL_SERVICE_NAME",
    "OTEL_EXPORTER_OTLP_ENDPOINT",
    "OPHION_INSTRUMENT_ID",
)
