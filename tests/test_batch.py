"""Batches: what is joined, split, regrouped and edited by wire equals the same on decoded messages."""

from collections import Counter
from typing import Any

import pytest
from google.protobuf.message import Message
from hypothesis import given
from hypothesis import strategies as st

from ophion_agent.batch import SIGNALS, Batch, Logs, Metrics, Traces
from ophion_agent.errors import PermanentError
from ophion_agent.testing import make_batch, make_logs, make_metrics, make_traces
from strategies import messages

ALL = tuple(SIGNALS.values())
UNKNOWN_FIELD = b"\xfa\x7f\x03xyz"


@st.composite
def requests(draw: st.DrawFn) -> tuple[type[Batch], Message]:
    signal = draw(st.sampled_from(ALL))
    return signal, draw(messages(signal.request_type))


SIZES = st.integers(0, 40)
SCOPES = st.lists(st.tuples(SIZES, st.lists(SIZES, max_size=5)), max_size=3)
TEXTS: dict[type[Batch], str] = {Traces: "name", Metrics: "name", Logs: "severity_text"}


@st.composite
def outlines(draw: st.DrawFn) -> tuple[type[Batch], Message]:
    """Requests of which only the sizes of resources, scopes and records differ: quick to make and to shrink."""
    signal = draw(st.sampled_from(ALL))
    view = signal.view_type(signal.request_type())
    for resource_size, scopes in draw(st.lists(st.tuples(SIZES, SCOPES), max_size=4)):
        group = view.groups().add()
        if resource_size:
            group.resource.attributes.add(key="r" * resource_size)
        for scope_size, records in scopes:
            scope = getattr(group, view.scope_field).add()
            scope.scope.name = "s" * scope_size
            for record_size in records:
                record = getattr(scope, view.record_field).add(**{TEXTS[signal]: "x" * record_size})
                if signal is Metrics:
                    record.gauge.data_points.add()
    return signal, view.message


def count_decoded(signal: type[Batch], message: Any) -> int:
    view = signal.from_message(message).view()
    if signal is Metrics:
        return sum(1 for _ in view.points())  # type: ignore[attr-defined]
    return sum(1 for _ in view.records())


def leaves(signal: type[Batch], message: Any) -> Counter[tuple[bytes, ...]]:
    """Every span, log record or data point with all the context it stands in."""
    found: Counter[tuple[bytes, ...]] = Counter()
    view = signal.from_message(message).view()
    for group in view.groups():
        around = type(group)()
        around.CopyFrom(group)
        around.ClearField(view.scope_field)
        for scope in getattr(group, view.scope_field):
            bare = type(scope)()
            bare.CopyFrom(scope)
            bare.ClearField(view.record_field)
            context = (encoded(around), encoded(bare))
            for record in getattr(scope, view.record_field):
                for part in points(record) if signal is Metrics else [(encoded(record),)]:
                    found[(*context, *part)] += 1
    return found


def points(metric: Any) -> list[tuple[bytes, ...]]:
    kind = metric.WhichOneof("data")
    if kind is None:
        return []
    bare = type(metric)()
    bare.CopyFrom(metric)
    del getattr(bare, kind).data_points[:]
    return [(encoded(bare), encoded(point)) for point in getattr(metric, kind).data_points]


def encoded(message: Any) -> bytes:
    return bytes(message.SerializeToString(deterministic=True))


@given(requests())
def test_counts_as_the_decoded_message_does(request_: tuple[type[Batch], Message]) -> None:
    signal, message = request_
    payload = message.SerializeToString()
    assert len(signal.from_wire(payload)) == count_decoded(signal, message)
    assert len(signal.from_message(signal.request_type.FromString(payload))) == count_decoded(signal, message)


@given(requests())
def test_a_batch_that_nobody_edits_keeps_its_bytes(request_: tuple[type[Batch], Message]) -> None:
    signal, message = request_
    payload = message.SerializeToString() + UNKNOWN_FIELD
    batch = signal.from_wire(payload)
    batch.view()
    batch.resources()
    assert batch.payload == payload


@given(st.sampled_from(ALL).flatmap(lambda s: st.tuples(st.just(s), st.lists(messages(s.request_type), max_size=4))))
def test_join_equals_the_merge_of_the_decoded_messages(case: tuple[type[Batch], list[Any]]) -> None:
    signal, parts = case
    merged = signal.request_type()
    for part in parts:
        merged.MergeFrom(part)
    joined = signal.join([signal.from_wire(part.SerializeToString()) for part in parts])
    assert joined.view().message == merged
    assert len(joined) == sum(count_decoded(signal, part) for part in parts)


@given(requests(), st.integers(1, 5))
def test_split_by_items_loses_nothing_and_keeps_the_limit(
    request_: tuple[type[Batch], Message], max_items: int
) -> None:
    signal, message = request_
    parts = signal.from_wire(message.SerializeToString()).split(max_items)
    assert all(len(part) <= max_items for part in parts)
    rejoined = signal.join(parts).view().message
    assert leaves(signal, rejoined) == leaves(signal, message)


@given(outlines() | requests(), st.integers(1, 400))
def test_split_by_bytes_loses_nothing_and_keeps_the_limit(
    request_: tuple[type[Batch], Message], max_bytes: int
) -> None:
    signal, message = request_
    parts = signal.from_wire(message.SerializeToString()).split_bytes(max_bytes)
    for part in parts:
        records = sum(1 for _ in part.view().records())
        assert part.nbytes <= max_bytes or records <= 1
    assert leaves(signal, signal.join(parts).view().message) == leaves(signal, message)


@pytest.mark.parametrize("scopes", [0, 1])
def test_resources_without_records_count_when_a_batch_is_split_by_bytes(scopes: int) -> None:
    message = Traces.request_type()
    for _ in range(3):
        group = message.resource_spans.add()
        group.resource.attributes.add(key="k" * 100)
        for _ in range(scopes):
            group.scope_spans.add()
    for name in "ab":
        message.resource_spans[-1].scope_spans.add().spans.add(name=name)
    parts = Traces.from_wire(message.SerializeToString()).split_bytes(150)
    assert all(part.nbytes <= 150 for part in parts)
    assert leaves(Traces, Traces.join(parts).view().message) == leaves(Traces, message)


@given(requests())
def test_regrouping_merges_equal_resources_and_loses_nothing(request_: tuple[type[Batch], Message]) -> None:
    signal, message = request_
    doubled = signal.from_wire(message.SerializeToString() * 2)
    before = leaves(signal, doubled.view().message)
    regrouped = doubled.regroup_by_resource().view()
    assert leaves(signal, regrouped.message) == before
    groups = [without_scopes(group, regrouped.scope_field) for group in regrouped.groups()]
    assert len(groups) == len(set(groups))


def without_scopes(group: Any, scope_field: str) -> bytes:
    copy = type(group)()
    copy.CopyFrom(group)
    copy.ClearField(scope_field)
    return encoded(copy)


@given(requests())
def test_editing_resources_equals_editing_the_decoded_message(request_: tuple[type[Batch], Message]) -> None:
    signal, message = request_
    by_skeleton = signal.from_wire(message.SerializeToString())
    for resource in by_skeleton.edit_resources():
        resource.attributes.add(key="added").value.string_value = "x"
    by_message = signal.from_message(signal.request_type.FromString(message.SerializeToString()))
    for group in by_message.edit().groups():
        group.resource.attributes.add(key="added").value.string_value = "x"
    assert signal.request_type.FromString(by_skeleton.payload) == signal.request_type.FromString(by_message.payload)
    assert len(by_skeleton) == count_decoded(signal, message)


@given(requests(), st.integers(1, 3))
def test_unknown_fields_survive_split_and_regrouping(request_: tuple[type[Batch], Message], max_items: int) -> None:
    signal, message = request_
    for group in signal.from_message(message).view().groups():
        group.MergeFromString(UNKNOWN_FIELD)
        for scope in getattr(group, signal.view_type.scope_field):
            scope.MergeFromString(UNKNOWN_FIELD)
            for record in getattr(scope, signal.view_type.record_field):
                record.MergeFromString(UNKNOWN_FIELD)
    batch = signal.from_wire(message.SerializeToString())
    rejoined = signal.join(batch.regroup_by_resource().split(max_items)).view().message
    assert leaves(signal, rejoined) == leaves(signal, message)


def answer_to(signal: type[Batch], payload: bytes) -> str:
    try:
        signal.from_wire(payload).split(1)
    except PermanentError as error:
        return str(error)
    return "taken"


@given(st.sampled_from(ALL), st.binary(max_size=60))
def test_arbitrary_bytes_are_a_valid_request_or_refused_for_good(signal: type[Batch], payload: bytes) -> None:
    answer = answer_to(signal, payload)
    assert answer == "taken" or f"{signal.signal}: malformed" in answer


def test_refuses_text_that_is_not_utf8() -> None:
    payload = make_traces(1, service="ABCDE").payload.replace(b"ABCDE", b"\xff\xfe\xfd\xfc\xfb")
    with pytest.raises(PermanentError, match="malformed"):
        Traces.from_wire(payload)


@pytest.mark.parametrize("signal", ALL)
def test_an_edit_of_one_share_is_not_seen_by_the_other(signal: type[Batch]) -> None:
    batch = make_batch(signal, 3)
    before = batch.payload
    branch = batch.share()
    branch.edit_resources()[0].attributes[0].value.string_value = "changed"
    for scope in branch.edit().scopes():
        del getattr(scope, signal.view_type.record_field)[:]
    assert batch.payload == before
    assert (len(batch), len(branch)) == (3, 0)


def test_an_edit_before_sharing_is_seen_by_both() -> None:
    batch = make_traces(1)
    next(batch.edit().records()).name = "renamed"
    branch = batch.share()
    next(branch.edit().records()).name = "again"
    assert next(batch.view().records()).name == "renamed"
    assert next(branch.view().records()).name == "again"


def test_an_edit_drops_what_was_encoded_and_counted_before() -> None:
    batch = make_logs(3)
    assert len(batch) == 3
    view = batch.edit()
    del next(view.scopes()).log_records[1:]
    assert len(batch) == 1
    assert len(Logs.from_wire(batch.payload)) == 1


def test_a_batch_edited_by_resource_then_by_record_keeps_both_edits() -> None:
    batch = make_traces(2)
    batch.edit_resources()[0].attributes.add(key="a").value.bool_value = True
    next(batch.edit().records()).name = "renamed"
    batch.edit_resources()[0].attributes.add(key="b").value.bool_value = True
    decoded = Traces.from_wire(batch.payload)
    assert [attribute.key for attribute in decoded.resources()[0].attributes] == ["service.name", "a", "b"]
    assert next(decoded.view().records()).name == "renamed"


def test_edited_resources_are_made_where_a_group_had_none() -> None:
    message = Traces.request_type()
    message.resource_spans.add().scope_spans.add().spans.add(name="x")
    batch = Traces.from_wire(message.SerializeToString())
    batch.edit_resources()[0].attributes.add(key="a").value.string_value = "b"
    assert Traces.from_wire(batch.payload).resources()[0].attributes[0].key == "a"


def test_pruning_removes_what_a_filter_left_empty() -> None:
    batch = Metrics.join([make_metrics(2), make_metrics(2, name="kept")])
    view = batch.edit()
    for metric in view.records():
        if metric.name != "kept":
            del metric.gauge.data_points[:]
    view.prune()
    assert [metric.name for metric in view.records()] == ["kept"]
    assert len(view.groups()) == 1


def test_a_metric_without_data_is_pruned() -> None:
    batch = make_metrics(1)
    view = batch.edit()
    next(view.scopes()).metrics.add(name="empty")
    view.prune()
    assert [metric.name for metric in view.records()] == ["requests"]


def test_compacting_keeps_what_was_edited() -> None:
    batch = make_traces(1)
    next(batch.edit().records()).name = "renamed"
    assert next(batch.compact().view().records()).name == "renamed"


def test_metadata_stays_with_every_part() -> None:
    batch = Traces.trusted(make_traces(4).payload, metadata={"tenant": ("a",)})
    parts = batch.split(1)
    assert len(parts) == 4
    assert {part.metadata["tenant"] for part in [*parts, batch.share(), Traces.join(parts)]} == {("a",)}


def test_a_joined_empty_list_is_an_empty_batch() -> None:
    assert len(Logs.join([])) == 0
