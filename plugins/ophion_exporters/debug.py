"""Show telemetry on the console: counts, a line per item, or everything, as otelcol's debug exporter does."""

import asyncio
import json
import sys
from typing import Annotated, Any, Literal

from pydantic import AliasChoices, BeforeValidator, Field, model_validator

from ophion_agent.plugin import (
    Batch,
    Clock,
    Context,
    Duration,
    Exporter,
    ExporterConfig,
    Logs,
    Metrics,
    QueueConfig,
    RetryConfig,
    Traces,
    null_is_default,
)
from ophion_exporters.debug_detailed import detailed_text
from ophion_exporters.debug_normal import normal_text

Verbosity = Literal["basic", "normal", "detailed"]


def _lower(value: Any) -> Any:
    return value.lower() if isinstance(value, str) else value


class DebugConfig(ExporterConfig):
    """Options of the debug exporter, with otelcol's names and defaults, and those of the older `logging` exporter."""

    verbosity: Annotated[Verbosity, BeforeValidator(_lower)] = Field(
        "basic", description="basic: counts of each batch; normal: about a line per item; detailed: everything."
    )
    sampling_initial: int = Field(2, ge=0, description="Batches shown in each second before sampling begins.")
    sampling_thereafter: int = Field(
        1, ge=0, description="Of the batches after those, show every n-th; 1 shows all, 0 none."
    )
    use_internal_logger: bool = Field(True, description="Write to the agent's log; off, to standard output.")
    loglevel: Annotated[Literal["debug", "info", "warn", "error"] | None, BeforeValidator(_lower)] = Field(
        None,
        validation_alias=AliasChoices("loglevel", "logLevel"),
        description="Deprecated, of the old logging exporter: debug means verbosity detailed, the others basic.",
    )
    timeout: Duration = Field(0.0, ge=0, description="Time limit of one try; 0 is none.")
    retry_on_failure: Annotated[RetryConfig, BeforeValidator(null_is_default)] = Field(
        RetryConfig(enabled=False), description="Retry of failed tries; showing does not fail."
    )
    sending_queue: Annotated[QueueConfig, BeforeValidator(null_is_default)] = Field(
        QueueConfig(enabled=False), description="Queue before the exporter."
    )

    @model_validator(mode="after")
    def _one_level(self) -> "DebugConfig":
        if self.loglevel is not None and self.verbosity != "basic":
            raise ValueError("loglevel: cannot stand beside verbosity; remove loglevel, which is deprecated")
        return self

    @property
    def effective_verbosity(self) -> Verbosity:
        """The verbosity that is set, by whichever option."""
        return "detailed" if self.loglevel == "debug" else self.verbosity


class DebugExporter(Exporter[DebugConfig, Traces | Metrics | Logs]):
    """Show what arrives. `basic` never decodes a batch; the other two work in a thread, on sampled batches only."""

    type_name = "debug"
    aliases = ("logging",)

    def __init__(self, config: DebugConfig, context: Context) -> None:
        super().__init__(config, context)
        self._sampler = Sampler(config.sampling_initial, config.sampling_thereafter, context.clock)
        self._text_of = {"normal": normal_text, "detailed": detailed_text}.get(config.effective_verbosity)

    async def start(self) -> None:
        """Say so where the config uses an option of the old logging exporter."""
        if self.config.loglevel is not None:
            self.log.warning("loglevel_is_deprecated", use=f"verbosity: {self.config.effective_verbosity}")

    async def export(self, batch: Traces | Metrics | Logs) -> None:
        """Show the batch if it is in the sample."""
        if not self._sampler.admits():
            return
        text = await asyncio.to_thread(self._text_of, _own(batch)) if self._text_of else ""
        self._show(batch.signal.title(), counts_of(batch))
        if text:
            self._show(text, {})

    def _show(self, message: str, counts: dict[str, int]) -> None:
        if self.config.use_internal_logger:
            self.log.info(message, **counts)
        else:
            sys.stdout.write(f"{message}\t{json.dumps(counts)}\n" if counts else f"{message}\n")


def _own(batch: Any) -> Any:
    # The thread decodes a batch of its own: the one here may be shared with other branches.
    return type(batch).trusted(batch.payload)


def counts_of(batch: Batch) -> dict[str, int]:
    """Return the counts that otelcol shows, from the encoded form: `{"resource spans": 1, "spans": 2}`."""
    items = len(batch)
    if isinstance(batch, Traces):
        return {"resource spans": len(batch.resources()), "spans": items}
    if isinstance(batch, Logs):
        return {"resource logs": len(batch.resources()), "log records": items}
    metrics = Batch.count_encoded(batch.payload)
    return {"resource metrics": len(batch.resources()), "metrics": metrics, "data points": items}


class Sampler:
    """Admits the first few events of each second and every n-th of the rest, as zap's sampler does."""

    def __init__(self, initial: int, thereafter: int, clock: Clock) -> None:
        self._initial = initial
        self._thereafter = thereafter
        self._clock = clock
        self._second = -1
        self._seen = 0

    def admits(self) -> bool:
        """Count an event and return whether it is shown."""
        second = int(self._clock.monotonic())
        if second != self._second:
            self._second, self._seen = second, 0
        self._seen += 1
        beyond = self._seen - self._initial
        return beyond <= 0 or (self._thereafter > 0 and beyond % self._thereafter == 0)
