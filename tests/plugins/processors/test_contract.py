"""Every processor of the family keeps the component contract and is registered under otelcol's names."""

from typing import Any

import pytest

import ophion_processors
from ophion_agent.plugin import Component, Removed
from ophion_agent.testing import check_component
from ophion_processors.attributes import AttributesProcessor
from ophion_processors.batch import BatchProcessor
from ophion_processors.filter import FilterProcessor
from ophion_processors.memory_limiter import MemoryLimiter
from ophion_processors.resource import ResourceProcessor
from ophion_processors.resource_detection import ResourceDetection

CONFIGS: list[tuple[type[Component[Any]], dict[str, Any]]] = [
    (BatchProcessor, {"timeout": "20ms", "metadata_keys": ["tenant"]}),
    (MemoryLimiter, {"check_interval": "1s", "limit_percentage": 100, "spike_limit_percentage": 1}),
    (AttributesProcessor, {"actions": [{"key": "a", "action": "INSERT", "value": [1, {"b": 2.5}]}]}),
    (ResourceProcessor, {"attributes": [{"key": "a", "action": "delete", "pattern": "^x"}]}),
    (ResourceDetection, {"detectors": ["env", "system"], "system": {"hostname_sources": ["os"]}}),
    (FilterProcessor, {"error_mode": "ignore", "traces": {"span": ["name == nil"]}, "logs": None}),
]


@pytest.mark.parametrize(("component", "config"), CONFIGS, ids=[component.type_name for component, _ in CONFIGS])
async def test_keeps_the_component_contract(component: type[Component[Any]], config: dict[str, Any]) -> None:
    await check_component(component, config)


def test_registers_every_processor_and_what_replaced_the_removed_ones() -> None:
    registered = ophion_processors.ophion_components()
    removed = {entry.type_name: entry.instead for entry in registered if isinstance(entry, Removed)}
    assert {entry.type_name for entry in registered} - set(removed) == {component.type_name for component, _ in CONFIGS}
    assert "connector" in removed["spanmetrics"]
    assert "connector" in removed["servicegraph"]
    assert "sending_queue" in removed["queued_retry"]
