"""Containers of this host: figures, output and events, and instrumentation of what runs in them."""

from typing import TYPE_CHECKING

from ophion_agent.plugin import Components, hookimpl
from ophion_docker.instrument.commands import add_commands
from ophion_docker.logs import DockerLogsReceiver
from ophion_docker.observer import DockerObserverReceiver
from ophion_docker.stats import DockerStatsReceiver

if TYPE_CHECKING:
    import argparse


@hookimpl
def ophion_components() -> Components:
    """Return the receivers `docker_stats`, `docker_logs` and `docker_observer`."""
    return [DockerStatsReceiver, DockerLogsReceiver, DockerObserverReceiver]


@hookimpl
def ophion_commands(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add `instrument`."""
    add_commands(commands)
