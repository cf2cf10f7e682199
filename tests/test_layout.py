"""Holds together what several files say about the project: folders, wheel, entry points, facade, locks."""

import ast
import importlib
import re
import subprocess
import sys
import tomllib
import zipfile
from collections.abc import Iterator
from importlib.metadata import distribution
from pathlib import Path
from typing import Any

import pytest

from ophion_agent import plugin
from requirement import unavailable

ROOT = Path(__file__).parent.parent
LOCKS = sorted(ROOT.glob("requirements/*.txt"))


@pytest.fixture(scope="module")
def project() -> dict[str, Any]:
    return tomllib.loads((ROOT / "pyproject.toml").read_text())


def families() -> list[str]:
    return sorted(folder.name for folder in (ROOT / "plugins").iterdir() if (folder / "__init__.py").is_file())


def test_every_folder_of_plugins_is_a_family_and_nothing_lies_beside_them() -> None:
    found = sorted(entry.name for entry in (ROOT / "plugins").iterdir() if entry.name != "__pycache__")

    assert found == families()


def test_wheel_holds_the_framework_and_every_family(project: dict[str, Any]) -> None:
    packages = project["tool"]["hatch"]["build"]["targets"]["wheel"]["packages"]

    assert sorted(packages) == ["ophion_agent", *(f"plugins/{family}" for family in families())]


def test_every_family_registers_by_an_entry_point(project: dict[str, Any]) -> None:
    assert project["project"]["entry-points"]["ophion_agent"] == {family: family for family in families()}


def test_types_and_import_rules_cover_every_family(project: dict[str, Any]) -> None:
    tools = project["tool"]

    assert set(families()) <= set(tools["mypy"]["packages"])
    assert set(families()) <= set(tools["importlinter"]["root_packages"])
    for contract in tools["importlinter"]["contracts"]:
        named = [
            *contract.get("forbidden_modules", ()),
            *contract.get("source_modules", ()),
            *contract.get("modules", ()),
        ]
        assert set(families()) <= set(named)


@pytest.mark.parametrize("family", families())
def test_family_has_types_and_a_hook(family: str) -> None:
    assert (ROOT / "plugins" / family / "py.typed").is_file()
    assert callable(importlib.import_module(family).ophion_components)


def test_no_init_file_of_a_family_defines_more_than_hooks() -> None:
    for family in families():
        tree = ast.parse((ROOT / "plugins" / family / "__init__.py").read_text())
        defined = [node.name for node in tree.body if isinstance(node, ast.FunctionDef | ast.ClassDef)]
        assert defined in (["ophion_components"], ["ophion_components", "ophion_commands"]), family


def test_facade_offers_exactly_what_authors_were_promised() -> None:
    promised = (ROOT / "tests/testdata/facade.txt").read_text().split()

    assert sorted(plugin.__all__) == promised
    assert all(hasattr(plugin, name) for name in promised)


def test_license_is_the_whole_apache_license(project: dict[str, Any]) -> None:
    text = (ROOT / "LICENSE").read_text()

    assert project["project"]["license"] == "Apache-2.0"
    assert "Apache License\n                           Version 2.0, January 2004" in text
    assert "END OF TERMS AND CONDITIONS" in text


@pytest.mark.parametrize("lock", LOCKS, ids=lambda lock: lock.name)
def test_lock_pins_and_hashes_every_package_and_names_no_registry(lock: Path) -> None:
    text = lock.read_text()
    entries = re.split(r"\n(?=[A-Za-z0-9])", re.sub(r"(?m)^ *#.*\n", "", text).strip())

    assert "://" not in text
    assert not re.search(r"(?m)^\s*-", re.sub(r"(?m)^    --hash=.*$", "", text))
    for entry in entries:
        assert re.match(r"[A-Za-z0-9._-]+==[^ ]+ ", entry), entry
        assert re.search(r"--hash=sha256:[0-9a-f]{64}", entry), entry


def test_locks_agree_on_every_version() -> None:
    pins = [dict(re.findall(r"(?m)^([A-Za-z0-9._-]+)==([^ ]+)", lock.read_text())) for lock in LOCKS]
    names = set().union(*pins)

    assert {name: versions for name in names if len(versions := {pin[name] for pin in pins if name in pin}) > 1} == {}


@pytest.mark.parametrize(
    ("lock", "extras"),
    [("agent", []), ("server", ["server"]), ("dev", ["dev", "server"]), ("bench", ["bench"])],
    ids=["agent", "server", "dev", "bench"],
)
def test_lock_holds_what_the_project_asks_for(project: dict[str, Any], lock: str, extras: list[str]) -> None:
    wanted = project["project"]["dependencies"] + [
        requirement for extra in extras for requirement in project["project"]["optional-dependencies"][extra]
    ]
    names = {re.split(r"[<>=!~;\[ ]", requirement)[0].lower() for requirement in wanted}
    locked = set(re.findall(r"(?m)^([A-Za-z0-9._-]+)==", (ROOT / f"requirements/{lock}.txt").read_text()))

    assert names <= locked, "run `make lock`"


def third_party_imports() -> Iterator[str]:
    """Yield the dotted name of every module outside the project and the standard library that shipped code imports."""
    own = {"ophion_agent", *families()}
    for folder in (ROOT / "ophion_agent", ROOT / "plugins"):
        for source in folder.rglob("*.py"):
            for node in ast.walk(ast.parse(source.read_text())):
                names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
                names += [node.module] if isinstance(node, ast.ImportFrom) and node.module and not node.level else []
                yield from (name for name in names if name.split(".")[0] not in own | sys.stdlib_module_names)


def test_every_import_is_a_declared_dependency(project: dict[str, Any]) -> None:
    extras = project["project"]["optional-dependencies"]
    wanted = project["project"]["dependencies"] + extras["server"]
    declared = [re.split(r"[<>=!~;\[ ]", requirement)[0] for requirement in wanted]
    # Each is one release with a declared package, which pins it.
    declared += ["opentelemetry-api", "pydantic-core"]
    files = {str(file) for name in declared for file in distribution(name).files or ()}

    def is_declared(module: str) -> bool:
        # Several distributions share the packages google and opentelemetry, so one name deeper tells them apart.
        depth = 2 if module.startswith(("google.", "opentelemetry.")) else 1
        path = "/".join(module.split(".")[:depth])
        return any(file.startswith((f"{path}/", f"{path}.")) for file in files)

    missing = sorted({module for module in third_party_imports() if not is_declared(module)})

    assert missing == []


def test_built_wheel_holds_every_file_of_the_packages(project: dict[str, Any], tmp_path: Path) -> None:
    command = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(tmp_path)]
    build = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, timeout=100)
    if build.returncode and "No module named hatchling" in build.stderr:
        unavailable("needs hatchling: pip install hatchling")
    assert build.returncode == 0, build.stderr
    [wheel] = tmp_path.glob("*.whl")
    held = set(zipfile.ZipFile(wheel).namelist())
    packages = [ROOT / package for package in project["tool"]["hatch"]["build"]["targets"]["wheel"]["packages"]]

    # SQL, migrations, style sheets: what the code reads beside itself. The source of the pages stays at home.
    left_out = {"__pycache__", "ui"}
    for package in packages:
        files = [file for file in package.rglob("*") if file.is_file() and not left_out & set(file.parts)]
        assert {file.relative_to(package.parent).as_posix() for file in files} <= held

    assert {"ophion_storage/sql/0001_resources.sql", "ophion_api/docs.css"} <= held
    assert "ophion_auth/migrations/versions/0001_accounts.py" in held
