"""The attributes and resource processors, above all that work on encoded records equals work on decoded ones."""

from typing import Any

import pytest
from google.protobuf.message import Message
from hypothesis import given
from hypothesis import strategies as st
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from pydantic import ValidationError

from ophion_agent.plugin import Batch, Logs, Metrics, Traces
from ophion_agent.testing import make_batch, make_component, make_logs, make_metrics, make_traces
from ophion_processors.actions import ActionConfig, ActionList
from ophion_processors.attributes import AttributesProcessor
from ophion_processors.resource import ResourceProcessor
from ophion_processors.values import to_python
from strategies import messages

KEYS = ["a", "ab", "b", "long" * 40, "ü"]
INSERT = {"key": "env", "value": "prod", "action": "insert"}


def processor(*actions: dict[str, Any], **options: Any) -> AttributesProcessor:
    return make_component(AttributesProcessor, {"actions": list(actions), **options})


def attributes_of(record: Any) -> dict[str, Any]:
    return {attribute.key: to_python(attribute.value) for attribute in record.attributes}


def an_action() -> st.SearchStrategy[dict[str, Any]]:
    keys = st.sampled_from(KEYS)
    setting = st.sampled_from(["insert", "update", "upsert"])
    return st.one_of(
        st.fixed_dictionaries({"key": keys, "action": setting, "value": st.sampled_from(["v", 1, 2.5, [True]])}),
        st.fixed_dictionaries({"key": keys, "action": setting, "from_attribute": keys}),
        st.fixed_dictionaries({"key": keys, "action": setting, "from_context": st.just("metadata.tenant")}),
        st.fixed_dictionaries({"key": keys, "action": st.sampled_from(["delete", "hash"])}),
        st.fixed_dictionaries({"key": keys, "action": st.just("convert"), "converted_type": st.just("string")}),
        st.fixed_dictionaries({"key": keys, "action": st.just("extract"), "pattern": st.just("(?P<ab>v)|(?P<b>.)")}),
    )


@st.composite
def requests(draw: st.DrawFn) -> tuple[type[Batch], Any]:
    """An arbitrary request whose records may hold the keys that the actions name, twice even, and in other places."""
    signal, request = draw(
        st.one_of(
            messages(ExportTraceServiceRequest).map(lambda request: (Traces, request)),
            messages(ExportLogsServiceRequest).map(lambda request: (Logs, request)),
        )
    )
    for record in signal.from_message(request).view().records():
        for key in draw(st.lists(st.sampled_from([*KEYS, "", "aab"]), max_size=3)):
            record.attributes.add(key=key).value.string_value = draw(st.sampled_from(["v", *KEYS]))
    return signal, request


def canonical(batch: Batch) -> bytes:
    message: Message = batch.view().message
    return message.SerializeToString(deterministic=True)


@given(made=requests(), actions=st.lists(an_action(), min_size=1, max_size=4))
async def test_work_on_encoded_records_equals_work_on_decoded_ones(
    made: tuple[type[Batch], Any], actions: list[dict[str, Any]]
) -> None:
    signal, request = made
    metadata = {"tenant": ("t",)}
    expected = signal.from_wire(request.SerializeToString(), metadata)
    compiled = ActionList(ActionConfig.model_validate(action) for action in actions)
    for record in expected.edit().records():
        compiled.apply(record.attributes, metadata)
    result = await processor(*actions).process(signal.from_wire(request.SerializeToString(), metadata))
    assert canonical(result) == canonical(expected)
    assert len(result) == len(expected)


@pytest.mark.parametrize(
    "encoded_key",
    [b"\x0a\x03env", b"\x0a\x83\x00env", b"\x8a\x00\x83\x80\x00env", b"\x0a\x01x\x0a\x03env"],
    ids=["usual", "padded length", "padded tag", "key twice"],
)
async def test_insert_sees_a_key_however_it_is_encoded(encoded_key: bytes) -> None:
    attribute = b"\x12\x03\x0a\x01v" + encoded_key
    span = b"\x4a" + bytes([len(attribute)]) + attribute
    scope = b"\x12" + bytes([len(span)]) + span
    group = b"\x12" + bytes([len(scope)]) + scope
    batch = Traces.from_wire(b"\x0a" + bytes([len(group)]) + group)
    result = await processor(INSERT).process(batch)
    assert [attributes_of(record) for record in result.view().records()] == [{"env": "v"}]


async def test_batch_without_any_wanted_key_is_passed_on_untouched() -> None:
    batch = make_traces(3)
    payload = batch.payload
    result = await processor({"key": "secret", "action": "delete"}).process(batch)
    assert result is batch
    assert result.payload is payload


async def test_key_in_another_text_does_not_count_as_present() -> None:
    result = await processor(INSERT).process(make_traces(2, service="env", env2="env", note="\x03env"))
    assert [attributes_of(span)["env"] for span in result.view().records()] == ["prod", "prod"]


async def test_data_points_of_every_kind_are_changed() -> None:
    batch = make_metrics(2)
    scope = batch.edit().message.resource_metrics[0].scope_metrics[0]
    for kind in ("sum", "histogram", "exponential_histogram", "summary"):
        getattr(scope.metrics.add(name=kind), kind).data_points.add()
    result = await processor(INSERT).process(batch)
    assert [attributes_of(point) for point in result.view().points()] == [{"env": "prod"}] * 6


async def test_pattern_of_keys_works_on_every_record() -> None:
    result = await processor({"pattern": "^secret", "action": "delete"}).process(make_logs(2, secret_a="1", kept="2"))
    assert [attributes_of(record) for record in result.view().records()] == [{"kept": "2"}] * 2


@pytest.mark.parametrize(
    ("options", "changed"),
    [
        ({"include": {"match_type": "strict", "services": ["checkout"]}}, {0, 1, 2}),
        ({"include": {"match_type": "strict", "services": ["other"]}}, set()),
        ({"include": {"match_type": "regexp", "span_names": ["-[12]$"]}}, {1, 2}),
        ({"exclude": {"match_type": "strict", "span_names": ["operation-0"]}}, {1, 2}),
        (
            {
                "include": {"match_type": "regexp", "span_names": ["-[12]$"]},
                "exclude": {"match_type": "strict", "span_names": ["operation-1"]},
            },
            {2},
        ),
        ({"include": {"match_type": "strict", "span_kinds": ["SPAN_KIND_CLIENT"]}}, set()),
        ({"include": {"match_type": "strict", "libraries": [{"name": "ophion.testing"}]}}, {0, 1, 2}),
        ({"include": {"match_type": "strict", "libraries": [{"name": "ophion.testing", "version": "1"}]}}, set()),
        ({"exclude": {"match_type": "strict", "resources": [{"key": "service.name"}]}}, set()),
        ({"exclude": {"match_type": "strict", "attributes": [{"key": "size", "value": "3"}]}}, set()),
        ({"exclude": {"match_type": "strict", "attributes": [{"key": "size", "value": 3}]}}, {0, 1, 2}),
        ({"include": {"match_type": "strict", "log_bodies": ["x"]}}, set()),
    ],
)
async def test_only_chosen_spans_are_changed(options: dict[str, Any], changed: set[int]) -> None:
    result = await processor(INSERT, **options).process(make_traces(3, size="3"))
    spans = list(result.view().records())
    assert {number for number, span in enumerate(spans) if "env" in attributes_of(span)} == changed


@pytest.mark.parametrize(
    ("properties", "chosen"),
    [
        ({"log_severity_number": {"min": 9}}, True),
        ({"log_severity_number": {"min": 10}}, False),
        ({"log_bodies": ["^message"]}, True),
        ({"log_severity_texts": ["."]}, False),
        ({"resources": [{"key": "service.name", "value": "check"}], "log_bodies": ["0$"]}, True),
    ],
)
async def test_only_chosen_log_records_are_changed(properties: dict[str, Any], chosen: bool) -> None:
    result = await processor(INSERT, include={"match_type": "regexp", **properties}).process(make_logs())
    assert [attributes_of(record) for record in result.view().records()] == [{"env": "prod"} if chosen else {}]


async def test_only_metrics_of_chosen_names_are_changed() -> None:
    include = {"match_type": "strict", "metric_names": ["other"]}
    result = await processor(INSERT, include=include).process(make_metrics(name="requests"))
    assert [attributes_of(point) for point in result.view().points()] == [{}]


@pytest.mark.parametrize(
    ("match", "message"),
    [
        ({"match_type": "strict"}, "matches nothing"),
        ({"match_type": "strict", "span_kinds": ["server"]}, "unknown 'server'; valid: SPAN_KIND_UNSPECIFIED"),
        ({"match_type": "regexp", "services": ["("]}, "invalid regular expression"),
        ({"match_type": "regexp", "attributes": [{"key": "a", "value": 1}]}, "needs text as value, got 1"),
        ({"match_type": "glob", "services": ["a"]}, "Input should be 'strict' or 'regexp'"),
    ],
)
def test_refuses_a_match_that_cannot_work(match: dict[str, Any], message: str) -> None:
    with pytest.raises(ValidationError) as refused:
        processor(INSERT, include=match)
    assert message in str(refused.value)


@pytest.mark.parametrize("signal", [Traces, Metrics, Logs])
async def test_resource_processor_leaves_records_encoded(signal: type[Batch]) -> None:
    batch = make_batch(signal, 2)
    records = [record.SerializeToString() for record in batch.view().records()]
    fresh: Any = signal.trusted(batch.payload)
    actions = [INSERT, {"key": "service.name", "action": "hash"}]
    result = await make_component(ResourceProcessor, {"attributes": actions}).process(fresh)
    resource = result.resources()[0]
    assert attributes_of(resource)["env"] == "prod"
    assert len(attributes_of(resource)["service.name"]) == 64
    assert [record.SerializeToString() for record in result.view().records()] == records


async def test_resource_processor_gives_attributes_to_a_group_without_resource() -> None:
    request = ExportTraceServiceRequest()
    request.resource_spans.add().scope_spans.add().spans.add(name="x")
    result = await make_component(ResourceProcessor, {"attributes": [INSERT]}).process(
        Traces.from_wire(request.SerializeToString())
    )
    assert attributes_of(result.view().groups()[0].resource) == {"env": "prod"}
