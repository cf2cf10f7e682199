"""The `resource` processor: the actions of the attributes processor on the resource of each group."""

from pydantic import Field

from ophion_agent.plugin import Config, Context, Logs, Metrics, Processor, Traces
from ophion_processors.actions import ActionConfig, ActionList


class ResourceConfig(Config):
    """Options of the resource processor."""

    attributes: list[ActionConfig] = Field(min_length=1, description="Actions, run in this order on every resource.")


class ResourceProcessor(Processor[ResourceConfig, Traces | Metrics | Logs]):
    """Changes the attributes of resources; the records below them stay encoded."""

    type_name = "resource"

    def __init__(self, config: ResourceConfig, context: Context) -> None:
        super().__init__(config, context)
        self._actions = ActionList(config.attributes)

    async def process(self, batch: Traces | Metrics | Logs) -> Traces | Metrics | Logs:
        """Return the batch with its resources changed."""
        for resource in batch.edit_resources():
            self._actions.apply(resource.attributes, batch.metadata)
        return batch
