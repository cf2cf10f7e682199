"""The dashboard: pages in the browser, and the dashboards that people save."""

from ophion_agent.plugin import Components, hookimpl


@hookimpl
def ophion_components() -> Components:
    """Register nothing yet."""
    return []
