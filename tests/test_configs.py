"""Every configuration that is shipped is valid and listens on this host only; the default one runs."""

import asyncio
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from ophion_agent.agent import Agent, Sources

ROOT = Path(__file__).parent.parent
SHIPPED = sorted(ROOT.glob("configs/*.yaml"))
CONTAINER = ROOT / "deploy/remote-agent/agent.yaml"
ENVIRON = {
    "gateway.yaml": {
        "GATEWAY_TOKEN": "open-sesame",
        "UPSTREAM_ENDPOINT": "telemetry.example.com:4317",
        "UPSTREAM_TOKEN": "close-sesame",
    },
}
FREE_PORTS = (
    "receivers.otlp.protocols.grpc.endpoint=localhost:0",
    "receivers.otlp.protocols.http.endpoint=localhost:0",
    "exporters.prometheus.endpoint=localhost:0",
    "extensions.health_check.endpoint=localhost:0",
    "extensions.zpages.endpoint=localhost:0",
    "service.telemetry.metrics.readers=[{pull: {exporter: {prometheus: {port: 0}}}}]",
    "service.control.enabled=false",
)


def sources(path: Path, **environ: str) -> Sources:
    return Sources([str(path)], (), ENVIRON.get(path.name, {}) | environ)


def name_of(path: Path) -> str:
    return str(path.relative_to(ROOT))


def listening(value: Any) -> Iterator[str]:
    """Yield every address below `endpoint` keys of a dumped configuration."""
    if isinstance(value, dict):
        for key, inner in value.items():
            if key == "endpoint" and isinstance(inner, str):
                yield inner
            yield from listening(inner)


@pytest.mark.parametrize("path", [*SHIPPED, CONTAINER], ids=name_of)
def test_shipped_configuration_is_valid_without_warnings(path: Path) -> None:
    checked, _ = sources(path).read()

    assert [str(problem) for problem in checked.problems] == []
    assert [str(warning) for warning in checked.warnings] == []


@pytest.mark.parametrize("path", SHIPPED, ids=name_of)
def test_shipped_configuration_listens_on_this_host_only(path: Path) -> None:
    plan, _ = sources(path).plan()

    servers = [
        component.config.model_dump()
        for component in plan.components.values()
        if component.kind in ("receiver", "extension") or component.component.type_name == "prometheus"
    ]
    addresses = [address for config in servers for address in listening(config)]

    assert addresses
    assert [address for address in addresses if not address.startswith("localhost:")] == []


def test_gateway_refuses_to_start_without_tokens_and_destination() -> None:
    checked, _ = Sources([str(ROOT / "configs/gateway.yaml")], (), {}).read()

    problems = "\n".join(map(str, checked.problems))
    assert checked.plan is None
    assert "extensions.bearertokenauth/senders" in problems
    assert "extensions.bearertokenauth/upstream" in problems
    assert "exporters.otlp.endpoint" in problems


def test_gateway_listens_where_it_is_told() -> None:
    plan, _ = sources(ROOT / "configs/gateway.yaml", GATEWAY_HOST="0.0.0.0").plan()

    dumped = plan.components["receiver", "otlp"].config.model_dump()

    assert list(listening(dumped)) == ["0.0.0.0:4317", "0.0.0.0:4318"]


async def test_default_configuration_runs_and_measures_this_host(tmp_path: Path) -> None:
    path = ROOT / "configs/agent.yaml"
    # The tests' own process is larger than an agent: other tests have left libraries in it.
    sets = [*FREE_PORTS, "receivers.hostmetrics.initial_delay=200ms", "processors.memory_limiter.limit_mib=8000"]
    agent = Agent(Sources([str(path)], sets, {"STATE_DIRECTORY": str(tmp_path)}))
    plan, _ = agent.sources.plan()

    await agent.start(plan)
    try:
        first = await asyncio.wait_for(anext(aiter(agent.tap("metrics/in"))), 30)
        readiness = agent.readiness()
        shown = {what for what, _ in agent.addresses()}
    finally:
        await agent.stop()

    assert len(first) > 10
    assert readiness.ready, readiness
    assert {"prometheus", "health_check", "zpages", "metrics"} <= shown
    assert (tmp_path / "telemetry.jsonl").stat().st_size > 0
