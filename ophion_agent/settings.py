"""The `service` section: what runs, and how the agent watches itself."""

from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field

from ophion_agent.component import Config
from ophion_agent.delivery import null_is_default
from ophion_agent.fields import Duration, Endpoint


def null_is_empty_list(value: Any) -> Any:
    """Read a null list (`processors:`) as an empty one, as otelcol does; refuse a scalar with how to write it."""
    if value is None:
        return []
    if isinstance(value, str):
        raise ValueError(f"must be a list, got the text {value!r}; write [{value}]")
    return value


Ids = Annotated[list[str], BeforeValidator(null_is_empty_list)]


class PipelineSettings(Config):
    """One pipeline: the ids of its components, in order."""

    receivers: Ids = Field([], description="Receivers and connectors that feed the pipeline.")
    processors: Ids = Field([], description="Processors, in the order batches pass them.")
    exporters: Ids = Field([], description="Exporters and connectors that each get every batch.")


class LogSettings(Config):
    """The agent's own log."""

    level: Literal["debug", "info", "warn", "error"] = Field("info", description="Least severity written.")
    encoding: Literal["console", "json"] = Field("console", description="Form of each line.")
    output_paths: list[str] = Field(["stderr"], description="`stderr`, `stdout` or files that the log is written to.")
    initial_fields: dict[str, Any] = Field({}, description="Facts added to every event.")
    development: bool = Field(False, description="Accepted for otelcol's sake; no effect.")
    disable_caller: bool = Field(False, description="Accepted for otelcol's sake; callers are never logged.")
    disable_stacktrace: bool = Field(False, description="Leave tracebacks out of the log.")
    error_output_paths: list[str] = Field(["stderr"], description="Accepted for otelcol's sake; no effect.")
    sampling: dict[str, Any] | None = Field(None, description="Accepted for otelcol's sake; no effect.")
    processors: list[dict[str, Any]] = Field([], description="Not supported: use the `self` receiver in a pipeline.")


class PrometheusReader(Config):
    """Where Prometheus scrapes the agent's own metrics."""

    host: str = Field("localhost", description="Host name or address to listen on.")
    port: int = Field(8888, ge=0, le=65535, description="Port to listen on; 0 takes a free one.")
    without_scope_info: bool = Field(True, description="Accepted for otelcol's sake; scopes are never shown.")
    without_type_suffix: bool = Field(True, description="Leave `_total` off the names of counters, as otelcol does.")
    without_units: bool = Field(True, description="Accepted for otelcol's sake; units are never appended.")
    with_resource_constant_labels: dict[str, Any] | None = Field(
        None, description="Accepted for otelcol's sake; no effect."
    )


class PullExporter(Config):
    """Exporter of a pull reader."""

    prometheus: Annotated[PrometheusReader, BeforeValidator(null_is_default)] = Field(
        PrometheusReader(), description="Serve the Prometheus exposition format."
    )


class PullReader(Config):
    """A reader that is asked for metrics."""

    exporter: Annotated[PullExporter, BeforeValidator(null_is_default)] = Field(
        PullExporter(), description="How the metrics are served."
    )


class MetricReader(Config):
    """One reader of the agent's own metrics."""

    pull: PullReader | None = Field(None, description="Serve the metrics to whoever asks.")
    periodic: dict[str, Any] | None = Field(None, description="Not supported: use the `self` receiver in a pipeline.")


class MetricSettings(Config):
    """The agent's own metrics."""

    level: Literal["none", "basic", "normal", "detailed"] = Field("normal", description="`none` serves no metrics.")
    address: Endpoint | None = Field(None, description="Older form of `readers`: host and port to listen on.")
    readers: Annotated[list[MetricReader] | None, BeforeValidator(null_is_empty_list)] = Field(
        None, description="Where the metrics are served; by default Prometheus' format on localhost:8888."
    )
    views: list[dict[str, Any]] = Field([], description="Accepted for otelcol's sake; no effect.")

    def prometheus_readers(self) -> list[PrometheusReader]:
        """Return every place where the metrics are to be served."""
        if self.level == "none":
            return []
        if self.address is not None:
            host, _, port = self.address.rpartition(":")
            return [PrometheusReader(host=host, port=int(port))]
        if self.readers is None:
            return [PrometheusReader()]
        return [reader.pull.exporter.prometheus for reader in self.readers if reader.pull]


class TraceSettings(Config):
    """The agent's own traces; the `self` receiver takes them into a pipeline."""

    level: Literal["none", "basic", "normal", "detailed"] = Field("basic", description="`none` records no spans.")
    processors: list[dict[str, Any]] = Field([], description="Not supported: use the `self` receiver in a pipeline.")
    propagators: list[str] = Field([], description="Accepted for otelcol's sake; no effect.")
    sampler: dict[str, Any] | None = Field(None, description="Accepted for otelcol's sake; no effect.")


class TelemetrySettings(Config):
    """What the agent tells about itself."""

    logs: Annotated[LogSettings, BeforeValidator(null_is_default)] = Field(LogSettings(), description="Its log.")
    metrics: Annotated[MetricSettings, BeforeValidator(null_is_default)] = Field(
        MetricSettings(), description="Its metrics."
    )
    traces: Annotated[TraceSettings, BeforeValidator(null_is_default)] = Field(
        TraceSettings(), description="Its traces."
    )
    resource: Annotated[dict[str, Any], BeforeValidator(null_is_default)] = Field(
        {}, description="Attributes added to its metrics and logs; null removes a default one."
    )


class ControlSettings(Config):
    """The socket that `ophion-agent tap` and `ophion-agent replay` talk to."""

    enabled: bool = Field(True, description="Serve the control socket; only the agent's user and root can open it.")
    socket: str | None = Field(
        None,
        description="Its path; by default in $RUNTIME_DIRECTORY, $XDG_RUNTIME_DIR or the user's own directory.",
    )


class ServiceSettings(Config):
    """What runs."""

    extensions: Ids = Field([], description="Extensions to run, started in this order.")
    pipelines: Annotated[
        dict[str, Annotated[PipelineSettings, BeforeValidator(null_is_default)]], BeforeValidator(null_is_default)
    ] = Field({}, description="Pipelines by signal and name, such as `traces` or `metrics/host`.")
    telemetry: Annotated[TelemetrySettings, BeforeValidator(null_is_default)] = Field(
        TelemetrySettings(), description="What the agent tells about itself."
    )
    plugin_dirs: Ids = Field([], description="Folders whose Python files are loaded as plugins.")
    shutdown_timeout: Duration = Field(30.0, gt=0, description="Most time for delivering what is on its way at a stop.")
    control: Annotated[ControlSettings, BeforeValidator(null_is_default)] = Field(
        ControlSettings(), description="The control socket."
    )
