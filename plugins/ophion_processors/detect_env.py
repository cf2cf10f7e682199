"""The `env` resource detector: OTEL_RESOURCE_ATTRIBUTES and OTEL_SERVICE_NAME."""

import re
from collections.abc import Mapping
from urllib.parse import unquote

_BROKEN_ESCAPE = re.compile(r"%(?![0-9A-Fa-f]{2})")


def detect_env(environment: Mapping[str, str]) -> dict[str, object]:
    """Return the attributes that the environment names; raise ValueError when the list is malformed.

    Values are percent-decoded, OTEL_SERVICE_NAME wins over service.name in the list, and a malformed list is discarded
    as a whole (OpenTelemetry specification, resource SDK).
    """
    listed = environment.get("OTEL_RESOURCE_ATTRIBUTES", "").strip() or environment.get("OTEL_RESOURCE", "").strip()
    attributes: dict[str, object] = dict(_pair(entry) for entry in listed.split(",") if entry.strip())
    service = environment.get("OTEL_SERVICE_NAME", "").strip()
    return attributes | ({"service.name": service} if service else {})


def _pair(entry: str) -> tuple[str, str]:
    key, equals, value = entry.partition("=")
    if not equals or not key.strip():
        raise ValueError(f"OTEL_RESOURCE_ATTRIBUTES: expected key=value pairs with commas between, got {entry!r}")
    if _BROKEN_ESCAPE.search(value):
        raise ValueError(f"OTEL_RESOURCE_ATTRIBUTES: invalid percent-encoding in {entry!r}; a percent sign is %25")
    return key.strip(), unquote(value.strip())
