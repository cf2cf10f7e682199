"""Where every configuration value was written, and problems that say so.

`Problem` is one sentence about one place; `Origins` finds the file and line of any path in a merged configuration.
"""

from __future__ import annotations

from dataclasses import dataclass

ConfigPath = tuple[str | int, ...]


def dotted(path: ConfigPath) -> str:
    """Return a path as users write it: `processors.attributes.actions[0].key`."""
    parts = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in path)
    return parts.removeprefix(".")


@dataclass(frozen=True, slots=True)
class Problem:
    """One sentence about one place, rendered `agent.yaml:12: processors.batch.timeout: must be at least 10ms, got -1`.

    `file` is as the user named it ("" when there is none), `line` counts from 1, `path` may be empty.
    """

    file: str
    path: ConfigPath
    message: str
    line: int | None = None

    def __str__(self) -> str:
        where = f"{self.file}:{self.line}" if self.file and self.line else self.file
        return ": ".join(part for part in (where, dotted(self.path), self.message) if part)


class Origins:
    """The file and line that each path of a merged configuration came from."""

    def __init__(self) -> None:
        self._places: dict[ConfigPath, tuple[str, int | None]] = {}

    def record(self, path: ConfigPath, file: str, line: int | None) -> None:
        """Remember that `path` was written in `file` at `line` (None where lines mean nothing, as for `--set`)."""
        self._places[path] = (file, line)

    def file_of(self, path: ConfigPath) -> tuple[str, int | None]:
        """Return (file, line) of `path` or of its nearest recorded ancestor; ("", None) when nothing is known."""
        for length in range(len(path), -1, -1):
            place = self._places.get(path[:length])
            if place is not None:
                return place
        return "", None

    def problem(self, path: ConfigPath, message: str) -> Problem:
        """Return a Problem about `path` that names the place it was written."""
        file, line = self.file_of(path)
        return Problem(file, path, message, line)
