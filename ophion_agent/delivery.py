"""The options of the sending stack that every exporter has: queue, batching, retry, timeout, dead letters.

Names and defaults are otelcol's exporterhelper's; `max_bytes` and `dead_letter` are additions.
"""

from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, model_validator

from ophion_agent.component import Config
from ophion_agent.fields import ByteSize, Duration
from ophion_agent.services import QUEUE_STORAGE, Provides

Sizer = Literal["requests", "items", "bytes"]


def null_is_default(value: Any) -> Any:
    """Read a null section (`batch:`) as an empty one, as otelcol does."""
    return {} if value is None else value


class RetryConfig(Config):
    """Retry of batches that a destination could not take."""

    enabled: bool = Field(True, description="Retry at all; off, a retryable failure counts as a final one.")
    initial_interval: Duration = Field(5.0, ge=0, description="Wait before the first retry.")
    randomization_factor: float = Field(0.5, ge=0, le=1, description="Share by which each wait varies at random.")
    multiplier: float = Field(1.5, ge=1, description="Factor from one wait to the next.")
    max_interval: Duration = Field(30.0, ge=0, description="Longest wait between two tries.")
    max_elapsed_time: Duration = Field(
        300.0,
        ge=0,
        description="Give a batch up after this long; 0 is never. A durable queue never gives up unless this is set.",
    )


class QueueBatchConfig(Config):
    """Joining of queued batches before they are sent."""

    flush_timeout: Duration = Field(0.2, gt=0, description="Longest wait for more before a batch is sent.")
    min_size: int = Field(8192, ge=0, description="Send as soon as this much has come together, in `sizer` units.")
    max_size: int = Field(
        0, ge=0, description="Largest batch sent, in `sizer` units; larger ones are split. 0: no limit."
    )
    sizer: Literal["items", "bytes"] = Field("items", description="Unit of min_size and max_size.")

    @model_validator(mode="after")
    def _sizes_agree(self) -> "QueueBatchConfig":
        if self.max_size and self.max_size < self.min_size:
            raise ValueError(f"max_size: must be at least min_size ({self.min_size}), got {self.max_size}")
        return self


class QueueConfig(Config):
    """The queue between the pipeline and the exporter."""

    enabled: bool = Field(True, description="Queue batches; off, the sender waits for the delivery itself.")
    num_consumers: int = Field(10, ge=1, le=1000, description="Batches sent at the same time.")
    queue_size: int = Field(1000, gt=0, description="Most the queue holds, in `sizer` units.")
    sizer: Sizer = Field("requests", description="Unit of queue_size: requests, items or bytes.")
    max_bytes: ByteSize = Field(
        128 * 1024 * 1024,
        gt=0,
        description="Most the queue holds in encoded bytes, whatever the sizer; a durable queue takes it on disk.",
    )
    block_on_overflow: bool = Field(
        False, description="Let the sender wait while the queue is full instead of refusing."
    )
    wait_for_result: bool = Field(False, description="Answer the sender only after the delivery.")
    storage: Annotated[str | None, Provides(QUEUE_STORAGE)] = Field(
        None, description="Extension that keeps the queue on disk, such as file_storage; none is a queue in memory."
    )
    batch: Annotated[QueueBatchConfig | None, BeforeValidator(null_is_default)] = Field(
        None, description="Join queued batches before sending; an empty section takes the defaults."
    )

    @model_validator(mode="after")
    def _result_needs_memory(self) -> "QueueConfig":
        if self.wait_for_result and self.storage:
            raise ValueError("wait_for_result: works only with a queue in memory; remove it or `storage`")
        return self


class DeadLetterConfig(Config):
    """Where batches go that a destination refused for good."""

    storage: Annotated[str | None, Provides(QUEUE_STORAGE)] = Field(
        None,
        description="Extension that keeps dead letters; by default that of the queue. Without one they are dropped.",
    )
    max_bytes: ByteSize = Field(64 * 1024 * 1024, gt=0, description="Most that is kept; what comes later is dropped.")


class ExporterConfig(Config):
    """Base of exporter configs: adds the options of the sending stack."""

    timeout: Duration = Field(5.0, ge=0, description="Time limit of one try; 0 is none.")
    retry_on_failure: Annotated[RetryConfig, BeforeValidator(null_is_default)] = Field(
        RetryConfig(), description="Retry of failed tries."
    )
    sending_queue: Annotated[QueueConfig, BeforeValidator(null_is_default)] = Field(
        QueueConfig(), description="Queue before the exporter."
    )
    dead_letter: Annotated[DeadLetterConfig, BeforeValidator(null_is_default)] = Field(
        DeadLetterConfig(), description="Keeping of batches that were refused for good."
    )
