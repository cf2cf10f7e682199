"""The control store: SQLite or PostgreSQL for what people configure."""

from ophion_agent.plugin import Components, hookimpl


@hookimpl
def ophion_components() -> Components:
    """Register the components of this family."""
    return []
