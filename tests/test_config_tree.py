from typing import Any

import yaml

from ophion_agent.config_tree import Node, dump_yaml, merge, plain
from ophion_agent.substitution import Substitution
from ophion_agent.yaml_text import parse_yaml


def node(text: str, file: str = "a.yaml") -> Node:
    parsed, problems = parse_yaml(text, file)
    assert parsed is not None
    assert problems == []
    return parsed


def merged(*texts: str) -> Any:
    base = Node({}, "", None)
    for text in texts:
        merge(base, node(text))
    return plain(base)


def test_mappings_merge_at_any_depth() -> None:
    assert merged("a: {b: {c: 1, d: 2}}", "a: {b: {d: 3, e: 4}}") == {"a": {"b": {"c": 1, "d": 3, "e": 4}}}


def test_a_scalar_a_list_and_a_mapping_replace_one_another() -> None:
    assert merged("{a: 1, b: [1], c: {x: 1}}", "{a: [2], b: {y: 1}, c: 3}") == {"a": [2], "b": {"y": 1}, "c": 3}


def test_an_empty_mapping_keeps_what_is_there_and_null_removes_it() -> None:
    assert merged("{a: {x: 1}, b: {x: 1}}", "{a: {}, b: }") == {"a": {"x": 1}, "b": None}


def test_appending_to_nothing_is_the_list_itself() -> None:
    assert merged("a: ", "a: !append [1]", "b: !append [2]") == {"a": [1], "b": [2]}


def test_values_from_references_are_dumped_as_plain_yaml() -> None:
    environ = {"I": "0123", "F": "1e5", "L": "[a, 1]", "D": "{a: 1}"}
    resolved = Substitution(environ).apply(node("i: ${I}\nf: ${F}\nl: ${L}\nd: ${D}"))
    assert yaml.safe_load(dump_yaml(plain(resolved))) == {"i": 83, "f": 100000.0, "l": ["a", 1], "d": {"a": 1}}
