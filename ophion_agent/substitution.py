"""References in configuration values: `${env:NAME:-default}`, `${file:PATH}`, `${yaml:TEXT}`, `${http://...}`, `$$`.

References are resolved in parsed scalars, never in YAML text, and never in keys. A value that is one reference takes
the type of what it refers to (`"8080"` becomes a number); inside other text everything is text. The rules are those of
the OpenTelemetry Collector (confmap), with two additions: `$NAME` is resolved as old collectors did, but only when the
variable is set, because current ones keep that text; and a line break that ends a file is not part of its value.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

from ophion_agent.config_tree import Node
from ophion_agent.hints import nearest
from ophion_agent.origins import ConfigPath, Problem
from ophion_agent.providers import ProviderError, fetch_url, read_file
from ophion_agent.yaml_text import parse_yaml

SCHEMES = ("env", "file", "http", "https", "yaml")
MAX_NESTING = 20
MAX_TOTAL_CHARS = 16 * 1024 * 1024

_CHARS_PER_REFERENCE = 1024
_TOKEN = re.compile(r"\$\$|\$\{|[{}]")
_BARE = re.compile(r"\$([A-Za-z_][A-Za-z0-9_]*)")
_ENV_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_YAML_NULLS = frozenset({"~", "null", "Null", "NULL"})
_CONFIG_SUFFIXES = (".yaml", ".yml", ".json")


@dataclass(frozen=True, slots=True)
class _Reference:
    """One reference as written (`source`), without its `${` and `}` (`body`)."""

    source: str
    body: str


@dataclass(frozen=True, slots=True)
class _Site:
    """Where a reference stands: its place, the references being resolved around it, and whether `$NAME` counts."""

    file: str
    line: int | None
    path: ConfigPath
    around: tuple[str, ...] = ()
    bare_names: bool = True
    depth: int = 0

    def inside(self, key: str, bare_names: bool) -> _Site:
        around = (*self.around, key) if key else self.around
        return replace(self, around=around, bare_names=bare_names and self.bare_names, depth=self.depth + 1)


@dataclass(frozen=True, slots=True)
class _Found:
    """The text behind a reference.

    `key` names it for the detection of cycles, `file` is set when it came from one, `document` says that it may be a
    YAML block rather than one value, `bare_names` whether `$NAME` in it is a reference.
    """

    text: str
    key: str = ""
    file: str = ""
    document: bool = True
    bare_names: bool = True


class _ReportedError(Exception):
    """A reference inside this one failed, and that has been noted."""


class Substitution:
    """Resolves every reference of a tree; what goes wrong is collected in `problems` and `warnings`."""

    def __init__(self, environ: Mapping[str, str], fetch: Callable[[str], str] = fetch_url) -> None:
        self.problems: list[Problem] = []
        self.warnings: list[Problem] = []
        self._environ = environ
        self._fetch = fetch
        self._fetched: dict[str, str] = {}
        self._chars_left = MAX_TOTAL_CHARS
        self._failures = 0

    def apply(self, node: Node, path: ConfigPath = ()) -> Node:
        """Return the tree with its references resolved; one that cannot be stays as it was written."""
        return self._apply(node, _Site(node.file, node.line, path))

    def _apply(self, node: Node, site: _Site) -> Node:
        site = replace(site, file=node.file, line=node.line)
        if isinstance(node.value, dict):
            below = {key: self._apply(child, _below(site, key)) for key, child in node.value.items()}
            return replace(node, value=below)
        if isinstance(node.value, list):
            return replace(node, value=[self._apply(child, _below(site, i)) for i, child in enumerate(node.value)])
        if isinstance(node.value, str) and "$" in node.value:
            return self._scalar(node, node.value, site)
        return node

    def _scalar(self, node: Node, text: str, site: _Site) -> Node:
        pieces = self._pieces(text, site)
        if len(pieces) == 1 and isinstance(pieces[0], _Reference):
            return self._whole(node, pieces[0], site)
        return replace(node, value=self._join(pieces, site), text=None)

    def _whole(self, node: Node, reference: _Reference, site: _Site) -> Node:
        found = self._find(reference, site)
        if found is None:
            return node
        inside = site.inside(found.key, found.bare_names)
        parsed = self._parse(found, site)
        if isinstance(parsed.value, str):
            return self._apply(replace(parsed, value=found.text), inside)
        return replace(self._apply(parsed, inside), text=self._quiet_text(found.text, inside))

    def _quiet_text(self, text: str, site: _Site) -> str | None:
        """Return what `text` would be as plain text: None, and no complaint, when it cannot be."""
        problems, warnings, failures = len(self.problems), len(self.warnings), self._failures
        resolved = self._text(text, site)
        usable = self._failures == failures
        del self.problems[problems:], self.warnings[warnings:]
        return resolved if usable else None

    def _parse(self, found: _Found, site: _Site) -> Node:
        """Return the typed value of `found`: text that is no YAML, or that YAML would swallow, stays text."""
        as_text = Node(found.text, site.file, site.line)
        if not found.text:
            return as_text
        if found.file:
            parsed, problems = parse_yaml(found.text, found.file)
        else:
            parsed, problems = parse_yaml(found.text, site.file, site.line or 1)
        if problems and found.file.endswith(_CONFIG_SUFFIXES):
            self.problems += [replace(problem, path=site.path + problem.path) for problem in problems]
        if problems or parsed is None or _is_swallowed(parsed, found):
            return as_text
        return parsed

    def _text(self, text: str, site: _Site) -> str:
        return self._join(self._pieces(text, site), site)

    def _join(self, pieces: list[str | _Reference], site: _Site) -> str:
        return "".join(piece if isinstance(piece, str) else self._inline(piece, site) for piece in pieces)

    def _inline(self, reference: _Reference, site: _Site) -> str:
        found = self._find(reference, site)
        if found is None:
            return reference.source
        return self._text(found.text, site.inside(found.key, found.bare_names))

    def _pieces(self, text: str, site: _Site) -> list[str | _Reference]:
        """Split text into literal parts, with `$$` unescaped, and references."""
        closings = _closings(text)
        pieces: list[str | _Reference] = []
        start = 0
        while (dollar := text.find("$", start)) >= 0:
            if dollar > start:
                pieces.append(text[start:dollar])
            piece, start = self._piece_at(text, dollar, closings, site)
            pieces.append(piece)
        return [*pieces, text[start:]] if start < len(text) else pieces

    def _piece_at(
        self, text: str, dollar: int, closings: Mapping[int, int], site: _Site
    ) -> tuple[str | _Reference, int]:
        if text.startswith("$$", dollar):
            return "$", dollar + 2
        if text.startswith("${", dollar):
            end = closings.get(dollar)
            if end is None:
                self._warn(site, "`${` has no closing `}`, so the text is kept; write `$${` for a literal `${`")
                return "${", dollar + 2
            return _Reference(text[dollar : end + 1], text[dollar + 2 : end]), end + 1
        bare = _BARE.match(text, dollar) if site.bare_names else None
        if bare is None:
            return "$", dollar + 1
        return self._bare_name(bare, site), bare.end()

    def _bare_name(self, match: re.Match[str], site: _Site) -> str | _Reference:
        name = match[1]
        if name in self._environ:
            return _Reference(match[0], name)
        remedy = f"write ${{env:{name}}} for a reference or $${name} for the text"
        self._warn(site, f"environment variable {name} is not set, so the text ${name} is kept; {remedy}")
        return match[0]

    def _find(self, reference: _Reference, site: _Site) -> _Found | None:
        """Return what `reference` stands for, or None after noting the problem."""
        try:
            return self._look_up(reference, site)
        except _ReportedError:
            return None
        except ProviderError as error:
            self._failures += 1
            self._note(self.problems, site, f"{reference.source}: {error}")
            return None

    def _look_up(self, reference: _Reference, site: _Site) -> _Found:
        if site.depth > MAX_NESTING:
            raise ProviderError(f"nests more than {MAX_NESTING} references")
        scheme, rest = self._split(reference, site)
        if scheme == "env":
            found = self._from_environment(rest, site)
        elif scheme == "yaml":
            found = _Found(rest)
        else:
            found = self._from_outside(scheme, self._part(rest, site))
        if found.key and found.key in site.around:
            raise ProviderError(f"refers to itself: {' -> '.join((*site.around, found.key))}")
        self._chars_left -= len(found.text) + _CHARS_PER_REFERENCE
        if self._chars_left < 0:
            raise ProviderError("references expand to too much text; look for one that multiplies another")
        return found

    def _part(self, text: str, site: _Site) -> str:
        """Return the text of a part of a reference, which references may form; one that fails fails the whole."""
        failures = self._failures
        resolved = self._text(text, site.inside("", True))
        if self._failures > failures:
            raise _ReportedError
        return resolved

    def _split(self, reference: _Reference, site: _Site) -> tuple[str, str]:
        """Return scheme and opaque part; a name without a scheme is an environment variable's."""
        body = reference.body
        name, default = _split_default(body)
        if "${" in name.partition(":")[0]:
            name = self._part(name, site)
            body = name if default is None else f"{name}:-{default}"
        scheme, colon, rest = body.partition(":")
        if colon and scheme.lower() in SCHEMES:
            return scheme.lower(), rest
        if ":" not in name:
            return "env", body
        remedy = f"; write ${{env:{scheme}:-...}} for a default" if _ENV_NAME.fullmatch(scheme) else ""
        raise ProviderError(f'unknown scheme "{scheme}"; {nearest(scheme, SCHEMES)}{remedy}')

    def _from_environment(self, rest: str, site: _Site) -> _Found:
        raw_name, default = _split_default(rest)
        name = self._part(raw_name, site)
        if not _ENV_NAME.fullmatch(name):
            literal = f"$${{{rest}}}"
            raise ProviderError(
                f'must be the name of an environment variable, got "{name}"; write {literal} for the text'
            )
        value = self._environ.get(name)
        if value is not None:
            return _Found(value, f"env:{name}", document=False, bare_names=False)
        if default is None:
            self._warn(
                site, f"environment variable {name} is not set, so this is empty; write ${{env:{name}:-default}}"
            )
        return _Found(default or "", document=False)

    def _from_outside(self, scheme: str, rest: str) -> _Found:
        key = f"{scheme}:{rest}"
        if key not in self._fetched:
            self._fetched[key] = read_file(rest) if scheme == "file" else self._fetch(key)
        text = self._fetched[key].removesuffix("\n").removesuffix("\r")
        return _Found(text, key, file=rest if scheme == "file" else key)

    def _warn(self, site: _Site, message: str) -> None:
        self._note(self.warnings, site, message)

    def _note(self, noted: list[Problem], site: _Site, message: str) -> None:
        """Note what is wrong once: a reference written twice in one value fails twice."""
        problem = Problem(site.file, site.path, message, site.line)
        if not noted or noted[-1] != problem:
            noted.append(problem)


def _below(site: _Site, key: str | int) -> _Site:
    return replace(site, path=(*site.path, key))


def _is_swallowed(parsed: Node, found: _Found) -> bool:
    """Say whether YAML would lose what is meant as text: `#secret`, or a header `name: value` in a variable."""
    text = found.text.strip()
    if parsed.value is None:
        return text not in _YAML_NULLS
    is_one_line_block = "\n" not in text and text[:1] not in "[{"
    return isinstance(parsed.value, dict | list) and is_one_line_block and not found.document


def _split_default(text: str) -> tuple[str, str | None]:
    """Split `NAME:-default` at the first `:-` that is not inside a nested reference."""
    spans = _closings(text)
    position = text.find(":-")
    while position >= 0:
        ends = [end for start, end in spans.items() if start < position < end]
        if not ends:
            return text[:position], text[position + 2 :]
        position = text.find(":-", max(ends))
    return text, None


def _closings(text: str) -> dict[int, int]:
    """Return where each `${` closes. Plain braces are paired too, so `${env:X:-{a: 1}}` keeps its default whole."""
    closings: dict[int, int] = {}
    still_open: list[int] = []
    for match in _TOKEN.finditer(text):
        if match[0] == "}":
            if still_open:
                closings[still_open.pop()] = match.start()
        elif match[0] != "$$":
            still_open.append(match.start())
    return closings
