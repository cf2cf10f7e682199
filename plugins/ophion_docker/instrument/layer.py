"""What a container wrote into its writable layer: it would be lost when the container is re-created."""

from __future__ import annotations

import stat
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

_IGNORED: Final = (
    "/tmp", "/var/tmp", "/run", "/var/run", "/dev", "/proc", "/sys", "/var/cache", "/var/lock", "/.dockerenv",
    # Mounts of the engine itself leave the files that they were mounted on.
    "/sbin/docker-init", "/catatonit", "/etc/hosts", "/etc/hostname", "/etc/resolv.conf", "/etc/mtab",
)  # fmt: skip
_CACHES: Final = ("__pycache__", ".cache", ".npm", ".node-gyp", "node_modules/.cache", ".pytest_cache", ".config")
_SUFFIXES: Final = (".pyc", ".pid", ".sock", "~")


def lost_paths(changes: Sequence[Mapping[str, Any]], mounts: Iterable[str], root: Path) -> list[str]:
    """Return the changed paths that matter.

    `changes` is the engine's answer, `mounts` are the destinations mounted in the container, `root` is its root as the
    host reaches it: sockets, and folders that only hold other changes, do not count.
    """
    listed = {str(change["Path"]) for change in changes}
    parents = {str(parent) for path in listed for parent in Path(path).parents}
    ignored = [*_IGNORED, *mounts]
    return sorted(
        path
        for change in changes
        if (path := str(change["Path"])) not in parents
        and not _is_ignored(path, ignored)
        and not _is_harmless(int(change["Kind"]), root / path.lstrip("/"))
    )


def _is_ignored(path: str, ignored: Sequence[str]) -> bool:
    # The engine makes the folders that lead to a mount.
    if any(path == one or path.startswith(f"{one.rstrip('/')}/") or one.startswith(f"{path}/") for one in ignored):
        return True
    return path.endswith(_SUFFIXES) or any(f"/{cache}/" in f"{path}/" for cache in _CACHES)


def _is_harmless(kind: int, path: Path) -> bool:
    try:
        mode = path.lstat().st_mode
    except OSError:
        return False  # Deleted, which is a change like any other.
    return stat.S_ISSOCK(mode) or stat.S_ISFIFO(mode) or (kind == 0 and stat.S_ISDIR(mode))
