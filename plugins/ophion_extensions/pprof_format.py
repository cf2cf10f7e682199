"""Profiles as collapsed stacks, and as the gzipped protobuf that `go tool pprof` and other viewers read.

The messages are those of github.com/google/pprof/proto/profile.proto, with the fields used here.
"""

import gzip
from collections import Counter
from collections.abc import Hashable
from typing import Any, Final

from ophion_extensions.pprof_sampling import Place, Profile

# message -> field -> (number, type); a type in capitals is a message, `*` marks a repeated field.
_MESSAGES: Final[dict[str, dict[str, tuple[int, str]]]] = {
    "ValueType": {"type": (1, "int64"), "unit": (2, "int64")},
    "Sample": {"location_id": (1, "uint64*"), "value": (2, "int64*")},
    "Line": {"function_id": (1, "uint64"), "line": (2, "int64")},
    "Location": {"id": (1, "uint64"), "line": (4, "Line*")},
    "Function": {
        "id": (1, "uint64"),
        "name": (2, "int64"),
        "system_name": (3, "int64"),
        "filename": (4, "int64"),
        "start_line": (5, "int64"),
    },
    "Profile": {
        "sample_type": (1, "ValueType*"),
        "sample": (2, "Sample*"),
        "location": (4, "Location*"),
        "function": (5, "Function*"),
        "string_table": (6, "string*"),
        "time_nanos": (9, "int64"),
        "duration_nanos": (10, "int64"),
        "period_type": (11, "ValueType"),
        "period": (12, "int64"),
    },
}


def collapsed(profile: Profile) -> str:
    """Return `outer;inner count` lines, as flame graph tools read them."""
    lines: Counter[str] = Counter()
    for stack, count in profile.stacks.items():
        lines[";".join(label(place) for place in stack)] += count
    return "".join(f"{stack} {count}\n" for stack, count in sorted(lines.items()))


def label(place: Place) -> str:
    """Return `function (file)` with the folder that tells files of one name apart."""
    short = "/".join(place.file.split("/")[-2:])
    return f"{place.function} ({short})".replace(";", ",") if short else place.function


def pprof(profile: Profile) -> bytes:
    """Return the gzipped protobuf: samples, and the wall time (nanoseconds) they stand for."""
    message = profile_message()
    strings, functions, locations = _Table(), _Table(), _Table()
    strings.number("")
    for name, unit in (("samples", "count"), ("wall", "nanoseconds")):
        message.sample_type.add(type=strings.number(name), unit=strings.number(unit))
    message.period_type.type, message.period_type.unit = strings.number("wall"), strings.number("nanoseconds")
    message.period = profile.period_ns
    message.time_nanos, message.duration_nanos = profile.started_ns, profile.duration_ns
    for stack, count in profile.stacks.items():
        # pprof wants the innermost call first.
        places = [locations.number(place) + 1 for place in reversed(stack)]
        message.sample.add(location_id=places, value=[count, count * profile.period_ns])
    for number, place in enumerate(locations.entries, 1):
        function = functions.number((place.function, place.file, place.first_line)) + 1
        message.location.add(id=number).line.add(function_id=function, line=place.line)
    for number, (name, file, first_line) in enumerate(functions.entries, 1):
        named = strings.number(name)
        filename = strings.number(file)
        message.function.add(id=number, name=named, system_name=named, filename=filename, start_line=first_line)
    message.string_table.extend(strings.entries)
    return gzip.compress(message.SerializeToString(), 6)


class _Table:
    """Numbers things in the order they are first met, from 0."""

    def __init__(self) -> None:
        self._numbers: dict[Hashable, int] = {}

    @property
    def entries(self) -> list[Any]:
        return list(self._numbers)

    def number(self, entry: Hashable) -> int:
        return self._numbers.setdefault(entry, len(self._numbers))


def profile_message() -> Any:
    """Return an empty `perftools.profiles.Profile`."""
    from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

    file = descriptor_pb2.FileDescriptorProto(name="profile.proto", package="perftools.profiles", syntax="proto3")
    for name, fields in _MESSAGES.items():
        message = file.message_type.add(name=name)
        for field_name, (number, kind) in fields.items():
            _add_field(message, field_name, number, kind)
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    return message_factory.GetMessageClass(pool.FindMessageTypeByName("perftools.profiles.Profile"))()


def _add_field(message: Any, name: str, number: int, kind: str) -> None:
    field = message.field.add(name=name, number=number)
    field.label = field.LABEL_REPEATED if kind.endswith("*") else field.LABEL_OPTIONAL
    kind = kind.rstrip("*")
    if kind[0].isupper():
        field.type, field.type_name = field.TYPE_MESSAGE, f".perftools.profiles.{kind}"
    else:
        field.type = getattr(field, f"TYPE_{kind.upper()}")
