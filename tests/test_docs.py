"""The documentation is executed: its YAML validates, its Python runs, its links lead somewhere."""

import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from ophion_agent.agent import Sources
from ophion_agent.cli import build_parser
from ophion_agent.cli_test import run_file
from ophion_agent.registry import load_registry

ROOT = Path(__file__).resolve().parent.parent
PAGES = sorted(
    [
        ROOT / "README.md",
        ROOT / "CONTRIBUTING.md",
        *ROOT.glob("docs/**/*.md"),
        *ROOT.glob("deploy/**/*.md"),
        *ROOT.glob("examples/*/*.md"),
    ]
)
FENCE = re.compile(r"^```(\w+)\n(.*?)^```", re.MULTILINE | re.DOTALL)
LINK = re.compile(r"\]\(([^)#\s]+)(?:#[^)]*)?\)")


def blocks(language: str) -> list[tuple[Path, str]]:
    found = [(page, *match) for page in PAGES for match in FENCE.findall(page.read_text(encoding="utf-8"))]
    return [(page, text) for page, name, text in found if name == language]


def identify(value: object) -> str:
    return value.relative_to(ROOT).as_posix() if isinstance(value, Path) else ""


def drop_in_of_the_guide() -> str:
    return next(text for page, text in blocks("python") if page.name == "writing-plugins.md")


@pytest.mark.parametrize(("page", "text"), blocks("yaml"), ids=identify)
def test_every_yaml_block_is_valid(page: Path, text: str, tmp_path: Path) -> None:
    document = yaml.safe_load(text)
    if "tests" in document:
        assert {"config", "tests"} <= set(document)
        return
    folder = tmp_path / "plugins.d"
    folder.mkdir()
    (folder / "drop_below.py").write_text(drop_in_of_the_guide(), encoding="utf-8")
    (tmp_path / "page.yaml").write_text(text, encoding="utf-8")
    checked, _ = Sources([str(tmp_path / "page.yaml")]).read()
    assert [str(problem) for problem in checked.problems] == []
    assert checked.warnings == []


async def test_the_pipeline_test_of_the_plugin_guide_passes(tmp_path: Path) -> None:
    yamls = [text for page, text in blocks("yaml") if page.name == "writing-plugins.md"]
    config, tests = (next(text for text in yamls if marker in text) for marker in ("plugin_dirs", "tests:"))
    (tmp_path / "plugins.d").mkdir()
    (tmp_path / "plugins.d" / "drop_below.py").write_text(drop_in_of_the_guide(), encoding="utf-8")
    (tmp_path / "agent.yaml").write_text(config, encoding="utf-8")
    (tmp_path / "tests.yaml").write_text(tests, encoding="utf-8")
    outcomes = await run_file(tmp_path / "tests.yaml")
    assert [outcome.difference for outcome in outcomes] == [""]


def test_the_drop_in_of_the_guide_loads(tmp_path: Path) -> None:
    (tmp_path / "drop_below.py").write_text(drop_in_of_the_guide(), encoding="utf-8")
    registry = load_registry([tmp_path])
    assert registry.broken == []
    assert registry.find("processor", "drop_below") is not None


def test_the_scaffold_is_the_drop_in_of_the_guide() -> None:
    template = (ROOT / "ophion_agent" / "scaffold" / "processor.py.txt").read_text(encoding="utf-8")
    filled = template.replace("${Name}", "DropBelow").replace("${name}", "drop_below")
    code = [line for line in drop_in_of_the_guide().splitlines() if line.strip()]
    assert [line for line in code if line not in filled.splitlines()] == []


@pytest.mark.parametrize("page", PAGES, ids=identify)
def test_every_link_leads_somewhere(page: Path) -> None:
    targets = LINK.findall(page.read_text(encoding="utf-8"))
    local = [target for target in targets if "://" not in target]
    assert [target for target in local if not (page.parent / target).exists()] == []


@pytest.mark.parametrize(("page", "text"), blocks("sh"), ids=identify)
def test_every_agent_command_is_one_the_parser_takes(page: Path, text: str) -> None:
    for line in text.splitlines():
        command = line.partition("#")[0].strip().removeprefix("sudo ")
        if command.startswith("ophion-agent "):
            build_parser().parse_args(command.split()[1:])


def test_make_targets_in_the_docs_exist() -> None:
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    named = {target for _, text in blocks("sh") for target in re.findall(r"^make (\w+)", text, re.MULTILINE)}
    assert named >= {"run", "test"}
    assert {target for target in named if not re.search(rf"^{target}:", makefile, re.MULTILINE)} == set()


def test_the_option_tables_are_current() -> None:
    script = ROOT / "scripts" / "generate_reference.py"
    done = subprocess.run([sys.executable, str(script), "--check"], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_every_component_is_documented() -> None:
    page = (ROOT / "docs" / "configuration.md").read_text(encoding="utf-8")
    names = {registered.component.type_name for registered in load_registry().components()}
    assert {name for name in names if f"### {name}\n" not in page} == set()


def test_architecture_ends_with_what_to_read_first() -> None:
    page = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
    last = page.rstrip().rpartition("\n## ")[2]
    assert last.startswith("Read these three files first")
    assert all((ROOT / name).is_file() for name in re.findall(r"`(ophion_agent/\w+\.py)`", last))
