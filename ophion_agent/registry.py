"""Finds plugins (entry points and drop-in folders) and the component classes they register.

A plugin that cannot be loaded is recorded, not raised: it matters only when the configuration uses what it would have
provided.
"""

import hashlib
import importlib.util
import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

import pluggy

from ophion_agent import hookspecs
from ophion_agent.component import Component, Removed, component_class

if TYPE_CHECKING:
    import argparse

KINDS = ("receiver", "processor", "exporter", "connector", "extension")


@dataclass(frozen=True, slots=True)
class BrokenPlugin:
    """A plugin that could not be loaded, and why."""

    name: str
    origin: str
    error: str


@dataclass(frozen=True, slots=True)
class Registered:
    """A component class with the plugin it came from."""

    component: type[Component[Any]]
    origin: str


@dataclass
class Registry:
    """Component classes by kind and type name, the otelcol aliases included."""

    _components: dict[tuple[str, str], Registered] = field(default_factory=dict)
    _aliases: dict[tuple[str, str], str] = field(default_factory=dict)
    _removed: dict[tuple[str, str], str] = field(default_factory=dict)
    broken: list[BrokenPlugin] = field(default_factory=list)

    def find(self, kind: str, type_name: str) -> type[Component[Any]] | None:
        """Return the component class of a type name or one of its aliases, or None."""
        registered = self._components.get((kind, self._aliases.get((kind, type_name), type_name)))
        return registered.component if registered else None

    def removed(self, kind: str, type_name: str) -> str | None:
        """Return what replaced a component that no longer exists, or None where the name is not known as removed."""
        return self._removed.get((kind, type_name))

    def names(self, kind: str) -> list[str]:
        """Return every type name and alias of a kind, sorted."""
        return sorted({name for known, name in (*self._components, *self._aliases) if known == kind})

    def components(self) -> Iterator[Registered]:
        """Iterate over every component class with its origin, by kind and name."""
        for key in sorted(self._components, key=lambda key: (KINDS.index(key[0]), key[1])):
            yield self._components[key]

    def add(self, component: type[Component[Any]], origin: str) -> None:
        """Register one class; ValueError when its name is taken by another plugin."""
        key = (component.kind, component.type_name)
        taken = self._components.get(key)
        if taken and taken.component is not component:
            raise ValueError(f"{component.kind} {component.type_name!r} is already provided by {taken.origin}")
        self._components[key] = Registered(component, origin)
        self._aliases |= {(component.kind, alias): component.type_name for alias in component.aliases}

    def add_removed(self, removed: Removed) -> None:
        """Register what replaced a component."""
        self._removed[removed.kind, removed.type_name] = removed.instead


def load_registry(plugin_dirs: Iterable[Path] = ()) -> Registry:
    """Load every installed plugin and every drop-in file, and return what they register."""
    registry = Registry()
    manager = pluggy.PluginManager(hookspecs.PROJECT)
    manager.add_hookspecs(hookspecs)
    for entry_point in sorted(entry_points(group=hookspecs.PROJECT), key=lambda point: point.name):
        _load(registry, manager, entry_point.name, _origin(entry_point), entry_point.load)
    for path in _drop_ins(registry, plugin_dirs):
        _load(registry, manager, path.stem, str(path), lambda path=path: load_file(path))
    return registry


def _origin(entry_point: EntryPoint) -> str:
    distribution = entry_point.dist
    return f"{distribution.name} {distribution.version}" if distribution else entry_point.value


def _drop_ins(registry: Registry, plugin_dirs: Iterable[Path]) -> Iterator[Path]:
    for directory in plugin_dirs:
        try:
            found = sorted(directory.iterdir())
        except OSError as error:
            registry.broken.append(BrokenPlugin(directory.name, str(directory), error.strerror or str(error)))
            continue
        for path in found:
            module = path / "__init__.py" if path.is_dir() else path
            if module.suffix == ".py" and module.is_file() and not path.name.startswith((".", "_", "test_")):
                yield path


def load_file(path: Path) -> ModuleType:
    """Import a drop-in plugin: one .py file, or a folder with an `__init__.py`.

    The module stands in `sys.modules` before it executes: dataclasses and pydantic look string annotations up there.
    """
    digest = hashlib.sha256(str(path.resolve()).encode()).hexdigest()[:8]
    name = f"ophion_dropin_{path.stem}_{digest}"
    source = path / "__init__.py" if path.is_dir() else path
    search = [str(path)] if path.is_dir() else None
    spec = importlib.util.spec_from_file_location(name, source, submodule_search_locations=search)
    if spec is None or spec.loader is None:
        raise ImportError(f"{path}: not a Python module")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    try:
        spec.loader.exec_module(module)
    except BaseException:
        del sys.modules[name]
        raise
    return module


def add_plugin_commands(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> list[BrokenPlugin]:
    """Let every installed plugin add its commands; return the plugins that could not be loaded."""
    broken: list[BrokenPlugin] = []
    manager = pluggy.PluginManager(hookspecs.PROJECT)
    manager.add_hookspecs(hookspecs)
    for entry_point in sorted(entry_points(group=hookspecs.PROJECT), key=lambda point: point.name):
        try:
            manager.register(entry_point.load(), entry_point.name)
        except (Exception, SystemExit) as error:  # noqa: BLE001 - a plugin may raise anything at import
            broken.append(BrokenPlugin(entry_point.name, _origin(entry_point), f"{type(error).__name__}: {error}"))
    for implementation in sorted(manager.hook.ophion_commands.get_hookimpls(), key=lambda found: found.plugin_name):
        implementation.function(commands)
    return broken


def _load(registry: Registry, manager: pluggy.PluginManager, name: str, origin: str, load: Any) -> None:
    try:
        module = load()
        manager.register(module, f"{name} ({origin})")
        for implementation in manager.hook.ophion_components.get_hookimpls():
            if implementation.plugin is module:
                registered: Any = implementation.function()
                _register(registry, registered, origin)
                return
        raise LookupError("registers nothing; define `ophion_components` and decorate it with @hookimpl")
    except (Exception, SystemExit) as error:  # noqa: BLE001 - a plugin may raise anything at import
        registry.broken.append(BrokenPlugin(name, origin, f"{type(error).__name__}: {error}"))


def _register(registry: Registry, components: Iterable[object], origin: str) -> None:
    for component in components:
        if isinstance(component, Removed):
            registry.add_removed(component)
        else:
            registry.add(component_class(component), origin)
