"""The control store: SQLite or PostgreSQL for what people configure."""

from ophion_agent.plugin import Components, hookimpl
from ophion_control.store import ControlStoreExtension


@hookimpl
def ophion_components() -> Components:
    """Register the control store."""
    return [ControlStoreExtension]
