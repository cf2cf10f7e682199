"""Services of a configuration without the agent around them, for commands that work on a server's files."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any, TypeVar, cast

from ophion_agent.agent import Sources
from ophion_agent.config import Plan
from ophion_agent.errors import OphionError
from ophion_agent.offline import running_plan
from ophion_agent.references import extension_needs
from ophion_agent.services import ServiceKey

T = TypeVar("T")


class Services:
    """The started providers of the keys that were asked for."""

    def __init__(self, providers: dict[str, Any]) -> None:
        self._providers = providers

    def get(self, key: ServiceKey[T]) -> T:
        """Return the provider of a key that `open_extensions` was asked for."""
        return cast(T, self._providers[key.name])


@asynccontextmanager
async def open_extensions(
    configs: Sequence[str], sets: Sequence[str], wanted: Sequence[ServiceKey[Any]]
) -> AsyncIterator[Services]:
    """Start the extensions of a configuration that provide `wanted`, with those they need, and nothing else.

    Raises ConfigError for a configuration that cannot run and OphionError where it has no provider.
    """
    sources = Sources(configs, sets)
    plan, _ = sources.plan()
    chosen = {key.name: _provider(plan, key, configs) for key in wanted}
    alone = _only(plan, _with_needs(plan, set(chosen.values())))
    async with running_plan(alone, sources) as running:
        nodes = running.graph.nodes
        yield Services({key: nodes["extension", name].component for key, name in chosen.items()})


def _provider(plan: Plan, key: ServiceKey[Any], configs: Sequence[str]) -> str:
    for name in plan.service.extensions:
        if key in plan.components["extension", name].component.provides:
            return name
    raise OphionError(f"{', '.join(configs)}: no extension provides the {key.name}; is this a server's configuration?")


def _with_needs(plan: Plan, names: set[str]) -> set[str]:
    """Return `names` with all that they require; who merely offers something to them is left out."""
    needs = extension_needs(plan.service.extensions, plan.components, gathered=False)
    open_names = list(names)
    while open_names:
        found = set(needs[open_names.pop()]) - names
        names |= found
        open_names += found
    return names


def _only(plan: Plan, names: set[str]) -> Plan:
    components = {key: value for key, value in plan.components.items() if key[0] == "extension" and key[1] in names}
    extensions = [name for name in plan.service.extensions if name in names]
    service = plan.service.model_copy(update={"extensions": extensions})
    return replace(plan, service=service, components=components, pipelines=())
