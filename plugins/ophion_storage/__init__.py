"""The telemetry store on the ClickHouse engine, embedded or remote."""

from ophion_agent.plugin import Components, hookimpl


@hookimpl
def ophion_components() -> Components:
    """Register the components of this family."""
    return []
