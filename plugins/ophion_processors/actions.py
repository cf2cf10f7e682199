"""The actions of the `attributes` and `resource` processors: checked at validation, compiled once, applied to lists.

Semantics are those of otelcol's internal/coreinternal/attraction.
"""

import hashlib
import re
import struct
from collections.abc import Callable, Iterable, Sequence
from typing import Annotated, Any, Literal

from opentelemetry.proto.common.v1.common_pb2 import AnyValue, KeyValue
from pydantic import AfterValidator, BeforeValidator, Field, model_validator

from ophion_agent.plugin import Config, Metadata
from ophion_processors.patterns import compile_pattern
from ophion_processors.values import find, to_any_value, to_python, to_text

Attributes = Any  # a repeated field of KeyValue, or a list of them
Apply = Callable[[Attributes, Metadata], None]
Source = Callable[[Attributes, Metadata], AnyValue | None]

_SETTING = ("insert", "update", "upsert")
_INTEGER = re.compile(r"[+-]?[0-9]+")
_DECIMAL = re.compile(r"[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?|[+-]?(inf|infinity)|nan", re.IGNORECASE)
_INT64_LIMIT = 2**63


def _checked_pattern(pattern: str) -> str:
    compile_pattern(pattern)
    return pattern


def _lower(value: Any) -> Any:
    return value.lower() if isinstance(value, str) else value


def _checked_value(value: Any) -> Any:
    to_any_value(value)
    return value


AttributeValue = Annotated[Any, AfterValidator(_checked_value)]


class ActionConfig(Config):
    """One action on the attributes of a record or resource."""

    key: str = Field("", description="Attribute to act on.")
    action: Annotated[
        Literal["insert", "update", "upsert", "delete", "hash", "extract", "convert"], BeforeValidator(_lower)
    ] = Field(description="What to do; `insert` leaves an existing attribute as it is, `update` adds none.")
    value: AttributeValue = Field(None, description="Value to set; its type is kept.")
    from_attribute: str = Field("", description="Attribute to copy the value from.")
    from_context: str = Field(
        "", description="Where to take the value from: `metadata.<header>`, `client.address` or `auth.<name>`."
    )
    default_value: AttributeValue = Field(
        None, description="Value to set where from_attribute or from_context gives none."
    )
    pattern: Annotated[str, AfterValidator(_checked_pattern)] = Field(
        "", description="Regular expression: keys to delete or hash, or named groups to extract from the value."
    )
    converted_type: Literal["", "int", "double", "string"] = Field("", description="Type to convert the value to.")

    @model_validator(mode="after")
    def _fits_the_action(self) -> "ActionConfig":
        where = f"action {self.action!r}"
        if not self.key and not (self.action in ("delete", "hash") and self.pattern):
            raise ValueError(f"{where}: needs `key`{' or `pattern`' if self.action in ('delete', 'hash') else ''}")
        unused = sorted(set(self._given()) - _options_of(self.action))
        if unused:
            raise ValueError(f"{where}: does not use `{'`, `'.join(unused)}`; remove it")
        if self.action in _SETTING:
            self._check_source(where)
        if self.action == "extract":
            self._check_groups(where)
        if self.action == "convert" and not self.converted_type:
            raise ValueError(f"{where}: needs `converted_type`; valid: int, double, string")
        return self

    def _given(self) -> list[str]:
        options = ("from_attribute", "from_context", "pattern", "converted_type")
        given = [name for name in options if getattr(self, name)]
        return given + [name for name in ("value", "default_value") if getattr(self, name) is not None]

    def _check_source(self, where: str) -> None:
        sources = [name for name in self._given() if name != "default_value"]
        if not sources and self.default_value is None:
            raise ValueError(f"{where}: needs one of `value`, `from_attribute`, `from_context`")
        if len(sources) > 1:
            raise ValueError(f"{where}: takes its value from one place, got `{'` and `'.join(sorted(sources))}`")

    def _check_groups(self, where: str) -> None:
        if not self.pattern:
            raise ValueError(f"{where}: needs `pattern` with named groups, such as `(?P<name>.*)`")
        compiled = compile_pattern(self.pattern)
        if not compiled.groupindex:
            raise ValueError(f"{where}: `pattern` needs a group with a name, such as `(?P<name>.*)`")


def _options_of(action: str) -> set[str]:
    if action in _SETTING:
        return {"value", "from_attribute", "from_context", "default_value"}
    return {"convert": {"converted_type"}}.get(action, {"pattern"})


class ActionList:
    """Compiled actions, applied in order.

    `keys` are the attribute names on whose presence the outcome depends, or None where a key pattern makes that any.
    """

    def __init__(self, actions: Iterable[ActionConfig]) -> None:
        configs = list(actions)
        self._steps: Sequence[Apply] = [_compile(config) for config in configs]
        self.keys: frozenset[str] | None = frozenset().union(*map(_keys_of, configs))
        if any(config.pattern and config.action in ("delete", "hash") for config in configs):
            self.keys = None

    def apply(self, attributes: Attributes, metadata: Metadata) -> None:
        """Run every action on one list of attributes, in place."""
        for step in self._steps:
            step(attributes, metadata)

    def additions(self, metadata: Metadata) -> list[KeyValue]:
        """Return what the actions add to a record that has none of `keys`."""
        attributes: list[KeyValue] = []
        self.apply(attributes, metadata)
        return attributes


def _keys_of(config: ActionConfig) -> set[str]:
    groups = set(compile_pattern(config.pattern).groupindex) if config.action == "extract" else set()
    return {key for key in (config.key, config.from_attribute, *groups) if key}


def _compile(config: ActionConfig) -> Apply:
    if config.action in _SETTING:
        return _setter(config.action, config.key, _source(config))
    if config.action == "extract":
        return _extractor(config.key, compile_pattern(config.pattern))
    if config.action == "convert":
        return lambda attributes, _: _convert_one(attributes, config.key, config.converted_type)
    matches = _key_matcher(config)
    if config.action == "delete":
        return lambda attributes, _: _remove(attributes, matches)
    return lambda attributes, _: _hash_all(attributes, matches)


def _source(config: ActionConfig) -> Source:
    default = None if config.default_value is None else to_any_value(config.default_value)
    if config.value is not None:
        constant = to_any_value(config.value)
        return lambda _attributes, _metadata: constant
    if config.from_attribute:
        return lambda attributes, _metadata: find(attributes, config.from_attribute) or default
    header = config.from_context.removeprefix("metadata.").lower()
    return lambda _attributes, metadata: _joined(metadata.get(header, ())) or default


def _joined(values: Sequence[str]) -> AnyValue | None:
    return AnyValue(string_value=";".join(values)) if values else None


def _setter(action: str, key: str, source: Source) -> Apply:
    inserts, updates = action in ("insert", "upsert"), action in ("update", "upsert")

    def apply(attributes: Attributes, metadata: Metadata) -> None:
        value = source(attributes, metadata)
        if value is None:
            return
        present = find(attributes, key)
        if present is None:
            if inserts:
                attributes.append(KeyValue(key=key, value=value))
        elif updates and present is not value:
            present.CopyFrom(value)

    return apply


def _extractor(key: str, pattern: re.Pattern[str]) -> Apply:
    def apply(attributes: Attributes, metadata: Metadata) -> None:
        value = find(attributes, key)
        match = pattern.search(value.string_value) if value is not None and value.HasField("string_value") else None
        for name, text in (match.groupdict(default="") if match else {}).items():
            _put(attributes, name, AnyValue(string_value=text))

    return apply


def _put(attributes: Attributes, key: str, value: AnyValue) -> None:
    present = find(attributes, key)
    if present is None:
        attributes.append(KeyValue(key=key, value=value))
    else:
        present.CopyFrom(value)


def _key_matcher(config: ActionConfig) -> Callable[[str], bool]:
    if not config.pattern:
        return lambda key: key == config.key
    pattern = compile_pattern(config.pattern)
    return lambda key: bool(config.key and key == config.key) or pattern.search(key) is not None


def _remove(attributes: Attributes, matches: Callable[[str], bool]) -> None:
    for position in reversed([n for n, attribute in enumerate(attributes) if matches(attribute.key)]):
        del attributes[position]


def _hash_all(attributes: Attributes, matches: Callable[[str], bool]) -> None:
    for attribute in attributes:
        if matches(attribute.key):
            attribute.value.CopyFrom(hashed(attribute.value))


def _convert_one(attributes: Attributes, key: str, target: str) -> None:
    value = find(attributes, key)
    if value is not None:
        value.CopyFrom(convert(value, target))


def hashed(value: AnyValue) -> AnyValue:
    """Return the SHA-256 of a text or scalar in hexadecimal; lists, maps, bytes and empty text become empty text."""
    content = to_python(value)
    encoded = b""
    if isinstance(content, str):
        encoded = content.encode()
    elif isinstance(content, bool):
        encoded = bytes([content])
    elif isinstance(content, int):
        encoded = struct.pack("<q", content)
    elif isinstance(content, float):
        encoded = struct.pack("<d", content)
    return AnyValue(string_value=hashlib.sha256(encoded).hexdigest() if encoded else "")


def convert(value: AnyValue, target: str) -> AnyValue:
    """Return the value as `int`, `double` or `string`, or the value itself where it cannot be converted."""
    content = to_python(value)
    if target == "string":
        return AnyValue(string_value=to_text(content))
    if target == "int":
        number = _as_int(content)
        return value if number is None else AnyValue(int_value=number)
    real = _as_float(content)
    return value if real is None else AnyValue(double_value=real)


def _as_int(content: Any) -> int | None:
    if isinstance(content, str) and not _INTEGER.fullmatch(content):
        return None
    if isinstance(content, float) and not abs(content) < _INT64_LIMIT:
        return None
    if not isinstance(content, str | int | float):
        return None
    number = int(content)
    return number if -_INT64_LIMIT <= number < _INT64_LIMIT else None


def _as_float(content: Any) -> float | None:
    if isinstance(content, str) and not _DECIMAL.fullmatch(content):
        return None
    return float(content) if isinstance(content, str | int | float) else None
