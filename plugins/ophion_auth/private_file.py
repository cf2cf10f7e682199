"""Small files that only the server's user may read."""

import contextlib
import os
import secrets
from pathlib import Path
from typing import Final

from ophion_agent.plugin import OphionError

_MODE: Final = 0o600
_LONGEST: Final = 4096


def write_private(path: Path, text: str) -> None:
    """Write a file of mode 0600 in one step, never through a link; raises OphionError."""
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        fd = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, _MODE)
        try:
            with open(fd, "w", encoding="utf-8") as file:
                file.write(text)
            os.replace(temporary, path)
        except BaseException:
            remove(temporary)
            raise
    except OSError as error:
        raise OphionError(
            f"auth: must be able to write {path}, got {error.strerror}; choose a folder of the server's user"
        ) from error


def read_private(path: Path) -> str:
    """Return the beginning of a file, "" where there is none that can be read."""
    try:
        with path.open("rb") as file:
            return file.read(_LONGEST).decode("utf-8", "replace")
    except OSError:
        return ""


def remove(path: Path) -> None:
    """Remove a file, where there is one that can be removed."""
    with contextlib.suppress(OSError):
        path.unlink()
