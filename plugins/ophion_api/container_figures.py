"""The latest metrics of containers, under the names that `docker_stats` gives them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

from pydantic import BaseModel, Field

from ophion_api.latest_samples import latest_samples
from ophion_api.telemetry_access import TenantStore
from ophion_api.time_ranges import MINUTE, TimeRange

_LATEST: Final = 5 * MINUTE
_BLOCK_IO: Final = "container_blockio_io_service_bytes_recursive_total"
_GAUGES: Final = {
    "container_cpu_utilization_ratio": "cpu_cores",
    "container_memory_usage_total_bytes": "memory_used_bytes",
    "container_memory_usage_limit_bytes": "memory_limit_bytes",
    "container_uptime_seconds": "uptime_seconds",
    "container_restarts_total": "restarts",
    "container_pids_count": "pids",
}
_RATES: Final = {
    "container_network_io_usage_rx_bytes_total": "received_bytes_per_second",
    "container_network_io_usage_tx_bytes_total": "sent_bytes_per_second",
}
_OPERATIONS: Final = {"read": "read_bytes_per_second", "write": "written_bytes_per_second"}


class ContainerFigures(BaseModel):
    """Metrics of a container; null where the agent does not send them."""

    cpu_cores: float | None = Field(None, description="Processor cores in use.")
    memory_used_bytes: float | None = Field(None, description="Memory in use, without the cache.")
    memory_limit_bytes: float | None = Field(None, description="Its limit, or the host's memory.")
    memory_utilization: float | None = Field(None, description="Used share of the limit, 0 to 1.")
    received_bytes_per_second: float | None = Field(None, description="Network, received.")
    sent_bytes_per_second: float | None = Field(None, description="Network, sent.")
    read_bytes_per_second: float | None = Field(None, description="Block devices, read.")
    written_bytes_per_second: float | None = Field(None, description="Block devices, written.")
    uptime_seconds: float | None = Field(None, description="Time since its start.")
    restarts: float | None = Field(None, description="How often it was started again.")
    pids: float | None = Field(None, description="Processes and threads.")


async def container_figures(
    store: TenantStore, resources: Mapping[str, Sequence[int]], bounds: TimeRange
) -> dict[str, ContainerFigures]:
    """Return the figures of containers, given by the ids of their resources: of the last five minutes of `bounds`."""
    owner_of = {resource: container for container, ids in resources.items() for resource in ids}
    last = TimeRange(max(bounds.start, bounds.end - _LATEST), bounds.end)
    metrics = (*_GAUGES, *_RATES, _BLOCK_IO)
    rows = await latest_samples(store, metrics, owner_of, ("operation",), last)
    return {container: figures_of(rows.get(container, ())) for container in resources}


def figures_of(rows: Iterable[Mapping[str, Any]]) -> ContainerFigures:
    """Return the figures of one container from rows of metric, operation, latest, increase and seconds."""
    found = ContainerFigures()
    for row in rows:
        metric = row["metric"]
        if name := _GAUGES.get(metric):
            setattr(found, name, row["latest"])
        elif name := _RATES.get(metric) or _OPERATIONS.get(row["operation"]):
            setattr(found, name, row["increase"] / row["seconds"] if row["seconds"] else None)
    if found.cpu_cores is not None:
        # The metric counts a core as 100.
        found.cpu_cores /= 100
    if found.memory_used_bytes is not None and found.memory_limit_bytes:
        found.memory_utilization = found.memory_used_bytes / found.memory_limit_bytes
    return found
