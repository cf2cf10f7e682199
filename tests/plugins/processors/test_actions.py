"""Actions on attributes behave as otelcol's attributes and resource processors do."""

import hashlib
from typing import Any

import pytest
from opentelemetry.proto.common.v1.common_pb2 import KeyValue
from pydantic import ValidationError

from ophion_processors.actions import ActionConfig, ActionList
from ophion_processors.values import float_text, to_any_value, to_python, to_text

MISSING_KEY = "action 'insert': needs `key`"


def run(attributes: dict[str, Any], *actions: dict[str, Any], **metadata: tuple[str, ...]) -> dict[str, Any]:
    held = [KeyValue(key=key, value=to_any_value(value)) for key, value in attributes.items()]
    ActionList(ActionConfig.model_validate(action) for action in actions).apply(held, metadata)
    return {attribute.key: to_python(attribute.value) for attribute in held}


def test_insert_adds_only_an_absent_key() -> None:
    insert = {"key": "a", "value": 1, "action": "insert"}
    assert run({}, insert) == {"a": 1}
    assert run({"a": "old"}, insert) == {"a": "old"}


def test_update_changes_only_a_present_key() -> None:
    update = {"key": "a", "value": 2.5, "action": "update"}
    assert run({}, update) == {}
    assert run({"a": "old"}, update) == {"a": 2.5}


def test_upsert_sets_a_key_in_any_case() -> None:
    upsert = {"key": "a", "value": [1, True, {"b": None}], "action": "upsert"}
    assert run({}, upsert) == run({"a": 1}, upsert) == {"a": [1, True, {"b": None}]}


def test_action_names_are_read_in_any_case() -> None:
    assert run({}, {"key": "a", "value": False, "action": "UPSERT"}) == {"a": False}


def test_value_is_copied_from_another_attribute() -> None:
    copy = {"key": "copy", "from_attribute": "a", "action": "insert"}
    assert run({"a": 7}, copy) == {"a": 7, "copy": 7}
    assert run({"b": 7}, copy) == {"b": 7}
    assert run({"a": 7}, {"key": "a", "from_attribute": "a", "action": "update"}) == {"a": 7}


def test_value_comes_from_the_senders_headers() -> None:
    from_header = {"key": "tenant", "from_context": "metadata.X-Tenant", "action": "upsert"}
    assert run({}, from_header, **{"x-tenant": ("a", "b")}) == {"tenant": "a;b"}
    assert run({}, from_header) == {}
    assert run({}, {**from_header, "from_context": "client.address"}, **{"client.address": ("::1",)}) == {
        "tenant": "::1"
    }


def test_default_value_stands_in_for_an_absent_source() -> None:
    action = {"key": "region", "from_attribute": "cloud.region", "default_value": "us-east-1", "action": "insert"}
    assert run({}, action) == {"region": "us-east-1"}
    assert run({"cloud.region": "eu"}, action) == {"cloud.region": "eu", "region": "eu"}


def test_delete_takes_a_key_and_a_pattern() -> None:
    assert run({"a": 1, "b": 2, "http.x": 3}, {"key": "a", "pattern": r"^http\.", "action": "delete"}) == {"b": 2}


@pytest.mark.parametrize(
    ("value", "content"),
    [
        ("text", b"text"),
        (True, b"\x01"),
        (False, b"\x00"),
        (258, b"\x02\x01\x00\x00\x00\x00\x00\x00"),
        (1.0, b"\x00\x00\x00\x00\x00\x00\xf0\x3f"),
    ],
)
def test_hash_replaces_a_value_by_its_sha256(value: Any, content: bytes) -> None:
    assert run({"a": value}, {"key": "a", "action": "hash"}) == {"a": hashlib.sha256(content).hexdigest()}


@pytest.mark.parametrize("value", ["", [1], {"a": 1}, b"bytes"])
def test_hash_of_what_has_no_scalar_form_is_empty(value: Any) -> None:
    assert run({"a": value}, {"pattern": "^a$", "action": "hash"}) == {"a": ""}


def test_extract_sets_named_groups() -> None:
    extract = {"key": "url", "pattern": r"^/(?<version>v\d+)/(?P<name>\w+)(?P<rest>/.*)?$", "action": "extract"}
    assert run({"url": "/v1/users", "name": 5}, extract) == {
        "url": "/v1/users",
        "name": "users",
        "version": "v1",
        "rest": "",
    }
    assert run({"url": "/none"}, extract) == {"url": "/none"}
    assert run({"url": 5}, extract) == {"url": 5}


@pytest.mark.parametrize(
    ("value", "target", "converted"),
    [
        ("12", "int", 12),
        ("+7", "int", 7),
        (" 12", "int", " 12"),
        ("1_000", "int", "1_000"),
        ("9223372036854775808", "int", "9223372036854775808"),
        (3.9, "int", 3),
        (float("inf"), "int", float("inf")),
        (True, "int", 1),
        ([1], "int", [1]),
        ("1.5e3", "double", 1500.0),
        ("abc", "double", "abc"),
        (4, "double", 4.0),
        (False, "double", 0.0),
        (4, "string", "4"),
        (1.0, "string", "1"),
        (True, "string", "true"),
        (["a", 1, {"b": 2.0}], "string", '["a",1,{"b":2.0}]'),
        (b"ab", "string", "YWI="),
    ],
)
def test_convert_changes_the_type_or_leaves_the_value(value: Any, target: str, converted: Any) -> None:
    result = run({"a": value}, {"key": "a", "action": "convert", "converted_type": target})["a"]
    assert (type(result), result) == (type(converted), converted)


def test_actions_run_in_order() -> None:
    actions = (
        {"key": "a", "value": "1", "action": "insert"},
        {"key": "a", "action": "convert", "converted_type": "int"},
        {"key": "b", "from_attribute": "a", "action": "upsert"},
        {"key": "a", "action": "delete"},
    )
    assert run({}, *actions) == {"b": 1}


@pytest.mark.parametrize(
    ("action", "message"),
    [
        ({"action": "insert", "value": 1}, MISSING_KEY),
        ({"action": "delete"}, "action 'delete': needs `key` or `pattern`"),
        ({"action": "insert", "key": "a"}, "needs one of `value`, `from_attribute`, `from_context`"),
        ({"action": "update", "key": "a", "value": 1, "from_attribute": "b"}, "got `from_attribute` and `value`"),
        ({"action": "upsert", "key": "a", "value": 1, "pattern": "x"}, "does not use `pattern`"),
        ({"action": "delete", "key": "a", "value": 1}, "does not use `value`"),
        ({"action": "extract", "key": "a"}, "needs `pattern` with named groups"),
        ({"action": "extract", "key": "a", "pattern": "(x)"}, "`pattern` needs a group with a name"),
        ({"action": "extract", "key": "a", "pattern": "x("}, "invalid regular expression 'x('"),
        ({"action": "convert", "key": "a"}, "needs `converted_type`; valid: int, double, string"),
        ({"action": "insert", "key": "a", "value": object()}, "must be text, a number, true, false, a list or a map"),
    ],
)
def test_refuses_an_action_that_cannot_work(action: dict[str, Any], message: str) -> None:
    with pytest.raises(ValidationError) as refused:
        ActionConfig.model_validate(action)
    assert message in str(refused.value)


@pytest.mark.parametrize(
    ("number", "text"),
    [
        (0.0, "0"),
        (1.0, "1"),
        (-2.5, "-2.5"),
        (1e20, "100000000000000000000"),
        (1e21, "1e+21"),
        (0.00001, "0.00001"),
        (1.25e-5, "0.0000125"),
        (1e-7, "1e-7"),
        (float("nan"), "NaN"),
        (float("-inf"), "-Inf"),
    ],
)
def test_floats_are_written_as_otelcol_writes_them(number: float, text: str) -> None:
    assert float_text(number) == to_text(number) == text
