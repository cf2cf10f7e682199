"""Processors: batch, memory_limiter, attributes, resource, resourcedetection, filter."""

from ophion_agent.plugin import Components, Removed, hookimpl
from ophion_processors.attributes import AttributesProcessor
from ophion_processors.batch import BatchProcessor
from ophion_processors.filter import FilterProcessor
from ophion_processors.memory_limiter import MemoryLimiter
from ophion_processors.resource import ResourceProcessor
from ophion_processors.resource_detection import ResourceDetection


@hookimpl
def ophion_components() -> Components:
    """Register the processors of this family, and what replaced those that are gone."""
    return [
        BatchProcessor,
        MemoryLimiter,
        AttributesProcessor,
        ResourceProcessor,
        ResourceDetection,
        FilterProcessor,
        Removed("processor", "spanmetrics", "use the `spanmetrics` connector; it ends the traces pipeline"),
        Removed("processor", "servicegraph", "use the `servicegraph` connector; it ends the traces pipeline"),
        Removed("processor", "queued_retry", "set `sending_queue` and `retry_on_failure` of the exporters"),
    ]
