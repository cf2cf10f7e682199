"""The Jaeger and Loki query APIs, as far as Grafana and the Jaeger and Loki clients use them."""

from ophion_agent.plugin import Components, hookimpl
from ophion_grafana.extension import GrafanaApis


@hookimpl
def ophion_components() -> Components:
    """Register the components of this family."""
    return [GrafanaApis]
