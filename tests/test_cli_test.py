import json
import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from ophion_agent.cli import main
from ophion_agent.otlp_json import encode
from ophion_agent.testing import make_traces

CONFIG = {
    "receivers": {"otlp": {"protocols": {"grpc": None}}},
    "processors": {
        "batch": {"timeout": "1h"},
        "attributes": {"actions": [{"key": "team", "action": "insert", "value": "shop"}]},
        "filter": {"traces": {"span": ['name == "operation-0"']}},
    },
    "exporters": {"debug": None},
    "service": {
        "pipelines": {
            "traces": {"receivers": ["otlp"], "processors": ["attributes", "batch"], "exporters": ["debug"]},
            "traces/empty": {"receivers": ["otlp"], "processors": ["filter"], "exporters": ["debug"]},
        }
    },
}


def document(spans: int = 1, **attributes: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(encode(make_traces(spans, **attributes).view().message))
    return found


def write(folder: Path, *tests: dict[str, Any], **extra: Any) -> str:
    (folder / "agent.yaml").write_text(yaml.safe_dump(CONFIG))
    path = folder / "pipelines.test.yaml"
    path.write_text(yaml.safe_dump({"config": "agent.yaml", "tests": list(tests), **extra}))
    return str(path)


def case(given: Any, expect: Any, pipeline: str = "traces", name: str = "adds the team") -> dict[str, Any]:
    return {"name": name, "pipeline": pipeline, "input": given, "expect": expect}


def test_passes_when_what_comes_out_is_what_was_expected(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = write(tmp_path, case(document(2), document(2, team="shop")))
    assert main(["test", path]) == 0
    assert capsys.readouterr().out == f"ok   {path}: adds the team\n1 passed, 0 failed\n"


def test_shows_the_difference_when_something_else_comes_out(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = write(tmp_path, case(document(), document(team="bank")), case(document(), document(team="shop")))
    assert main(["test", path]) == 1
    said = capsys.readouterr().out
    assert f"FAIL {path}: adds the team" in said
    assert re.search(r'^- +"stringValue": "bank"$', said, re.MULTILINE)
    assert re.search(r'^\+ +"stringValue": "shop"$', said, re.MULTILINE)
    assert said.endswith("1 passed, 1 failed\n")


def test_several_requests_from_inline_and_from_files_are_joined_by_the_batch_processor(tmp_path: Path) -> None:
    lines = [json.dumps(document(1)), "", json.dumps(document(2))]
    (tmp_path / "input.jsonl").write_text("\n".join(lines))
    (tmp_path / "one.json").write_text(json.dumps(document(1), indent=2))
    merged = document(1, team="shop")
    spans = document(2, team="shop")["resourceSpans"][0]["scopeSpans"]
    merged["resourceSpans"][0]["scopeSpans"] += spans
    (tmp_path / "expected.json").write_text(json.dumps(merged))
    tests = (
        case("input.jsonl", "expected.json"),
        case([document(1), document(2)], "expected.json"),
        case("one.json", document(1, team="shop")),
    )
    assert main(["test", write(tmp_path, *tests)]) == 0


def test_null_expects_that_nothing_comes_out(tmp_path: Path) -> None:
    assert main(["test", write(tmp_path, case(document(1), None, "traces/empty"))]) == 0
    assert main(["test", write(tmp_path, case(document(2), None, "traces/empty"))]) == 1


def test_update_writes_what_came_out(tmp_path: Path) -> None:
    path = write(tmp_path, case(document(1), "expected.json"))
    assert main(["test", path]) == 1
    assert main(["test", "--update", path]) == 0
    assert json.loads((tmp_path / "expected.json").read_text()) == document(1, team="shop")
    assert main(["test", path]) == 0


def test_overrides_reach_the_configuration(tmp_path: Path) -> None:
    path = write(
        tmp_path,
        case(document(1), document(1)),
        set=["service.pipelines.traces.processors=[batch]"],
    )
    assert main(["test", path]) == 0


@pytest.mark.parametrize(
    ("test", "code", "message"),
    [
        (case(document(1), None, "traces/missing"), 1, "no pipeline 'traces/missing'; did you mean"),
        (case(document(1), None, "spans"), 1, "must begin with one of traces, metrics, logs"),
        (case("missing.json", None), 1, "missing.json: No such file or directory"),
        (case({"resourceSpans": 7}, None), 1, "adds the team: "),
        ({"name": "x", "pipeline": "traces", "input": {}}, 2, "expect: is required"),
        ({**case({}, None), "inptu": {}}, 2, 'inptu: unknown option; did you mean "input"?'),
    ],
)
def test_says_what_is_wrong_with_a_test(
    test: dict[str, Any], code: int, message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["test", write(tmp_path, test)]) == code
    assert message in capsys.readouterr().err


def test_a_wrong_configuration_or_file_ends_with_2(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["test", str(tmp_path / "missing.yaml")]) == 2
    path = write(tmp_path, case(document(1), None))
    (tmp_path / "agent.yaml").write_text("receivers: {otlpp: }\n")
    assert main(["test", path]) == 2
    assert "unknown receiver 'otlpp'" in capsys.readouterr().err
