"""Small files that are read again when they change, such as tokens and passwords that somebody rotates."""

import os
from pathlib import Path
from typing import Final

from ophion_agent.plugin import Context, OphionError

_CHECK_SECONDS: Final = 1.0
_MAX_BYTES: Final = 1 << 20


class WatchedFile:
    """The text of a file, at most a second old. `version` grows with every change that was read.

    A file that cannot be read any more keeps its last text, and marks the component as degraded until it can.
    """

    def __init__(self, option: str, path: str, context: Context) -> None:
        self.version = 0
        self._option = option
        self._path = Path(path)
        self._context = context
        self._stamp: tuple[int, int, int] | None = None
        self._text = ""
        self._checked_at = 0.0
        self._failing = False

    def load(self) -> str:
        """Read the file now; raise OphionError when that is impossible."""
        try:
            self._read()
        except (OSError, ValueError) as error:
            reason = getattr(error, "strerror", None) or error
            raise OphionError(
                f"{self._option} {self._path}: cannot be read: {reason}; check its path and mode"
            ) from error
        self._checked_at = self._context.clock.monotonic()
        return self._text

    def text(self) -> str:
        """Return the present text."""
        now = self._context.clock.monotonic()
        if now - self._checked_at >= _CHECK_SECONDS:
            self._checked_at = now
            self._refresh()
        return self._text

    def _refresh(self) -> None:
        try:
            changed = self._read()
        except (OSError, ValueError) as error:
            if not self._failing:
                self._context.log.warning(
                    "file_unreadable", option=self._option, path=str(self._path), error=str(error)
                )
                self._context.health.degraded(f"{self._option} {self._path}: cannot be read; the last content is used")
            self._failing = True
            return
        if self._failing:
            self._failing = False
            self._context.health.ok()
        if changed:
            self._context.log.info("file_read_again", option=self._option, path=str(self._path))

    def _read(self) -> bool:
        status = os.stat(self._path)
        # Kubernetes swaps a link for a new file: the inode tells when size and time do not.
        stamp = (status.st_mtime_ns, status.st_size, status.st_ino)
        if stamp == self._stamp:
            return False
        if status.st_size > _MAX_BYTES:
            raise ValueError(f"larger than {_MAX_BYTES} bytes")
        self._text = self._path.read_text(encoding="utf-8")
        self._stamp = stamp
        self.version += 1
        return True
