"""The HTTP API: a server for the routes of every plugin, the telemetry store's routes, and commands that ask it."""

from typing import TYPE_CHECKING

from ophion_agent.plugin import Components, hookimpl
from ophion_api.admin import ServerAdmin
from ophion_api.commands import add_commands
from ophion_api.extension import Api
from ophion_api.telemetry import TelemetryApi

if TYPE_CHECKING:
    import argparse


@hookimpl
def ophion_components() -> Components:
    """Register the components of this family."""
    return [Api, TelemetryApi, ServerAdmin]


@hookimpl
def ophion_commands(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add `query`, `logs`, `traces` and `server backup`, `restore`, `check`, `export`, `import`."""
    add_commands(commands)
