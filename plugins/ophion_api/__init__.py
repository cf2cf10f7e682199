"""The HTTP API: one server for the routes of every plugin, and the routes of the telemetry store."""

from ophion_agent.plugin import Components, hookimpl
from ophion_api.extension import Api
from ophion_api.telemetry import TelemetryApi


@hookimpl
def ophion_components() -> Components:
    """Register the components of this family."""
    return [Api, TelemetryApi]
