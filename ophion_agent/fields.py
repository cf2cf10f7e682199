"""Field types for config models: what otelcol users write, as values that code can use.

Every type validates from YAML values, serialises back to the form users write, and has a JSON schema.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from decimal import Decimal
from typing import Annotated, Any, NoReturn

from pydantic import BeforeValidator, PlainSerializer, SecretStr, WithJsonSchema
from pydantic.json_schema import GenerateJsonSchema, JsonSchemaValue
from pydantic_core import PydanticCustomError
from pydantic_core.core_schema import WithDefaultSchema

_NANOS = {
    "ns": 1,
    "us": 1_000,
    "µs": 1_000,  # Go writes the micro sign,
    "μs": 1_000,  # and reads the Greek letter too
    "ms": 1_000_000,
    "s": 1_000_000_000,
    "m": 60_000_000_000,
    "h": 3_600_000_000_000,
}
_DURATION_FORMAT = "go-duration"
_MAX_NANOS = 2**63 - 1
_DURATION_PART = re.compile(r"([0-9]+(?:\.[0-9]*)?|\.[0-9]+)(ns|us|µs|μs|ms|s|m|h)")
_DURATION = re.compile(rf"[-+]?(?:{_DURATION_PART.pattern})+")
_BARE_NUMBER = re.compile(r"[-+]?[0-9]+(?:\.[0-9]+)?")
_SIZE_UNITS = {"": 1, "b": 1, "k": 1000, "ki": 1024} | {
    f"{letter}{binary}b": (1024 if binary else 1000) ** power
    for power, letter in enumerate("kmgtp", start=1)
    for binary in ("", "i")
}
_SIZE = re.compile(r"([0-9]+(?:\.[0-9]+)?)\s*([a-z]*)", re.IGNORECASE)
_SIZE_NAMES = ("PiB", "TiB", "GiB", "MiB", "KiB")
_HOST_PORT = re.compile(r"(?P<host>\[[0-9a-fA-F:.%a-z]+\]|[^\[\]:/\s?#@]*)(?::(?P<port>[0-9]{1,5}))?")
_URL = re.compile(r"(?P<scheme>[A-Za-z][A-Za-z0-9+.-]*)://(?:[^/?#@]*@)?(?P<address>[^/?#]*)(?P<path>[/?#].*)?")
_RESOLVERS = frozenset({"dns", "passthrough", "ipv4", "ipv6"})


def parse_duration(text: str) -> float:
    """Return the seconds of a Go duration: `200ms`, `1m30s`, `1.5h`, `-1s`, `0`. Raises ValueError with the remedy."""
    if text in ("0", "+0", "-0"):
        return 0.0
    if _BARE_NUMBER.fullmatch(text):
        raise ValueError(f"must be a duration with a unit, got {text}; write {text}s")
    if not _DURATION.fullmatch(text):
        raise ValueError(f'must be a duration such as 200ms, 5s or 1m30s, got "{text}"')
    nanos = int(sum(Decimal(number) * _NANOS[unit] for number, unit in _DURATION_PART.findall(text)))
    if nanos > _MAX_NANOS:
        raise ValueError(f'must be at most 292 years, got "{text}"')
    return (-nanos if text.startswith("-") else nanos) / 1e9


def format_duration(seconds: float) -> str:
    """Return seconds in the form that users write: `1m30s`, `200ms`, `0s`. Exact to the nanosecond."""
    nanos = round(abs(seconds) * 1e9)
    sign = "-" if seconds < 0 and nanos else ""
    if nanos < _NANOS["s"]:
        unit = next((unit for unit in ("ms", "us") if nanos >= _NANOS[unit]), "ns")
        return f"{sign}{_decimal(nanos, unit)}{unit}" if nanos else "0s"
    hours, rest = divmod(nanos, _NANOS["h"])
    minutes, rest = divmod(rest, _NANOS["m"])
    parts = ((str(hours), "h"), (str(minutes), "m"), (_decimal(rest, "s"), "s"))
    return sign + "".join(f"{number}{unit}" for number, unit in parts if number != "0")


def parse_byte_size(text: str) -> int:
    """Return the bytes of `512`, `512kb` (1000), `1KiB` (1024), `1.5GiB`. Raises ValueError with the valid units."""
    match = _SIZE.fullmatch(text.strip())
    unit = _SIZE_UNITS.get(match[2].lower()) if match else None
    if match is None or unit is None:
        raise ValueError(f'must be a size such as 512kb, 1MiB or a number of bytes, got "{text}"')
    size = Decimal(match[1]) * unit
    if size != int(size):
        raise ValueError(f'must be a whole number of bytes, got "{text}"')
    return int(size)


def format_byte_size(size: int) -> str | int:
    """Return bytes as `64KiB` or `5MiB` when that is exact, else the number itself."""
    for power, name in zip((5, 4, 3, 2, 1), _SIZE_NAMES, strict=True):
        if size and size % 1024**power == 0:
            return f"{size // 1024**power}{name}"
    return size


@dataclass(frozen=True, slots=True)
class ParsedEndpoint:
    """The parts of an endpoint: `host` without brackets, "" for all interfaces; `port` None in a URL that names none.

    `unix_path` is set, and everything else empty, for a Unix socket ("\\0name" for an abstract one).
    """

    scheme: str | None = None
    host: str = ""
    port: int | None = None
    path: str = ""
    unix_path: str | None = None

    @property
    def address(self) -> str:
        """`host:port` with an IPv6 host in brackets, or `unix:path`: what gRPC dials."""
        if self.unix_path is not None:
            abstract = self.unix_path.startswith("\0")
            return f"unix-abstract:{self.unix_path[1:]}" if abstract else f"unix:{self.unix_path}"
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port is None else f"{host}:{self.port}"


def parse_endpoint(text: str) -> ParsedEndpoint:
    """Return the parts of `host:port`, `:port`, `[::1]:4317`, `https://host:4317/path`, `unix:/path`, `dns:///host:4317`.

    Raises ValueError, `must be host:port, got ...`.
    """
    text = text.strip()
    for prefix, mark in (("unix-abstract:", "\0"), ("unix://", ""), ("unix:", "")):
        if text.startswith(prefix):
            return _unix_endpoint(text, mark, text.removeprefix(prefix))
    if text.startswith("/"):  # otelcol's form beside `transport: unix`
        return ParsedEndpoint(unix_path=text)
    url = _URL.fullmatch(text)
    if url is None:
        return _host_and_port(text, text)
    scheme, address, path = url["scheme"].lower(), url["address"], url["path"] or ""
    if scheme in _RESOLVERS and not address:
        address, path = path.removeprefix("/"), ""
    return _host_and_port(address, text, scheme, path)


def _unix_endpoint(text: str, mark: str, path: str) -> ParsedEndpoint:
    if not path:
        raise ValueError(f"must name a socket, got '{text}'; write unix:/run/app.sock")
    return ParsedEndpoint(unix_path=mark + path)


def _host_and_port(address: str, text: str, scheme: str | None = None, path: str = "") -> ParsedEndpoint:
    match = _HOST_PORT.fullmatch(address)
    if match is None:
        bare_ipv6 = address.count(":") > 1 and re.fullmatch(r"[0-9a-fA-F:.]+", address)
        raise ValueError(_not_an_endpoint(text, "; write an IPv6 address in brackets: [::1]:4317" if bare_ipv6 else ""))
    host, port = match["host"].strip("[]"), match["port"]
    if (port is None and scheme is None) or (scheme is not None and not host):
        raise ValueError(_not_an_endpoint(text))
    if port is not None and int(port) > 65535:
        raise ValueError(f"must have a port of at most 65535, got '{text}'")
    return ParsedEndpoint(scheme, host, None if port is None else int(port), path)


def _not_an_endpoint(text: object, remedy: str = "") -> str:
    return f"must be host:port, got '{text}'{remedy}"


def as_text(value: Any) -> Any:
    """Return YAML scalars as the text that was written, for fields that hold text: `0123` from a reference, 7, true."""
    written = getattr(value, "text", None)
    if isinstance(written, str):
        return written
    if isinstance(value, bool):
        return str(value).lower()
    return str(value) if isinstance(value, int | float) else value


def _decimal(nanos: int, unit: str) -> str:
    return (
        format(Decimal(nanos) / _NANOS[unit], "f").rstrip("0").rstrip(".")
        if nanos % _NANOS[unit]
        else str(nanos // _NANOS[unit])
    )


def _refuse(kind: str, reason: str) -> NoReturn:
    # A custom error keeps pydantic's "Value error, " out of what users read.
    raise PydanticCustomError(kind, "{reason}", {"reason": reason})


def _duration(value: Any) -> Any:
    seconds = _signed_duration(value)
    if seconds < 0:
        _refuse("duration", f"must not be negative, got {format_duration(seconds)}")
    return seconds


def _signed_duration(value: Any) -> float:
    if isinstance(value, float) and math.isfinite(value):
        return float(value)
    if isinstance(value, str):
        try:
            return parse_duration(value.strip())
        except ValueError as error:
            _refuse("duration", str(error))
    if isinstance(value, int) and not isinstance(value, bool):
        if value == 0:
            return 0.0
        _refuse("duration", f"must be a duration with a unit, got {value}; write {value}s")
    _refuse("duration", f"must be a duration such as 200ms, 5s or 1m30s, got {_shown(value)}")


def _byte_size(value: Any) -> Any:
    if isinstance(value, str):
        try:
            return parse_byte_size(value)
        except ValueError as error:
            _refuse("byte_size", str(error))
    if isinstance(value, bool) or not isinstance(value, int):
        _refuse("byte_size", f"must be a size such as 512kb, 1MiB or a number of bytes, got {_shown(value)}")
    if value < 0:
        _refuse("byte_size", f"must not be negative, got {value}")
    return int(value)


def _endpoint(value: Any) -> Any:
    if not isinstance(value, str):
        remedy = f"; write localhost:{value}" if isinstance(value, int) and not isinstance(value, bool) else ""
        _refuse("endpoint", _not_an_endpoint(_shown(value), remedy))
    try:
        parse_endpoint(value)
    except ValueError as error:
        _refuse("endpoint", str(error))
    return value.strip()


def _shown(value: object) -> str:
    if value is None:
        return "nothing"
    if isinstance(value, dict):
        return "a mapping"
    return "a list" if isinstance(value, list) else str(as_text(value))


_DURATION_SCHEMA = WithJsonSchema(
    {
        # The only number is 0: the limits say nothing about text, and the pattern nothing about numbers.
        "type": ["string", "number"],
        "minimum": 0,
        "maximum": 0,
        "format": _DURATION_FORMAT,
        "pattern": r"^([-+]?((\d+(\.\d*)?|\.\d+)(ns|us|µs|ms|s|m|h))+|0)$",
        "description": "A duration: 200ms, 5s, 1m30s.",
    }
)


class ConfigJsonSchema(GenerateJsonSchema):
    """Generates schemas whose defaults read as users write them: `5s`, not 5.0. Pass as `schema_generator`."""

    def default_schema(self, schema: WithDefaultSchema) -> JsonSchemaValue:
        """Return the schema of a field with a default."""
        described = super().default_schema(schema)
        default = described.get("default")
        if described.get("format") == _DURATION_FORMAT and isinstance(default, int | float):
            described["default"] = format_duration(default)
        return described


Duration = Annotated[
    float, BeforeValidator(_duration), PlainSerializer(format_duration, return_type=str), _DURATION_SCHEMA
]
"""Seconds, written `200ms`, `5s` or `1m30s`. A bare integer is refused: otelcol would read it as nanoseconds."""

SignedDuration = Annotated[
    float, BeforeValidator(_signed_duration), PlainSerializer(format_duration, return_type=str), _DURATION_SCHEMA
]
"""Seconds that may be negative."""

ByteSize = Annotated[
    int,
    BeforeValidator(_byte_size),
    PlainSerializer(format_byte_size, return_type=str | int),
    WithJsonSchema(
        {
            "anyOf": [{"type": "integer", "minimum": 0}, {"type": "string", "pattern": r"^\d+(\.\d+)?\s*[A-Za-z]*$"}],
            "description": "A size: 512kb (1000), 1KiB (1024), 1MiB, or a number of bytes.",
        }
    ),
]
"""Bytes, written as a number or as `512kb`, `1MiB`."""

Endpoint = Annotated[
    str,
    BeforeValidator(_endpoint),
    WithJsonSchema({"type": "string", "description": "host:port, :port for all interfaces, a URL, or unix:/path."}),
]
"""An address as text, checked; `parse_endpoint` gives its parts."""

_TEXT_TYPES = ["string", "number", "boolean"]

Text = Annotated[str, BeforeValidator(as_text), WithJsonSchema({"type": _TEXT_TYPES})]
"""Text that also takes YAML numbers and booleans, as header values need: `X-Scope-OrgID: 7`."""

Secret = Annotated[
    SecretStr,
    BeforeValidator(as_text),
    WithJsonSchema({"type": _TEXT_TYPES, "format": "password", "writeOnly": True}),
]
"""Text that is never printed: `**********` in logs, errors and print-config."""
