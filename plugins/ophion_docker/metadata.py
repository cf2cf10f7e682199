"""What is known of a container, and the resource attributes that follow from it."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any
from urllib.parse import unquote

from ophion_agent.otlp_writing import Value

_TIME = re.compile(r"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)(?:\.(\d{1,9})\d*)?(Z|[+-]\d\d:\d\d)$")
_SERVICE_LABELS = (
    "com.docker.compose.service",
    "com.docker.swarm.service.name",
    "io.kubernetes.container.name",
)


@dataclass(frozen=True, slots=True)
class Container:
    """One container, as the engine described it when it last changed. Times are Unix nanoseconds, 0 where unknown."""

    id: str
    name: str = ""
    image: str = ""
    image_id: str = ""
    hostname: str = ""
    command_line: str = ""
    runtime: str = "docker"
    status: str = "running"
    labels: Mapping[str, str] = field(default_factory=dict)
    environment: Mapping[str, str] = field(default_factory=dict)
    pid: int = 0
    created_ns: int = 0
    started_ns: int = 0
    restarts: int = 0
    tty: bool = False
    log_driver: str = ""
    network_mode: str = ""
    cpu_limit: float = 0.0
    cpu_shares: int = 0

    @property
    def running(self) -> bool:
        """True while it has processes, also when they are paused."""
        return self.status in ("running", "paused")

    @property
    def service_name(self) -> str:
        """The name of the service that the container is part of.

        What the application itself would say (OTEL_SERVICE_NAME, service.name in OTEL_RESOURCE_ATTRIBUTES), else that
        of Compose, Swarm or Kubernetes, else the container's name.
        """
        named = self.environment.get("OTEL_SERVICE_NAME") or _declared_service(self.environment)
        labels = (self.labels.get(label) for label in _SERVICE_LABELS)
        return named or next(filter(None, labels), "") or self.name


def container_of(inspected: Mapping[str, Any], runtime: str = "docker") -> Container:
    """Return the container that the engine's `inspect` describes; what is missing stays empty."""
    config, host = inspected.get("Config") or {}, inspected.get("HostConfig") or {}
    state = inspected.get("State") or {}
    return Container(
        id=str(inspected.get("Id", "")),
        name=str(inspected.get("Name", "")).removeprefix("/"),
        image=str(config.get("Image") or ""),
        image_id=str(inspected.get("Image") or ""),
        hostname=str(config.get("Hostname") or ""),
        command_line=" ".join(map(str, config.get("Cmd") or ())),
        runtime=runtime,
        status=str(state.get("Status") or ""),
        labels={str(name): str(value) for name, value in (config.get("Labels") or {}).items()},
        environment=dict(str(entry).partition("=")[::2] for entry in config.get("Env") or ()),
        pid=int(state.get("Pid") or 0),
        created_ns=time_ns(str(inspected.get("Created") or "")),
        started_ns=time_ns(str(state.get("StartedAt") or "")),
        restarts=int(inspected.get("RestartCount") or 0),
        tty=bool(config.get("Tty")),
        log_driver=str((host.get("LogConfig") or {}).get("Type") or ""),
        network_mode=str(host.get("NetworkMode") or ""),
        cpu_limit=cpu_limit(host),
        cpu_shares=int(host.get("CpuShares") or 0),
    )


def time_ns(text: str) -> int:
    """Return a time such as `2023-04-25T11:03:28.719828114Z` in Unix nanoseconds; 0 for none and for the year 1."""
    match = _TIME.fullmatch(text)
    if match is None:
        return 0
    seconds, fraction, zone = match.groups()
    try:
        moment = datetime.fromisoformat(seconds + ("+00:00" if zone == "Z" else zone)).astimezone(UTC)
    except (ValueError, OverflowError):
        return 0
    return max(0, round(moment.timestamp()) * 1_000_000_000 + int((fraction or "0").ljust(9, "0")))


def seconds_text(moment_ns: int) -> str:
    """Return Unix nanoseconds as the engine's queries take them: `1700000000.000000001`."""
    return f"{moment_ns // 1_000_000_000}.{moment_ns % 1_000_000_000:09d}"


def cpu_limit(host: Mapping[str, Any]) -> float:
    """Return the CPUs that a HostConfig allows: `--cpus`, the size of `--cpuset-cpus`, quota by period; 0 for all."""
    if host.get("NanoCpus"):
        return int(host["NanoCpus"]) / 1e9
    if host.get("CpusetCpus"):
        return float(cpuset_size(str(host["CpusetCpus"])))
    quota = int(host.get("CpuQuota") or 0)
    return quota / (int(host.get("CpuPeriod") or 0) or 100_000) if quota > 0 else 0.0


def cpuset_size(text: str) -> int:
    """Return the number of CPUs in a list such as `0-2,7`; 0 for one that cannot be read."""
    size = 0
    for part in filter(None, text.split(",")):
        first, _, last = part.partition("-")
        if not first.isdigit() or (last and not last.isdigit()):
            return 0
        size += int(last or first) - int(first) + 1
    return size


def split_image(image: str) -> tuple[str, str]:
    """Return the name and the tag of `registry:5000/name:tag@sha256:...`; a name without a tag has none."""
    name = image.partition("@")[0]
    base, colon, tag = name.rpartition(":")
    return (base, tag) if colon and "/" not in tag else (name, "")


def resource_attributes(container: Container, labels: Mapping[str, str] | None = None) -> dict[str, Value]:
    """Return the resource attributes of what a container logs and does, by the semantic conventions.

    `labels` are those to be added, as `container.label.<name>`.
    """
    found: dict[str, Value] = {"container.id": container.id}
    image, tag = split_image(container.image)
    optional: dict[str, Value] = {
        "container.name": container.name,
        "container.image.name": image,
        "container.image.tags": [tag] if tag else [],
        "container.image.id": container.image_id,
        "container.runtime": container.runtime,
        "service.name": container.service_name,
    }
    found.update({name: value for name, value in optional.items() if value})
    found.update({f"container.label.{name}": value for name, value in (labels or {}).items()})
    return found


def _declared_service(environment: Mapping[str, str]) -> str:
    pairs = (entry.partition("=") for entry in environment.get("OTEL_RESOURCE_ATTRIBUTES", "").split(","))
    return next((unquote(value.strip()) for name, _, value in pairs if name.strip() == "service.name"), "")
