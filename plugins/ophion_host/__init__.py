"""Metrics of the host that the agent runs on."""

from ophion_agent.plugin import Components, hookimpl
from ophion_host.receiver import HostMetricsReceiver


@hookimpl
def ophion_components() -> Components:
    """Return the `hostmetrics` receiver."""
    return [HostMetricsReceiver]
