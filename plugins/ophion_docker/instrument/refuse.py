"""Why a container is left alone: what can be told from the engine's answers, before anything is touched."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any, Final

from ophion_docker.instrument.detect import Runtime
from ophion_docker.instrument.errors import Refused

Json = Mapping[str, Any]

ID_LABEL: Final = "ophion.instrument.id"
"""The label of a container that was made by instrumentation; its value is the unique id that telemetry carries."""

_KUBERNETES: Final = ("io.kubernetes.pod.uid", "io.kubernetes.pod.name", "io.kubernetes.container.name")
_NAMESPACES: Final = {"NetworkMode": "network", "PidMode": "process", "IpcMode": "IPC", "UTSMode": "host name"}


def check_container(inspect: Json, others: Iterable[Json]) -> None:
    """Raise Refused unless the container may be re-created; `others` are the inspections of all other containers."""
    name = container_name(inspect)
    problem = (
        _state_problem(inspect["State"])
        or _owner_problem(inspect["Config"].get("Labels") or {})
        or _host_problem(inspect["HostConfig"])
        or _dependants_problem(inspect, others)
        or _telemetry_problem(_variables(inspect["Config"].get("Env") or ()))
    )
    if problem:
        raise Refused(f"{name}: {problem}")


def container_name(inspect: Json) -> str:
    """Return the name without the slash that the engine puts before it."""
    return str(inspect["Name"]).removeprefix("/")


def _state_problem(state: Json) -> str:
    if state.get("Restarting"):
        return "it restarts again and again; mend it first"
    if state.get("Paused"):
        return "it is paused; unpause it first"
    if not state.get("Running"):
        return "it does not run; start it first"
    health = (state.get("Health") or {}).get("Status")
    if health == "unhealthy":
        return "its health check fails; mend it first"
    return ""


def _owner_problem(labels: Mapping[str, str]) -> str:
    if ID_LABEL in labels:
        return "it is instrumented already; see --status, or --undo it first"
    if "com.docker.swarm.service.id" in labels:
        return "Swarm manages it and would replace it; change the service with `docker service update`"
    if any(label in labels for label in _KUBERNETES):
        return "Kubernetes manages it and would replace it; use the OpenTelemetry operator there"
    return ""


def _host_problem(host: Json) -> str:
    if host.get("AutoRemove"):
        return "it was started with --rm and would be lost when stopped; start it without"
    if host.get("NetworkMode") == "none":
        return "it has no network to send telemetry by; connect it to one"
    for key, what in _NAMESPACES.items():
        if str(host.get(key) or "").startswith("container:"):
            return f"it uses the {what} namespace of another container; instrument one that has its own"
    return ""


def _dependants_problem(inspect: Json, others: Iterable[Json]) -> str:
    own = {str(inspect["Id"]), container_name(inspect)}
    for other in others:
        if other["Id"] == inspect["Id"]:
            continue
        host, who = other["HostConfig"], container_name(other)
        for key, what in _NAMESPACES.items():
            mode, _, target = str(host.get(key) or "").partition(":")
            if mode == "container" and target in own:
                return f"container {who} shares its {what} namespace and would lose it; remove {who} first"
        if any(link.split(":")[0].removeprefix("/") in own for link in host.get("Links") or ()):
            return f"container {who} has a legacy link to it and would lose it; put both on one network instead"
    return ""


def _telemetry_problem(variables: Mapping[str, str]) -> str:
    if variables.get("OTEL_SDK_DISABLED", "").lower() == "true":
        return "it sets OTEL_SDK_DISABLED=true; remove that first"
    for name in ("OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT"):
        if variables.get(name):
            return f"it sends telemetry by itself: {name} is set, and what is set is never overwritten; remove it first"
    if variables.get("OTEL_TRACES_EXPORTER") == "none":
        return "it sets OTEL_TRACES_EXPORTER=none; remove that first"
    return ""


def _variables(items: Iterable[str]) -> dict[str, str]:
    return {key: value for key, _, value in (item.partition("=") for item in items)}


def check_foreign_agent(runtime: Runtime, name: str) -> None:
    """Raise Refused where another agent instruments the process already."""
    problem = _FOREIGN[runtime.language](runtime)
    if problem:
        raise Refused(f"{name}: it is instrumented by something else: {problem}; remove that first")


def _foreign_python(runtime: Runtime) -> str:
    process = runtime.process
    path = process.environment.get("PYTHONPATH", "")
    for mark in ("auto_instrumentation", "ddtrace", "newrelic"):
        if mark in path:
            return f"PYTHONPATH has {mark}"
    prefixes = [
        "usr",
        "usr/local",
        process.executable.rpartition("/bin/")[0],
        process.environment.get("VIRTUAL_ENV", ""),
    ]
    folders = [part for part in path.split(":") if part.startswith("/")]
    patterns = [f"{prefix.strip('/')}/lib/python3*/*-packages" for prefix in dict.fromkeys(prefixes) if prefix]
    for pattern in [*patterns, *(folder.strip("/") for folder in folders)]:
        for found in process.root.glob(f"{pattern}/opentelemetry_sdk-*.dist-info"):
            return f"{found.name.removesuffix('.dist-info')} is installed"
    return ""


def _foreign_node(runtime: Runtime) -> str:
    options = " ".join((runtime.process.environment.get("NODE_OPTIONS", ""), *runtime.process.command))
    found = re.search(r"@opentelemetry/\S+|dd-trace\S*|newrelic\S*|elastic-apm-node\S*|applicationinsights\S*", options)
    if found:
        return f"node is started with {found.group()}"
    folder = runtime.process.folder / "cwd" / "node_modules" / "@opentelemetry" / "sdk-node"
    return "the application has @opentelemetry/sdk-node" if folder.exists() else ""


def _foreign_java(runtime: Runtime) -> str:
    variables = runtime.process.environment
    places = [*runtime.process.command, variables.get("JAVA_TOOL_OPTIONS", ""), variables.get("JDK_JAVA_OPTIONS", "")]
    found = re.search(
        r"-javaagent:\S*(?:opentelemetry|dd-java|newrelic|elastic-apm|applicationinsights)\S*", " ".join(places)
    )
    return f"java is started with {found.group()}" if found else ""


def _foreign_dotnet(runtime: Runtime) -> str:
    variables = runtime.process.environment
    names = ("CORECLR_PROFILER", "CORECLR_PROFILER_PATH", "DOTNET_STARTUP_HOOKS")
    return next((f"{name} is set" for name in names if variables.get(name)), "")


_FOREIGN: Final = {
    "python": _foreign_python, "nodejs": _foreign_node, "java": _foreign_java, "dotnet": _foreign_dotnet
}  # fmt: skip
