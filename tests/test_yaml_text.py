from typing import Any

import pytest

from ophion_agent.config_tree import dump_yaml, plain
from ophion_agent.yaml_text import MAX_BYTES, parse_yaml, typed_scalar


def read(text: str) -> Any:
    node, problems = parse_yaml(text, "a.yaml")
    assert problems == []
    assert node is not None
    return plain(node)


def complaints(text: str) -> list[str]:
    return [str(problem) for problem in parse_yaml(text, "a.yaml")[1]]


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("", None),
        ("~", None),
        ("Null", None),
        ("true", True),
        ("FALSE", False),
        ("yes", "yes"),
        ("on", "on"),
        ("8080", 8080),
        ("-1", -1),
        ("0123", 83),
        ("0o17", 15),
        ("0x1F", 31),
        ("0b101", 5),
        ("65_536", 65536),
        ("1.5", 1.5),
        ("1e5", 100000.0),
        (".5", 0.5),
        ("+.5", 0.5),
        ("-.inf", float("-inf")),
        ("089", 89.0),
        ("12:30", "12:30"),
        ("2024-01-01", "2024-01-01"),
        ("1.2.3.4", "1.2.3.4"),
        ("1s", "1s"),
        ("=", "="),
        (":8889", ":8889"),
        ("12345678901234567890123", 12345678901234567890123),
    ],
)
def test_scalars_are_typed_as_the_collector_types_them(text: str, value: object) -> None:
    assert typed_scalar(text) == value
    assert type(typed_scalar(text)) is type(value)


def test_nan_is_a_number() -> None:
    assert repr(typed_scalar(".nan")) == "nan"


def test_quoted_scalars_stay_text() -> None:
    assert read('{a: "8080", b: \'true\', c: !!str 0123, d: !!int "7"}') == {
        "a": "8080",
        "b": "true",
        "c": "0123",
        "d": 7,
    }


def test_reads_the_syntax_of_real_files() -> None:
    text = "---\nreceivers:\nbatch : {x: [ a, b ]}\nendpoint: :8889\n200: ok\n"
    assert read(text) == {"receivers": None, "batch": {"x": ["a", "b"]}, "endpoint": ":8889", "200": "ok"}


def test_anchors_and_merge_keys_work() -> None:
    text = "a: &a {x: 1, y: 2}\nb: {<<: *a, x: 3}\nc: {<<: [{x: 8}, *a]}\nd: *a"
    assert read(text) == {"a": {"x": 1, "y": 2}, "b": {"x": 3, "y": 2}, "c": {"x": 8, "y": 2}, "d": {"x": 1, "y": 2}}


def test_double_colons_in_keys_nest() -> None:
    text = "processors::batch::timeout: 1s\nprocessors: {batch: {send_batch_size: 1}}"
    other_order = "processors: {batch: {send_batch_size: 1}}\nprocessors::batch::timeout: 1s"
    assert read(other_order) == {"processors": {"batch": {"send_batch_size": 1, "timeout": "1s"}}}
    assert read(text) == read(other_order)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "a: b: c",
            "a.yaml:1: not valid YAML, column 5: mapping values are not allowed in this context: `a: b: c`; "
            "quote a value that holds `: `, or check the indentation",
        ),
        (
            "a: [1\nb: 2",
            "a.yaml:2: not valid YAML, column 2: did not find expected ',' or ']' (while parsing a flow sequence, "
            "begun in line 1): `b: 2`; close the bracket, or quote the value",
        ),
        (
            "a:\n\tb: 1",
            "a.yaml:2: not valid YAML, column 1: found character that cannot start any token: `b: 1`; "
            "indent with spaces, and quote a value that begins with @, `, % or a tab",
        ),
        (
            "a: *x",
            "a.yaml:1: not valid YAML, column 4: found undefined alias: `a: *x`; quote a value that begins with *",
        ),
        (
            "a: 1\n---\nb: 2",
            "a.yaml:2: not valid YAML, column 1: a second document begins here: `---`; keep one document in a file",
        ),
        ("a: 1\nb: 2\na: 3", "a.yaml:3: a: duplicate key, first written in line 1"),
        (
            "{[a]: 1}",
            "a.yaml:1: a key must be plain text, got a list or a mapping; quote a key that begins with [ or {",
        ),
        ("a: !foo x", "a.yaml:1: a: unknown YAML tag !foo; valid: !append"),
        ("a: !append 3", "a.yaml:1: a: the tag !append stands before a list only: !append [a, b]"),
        ("a: {<<: 3}", "a.yaml:1: a.<<: a merge key takes a mapping or a list of mappings"),
        ("a: &a [*a]", "a.yaml:1: a[0]: an alias refers to the value that holds it"),
        ("a: " + "[" * 5000, "a.yaml:1: nests deeper than 100 levels"),
        ("\n" + "{a: " * 200 + "}" * 200, "a.yaml:2: nests deeper than 100 levels"),
        ("a" * (MAX_BYTES + 1), "a.yaml: is larger than 4 MiB"),
    ],
)
def test_says_what_is_wrong_and_where(text: str, message: str) -> None:
    assert complaints(text) == [message]


def test_reports_a_character_that_yaml_forbids() -> None:
    (message,) = complaints("a: 1\nb: \x01")
    assert message.startswith("a.yaml:2: not valid YAML")
    assert "control characters are not allowed" in message


def test_aliases_that_multiply_are_stopped() -> None:
    levels = [f"l{i}: &l{i} [{', '.join([f'*l{i - 1}'] * 10)}]" for i in range(1, 8)]
    text = "\n".join(["l0: &l0 [x]", *levels])
    assert complaints(text) == ["a.yaml: holds more than 100000 values; look for aliases that multiply one another"]


def test_huge_documents_are_stopped() -> None:
    message = "a.yaml: holds more than 100000 values; look for aliases that multiply one another"
    assert complaints("[" + "x," * 500_000 + "]") == [message]


def test_aliases_that_nest_are_stopped() -> None:
    text = "\n".join(["l0: &l0 [x]", *(f"l{i}: &l{i} [*l{i - 1}]" for i in range(1, 300))])
    assert complaints(text) == ["a.yaml:1: nests deeper than 100 levels"]


def test_an_empty_document_is_nothing() -> None:
    assert parse_yaml("# only a comment\n", "a.yaml") == (None, [])


def test_a_dumped_tree_reads_as_it_was() -> None:
    text = 'a: {b: [1, 1.5, true, null, "true", "0123", "12:30"], c: "text: with colon"}\nd: &x [1]\ne: *x'
    tree = read(text)
    assert read(dump_yaml(tree)) == tree
    assert "&" not in dump_yaml(tree)
