"""Every component that is registered keeps the contract of its kind."""

import re
from collections.abc import Callable
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import pytest

from ophion_agent.agent import Agent, Sources
from ophion_agent.clock import Clock
from ophion_agent.component import Component
from ophion_agent.hookspecs import PROJECT
from ophion_agent.registry import load_registry
from ophion_agent.testing import check_component, make_component

REGISTRY = load_registry()
COMPONENTS = {(found.component.kind, found.component.type_name): found.component for found in REGISTRY.components()}

# What a component needs to be told before it can start on any machine: free ports, files in a directory of the test.
CONFIGS: dict[tuple[str, str], Callable[[Path], dict[str, Any]]] = {
    ("receiver", "otlp"): lambda _: {
        "protocols": {"grpc": {"endpoint": "127.0.0.1:0"}, "http": {"endpoint": "127.0.0.1:0"}}
    },
    ("receiver", "hostmetrics"): lambda _: {"collection_interval": "10s", "scrapers": {"cpu": None, "memory": None}},
    ("processor", "attributes"): lambda _: {"actions": [{"key": "a", "action": "delete"}]},
    ("processor", "resource"): lambda _: {"attributes": [{"key": "a", "action": "upsert", "value": 1}]},
    ("processor", "resourcedetection"): lambda _: {"detectors": ["env"]},
    ("processor", "filter"): lambda _: {"traces": {"span": ['name == "x"']}},
    ("processor", "memory_limiter"): lambda _: {"check_interval": "1s", "limit_mib": 4000},
    ("exporter", "file"): lambda folder: {"path": str(folder / "out.json")},
    ("exporter", "otlp"): lambda _: {"endpoint": "127.0.0.1:1", "tls": {"insecure": True}},
    ("exporter", "otlphttp"): lambda _: {"endpoint": "http://127.0.0.1:1"},
    ("exporter", "prometheus"): lambda _: {"endpoint": "127.0.0.1:0"},
    ("extension", "api"): lambda _: {"endpoint": "127.0.0.1:0"},
    ("extension", "auth"): lambda folder: {
        "directory": str(folder / "control"),
        "cli_key_file": str(folder / "control" / "cli.key"),
        "password_hashing": {"time_cost": 1, "memory": "8KiB", "parallelism": 1},
    },
    ("extension", "control_store"): lambda folder: {"directory": str(folder / "control")},
    ("extension", "telemetry_store"): lambda folder: {"directory": str(folder / "telemetry")},
    ("extension", "basicauth"): lambda _: {"htpasswd": {"inline": "ada:secret"}},
    ("extension", "bearertokenauth"): lambda _: {"token": "secret"},
    ("extension", "file_storage"): lambda folder: {"directory": str(folder / "storage")},
    ("extension", "headers_setter"): lambda _: {"headers": [{"key": "x-tenant", "value": "acme"}]},
    ("extension", "health_check"): lambda _: {"endpoint": "127.0.0.1:0"},
    ("extension", "pprof"): lambda _: {"endpoint": "127.0.0.1:0"},
    ("extension", "zpages"): lambda _: {"endpoint": "127.0.0.1:0"},
}

every_component = pytest.mark.parametrize(
    "component", COMPONENTS.values(), ids=[f"{kind}-{name}" for kind, name in COMPONENTS]
)


def test_every_bundled_plugin_can_be_loaded() -> None:
    assert REGISTRY.broken == []


def test_no_config_is_kept_for_a_component_that_is_gone() -> None:
    assert sorted(CONFIGS.keys() - COMPONENTS.keys()) == []


@every_component
async def test_keeps_the_contract(component: type[Component[Any]], tmp_path: Path) -> None:
    async with AsyncExitStack() as stack:
        services: dict[str, Any] = {}
        provided = await _start_needed(component, tmp_path, services, stack)
        await check_component(
            component,
            _config(component, tmp_path),
            agent=Agent(Sources(())),
            services=services,
            provided=provided,
            gathered={key.name: [] for key in component.gathers},
        )


def _config(component: type[Component[Any]], folder: Path) -> dict[str, Any]:
    return CONFIGS.get((component.kind, component.type_name), lambda _: {})(folder)


async def _start_needed(
    component: type[Component[Any]], folder: Path, services: dict[str, Any], stack: AsyncExitStack
) -> dict[str, str]:
    """Start the real providers of what a component requires, and return which one provides what."""
    provided = {}
    for key in component.requires:
        provider = next(found for found in COMPONENTS.values() if key in found.provides)
        provided[key.name] = provider.type_name
        if provider.type_name not in services:
            needed = await _start_needed(provider, folder, services, stack)
            instance = make_component(
                provider,
                _config(provider, folder),
                clock=Clock(),
                services=services,
                provided=needed,
                gathered={gathered.name: [] for gathered in provider.gathers},
                agent=Agent(Sources(())),
            )
            await instance.start()
            stack.push_async_callback(instance.context.close)
            stack.push_async_callback(instance.stop)
            services[provider.type_name] = instance
    return provided


@every_component
def test_every_option_of_every_section_is_described(component: type[Component[Any]]) -> None:
    schema = component.config_type.model_json_schema()
    sections = {component.config_type.__name__: schema, **schema.get("$defs", {})}
    undescribed = [
        f"{name}.{option}"
        for name, section in sections.items()
        for option, facts in section.get("properties", {}).items()
        if not facts.get("description") and "$ref" not in facts
    ]
    assert undescribed == []


@every_component
def test_is_named_and_explained_in_the_words_of_the_field(component: type[Component[Any]]) -> None:
    names = (component.type_name, *component.aliases)
    assert all(re.fullmatch(r"[a-z][a-z0-9]*(_[a-z0-9]+)*", name) for name in names)
    summary = (component.__doc__ or "").strip().partition("\n")[0]
    assert summary.endswith(".")
    assert component.handles or component.kind == "extension"


@every_component
def test_comes_from_a_plugin_that_imports_only_what_the_framework_offers(component: type[Component[Any]]) -> None:
    offered = {
        "plugin", "otlp_json", "web", "tls", "compression", "httpclient", "testing", "durable", "fields", "skeleton",
        "server", "prometheus_names", "names"
    }  # fmt: skip
    source = Path(__import__("sys").modules[component.__module__].__file__ or "").read_text()
    used = set(re.findall(r"^\s*from ophion_agent\.(\w+) import", source, re.MULTILINE))
    assert used - offered == set(), f"{PROJECT} plugins import the facade and the shared modules only"
