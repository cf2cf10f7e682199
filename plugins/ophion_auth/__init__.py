"""Users, keys, tenants, sessions, limits and the audit log."""

from ophion_agent.plugin import Components, hookimpl


@hookimpl
def ophion_components() -> Components:
    """Register the components of this family."""
    return []
