"""The hooks through which plugins register their components and commands, called once per plugin at load."""

from typing import TYPE_CHECKING

import pluggy

if TYPE_CHECKING:
    import argparse

    from ophion_agent.component import Components

PROJECT = "ophion_agent"

hookspec = pluggy.HookspecMarker(PROJECT)
hookimpl = pluggy.HookimplMarker(PROJECT)


@hookspec
def ophion_components() -> "Components":
    """Return the component classes of this plugin, and `Removed` entries for names that no longer exist."""
    raise NotImplementedError


@hookspec
def ophion_commands(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add commands to `ophion-agent`: parsers whose default `command` takes the options and returns the exit code."""
