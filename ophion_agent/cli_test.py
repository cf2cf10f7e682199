"""`ophion-agent test`: given this input, expect that output, for the processors of a pipeline.

config: agent.yaml            # one file or a list
tests:
  - name: drops health checks
    pipeline: traces
    input: {resourceSpans: [...]}       # OTLP-JSON, here or as the name of a file
    expect: expected.json               # likewise; null expects that nothing comes out
"""

import argparse
import asyncio
import difflib
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson
import yaml
from pydantic import Field, ValidationError

from ophion_agent.agent import Sources
from ophion_agent.batch import SIGNALS, Batch
from ophion_agent.component import Config
from ophion_agent.errors import ConfigError, OphionError, PermanentError
from ophion_agent.model_errors import problems_of
from ophion_agent.origins import Problem
from ophion_agent.otlp_json import decode, encode


class PipelineTest(Config):
    """One test of a pipeline."""

    name: str = Field(description="What the test shows; printed with the outcome.")
    pipeline: str = Field(description="Id of the pipeline, such as traces or logs/audit.")
    input: str | dict[str, Any] | list[dict[str, Any]] = Field(
        description="OTLP-JSON request or requests, or the name of a file that holds one request a line."
    )
    expect: str | dict[str, Any] | None = Field(description="The request that must come out; null for nothing.")


class TestFile(Config):
    """A file of tests."""

    __test__ = False

    config: str | list[str] = Field(description="Configuration file or files, relative to the test file.")
    set: list[str] = Field([], description="Overrides as for --set.")
    tests: list[PipelineTest] = Field(description="The tests.")


@dataclass(frozen=True, slots=True)
class Outcome:
    """The result of one test; `difference` is empty when it passed."""

    name: str
    difference: str
    actual: dict[str, Any]


def add_commands(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add the command of this module."""
    parser = commands.add_parser("test", help="test pipelines: given this input, expect that output")
    parser.add_argument("file", nargs="+", help="YAML file with tests")
    parser.add_argument("--update", action="store_true", help="write what came out into the expected files")
    parser.set_defaults(command=_test)


def _test(options: argparse.Namespace) -> int:
    failed = passed = 0
    for name in options.file:
        for outcome in asyncio.run(run_file(Path(name), update=options.update)):
            failed += bool(outcome.difference)
            passed += not outcome.difference
            print(f"{'FAIL' if outcome.difference else 'ok  '} {name}: {outcome.name}")
            if outcome.difference:
                print(outcome.difference)
    print(f"{passed} passed, {failed} failed")
    return 1 if failed else 0


async def run_file(path: Path, *, update: bool = False) -> list[Outcome]:
    """Run every test of a file and return the outcomes in order; raise ConfigError when the file is wrong."""
    file = _read(path)
    configs = [file.config] if isinstance(file.config, str) else file.config
    sources = Sources([str(path.parent / config) for config in configs], file.set)
    return [await _run(test, sources, path.parent, update) for test in file.tests]


def _read(path: Path) -> TestFile:
    try:
        return TestFile.model_validate(yaml.safe_load(path.read_text(encoding="utf-8")))
    except ValidationError as error:
        problems = [Problem(str(path), where, message) for where, message in problems_of(error, TestFile, ())]
        raise ConfigError(problems) from error
    except (OSError, yaml.YAMLError) as error:
        raise ConfigError([Problem(str(path), (), str(error))]) from error


async def _run(test: PipelineTest, sources: Sources, folder: Path, update: bool) -> Outcome:
    from ophion_agent.offline import run_processors

    signal = SIGNALS.get(test.pipeline.partition("/")[0])
    if signal is None:
        raise OphionError(f"{test.name}: pipeline {test.pipeline!r} must begin with one of {', '.join(SIGNALS)}")
    batches = [_batch(signal, document, test) for document in _documents(test.input, folder)]
    actual = _normal(signal, await run_processors(sources, test.pipeline, batches))
    if update and isinstance(test.expect, str):
        (folder / test.expect).write_text(_pretty(actual) + "\n", encoding="utf-8")
    expected_batches = [_batch(signal, document, test) for document in _documents(test.expect, folder)]
    expected = _normal(signal, expected_batches)
    return Outcome(test.name, "" if actual == expected else _difference(expected, actual), actual)


def _documents(source: Any, folder: Path) -> Iterator[bytes]:
    """Iterate over the OTLP-JSON documents given inline, or in a file: one in all, or one a line."""
    if isinstance(source, str):
        text = _read_input(folder / source)
        try:
            yield orjson.dumps(orjson.loads(text))
        except orjson.JSONDecodeError:
            yield from (line for line in text.splitlines() if line.strip())
        return
    for document in [source] if isinstance(source, dict) else source or []:
        yield orjson.dumps(document)


def _read_input(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise OphionError(f"{path}: {error.strerror}; write the file, or let --update write an expected one") from error


def _batch(signal: type[Batch], document: bytes, test: PipelineTest) -> Batch:
    try:
        return signal.from_message(decode(document, signal.request_type))
    except PermanentError as error:
        raise OphionError(f"{test.name}: {error}") from error


def _normal(signal: type[Batch], batches: list[Batch]) -> dict[str, Any]:
    """Return batches as one OTLP-JSON document in which equal resources stand together."""
    joined = signal.join(batches).regroup_by_resource()
    document: dict[str, Any] = orjson.loads(encode(joined.view().message))
    return document


def _pretty(document: dict[str, Any]) -> str:
    return json.dumps(document, indent=2, sort_keys=True)


def _difference(expected: dict[str, Any], actual: dict[str, Any]) -> str:
    before, after = _pretty(expected).splitlines(), _pretty(actual).splitlines()
    return "\n".join(difflib.unified_diff(before, after, "expected", "actual", lineterm=""))
