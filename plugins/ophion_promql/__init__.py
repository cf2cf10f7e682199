"""PromQL on the telemetry store, and Prometheus' HTTP API."""

from ophion_agent.plugin import Components, hookimpl
from ophion_promql.extension import Promql


@hookimpl
def ophion_components() -> Components:
    """Register the components of this family."""
    return [Promql]
