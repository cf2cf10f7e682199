"""Write telemetry to files: OTLP-JSON lines or length-prefixed protobuf, rotated and compressed, as otelcol does."""

import asyncio
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, field_validator, model_validator

from ophion_agent import otlp_json
from ophion_agent.compression import compress
from ophion_agent.plugin import (
    Batch,
    Config,
    Context,
    Duration,
    Exporter,
    ExporterConfig,
    Logs,
    Metrics,
    OphionError,
    PermanentError,
    QueueConfig,
    RetryableError,
    RetryConfig,
    Traces,
    null_is_default,
)
from ophion_exporters.output_file import OutputFile
from ophion_exporters.rotation import RotationPolicy

_MEGABYTE = 1024 * 1024
_MAX_RECORD_BYTES = 2**32 - 1


class RotationConfig(Config):
    """Rotation of the file by size."""

    max_megabytes: int = Field(100, ge=0, description="Size at which the file is rotated; 0 means 100.")
    max_days: int = Field(0, ge=0, description="Days that rotated files stay, by the time in their name; 0: no limit.")
    max_backups: int = Field(100, ge=0, description="Number of rotated files that stay; 0: no limit.")
    localtime: bool = Field(False, description="Name rotated files by local time instead of UTC.")

    def policy(self) -> RotationPolicy:
        """Return the policy with sizes in bytes."""
        max_bytes = (self.max_megabytes or 100) * _MEGABYTE
        return RotationPolicy(max_bytes, self.max_backups, self.max_days, self.localtime)


class GroupByConfig(Config):
    """otelcol's one file per resource attribute; only its being off is understood."""

    enabled: bool = Field(False, description="Must be false: several files by resource attribute are not written.")
    resource_attribute: str = Field("fileexporter.path_segment", description="Read with `enabled` only.")
    max_open_files: int = Field(100, ge=1, description="Read with `enabled` only.")

    @model_validator(mode="after")
    def _must_be_off(self) -> "GroupByConfig":
        if self.enabled:
            raise ValueError(
                "enabled: writing one file per resource is not supported; "
                "use a file exporter per group, each in its own pipeline behind a filter processor"
            )
        return self


def _octal_mode(value: Any) -> Any:
    try:
        mode = int(value, 8) if isinstance(value, str) else -1
    except ValueError:
        mode = -1
    if not 0 <= mode <= 0o7777:
        raise ValueError(f'must be an octal mode in quotes such as "0755", got {value!r}')
    return value


class FileConfig(ExporterConfig):
    """Options of the file exporter. otelcol's names and defaults; `fsync` is an addition."""

    path: Path = Field(description="The file to write. Signals may share it; no other exporter may.")
    format: Literal["json", "proto"] = Field(
        "json", description="json: one OTLP-JSON document a line; proto: each request after its length in 4 bytes."
    )
    compression: Literal["", "none", "zstd"] = Field(
        "", description="zstd compresses each request; every record is then length-prefixed, JSON too."
    )
    rotation: Annotated[RotationConfig | None, BeforeValidator(null_is_default)] = Field(
        None, description="Rotate the file by size; without this section it grows. An empty section takes the defaults."
    )
    append: bool = Field(
        False,
        description="Keep what the file holds at start. Off empties it, except with rotation, which always keeps.",
    )
    flush_interval: Duration = Field(
        1.0,
        description="Accepted, without effect: a batch is handed to the operating system before it is acknowledged.",
    )
    fsync: bool = Field(False, description="Acknowledge a batch only when the disk has it.")
    create_directory: bool = Field(False, description="Create the directory of `path`, and those above it.")
    directory_permissions: Annotated[str, BeforeValidator(_octal_mode)] = Field(
        "0755", description="Octal mode, in quotes, of directories that are created."
    )
    group_by: Annotated[GroupByConfig, BeforeValidator(null_is_default)] = Field(
        GroupByConfig(), description="otelcol's file per resource attribute, which must stay off."
    )
    timeout: Duration = Field(0.0, ge=0, description="Time limit of one try; 0 is none.")
    retry_on_failure: Annotated[RetryConfig, BeforeValidator(null_is_default)] = Field(
        RetryConfig(enabled=False), description="Retry of failed tries; off, the sender is asked to retry."
    )
    sending_queue: Annotated[QueueConfig, BeforeValidator(null_is_default)] = Field(
        QueueConfig(enabled=False), description="Queue before the exporter; off, an ack means written."
    )

    @field_validator("path", mode="before")
    @classmethod
    def _path_is_named(cls, value: Any) -> Any:
        if value in ("", None):
            raise ValueError("must name a file, got nothing")
        return value

    @property
    def length_prefixed(self) -> bool:
        """Whether records are told apart by a length before each instead of a newline after each."""
        return self.format == "proto" or self.compression == "zstd"


class FileExporter(Exporter[FileConfig, Traces | Metrics | Logs]):
    """Write every batch as one record; a batch counts as delivered when the operating system has it whole.

    A record that did not fit (disk full) is taken back and the sender told to retry. A file moved away by logrotate is
    created again.
    """

    type_name = "file"

    def __init__(self, config: FileConfig, context: Context) -> None:
        super().__init__(config, context)
        self._file = OutputFile(
            config.path,
            "lengths" if config.length_prefixed else "lines",
            now_ns=context.clock.now_ns,
            rotation=config.rotation.policy() if config.rotation else None,
            fsync=config.fsync,
            on_event=lambda event, detail: context.log.info(event, detail=detail),
        )
        self._writer: ThreadPoolExecutor | None = None

    async def start(self) -> None:
        """Open the file; OphionError says why it cannot be written, also when somebody else does."""
        # One thread: records keep their order and the file needs no lock of its own.
        self._writer = ThreadPoolExecutor(1, thread_name_prefix=f"file-exporter-{self.context.id}")
        try:
            await asyncio.get_running_loop().run_in_executor(self._writer, self._open)
        except OSError as error:
            raise OphionError(f"exporters.{self.context.id}.path: {self.config.path}: {error.strerror}") from error

    def _open(self) -> None:
        if self.config.create_directory:
            self._create_directory(self.config.path.parent)
        self._file.open(truncate=not self.config.append and self.config.rotation is None)

    def _create_directory(self, directory: Path) -> None:
        missing = [parent for parent in (directory, *directory.parents) if not parent.exists()]
        for parent in reversed(missing):
            parent.mkdir(exist_ok=True)
            parent.chmod(int(self.config.directory_permissions, 8))

    def addresses(self) -> list[str]:
        """Return the file that is written."""
        return [str(self.config.path)]

    async def stop(self) -> None:
        """Write what is under way and close the file."""
        writer, self._writer = self._writer, None
        if writer is not None:
            await asyncio.get_running_loop().run_in_executor(writer, self._file.close)
            await asyncio.to_thread(writer.shutdown)

    async def export(self, batch: Traces | Metrics | Logs) -> None:
        """Append the batch to the file."""
        if self._writer is None:
            raise RetryableError(f"exporter {self.context.id}: not running")
        await asyncio.get_running_loop().run_in_executor(self._writer, partial(self._append, batch))

    def _append(self, batch: Traces | Metrics | Logs) -> None:
        record = self._record(batch)
        try:
            self._file.append(record)
        except OSError as error:
            raise RetryableError(f"exporter {self.context.id}: {self.config.path}: {error.strerror}") from error

    def _record(self, batch: Traces | Metrics | Logs) -> bytes:
        body = compress(self._encode(batch), self.config.compression)
        if not self.config.length_prefixed:
            return body + b"\n"
        if len(body) > _MAX_RECORD_BYTES:
            raise PermanentError(f"exporter {self.context.id}: batch of {len(body)} bytes; the format holds 4 GiB")
        return len(body).to_bytes(4, "big") + body

    def _encode(self, batch: Batch) -> bytes:
        if self.config.format == "proto":
            return batch.payload
        # A message of its own: the batch may be shared with branches that other threads read.
        return otlp_json.encode(batch.request_type.FromString(batch.payload))
