"""What instrumentation adds to the body of a container: the payload volume, labels, environment variables."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import quote

from ophion_docker.instrument.refuse import ID_LABEL

MOUNT: Final = "/opt/ophion-instrument"
LANGUAGE_LABEL: Final = "ophion.instrument.language"
ID_ATTRIBUTE: Final = "ophion.instrument.id"

Json = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Injection:
    """One instrumentation. `token` is unique; `endpoint` is where the container reaches the agent's OTLP/HTTP."""

    language: str
    libc: str
    volume: str
    token: str
    endpoint: str
    container: str


def inject(body: Mapping[str, Any], injection: Injection) -> Json:
    """Return the body with the payload; nothing that the user set is overwritten, what takes lists is appended to."""
    host = dict(body["HostConfig"])
    source = {"Type": "volume", "Source": injection.volume, "Target": MOUNT, "ReadOnly": True}
    host["Mounts"] = [*(host.get("Mounts") or ()), {**source, "VolumeOptions": {"NoCopy": True}}]
    labels = {ID_LABEL: injection.token, LANGUAGE_LABEL: injection.language}
    variables = _variables(body.get("Env") or ())
    service = service_name(body.get("Labels") or {}, injection.container)
    _add_common(variables, injection, service, str(body.get("Image", "")))
    _LANGUAGES[injection.language](variables, injection)
    environment = [key if value is None else f"{key}={value}" for key, value in variables.items()]
    return {
        **body, "HostConfig": host, "Labels": {**(body.get("Labels") or {}), **labels}, "Env": environment
    }  # fmt: skip


def service_name(labels: Mapping[str, str], container: str) -> str:
    """Return what the application is called: its compose service, or the container's name."""
    return labels.get("com.docker.compose.service") or container


def _variables(items: list[str] | tuple[str, ...]) -> dict[str, str | None]:
    pairs = (item.partition("=") for item in items)
    return {key: value if separator else None for key, separator, value in pairs}


def _add_common(variables: dict[str, str | None], injection: Injection, service: str, image: str) -> None:
    own = {"container.name": injection.container, "container.image.name": image, ID_ATTRIBUTE: injection.token}
    given = variables.get("OTEL_RESOURCE_ATTRIBUTES") or ""
    present = {pair.partition("=")[0].strip() for pair in given.split(",")}
    added = [f"{key}={quote(value, safe='/:@.')}" for key, value in own.items() if key not in present and value]
    variables["OTEL_RESOURCE_ATTRIBUTES"] = ",".join([*([given] if given else []), *added])
    if "service.name" not in present:
        variables.setdefault("OTEL_SERVICE_NAME", service)
    variables["OTEL_EXPORTER_OTLP_ENDPOINT"] = injection.endpoint
    variables["OPHION_INSTRUMENT_ID"] = injection.token


def _python(variables: dict[str, str | None], _: Injection) -> None:
    _append(variables, "PYTHONPATH", f"{MOUNT}/loader", ":", first=True)


def _node(variables: dict[str, str | None], _: Injection) -> None:
    _append(variables, "NODE_OPTIONS", f"--require {MOUNT}/register.js", " ")


def _java(variables: dict[str, str | None], _: Injection) -> None:
    _append(variables, "JAVA_TOOL_OPTIONS", f"-javaagent:{MOUNT}/opentelemetry-javaagent.jar", " ")
    for name in ("TRACES", "METRICS", "LOGS"):
        variables.setdefault(f"OTEL_{name}_EXPORTER", "otlp")
    variables.setdefault("OTEL_EXPORTER_OTLP_PROTOCOL", "http/protobuf")
    # An idle application tells that it is ready by its first metrics.
    variables.setdefault("OTEL_METRIC_EXPORT_INTERVAL", "10000")


def _dotnet(variables: dict[str, str | None], injection: Injection) -> None:
    folder = f"linux-{'musl-' if injection.libc == 'musl' else ''}x64"
    _append(variables, "DOTNET_STARTUP_HOOKS", f"{MOUNT}/net/OpenTelemetry.AutoInstrumentation.StartupHook.dll", ":")
    _append(variables, "DOTNET_ADDITIONAL_DEPS", f"{MOUNT}/AdditionalDeps", ":")
    _append(variables, "DOTNET_SHARED_STORE", f"{MOUNT}/store", ":")
    variables["CORECLR_ENABLE_PROFILING"] = "1"
    variables["CORECLR_PROFILER"] = "{918728DD-259F-4A6A-AC2B-B85E1B658318}"
    variables["CORECLR_PROFILER_PATH"] = f"{MOUNT}/{folder}/OpenTelemetry.AutoInstrumentation.Native.so"
    variables["OTEL_DOTNET_AUTO_HOME"] = MOUNT
    variables.setdefault("OTEL_EXPORTER_OTLP_PROTOCOL", "http/protobuf")
    variables.setdefault("OTEL_METRIC_EXPORT_INTERVAL", "10000")


def _append(variables: dict[str, str | None], name: str, value: str, separator: str, *, first: bool = False) -> None:
    given = variables.get(name)
    parts = [value, *([given] if given else [])] if first else [*([given] if given else []), value]
    variables[name] = separator.join(parts)


_LANGUAGES: Final = {"python": _python, "nodejs": _node, "java": _java, "dotnet": _dotnet}
