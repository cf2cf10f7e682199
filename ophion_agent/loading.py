"""Configuration sources -> one merged tree that knows where every value was written.

Sources are read in order and later ones win: mappings merge, anything else is replaced, and a list tagged `!append` is
added to the list it would replace:

    service: {extensions: !append [zpages]}

`--set` overrides come last. References (see substitution) are resolved in the result. Nothing here raises for bad
input: everything wrong is in `Loaded.problems`.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ophion_agent.config_tree import Node, merge, nested, plain, record_origins
from ophion_agent.hints import closest, nearest
from ophion_agent.origins import ConfigPath, Origins, Problem, dotted
from ophion_agent.providers import ProviderError, fetch_url, read_file
from ophion_agent.substitution import SCHEMES, Substitution
from ophion_agent.yaml_text import KEY_SEPARATOR, parse_yaml

__all__ = ["ConfigPath", "Loaded", "Origins", "Problem", "load"]

SET_OPTION = "--set"

_URI = re.compile(r"([A-Za-z][A-Za-z0-9+.-]+):(.*)", re.DOTALL)
_USER_INFO = re.compile(r"//[^/@]*@")


@dataclass(frozen=True, slots=True)
class Loaded:
    """A merged configuration. With `problems` the tree holds what could be read; `warnings` do not stop a start."""

    tree: dict[str, Any]
    origins: Origins
    problems: list[Problem]
    warnings: list[Problem]


def load(sources: Sequence[str | Path], sets: Sequence[str] = (), environ: Mapping[str, str] | None = None) -> Loaded:
    """Return the merged configuration of `sources` and the `--set` overrides `sets`.

    A source is a path or one of the URIs `env:NAME`, `file:PATH`, `yaml:TEXT`, `http://...`, `https://...`. Blocks on
    files, and on the network where a source or a reference says http. `environ` defaults to the process's.
    """
    environ = os.environ if environ is None else environ
    loader = _Loader(environ)
    for source in sources:
        loader.add_source(source)
    for override in sets:
        loader.add_override(override)
    return loader.finish(len(sources))


class _Loader:
    """The merged tree so far, and what was wrong on the way."""

    def __init__(self, environ: Mapping[str, str]) -> None:
        self._environ = environ
        self._root = Node({}, "", None)
        self._problems: list[Problem] = []
        self._warnings: list[Problem] = []

    def add_source(self, source: str | Path) -> None:
        """Merge one file or URI."""
        name = _display_name(source)
        try:
            text = _read_source(source, self._environ)
        except ProviderError as error:
            self._problems.append(Problem(name, (), str(error)))
            return
        node, problems = parse_yaml(text, name)
        self._problems += problems
        if node is None:
            if not problems:
                self._warnings.append(Problem(name, (), "is empty"))
        elif not isinstance(node.value, dict):
            got = "a list" if isinstance(node.value, list) else f"`{str(node.value)[:40]}`"
            message = f"must be a mapping with sections such as receivers and service, got {got}"
            self._problems.append(Problem(name, (), message, node.line))
        else:
            self._merge(node)

    def add_override(self, override: str) -> None:
        """Merge one `a.b=value`; keys split at dots, or at `::` where a name holds dots."""
        key, equals, text = override.partition("=")
        key = key.strip()
        if not equals or not key:
            message = f'must be key=value, got "{override}"; write processors.batch.timeout=1s'
            self._problems.append(Problem(SET_OPTION, (), message))
            return
        keys = self._split_key(key)
        child, problems = parse_yaml(text.strip(), SET_OPTION, 1)
        self._problems += [Problem(SET_OPTION, (*keys, *problem.path), problem.message) for problem in problems]
        if problems or not self._accepts(keys):
            return
        node = nested(keys, child or Node(None, SET_OPTION, None))
        _forget_lines(node)
        self._merge(node)

    def finish(self, source_count: int) -> Loaded:
        """Resolve references and return the result."""
        if not source_count:
            self._problems.append(Problem("", (), "no configuration given; pass --config FILE"))
        elif not self._root.value and not self._problems:
            self._problems.append(
                self._warnings.pop() if self._warnings else Problem("", (), "the configuration is empty")
            )
        substitution = Substitution(self._environ)
        root = substitution.apply(self._root)
        origins = Origins()
        record_origins(root, origins)
        problems = self._problems + substitution.problems
        return Loaded(plain(root), origins, problems, self._warnings + substitution.warnings)

    def _merge(self, node: Node) -> None:
        self._warnings += merge(self._root, node)

    def _split_key(self, key: str) -> list[str]:
        if KEY_SEPARATOR in key:
            return key.split(KEY_SEPARATOR)
        return _split_dotted(key, self._root)

    def _accepts(self, keys: list[str]) -> bool:
        """Refuse a key below a list: it would silently replace the list with a mapping."""
        node: Node | None = self._root
        for depth, key in enumerate(keys):
            if node is None or not isinstance(node.value, dict):
                break
            node = node.value.get(key)
            if node is not None and isinstance(node.value, list) and depth + 1 < len(keys):
                path = tuple(keys[: depth + 1])
                message = f"is a list; set all of it: {SET_OPTION} '{dotted(path)}=[a, b]'"
                self._problems.append(Problem(SET_OPTION, path, message))
                return False
        return True


def _split_dotted(key: str, node: Node | None) -> list[str]:
    """Split at dots, taking the longest name that exists where a name holds dots itself (`otlp/eu.west`)."""
    children = node.value if node is not None and isinstance(node.value, dict) else {}
    known = [name for name in children if "." in name and key.startswith(f"{name}.")]
    if key in children:
        return [key]
    name = max(known, key=len, default=key.partition(".")[0])
    rest = key[len(name) + 1 :]
    return [name, *_split_dotted(rest, children.get(name))] if rest else [name]


def _forget_lines(node: Node) -> None:
    node.line = None
    for child in (
        node.value.values() if isinstance(node.value, dict) else node.value if isinstance(node.value, list) else ()
    ):
        _forget_lines(child)


def _read_source(source: str | Path, environ: Mapping[str, str]) -> str:
    match = _URI.fullmatch(source) if isinstance(source, str) else None
    if match is None or (match[1] not in SCHEMES and Path(source).exists()):
        return _read_path(Path(source))
    scheme, rest = match[1], match[2]
    if scheme == "file":
        return _read_path(Path(rest.removeprefix("//")))
    if scheme == "yaml":
        return rest
    if scheme == "env":
        return _read_variable(rest, environ)
    if scheme in SCHEMES:
        return fetch_url(f"{scheme}:{rest}")
    raise ProviderError(f'unknown scheme "{scheme}"; {nearest(scheme, SCHEMES)}')


def _read_variable(name: str, environ: Mapping[str, str]) -> str:
    if name not in environ:
        raise ProviderError(f"environment variable {name} is not set")
    return environ[name]


def _read_path(path: Path) -> str:
    if path.is_dir():
        files = sorted(file for file in path.iterdir() if file.suffix in (".yaml", ".yml"))
        example = " ".join(f"--config {file}" for file in files[:3]) or f"--config {path / 'agent.yaml'}"
        raise ProviderError(f"is a directory; name its files one by one: {example}")
    if not path.exists():
        raise ProviderError(f"no such file{_similar_file(path)}")
    return read_file(path)


def _similar_file(path: Path) -> str:
    if not path.parent.is_dir():
        return ""
    match = closest(path.name, (file.name for file in path.parent.iterdir()))
    return f'; did you mean "{path.parent / match}"?' if match else ""


def _display_name(source: str | Path) -> str:
    """Return how problems name a source: without what a `yaml:` URI holds, and without credentials."""
    if isinstance(source, Path):
        return str(source)
    if source.startswith("yaml:"):
        return "yaml"
    return _USER_INFO.sub("//", source).removeprefix("file:")
