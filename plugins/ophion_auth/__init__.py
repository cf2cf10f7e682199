"""Users, keys, tenants, sessions, limits and the audit log."""

from typing import TYPE_CHECKING

from ophion_agent.plugin import Components, hookimpl
from ophion_auth.auth import Auth
from ophion_auth.commands import add_commands

if TYPE_CHECKING:
    import argparse


@hookimpl
def ophion_components() -> Components:
    """Register the extension."""
    return [Auth]


@hookimpl
def ophion_commands(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add `server user`, `server key` and `server tenant`."""
    add_commands(commands)
