from pathlib import Path

import pytest

from ophion_agent.cli import main
from ophion_agent.plugin import Config, Processor, Removed, Traces
from ophion_agent.registry import Registry, load_file, load_registry
from parts import Mark, Relay

PLUGIN = """
from ophion_agent.plugin import Config, Processor, Traces, hookimpl

class {name}(Processor[Config, Traces]):
    '''Does nothing.'''
    type_name = "{type_name}"

@hookimpl
def ophion_components():
    return [{name}]
"""


def drop_in(folder: Path, file: str, text: str) -> Path:
    path = folder / file
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return path


def test_files_and_packages_are_loaded_and_others_left_alone(tmp_path: Path) -> None:
    drop_in(tmp_path, "one.py", PLUGIN.format(name="One", type_name="one"))
    drop_in(tmp_path, "two/helper.py", "NAME = 'two'\n")
    text = PLUGIN.format(name="Two", type_name="two")
    drop_in(
        tmp_path,
        "two/__init__.py",
        text.replace('"two"', "NAME").replace("\nfrom", "\nfrom .helper import NAME\nfrom", 1),
    )
    for ignored in ("_private.py", "test_one.py", ".hidden.py", "notes.txt", "data/values.py"):
        drop_in(tmp_path, ignored, "raise RuntimeError('must not be loaded')\n")
    registry = load_registry([tmp_path])
    assert registry.broken == []
    assert registry.find("processor", "one")
    assert registry.find("processor", "two")


@pytest.mark.parametrize(
    ("text", "error"),
    [
        ("import no_such_module_here\n", "ModuleNotFoundError: No module named 'no_such_module_here'"),
        ("def broken(:\n", "SyntaxError: "),
        ("raise SystemExit(3)\n", "SystemExit: 3"),
        ("x = 1\n", "LookupError: registers nothing; define `ophion_components` and decorate it with @hookimpl"),
        (PLUGIN.format(name="Odd", type_name="odd").replace("[Odd]", "['odd']"), "TypeError: ophion_components() must"),
        (PLUGIN.format(name="Odd", type_name="batch"), "ValueError: processor 'batch' is already provided by"),
        (
            PLUGIN.format(name="Odd", type_name=""),
            "TypeError: ophion_dropin_plugin_",
        ),
    ],
)
def test_a_broken_plugin_is_remembered_and_stops_nothing(tmp_path: Path, text: str, error: str) -> None:
    path = drop_in(tmp_path, "plugin.py", text)
    drop_in(tmp_path, "sound.py", PLUGIN.format(name="Sound", type_name="sound"))
    registry = load_registry([tmp_path])
    assert registry.find("processor", "sound")
    assert [(plugin.name, plugin.origin) for plugin in registry.broken] == [("plugin", str(path))]
    assert registry.broken[0].error.startswith(error)


def test_a_folder_that_does_not_exist_is_remembered(tmp_path: Path) -> None:
    registry = load_registry([tmp_path / "missing"])
    assert [(plugin.name, plugin.error) for plugin in registry.broken] == [("missing", "No such file or directory")]


def test_files_of_the_same_name_in_two_folders_are_both_loaded(tmp_path: Path) -> None:
    drop_in(tmp_path / "a", "plugin.py", PLUGIN.format(name="One", type_name="one"))
    drop_in(tmp_path / "b", "plugin.py", PLUGIN.format(name="Two", type_name="two"))
    registry = load_registry([tmp_path / "a", tmp_path / "b"])
    assert registry.broken == []
    assert registry.find("processor", "one")
    assert registry.find("processor", "two")


def test_string_annotations_of_a_drop_in_are_resolved(tmp_path: Path) -> None:
    text = (
        "from __future__ import annotations\nfrom dataclasses import dataclass\nfrom typing import ClassVar\n"
        "@dataclass\nclass Point:\n    kind: ClassVar[str] = 'point'\n    x: int = 0\n"
    )
    module = load_file(drop_in(tmp_path, "annotated.py", text))
    assert module.Point(3).x == 3


def test_an_alias_finds_the_component_and_a_removed_one_its_successor() -> None:
    class Aliased(Processor[Config, Traces]):
        type_name = "new_name"
        aliases = ("oldname",)

    registry = Registry()
    registry.add(Aliased, "tests")
    registry.add(Aliased, "tests again")
    registry.add_removed(Removed("exporter", "jaeger", "use `otlp`"))
    assert registry.find("processor", "oldname") is Aliased
    assert registry.names("processor") == ["new_name", "oldname"]
    assert registry.find("exporter", "jaeger") is None
    assert registry.removed("exporter", "jaeger") == "use `otlp`"


def test_a_name_belongs_to_the_first_who_registers_it() -> None:
    class Second(Processor[Config, Traces]):
        type_name = "mark"

    registry = Registry()
    registry.add(Mark, "first 1.0")
    registry.add(Relay, "first 1.0")
    with pytest.raises(ValueError, match=r"processor 'mark' is already provided by first 1\.0"):
        registry.add(Second, "second")


def test_a_class_without_a_type_name_fails_where_it_is_defined() -> None:
    with pytest.raises(TypeError, match="needs a type_name, such as `type_name = 'my_processor'`"):

        class Nameless(Processor[Config, Traces]):
            pass


def test_the_components_command_lists_what_can_be_configured_and_what_is_broken(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    drop_in(tmp_path, "sound.py", PLUGIN.format(name="Sound", type_name="sound"))
    drop_in(tmp_path, "plugin.py", "import no_such_module_here\n")
    assert main(["components", "--plugin-dir", str(tmp_path)]) == 0
    said = capsys.readouterr()
    assert "  sound                traces               Does nothing." in said.out
    assert "broken plugin plugin" in said.err
