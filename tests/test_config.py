import re
from pathlib import Path

import pytest

from ophion_agent.cli import main
from ophion_agent.plugin import Exporter, Removed, Traces
from ophion_agent.registry import BrokenPlugin, Registry
from parts import RelayConfig, Scripted, check_text, problems_of_text

INVALID = sorted((Path(__file__).parent / "testdata" / "invalid").glob("*.yaml"))
MINIMAL = """
receivers: {relay: }
exporters: {scripted: }
service: {pipelines: {traces: {receivers: [relay], exporters: [scripted]}}}
"""


@pytest.mark.parametrize("command", ["validate", "run"])
@pytest.mark.parametrize("path", INVALID, ids=lambda path: path.stem)
def test_every_problem_of_a_wrong_file_is_told_with_its_place(
    path: Path, command: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(path.parent)
    assert main([command, "--config", path.name]) == 2
    expected = path.with_suffix(".txt").read_text().splitlines()
    said = capsys.readouterr().err.splitlines()
    assert said == [*expected, f"{len(expected)} problem(s); nothing was started"]


@pytest.mark.parametrize("path", INVALID, ids=lambda path: path.stem)
def test_problems_come_in_the_order_of_the_file(path: Path) -> None:
    lines = [int(line) for line in re.findall(r"^[\w.]+:(\d+):", path.with_suffix(".txt").read_text(), re.MULTILINE)]
    assert lines == sorted(lines)


def test_problems_of_several_files_and_of_overrides_come_in_the_order_of_the_command_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    first, second = tmp_path / "z.yaml", tmp_path / "a.yaml"
    first.write_text("receivers: {otlp: {protocols: {grpc: {endpont: }}}}\nprocessors: {batch: {timeout: 5}}\n")
    second.write_text("exporters: {debg: }\nservice: {pipelines: {traces: {receivers: [otlp], exporters: [debg]}}}\n")
    arguments = ["--config", str(first), "--config", str(second), "--set", "service.shutdown_timeout=soon"]
    assert main(["validate", *arguments]) == 2
    places = [line.split(": ")[:2] for line in capsys.readouterr().err.splitlines()[:-1]]
    assert places == [
        [f"{first}:1", "receivers.otlp.protocols.grpc.endpont"],
        [f"{first}:2", "processors.batch.timeout"],
        [f"{second}:1", "exporters.debg"],
        ["--set", "service.shutdown_timeout"],
    ]


def test_a_file_that_cannot_be_read_is_the_only_problem(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    good = tmp_path / "good.yaml"
    good.write_text("receivers: {otlp: {protocols: {grpc: }}}\n")
    assert main(["validate", "--config", str(good), "--config", str(tmp_path / "missing.yaml")]) == 2
    assert capsys.readouterr().err == f"{tmp_path / 'missing.yaml'}: no such file\n1 problem(s); nothing was started\n"


@pytest.mark.parametrize("section", ["processors:", "processors: {}", "connectors:", "extensions:"])
def test_empty_sections_are_as_if_they_were_not_there(section: str) -> None:
    assert problems_of_text(MINIMAL + section) == []


def test_empty_bodies_take_the_defaults() -> None:
    plan = check_text(MINIMAL).plan
    assert plan is not None
    assert plan.components["exporter", "scripted"].config == Scripted.config_type()


def test_a_declared_component_that_no_pipeline_uses_is_validated_but_not_planned() -> None:
    text = MINIMAL.replace("scripted: }", "scripted: , scripted/unused: {timeout: 1s}}")
    plan = check_text(text).plan
    assert plan is not None
    assert ("exporter", "scripted/unused") not in plan.components
    assert problems_of_text(text.replace("timeout: 1s", "timeout: 1")) == [
        "exporters.scripted/unused.timeout: must be a duration with a unit, got 1; write 1s"
    ]


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("receivers: {relay: }", "section `service` is missing; it says which pipelines run"),
        ("service: 7", "service: must be a mapping, got a number"),
        ("service: {pipelines: }", "service.pipelines: must have at least one pipeline, such as `traces`"),
        (MINIMAL + "processors: [mark]", "processors: must map ids to options, got a list"),
        (MINIMAL + "processors: {mark: fast}", "processors.mark: must be a mapping of options, got text"),
        (MINIMAL + "processors: {mark/: }", "processors.mark/: the name after the slash is empty; write type/name"),
        (
            MINIMAL + "processors: {scripted: }",
            "processors.scripted: 'scripted' is not a processor but an exporter; move it to `exporters`",
        ),
        (
            MINIMAL.replace("[relay]", "[relay, relay]"),
            "service.pipelines.traces.receivers[1]: 'relay' is listed twice",
        ),
    ],
)
def test_says_what_is_wrong_with_the_structure(text: str, problem: str) -> None:
    assert problems_of_text(text) == [problem]


def test_a_component_that_does_not_handle_the_signal_is_refused() -> None:
    class OnlyTraces(Exporter[RelayConfig, Traces]):
        type_name = "only_traces"

    text = MINIMAL.replace("scripted", "only_traces").replace("traces: {rec", "logs: {rec")
    assert problems_of_text(text, OnlyTraces) == [
        "service.pipelines.logs.exporters[0]: exporter 'only_traces' does not handle logs; it handles traces"
    ]


def test_unknown_and_removed_components_are_listed_completely_in_one_run() -> None:
    registry = Registry()
    registry.add_removed(Removed("exporter", "jaeger", "use `otlp`"))
    registry.broken.append(BrokenPlugin("my_plugin", "/plugins/my_plugin.py", "ImportError: no module named x"))
    text = """
receivers: {relai: , kafka: }
processors: {qqq: }
exporters: {jaeger: }
service: {pipelines: {traces: {receivers: [relai, kafka], processors: [qqq], exporters: [jaeger]}}}
"""
    broken = "plugin my_plugin failed to load: ImportError: no module named x"
    problems = [str(problem).partition(": ")[2] for problem in check_text(text, registry=registry).problems]
    assert problems == [
        f"receivers.relai: unknown receiver 'relai'; did you mean \"relay\"? valid: relay; {broken}",
        f"receivers.kafka: unknown receiver 'kafka'; valid: relay; {broken}",
        f"processors.qqq: unknown processor 'qqq'; valid: hold, mark; {broken}",
        "exporters.jaeger: exporter 'jaeger' no longer exists: use `otlp`",
    ]


def test_a_broken_plugin_does_not_matter_to_a_configuration_that_does_not_need_it() -> None:
    registry = Registry()
    registry.broken.append(BrokenPlugin("my_plugin", "/plugins/my_plugin.py", "ImportError: no module named x"))
    assert check_text(MINIMAL, registry=registry).problems == []


def test_a_validator_that_fails_is_a_problem_of_its_component() -> None:
    from pydantic import field_validator

    class OddConfig(RelayConfig):
        @field_validator("fail")
        @classmethod
        def _look_up(cls, value: str) -> str:
            return {}[value]  # type: ignore[no-any-return]

    class Odd(Exporter[OddConfig, Traces]):
        type_name = "odd"

    text = MINIMAL.replace("scripted: ", "scripted: , odd: {fail: x}")
    assert problems_of_text(text, Odd) == ["exporters.odd: the plugin cannot read these options: KeyError: 'x'"]


def test_telemetry_that_is_pushed_is_a_warning_with_the_remedy() -> None:
    text = MINIMAL.replace("service: {", "service: {telemetry: {metrics: {readers: [{periodic: {}}]}}, ")
    checked = check_text(text)
    assert checked.plan is not None
    assert [str(warning).partition(": ")[2] for warning in checked.warnings] == [
        "service.telemetry.metrics: pushing the agent's own metrics from here is not supported; "
        "put the `self` receiver in a pipeline"
    ]
