"""The hook through which plugins register: one, called once per plugin at load."""

from typing import TYPE_CHECKING

import pluggy

if TYPE_CHECKING:
    from ophion_agent.component import Components

PROJECT = "ophion_agent"

hookspec = pluggy.HookspecMarker(PROJECT)
hookimpl = pluggy.HookimplMarker(PROJECT)


@hookspec
def ophion_components() -> "Components":
    """Return the component classes of this plugin, and `Removed` entries for names that no longer exist."""
    raise NotImplementedError
