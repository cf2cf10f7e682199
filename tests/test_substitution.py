from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ophion_agent.config_tree import dump_yaml, plain
from ophion_agent.providers import ProviderError
from ophion_agent.substitution import Substitution
from ophion_agent.yaml_text import parse_yaml


def refuse_network(url: str) -> str:
    raise ProviderError(f"no network for {url}")


def run(text: str, environ: Mapping[str, str]) -> tuple[Any, Substitution]:
    node, problems = parse_yaml(text, "a.yaml")
    assert node is not None
    assert problems == []
    substitution = Substitution(environ, fetch=refuse_network)
    return plain(substitution.apply(node)), substitution


def resolve(value: str, **environ: str) -> Any:
    tree, substitution = run(dump_yaml({"k": value}), environ)
    assert substitution.problems == []
    return tree["k"]


def problems(value: str, **environ: str) -> list[str]:
    return [str(problem) for problem in run(dump_yaml({"k": value}), environ)[1].problems]


def warnings(value: str, **environ: str) -> list[str]:
    return [str(warning) for warning in run(dump_yaml({"k": value}), environ)[1].warnings]


@pytest.mark.parametrize("reference", ["${env:X}", "${X}", "$X", "${env:${NAME}}", "${${SCHEME}:X}"])
@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("8080", 8080),
        ("true", True),
        ("1.5", 1.5),
        ("word", "word"),
        ("null", None),
        ("[a, b]", ["a", "b"]),
        ("{a: 1}", {"a": 1}),
        ("", ""),
        ("#pw", "#pw"),
        ('"0123"', '"0123"'),
        ("[a,", "[a,"),
        ("Authorization: Bearer x", "Authorization: Bearer x"),
        ("- x", "- x"),
    ],
)
def test_a_whole_reference_takes_the_type_of_its_value(reference: str, text: str, value: object) -> None:
    assert resolve(reference, X=text, NAME="X", SCHEME="env") == value


def test_a_number_from_a_reference_remembers_its_text() -> None:
    number = resolve("${env:X}", X="0123")
    assert number == 83
    assert str(number) == "0123"
    assert resolve("${env:X}", X="[a, 1]").text == "[a, 1]"


def test_inside_text_everything_is_text() -> None:
    url = "http://${env:HOST}:${PORT}/$BASE/${env:REST:-v1}?n=${env:N}"
    assert resolve(url, HOST="h", PORT="0123", BASE="b", N="[1]") == "http://h:0123/b/v1?n=[1]"


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("$$1", "$1"),
        ('$$attributes["x"]', '$attributes["x"]'),
        ("$${env:X}", "${env:X}"),
        ("$$$X", "$v"),
        ("$$${env:X}", "$v"),
        ("$$$$", "$$"),
        ("^foo$", "^foo$"),
        ("$1", "$1"),
        ("a$", "a$"),
        ("{ ${env:X} }", "{ v }"),
    ],
)
def test_dollars_are_escaped_and_kept(text: str, value: str) -> None:
    assert resolve(text, X="v") == value


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("${env:NO:-5}", 5),
        ("${NO:-5}", 5),
        ("${env:NO:-}", ""),
        ("${env:NO:-${env:X}}", "v"),
        ("${env:NO:-${env:NO2:-deep}}", "deep"),
        ("${env:NO:-http://h:1/x}", "http://h:1/x"),
        ("${env:NO:-{a: 1}}", {"a": 1}),
        ("${env:X:-unused}", "v"),
        ("${env:EMPTY:-unused}", ""),
        ("a-${env:NO:-b}-c", "a-b-c"),
        ("${env:NO:-$X}", "v"),
        ("${env:NO:-a$$b}", "a$b"),
    ],
)
def test_defaults_apply_to_unset_variables(text: str, value: object) -> None:
    assert resolve(text, X="v", EMPTY="") == value


def test_a_default_that_is_not_needed_is_not_resolved() -> None:
    assert problems("${env:X:-${file:/nonexistent}}", X="v") == []


def test_values_may_hold_references_but_not_bare_names() -> None:
    assert resolve("${env:A}", A="[x, '${env:B}', $HOME]", B="b", HOME="/root") == ["x", "b", "$HOME"]
    assert resolve("p ${env:A}", A="pa$HOME", HOME="/root") == "p pa$HOME"
    assert resolve("${env:A}", A="${env:B}", B="7") == 7
    assert resolve("${env:A}", A="$$x") == "$x"


def test_keys_are_not_substituted() -> None:
    tree, _ = run("'${env:X}': {'$X': 1}", {"X": "v"})
    assert tree == {"${env:X}": {"$X": 1}}


def test_an_unset_variable_is_empty_and_warned_about() -> None:
    tree, substitution = run("a:\n  b: [1, '${env:NO}']\n  c: x${NO2}y", {})
    assert tree == {"a": {"b": [1, ""], "c": "xy"}}
    assert [str(warning) for warning in substitution.warnings] == [
        "a.yaml:2: a.b[1]: environment variable NO is not set, so this is empty; write ${env:NO:-default}",
        "a.yaml:3: a.c: environment variable NO2 is not set, so this is empty; write ${env:NO2:-default}",
    ]


def test_an_unset_bare_name_is_kept_and_warned_about() -> None:
    assert resolve("$NO/x") == "$NO/x"
    assert warnings("$NO/x") == [
        "a.yaml:1: k: environment variable NO is not set, so the text $NO is kept; "
        "write ${env:NO} for a reference or $$NO for the text"
    ]


def test_an_unclosed_reference_is_kept_and_warned_about() -> None:
    assert resolve("${env:X") == "${env:X"
    assert resolve("${a ${env:X}", X="v") == "${a v"
    assert warnings("${env:X") == [
        "a.yaml:1: k: `${` has no closing `}`, so the text is kept; write `$${` for a literal `${`"
    ]


def test_yaml_references_are_parsed() -> None:
    assert resolve("${yaml:{a: [1, '${env:X}']}}", X="v") == {"a": [1, "v"]}
    assert resolve("${yaml:a: b}") == {"a": "b"}


def test_file_references_hold_text_or_configuration(tmp_path: Path) -> None:
    (tmp_path / "token").write_text("0123\n")
    (tmp_path / "part.yaml").write_text("endpoint: $HOST:1\ntls:\n  insecure: true\n")
    environ = {"DIR": str(tmp_path), "HOST": "h"}
    tree, substitution = run("a: ${file:${env:DIR}/part.yaml}\nb: x-${file:$DIR/token}\nc: ${file:$DIR/token}", environ)
    assert tree == {"a": {"endpoint": "h:1", "tls": {"insecure": True}}, "b": "x-0123", "c": 83}
    assert str(tree["c"]) == "0123"
    assert substitution.problems == []


def test_a_broken_included_file_is_reported_with_its_own_place(tmp_path: Path) -> None:
    part = tmp_path / "part.yaml"
    part.write_text("a: 1\na: 2\n")
    assert problems(f"${{file:{part}}}") == [f"{part}:2: k.a: duplicate key, first written in line 1"]


def test_http_references_are_fetched_once() -> None:
    asked: list[str] = []

    def fetch(url: str) -> str:
        asked.append(url)
        return "timeout: 5s\n"

    node, _ = parse_yaml("a: ${https://h/x}\nb: ${https://h/x}\nc: plain", "a.yaml")
    assert node is not None
    substitution = Substitution({}, fetch=fetch)
    assert plain(substitution.apply(node)) == {"a": {"timeout": "5s"}, "b": {"timeout": "5s"}, "c": "plain"}
    assert asked == ["https://h/x"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "${vault:x}",
            '${vault:x}: unknown scheme "vault"; valid: env, file, http, https, yaml; '
            "write ${env:vault:-...} for a default",
        ),
        (
            "${HTPP://x}",
            '${HTPP://x}: unknown scheme "HTPP"; did you mean "http"? valid: env, file, http, https, yaml; '
            "write ${env:HTPP:-...} for a default",
        ),
        ("${1}", '${1}: must be the name of an environment variable, got "1"; write $${1} for the text'),
        ("a${}b", '${}: must be the name of an environment variable, got ""; write $${} for the text'),
        ("${file:/nonexistent}", "${file:/nonexistent}: no such file"),
        ("${file:/}", "${file:/}: is a directory"),
        ("${http://h/}", "${http://h/}: no network for http://h/"),
        ("${env:A}", "${env:B}: refers to itself: env:A -> env:B -> env:A"),
        ("x${env:S}", "${env:S}: refers to itself: env:S -> env:S"),
    ],
)
def test_says_what_is_wrong_with_a_reference(text: str, message: str) -> None:
    found = problems(text, A="x${env:B}", B="y${env:A}z", S="${env:S}")
    assert [part.replace("${env:A}: refers", "${env:B}: refers") for part in found] == [f"a.yaml:1: k: {message}"]


def test_every_problem_is_collected() -> None:
    _, substitution = run("a: ${file:/nonexistent}\nb: ['${1}', '${foo:x}']", {})
    assert [problem.path for problem in substitution.problems] == [("a",), ("b", 0), ("b", 1)]


def test_variables_that_multiply_are_stopped() -> None:
    environ = {f"V{i}": f"${{env:V{i + 1}}}" * 10 for i in range(15)} | {"V15": "x"}
    found = problems("${env:V0} ", **environ)
    assert "references expand to too much text" in found[0]


def test_deep_nesting_is_stopped() -> None:
    (message,) = problems("${" * 50 + "X" + "}" * 50, X="X")
    assert "nests more than 20 references" in message


LITERAL = st.text(st.characters(exclude_characters="$", exclude_categories=["Cc", "Cs", "Zl", "Zp"]), max_size=12)


@given(st.text(st.characters(exclude_categories=["Cc", "Cs", "Zl", "Zp"]), max_size=30))
def test_escaped_text_comes_back_as_it_was(text: str) -> None:
    node, _ = parse_yaml("k: x", "a.yaml")
    assert node is not None
    assert isinstance(node.value, dict)
    node.value["k"].value = text.replace("$", "$$")
    substitution = Substitution({}, fetch=refuse_network)
    assert plain(substitution.apply(node)) == {"k": text}
    assert substitution.problems == substitution.warnings == []


@given(st.lists(st.tuples(LITERAL, LITERAL), min_size=1, max_size=5))
def test_embedded_references_equal_joining_the_parts(parts: list[tuple[str, str]]) -> None:
    environ = {f"V{i}": value for i, (_, value) in enumerate(parts)}
    text = "".join(f"({literal.replace('{', '').replace('}', '')}${{env:V{i}}}" for i, (literal, _) in enumerate(parts))
    expected = "".join(f"({literal.replace('{', '').replace('}', '')}{value}" for literal, value in parts)
    node, _ = parse_yaml("k: x", "a.yaml")
    assert node is not None
    assert isinstance(node.value, dict)
    node.value["k"].value = text
    assert plain(Substitution(environ, fetch=refuse_network).apply(node)) == {"k": expected}


@given(st.text("${}:-envfil/XY a", max_size=40))
def test_any_text_resolves_or_is_reported(text: str) -> None:
    node, _ = parse_yaml("k: x", "a.yaml")
    assert node is not None
    assert isinstance(node.value, dict)
    node.value["k"].value = text
    substitution = Substitution({"X": "${Y}", "Y": "$X{"}, fetch=refuse_network)
    assert set(plain(substitution.apply(node))) == {"k"}
