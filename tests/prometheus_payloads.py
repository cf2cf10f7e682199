"""OTLP metrics requests for tests of Prometheus formats."""

from collections.abc import Mapping, Sequence
from typing import Any

from ophion_agent.plugin import Metrics
from ophion_agent.testing import EPOCH_NS

DELTA, CUMULATIVE = 1, 2
SECOND = 1_000_000_000

Attributes = Mapping[str, Any]


class MetricsBuilder:
    """Builds one request; `resource` begins another resource, the other methods add a metric with one point."""

    def __init__(self, resource: Attributes | None = None, scope: str = "", **scope_fields: Any) -> None:
        self.request = Metrics.request_type()
        self.resource(resource or {}, scope, **scope_fields)

    def resource(self, attributes: Attributes, scope: str = "", **scope_fields: Any) -> "MetricsBuilder":
        group = self.request.resource_metrics.add()
        put_attributes(group.resource, attributes)
        self._scope = group.scope_metrics.add(schema_url=scope_fields.pop("schema_url", ""))
        self._scope.scope.name = scope
        self._scope.scope.version = scope_fields.pop("version", "")
        put_attributes(self._scope.scope, scope_fields)
        return self

    def gauge(
        self, name: str, value: float = 1, attributes: Attributes | None = None, **fields: Any
    ) -> "MetricsBuilder":
        metric = self._metric(name, fields)
        self._number(metric.gauge.data_points.add(), value, attributes, fields)
        return self

    def counter(
        self,
        name: str,
        value: float = 1,
        attributes: Attributes | None = None,
        temporality: int = CUMULATIVE,
        monotonic: bool = True,
        **fields: Any,
    ) -> "MetricsBuilder":
        metric = self._metric(name, fields)
        metric.sum.aggregation_temporality = temporality
        metric.sum.is_monotonic = monotonic
        self._number(metric.sum.data_points.add(), value, attributes, fields)
        return self

    def histogram(
        self,
        name: str,
        counts: Sequence[int],
        bounds: Sequence[float],
        attributes: Attributes | None = None,
        temporality: int = CUMULATIVE,
        total: float | None = 0.0,
        **fields: Any,
    ) -> "MetricsBuilder":
        metric = self._metric(name, fields)
        metric.histogram.aggregation_temporality = temporality
        point = metric.histogram.data_points.add(bucket_counts=counts, explicit_bounds=bounds, count=sum(counts))
        if total is not None:
            point.sum = total
        self._common(point, attributes, fields)
        return self

    def exponential(
        self,
        name: str,
        positive: Sequence[int],
        scale: int = 0,
        offset: int = 0,
        negative: Sequence[int] = (),
        zeros: int = 0,
        attributes: Attributes | None = None,
        temporality: int = CUMULATIVE,
        total: float | None = 0.0,
        **fields: Any,
    ) -> "MetricsBuilder":
        metric = self._metric(name, fields)
        metric.exponential_histogram.aggregation_temporality = temporality
        point = metric.exponential_histogram.data_points.add(scale=scale, zero_count=zeros)
        point.count = sum(positive) + sum(negative) + zeros
        point.positive.offset, point.negative.offset = offset, offset
        point.positive.bucket_counts.extend(positive)
        point.negative.bucket_counts.extend(negative)
        if total is not None:
            point.sum = total
        self._common(point, attributes, fields)
        return self

    def summary(
        self,
        name: str,
        quantiles: Mapping[float, float],
        attributes: Attributes | None = None,
        count: int = 1,
        total: float = 0.0,
        **fields: Any,
    ) -> "MetricsBuilder":
        point = self._metric(name, fields).summary.data_points.add(count=count, sum=total)
        for quantile, value in quantiles.items():
            point.quantile_values.add(quantile=quantile, value=value)
        self._common(point, attributes, fields)
        return self

    @property
    def payload(self) -> bytes:
        encoded: bytes = self.request.SerializeToString()
        return encoded

    @property
    def batch(self) -> Metrics:
        return Metrics.from_wire(self.payload)

    def _metric(self, name: str, fields: dict[str, Any]) -> Any:
        metric = self._scope.metrics.add(name=name, unit=fields.pop("unit", ""))
        metric.description = fields.pop("description", "")
        for key, value in fields.pop("metadata", {}).items():
            metric.metadata.add(key=key).value.string_value = value
        return metric

    def _number(self, point: Any, value: float, attributes: Attributes | None, fields: dict[str, Any]) -> None:
        if isinstance(value, int):
            point.as_int = value
        else:
            point.as_double = value
        self._common(point, attributes, fields)

    def _common(self, point: Any, attributes: Attributes | None, fields: dict[str, Any]) -> None:
        put_attributes(point, attributes or {})
        point.start_time_unix_nano = fields.pop("start", 0)
        point.time_unix_nano = fields.pop("time", EPOCH_NS)
        point.flags = fields.pop("flags", 0)
        for exemplar in fields.pop("exemplars", ()):
            point.exemplars.add().CopyFrom(exemplar)
        assert not fields, fields


def put_attributes(owner: Any, attributes: Attributes) -> None:
    """Add attributes; Python types decide about the OTLP types."""
    for key, value in attributes.items():
        target = owner.attributes.add(key=key).value
        if isinstance(value, bool):
            target.bool_value = value
        elif isinstance(value, int):
            target.int_value = value
        elif isinstance(value, float):
            target.double_value = value
        elif isinstance(value, bytes):
            target.bytes_value = value
        elif isinstance(value, list):
            target.array_value.SetInParent()
            for entry in value:
                target.array_value.values.add().string_value = entry
        else:
            target.string_value = value
