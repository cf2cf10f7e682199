"""Options of the `filter` processor: OTTL conditions, and otelcol's older include/exclude form."""

from collections.abc import Callable
from typing import Annotated, Any, Literal

from opentelemetry.proto.logs.v1.logs_pb2 import SeverityNumber
from pydantic import AfterValidator, BeforeValidator, Field, model_validator

from ophion_agent.plugin import Config, null_is_default
from ophion_processors.condition_compiler import compile_condition
from ophion_processors.matching import (
    AttributeMatch,
    MatchConfig,
    MatchType,
    RegexpOptions,
    SeverityMatch,
    check_patterns,
)

# The deepest context of each signal, in which every path of the signal can be written.
DEEPEST = {"traces": "spanevent", "metrics": "datapoint", "logs": "log"}


def _compiles(context: str, *, prefixed: bool = False) -> Callable[[str], str]:
    def check(text: str) -> str:
        compile_condition(text, context, prefixed=prefixed)
        return text

    return check


ResourceCondition = Annotated[str, AfterValidator(_compiles("resource"))]
SpanCondition = Annotated[str, AfterValidator(_compiles("span"))]
SpanEventCondition = Annotated[str, AfterValidator(_compiles("spanevent"))]
MetricCondition = Annotated[str, AfterValidator(_compiles("metric"))]
DataPointCondition = Annotated[str, AfterValidator(_compiles("datapoint"))]
LogCondition = Annotated[str, AfterValidator(_compiles("log"))]
TraceAnyCondition = Annotated[str, AfterValidator(_compiles(DEEPEST["traces"], prefixed=True))]
MetricAnyCondition = Annotated[str, AfterValidator(_compiles(DEEPEST["metrics"], prefixed=True))]
LogAnyCondition = Annotated[str, AfterValidator(_compiles(DEEPEST["logs"], prefixed=True))]


class SpanFilters(Config):
    """Spans to keep or drop by their properties."""

    include: MatchConfig | None = Field(None, description="Keep only spans that match.")
    exclude: MatchConfig | None = Field(None, description="Drop spans that match.")


class TraceFilters(Config):
    """Conditions on traces; what meets one of them is dropped."""

    resource: list[ResourceCondition] = Field([], description="Drop all spans of a resource.")
    span: list[SpanCondition] = Field([], description="Drop a span.")
    spanevent: list[SpanEventCondition] = Field([], description="Drop an event of a span.")


def _known_match_type(value: Any) -> Any:
    if value == "expr":
        raise ValueError(
            "match_type expr is not supported; write the expressions as conditions under metrics.datapoint, "
            'such as metric.name == "my.metric" and attributes["my_label"] == "abc123"'
        )
    return value


class MetricMatchConfig(Config):
    """Properties that a metric must have to match."""

    match_type: Annotated[MatchType, BeforeValidator(_known_match_type)] = Field(
        description="How names and values are compared: `strict` or `regexp`."
    )
    regexp: RegexpOptions | None = Field(None, description="Without effect: compiled patterns are always kept.")
    metric_names: list[str] = Field([], description="Metric names.")
    resource_attributes: list[AttributeMatch] = Field([], description="Resource attributes, all of which must match.")

    @model_validator(mode="after")
    def _has_valid_patterns(self) -> "MetricMatchConfig":
        check_patterns(self.match_type, self.metric_names, self.resource_attributes)
        return self


class MetricFilters(Config):
    """Conditions on metrics; what meets one of them is dropped."""

    include: MetricMatchConfig | None = Field(None, description="Keep only metrics that match.")
    exclude: MetricMatchConfig | None = Field(None, description="Drop metrics that match.")
    regexp: RegexpOptions | None = Field(None, description="Without effect: compiled patterns are always kept.")
    resource: list[ResourceCondition] = Field([], description="Drop all metrics of a resource.")
    metric: list[MetricCondition] = Field([], description="Drop a metric.")
    datapoint: list[DataPointCondition] = Field([], description="Drop a data point.")


def _severity_number(value: Any) -> Any:
    """Read `INFO`, `info2` or 9; severity texts are those of the log data model."""
    if not isinstance(value, str) or value.isdecimal():
        return value
    names = {name.removeprefix("SEVERITY_NUMBER_"): number for name, number in SeverityNumber.items()}
    if value and value.upper() not in names:
        raise ValueError(f"unknown severity {value!r}; valid: {', '.join(list(names)[1:])}")
    return names[value.upper()] if value else 0


class LogSeverityMatch(SeverityMatch):
    """Severity numbers to look for; `min` may be a name."""

    min: Annotated[int, BeforeValidator(_severity_number)] = Field(
        0, ge=0, le=24, description="Lowest severity that matches, such as INFO or 9; unset, severity is not looked at."
    )


class LogMatchConfig(Config):
    """Properties that a log record must have to match."""

    match_type: MatchType = Field("strict", description="How texts and values are compared: `strict` or `regexp`.")
    resource_attributes: list[AttributeMatch] = Field([], description="Resource attributes, all of which must match.")
    record_attributes: list[AttributeMatch] = Field([], description="Record attributes, all of which must match.")
    severity_texts: list[str] = Field([], description="Severity texts.")
    severity_number: LogSeverityMatch | None = Field(None, description="Severity numbers.")
    bodies: list[str] = Field([], description="Bodies that are text.")

    @model_validator(mode="after")
    def _has_valid_patterns(self) -> "LogMatchConfig":
        self.as_match()
        return self

    def as_match(self) -> MatchConfig | None:
        """Return the same match in the form that all signals share, or None when it is empty."""
        properties = {
            "resources": self.resource_attributes,
            "attributes": self.record_attributes,
            "log_severity_texts": self.severity_texts,
            "log_bodies": self.bodies,
            "log_severity_number": self.severity_number if self.severity_number and self.severity_number.min else None,
        }
        given = {name: value for name, value in properties.items() if value}
        return MatchConfig.model_validate({"match_type": self.match_type, **given}) if given else None


class LogFilters(Config):
    """Conditions on logs; what meets one of them is dropped."""

    include: LogMatchConfig | None = Field(None, description="Keep only log records that match.")
    exclude: LogMatchConfig | None = Field(None, description="Drop log records that match.")
    resource: list[ResourceCondition] = Field([], description="Drop all log records of a resource.")
    log_record: list[LogCondition] = Field([], description="Drop a log record.")


class FilterConfig(Config):
    """Options of the filter processor."""

    error_mode: Literal["ignore", "silent", "propagate"] = Field(
        "propagate",
        description="What an error in a condition does: `ignore` logs it and goes on, `silent` goes on, "
        "`propagate` refuses the batch.",
    )
    spans: Annotated[SpanFilters, BeforeValidator(null_is_default)] = Field(
        SpanFilters(), description="Spans to keep or drop by their properties; the form before `traces`."
    )
    traces: Annotated[TraceFilters, BeforeValidator(null_is_default)] = Field(
        TraceFilters(), description="Conditions on traces."
    )
    metrics: Annotated[MetricFilters, BeforeValidator(null_is_default)] = Field(
        MetricFilters(), description="Conditions on metrics."
    )
    logs: Annotated[LogFilters, BeforeValidator(null_is_default)] = Field(
        LogFilters(), description="Conditions on logs."
    )
    trace_conditions: list[TraceAnyCondition] = Field(
        [], description="Conditions whose paths say what they belong to: drop the resource, scope, span or event."
    )
    metric_conditions: list[MetricAnyCondition] = Field(
        [], description="Conditions whose paths say what they belong to: drop the resource, scope, metric or point."
    )
    log_conditions: list[LogAnyCondition] = Field(
        [], description="Conditions whose paths say what they belong to: drop the resource, scope or log record."
    )

    @model_validator(mode="after")
    def _uses_one_form(self) -> "FilterConfig":
        forms = {
            "traces": (_given(self.traces), _given(self.spans)),
            "metrics": (_conditions_in(self.metrics), _matches_in(self.metrics)),
            "logs": (_conditions_in(self.logs), _matches_in(self.logs)),
        }
        for signal, (conditions, matches) in forms.items():
            if conditions and matches:
                raise ValueError(f"{signal}: conditions and include/exclude cannot be used together; choose one form")
        return self


def _matches_in(filters: Config) -> set[str]:
    return _given(filters) & {"include", "exclude"}


def _conditions_in(filters: Config) -> set[str]:
    return _given(filters) - {"include", "exclude", "regexp"}


def _given(filters: Config) -> set[str]:
    """Return the options that hold something; `print-config --defaults` writes the others too."""
    return {name for name in type(filters).model_fields if getattr(filters, name)}
