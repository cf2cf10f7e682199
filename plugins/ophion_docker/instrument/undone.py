"""Notes of containers whose instrumentation somebody took back, so that none instruments them again unasked."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

from ophion_docker.instrument.errors import InstrumentError


class Undone:
    """The notes beside the journal's records: `NAME.undone` holds the id of the image that the container has since."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory

    def image(self, name: str) -> str:
        """Return the image id of a container when it was undone; empty for one that was not."""
        with suppress(OSError, ValueError):
            return self._path(name).read_text(encoding="ascii").strip()
        return ""

    def note(self, name: str, image: str) -> None:
        """Note that a container was undone. Raises InstrumentError when that cannot be written."""
        try:
            self._path(name).write_text(f"{image}\n", encoding="ascii")
        except OSError as error:
            path = self._path(name)
            raise InstrumentError(f"journal: {path} cannot be written: {error.strerror}; make room there") from error

    def forget(self, name: str) -> None:
        """Forget the note of a container, which somebody wants instrumented again."""
        with suppress(OSError):
            self._path(name).unlink()

    def _path(self, name: str) -> Path:
        return self._directory / f"{name}.undone"
