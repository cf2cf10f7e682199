"""From a configuration tree to a plan: every name resolved, every component validated, every error collected."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from ophion_agent.batch import SIGNALS, Batch
from ophion_agent.component import Component, Config
from ophion_agent.hints import nearest
from ophion_agent.model_errors import problems_of
from ophion_agent.origins import ConfigPath, Origins, Problem
from ophion_agent.references import connector_cycle, cycle_of, extension_needs, service_references
from ophion_agent.registry import Registry
from ophion_agent.settings import PipelineSettings, ServiceSettings

SECTIONS = {
    "receivers": "receiver",
    "processors": "processor",
    "exporters": "exporter",
    "connectors": "connector",
    "extensions": "extension",
}


@dataclass(frozen=True, slots=True)
class ComponentPlan:
    """One configured component: its class and its validated config."""

    kind: str
    id: str
    component: type[Component[Any]]
    config: Config

    @property
    def key(self) -> tuple[str, str]:
        """Kind and id, unique in a plan."""
        return self.kind, self.id


@dataclass(frozen=True, slots=True)
class PipelinePlan:
    """One pipeline; ids in receivers and exporters may be those of connectors."""

    id: str
    signal: type[Batch]
    receivers: tuple[str, ...]
    processors: tuple[str, ...]
    exporters: tuple[str, ...]


@dataclass
class Plan:
    """A configuration that can be built. `tree` is the merged configuration as it was written."""

    service: ServiceSettings
    components: dict[tuple[str, str], ComponentPlan]
    pipelines: tuple[PipelinePlan, ...]
    tree: Mapping[str, Any]


@dataclass
class Check:
    """The outcome of a validation: a plan where there is no problem."""

    plan: Plan | None
    problems: list[Problem] = field(default_factory=list)
    warnings: list[Problem] = field(default_factory=list)


def plugin_dirs(tree: Mapping[str, Any], origins: Origins) -> list[Path]:
    """Return the drop-in folders a configuration names, relative ones taken from the file that names them."""
    service = tree.get("service")
    listed = service.get("plugin_dirs") if isinstance(service, Mapping) else None
    paths: list[Path] = []
    for index, entry in enumerate(listed if isinstance(listed, list) else []):
        file, _ = origins.file_of(("service", "plugin_dirs", index))
        base = Path(file).parent if file and Path(file).is_file() else Path()
        paths.append(base / Path(str(entry)).expanduser())
    return paths


def check(tree: Mapping[str, Any], origins: Origins, registry: Registry) -> Check:
    """Validate a whole configuration against the components that exist, and collect every problem."""
    return _Checker(tree, origins, registry).run()


class _Checker:
    def __init__(self, tree: Mapping[str, Any], origins: Origins, registry: Registry) -> None:
        self.tree = tree
        self.origins = origins
        self.registry = registry
        self.problems: list[Problem] = []
        self.warnings: list[Problem] = []
        self.components: dict[tuple[str, str], ComponentPlan] = {}
        # Declared, whether or not it could be validated: a reference to it is not a second error.
        self.declared: set[tuple[str, str]] = set()

    def run(self) -> Check:
        for key in self.tree:
            if key not in SECTIONS and key != "service":
                self._problem((key,), f"unknown section; {nearest(str(key), [*SECTIONS, 'service'])}")
        for section, kind in SECTIONS.items():
            self._check_section(section, kind)
        service = self._check_service()
        if service is None:
            return Check(None, self.problems, self.warnings)
        pipelines = tuple(self._check_pipelines(service))
        self._check_connectors(pipelines)
        self._check_extensions(service)
        self._check_references(service)
        if self.problems:
            return Check(None, self.problems, self.warnings)
        used = _used(service, pipelines)
        components = {key: plan for key, plan in self.components.items() if key in used}
        return Check(Plan(service, components, pipelines, self.tree), [], self.warnings)

    def _problem(self, path: ConfigPath, message: str) -> None:
        self.problems.append(self.origins.problem(path, message))

    def _warning(self, path: ConfigPath, message: str) -> None:
        self.warnings.append(self.origins.problem(path, message))

    def _check_section(self, section: str, kind: str) -> None:
        bodies = self.tree.get(section)
        if bodies is None:
            return
        if not isinstance(bodies, Mapping):
            self._problem((section,), f"must map ids to options, got {_kind_of(bodies)}")
            return
        for component_id, body in bodies.items():
            self._check_component(section, kind, str(component_id), body)

    def _check_component(self, section: str, kind: str, component_id: str, body: Any) -> None:
        path = (section, component_id)
        self.declared.add((kind, component_id))
        type_name, slash, name = component_id.partition("/")
        if slash and not name:
            self._problem(path, "the name after the slash is empty; write type/name")
            return
        component = self.registry.find(kind, type_name.strip())
        if component is None:
            self._problem(path, self._unknown(kind, type_name))
            return
        if body is not None and not isinstance(body, Mapping):
            self._problem(path, f"must be a mapping of options, got {_kind_of(body)}")
            return
        try:
            config = component.config_type.model_validate(dict(body or {}))
        except ValidationError as error:
            found = problems_of(error, component.config_type, path)
            self.problems += [self.origins.problem(where, message) for where, message in found]
            return
        except Exception as error:  # noqa: BLE001 - a plugin's validator may raise anything
            self._problem(path, f"the plugin cannot read these options: {type(error).__name__}: {error}")
            return
        self.components[kind, component_id] = ComponentPlan(kind, component_id, component, config)

    def _unknown(self, kind: str, type_name: str) -> str:
        kinds = [kind, *SECTIONS.values()]
        instead = next((found for known in kinds if (found := self.registry.removed(known, type_name))), None)
        if instead:
            return f"{kind} {type_name!r} no longer exists: {instead}"
        elsewhere = [other for other in SECTIONS.values() if other != kind and self.registry.find(other, type_name)]
        if elsewhere:
            return f"{type_name!r} is not {_a(kind)} but {_a(elsewhere[0])}; move it to `{elsewhere[0]}s`"
        hint = nearest(type_name, self.registry.names(kind))
        broken = "".join(f"; plugin {plugin.name} failed to load: {plugin.error}" for plugin in self.registry.broken)
        return f"unknown {kind} {type_name!r}; {hint}{broken}"

    def _check_service(self) -> ServiceSettings | None:
        body = self.tree.get("service")
        if body is None:
            self._problem((), "section `service` is missing; it says which pipelines run")
            return None
        if not isinstance(body, Mapping):
            self._problem(("service",), f"must be a mapping, got {_kind_of(body)}")
            return None
        try:
            service = ServiceSettings.model_validate(dict(body))
        except ValidationError as error:
            found = problems_of(error, ServiceSettings, ("service",))
            self.problems += [self.origins.problem(where, message) for where, message in found]
            return None
        self._warn_about_push(service)
        return service

    def _warn_about_push(self, service: ServiceSettings) -> None:
        telemetry = service.telemetry
        pushing = {
            "logs": telemetry.logs.processors,
            "traces": telemetry.traces.processors,
            "metrics": [reader for reader in telemetry.metrics.readers or [] if reader.periodic is not None],
        }
        for signal, configured in pushing.items():
            if configured:
                remedy = "put the `self` receiver in a pipeline"
                message = f"pushing the agent's own {signal} from here is not supported; {remedy}"
                self._warning(("service", "telemetry", signal), message)

    def _check_pipelines(self, service: ServiceSettings) -> Iterator[PipelinePlan]:
        if not service.pipelines:
            self._problem(("service", "pipelines"), "must have at least one pipeline, such as `traces`")
        for pipeline_id, settings in service.pipelines.items():
            path = ("service", "pipelines", pipeline_id)
            signal = SIGNALS.get(pipeline_id.partition("/")[0])
            if signal is None:
                name = pipeline_id.partition("/")[0]
                self._problem(path, f"unknown signal {name!r}; {nearest(name, SIGNALS)}")
                continue
            for role, ids in (("receivers", settings.receivers), ("exporters", settings.exporters)):
                if not ids:
                    self._problem((*path, role), f"must have at least one {role[:-1]}")
            self._check_members(path, settings, signal)
            yield PipelinePlan(
                pipeline_id, signal, tuple(settings.receivers), tuple(settings.processors), tuple(settings.exporters)
            )

    def _check_members(self, path: ConfigPath, settings: PipelineSettings, signal: type[Batch]) -> None:
        roles = {
            "receivers": (settings.receivers, ("receiver", "connector")),
            "processors": (settings.processors, ("processor",)),
            "exporters": (settings.exporters, ("exporter", "connector")),
        }
        for role, (ids, kinds) in roles.items():
            for index, component_id in enumerate(ids):
                where = (*path, role, index)
                if component_id in ids[:index]:
                    self._problem(where, f"{component_id!r} is listed twice")
                elif not any((kind, component_id) in self.declared for kind in kinds):
                    valid = [name for kind, name in self.declared if kind in kinds]
                    hint = nearest(component_id, valid)
                    self._problem(where, f"references {role[:-1]} {component_id!r} which is not configured; {hint}")
                else:
                    self._check_signal(where, role, component_id, kinds, signal)

    def _check_signal(
        self, where: ConfigPath, role: str, component_id: str, kinds: tuple[str, ...], signal: type[Batch]
    ) -> None:
        plans = [self.components[kind, component_id] for kind in kinds if (kind, component_id) in self.components]
        for plan in plans:
            handled = plan.component.handles
            if plan.kind == "connector" and role == "receivers":
                emits: Mapping[Any, frozenset[type[Batch]]] = getattr(plan.component, "emits", {})
                handled = frozenset().union(*emits.values())
            if signal not in handled:
                takes = ", ".join(sorted(handled_signal.signal for handled_signal in handled))
                self._problem(
                    where, f"{plan.kind} {component_id!r} does not handle {signal.signal}; it handles {takes}"
                )

    def _check_connectors(self, pipelines: tuple[PipelinePlan, ...]) -> None:
        for kind, name in sorted(self.declared):
            if kind != "connector" and ("connector", name) in self.declared and kind in ("receiver", "exporter"):
                message = f"{name!r} is also the id of a {kind}; give one of them a name of its own, as {name}/2"
                self._problem(("connectors", name), message)
            ends = [plan.id for plan in pipelines if name in plan.exporters]
            begins = [plan.id for plan in pipelines if name in plan.receivers]
            if kind == "connector" and bool(ends) != bool(begins):
                missing, used = ("receiver", ends) if ends else ("exporter", begins)
                where = f"used in {', '.join(used)} but in no pipeline as {_a(missing)}"
                self._problem(("connectors", name), f"must end one pipeline and begin another; it is {where}")
        cycle = connector_cycle(pipelines, {name for kind, name in self.declared if kind == "connector"})
        if cycle:
            self._problem(("service", "pipelines"), f"connectors close a cycle: {' -> '.join(cycle)}")

    def _check_extensions(self, service: ServiceSettings) -> None:
        for index, component_id in enumerate(service.extensions):
            if component_id in service.extensions[:index]:
                self._problem(("service", "extensions", index), f"{component_id!r} is listed twice")
            if ("extension", component_id) not in self.declared:
                hint = nearest(component_id, [name for kind, name in self.declared if kind == "extension"])
                message = f"references extension {component_id!r} which is not configured; {hint}"
                self._problem(("service", "extensions", index), message)

    def _check_references(self, service: ServiceSettings) -> None:
        running = {name for name in service.extensions if ("extension", name) in self.components}
        for plan in self.components.values():
            base = (f"{plan.kind}s", plan.id)
            for path, key, extension_id in service_references(plan.config):
                self._check_reference((*base, *path), key, extension_id, running)
            for key in plan.component.requires:
                providers = [name for name in running if key in self.components["extension", name].component.provides]
                if len(providers) != 1:
                    found = ", ".join(sorted(providers)) or "none"
                    self._problem(base, f"needs exactly one extension that provides {key.name}, got {found}")
        cycle = cycle_of(extension_needs([name for name in service.extensions if name in running], self.components))
        if cycle:
            self._problem(("service", "extensions"), f"extensions need one another: {' -> '.join(cycle)}")

    def _check_reference(self, path: ConfigPath, key: Any, extension_id: str, running: set[str]) -> None:
        fitting = [plan.id for plan in self.components.values() if key in plan.component.provides]
        if ("extension", extension_id) not in self.declared:
            hint = nearest(extension_id, fitting)
            self._problem(path, f"references extension {extension_id!r} which is not configured; {hint}")
        elif ("extension", extension_id) in self.components and extension_id not in fitting:
            self._problem(path, f"extension {extension_id!r} is not a {key.name}; {nearest(extension_id, fitting)}")
        elif extension_id in fitting and extension_id not in running:
            message = f"extension {extension_id!r} is configured but not listed in service.extensions; add it there"
            self._problem(path, message)


def _used(service: ServiceSettings, pipelines: tuple[PipelinePlan, ...]) -> set[tuple[str, str]]:
    used = {("extension", name) for name in service.extensions}
    for pipeline in pipelines:
        used |= {(kind, name) for name in pipeline.receivers for kind in ("receiver", "connector")}
        used |= {("processor", name) for name in pipeline.processors}
        used |= {(kind, name) for name in pipeline.exporters for kind in ("exporter", "connector")}
    return used


def _a(kind: str) -> str:
    return f"an {kind}" if kind.startswith("e") else f"a {kind}"


def _kind_of(value: Any) -> str:
    return {str: "text", list: "a list", bool: "true/false"}.get(type(value), "a number")
