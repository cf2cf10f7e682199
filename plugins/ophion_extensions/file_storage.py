"""Durable queues on the local disk, for `sending_queue.storage` and `dead_letter.storage`."""

import hashlib
import os
import re
import stat
from pathlib import Path
from typing import Annotated
from urllib.parse import quote

from pydantic import AfterValidator, BeforeValidator, Field

from ophion_agent.plugin import (
    QUEUE_STORAGE,
    ByteSize,
    Config,
    Context,
    DirectoryInUse,
    DurableQueue,
    Duration,
    Extension,
    OphionError,
    Text,
    null_is_default,
)

_LOCK_RETRY_SECONDS = 0.1
_LONGEST_NAME_BYTES = 200


def _octal_permissions(text: str) -> str:
    if not re.fullmatch(r"[0-7]{3,4}", text):
        raise ValueError(f'must be an octal mode in quotes such as "0750", got {text}')
    return text


class Compaction(Config):
    """otelcol's compaction keys. Here delivered segments are removed as whole files, so there is nothing to compact."""

    on_start: bool = Field(False, description="Accepted for otelcol's sake; no effect.")
    on_rebound: bool = Field(False, description="Accepted for otelcol's sake; no effect.")
    directory: str = Field("", description="Accepted for otelcol's sake; no effect.")
    max_transaction_size: int = Field(65536, ge=0, description="Accepted for otelcol's sake; no effect.")
    rebound_needed_threshold_mib: int = Field(100, ge=0, description="Accepted for otelcol's sake; no effect.")
    rebound_trigger_threshold_mib: int = Field(10, ge=0, description="Accepted for otelcol's sake; no effect.")
    check_interval: Duration = Field(5.0, description="Accepted for otelcol's sake; no effect.")
    cleanup_on_start: bool = Field(False, description="Accepted for otelcol's sake; no effect.")


class FileStorageConfig(Config):
    """Where the queues are kept."""

    directory: str = Field("/var/lib/ophion-agent/storage", min_length=1, description="Folder that holds the queues.")
    create_directory: bool = Field(True, description="Create the folder where it is missing.")
    directory_permissions: Annotated[Text, AfterValidator(_octal_permissions)] = Field(
        "0750", description="Octal mode of a folder that is created; the queues in it are private to the agent's user."
    )
    timeout: Duration = Field(1.0, description="Longest wait for another process to let go of a queue.")
    fsync: bool = Field(
        True, description="Records are always flushed to the disk before they are acknowledged; `false` only warns."
    )
    recreate: bool = Field(False, description="Accepted for otelcol's sake; damaged segments are always set aside.")
    compaction: Annotated[Compaction, BeforeValidator(null_is_default)] = Field(
        Compaction(), description="Accepted for otelcol's sake; no effect."
    )
    segment_bytes: ByteSize = Field(
        16 << 20, ge=64 << 10, description="Size of a queue's files; a file goes once all of it is delivered."
    )


class FileStorage(Extension[FileStorageConfig]):
    """Keeps sending queues and dead letters on the disk, so that a crash or restart loses nothing acknowledged."""

    type_name = "file_storage"
    provides = (QUEUE_STORAGE,)

    def __init__(self, config: FileStorageConfig, context: Context) -> None:
        super().__init__(config, context)
        self.directory = Path(config.directory)
        self._queues: list[DurableQueue] = []

    async def start(self) -> None:
        """Create the folder; raise OphionError saying why it cannot be used."""
        if not self.config.fsync:
            self.log.warning("fsync_cannot_be_disabled", effect="records are flushed before they are acknowledged")
        if self.config.create_directory:
            self._create()
        self._check()

    def _create(self) -> None:
        if self.directory.exists():
            return
        mode = int(self.config.directory_permissions, 8)
        try:
            self.directory.mkdir(mode=mode, parents=True, exist_ok=True)
            # mkdir takes away the bits of the umask.
            self.directory.chmod(mode)
        except OSError as error:
            reason = f"cannot create the folder: {error.strerror}; create it for the agent's user, or change it"
            raise OphionError(f"directory {self.directory}: {reason}") from error

    def _check(self) -> None:
        try:
            is_directory = stat.S_ISDIR(self.directory.stat().st_mode)
        except FileNotFoundError:
            raise OphionError(
                f"directory {self.directory}: must exist; create it, or set `create_directory: true`"
            ) from None
        except OSError as error:
            raise OphionError(f"directory {self.directory}: {error.strerror}; check its path") from error
        if not is_directory:
            raise OphionError(f"directory {self.directory}: must be a folder, got a file; choose another path")
        if not os.access(self.directory, os.R_OK | os.W_OK | os.X_OK):
            raise OphionError(
                f"directory {self.directory}: the agent's user (id {os.geteuid()}) must be able to write it; "
                "change its owner or mode"
            )

    async def open_queue(self, name: str, max_bytes: int) -> DurableQueue:
        """Open, or recover, the queue `name` in a folder of its own; raises OSError when that cannot be used.

        Waits up to `timeout` for another process that holds the queue, as during a restart.
        """
        directory = self.directory / folder_name(name)
        deadline = self.context.clock.monotonic() + self.config.timeout
        while True:
            try:
                queue = await DurableQueue.open(
                    directory, max_bytes=max_bytes, segment_bytes=self.config.segment_bytes, log=self.log
                )
            except DirectoryInUse:
                if self.context.clock.monotonic() >= deadline:
                    raise
                await self.context.clock.sleep(_LOCK_RETRY_SECONDS)
            else:
                self._queues.append(queue)
                return queue

    async def stop(self) -> None:
        """Close the queues that are still open."""
        queues, self._queues = self._queues, []
        for queue in queues:
            await queue.close()


def folder_name(name: str) -> str:
    """Return a file name that no other queue name has: whatever is not a letter, digit or one of `_.-~` is escaped."""
    escaped = quote(name, safe="")
    if escaped.startswith("."):
        escaped = "%2E" + escaped[1:]
    if len(escaped) > _LONGEST_NAME_BYTES:
        return f"{escaped[:100]}-{hashlib.sha256(name.encode()).hexdigest()}"
    return escaped or "%"
