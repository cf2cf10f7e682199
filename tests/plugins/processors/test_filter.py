"""The filter processor drops what its conditions or its include and exclude say, and nothing else."""

from collections.abc import Mapping
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from pydantic import ValidationError

from ophion_agent.plugin import PermanentError, Traces
from ophion_agent.self_metrics import SelfMetrics
from ophion_agent.testing import make_component, make_logs, make_metrics, make_traces
from ophion_processors.condition_compiler import compile_condition
from ophion_processors.condition_paths import Place
from ophion_processors.filter import FilterProcessor
from ophion_processors.filter_config import FilterConfig
from strategies import messages


async def left(batch: Any, **config: Any) -> list[str]:
    """Return the names of the records that pass."""
    result = await make_component(FilterProcessor, config).process(batch)
    if result is None:
        return []
    assert len(type(result).from_wire(result.payload)) == len(result)
    return [getattr(record, "name", "") or record.body.string_value for record in result.view().records()]


def two_services() -> Traces:
    return Traces.join([make_traces(2, service="a", route="/a"), make_traces(1, service="b", route="/b")])


@pytest.mark.parametrize(
    ("traces", "names"),
    [
        ({"span": ['attributes["route"] == "/a"']}, ["operation-0"]),
        ({"span": ['name == "operation-0"']}, ["operation-1"]),
        ({"span": ['name == "operation-1"', 'resource.attributes["service.name"] == "b"']}, ["operation-0"]),
        ({"span": ['instrumentation_scope.name == "ophion.testing"']}, []),
        ({"resource": ['attributes["service.name"] == "a"']}, ["operation-0"]),
        ({"resource": ['attributes["service.name"] == "c"']}, ["operation-0", "operation-1", "operation-0"]),
        ({"span": ["kind == SPAN_KIND_INTERNAL", 'IsMatch(name, "1$")']}, ["operation-0", "operation-0"]),
        ({}, ["operation-0", "operation-1", "operation-0"]),
    ],
)
async def test_spans_that_meet_a_condition_are_dropped(traces: Mapping[str, Any], names: list[str]) -> None:
    assert await left(two_services(), traces=traces) == names


async def test_request_of_which_nothing_is_left_is_not_passed_on() -> None:
    processor = make_component(FilterProcessor, {"traces": {"span": ["true"]}})
    assert await processor.process(make_traces(2)) is None


async def test_request_whose_resources_stay_is_not_decoded() -> None:
    processor = make_component(FilterProcessor, {"traces": {"resource": ['attributes["service.name"] == "x"']}})
    batch = Traces.trusted(make_traces(2).payload)
    payload = batch.payload
    assert await processor.process(batch) is batch
    assert batch.payload is payload


async def test_scopes_and_resources_left_empty_are_removed() -> None:
    processor = make_component(FilterProcessor, {"traces": {"span": ['attributes["route"] == "/a"']}})
    result = await processor.process(two_services())
    assert result is not None
    assert [resource.attributes[0].value.string_value for resource in result.resources()] == ["b"]


async def test_span_events_are_dropped_and_their_span_stays() -> None:
    batch = make_traces(1)
    span = next(iter(batch.edit().records()))
    for name in ("exception", "log", "exception"):
        span.events.add(name=name)
    processor = make_component(
        FilterProcessor, {"traces": {"spanevent": ['name == "exception" and span.name == "operation-0"']}}
    )
    result = await processor.process(batch)
    assert result is not None
    assert [[event.name for event in span.events] for span in result.view().records()] == [["log"]]


@pytest.mark.parametrize(
    ("metrics", "points"),
    [
        ({"metric": ['name == "requests"']}, 0),
        ({"metric": ["type == METRIC_DATA_TYPE_SUM"]}, 3),
        ({"datapoint": ["value >= 1"]}, 1),
        ({"datapoint": ['metric.name == "requests"']}, 0),
        ({"datapoint": ['attributes["a"] == "b"']}, 0),
        ({"resource": ['attributes["service.name"] == "checkout"']}, 0),
        ({"include": {"match_type": "strict", "metric_names": ["requests"]}}, 3),
        ({"include": {"match_type": "regexp", "metric_names": ["^req$"]}}, 0),
        ({"exclude": {"match_type": "regexp", "metric_names": ["^req"]}}, 0),
        ({"exclude": {"match_type": "strict", "resource_attributes": [{"Key": "service.name", "Value": "x"}]}}, 3),
        ({"include": {"match_type": "strict", "resource_attributes": [{"key": "service.name", "value": "x"}]}}, 0),
    ],
)
async def test_metrics_and_points_are_dropped(metrics: Mapping[str, Any], points: int) -> None:
    processor = make_component(FilterProcessor, {"metrics": metrics})
    result = await processor.process(make_metrics(3, a="b"))
    assert (len(result) if result is not None else 0) == points


async def test_include_and_exclude_of_metrics_work_together() -> None:
    batch = make_metrics(1, name="cpu.user")
    scope = batch.edit().message.resource_metrics[0].scope_metrics[0]
    for name in ("cpu.idle", "disk.io"):
        scope.metrics.add(name=name).gauge.data_points.add(as_int=1)
    options = {
        "include": {"match_type": "regexp", "metric_names": [r"^cpu\."]},
        "exclude": {"match_type": "strict", "metric_names": ["cpu.idle"]},
    }
    assert await left(batch, metrics=options) == ["cpu.user"]


@pytest.mark.parametrize(
    ("logs", "passes"),
    [
        ({"log_record": ["severity_number < SEVERITY_NUMBER_WARN"]}, False),
        ({"log_record": ['IsMatch(body, ".*debug.*")']}, True),
        ({"include": {"match_type": "strict", "bodies": ["message 0"]}}, True),
        ({"exclude": {"match_type": "regexp", "bodies": ["^message"]}}, False),
        ({"include": {"severity_number": {"min": "warn"}}}, False),
        ({"include": {"severity_number": {"min": "INFO", "match_undefined": True}}}, True),
        ({"include": {"match_type": "strict", "severity_texts": ["INFO"]}}, False),
        ({"include": {"match_type": "strict", "record_attributes": [{"key": "a", "value": "b"}]}}, True),
        ({"exclude": {"match_type": "strict", "resource_attributes": [{"key": "service.name"}]}}, False),
        ({"include": {"match_type": "strict", "severity_number": {"match_undefined": True}}}, True),
    ],
)
async def test_log_records_are_dropped(logs: Mapping[str, Any], passes: bool) -> None:
    assert await left(make_logs(1, a="b"), logs=logs) == (["message 0"] if passes else [])


@pytest.mark.parametrize(
    ("spans", "names"),
    [
        ({"include": {"match_type": "strict", "services": ["a"]}}, ["operation-0", "operation-1"]),
        ({"exclude": {"match_type": "regexp", "services": ["^a"]}}, ["operation-0"]),
        ({"exclude": {"match_type": "regexp", "span_names": ["0$"]}}, ["operation-1"]),
        (
            {"exclude": {"match_type": "strict", "attributes": [{"Key": "route", "Value": "/b"}]}},
            ["operation-0", "operation-1"],
        ),
    ],
)
async def test_spans_are_kept_or_dropped_by_their_properties(spans: Mapping[str, Any], names: list[str]) -> None:
    assert await left(two_services(), spans=spans) == names


@pytest.mark.parametrize(
    ("conditions", "names"),
    [
        (['span.name == "operation-0"'], ["operation-1"]),
        (['resource.attributes["service.name"] == "a"'], ["operation-0"]),
        (['scope.name == "ophion.testing" and span.name == "operation-1"'], ["operation-0", "operation-0"]),
        (['spanevent.name == "x"'], ["operation-0", "operation-1", "operation-0"]),
    ],
)
async def test_conditions_that_name_their_context_drop_there(conditions: list[str], names: list[str]) -> None:
    assert await left(two_services(), trace_conditions=conditions) == names


async def test_metric_and_log_conditions_name_their_context() -> None:
    assert await left(make_metrics(2), metric_conditions=["datapoint.value == 0"]) == ["requests"]
    assert await left(make_metrics(2), metric_conditions=['metric.name == "requests"']) == []
    assert await left(make_logs(2), log_conditions=['log.body == "message 0"']) == ["message 1"]


FAILING = {"span": ['HasPrefix(attributes["absent"], "x")', 'name == "operation-0"']}


async def test_error_in_a_condition_refuses_the_request_by_default() -> None:
    processor = make_component(FilterProcessor, {"traces": FAILING})
    with pytest.raises(PermanentError, match="HasPrefix: expected text, got nil; error_mode: ignore skips"):
        await processor.process(make_traces(1))


@pytest.mark.parametrize("mode", ["ignore", "silent"])
async def test_error_in_a_condition_leaves_the_other_conditions_to_decide(mode: str) -> None:
    assert await left(make_traces(2), traces=FAILING, error_mode=mode) == ["operation-1"]


async def test_ignored_error_is_logged_once_for_each_condition(caplog: pytest.LogCaptureFixture) -> None:
    processor = make_component(FilterProcessor, {"traces": FAILING, "error_mode": "ignore"})
    for _ in range(2):
        await processor.process(make_traces(2))
    assert [record.getMessage() for record in caplog.records] == ["condition_failed"]


async def test_dropped_items_are_counted_by_signal() -> None:
    metrics = SelfMetrics()
    config = {"traces": {"span": ['name == "operation-0"']}, "metrics": {"datapoint": ["true"]}}
    processor = make_component(FilterProcessor, config, metrics=metrics)
    await processor.process(make_traces(3))
    await processor.process(make_metrics(4))
    assert metrics.total("otelcol_processor_filter_spans.filtered") == 1
    assert metrics.total("otelcol_processor_filter_datapoints.filtered") == 4


@pytest.mark.parametrize(
    ("config", "place", "message"),
    [
        ({"traces": {"span": ["true", "nam == 1"]}}, ("traces", "span", 1), "column 1: unknown path 'nam'; valid: "),
        ({"logs": {"log_record": ["body =="]}}, ("logs", "log_record", 0), "column 8: expected a value"),
        ({"metric_conditions": ["name == 1"]}, ("metric_conditions", 0), "say what it belongs to"),
        ({"metrics": {"include": {"match_type": "expr"}}}, ("metrics", "include", "match_type"), "metrics.datapoint"),
        (
            {"metrics": {"include": {"match_type": "regexp", "metric_names": ["("]}}},
            ("metrics", "include"),
            "invalid regular expression '('",
        ),
        (
            {"logs": {"include": {"severity_number": {"min": "LOUD"}}}},
            ("logs", "include", "severity_number", "min"),
            "unknown severity 'LOUD'; valid: TRACE",
        ),
        (
            {"traces": {"span": ["true"]}, "spans": {"include": {"match_type": "strict", "services": ["a"]}}},
            (),
            "traces: conditions and include/exclude cannot be used together; choose one form",
        ),
        ({"error_mode": "loud"}, ("error_mode",), "'ignore', 'silent' or 'propagate'"),
    ],
)
def test_bad_config_points_to_the_condition(config: dict[str, Any], place: tuple[Any, ...], message: str) -> None:
    with pytest.raises(ValidationError) as refused:
        FilterConfig.model_validate(config)
    error = refused.value.errors()[0]
    assert error["loc"] == place
    assert message in error["msg"]


TEXTS = ["a", "ab", "x"]


def a_condition() -> st.SearchStrategy[str]:
    texts = st.sampled_from(TEXTS)
    simple = st.one_of(
        texts.map(lambda text: f'attributes["key"] == "{text}"'),
        texts.map(lambda text: f'name == "{text}"'),
        texts.map(lambda text: f'name != "{text}"'),
        texts.map(lambda text: f'status.message == "{text}"'),
        texts.map(lambda text: f'resource.attributes["key"] == "{text}"'),
        texts.map(lambda text: f'scope.name == "{text}"'),
        st.sampled_from(['kind.string == "Server"', "kind == SPAN_KIND_SERVER", 'trace_id.string == "00"']),
    )
    return st.recursive(
        simple,
        lambda inner: st.one_of(
            st.tuples(inner, st.sampled_from(["and", "or"]), inner).map(lambda parts: f"({' '.join(parts)})"),
            inner.map(lambda text: f"not ({text})"),
        ),
        max_leaves=4,
    )


@st.composite
def named_traces(draw: st.DrawFn) -> Traces:
    """Spans, scopes and resources that hold the texts of the conditions in every place they are looked for."""
    request = draw(messages(ExportTraceServiceRequest))
    texts = st.sampled_from([*TEXTS, ""])
    for group in request.resource_spans:
        group.resource.attributes.add(key="key").value.string_value = draw(texts)
        for scope in group.scope_spans:
            scope.scope.name = draw(texts)
            for span in scope.spans:
                span.name, span.status.message = draw(texts), draw(texts)
                span.attributes.add(key="key").value.string_value = draw(texts)
    return Traces.from_wire(request.SerializeToString())


@given(batch=named_traces(), conditions=st.lists(a_condition(), min_size=1, max_size=3))
async def test_filtering_encoded_spans_equals_asking_every_decoded_one(batch: Traces, conditions: list[str]) -> None:
    compiled = [compile_condition(text, "span") for text in conditions]
    kept = [
        span.SerializeToString(deterministic=True)
        for group in batch.view().groups()
        for scope in group.scope_spans
        for span in scope.spans
        if not any(condition.test(Place(group.resource, scope.scope, span)) for condition in compiled)
    ]
    result = await make_component(FilterProcessor, {"traces": {"span": conditions}}).process(batch)
    passed = [] if result is None else list(Traces.from_wire(result.payload).view().records())
    assert [span.SerializeToString(deterministic=True) for span in passed] == kept


async def test_spans_without_the_wanted_text_are_passed_on_untouched() -> None:
    batch = make_traces(2)
    payload = batch.payload
    processor = make_component(FilterProcessor, {"traces": {"span": ['attributes["route"] == "/health"']}})
    assert await processor.process(batch) is batch
    assert batch.payload is payload
