"""`label_replace` and `label_join`."""

import re
from typing import TYPE_CHECKING, Final

from ophion_promql.errors import FailedQuery
from ophion_promql.grid import Grid
from ophion_promql.nodes import Call
from ophion_promql.selecting import anchored
from ophion_promql.sql import Vector, merged, rebuilt, with_label

if TYPE_CHECKING:
    from ophion_promql.compiling import Compiler

_NAME: Final = re.compile(r"[a-zA-Z_][a-zA-Z0-9_]*\Z")
# Go's template: $1, ${1}, $name, ${name} and $$.
_REFERENCE: Final = re.compile(r"\$(?:\$|(?P<bare>\w+)|\{(?P<braced>\w+)\})")
_GROUP: Final = re.compile(r"\\.|\[(?:\\.|[^\]\\])*\]|\((?:\?P?<(?P<name>[^>]+)>|(?P<other>\?))?", re.S)


def label_replace(compiler: "Compiler", node: Call, grid: Grid) -> Vector:
    """Return the vector with a label set from a pattern over another."""
    target, template, source, pattern = (compiler.text(argument) for argument in node.arguments[1:])
    if not _NAME.match(target):
        raise FailedQuery(f"invalid destination label name in label_replace(): {target}")
    value = f"t.labels[{compiler.binder.text(source)}]"
    whole = compiler.binder.text(anchored(pattern, dot_is_all=not compiler.semantics.prometheus2))
    replaced = _expanded(compiler, template, pattern, value, whole)
    labels = with_label("t.labels", compiler.binder.text(target), replaced)
    return _relabelled(compiler, node, grid, f"if(match({value}, {whole}), {labels}, t.labels)", target)


def _expanded(compiler: "Compiler", template: str, pattern: str, value: str, whole: str) -> str:
    """Return the expression of a replacement template; a group that there is not is empty."""
    names = _groups(pattern)
    parts, end = [], 0
    for reference in _REFERENCE.finditer(template):
        parts.append(compiler.binder.text(template[end : reference.start()]))
        end = reference.end()
        parts.append(_reference(reference, names, value, whole))
    parts.append(compiler.binder.text(template[end:]))
    return f"concat({', '.join(parts)})" if len(parts) > 1 else parts[0]


def _reference(reference: re.Match[str], names: list[str | None], value: str, whole: str) -> str:
    name = reference["bare"] or reference["braced"]
    if name is None:
        return "'$'"
    known = names.index(name) + 1 if name in names else len(names) + 1
    index = int(name) if name.isdecimal() else known
    if index == 0:
        return value
    return f"extractGroups({value}, {whole})[{index}]" if index <= len(names) else "''"


def _groups(pattern: str) -> list[str | None]:
    """Return the names of a pattern's capturing groups, None for those without."""
    hits = (hit for hit in _GROUP.finditer(pattern) if hit[0].startswith("("))
    return [hit["name"] for hit in hits if not hit["other"]]


def label_join(compiler: "Compiler", node: Call, grid: Grid) -> Vector:
    """Return the vector with a label set to others joined."""
    target, separator, *sources = (compiler.text(argument) for argument in node.arguments[1:])
    for name, what in ((target, "destination"), *((source, "source") for source in sources)):
        if not _NAME.match(name):
            raise FailedQuery(f"invalid {what} label name in label_join(): {name}")
    values = ", ".join(f"t.labels[{compiler.binder.text(source)}]" for source in sources)
    joined = f"arrayStringConcat([{values}], {compiler.binder.text(separator)})" if sources else "''"
    return _relabelled(compiler, node, grid, with_label("t.labels", compiler.binder.text(target), joined), target)


def _relabelled(compiler: "Compiler", node: Call, grid: Grid, labels: str, target: str) -> Vector:
    vector = compiler.either(node.arguments[0], grid)
    return Vector(merged(rebuilt(vector, labels=labels)), vector.one_name and target != "__name__")
