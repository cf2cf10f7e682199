"""Who needs whom in a configuration: services behind config fields, extensions among one another, connectors."""

from collections.abc import Iterable, Iterator, Mapping
from graphlib import CycleError, TopologicalSorter
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel

from ophion_agent.services import Provides

if TYPE_CHECKING:
    from ophion_agent.config import ComponentPlan, PipelinePlan


def service_references(config: BaseModel) -> Iterator[tuple[tuple[str, ...], Any, str]]:
    """Iterate over (path, service key, extension id) of the fields of a config that name an extension."""
    for name, info in type(config).model_fields.items():
        value = getattr(config, name)
        if isinstance(value, BaseModel):
            for path, key, extension_id in service_references(value):
                yield (name, *path), key, extension_id
        for marker in info.metadata:
            if isinstance(marker, Provides) and value is not None:
                yield (name,), marker.key, str(value)


def connector_cycle(pipelines: "Iterable[PipelinePlan]", connectors: set[str]) -> list[str] | None:
    """Return the pipelines of a cycle that connectors close, or None."""
    plans = list(pipelines)
    return cycle_of(
        {
            plan.id: [other.id for other in plans if connectors & set(plan.exporters) & set(other.receivers)]
            for plan in plans
        }
    )


def extension_needs(
    extensions: Iterable[str], components: "Mapping[tuple[str, str], ComponentPlan]", *, gathered: bool = True
) -> dict[str, list[str]]:
    """Return which extensions each of `extensions` uses, and so must find running when it starts.

    `gathered=False` leaves out those that it gathers: it works without them.
    """
    plans = {name: components["extension", name] for name in extensions}
    needs: dict[str, list[str]] = {}
    for name, plan in plans.items():
        named = [extension_id for _, _, extension_id in service_references(plan.config) if extension_id in plans]
        wanted = {*plan.component.requires, *(plan.component.gathers if gathered else ())}
        required = [other for other in plans if other != name and wanted & set(plans[other].component.provides)]
        needs[name] = [*named, *required]
    return needs


def cycle_of(needs: Mapping[str, Iterable[str]]) -> list[str] | None:
    """Return the names on a cycle of `needs`, the first again at the end, or None."""
    try:
        TopologicalSorter(needs).prepare()
    except CycleError as error:
        cycle: list[str] = error.args[1]
        return cycle
    return None
