"""The `docker` resource detector: the host's name and system from the Docker Engine."""

import os
import socket
from typing import Any

DOCKER_ATTRIBUTES = {"host.name": True, "os.type": True, "container.name": False, "container.image.name": False}
_DEFAULT_ENDPOINT = "unix:///var/run/docker.sock"


async def detect_docker(enabled: frozenset[str], timeout_seconds: float, endpoint: str = "") -> dict[str, object]:
    """Return the enabled attributes; raise OSError or aiohttp.ClientError when the engine does not answer.

    `endpoint` is a unix:// or tcp:// address; empty, DOCKER_HOST or the usual socket is asked.
    """
    import aiohttp

    address = endpoint or os.environ.get("DOCKER_HOST", "") or _DEFAULT_ENDPOINT
    scheme, _, location = address.partition("://")
    connector = aiohttp.UnixConnector(path=location) if scheme == "unix" else aiohttp.TCPConnector()
    base = "http://docker" if scheme == "unix" else f"http://{location}"
    timeout = aiohttp.ClientTimeout(total=timeout_seconds or None)
    async with aiohttp.ClientSession(base, connector=connector, timeout=timeout) as session:
        info = await _get(session, "/info")
        found: dict[str, object] = {"host.name": info["Name"], "os.type": str(info["OSType"]).lower()}
        if enabled & {"container.name", "container.image.name"}:
            container = await _get(session, f"/containers/{socket.gethostname()}/json")
            found["container.name"] = str(container["Name"]).removeprefix("/")
            found["container.image.name"] = container["Config"]["Image"]
    return {name: value for name, value in found.items() if name in enabled}


async def _get(session: Any, path: str) -> dict[str, Any]:
    async with session.get(path) as response:
        response.raise_for_status()
        body: dict[str, Any] = await response.json()
        return body
