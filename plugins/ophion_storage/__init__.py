"""The telemetry store on the ClickHouse engine, embedded or remote."""

from ophion_agent.plugin import Components, hookimpl
from ophion_storage.exporter import ClickHouseExporter
from ophion_storage.store import TelemetryStore


@hookimpl
def ophion_components() -> Components:
    """Register the store and its exporter."""
    return [TelemetryStore, ClickHouseExporter]
