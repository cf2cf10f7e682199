import importlib.metadata
import json
import subprocess
import sys
from pathlib import Path

import pytest

from ophion_agent.cli import main
from ophion_agent.cli_plugin import KINDS, scaffold
from ophion_agent.errors import OphionError
from ophion_agent.registry import load_registry
from requirement import unavailable

ROOT = Path(__file__).parents[1]


def run(*arguments: str | Path, cwd: Path, path: Path | None = None) -> subprocess.CompletedProcess[str]:
    python_path = ":".join(map(str, [*([path] if path else []), ROOT, ROOT / "plugins"]))
    environ = {"PYTHONPATH": python_path, "PATH": "/usr/bin:/bin", "HOME": str(cwd)}
    return subprocess.run(
        [sys.executable, *map(str, arguments)], cwd=cwd, env=environ, capture_output=True, text=True, check=False
    )


@pytest.mark.parametrize("kind", KINDS)
def test_a_new_plugin_passes_its_own_tests_and_the_linter(kind: str, tmp_path: Path) -> None:
    assert main(["plugin", "new", "my_part", "--kind", kind, "--into", str(tmp_path)]) == 0
    folder = tmp_path / "ophion-plugin-my-part"
    tested = run("-W", "error", "-m", "pytest", "-q", "-p", "no:cacheprovider", "-p", "no:asyncio", ".", cwd=folder)
    assert tested.returncode == 0, tested.stdout + tested.stderr
    linted = run("-m", "ruff", "check", "--no-cache", ".", cwd=folder)
    assert linted.returncode == 0, linted.stdout
    formatted = run("-m", "ruff", "format", "--no-cache", "--diff", ".", cwd=folder)
    assert formatted.returncode == 0, formatted.stdout


@pytest.mark.parametrize("kind", KINDS)
def test_the_folder_of_a_new_plugin_can_be_dropped_in(kind: str, tmp_path: Path) -> None:
    written = scaffold("my_part", kind, tmp_path)
    registry = load_registry([written[0].parent])
    assert registry.broken == []
    component = registry.find(kind, "my_part")
    assert component is not None
    assert component.__doc__


def test_a_new_plugin_works_when_it_is_installed(tmp_path: Path) -> None:
    folder = scaffold("my_part", "processor", tmp_path)[0].parent
    target = tmp_path / "site"
    build = subprocess.run(
        [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(tmp_path / "dist")],
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
    )
    if build.returncode and "No module named hatchling" in build.stderr:
        unavailable("needs hatchling: pip install hatchling")
    assert build.returncode == 0, build.stderr
    wheel = next((tmp_path / "dist").glob("*.whl"))
    unpacked = run("-m", "zipfile", "-e", wheel, target, cwd=tmp_path)
    assert unpacked.returncode == 0
    assert [point.name for point in importlib.metadata.entry_points(group="ophion_agent")] != []
    listed = run("-m", "ophion_agent.cli", "components", "--json", cwd=tmp_path, path=target)
    rows = {row["type"]: row for row in json.loads(listed.stdout)["components"]}
    assert rows["my_part"]["plugin"] == "ophion-plugin-my-part 0.1.0"


@pytest.mark.parametrize("name", ["DropBelow", "drop-below", "1st", "drop__below", "", "drop_"])
def test_a_name_that_is_no_type_name_is_refused(name: str, tmp_path: Path) -> None:
    with pytest.raises(OphionError, match="a type name must be lower_snake_case, got"):
        scaffold(name, "processor", tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_nothing_that_exists_is_overwritten(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    scaffold("my_part", "processor", tmp_path)
    assert main(["plugin", "new", "my_part", "--into", str(tmp_path)]) == 1
    assert "exists already; remove it or choose another name" in capsys.readouterr().err
