"""Spans in Jaeger's JSON form, as the Jaeger query service shows OTLP spans.

Sources: pkg/translator/jaeger of opentelemetry-collector-contrib for what becomes a tag, a log or a reference;
internal/uimodel of Jaeger for the JSON; its query service's adjusters for the order of tags and the warnings.
"""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, Final

import orjson
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, InstrumentationScope, KeyValue

MISSING_SERVICE: Final = "missing-service-name"
KINDS: Final[Mapping[int, str]] = MappingProxyType(
    {1: "internal", 2: "server", 3: "client", 4: "producer", 5: "consumer"}
)
_STATUS: Final = {1: "OK", 2: "ERROR"}
_SAFE_INTEGER: Final = 2**53 - 1
_REF_TYPE: Final = "opentracing.ref_type"
_DUPLICATE: Final = "duplicate span IDs; skipping clock skew adjustment"
_ORPHAN: Final = "parent span ID={} is not in the trace; skipping clock skew adjustment"
_EMPTY_LINK: Final = "Invalid span link removed"
_CUT: Final = "only the first {} spans are shown; raise `max_spans` of grafana_apis to see more"


def id_text(trace_id: bytes) -> str:
    """Return a trace id as Jaeger writes it: 16 digits where the upper half is zero."""
    text = trace_id.hex().rjust(32, "0")
    return text[16:] if text.startswith("0" * 16) else text


def tag(key: str, value: AnyValue) -> dict[str, Any]:
    """Return an attribute as a tag."""
    kind = value.WhichOneof("value")
    if kind == "bool_value":
        return {"key": key, "type": "bool", "value": value.bool_value}
    if kind == "int_value":
        number = value.int_value
        # JavaScript would round it.
        return {"key": key, "type": "int64", "value": number if abs(number) <= _SAFE_INTEGER else str(number)}
    if kind == "double_value":
        return {"key": key, "type": "float64", "value": value.double_value}
    if kind == "bytes_value":
        return {"key": key, "type": "binary", "value": b64encode(value.bytes_value).decode()}
    return _text_tag(key, value.string_value if kind in ("string_value", None) else _json(value))


def _text_tag(key: str, text: str) -> dict[str, Any]:
    return {"key": key, "type": "string", "value": text}


def _json(value: AnyValue) -> str:
    return orjson.dumps(_plain(value), option=orjson.OPT_SORT_KEYS).decode()


def _plain(value: AnyValue) -> Any:
    kind = value.WhichOneof("value")
    if kind == "array_value":
        return [_plain(entry) for entry in value.array_value.values]
    if kind == "kvlist_value":
        return {entry.key: _plain(entry.value) for entry in value.kvlist_value.values}
    if kind == "bytes_value":
        return b64encode(value.bytes_value).decode()
    return getattr(value, kind) if kind else None


def _tags(attributes: Iterable[KeyValue]) -> list[dict[str, Any]]:
    return [tag(entry.key, entry.value) for entry in sorted(attributes, key=lambda entry: entry.key)]


@dataclass(slots=True)
class Trace:
    """One trace while it is put together."""

    spans: list[dict[str, Any]] = field(default_factory=list)
    parents: list[str] = field(default_factory=list)
    processes: dict[str, dict[str, Any]] = field(default_factory=dict)
    names: dict[bytes, str] = field(default_factory=dict)

    def process_id(self, service: str, tags: list[dict[str, Any]]) -> str:
        """Return the id of a process, a new one for a process that is not known yet."""
        process = {"serviceName": service, "tags": tags}
        known = self.names.setdefault(orjson.dumps(process), f"p{len(self.names) + 1}")
        self.processes[known] = process
        return known

    def document(self, trace_id: str, cut_at: int = 0) -> dict[str, Any]:
        """Return the trace; `cut_at` is the number of spans that it was cut at."""
        self._warn()
        return {
            "traceID": trace_id,
            "spans": self.spans,
            "processes": self.processes,
            "warnings": [_CUT.format(cut_at)] if cut_at else None,
        }

    def _warn(self) -> None:
        seen: set[str] = set()
        everyone = {span["spanID"] for span in self.spans}
        for span, parent in zip(self.spans, self.parents, strict=True):
            if span["spanID"] in seen:
                _warn(span, _DUPLICATE)
            elif parent and parent not in everyone:
                _warn(span, _ORPHAN.format(parent))
            seen.add(span["spanID"])


def _warn(span: dict[str, Any], text: str) -> None:
    span["warnings"] = [*(span["warnings"] or ()), text]


def traces_of(request: Any, most_spans: int = 0) -> list[dict[str, Any]]:
    """Return the traces of an ExportTraceServiceRequest; those with `most_spans` spans together were cut there."""
    traces: dict[str, Trace] = {}
    count = 0
    for group in request.resource_spans:
        service, tags = _process(group.resource.attributes)
        for scope_spans in group.scope_spans:
            for span in scope_spans.spans:
                trace = traces.setdefault(id_text(span.trace_id), Trace())
                trace.spans.append(_span(span, scope_spans.scope, trace.process_id(service, tags)))
                trace.parents.append(span.parent_span_id.hex())
                count += 1
    cut = most_spans if most_spans and count >= most_spans else 0
    return [trace.document(trace_id, cut) for trace_id, trace in traces.items()]


def _process(attributes: Sequence[KeyValue]) -> tuple[str, list[dict[str, Any]]]:
    services = [entry.value.string_value for entry in attributes if entry.key == "service.name"]
    service = services[0] if services else ""
    return service or MISSING_SERVICE, _tags(entry for entry in attributes if entry.key != "service.name")


def _span(span: Any, scope: InstrumentationScope, process_id: str) -> dict[str, Any]:
    trace_id = id_text(span.trace_id)
    links = [link for link in span.links if any(link.trace_id)]
    shown = {
        "traceID": trace_id,
        "spanID": span.span_id.hex().rjust(16, "0"),
        "operationName": span.name,
        "references": _references(span, trace_id, links),
        "startTime": span.start_time_unix_nano // 1000,
        "duration": max(span.end_time_unix_nano - span.start_time_unix_nano, 0) // 1000,
        "tags": list(_span_tags(span, scope)),
        "logs": [_log(event) for event in span.events],
        "processID": process_id,
        "warnings": None,
    }
    for _ in range(len(span.links) - len(links)):
        _warn(shown, _EMPTY_LINK)
    return shown


def _references(span: Any, trace_id: str, links: Sequence[Any]) -> list[dict[str, str]]:
    references = []
    parent = span.parent_span_id.hex()
    if parent.strip("0"):
        references.append({"refType": "CHILD_OF", "traceID": trace_id, "spanID": parent})
    for link in links:
        found = {"refType": _ref_type(link), "traceID": id_text(link.trace_id), "spanID": link.span_id.hex()}
        if references and found["spanID"] == parent and found["traceID"] == trace_id:
            references[0] = found
        else:
            references.append(found)
    return references


def _ref_type(link: Any) -> str:
    kinds = [entry.value.string_value for entry in link.attributes if entry.key == _REF_TYPE]
    return "CHILD_OF" if kinds == ["child_of"] else "FOLLOWS_FROM"


def _span_tags(span: Any, scope: InstrumentationScope) -> Iterator[dict[str, Any]]:
    if scope.name:
        yield _text_tag("otel.scope.name", scope.name)
    if scope.version:
        yield _text_tag("otel.scope.version", scope.version)
    yield from _tags(span.attributes)
    if span.kind in KINDS:
        yield _text_tag("span.kind", KINDS[span.kind])
    if span.status.code in _STATUS:
        yield _text_tag("otel.status_code", _STATUS[span.status.code])
    if span.status.code == 2:
        yield {"key": "error", "type": "bool", "value": True}
    if span.status.message:
        yield _text_tag("otel.status_description", span.status.message)
    if span.trace_state:
        yield _text_tag("w3c.tracestate", span.trace_state)


def _log(event: Any) -> dict[str, Any]:
    fields = _tags(event.attributes)
    if event.name and not any(entry["key"] == "event" for entry in fields):
        fields.insert(0, _text_tag("event", event.name))
    return {"timestamp": event.time_unix_nano // 1000, "fields": fields}
