"""Where an agent's control socket stands, and where somebody who looks for one finds it."""

import os
import tempfile
from pathlib import Path

_SERVICE = "/run/ophion-agent"


def default_socket() -> Path:
    """Return where the control socket stands unless the configuration names another place."""
    # systemd lists several directories with colons between them.
    runtime = os.environ.get("RUNTIME_DIRECTORY", "").partition(":")[0] or os.environ.get("XDG_RUNTIME_DIR")
    return _in_runtime(runtime) if runtime else _temporary(str(os.getuid()))


def find_socket() -> Path:
    """Return the first control socket of this host that there is, else `default_socket`.

    Looked for where this user's agent has it, then where the service has it. With sudo the agent may be one that the
    user who called it started.
    """
    users = [str(os.getuid()), *filter(None, [os.environ.get("SUDO_UID")])]
    runtimes = [_SERVICE, *(f"/run/user/{user}" for user in users)]
    places = [default_socket(), *map(_in_runtime, runtimes), *map(_temporary, users)]
    return next((path for path in places if path.exists()), places[0])


def _in_runtime(directory: str) -> Path:
    return Path(directory) / "ophion-agent.sock"


def _temporary(user: str) -> Path:
    return Path(tempfile.gettempdir()) / f"ophion-agent-{user}" / "control.sock"
