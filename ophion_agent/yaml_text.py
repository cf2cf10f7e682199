"""YAML text as a tree of nodes that know their file and line.

Scalars are typed as the OpenTelemetry Collector's YAML library types them, which differs from PyYAML: `yes`, `on` and
`12:30` and dates are text, `1e5` is a number, `0123` is octal. Keys that hold `::` are nested mappings, as there.
"""

from __future__ import annotations

import re
from typing import Any

import yaml

from ophion_agent.config_tree import Node, Value, merge, nested
from ophion_agent.origins import ConfigPath, Problem

MAX_BYTES = 4 * 1024 * 1024
MAX_NODES = 100_000
MAX_EVENTS = 4 * MAX_NODES
MAX_DEPTH = 100
APPEND_TAG = "!append"
KEY_SEPARATOR = "::"

_UNTAGGED = "untagged"
_CORE = "tag:yaml.org,2002:"
_NULLS = frozenset({"", "~", "null", "Null", "NULL"})
_BOOLS = {"true": True, "True": True, "TRUE": True, "false": False, "False": False, "FALSE": False}
_PREFIXED = re.compile(r"[-+]?0(?:b[01]+|o[0-7]+|x[0-9a-fA-F]+)")
_OCTAL = re.compile(r"[-+]?0[0-7]+")
_DECIMAL = re.compile(r"[-+]?(?:0|[1-9][0-9]{0,38})")
_FLOAT = re.compile(r"[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?")
_NUMERIC = re.compile(r"[-+.]?[0-9][0-9a-zA-Z_.+-]*|[-+]\.[0-9][0-9a-zA-Z_.+-]*")
_SPECIAL_FLOAT = re.compile(r"[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN)")
_REMEDIES = (
    ("mapping values are not allowed", "quote a value that holds `: `, or check the indentation"),
    ("found character '\\t'", "indent with spaces, not tabs"),
    ("cannot start any token", "indent with spaces, and quote a value that begins with @, `, % or a tab"),
    ("could not find expected ':'", "each line of a mapping reads `key: value`"),
    ("did not find expected key", "check the indentation against the lines above"),
    ("undefined alias", "quote a value that begins with *"),
    ("second document", "keep one document in a file"),
    ("did not find expected ',' or", "close the bracket, or quote the value"),
)

_Loader: type[Any] = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


class _NodeLoader(_Loader):  # type: ignore[misc]  # the base is chosen at run time: libyaml may be missing
    """A loader that leaves the typing of untagged scalars to `typed_scalar`."""

    DEFAULT_SCALAR_TAG = _UNTAGGED
    yaml_implicit_resolvers: dict[str, Any] = {}


def typed_scalar(text: str) -> bool | int | float | str | None:
    """Return the value of an unquoted YAML scalar, typed as the collector types it."""
    if text in _NULLS:
        return None
    if text in _BOOLS:
        return _BOOLS[text]
    if _SPECIAL_FLOAT.fullmatch(text):
        return float(text.replace(".", "", 1))
    if not _NUMERIC.fullmatch(text):
        return text
    return _number(text.replace("_", ""), text)


def _number(digits: str, text: str) -> int | float | str:
    if _PREFIXED.fullmatch(digits):
        return int(digits, 0)
    if _OCTAL.fullmatch(digits):
        return int(digits, 8)
    if _DECIMAL.fullmatch(digits):
        return int(digits)
    return float(digits) if _FLOAT.fullmatch(digits) else text


def parse_yaml(text: str, file: str, at_line: int | None = None) -> tuple[Node | None, list[Problem]]:
    """Return the tree of one YAML document (None when it is empty or unusable) and what is wrong with it.

    With `at_line` every node is placed there: for YAML that was itself a value in `file`.
    """
    if len(text) > MAX_BYTES:
        return None, [Problem(file, (), f"is larger than {MAX_BYTES // 1024 // 1024} MiB", at_line)]
    try:
        _refuse_excess(text)
        document = yaml.compose(text, Loader=_NodeLoader)
        builder = _Builder(file, at_line)
        root = None if document is None else builder.build(document, ())
    except yaml.YAMLError as error:
        return None, [_syntax_problem(error, text, file, at_line)]
    except _TooDeepError as error:
        return None, [Problem(file, (), f"nests deeper than {MAX_DEPTH} levels", at_line or error.line)]
    except _TooManyNodesError:
        too_many = f"holds more than {MAX_NODES} values; look for aliases that multiply one another"
        return None, [Problem(file, (), too_many, at_line)]
    return root, builder.problems


class _TooDeepError(Exception):
    def __init__(self, line: int) -> None:
        super().__init__(line)
        self.line = line


class _TooManyNodesError(Exception):
    pass


def _refuse_excess(text: str) -> None:
    """Walk the events first: libyaml composes recursively in C, without a limit, and builds all of a huge document."""
    depth = 0
    for count, event in enumerate(yaml.parse(text, Loader=_NodeLoader)):
        if count > MAX_EVENTS:
            raise _TooManyNodesError
        if isinstance(event, yaml.CollectionStartEvent):
            depth += 1
        elif isinstance(event, yaml.CollectionEndEvent):
            depth -= 1
        if depth > MAX_DEPTH:
            raise _TooDeepError(_line(event))


def _line(marked: yaml.Node | yaml.Event) -> int:
    return marked.start_mark.line + 1 if marked.start_mark else 1


def _syntax_problem(error: yaml.YAMLError, text: str, file: str, at_line: int | None) -> Problem:
    mark = getattr(error, "problem_mark", None) or getattr(error, "context_mark", None)
    reason = getattr(error, "problem", None) or getattr(error, "reason", None) or str(error)
    context = getattr(error, "context", None) or ""
    begin = getattr(error, "context_mark", None)
    begun = (
        f" ({context}, begun in line {begin.line + 1})"
        if context.startswith("while") and begin and mark and begin.line < mark.line
        else ""
    )
    reason = reason.replace("but found another document", "a second document begins here")
    index = mark.line if mark else text.count("\n", 0, getattr(error, "position", 0) or 0)
    column = f", column {mark.column + 1}" if mark else ""
    lines = text.splitlines()
    source = f": `{lines[index].strip()[:120]}`" if index < len(lines) and lines[index].strip() else ""
    remedy = next((f"; {remedy}" for sign, remedy in _REMEDIES if sign in f"{context} {reason}"), "")
    return Problem(file, (), f"not valid YAML{column}: {reason}{begun}{source}{remedy}", at_line or index + 1)


class _Builder:
    """Builds nodes from PyYAML's: expands aliases under a limit, merges `<<`, refuses duplicate and unusual keys."""

    def __init__(self, file: str, at_line: int | None) -> None:
        self.problems: list[Problem] = []
        self._file = file
        self._at_line = at_line
        self._nodes_left = MAX_NODES
        self._open: list[yaml.Node] = []

    def build(self, node: yaml.Node, path: ConfigPath) -> Node:
        """Return the node for `node`; problems found under it are added to `problems`."""
        self._nodes_left -= 1
        if self._nodes_left < 0:
            raise _TooManyNodesError
        if len(self._open) > MAX_DEPTH:
            raise _TooDeepError(_line(node))
        if any(node is parent for parent in self._open):
            self._problem(node, path, "an alias refers to the value that holds it")
            return self._node(node, None)
        self._open.append(node)
        try:
            return self._build(node, path)
        finally:
            self._open.pop()

    def _build(self, node: yaml.Node, path: ConfigPath) -> Node:
        if isinstance(node, yaml.MappingNode):
            self._check_tag(node, path, ("map",))
            return self._node(node, self._mapping(node, path))
        if isinstance(node, yaml.SequenceNode):
            append = node.tag == APPEND_TAG
            if not append:
                self._check_tag(node, path, ("seq",))
            built = self._node(node, [self.build(item, (*path, i)) for i, item in enumerate(node.value)])
            built.append = append
            return built
        return self._node(node, self._scalar(node, path))

    def _scalar(self, node: Any, path: ConfigPath) -> Value:
        text: str = node.value
        if node.tag == _UNTAGGED:
            return text if node.style else typed_scalar(text)
        if node.tag == _CORE + "str":
            return text
        self._check_tag(node, path, ("null", "bool", "int", "float", "str"))
        return typed_scalar(text)

    def _check_tag(self, node: yaml.Node, path: ConfigPath, allowed: tuple[str, ...]) -> None:
        if node.tag.removeprefix(_CORE) in allowed:
            return
        tag = node.tag.replace(_CORE, "!!")
        if tag == APPEND_TAG:
            self._problem(node, path, f"the tag {APPEND_TAG} stands before a list only: {APPEND_TAG} [a, b]")
        else:
            self._problem(node, path, f"unknown YAML tag {tag}; valid: {APPEND_TAG}")

    def _mapping(self, node: yaml.MappingNode, path: ConfigPath) -> dict[str, Node]:
        result: dict[str, Node] = {}
        first_lines: dict[str, int] = {}
        inherited: list[yaml.Node] = []
        for key_node, value_node in node.value:
            key = self._key(key_node, path)
            if key is None:
                continue
            line = _line(key_node)
            if key in first_lines:
                self._problem(key_node, (*path, key), f"duplicate key, first written in line {first_lines[key]}")
                continue
            first_lines[key] = line
            if key == "<<" and key_node.tag == _UNTAGGED and not key_node.style:
                inherited.append(value_node)
                continue
            child = self.build(value_node, (*path, key))
            child.line = self._at_line or line
            _place(result, key, child)
        for source in inherited:
            self._inherit(result, source, path)
        return result

    def _key(self, node: yaml.Node, path: ConfigPath) -> str | None:
        if isinstance(node, yaml.ScalarNode):
            return str(node.value)
        self._problem(
            node, path, "a key must be plain text, got a list or a mapping; quote a key that begins with [ or {"
        )
        return None

    def _inherit(self, into: dict[str, Node], source: yaml.Node, path: ConfigPath) -> None:
        """Apply a `<<` merge key: what is there wins, and the first of several sources wins."""
        sources = source.value if isinstance(source, yaml.SequenceNode) else [source]
        for node in sources:
            built = self.build(node, path)
            if not isinstance(built.value, dict):
                self._problem(node, (*path, "<<"), "a merge key takes a mapping or a list of mappings")
                continue
            for key, child in built.value.items():
                into.setdefault(key, child)

    def _node(self, node: yaml.Node, value: Value) -> Node:
        return Node(value, self._file, self._at_line or _line(node))

    def _problem(self, node: yaml.Node, path: ConfigPath, message: str) -> None:
        self.problems.append(Problem(self._file, path, message, self._at_line or _line(node)))


def _place(mapping: dict[str, Node], key: str, child: Node) -> None:
    """Put `child` under `key`, where `a::b` means b inside a."""
    keys = key.split(KEY_SEPARATOR) if KEY_SEPARATOR in key.strip(":") else [key]
    merge(Node(mapping, child.file, child.line), nested(keys, child))
