"""`ophion-agent plugin new NAME`: a plugin package that works, with tests that pass."""

import argparse
import re
from importlib.resources import files
from pathlib import Path
from string import Template

from ophion_agent.errors import OphionError

KINDS = ("processor", "receiver", "exporter", "extension")


def add_commands(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add the commands of this module."""
    plugin = commands.add_parser("plugin", help="write plugins")
    actions = plugin.add_subparsers(required=True, metavar="ACTION")
    new = actions.add_parser("new", help="make a plugin: one file that works, tests and packaging")
    new.add_argument("name", help="type name in lower_snake_case, such as drop_below")
    new.add_argument("--kind", choices=KINDS, default="processor")
    new.add_argument("--into", type=Path, default=Path(), metavar="DIR", help="folder to make it in")
    new.set_defaults(command=_new)


def _new(options: argparse.Namespace) -> int:
    written = scaffold(options.name, options.kind, options.into)
    folder = written[0].parent
    print("\n".join(f"wrote {path}" for path in written))
    print(f"try:  cd {folder} && python -m pytest")
    print(f"use:  service: {{plugin_dirs: [{folder}]}}, or pip install {folder}")
    return 0


def scaffold(name: str, kind: str, into: Path) -> list[Path]:
    """Write a plugin package for the component `name` and return its files; raise OphionError when it exists."""
    if not re.fullmatch(r"[a-z][a-z0-9]*(_[a-z0-9]+)*", name):
        raise OphionError(f"plugin new: a type name must be lower_snake_case, got {name!r}; such as drop_below")
    folder = into / f"ophion-plugin-{name.replace('_', '-')}"
    if folder.exists():
        raise OphionError(f"plugin new: {folder} exists already; remove it or choose another name")
    words = {"name": name, "kind": kind, "Name": "".join(part.capitalize() for part in name.split("_"))}
    words["module"] = f"ophion_{name}"
    words["package"] = folder.name
    templates = {
        f"{words['module']}.py": f"{kind}.py.txt",
        "test_plugin.py": f"test_{kind}.py.txt",
        "pyproject.toml": "pyproject.toml.txt",
        "README.md": "README.md.txt",
    }
    folder.mkdir(parents=True)
    return [_write(folder / target, source, words) for target, source in templates.items()]


def _write(target: Path, template: str, words: dict[str, str]) -> Path:
    text = files("ophion_agent").joinpath("scaffold", template).read_text(encoding="utf-8")
    target.write_text(Template(text).substitute(words), encoding="utf-8")
    return target
