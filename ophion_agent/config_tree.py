"""A configuration tree whose nodes know their file and line: merging, and the plain values of the result."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import yaml

from ophion_agent.origins import ConfigPath, Origins, Problem

Value = None | bool | int | float | str | list["Node"] | dict[str, "Node"]


@dataclass(slots=True)
class Node:
    """One value with the place it was written. `append` marks a list to be added to the one it overrides."""

    value: Value
    file: str
    line: int | None
    append: bool = False
    text: str | None = None


class TextInt(int):
    """An integer from a reference that remembers its text, so that `TOKEN=0123` stays `0123` in a text field."""

    text: str

    def __str__(self) -> str:
        return self.text


class TextFloat(float):
    """A float from a reference that remembers its text: see TextInt."""

    text: str

    def __str__(self) -> str:
        return self.text


class TextList(list[Any]):
    """A list from a reference that remembers its text, for the case that the field it lands in holds text."""

    text: str


class TextDict(dict[str, Any]):
    """A mapping from a reference that remembers its text: see TextList."""

    text: str


class _Dumper(yaml.SafeDumper):
    """Writes the remembered-text types as the plain types they extend."""

    def ignore_aliases(self, data: Any) -> bool:
        """Write repeated values out: a printed configuration holds no anchors."""
        return True


_Dumper.add_representer(TextInt, lambda dumper, value: dumper.represent_int(int(value)))
_Dumper.add_representer(TextFloat, lambda dumper, value: dumper.represent_float(float(value)))
_Dumper.add_representer(TextList, lambda dumper, value: dumper.represent_list(value))
_Dumper.add_representer(TextDict, lambda dumper, value: dumper.represent_dict(value))


def dump_yaml(tree: Any) -> str:
    """Return a configuration tree as YAML text, keys in the order given and without anchors."""
    return yaml.dump(tree, Dumper=_Dumper, sort_keys=False, default_flow_style=False, allow_unicode=True, width=120)


def nested(keys: list[str], child: Node) -> Node:
    """Return `child` wrapped in one mapping per key, all placed where it is."""
    for key in reversed(keys):
        child = Node({key: child}, child.file, child.line)
    return child


def merge(base: Node, over: Node, path: ConfigPath = ()) -> list[Problem]:
    """Lay `over` on `base` in place: mappings merge, anything else is replaced, `!append` lists are added to.

    Returns warnings: an empty section that removes what an earlier file put there.
    """
    if isinstance(base.value, dict) and isinstance(over.value, dict):
        warnings: list[Problem] = []
        for key, child in over.value.items():
            if key in base.value:
                warnings += merge(base.value[key], child, (*path, key))
            else:
                base.value[key] = child
        return warnings
    warnings = _removal_warning(base, over, path)
    if over.append and isinstance(base.value, list) and isinstance(over.value, list):
        known = [plain(item) for item in base.value]
        base.value = base.value + [item for item in over.value if plain(item) not in known]
    else:
        base.value = over.value
    base.file, base.line = over.file, over.line
    return warnings


def _removal_warning(base: Node, over: Node, path: ConfigPath) -> list[Problem]:
    if over.value is not None or not isinstance(base.value, dict) or not base.value:
        return []
    message = f"is empty and removes what {base.file} put there; write `{{}}` to keep it"
    return [Problem(over.file, path, message, over.line)]


def plain(node: Node) -> Any:
    """Return the node's value as dicts, lists and scalars."""
    value = node.value
    if isinstance(value, dict):
        return _with_text(TextDict, {key: plain(child) for key, child in value.items()}, node.text)
    if isinstance(value, list):
        return _with_text(TextList, [plain(child) for child in value], node.text)
    if isinstance(value, bool) or not isinstance(value, int | float):
        return value
    return _with_text(TextInt if isinstance(value, int) else TextFloat, value, node.text)


def _with_text(kind: type[Any], value: Any, text: str | None) -> Any:
    if text is None or str(value) == text:
        return value
    remembered = kind(value)
    remembered.text = text
    return remembered


def record_origins(node: Node, origins: Origins, path: ConfigPath = ()) -> None:
    """Record the place of `node` and of everything under it."""
    origins.record(path, node.file, node.line)
    for key, child in _children(node):
        record_origins(child, origins, (*path, key))


def _children(node: Node) -> Iterator[tuple[str | int, Node]]:
    if isinstance(node.value, dict):
        yield from node.value.items()
    elif isinstance(node.value, list):
        yield from enumerate(node.value)
