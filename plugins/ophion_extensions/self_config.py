"""What the `self` receiver can be told."""

from typing import Annotated, Literal

from pydantic import BeforeValidator, Field

from ophion_agent.plugin import Config, Duration, Text, null_is_default


class SelfLogs(Config):
    """The agent's own log."""

    enabled: bool = Field(True, description="Take the log, where a logs pipeline names this receiver.")
    level: Literal["debug", "info", "warn", "error"] = Field(
        "info",
        description="Least severity taken; what service.telemetry.logs.level leaves out is not seen here either.",
    )
    flush_interval: Duration = Field(1.0, gt=0, description="Longest wait before events are passed on.")
    queue_size: int = Field(2048, gt=0, description="Most events that wait; more are dropped and counted.")


class SelfMetricsConfig(Config):
    """The agent's own metrics."""

    enabled: bool = Field(True, description="Take the metrics, where a metrics pipeline names this receiver.")
    interval: Duration = Field(10.0, gt=0, description="Time between two readings.")


class SelfTraces(Config):
    """Spans of the agent's deliveries."""

    enabled: bool = Field(
        True, description="Make a span of each delivery, where a traces pipeline names this receiver."
    )
    flush_interval: Duration = Field(1.0, gt=0, description="Longest wait before spans are passed on.")


class SelfConfig(Config):
    """What of the agent goes into pipelines."""

    logs: Annotated[SelfLogs, BeforeValidator(null_is_default)] = Field(SelfLogs(), description="Its log.")
    metrics: Annotated[SelfMetricsConfig, BeforeValidator(null_is_default)] = Field(
        SelfMetricsConfig(), description="Its metrics."
    )
    traces: Annotated[SelfTraces, BeforeValidator(null_is_default)] = Field(
        SelfTraces(), description="Spans of its deliveries."
    )
    resource: dict[str, Text] = Field({}, description="Attributes added to the resource, or put over the default ones.")
