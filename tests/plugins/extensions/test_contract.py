from typing import Any

import pytest

from ophion_agent.plugin import Component, Removed
from ophion_agent.testing import check_component
from ophion_extensions import ophion_components

CONFIGS: dict[str, dict[str, Any]] = {
    "file_storage": {},
    "health_check": {"endpoint": "localhost:0"},
    "zpages": {"endpoint": "localhost:0"},
    "pprof": {"endpoint": "localhost:0"},
    "bearertokenauth": {"token": "secret"},
    "basicauth": {"htpasswd": {"inline": "user:secret"}},
    "headers_setter": {"headers": [{"key": "X-Tenant", "value": "shop"}]},
    "self": {"logs": {"level": "debug"}, "metrics": {"interval": "1s"}},
}
CLASSES = [component for component in ophion_components() if not isinstance(component, Removed)]


@pytest.mark.parametrize("component", CLASSES, ids=lambda component: component.type_name)
async def test_keeps_the_component_contract(component: type[Component[Any]], agent: Any, tmp_path: Any) -> None:
    config = CONFIGS[component.type_name]
    if component.type_name == "file_storage":
        config = {"directory": str(tmp_path / "storage")}
    await check_component(component, config, agent=agent)


def test_says_what_replaced_memory_ballast() -> None:
    removed = [component for component in ophion_components() if isinstance(component, Removed)]
    assert [(one.kind, one.type_name) for one in removed] == [("extension", "memory_ballast")]
    assert "memory_limiter" in removed[0].instead
