"""What the paths of OTTL conditions read in each context, and how deep in a request they have to look."""

from collections.abc import Callable, Mapping
from enum import IntEnum
from typing import Any

from opentelemetry.proto.logs.v1.logs_pb2 import SeverityNumber
from opentelemetry.proto.metrics.v1.metrics_pb2 import AggregationTemporality
from opentelemetry.proto.trace.v1.trace_pb2 import Span, Status

from ophion_processors.conditions import ConditionError, Path
from ophion_processors.values import find, to_python


class Level(IntEnum):
    """How deep a condition looks; one that looks no deeper than the resource is asked once per resource."""

    RESOURCE = 0
    SCOPE = 1
    METRIC = 2
    RECORD = 3
    EVENT = 4


class Place:
    """Where in a request a condition is asked: set from the resource down while the request is walked."""

    __slots__ = ("event", "metric", "record", "resource", "scope")

    def __init__(self, resource: Any = None, scope: Any = None, record: Any = None) -> None:
        self.resource = resource
        self.scope = scope
        self.metric: Any = None
        self.record = record
        self.event: Any = None


Get = Callable[[Place], Any]

_METRIC_TYPES = {
    None: "NONE",
    "gauge": "GAUGE",
    "sum": "SUM",
    "histogram": "HISTOGRAM",
    "exponential_histogram": "EXPONENTIAL_HISTOGRAM",
    "summary": "SUMMARY",
}
_METRIC_TYPE_NUMBERS = {kind: number for number, kind in enumerate(_METRIC_TYPES)}

ENUMS: Mapping[str, int] = {
    **dict(Span.SpanKind.items()),
    **dict(Status.StatusCode.items()),
    **dict(SeverityNumber.items()),
    **dict(AggregationTemporality.items()),
    **{f"METRIC_DATA_TYPE_{name}": number for number, name in enumerate(_METRIC_TYPES.values())},
}


def _plain(name: str) -> Callable[[Any], Any]:
    return lambda owner: getattr(owner, name)


def _hex(name: str) -> Callable[[Any], Any]:
    return lambda owner: getattr(owner, name).hex()


def _ids(*names: str) -> dict[str, Callable[[Any], Any]]:
    return {name: _plain(name) for name in names} | {f"{name}.string": _hex(name) for name in names}


def _kind_text(span: Any) -> str:
    return str(Span.SpanKind.Name(span.kind)).removeprefix("SPAN_KIND_").capitalize() if 0 <= span.kind <= 5 else ""


def _data_field(name: str) -> Callable[[Any], Any]:
    def read(metric: Any) -> Any:
        kind = metric.WhichOneof("data")
        return getattr(getattr(metric, kind), name, None) if kind else None

    return read


def _optional(name: str) -> Callable[[Any], Any]:
    return lambda point: getattr(point, name, None)


def _number(*names: str) -> Callable[[Any], Any]:
    def read(point: Any) -> Any:
        kind = point.WhichOneof("value") if "value" in point.DESCRIPTOR.oneofs_by_name else None
        return getattr(point, kind) if kind in names else None

    return read


_RESOURCE = {"dropped_attributes_count": _plain("dropped_attributes_count")}
_SCOPE = {"name": _plain("name"), "version": _plain("version")}
_SPAN = {
    **{name: _plain(name) for name in ("name", "kind", "trace_state", "start_time_unix_nano", "end_time_unix_nano")},
    **_ids("trace_id", "span_id", "parent_span_id"),
    "kind.string": _kind_text,
    "status.code": lambda span: span.status.code,
    "status.message": lambda span: span.status.message,
    "dropped_attributes_count": _plain("dropped_attributes_count"),
}
_EVENT = {name: _plain(name) for name in ("name", "time_unix_nano", "dropped_attributes_count")}
_LOG = {
    **{name: _plain(name) for name in ("severity_number", "severity_text", "flags", "event_name")},
    **{name: _plain(name) for name in ("time_unix_nano", "observed_time_unix_nano", "dropped_attributes_count")},
    "body.string": lambda record: record.body.string_value if record.body.HasField("string_value") else None,
    **_ids("trace_id", "span_id"),
}
_METRIC = {
    **{name: _plain(name) for name in ("name", "description", "unit")},
    "type": lambda metric: _METRIC_TYPE_NUMBERS[metric.WhichOneof("data")],
    "aggregation_temporality": _data_field("aggregation_temporality"),
    "is_monotonic": _data_field("is_monotonic"),
}
_POINT = {
    **{name: _plain(name) for name in ("time_unix_nano", "start_time_unix_nano", "flags")},
    **{name: _optional(name) for name in ("count", "sum")},
    "value": _number("as_int", "as_double"),
    "value_int": _number("as_int"),
    "value_double": _number("as_double"),
}

_STORED_TEXTS = frozenset({"name", "status.message", "trace_state", "severity_text", "event_name", "body.string"})
_OWNERS: dict[str, tuple[Level, Callable[[Place], Any], dict[str, Callable[[Any], Any]]]] = {
    "resource": (Level.RESOURCE, lambda place: place.resource, _RESOURCE),
    "scope": (Level.SCOPE, lambda place: place.scope, _SCOPE),
    "span": (Level.RECORD, lambda place: place.record, _SPAN),
    "spanevent": (Level.EVENT, lambda place: place.event, _EVENT),
    "log": (Level.RECORD, lambda place: place.record, _LOG),
    "metric": (Level.METRIC, lambda place: place.metric, _METRIC),
    "datapoint": (Level.RECORD, lambda place: place.record, _POINT),
}
# Map and list values that take keys: `attributes["a"]`, `body["a"]`.
_KEYED = {
    **dict.fromkeys(("resource", "scope", "span", "spanevent", "datapoint"), ("attributes",)),
    "log": ("attributes", "body"),
    "metric": (),
}
_CONTEXTS = {
    "resource": ("resource",),
    "scope": ("scope", "resource"),
    "span": ("span", "scope", "resource"),
    "spanevent": ("spanevent", "span", "scope", "resource"),
    "log": ("log", "scope", "resource"),
    "metric": ("metric", "scope", "resource"),
    "datapoint": ("datapoint", "metric", "scope", "resource"),
}


def valid_paths(context: str) -> list[str]:
    """Return every path of a context, its own first."""
    paths: list[str] = []
    for owner in _CONTEXTS[context]:
        prefix = "" if owner == context else f"{owner}."
        paths += [f'{prefix}{name}["..."]' if name == "attributes" else f"{prefix}{name}" for name in _KEYED[owner]]
        paths += [f"{prefix}{name}" for name in _OWNERS[owner][2]]
    return paths


def resolve(path: Path, context: str) -> tuple[Level, Get]:
    """Return how deep a path looks and what reads it; raise ConditionError for one that the context does not have."""
    owner, name = _owner_of(path, context)
    level, owner_of, fields = _OWNERS[owner]
    if name in _KEYED[owner]:
        return level, _keyed(owner_of, name, path.keys)
    if name not in fields:
        shown = ".".join(path.fields)
        raise ConditionError(path.column, f"unknown path {shown!r}; valid: {', '.join(valid_paths(context))}")
    if path.keys:
        raise ConditionError(path.column, f"{'.'.join(path.fields)!r} takes no key; only attributes and body do")
    read = fields[name]
    return level, lambda place: read(owner_of(place))


def _owner_of(path: Path, context: str) -> tuple[str, str]:
    """Return the owner a path begins with and the rest of it; a path without an owner belongs to the context."""
    first = "scope" if path.fields[0] == "instrumentation_scope" else path.fields[0]
    if len(path.fields) > 1 and first in _CONTEXTS[context]:
        return first, ".".join(path.fields[1:])
    return context, ".".join(path.fields)


def is_stored_text(path: Path, context: str) -> bool:
    """Return whether a path reads text that the record itself stores as it is, rather than one that is computed."""
    owner, name = _owner_of(path, context)
    return owner in ("span", "log") and (name in _KEYED[owner] or name in _STORED_TEXTS)


def names_its_context(path: Path, context: str) -> bool:
    """Return whether a path says which part of the request it reads, as in `span.name`."""
    return len(path.fields) > 1 and path.fields[0] in (*_CONTEXTS[context], "instrumentation_scope")


def _keyed(owner_of: Callable[[Place], Any], name: str, keys: tuple[str | int, ...]) -> Get:
    if name == "attributes" and keys and isinstance(keys[0], str):
        key, rest = keys[0], keys[1:]
        if not rest:
            return lambda place: to_python(find(owner_of(place).attributes, key))
        return lambda place: _descend(to_python(find(owner_of(place).attributes, key)), rest)
    if name == "attributes":
        return lambda place: _descend({entry.key: to_python(entry.value) for entry in owner_of(place).attributes}, keys)
    return lambda place: _descend(to_python(getattr(owner_of(place), name)), keys)


def _descend(value: Any, keys: tuple[str | int, ...]) -> Any:
    for key in keys:
        if isinstance(value, dict):
            value = value.get(key)
        elif isinstance(value, list) and isinstance(key, int):
            value = value[key] if -len(value) <= key < len(value) else None
        else:
            return None
    return value
