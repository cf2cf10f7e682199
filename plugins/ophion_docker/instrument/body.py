"""The request that makes a container again from its own inspection. Pure: the tests need no engine."""

from __future__ import annotations

import copy
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

Json = dict[str, Any]

_ANONYMOUS: Final = re.compile(r"[0-9a-f]{64}")
_ENDPOINT: Final = ("IPAMConfig", "Links", "Aliases", "DriverOpts", "GwPriority")


@dataclass(frozen=True, slots=True)
class Recreation:
    """What makes a container again: the body of the create call, and the endpoints to connect before the start.

    The create call takes only one network. `detach` is the network that the engine adds by itself and that the original
    had left, or empty.
    """

    body: Json
    endpoints: dict[str, Json]
    detach: str = ""


def recreate(inspect: Mapping[str, Any], *, image: str = "") -> Recreation:
    """Return what makes an equal container; `image` replaces the image's name where that moved to another image."""
    body: Json = copy.deepcopy(dict(inspect["Config"]))
    host: Json = copy.deepcopy(dict(inspect["HostConfig"]))
    short = str(inspect["Id"])[:12]
    if body.get("Hostname") == short:
        del body["Hostname"]
    if image:
        body["Image"] = image
    _name_anonymous_volumes(inspect, host)
    first, endpoints = _networks(inspect, host, short)
    body["HostConfig"] = host
    if first in endpoints:
        body["NetworkingConfig"] = {"EndpointsConfig": {first: endpoints.pop(first)}}
        return Recreation(body, endpoints)
    return Recreation(body, endpoints, first if _is_joined(str(host.get("NetworkMode") or "default")) else "")


def _name_anonymous_volumes(inspect: Mapping[str, Any], host: Json) -> None:
    """Bind volumes that have no name of the user's by the name they have, or the new container gets empty ones."""
    binds = list(host.get("Binds") or ())
    bound = {target for bind in binds if (target := _bind_target(bind))}
    mounts = {str(mount.get("Target")): mount for mount in host.get("Mounts") or ()}
    added = []
    for mount in inspect.get("Mounts") or ():
        target = str(mount["Destination"])
        if mount.get("Type") != "volume" or target in bound or not _ANONYMOUS.fullmatch(str(mount.get("Name") or "")):
            continue
        if target in mounts:
            mounts[target]["Source"] = mount["Name"]
        else:
            mode = mount.get("Mode") or ("rw" if mount.get("RW", True) else "ro")
            added.append(f"{mount['Name']}:{target}:{mode}")
    if added:
        host["Binds"] = [*binds, *added]


def _bind_target(bind: str) -> str:
    parts = bind.split(":")
    return parts[1] if len(parts) > 1 else ""


def _networks(inspect: Mapping[str, Any], host: Json, short: str) -> tuple[str, dict[str, Json]]:
    mode = str(host.get("NetworkMode") or "default")
    networks: Mapping[str, Any] = (inspect.get("NetworkSettings") or {}).get("Networks") or {}
    endpoints = {name: _endpoint(settings or {}, short) for name, settings in networks.items()}
    first = "bridge" if mode in ("default", "bridge") else mode
    if first not in endpoints:  # NetworkMode may name the network by its id.
        first = next((name for name, one in networks.items() if (one or {}).get("NetworkID") == mode), first)
    return first, endpoints


def _is_joined(mode: str) -> bool:
    return mode not in ("host", "none") and not mode.startswith("container:")


def _endpoint(settings: Mapping[str, Any], short: str) -> Json:
    endpoint = {key: copy.deepcopy(settings[key]) for key in _ENDPOINT if settings.get(key)}
    aliases = [alias for alias in endpoint.get("Aliases") or () if alias != short]
    endpoint.pop("Aliases", None)
    if aliases:
        endpoint["Aliases"] = aliases
    return endpoint
