import json
from pathlib import Path
from typing import Any

import pytest

from ophion_agent.loading import load

TESTDATA = Path(__file__).parent / "testdata"
OTELCOL = sorted((TESTDATA / "otelcol").glob("*.yaml"))
TEXTUAL = ("duplicate_keys", "bad_references", "syntax_error")


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def tree_of(*sources: str, sets: tuple[str, ...] = ()) -> Any:
    loaded = load([f"yaml:{source}" for source in sources], sets, {})
    assert loaded.problems == []
    return loaded.tree


def problems(*sources: str | Path, sets: tuple[str, ...] = ()) -> list[str]:
    return [str(problem) for problem in load(sources, sets, {}).problems]


@pytest.mark.parametrize("path", OTELCOL, ids=lambda path: path.stem)
def test_real_collector_files_load_without_complaint(path: Path) -> None:
    environ = json.loads((TESTDATA / "otelcol" / "env.json").read_text())
    loaded = load([path], environ=environ)
    assert loaded.problems == loaded.warnings == []
    assert "$" not in str(loaded.tree).replace("$1 for $attributes", "").replace(".*)$", "")
    assert set(loaded.tree["service"]["pipelines"])


def test_collector_files_give_the_values_that_otelcol_reads() -> None:
    environ = json.loads((TESTDATA / "otelcol" / "env.json").read_text())

    def tree(name: str) -> Any:
        return load([TESTDATA / "otelcol" / f"{name}.yaml"], environ=environ).tree

    assert tree("minimal")["processors"] is None
    assert tree("minimal")["receivers"] == {"otlp": {"protocols": {"grpc": None, "http": None}}}
    assert tree("durable_queue")["exporters"]["otlp"]["endpoint"] == "localhost:14317"
    assert tree("durable_queue")["extensions"]["file_storage/otc"]["compaction"]["max_transaction_size"] == 65536
    assert tree("http_per_signal")["exporters"]["otlphttp"]["sending_queue"] == {"batch": None}
    assert tree("anchors_and_instances")["exporters"]["otlp/b"]["tls"] == {"insecure": True}
    actions = tree("edited_attributes")["processors"]["attributes/example"]["actions"]
    assert actions[-2]["value"] == 'cost is $1 for $attributes["item"]'
    assert actions[-1]["value"] == 3


@pytest.mark.parametrize("name", TEXTUAL)
def test_unreadable_files_are_refused_with_these_sentences(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(TESTDATA / "invalid")
    assert problems(f"{name}.yaml") == Path(f"{name}.txt").read_text().splitlines()


def test_later_sources_win_maps_merge_and_lists_are_replaced() -> None:
    base = "{a: {x: 1, y: 2}, list: [1, 2], s: 1}"
    assert tree_of(base, "{a: {y: 3, z: 4}, list: [3], s: {t: 1}}") == {
        "a": {"x": 1, "y": 3, "z": 4},
        "list": [3],
        "s": {"t": 1},
    }


def test_append_adds_to_the_list_it_would_replace() -> None:
    assert tree_of("{list: [a, b]}", "{list: !append [b, c]}", "{list: !append [d]}") == {"list": ["a", "b", "c", "d"]}
    assert tree_of("{list: !append [a]}") == {"list": ["a"]}
    assert tree_of("{list: [a]}", sets=("list=!append [b]",)) == {"list": ["a", "b"]}


def test_set_overrides_everything() -> None:
    assert tree_of(
        "{processors: {batch/fast: {timeout: 5s, a: 1}}, otlp: 1}",
        sets=(
            "processors.batch/fast.timeout=1s",
            "service.telemetry.logs.level = debug",
            "receivers::otlp/eu.west::protocols={grpc: }",
            "n=8080",
            "empty=",
            "url=a=b",
        ),
    ) == {
        "processors": {"batch/fast": {"timeout": "1s", "a": 1}},
        "otlp": 1,
        "service": {"telemetry": {"logs": {"level": "debug"}}},
        "receivers": {"otlp/eu.west": {"protocols": {"grpc": None}}},
        "n": 8080,
        "empty": None,
        "url": "a=b",
    }


def test_set_finds_names_that_hold_dots() -> None:
    source = "{exporters: {otlp/eu.west: {headers: {x.y: 1}}}}"
    assert tree_of(source, sets=("exporters.otlp/eu.west.headers.x.y=2",)) == {
        "exporters": {"otlp/eu.west": {"headers": {"x.y": 2}}}
    }


def test_set_values_may_hold_references() -> None:
    assert load(["yaml:{a: 1}"], ["b=x-${env:X}"], {"X": "v"}).tree == {"a": 1, "b": "x-v"}


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("novalue", '--set: must be key=value, got "novalue"; write processors.batch.timeout=1s'),
        ("=x", '--set: must be key=value, got "=x"; write processors.batch.timeout=1s'),
        ("list.0=x", "--set: list: is a list; set all of it: --set 'list=[a, b]'"),
    ],
)
def test_refuses_an_override_that_cannot_be_meant(override: str, message: str) -> None:
    assert problems("yaml:{list: [1]}", sets=(override,)) == [message]


def test_a_broken_override_names_its_key() -> None:
    (message,) = problems("yaml:{a: 1}", sets=("a.b=[1",))
    assert message.startswith("--set: a.b: not valid YAML")


def test_origins_name_the_file_and_line_that_won(folder: Path) -> None:
    (folder / "a.yaml").write_text(
        "processors:\n  batch/fast:\n    timeout: -1\n    size: 2\nlist:\n  - x: 1\n  - x: 2\n"
    )
    (folder / "b.yaml").write_text("processors:\n\n  batch/fast: {size: 3}\n")
    origins = load(["a.yaml", Path("b.yaml")], ["list2=[1]"], {}).origins
    assert origins.file_of(("processors", "batch/fast", "timeout")) == ("a.yaml", 3)
    assert origins.file_of(("processors", "batch/fast", "size")) == ("b.yaml", 3)
    assert origins.file_of(("processors", "batch/fast", "nothing", "here")) == ("a.yaml", 2)
    assert origins.file_of(("list", 1, "x")) == ("a.yaml", 7)
    assert origins.file_of(("list2", 0)) == ("--set", None)
    assert origins.file_of(("unknown",)) == ("", None)
    problem = origins.problem(("processors", "batch/fast", "timeout"), "must be at least 10ms, got -1")
    assert str(problem) == "a.yaml:3: processors.batch/fast.timeout: must be at least 10ms, got -1"


def test_origins_reach_into_included_files(folder: Path) -> None:
    (folder / "part.yaml").write_text("\nendpoint: x\n")
    (folder / "a.yaml").write_text("exporters:\n  otlp: ${file:part.yaml}\n")
    loaded = load(["a.yaml"], environ={})
    assert loaded.origins.file_of(("exporters", "otlp", "endpoint")) == ("part.yaml", 2)


def test_uris_are_sources(folder: Path) -> None:
    (folder / "a.yaml").write_text("a: 1\n")
    loaded = load(["file:a.yaml", f"file://{folder}/a.yaml", "env:CONFIG", "yaml:c::d: 3"], environ={"CONFIG": "b: 2"})
    assert loaded.tree == {"a": 1, "b": 2, "c": {"d": 3}}
    assert loaded.origins.file_of(("b",)) == ("env:CONFIG", 1)


def test_a_byte_order_mark_is_ignored(folder: Path) -> None:
    (folder / "a.yaml").write_bytes(b"\xef\xbb\xbfa: 1\n")
    assert load(["a.yaml"], environ={}).tree == {"a": 1}


def test_refuses_sources_that_cannot_be_read(folder: Path) -> None:
    (folder / "agent.yaml").write_text("a: 1\n")
    (folder / "list.yaml").write_text("- a\n")
    (folder / "text.yaml").write_text("just words\n")
    (folder / "latin.yaml").write_bytes(b"a: \xff\n")
    (folder / "conf").mkdir()
    (folder / "conf" / "x.yaml").write_text("")
    (folder / "bare").mkdir()
    sections = "must be a mapping with sections such as receivers and service"
    sources = ("agnt.yaml", "list.yaml", "text.yaml", "latin.yaml", "conf", "bare", "env:NO", "foo:x")
    assert problems(*sources) == [
        'agnt.yaml: no such file; did you mean "agent.yaml"?',
        f"list.yaml:1: {sections}, got a list",
        f"text.yaml:1: {sections}, got `just words`",
        "latin.yaml: is not UTF-8 text (byte 3)",
        "conf: is a directory; name its files one by one: --config conf/x.yaml",
        "bare: is a directory; name its files one by one: --config bare/agent.yaml",
        "env:NO: environment variable NO is not set",
        'foo:x: unknown scheme "foo"; valid: env, file, http, https, yaml',
    ]


def test_refuses_a_file_larger_than_the_limit(folder: Path) -> None:
    (folder / "big.yaml").write_bytes(b"#" * (4 * 1024 * 1024 + 1))
    assert problems("big.yaml") == ["big.yaml: is larger than 4 MiB"]


def test_an_empty_file_is_a_problem_alone_and_a_warning_beside_others(folder: Path) -> None:
    (folder / "empty.yaml").write_text("# nothing yet\n")
    assert problems("empty.yaml") == ["empty.yaml: is empty"]
    loaded = load(["empty.yaml", "yaml:{a: 1}"], environ={})
    assert loaded.problems == []
    assert [str(warning) for warning in loaded.warnings] == ["empty.yaml: is empty"]
    assert problems("yaml:{}") == ["the configuration is empty"]


def test_no_source_at_all_is_a_problem() -> None:
    assert problems() == ["no configuration given; pass --config FILE"]


def test_an_empty_section_that_removes_an_earlier_one_is_warned_about(folder: Path) -> None:
    (folder / "a.yaml").write_text("processors:\n  batch:\n")
    (folder / "b.yaml").write_text("processors:\n")
    loaded = load(["a.yaml", "b.yaml"], environ={})
    assert loaded.tree == {"processors": None}
    assert [str(warning) for warning in loaded.warnings] == [
        "b.yaml:1: processors: is empty and removes what a.yaml put there; write `{}` to keep it"
    ]


def test_problems_hide_credentials_in_urls() -> None:
    (message,) = problems("http://user:secret@127.0.0.1:1/x.yaml")
    assert message.startswith("http://127.0.0.1:1/x.yaml: cannot be fetched: ")


def test_the_environment_of_the_process_is_the_default(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPHION_TEST_VALUE", "7")
    assert load(["yaml:a: ${env:OPHION_TEST_VALUE}"]).tree == {"a": 7}
