"""Events of containers as log records.

Field numbers: opentelemetry/proto/logs/v1/logs.proto. The event's name is `docker.container.<action>`, with the action
as the engine calls it.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping, Sequence
from typing import Any, Final, NamedTuple

from ophion_agent import otlp_writing as wire
from ophion_docker.metadata import Container, resource_attributes
from ophion_docker.watching import action_of

SCHEMA_URL: Final = "https://opentelemetry.io/schemas/1.38.0"
INFO, WARN, ERROR = 9, 13, 17
_TEXTS: Final = {INFO: "INFO", WARN: "WARN", ERROR: "ERROR"}
_FIXED: Final = struct.Struct("<BQ")
_OWN_ATTRIBUTES: Final = frozenset({"name", "image", "exitCode", "signal", "execDuration", "oldName", "execID"})


class Event(NamedTuple):
    """One event of one container, as far as it is known."""

    container: Container
    time_ns: int
    action: str
    detail: str
    exit_code: int | None = None
    signal: str = ""

    @property
    def severity(self) -> int:
        """OTLP's severity number: what hurts the application stands out."""
        if self.action == "oom":
            return ERROR
        return WARN if self.exit_code or self.detail == "unhealthy" else INFO

    @property
    def body(self) -> str:
        """A sentence about it."""
        name = self.container.name or self.container.id[:12]
        if self.exit_code is not None:
            return f"container {name}: {self.action}, exit code {self.exit_code}"
        more = self.detail or (f"signal {self.signal}" if self.signal else "")
        return f"container {name}: {self.action}{f', {more}' if more else ''}"


def event_of(event: Mapping[str, Any], container: Container | None, now_ns: int) -> Event:
    """Return an engine's event; of a container that nothing else is known of, what the event says."""
    actor: Mapping[str, Any] = event.get("Actor") or {}
    attributes: Mapping[str, Any] = actor.get("Attributes") or {}
    detail = str(event.get("Action") or event.get("status") or "").partition(":")[2].strip()
    code = str(attributes.get("exitCode", ""))
    action = action_of(event)
    return Event(
        container=container or _named(str(actor.get("ID") or event.get("id") or ""), attributes),
        time_ns=int(event.get("timeNano") or 0) or now_ns,
        action=action,
        detail=detail or str(attributes.get("oldName", "")),
        exit_code=int(code) if action == "die" and code.lstrip("-").isdigit() else None,
        signal=str(attributes.get("signal", "")),
    )


def _named(id_: str, attributes: Mapping[str, Any]) -> Container:
    labels = {name: str(value) for name, value in attributes.items() if name not in _OWN_ATTRIBUTES}
    return Container(
        id=id_, name=str(attributes.get("name", "")), image=str(attributes.get("image", "")), labels=labels, status=""
    )


def encode_events(
    events: Sequence[tuple[Event, Mapping[str, str]]], observed_ns: int, scope: str, version: str
) -> bytes:
    """Return an ExportLogsServiceRequest of events, each with the labels to add to its resource."""
    schema = wire.field(3, SCHEMA_URL.encode())
    heading = wire.scope(scope, version)
    groups = []
    for event, labels in events:
        resource = wire.resource(resource_attributes(event.container, labels))
        groups.append(wire.field(1, resource + wire.field(2, heading + _record(event, observed_ns) + schema) + schema))
    return b"".join(groups)


def _record(event: Event, observed_ns: int) -> bytes:
    attributes: dict[str, wire.Value] = {"docker.event.action": event.action}
    if event.exit_code is not None:
        attributes["process.exit.code"] = event.exit_code
    if event.detail:
        attributes["docker.event.detail"] = event.detail
    if event.signal:
        attributes["docker.event.signal"] = event.signal
    body = b"".join(
        (
            _FIXED.pack(0x09, event.time_ns),
            b"\x10" + wire.varint(event.severity),
            wire.field(3, _TEXTS[event.severity].encode()),
            wire.field(5, wire.any_value(event.body)),
            wire.attributes(6, attributes),
            _FIXED.pack(0x59, observed_ns),
            wire.field(12, f"docker.container.{event.action}".encode()),
        )
    )
    return wire.field(2, body)
