"""The dashboard: pages in the browser, and the dashboards that people save."""

from ophion_agent.plugin import Components, hookimpl
from ophion_dashboard.extension import Dashboard


@hookimpl
def ophion_components() -> Components:
    """Register the components of this family."""
    return [Dashboard]
