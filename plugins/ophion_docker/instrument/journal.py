"""The journal: one JSON file per container, on disk before each step, so that a killed tool can be undone or finished.

A file holds the container's environment, secrets included: mode 0600 in a folder of mode 0700.
"""

from __future__ import annotations

import fcntl
import json
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Final

from ophion_docker.instrument.errors import InstrumentError, Refused

DEFAULT_DIRECTORY: Final = Path("/var/lib/ophion-agent/instrument")
_FORMAT: Final = 1

INSTRUMENTING: Final = "instrumenting"
INSTRUMENTED: Final = "instrumented"
UNDOING: Final = "undoing"
ROLLED_BACK: Final = "rolled back"

Json = dict[str, Any]
Hook = Callable[[str], None]


@dataclass(slots=True)
class Swap:
    """One exchange of a running container for another; `step` is the one about to be done."""

    step: str
    old_id: str
    restart_policy: Json
    body: Json
    endpoints: dict[str, Json]
    detach: str
    working_name: str
    parked_name: str
    new_id: str = ""


@dataclass(slots=True)
class Record:
    """What is known of one container; `original` is its inspection before it was instrumented."""

    name: str
    token: str
    phase: str
    language: str
    volume: str
    endpoint: str
    image: str
    original: Json
    kept_image: str = ""
    reason: str = ""
    container_id: str = ""
    changed_unix: float = 0.0
    swap: Swap | None = None
    format: int = field(default=_FORMAT)


class Journal:
    """The folder of records. `hook` is called around every step with its name; tests end the process there."""

    def __init__(self, directory: Path = DEFAULT_DIRECTORY, hook: Hook | None = None) -> None:
        self.directory = directory
        self._hook = hook or (lambda _: None)

    def reached(self, point: str) -> None:
        """Tell the hook that a point of a step is reached, such as `before start`."""
        self._hook(point)

    def write(self, record: Record) -> None:
        """Put a record on disk; it is there, whole, when this returns."""
        record.changed_unix = time.time()
        path = self._path(record.name)
        temporary = path.with_suffix(".new")
        try:
            self.directory.mkdir(mode=0o700, parents=True, exist_ok=True)
            handle = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW, 0o600)
            with os.fdopen(handle, "w", encoding="utf-8") as file:
                json.dump(asdict(record), file)
                file.flush()
                os.fsync(file.fileno())
            os.replace(temporary, path)
            self._sync_folder()
        except OSError as error:
            reason = f"journal: {path} cannot be written: {error.strerror}"
            raise InstrumentError(f"{reason}; name a folder on a local disk with --state") from error

    def read(self, name: str) -> Record | None:
        """Return the record of a container, if there is one; raises InstrumentError for a damaged file."""
        path = self._path(name)
        try:
            content = json.loads(path.read_bytes())
            if content["format"] != _FORMAT:
                raise ValueError(f"format {content['format']} is not known")
            swap = content.pop("swap")
            return Record(**content, swap=Swap(**swap) if swap else None)
        except FileNotFoundError:
            return None
        except (OSError, ValueError, KeyError, TypeError) as error:
            reason = f"journal: {path} cannot be read: {error}"
            raise InstrumentError(f"{reason}; compare it with `docker ps --all` and remove the file") from error

    def names(self) -> list[str]:
        """Return the containers that there are records of."""
        return sorted(path.name.removesuffix(".json") for path in self.directory.glob("*.json"))

    def remove(self, name: str) -> None:
        """Forget a container."""
        self._path(name).unlink(missing_ok=True)
        self._sync_folder()

    @contextmanager
    def exclusive(self) -> Iterator[None]:
        """Hold the folder: one container is worked on at a time. Raises Refused while another process does."""
        try:
            self.directory.mkdir(mode=0o700, parents=True, exist_ok=True)
            handle = os.open(self.directory / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as error:
            reason = f"journal: {self.directory} cannot be used: {error.strerror}"
            raise InstrumentError(f"{reason}; run as root, or name a folder with --state") from error
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            yield
        except BlockingIOError as error:
            raise Refused("another container is being worked on; wait until that has ended") from error
        finally:
            os.close(handle)

    def _path(self, name: str) -> Path:
        return self.directory / f"{name}.json"

    def _sync_folder(self) -> None:
        handle = os.open(self.directory, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)
